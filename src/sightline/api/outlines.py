"""`.../items/{position}/outline`: the mask of the thing in a box, with strokes that correct it; nothing is stored."""

from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import APIRouter

from sightline.api import schemas
from sightline.api.cutting import WindowShelf
from sightline.api.items import PositionOf
from sightline.api.parts import DatasetOf, PartsOf
from sightline.core.errors import Conflict, InvalidInput
from sightline.imaging.cutting import Image, Stroke, cut_window, find_region
from sightline.imaging.files.headers import DEFAULT_MAX_PIXELS
from sightline.imaging.files.reading import decode_image
from sightline.imaging.masks import encode_mask
from sightline.store.datasets import Dataset

MOST_POINTS = 20_000  # of the strokes of one cut: one is made at a time, and drawing them must not keep others waiting

router = APIRouter(tags=["Pictures"])


@router.post("/v1/datasets/{name}/items/{position}/outline", response_model=schemas.Outline)
async def outline_thing(dataset: DatasetOf, parts: PartsOf, position: PositionOf, outlining: schemas.Outlining) -> Any:
    """The mask of the thing in a box (GrabCut). Nothing is stored."""
    work = partial(outline, parts.windows, dataset, position, outlining)
    return await anyio.to_thread.run_sync(work, limiter=parts.cutting)


def outline(windows: WindowShelf, dataset: Dataset, position: int, outlining: schemas.Outlining) -> Any:
    """Decode and cut. Raises: Conflict where another picture has its place by now; what decoding and cutting raise."""
    item = dataset.find_picture(position)
    if item.blob != outlining.blob:
        raise Conflict(f"expected the picture {outlining.blob[:12]}, got {item.blob[:12]} at its place; open it anew")

    def decode() -> Image:
        content = dataset.version.blobs.read(item.blob)
        return decode_image(content, max(DEFAULT_MAX_PIXELS, item.width * item.height), item.file_name)

    if (count := sum(len(stroke.points) for stroke in outlining.strokes) // 2) > MOST_POINTS:
        raise InvalidInput(
            f"expected strokes of at most {MOST_POINTS:,} points together, got {count:,}; keep the mask, then go on"
        )
    strokes = [Stroke(tuple(stroke.points), stroke.radius, stroke.adds) for stroke in outlining.strokes]
    region = find_region(item.height, item.width, outlining.box_xyxy, strokes)
    window = windows.open(item.blob, region, decode)
    return {"mask": encode_mask(cut_window(window, strokes, item.height, item.width))}
