import numpy as np
import pytest
from nodes import check_node, numbers, run_node

from sightline.core.errors import Unsupported


def positive(*shape: int) -> np.ndarray:
    return np.abs(numbers(*shape)) + np.float32(0.1)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 7), (2, 3, 4, 5), (2, 3, 2, 3, 4)])
@pytest.mark.parametrize("opset", [7, 9, 15])
def test_batch_normalisation(shape: tuple[int, ...], opset: int) -> None:
    check_node("BatchNormalization", numbers(*shape), numbers(3), numbers(3), numbers(3), positive(3), opset=opset)
    check_node("BatchNormalization", numbers(*shape), numbers(3), numbers(3), numbers(3), positive(3), epsilon=0.3)


def test_batch_normalisation_of_each_number() -> None:
    statistics = numbers(3, 4, 5), numbers(3, 4, 5), numbers(3, 4, 5), positive(3, 4, 5)
    check_node("BatchNormalization", numbers(2, 3, 4, 5), *statistics, opset=7, spatial=0)


def test_batch_normalisation_in_training_is_refused() -> None:
    arrays = numbers(2, 3, 4, 4), numbers(3), numbers(3), numbers(3), positive(3)
    for outputs, attributes in ((1, {"training_mode": 1}), (3, {})):
        with pytest.raises(Unsupported, match="BatchNormalization 'tested': expected inference, got training"):
            run_node("BatchNormalization", *arrays, outputs=outputs, **attributes)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 5), (2, 3, 2, 3, 4)])
def test_instance_normalisation(shape: tuple[int, ...]) -> None:
    check_node("InstanceNormalization", numbers(*shape), numbers(3), numbers(3))
    check_node("InstanceNormalization", numbers(*shape), numbers(3), numbers(3), epsilon=0.3)


def test_a_channel_of_one_pixel_is_its_bias() -> None:
    scale, bias = numbers(3), numbers(3)
    arrays = numbers(1, 3, 1, 1), scale, bias
    (y,) = check_node("InstanceNormalization", *arrays, tolerance=1e-4)  # numbers times 316 cancel
    np.testing.assert_allclose(y.reshape(-1), bias, atol=1e-4)


def test_group_normalisation() -> None:
    for attributes in ({}, {"epsilon": 0.3}):
        arrays = numbers(2, 6, 4, 5), numbers(2), numbers(2)
        check_node("GroupNormalization", *arrays, opset=18, num_groups=2, judge="onnx", **attributes)


def test_group_normalisation_by_channel() -> None:
    arrays = numbers(2, 6, 4, 5), numbers(6), numbers(6)
    check_node("GroupNormalization", *arrays, opset=21, num_groups=2, judge="onnx")


@pytest.mark.parametrize("axis", [None, -1, 1, 2, -2])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_layer_normalisation(axis: int | None, bias: bool, outputs: int) -> None:
    x = numbers(2, 3, 4, 5)
    shape = x.shape[-1 if axis is None else axis :]
    attributes = {} if axis is None else {"axis": axis, "epsilon": 0.3}
    check_node("LayerNormalization", x, numbers(*shape), *([numbers(*shape)] if bias else []), outputs=outputs, **attributes)


def test_layer_normalisation_broadcasts_scale_and_bias() -> None:
    x = numbers(2, 3, 4)
    check_node("LayerNormalization", x, numbers(1), judge="onnx")
    check_node("LayerNormalization", x, numbers(3, 4), numbers(1, 4), axis=1, judge="onnx")


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_normalisation(size: int) -> None:
    check_node("LRN", 10 * numbers(2, 7, 3, 4), size=size)
    check_node("LRN", 10 * numbers(2, 7, 3, 4), size=size, alpha=0.1, beta=0.5, bias=2.0)


def test_of_an_even_number_of_channels_more_lie_behind() -> None:
    x = numbers(1, 4, 1, 1)  # ONNX Runtime takes odd numbers only; so by hand
    (y,) = run_node("LRN", x, size=2, alpha=1.0, beta=1.0, bias=1.0)
    squares = np.append(x.reshape(-1) ** 2, 0)
    np.testing.assert_allclose(y.reshape(-1), x.reshape(-1) / (1 + (squares[:-1] + squares[1:]) / 2), rtol=1e-6)
