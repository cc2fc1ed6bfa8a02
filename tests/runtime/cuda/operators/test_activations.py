import numpy as np
import pytest
from nodes import check_node, numbers

SPREAD = np.array([-np.inf, -100, -25, -6, -3, -1, -0.3, -1e-4, 0, 1e-4, 0.3, 1, 2.9, 3, 6, 25, 80, np.inf], np.float32)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("Relu", {}),
        ("LeakyRelu", {}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("Elu", {}),
        ("Elu", {"alpha": 0.5}),
        ("Selu", {}),
        ("Selu", {"alpha": 1.2, "gamma": 0.7}),
        ("Celu", {}),
        ("Celu", {"alpha": 0.5}),
        ("Sigmoid", {}),
        ("HardSigmoid", {}),
        ("HardSigmoid", {"alpha": 0.5, "beta": 0.1}),
        ("HardSwish", {}),
        ("Tanh", {}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("ThresholdedRelu", {}),
        ("ThresholdedRelu", {"alpha": 0.3}),
    ],
)
def test_functions_of_each_number(kind: str, attributes: dict[str, float]) -> None:
    check_node(kind, SPREAD[1:-1], **attributes)
    check_node(kind, numbers(2, 3, 4, 5), **attributes)


@pytest.mark.parametrize("kind", ["Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus"])
def test_infinite_numbers(kind: str) -> None:
    check_node(kind, SPREAD)


@pytest.mark.parametrize("kind", ["Relu", "LeakyRelu", "Sigmoid", "Tanh"])
def test_what_is_no_number_stays_none(kind: str) -> None:
    (y,) = check_node(kind, np.array([np.nan, 1], np.float32))
    assert np.isnan(y[0])


def test_functions_of_later_opsets() -> None:
    check_node("Mish", SPREAD[1:-1], opset=18)
    check_node("Gelu", SPREAD[1:-1], opset=20)
    check_node("Gelu", SPREAD[1:-1], opset=20, approximate="tanh")


def test_relu_of_integers() -> None:
    check_node("Relu", np.array([-3, 0, 4], np.int32))


@pytest.mark.parametrize("shape", [(1,), (3, 1, 1), (2, 3, 4, 5)])
def test_slopes_are_broadcast(shape: tuple[int, ...]) -> None:
    check_node("PRelu", numbers(2, 3, 4, 5), numbers(*shape))


def test_clip_by_attributes() -> None:
    for bounds in ({}, {"min": -0.5}, {"max": 0.5}, {"min": -0.5, "max": 0.25}):
        check_node("Clip", SPREAD, opset=7, **bounds)


@pytest.mark.parametrize("opset", [11, 13])
def test_clip_by_inputs(opset: int) -> None:
    low, high = np.float32(-0.5), np.float32(0.25)
    for bounds in ([], [low], [None, high], [low, high]):
        check_node("Clip", SPREAD, *(None if one is None else np.asarray(one) for one in bounds), opset=opset)


def test_clip_between_crossed_bounds_gives_the_upper_one() -> None:
    (y,) = check_node("Clip", SPREAD, np.asarray(np.float32(2)), np.asarray(np.float32(1)))
    assert set(y) == {1}


def test_clip_keeps_what_is_no_number() -> None:
    x = np.array([np.nan, -9, 9, 0], np.float32)
    (y,) = check_node("Clip", x, np.asarray(np.float32(-1)), np.asarray(np.float32(1)))
    assert np.isnan(y[0])


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.int8])
def test_clip_of_integers(dtype: type) -> None:
    check_node("Clip", np.array([0, 5, 100], dtype), np.asarray(dtype(3)), np.asarray(dtype(9)))


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize(
    ("axis", "opset"),
    [(axis, opset) for axis in (None, 0, 1, 2, 3) for opset in (7, 11, 13, 17)]
    + [(axis, opset) for axis in (-1, -2) for opset in (11, 13, 17)],
)
def test_softmax_and_its_kin(kind: str, axis: int | None, opset: int) -> None:
    check_node(kind, 3 * numbers(2, 3, 4, 5), opset=opset, **({} if axis is None else {"axis": axis}))


@pytest.mark.parametrize("opset", [11, 13])
def test_hardmax_takes_the_first_of_equals(opset: int) -> None:
    check_node("Hardmax", np.array([[1, 3, 3, 0], [2, 2, 2, 2]], np.float32), opset=opset, axis=1)


def test_softmax_of_great_numbers() -> None:
    check_node("Softmax", np.array([[1000, 999, -1000], [-np.inf, 0, 1]], np.float32))
