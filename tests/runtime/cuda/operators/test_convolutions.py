import numpy as np
import pytest
import torch
from nodes import check_node, make_model, numbers, read_node, run_node

from sightline.core.errors import Unsupported
from sightline.runtime.backends.cuda.operators.convolutions import run_conv

SIZES = {1: (9,), 2: (9, 8), 3: (5, 6, 7)}


@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("bias", [False, True])
def test_convolutions_of_each_rank(rank: int, bias: bool) -> None:
    x, weight = numbers(2, 4, *SIZES[rank]), numbers(6, 4, *[3] * rank)
    check_node("Conv", x, weight, *([numbers(6)] if bias else []))


@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [3, 2], "pads": [1, 1, 1, 1]},
        {"pads": [0, 2, 1, 0]},  # more before one axis, more behind the other
        {"pads": [1, 0, 1, 0], "strides": [2, 1]},
        {"dilations": [2, 3], "strides": [1, 2], "pads": [2, 3, 2, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 1]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [3, 3]},
        {"auto_pad": "VALID"},
        {"auto_pad": "NOTSET", "pads": [1, 1, 1, 1]},
    ],
)
@pytest.mark.parametrize("opset", [7, 11, 18])
def test_windows_lie_where_the_node_says(attributes: dict[str, object], opset: int) -> None:
    check_node("Conv", numbers(2, 3, 9, 8), numbers(4, 3, 3, 2), numbers(4), opset=opset, **attributes)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_a_window_that_fits_without_padding_gets_none(auto_pad: str) -> None:
    check_node("Conv", numbers(1, 1, 9, 9), numbers(2, 1, 1, 1), auto_pad=auto_pad, strides=[2, 2])


def test_convolutions_in_groups() -> None:
    check_node("Conv", numbers(2, 6, 7, 7), numbers(4, 3, 3, 3), group=2)
    check_node("Conv", numbers(2, 6, 7, 7), numbers(6, 1, 3, 3), group=6, pads=[1, 1, 1, 1])


@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 0, 1, 1]])
def test_channels_stay_last(pads: list[int]) -> None:
    arrays = numbers(2, 4, 8, 8), numbers(6, 4, 3, 3)
    node = read_node(make_model("Conv", arrays, 1, 17, {"pads": pads}))
    x, weight = (torch.from_numpy(array).contiguous(memory_format=torch.channels_last) for array in arrays)
    assert run_conv(node, x, weight).is_contiguous(memory_format=torch.channels_last)


def test_four_spatial_axes_are_refused() -> None:
    with pytest.raises(Unsupported, match="Conv 'tested': expected 1 to 3 spatial axes, got 4"):
        run_node("Conv", numbers(1, 1, 3, 3, 3, 3), numbers(1, 1, 1, 1, 1, 1))
    with pytest.raises(Unsupported, match="ConvTranspose 'tested'"):
        run_node("ConvTranspose", numbers(1, 1, 3, 3, 3, 3), numbers(1, 1, 1, 1, 1, 1))


@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("bias", [False, True])
def test_transposed_convolutions_of_each_rank(rank: int, bias: bool) -> None:
    x, weight = numbers(2, 4, *SIZES[rank]), numbers(4, 3, *[3] * rank)
    check_node("ConvTranspose", x, weight, *([numbers(3)] if bias else []), strides=[2] * rank)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1]},
        {"pads": [1, 0, 0, 1]},
        {"pads": [1, 1, 1, 1], "strides": [2, 2], "output_padding": [1, 1]},
        {"pads": [1, 0, 0, 1], "strides": [2, 3], "output_padding": [1, 2]},
        {"strides": [2, 2], "output_padding": [1, 0]},
        {"dilations": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [2, 2], "output_shape": [12, 11]},
        {"strides": [4, 5], "auto_pad": "SAME_UPPER"},  # further than the windows reach
        {"strides": [2, 2], "output_shape": [12, 11], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 3], "auto_pad": "VALID"},
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_transposed_windows_lie_where_the_node_says(attributes: dict[str, object], bias: bool) -> None:
    check_node("ConvTranspose", numbers(2, 4, 6, 5), numbers(4, 3, 3, 4), *([numbers(3)] if bias else []), **attributes)


def test_transposed_convolutions_in_groups() -> None:
    check_node("ConvTranspose", numbers(2, 6, 5, 5), numbers(6, 2, 2, 2), numbers(4), group=2, strides=[2, 2])
    check_node("ConvTranspose", numbers(2, 6, 5, 5), numbers(6, 2, 2, 2), numbers(4), group=2, pads=[1, 0, 0, 0])


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("c_shape", [None, (), (5,), (3, 1), (3, 5)])
def test_gemm(trans_a: int, trans_b: int, c_shape: tuple[int, ...] | None) -> None:
    a, b = numbers(4, 3) if trans_a else numbers(3, 4), numbers(5, 4) if trans_b else numbers(4, 5)
    c = [] if c_shape is None else [np.asarray(numbers(*c_shape), np.float32)]
    check_node("Gemm", a, b, *c, transA=trans_a, transB=trans_b, alpha=0.5, beta=2.0, opset=13)


def test_gemm_without_factors() -> None:
    check_node("Gemm", numbers(3, 4), numbers(4, 5), numbers(5), opset=7)
    check_node("Gemm", numbers(3, 4), numbers(4, 5), opset=11)


@pytest.mark.parametrize(
    ("first", "second"), [((9,), (9,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (6, 4, 5))]
)
def test_matrix_products(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    check_node("MatMul", numbers(*first), numbers(*second))


@pytest.mark.parametrize("equation", ["bij,bjk->bik", "bij , bjk -> bki", "bij,bjk", "...ij,...jk->...k"])
def test_einsum(equation: str) -> None:
    check_node("Einsum", numbers(2, 3, 4), numbers(2, 4, 5), equation=equation)
