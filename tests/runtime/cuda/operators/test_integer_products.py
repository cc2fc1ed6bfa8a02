import numpy as np
import pytest
from nodes import check_node, run_node, whole

RNG = np.random.default_rng(5)
SCALES = np.asarray(np.float32(0.02)), np.asarray(np.float32(0.01)), np.asarray(np.float32(0.05))


def integers(dtype: type, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def zero(dtype: type, value: int = 3) -> np.ndarray:
    return np.asarray(dtype(value))


@pytest.mark.parametrize("attributes", [{}, {"pads": [0, 1, 1, 0], "strides": [2, 1]}])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_convolutions_of_integers(attributes: dict[str, object], dtype: type) -> None:
    x, weight = integers(np.uint8, 2, 3, 7, 6), integers(dtype, 4, 3, 3, 3)
    check_node("ConvInteger", x, weight, **attributes)
    check_node("ConvInteger", x, weight, zero(np.uint8, 120), **attributes)
    check_node("ConvInteger", x, weight, zero(np.uint8, 120), zero(dtype, 0 if dtype is np.int8 else 9), **attributes)


def test_sums_that_fp32_does_not_hold_are_exact() -> None:
    x, weight = np.full((1, 300, 2, 2), 255, np.uint8), np.full((1, 300, 1, 1), 255, np.uint8)
    x[0, 0] = 254
    weight[0, 1] = 253
    (y,) = check_node("ConvInteger", x, weight)
    assert y[0, 0, 0, 0] == 300 * 255 * 255 - 255 - 2 * 255  # above 2 ** 24, and odd
    (y,) = check_node("MatMulInteger", x[0, :, 0, :].T.copy(), weight[0, :, :, 0])
    assert y[0, 0] == 300 * 255 * 255 - 255 - 2 * 255


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kind", "weight_kind"), [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)])
def test_quantised_convolutions(per_channel: bool, bias: bool, kind: type, weight_kind: type) -> None:
    scale, weight_scale, y_scale = SCALES
    if per_channel:
        weight_scale = np.array([0.01, 0.02, 0.005, 0.04], np.float32)
    weight_zero = np.zeros(4, weight_kind) if per_channel else zero(weight_kind, 0)
    rest = [whole(500, -3000, 0, 90, dtype=np.int32)] if bias else []
    x, weight = integers(kind, 2, 6, 7, 6), integers(weight_kind, 4, 3, 3, 3)
    arrays = x, scale, zero(kind), weight, weight_scale, weight_zero, y_scale, zero(kind, 7), *rest
    check_node("QLinearConv", *arrays, group=2, pads=[1, 1, 1, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_matrix_products_of_integers(dtype: type) -> None:
    a, b = integers(np.uint8, 2, 3, 4), integers(dtype, 4, 5)
    check_node("MatMulInteger", a, b)
    check_node("MatMulInteger", a, b, zero(np.uint8, 120))
    check_node("MatMulInteger", a, b, zero(np.uint8, 120), zero(dtype))
    check_node("MatMulInteger", a, b, zero(np.uint8), whole(0, 1, 2, 3, 4, dtype=dtype))


def test_zero_points_for_each_row() -> None:
    a, b, zeros = integers(np.uint8, 3, 4), integers(np.uint8, 4, 5), whole(1, 2, 3, dtype=np.uint8)
    rows = [check_node("MatMulInteger", a[row : row + 1], b, np.asarray(zeros[row]))[0] for row in range(3)]
    (y,) = run_node("MatMulInteger", a, b, zeros)  # neither judge takes more than one
    np.testing.assert_array_equal(y, np.concatenate(rows))


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize(("kind", "other"), [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)])
def test_quantised_matrix_products(per_column: bool, kind: type, other: type) -> None:
    scale, b_scale, y_scale = SCALES
    b_zero = zero(other)
    if per_column:
        b_scale, b_zero = np.array([0.01, 0.02, 0.005, 0.04, 0.03], np.float32), np.full(5, 3, other)
    a, b = integers(kind, 2, 3, 4), integers(other, 4, 5)
    check_node("QLinearMatMul", a, scale, zero(kind), b, b_scale, b_zero, y_scale, zero(kind, 7))


def test_scales_for_each_row() -> None:
    a, b, scales = integers(np.uint8, 3, 4), integers(np.uint8, 4, 5), np.array([0.02, 0.01, 0.03], np.float32)
    zeros, rest = whole(1, 2, 3, dtype=np.uint8), (b, SCALES[1], zero(np.uint8), SCALES[2], zero(np.uint8, 7))
    rows = [
        check_node("QLinearMatMul", a[row : row + 1], np.asarray(scales[row]), np.asarray(zeros[row]), *rest)[0]
        for row in range(3)
    ]
    (y,) = run_node("QLinearMatMul", a, scales, zeros, *rest)
    np.testing.assert_array_equal(y, np.concatenate(rows))
