import itertools

import numpy as np
import pytest
import torch
from nodes import check_node, make_model, numbers, read_node, run_node, whole

from sightline.core.errors import Unsupported
from sightline.runtime.backends.cuda.operators.resizing import run_resize

PLACINGS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES = ((2, 2), (3, 2), (0.5, 0.5), (1.5, 0.7), (1, 2.6), (1 / 6, 2), (1.1, 1), (1.1, 2))
X = np.random.default_rng(2).normal(size=(2, 3, 6, 5)).astype(np.float32)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(("placing", "rounding"), list(itertools.product(PLACINGS, ROUNDINGS)))
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_the_nearest_number(placing: str, rounding: str, scales: tuple[float, float], opset: int) -> None:
    attributes = {"mode": "nearest", "coordinate_transformation_mode": placing, "nearest_mode": rounding}
    check_node("Resize", X, None if opset > 12 else floats(), floats(1, 1, *scales), opset=opset, tolerance=0, **attributes)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("placing", PLACINGS)
@pytest.mark.parametrize("scales", SCALES)
def test_mixed_numbers(mode: str, placing: str, scales: tuple[float, float]) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": placing}
    check_node("Resize", X, None, floats(1, 1, *scales), **attributes)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("placing", PLACINGS)
@pytest.mark.parametrize("sizes", [(12, 10), (3, 7), (1, 1), (6, 5), (1, 9), (13, 11)])
@pytest.mark.parametrize("opset", [11, 18])
def test_sizes_instead_of_scales(mode: str, placing: str, sizes: tuple[int, int], opset: int) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": placing}
    rest = (floats(), floats()) if opset == 11 else (None, None)
    check_node("Resize", X, *rest, whole(2, 3, *sizes), opset=opset, **attributes)


def test_words_left_out() -> None:
    check_node("Resize", X, None, floats(1, 1, 1.5, 0.7))
    check_node("Resize", X, None, floats(1, 1, 1.5, 0.7), mode="linear")


@pytest.mark.parametrize("a", [None, -0.5])
@pytest.mark.parametrize("exclude_outside", [0, 1])
def test_forms_of_cubic(a: float | None, exclude_outside: int) -> None:
    attributes = {} if a is None else {"cubic_coeff_a": a}
    for scales in ((2, 1.5), (0.5, 0.7)):
        check_node("Resize", X, None, floats(1, 1, *scales), mode="cubic", exclude_outside=exclude_outside, **attributes)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("placing", ["half_pixel", "align_corners", "asymmetric"])
def test_other_ranks(mode: str, placing: str) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": placing}
    check_node("Resize", numbers(4, 5), None, floats(2, 1.5), **attributes)
    check_node("Resize", numbers(1, 2, 3, 4, 5), None, floats(1, 1, 2, 2, 2), **attributes)
    check_node("Resize", numbers(1, 2, 7), None, floats(1, 1, 2), judge="onnx", **attributes)


def test_four_spatial_axes() -> None:
    check_node("Resize", numbers(1, 2, 3, 2, 2, 3), None, floats(1, 1, 2, 2, 2, 3))


@pytest.mark.parametrize("placing", PLACINGS)
def test_axes_in_front_of_the_pixels(placing: str) -> None:
    attributes = {"mode": "nearest", "coordinate_transformation_mode": placing}
    check_node("Resize", X, None, floats(2, 3, 1, 1), **attributes)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_some_axes(mode: str) -> None:
    check_node("Resize", X, None, floats(2, 1.5), opset=18, axes=[2, 3], mode=mode)
    check_node("Resize", X, None, floats(2, 1.5), opset=18, axes=[-1, -2], mode=mode)
    check_node("Resize", X, None, None, whole(9, 4), opset=18, axes=[2, 3], mode=mode, keep_aspect_ratio_policy="stretch")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_integers(dtype: type) -> None:
    x = np.arange(24).reshape(1, 2, 3, 4).astype(dtype)
    check_node("Resize", x, None, floats(1, 1, 2, 1.5))
    check_node("Resize", x, None, floats(1, 1, 2, 2), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    with pytest.raises(Unsupported, match="Resize 'tested': expected fractions to interpolate by linear, got"):
        run_node("Resize", x, None, floats(1, 1, 2, 2), mode="linear")


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2, 2), (3, 1), (0.5, 0.5), (1.5, 0.7), (0.4, 2)])
def test_resizes_of_opset_10(mode: str, scales: tuple[float, float]) -> None:
    check_node("Resize", X, floats(1, 1, *scales), mode=mode, opset=10)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2, 2), (3, 1), (1.5, 2.6)])
def test_upsampling(mode: str, scales: tuple[float, float]) -> None:
    check_node("Upsample", X, floats(1, 1, *scales), mode=mode, opset=9)
    check_node("Upsample", X, scales=[1.0, 1.0, *map(float, scales)], mode=mode, opset=7)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("coordinate_transformation_mode", "tf_crop_and_resize"),
        ("coordinate_transformation_mode", "half_pixel_symmetric"),
        ("keep_aspect_ratio_policy", "not_larger"),
        ("antialias", 1),
        ("mode", "other"),
    ],
)
def test_other_words_are_refused(word: str, value: object) -> None:
    with pytest.raises(Unsupported, match=f"Resize 'tested': expected {word} of .*, got {value}; "):
        run_node("Resize", X, None, floats(1, 1, 2, 2), opset=18, **{word: value})


def test_neither_scales_nor_sizes_are_refused() -> None:
    with pytest.raises(Unsupported, match="expected scales or sizes, got neither"):
        run_node("Resize", X, None, floats(), opset=13)
    with pytest.raises(Unsupported, match="expected scales or sizes, got neither"):
        run_node("Resize", X, opset=13)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"mode": "linear"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ],
)
def test_channels_stay_last_where_pixels_double(attributes: dict[str, str]) -> None:
    scales = floats(1, 1, 2, 2)
    node = read_node(make_model("Resize", [X, None, scales], 1, 17, attributes))
    x = torch.from_numpy(X).contiguous(memory_format=torch.channels_last)
    assert run_resize(node, x, None, torch.from_numpy(scales)).is_contiguous(memory_format=torch.channels_last)
