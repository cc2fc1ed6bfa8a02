import numpy as np
import pytest
from nodes import check_node, numbers, run_node
from onnx import TensorProto

from sightline.core.errors import Unsupported

ODD = np.array([-np.inf, -7.5, -2.5, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2.5, 7.5, np.inf, np.nan], np.float32)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Pow"])
@pytest.mark.parametrize("opset", [7, 12, 14])
def test_operands_are_broadcast(kind: str, opset: int) -> None:
    first, second = np.abs(numbers(2, 3, 4)) + 1, numbers(3, 1)
    check_node(kind, first, second, opset=opset)
    check_node(kind, np.abs(numbers(3, 1)), np.abs(numbers(2, 3, 4)) + 1, opset=opset)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_whole_numbers(kind: str, dtype: type) -> None:
    check_node(kind, np.array([7, -7, 7, -7, 0], dtype), np.array([2, 2, -2, -2, 5], dtype))


def test_division_by_zero() -> None:
    check_node("Div", ODD, np.zeros_like(ODD))


def test_powers_have_the_type_of_their_base() -> None:
    check_node("Pow", np.array([2, 3, -2], np.float32), np.array([3, 2, 2], np.int64))
    check_node("Pow", np.array([2, 3, 4], np.int64), np.array([3, 2, 2], np.int64))
    check_node("Pow", np.array([4, 9, 3], np.int32), np.array([0.5, 0.5, 2], np.float32))
    check_node("Pow", np.array([-8, 0, np.inf], np.float32), np.array([1 / 3, -1, 0], np.float32))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.int8])
@pytest.mark.parametrize("fmod", [0, 1])
def test_remainders_of_whole_numbers(dtype: type, fmod: int) -> None:
    check_node("Mod", np.array([7, -7, 7, -7, 6], dtype), np.array([3, 3, -3, -3, 3], dtype), fmod=fmod)


def test_remainders_of_fractions() -> None:
    a, b = np.array([7.5, -7.5, 7.5, -7.5], np.float32), np.array([2, 2, -2, -2], np.float32)
    check_node("Mod", a, b, fmod=1)


@pytest.mark.parametrize("kind", ["Sum", "Mean", "Min", "Max"])
@pytest.mark.parametrize("opset", [8, 13])
def test_any_number_of_operands(kind: str, opset: int) -> None:
    check_node(kind, numbers(3, 4), opset=opset)
    check_node(kind, numbers(3, 4), numbers(1, 4), numbers(2, 1, 1), opset=opset)
    check_node(kind, numbers(3, 4), numbers(3, 4), opset=7)


@pytest.mark.parametrize("kind", ["Min", "Max"])
def test_extremes_of_odd_numbers(kind: str) -> None:
    check_node(kind, ODD, ODD[::-1].copy())
    check_node(kind, np.array([3, -4], np.int64), np.array([2, 9], np.int64))


@pytest.mark.parametrize("kind", ["Neg", "Abs", "Floor", "Ceil", "Round", "Sign"])
def test_exact_functions(kind: str) -> None:
    check_node(kind, ODD[:-1], tolerance=0)


@pytest.mark.parametrize("kind", ["Neg", "Abs", "Sign"])
def test_functions_of_whole_numbers(kind: str) -> None:
    check_node(kind, np.array([-3, 0, 8], np.int64))


@pytest.mark.parametrize("kind", ["Sqrt", "Exp", "Log", "Reciprocal", "Erf", "Floor", "Ceil", "Round", "Abs", "Neg"])
def test_functions_of_odd_numbers(kind: str) -> None:
    check_node(kind, ODD)


@pytest.mark.parametrize("kind", ["Sqrt", "Exp", "Log", "Reciprocal", "Erf", "Sin", "Cos"])
def test_functions(kind: str) -> None:
    check_node(kind, np.abs(numbers(3, 4)) + 0.1)


def test_choices() -> None:
    condition = np.array([[True], [False]])
    check_node("Where", condition, numbers(3), numbers(2, 1))
    check_node("Where", condition, np.arange(3), np.full((2, 1), 7))


@pytest.mark.parametrize("kind", ["Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"])
def test_comparisons(kind: str) -> None:
    check_node(kind, ODD, np.roll(ODD, 1), opset=16)
    check_node(kind, ODD, ODD, opset=16)
    check_node(kind, np.array([[1], [2]], np.int64), np.array([1, 2, 3], np.int64), opset=16)


@pytest.mark.parametrize("kind", ["And", "Or", "Xor"])
def test_logic(kind: str) -> None:
    check_node(kind, np.array([True, True, False, False]), np.array([True, False, True, False]))


def test_negation() -> None:
    check_node("Not", np.array([True, False]))


def test_odd_numbers_are_told() -> None:
    check_node("IsNaN", ODD)
    for positive in (0, 1):
        for negative in (0, 1):
            check_node("IsInf", ODD, detect_positive=positive, detect_negative=negative)


@pytest.mark.parametrize(
    "to", [TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.DOUBLE, TensorProto.FLOAT16]
)
@pytest.mark.parametrize("opset", [9, 13])
def test_casts(to: int, opset: int) -> None:
    for x in (np.array([-2.7, -0.4, 0, 0.4, 2.7], np.float32), np.array([-3, 0, 5], np.int64), np.array([True, False])):
        check_node("Cast", x, to=to, opset=opset)


@pytest.mark.parametrize("to", [TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16, TensorProto.UINT16])
def test_casts_to_short_integers(to: int) -> None:
    check_node("Cast", np.array([0.9, 1.2, 100.9], np.float32), to=to)


@pytest.mark.parametrize("to", [TensorProto.UINT32, TensorProto.UINT64])
def test_casts_to_long_integers_without_a_sign(to: int) -> None:
    check_node("Cast", np.array([0.9, 1.2, 100.9], np.float32), to=to)


def test_casts_to_text_are_refused() -> None:
    with pytest.raises(Unsupported, match=r"Cast 'tested': expected a type of 1, 2, .*, got 8"):
        run_node("Cast", numbers(2), to=TensorProto.STRING)


def test_casts_to_another_tensors_type() -> None:
    check_node("CastLike", np.array([-2.7, 2.7], np.float32), np.zeros(1, np.int64))


def test_identity() -> None:
    check_node("Identity", numbers(2, 3))


@pytest.mark.parametrize("opset", [7, 10])
def test_dropout_drops_nothing(opset: int) -> None:
    check_node("Dropout", numbers(2, 3), opset=opset, ratio=0.9)
    check_node("Dropout", numbers(2, 3), opset=opset, outputs=2)


def test_dropout_by_inputs() -> None:
    ratio = np.asarray(np.float32(0.9))
    check_node("Dropout", numbers(2, 3), ratio, outputs=2, opset=13)
    check_node("Dropout", numbers(2, 3), ratio, np.asarray(False), opset=13)
    with pytest.raises(Unsupported, match="expected `training_mode` false, got true"):
        run_node("Dropout", numbers(2, 3), ratio, np.asarray(True), opset=13)
