"""Write answers of `/predict` on the thread that inferred.

That is annotations as JSON, the picture with them drawn, the label map as PNG, or the picture that the network itself draws.
"""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from starlette.types import Receive, Scope, Send

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.core.manifests import Task
from sightline.imaging.drawing import draw_annotations
from sightline.imaging.files.reading import encode_image
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.heads.pictures import PICTURE, write_pictures
from sightline.imaging.masks import annotations_to_label_map, decode_mask, trace_mask
from sightline.imaging.resizing import Placement
from sightline.serving.http.predict.requests import DRAWN, MaskForm, PredictOptions
from sightline.serving.inference.calls import Inferred, ServedFacts

MASK_TASKS: tuple[Task, ...] = ("instance", "semantic")
NO_CATEGORY = 255
JSON = b"application/json"
PNG = b"image/png"
JPEG = b"image/jpeg"


class Answer:
    """A whole 200 answer as an ASGI application: two messages, nothing to compute when it is sent."""

    __slots__ = ("body", "media_type")

    def __init__(self, body: bytes, media_type: bytes) -> None:
        self.body = body
        self.media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        headers = [(b"content-type", self.media_type), (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class DescribedPicture(msgspec.Struct, frozen=True):
    """One picture of a list, answered: its part of the JSON, and what goes into the part that all share."""

    facts: ServedFacts
    json: msgspec.Raw
    decode_s: float
    infer_s: float


class _One(msgspec.Struct, frozen=True):
    deployment: str
    version: int
    model_id: str
    image: dict[str, int]
    annotations: Sequence[Any]
    timing_ms: dict[str, float]


class _Listed(msgspec.Struct, frozen=True):
    name: str
    image: dict[str, int]
    annotations: Sequence[Any]


class _ListedDrawn(msgspec.Struct, frozen=True):
    name: str
    image: dict[str, int]
    picture_png: bytes  # base64 in JSON


class _Many(msgspec.Struct, frozen=True):
    deployment: str
    version: int
    model_id: str
    pictures: Sequence[msgspec.Raw]
    timing_ms: dict[str, float]


_encoder = msgspec.json.Encoder()


def write_answer(options: PredictOptions, facts: ServedFacts, inferred: Inferred) -> Answer:
    """The answer for one picture.

    Raises: InvalidInput for a format that the model's task does not have; Unsupported for a model of raw tensors.
    """
    if options.format == "mask":
        check_mask(facts)
    if draws_pictures(facts):
        return _write_picture(draw_picture(facts, inferred), options)
    annotations = find_annotations(options, facts, inferred)
    placement = inferred.placements[0]
    if options.format in DRAWN:
        return _write_picture(draw_annotations(inferred.images[0], annotations, facts.table), options)
    if options.format == "mask":
        return Answer(encode_image(_paint_label_map(annotations, facts, placement), "png"), PNG)
    content = _One(
        facts.name,
        facts.version,
        facts.model_id,
        _describe_size(placement),
        _write_annotations(annotations, options.mask),
        _describe_times(inferred.decode_s, inferred.infer_s),
    )
    return Answer(_encoder.encode(content), JSON)


def describe_picture(name: str, options: PredictOptions, facts: ServedFacts, inferred: Inferred) -> DescribedPicture:
    """One picture of a list; what the network draws stands in it as base64 PNG. Args: name: the client's, of the picture."""
    if draws_pictures(facts):
        content = encode_image(draw_picture(facts, inferred), "png")
        drawn = _ListedDrawn(name, _describe_size(inferred.placements[0]), content)
        return DescribedPicture(facts, msgspec.Raw(_encoder.encode(drawn)), inferred.decode_s, inferred.infer_s)
    annotations = _write_annotations(find_annotations(options, facts, inferred), options.mask)
    listed = _Listed(name, _describe_size(inferred.placements[0]), annotations)
    return DescribedPicture(facts, msgspec.Raw(_encoder.encode(listed)), inferred.decode_s, inferred.infer_s)


def join_pictures(described: Sequence[DescribedPicture]) -> Answer:
    """The answer for a list of pictures, all of one version; times are sums."""
    facts = described[0].facts
    times = _describe_times(sum(one.decode_s for one in described), sum(one.infer_s for one in described))
    content = _Many(facts.name, facts.version, facts.model_id, [one.json for one in described], times)
    return Answer(_encoder.encode(content), JSON)


def find_annotations(options: PredictOptions, facts: ServedFacts, inferred: Inferred) -> list[Annotation]:
    """What the decode head found in the one picture of a call. Raises: InvalidInput for a model of raw tensors."""
    if facts.decode is None:
        raise InvalidInput(
            f"{facts.name!r} answers with tensors that no head explains; ask for them with POST /v2/models/NAME/infer"
        )
    return decode_outputs(facts.decode, inferred.outputs, inferred.placements, facts.table, options.confidence)[0]


def draws_pictures(facts: ServedFacts) -> bool:
    """Whether the network answers a picture with a picture."""
    return facts.decode is not None and facts.decode.head == PICTURE


def draw_picture(facts: ServedFacts, inferred: Inferred) -> np.ndarray:
    """The picture `uint8 (H, W, 3)` RGB that the network draws for the one of a call. Raises: InvalidInput."""
    assert facts.decode is not None
    return write_pictures(facts.decode, inferred.outputs, inferred.placements)[0]


def check_mask(facts: ServedFacts) -> None:
    """Raises: InvalidInput for a model whose answers no label map holds."""
    if facts.task not in MASK_TASKS:
        raise InvalidInput(f"format=mask needs a task of {', '.join(MASK_TASKS)}, got {facts.task}; use json or png")
    if len(facts.categories) > NO_CATEGORY:
        raise InvalidInput(f"format=mask holds {NO_CATEGORY} categories, got {len(facts.categories)}; use json")


def _write_annotations(annotations: Sequence[Annotation], mask_form: MaskForm) -> Sequence[Any]:
    if mask_form == "rle":
        return annotations
    return [_write_annotation(annotation, mask_form) for annotation in annotations]


def _write_annotation(annotation: Annotation, mask_form: MaskForm) -> dict[str, Any]:
    """The Annotation as JSON has it; `mask` becomes `polygons` or `mask_png` (base64, 0 and 255)."""
    fields: dict[str, Any] = msgspec.to_builtins(annotation)
    if annotation.mask is None:
        return fields
    del fields["mask"]
    mask = decode_mask(annotation.mask)
    if mask_form == "polygons":
        return {**fields, "polygons": trace_mask(mask)}
    gray = mask.astype(np.uint8) * 255
    return {**fields, "mask_png": base64.b64encode(encode_image(gray, "png")).decode()}


def _write_picture(image: np.ndarray, options: PredictOptions) -> Answer:
    if options.format == "jpeg":
        return Answer(encode_image(image, "jpeg"), JPEG)
    return Answer(encode_image(image, "png"), PNG)


def _paint_label_map(annotations: Sequence[Annotation], facts: ServedFacts, placement: Placement) -> np.ndarray:
    """`(H, W)` uint8 category indices of the source picture, 255 where there is none."""
    height, width = placement.source_height, placement.source_width
    # Best first in the list, best on top in the picture.
    label_map = annotations_to_label_map(annotations[::-1], facts.table, height, width, unlabelled=NO_CATEGORY)
    return label_map.astype(np.uint8)


def _describe_size(placement: Placement) -> dict[str, int]:
    return {"width": placement.source_width, "height": placement.source_height}


def _describe_times(decode_s: float, infer_s: float) -> dict[str, float]:
    return {"decode": round(decode_s * 1000, 3), "infer": round(infer_s * 1000, 3)}
