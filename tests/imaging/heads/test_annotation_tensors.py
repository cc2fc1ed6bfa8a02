"""Annotations travel as JSON texts in a tensor and come back the same."""

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.annotation_tensors import read_annotation_tensor, write_annotation_tensor
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.masks import encode_mask
from sightline.imaging.resizing import letterbox_image

DOG = Annotation(
    category="dög", box_xyxy=(0.5, 1.0, 2.25, 3.0), mask=encode_mask(np.eye(4, dtype=bool)), confidence=0.8, origin="model",
    attributes={"breed": "poodle"},
)  # fmt: skip
CAT = Annotation(category="cat", confidence=0.3, origin="model")
HUMAN = Annotation(category="cat")


def test_what_is_written_is_read() -> None:
    texts = write_annotation_tensor([[DOG, CAT, HUMAN], []])
    assert texts.shape == (2,)
    assert all(isinstance(text, bytes) for text in texts)
    assert read_annotation_tensor(texts, 0.0) == [[DOG, CAT, HUMAN], []]


def test_a_threshold_drops_what_is_less_confident() -> None:
    assert read_annotation_tensor(write_annotation_tensor([[DOG, CAT, HUMAN]]), 0.5) == [[DOG, HUMAN]]


def test_no_pictures_give_no_texts() -> None:
    assert write_annotation_tensor([]).shape == (0,)


def test_the_head_reads_them_like_any_output() -> None:
    spec = DecodeSpec(head="annotations", outputs=("annotations",), confidence_threshold=0.0)
    outputs = {"annotations": write_annotation_tensor([[DOG, CAT]])}
    placement = letterbox_image(np.zeros((4, 4, 3), np.uint8), 4, 4)[1]
    assert decode_outputs(spec, outputs, [placement], Categories([])) == [[DOG, CAT]]
    assert decode_outputs(spec, outputs, [placement], Categories([]), confidence_threshold=0.5) == [[DOG]]


def test_other_texts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="JSON"):
        read_annotation_tensor(np.array([b"nothing"], object), 0.0)


def test_what_a_head_let_through_at_a_threshold_stays() -> None:
    """Heads compare in float32, in which 0.65 is less than it is in float64."""
    one = Annotation(category="a", confidence=float(np.float32(0.65)), origin="model")
    assert one.confidence < 0.65
    assert read_annotation_tensor(write_annotation_tensor([[one]]), 0.65) == [[one]]
    assert read_annotation_tensor(write_annotation_tensor([[one]]), 0.6500001) == [[]]
