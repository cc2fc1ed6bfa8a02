import numpy as np
import pytest
from nodes import check_node, run_node, whole

from sightline.core.errors import Unsupported

X = np.random.default_rng(2).normal(size=(2, 3, 8, 10)).astype(np.float32)
# Inside, of no size, thinner than a pixel, beyond each side, turned inside out, outside altogether.
BOXES = np.array(
    [[4, 4, 30, 20], [8, 8, 8, 8], [5, 2, 6, 28], [-12, -9, 20, 12], [20, 16, 60, 50], [30, 20, 4, 4], [90, 90, 99, 99]],
    np.float32,
)
BATCHES = whole(0, 1, 1, 0, 1, 0, 1)
FORM = {"output_height": 3, "output_width": 2, "sampling_ratio": 2, "spatial_scale": 0.25}


@pytest.mark.parametrize("ratio", [1, 2, 3])
@pytest.mark.parametrize("placing", [None, "half_pixel", "output_half_pixel"])
def test_boxes_are_pooled(ratio: int, placing: str | None) -> None:
    words = {} if placing is None else {"coordinate_transformation_mode": placing}
    check_node("RoiAlign", X, BOXES, BATCHES, opset=16, **{**FORM, "sampling_ratio": ratio}, **words)


def test_boxes_of_opset_10() -> None:
    check_node("RoiAlign", X, BOXES, BATCHES, opset=10, **FORM)


def test_words_left_out() -> None:
    check_node("RoiAlign", X, BOXES / 4, BATCHES, opset=16, sampling_ratio=2)


def test_a_box_without_numbers_gives_zeros() -> None:
    (y,) = run_node("RoiAlign", X, np.full((1, 4), np.nan, np.float32), whole(0), opset=16, **FORM)
    assert not y.any()


def test_other_forms_are_refused() -> None:
    with pytest.raises(Unsupported, match="RoiAlign 'tested': expected a sampling_ratio of 1 or more, got 0"):
        run_node("RoiAlign", X, BOXES, BATCHES, opset=16)
    with pytest.raises(Unsupported, match="RoiAlign 'tested': expected mode avg, got max"):
        run_node("RoiAlign", X, BOXES, BATCHES, opset=16, mode="max", sampling_ratio=2)
