"""`/api/dlapis/{id}`: what a Deployment finds in a picture."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response

from sightline.api.multipart import receive_form
from sightline.api.mvi.answers import SUCCESS, answer
from sightline.api.mvi.labels import describe_box, describe_polygons
from sightline.api.mvi.queries import read_number
from sightline.api.mvi.webapis import find_answering, find_webapi, make_webapi_id
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.api.uploads import open_folder
from sightline.core.annotations import Annotation, MaskRle
from sightline.core.errors import Conflict, InvalidInput, Unsupported
from sightline.imaging.files.reading import decode_image
from sightline.imaging.masks import draw_annotation
from sightline.imaging.rle import encode_mask

router = APIRouter(prefix="/dlapis")


@router.post("/{webapi_id}")
async def infer(request: Request, parts: PartsOf, person: PersonOf, webapi_id: str) -> Response:
    """What a Deployment finds in one picture, sent as `files`; the surest first.

    `confthre`: least confidence; without it the model's own. `clsnum`: most categories of a whole picture, 5 at most.
    `containPolygon` and `containrle`: outlines, as points or as COCO's run lengths of a mask. `containHeatMap` is refused, and
    so are videos and several files. `imageUrl` is empty: pictures are not kept. Other words are passed over.
    """
    name = await anyio.to_thread.run_sync(find_answering, parts, webapi_id)
    if name is None:
        row = await anyio.to_thread.run_sync(find_webapi, parts, person.name, webapi_id)
        raise Conflict(f"expected a deployed model that is ready, got {row['name']!r}, which is {row['status']}; wait for it")
    async with open_folder(parts.workspace.root) as folder:
        form = await receive_form(request, folder, lambda fields: None)
        if len(form.paths) != 1:
            raise InvalidInput(f"expected one picture as `files`, got {len(form.paths)} files; send one at a time")
        work = partial(find_in_picture, parts, name, form.paths[0], form.fields)
        return answer(await anyio.to_thread.run_sync(work, limiter=parts.predicting))


@router.get("/{webapi_id}")
def infer_from_address() -> Response:
    """Refused: this server fetches nothing. `sightline serve --allow-image-urls` does."""
    raise Unsupported("this server fetches no pictures; send the picture itself by POST")


def find_in_picture(parts: Parts, name: str, path: Path, fields: dict[str, str]) -> dict[str, Any]:
    """Decode, predict, and describe. Raises: InvalidInput, Unsupported, what decoding and predicting raise."""
    if read_flag(fields, "containHeatMap", default=False):
        raise Unsupported("there are no heat maps; leave containHeatMap out")
    confidence, most = read_share(fields, "confthre"), read_share(fields, "clsnum", most=1000) or 1
    content = path.read_bytes()
    image = decode_image(content)
    if confidence is None and most > 1:
        confidence = 0.0  # the further ones are hardly as sure as the model asks
    found, _ = parts.predictors.predict(name, image, confidence)
    objects = [one for one in found if one.geometry != "image"]
    whole = [one for one in found if one.geometry == "image"]
    kept = sorted([*objects, *whole[: int(most)]], key=lambda one: one.certainty, reverse=True)
    classified = [describe_found(one, image.shape[:2], fields) for one in kept]
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {"webAPIId": make_webapi_id(name), "imageUrl": "", "imageMd5": digest, "classified": classified, **SUCCESS}


def describe_found(annotation: Annotation, size: tuple[int, ...], fields: dict[str, str]) -> dict[str, Any]:
    """One thing that was found. Args: size: of the picture, `(height, width)`."""
    row: dict[str, Any] = {"label": annotation.category, "confidence": annotation.certainty}
    if annotation.geometry == "image":
        return row
    row |= {**describe_box(annotation), "attr": [{}]}
    if annotation.geometry == "box":
        return row
    if read_flag(fields, "containPolygon", default=True):
        row["polygons"] = describe_polygons(annotation)
    if read_flag(fields, "containrle", default=False) or read_flag(fields, "containRle", default=False):
        mask = annotation.mask or encode_mask(draw_annotation(annotation, size[0], size[1]))
        row["rle"] = describe_mask(mask)
    return row


def describe_mask(mask: MaskRle) -> dict[str, Any]:
    """A mask as COCO's tools read it."""
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def read_flag(fields: dict[str, str], name: str, default: bool) -> bool:
    """Whether a field says yes."""
    return fields.get(name, str(default)).strip().lower() in ("true", "1", "yes")


def read_share(fields: dict[str, str], name: str, most: float = 1.0) -> float | None:
    """A number from 0 on; None where nothing was sent. Raises: InvalidInput for another."""
    if name not in fields:
        return None
    number = read_number(fields[name])
    if number is None or not 0 <= number <= most:
        raise InvalidInput(f"expected {name} as a number of 0 to {most:g}, got {fields[name][:40]!r}; mend it")
    return number
