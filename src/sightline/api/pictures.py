"""`.../items/{position}/picture` and `/thumbnail`: pixels, as a browser shows them, kept by it for ever.

The address of a picture names its file's SHA-256 as `blob`, so that what it leads to never changes; without it, or with
another, a browser asks each time whether its copy is still the picture's. Few pictures are decoded at once, since each takes
its size in memory.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from sightline.api.items import PositionOf
from sightline.api.parts import DatasetOf, Parts, PartsOf
from sightline.imaging.files.headers import DEFAULT_MAX_PIXELS
from sightline.imaging.files.showing import LARGEST_THUMBNAIL, SMALLEST_THUMBNAIL, ShownPicture, make_showable, make_thumbnail
from sightline.store.datasets import Dataset, ItemRow

FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"
BlobOf = Annotated[
    str | None, Query(max_length=64, description="The picture's `blob`, by which a browser may keep it for ever.")
]
PICTURE_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "The picture"}
}
THUMBNAIL_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}, "description": "The picture, small"}
}

router = APIRouter(prefix="/v1/datasets/{name}/items/{position}", tags=["Pictures"])
Make = Callable[[bytes, int, str], ShownPicture]


@router.get("/picture", response_class=Response, responses=PICTURE_ANSWER)
async def read_picture(
    dataset: DatasetOf, parts: PartsOf, request: Request, position: PositionOf, blob: BlobOf = None
) -> Response:
    """The picture, upright and of 8 bits a channel."""
    return await answer_picture(parts, request, dataset, position, blob, "", make_showable)


@router.get("/thumbnail", response_class=Response, responses=THUMBNAIL_ANSWER)
async def read_thumbnail(
    dataset: DatasetOf,
    parts: PartsOf,
    request: Request,
    position: PositionOf,
    blob: BlobOf = None,
    size: Annotated[
        int, Query(ge=SMALLEST_THUMBNAIL, le=LARGEST_THUMBNAIL, description="Longest side, pixels; none grows.")
    ] = 256,
) -> Response:
    """The picture as a small JPEG."""

    def make(content: bytes, max_pixels: int, name: str) -> ShownPicture:
        return make_thumbnail(content, size, max_pixels, name)

    return await answer_picture(parts, request, dataset, position, blob, f"-{size}", make)


async def answer_picture(
    parts: Parts, request: Request, dataset: Dataset, position: int, blob: str | None, form: str, make: Make
) -> Response:
    """A picture in a form, or that the browser's copy is the same. Args: form: what tells its ETag from other forms'."""
    item = dataset.find_picture(position)
    headers = {"ETag": f'"{item.blob}{form}"', "Cache-Control": FOR_EVER if blob == item.blob else ASK_AGAIN}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    work = partial(read_and_make, dataset, item, make)
    shown = await anyio.to_thread.run_sync(work, limiter=parts.decoders)
    return Response(shown.content, headers=headers, media_type=shown.media_type)


def read_and_make(dataset: Dataset, item: ItemRow, make: Make) -> ShownPicture:
    """The stored picture in the wanted form; one that an import took, by whatever limit, can be shown.

    It is read by its hash: the dataset may have moved on to a version in which another has its position.
    """
    return make(dataset.version.blobs.read(item.blob), max(DEFAULT_MAX_PIXELS, item.width * item.height), item.file_name)
