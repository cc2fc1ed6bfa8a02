import numpy as np
import pytest
from nodes import check_node, numbers

SCALE = np.asarray(np.float32(0.5))
HALVES = np.array([-1000, -1.25, -0.75, -0.25, 0, 0.25, 0.75, 1.25, 3.3, 1000, np.inf, -np.inf], np.float32)


@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, 0), (np.int8, -3), (np.uint8, 0), (np.uint8, 128)])
@pytest.mark.parametrize("opset", [10, 13, 17])
def test_numbers_are_rounded_to_even_and_kept_within_the_type(dtype: type, zero: int, opset: int) -> None:
    check_node("QuantizeLinear", HALVES, SCALE, np.asarray(dtype(zero)), opset=opset)


def test_a_zero_point_left_out_is_0_of_uint8() -> None:
    check_node("QuantizeLinear", HALVES, SCALE)
    check_node("DequantizeLinear", np.array([0, 5, 255], np.uint8), SCALE)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_numbers_are_quantised_along_an_axis(axis: int | None, dtype: type) -> None:
    x = 20 * numbers(2, 3, 4)
    count = x.shape[1 if axis is None else axis]
    scale, zero = np.abs(numbers(count)) + np.float32(0.05), np.arange(count).astype(dtype)
    attributes = {} if axis is None else {"axis": axis}
    (y,) = check_node("QuantizeLinear", x, scale, zero, **attributes)
    check_node("DequantizeLinear", y, scale, zero, **attributes)
    check_node("DequantizeLinear", y, scale, **attributes)


@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, -128), (np.uint8, 255), (np.int32, 0)])
@pytest.mark.parametrize("opset", [10, 13])
def test_integers_become_numbers(dtype: type, zero: int, opset: int) -> None:
    limits = np.iinfo(dtype)
    x = np.array([limits.min, -1 if limits.min else 1, 0, 7, limits.max], dtype)
    check_node("DequantizeLinear", x, SCALE, np.asarray(dtype(zero)), opset=opset)


@pytest.mark.parametrize("values", [(-3, 5, 1.5), (2, 5, 0), (-2, -5, -0.5), (0, 0, 0)])
def test_numbers_choose_their_scale(values: tuple[float, ...]) -> None:
    check_node("DynamicQuantizeLinear", np.array(values, np.float32), outputs=3)


def test_one_number_is_quantised_and_back() -> None:
    check_node("QuantizeLinear", np.asarray(np.float32(3.3)), SCALE, np.asarray(np.uint8(1)))
    check_node("DequantizeLinear", np.asarray(np.uint8(9)), SCALE, np.asarray(np.uint8(1)))
