"""Annotations as a tensor, a row of JSON per picture: so what is annotated already travels like the outputs of a network.

The head `annotations` reads them. No network has it: it stands for outputs that were decoded before, such as a pipeline's.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput

Objects = np.ndarray[Any, np.dtype[np.object_]]
ANNOTATIONS = "annotations"  # the head's name, and the output's

_decoder = msgspec.json.Decoder(list[Annotation])


def write_annotation_tensor(annotations: Sequence[Sequence[Annotation]]) -> Objects:
    """Lists of annotations as `(N,)` objects, each the bytes of a JSON list."""
    texts = np.empty(len(annotations), object)
    texts[:] = [msgspec.json.encode(list(of_picture)) for of_picture in annotations]
    return texts


def read_annotation_tensor(texts: Objects, threshold: float) -> list[list[Annotation]]:
    """The annotations that reach the threshold, 0..1, a list per picture, in their order.

    Args:
        texts: `(N,)` objects, as `write_annotation_tensor` makes them.
        threshold: what has no confidence is kept.

    Raises: InvalidInput for other texts.
    """
    try:
        found = [_decoder.decode(text) for text in texts]
    except msgspec.DecodeError as error:
        raise InvalidInput(f"expected annotations as JSON lists, got other texts: {error}") from error
    least = np.float32(threshold)  # as the heads compare: what one of them let through at this threshold stays
    return [[one for one in picture if one.confidence is None or np.float32(one.confidence) >= least] for picture in found]
