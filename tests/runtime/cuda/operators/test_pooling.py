import numpy as np
import pytest
import torch
from nodes import check_node, make_model, numbers, read_node, run_node

from sightline.core.errors import Unsupported
from sightline.runtime.backends.cuda.operators.pooling import run_average_pool, run_max_pool

SIZES = {1: (9,), 2: (9, 8), 3: (5, 6, 7)}
PLACED = [
    {"kernel_shape": [3, 3]},
    {"kernel_shape": [3, 2], "strides": [2, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 0]},
    {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]},  # more than PyTorch takes
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"},
    {"kernel_shape": [3, 3], "auto_pad": "VALID", "pads": [1, 1, 1, 1]},
]
CEILED = [
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [1, 1, 0, 0], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [0, 0, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [1, 1], "strides": [2, 2], "pads": [0, 0, 0, 0], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER", "ceil_mode": 1},
    {"kernel_shape": [2, 3], "strides": [2, 3], "auto_pad": "SAME_LOWER", "ceil_mode": 1},
]


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("rank", SIZES)
def test_pools_of_each_rank(kind: str, rank: int) -> None:
    check_node(kind, numbers(2, 3, *SIZES[rank]), kernel_shape=[2] * rank, strides=[2] * rank)


@pytest.mark.parametrize("attributes", PLACED)
@pytest.mark.parametrize("opset", [7, 10, 12])
def test_max_pools(attributes: dict[str, object], opset: int) -> None:
    check_node("MaxPool", numbers(2, 3, 9, 8) - 5, opset=opset, **attributes)  # below 0, where padding with 0 would win


@pytest.mark.parametrize("attributes", CEILED)
def test_max_pools_whose_last_window_reaches_out(attributes: dict[str, object]) -> None:
    check_node("MaxPool", numbers(2, 3, 9, 8) - 5, **attributes)


def test_dilated_max_pools() -> None:
    for pads in ([0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 2, 1]):
        check_node("MaxPool", numbers(2, 3, 9, 8), kernel_shape=[3, 2], dilations=[2, 3], pads=pads)
    check_node("MaxPool", numbers(2, 3, 9, 8), kernel_shape=[3, 2], dilations=[2, 3], strides=[3, 2], ceil_mode=1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_max_pools_of_integers(dtype: type) -> None:
    x = np.random.default_rng(1).integers(-100 if dtype is np.int8 else 0, 100, (1, 2, 6, 6)).astype(dtype)
    check_node("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    check_node("MaxPool", x, kernel_shape=[3, 3], pads=[1, 0, 0, 1])


def test_places_of_maxima_are_refused() -> None:
    with pytest.raises(Unsupported, match="MaxPool 'tested': expected one output"):
        run_node("MaxPool", numbers(1, 1, 4, 4), outputs=2, kernel_shape=[2, 2])


@pytest.mark.parametrize("counts_pads", [0, 1])
@pytest.mark.parametrize("attributes", PLACED)
@pytest.mark.parametrize("opset", [7, 11])
def test_average_pools(attributes: dict[str, object], counts_pads: int, opset: int) -> None:
    check_node("AveragePool", numbers(2, 3, 9, 8), opset=opset, count_include_pad=counts_pads, **attributes)


def test_padding_does_not_count_unless_stated() -> None:
    check_node("AveragePool", numbers(2, 3, 9, 8), kernel_shape=[3, 3], pads=[1, 1, 1, 1])


@pytest.mark.parametrize("counts_pads", [0, 1])
def test_what_the_last_window_reaches_beyond_the_padding_never_counts(counts_pads: int) -> None:
    windows = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0], "ceil_mode": 1}  # as far out as before
    check_node("AveragePool", numbers(2, 3, 9, 9), count_include_pad=counts_pads, **windows)


@pytest.mark.parametrize("counts_pads", [0, 1])
@pytest.mark.parametrize("attributes", CEILED)
def test_average_pools_whose_last_window_reaches_out(attributes: dict[str, object], counts_pads: int) -> None:
    check_node("AveragePool", numbers(2, 3, 9, 8), count_include_pad=counts_pads, **attributes)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_four_spatial_axes_are_refused(kind: str) -> None:
    with pytest.raises(Unsupported, match=f"{kind} 'tested': expected 1 to 3 spatial axes, got 4"):
        run_node(kind, numbers(1, 1, 3, 3, 3, 3), kernel_shape=[2, 2, 2, 2])


@pytest.mark.parametrize("attributes", PLACED[:7])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_norm_pools(attributes: dict[str, object], power: int) -> None:
    check_node("LpPool", numbers(2, 3, 9, 8), p=power, **attributes)


def test_norm_pools_of_opset_18() -> None:
    x = numbers(2, 3, 9, 8)
    check_node("LpPool", x, kernel_shape=[3, 2], dilations=[2, 3], opset=18)
    check_node("LpPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, opset=18)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("rank", SIZES)
def test_global_pools(kind: str, rank: int) -> None:
    check_node(kind, numbers(2, 3, *SIZES[rank]))


def test_global_norm_pool_of_another_power() -> None:
    check_node("GlobalLpPool", numbers(2, 3, 4, 4), p=3)


@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 0, 1, 1]])
@pytest.mark.parametrize("run", [run_max_pool, run_average_pool])
def test_channels_stay_last(run: object, pads: list[int]) -> None:
    x = numbers(2, 4, 8, 8)
    node = read_node(make_model("MaxPool", [x], 1, 17, {"kernel_shape": [3, 3], "pads": pads}))
    y = run(node, torch.from_numpy(x).contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
    assert y.is_contiguous(memory_format=torch.channels_last)
