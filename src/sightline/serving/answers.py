"""From a picture's bytes to the bytes of the answer: decode, predict, write JSON or PNG. Blocking: runs on a worker thread."""

import base64
import time
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, UnreadableImage
from sightline.core.manifests import Task
from sightline.imaging.drawing import draw_annotations
from sightline.imaging.masks import annotations_to_label_map, decode_mask, trace_mask
from sightline.imaging.reading import decode_image, encode_image
from sightline.serving.requests import MaskForm, PredictOptions, Upload

MASK_TASKS: tuple[Task, ...] = ("instance", "semantic")
NO_CATEGORY = 255


class ImagePredictor(Protocol):
    """What the server and `measure` need of a predictor; `sightline.runtime.predictor.Predictor` and the client have it."""

    @property
    def task(self) -> Task:
        """What its annotations carry."""

    @property
    def categories(self) -> Categories:
        """Names it can answer."""

    def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """One list of annotations per `uint8 (H, W, 3)` RGB image, best first."""


class Answer(msgspec.Struct, frozen=True):
    """Body and media type of a 200."""

    body: bytes
    media_type: str


def answer_pictures(
    predictor: ImagePredictor,
    pictures: Sequence[Upload],
    options: PredictOptions,
    max_pixels: int,
    facts: dict[str, Any],
    is_form: bool,
) -> Answer:
    """Predict and write the answer.

    Args:
        facts: what stands first in the JSON: deployment, version, model_id.
        is_form: a form is answered with a list under "pictures", a bare picture with its fields beside the facts.

    Raises: UnreadableImage or ImageTooLarge naming the picture; InvalidInput when one PNG is asked for several pictures.
    """
    _check_options(options, len(pictures), predictor)
    started = time.perf_counter()
    images = [_decode(picture, max_pixels) for picture in pictures]
    decoded = time.perf_counter()
    annotations = predictor.predict(images, confidence_threshold=options.confidence)
    inferred = time.perf_counter()
    if options.format != "json":
        return Answer(_write_png(images[0], annotations[0], predictor.categories, options), "image/png")
    timing_ms = {"decode": _ms(started, decoded), "infer": _ms(decoded, inferred)}
    described = [_describe(image, found, options.mask) for image, found in zip(images, annotations, strict=True)]
    if is_form:
        listed = [{"name": picture.name, **one} for picture, one in zip(pictures, described, strict=True)]
        return _write_json({**facts, "pictures": listed, "timing_ms": timing_ms})
    return _write_json({**facts, **described[0], "timing_ms": timing_ms})


def _check_options(options: PredictOptions, count: int, predictor: ImagePredictor) -> None:
    if options.format != "json" and count != 1:
        raise InvalidInput(f"expected one picture for format={options.format}, got {count}; ask for each, or for format=json")
    if options.format == "mask" and predictor.task not in MASK_TASKS:
        raise InvalidInput(f"format=mask needs a task of {', '.join(MASK_TASKS)}, got {predictor.task}; use json or png")
    if options.format == "mask" and len(predictor.categories) > NO_CATEGORY:
        raise InvalidInput(f"format=mask holds {NO_CATEGORY} categories, got {len(predictor.categories)}; use json")


def _decode(picture: Upload, max_pixels: int) -> np.ndarray:
    if not picture.content:
        raise UnreadableImage(f"{picture.name} is empty; send the bytes of a picture")
    return decode_image(picture.content, max_pixels=max_pixels, name=picture.name)


def _describe(image: np.ndarray, annotations: Sequence[Annotation], mask_form: MaskForm) -> dict[str, Any]:
    height, width = image.shape[:2]
    return {
        "image": {"width": width, "height": height},
        "annotations": [_write_annotation(annotation, mask_form) for annotation in annotations],
    }


def _write_annotation(annotation: Annotation, mask_form: MaskForm) -> dict[str, Any]:
    """The Annotation as JSON; `mask` becomes `polygons` or `mask_png` (base64, 0 and 255) when asked for."""
    fields: dict[str, Any] = msgspec.to_builtins(annotation)
    if annotation.mask is None or mask_form == "rle":
        return fields
    del fields["mask"]
    mask = decode_mask(annotation.mask)
    if mask_form == "polygons":
        return {**fields, "polygons": trace_mask(mask)}
    gray = mask.astype(np.uint8) * 255
    return {**fields, "mask_png": base64.b64encode(encode_image(gray, "png")).decode()}


def _write_png(image: np.ndarray, annotations: Sequence[Annotation], categories: Categories, options: PredictOptions) -> bytes:
    if options.format == "png":
        return encode_image(draw_annotations(image, annotations, categories), "png")
    height, width = image.shape[:2]
    # Best first in the list, best on top in the picture.
    label_map = annotations_to_label_map(annotations[::-1], categories, height, width, unlabelled=NO_CATEGORY)
    return encode_image(label_map.astype(np.uint8), "png")


def _write_json(content: dict[str, Any]) -> Answer:
    return Answer(msgspec.json.encode(content), "application/json")


def _ms(start_s: float, end_s: float) -> float:
    return round((end_s - start_s) * 1000, 3)
