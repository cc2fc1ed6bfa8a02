import numpy as np
import pytest
from nodes import check_node, numbers, whole

KINDS = ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
NEED_ABOVE_0 = ("LogSum",)


def make_input(kind: str, *shape: int) -> np.ndarray:
    x = numbers(*shape)
    return np.abs(x) + np.float32(0.1) if kind in NEED_ABOVE_0 else x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("axes", "opset"),
    [(axes, opset) for axes in (None, [0], [1, 2]) for opset in (7, 11, 13, 18)]
    + [(axes, opset) for axes in ([-1], [-1, 0]) for opset in (11, 13, 18)],
)
@pytest.mark.parametrize("keepdims", [None, 0, 1])
def test_reductions(kind: str, axes: list[int] | None, keepdims: int | None, opset: int) -> None:
    attributes = {} if keepdims is None else {"keepdims": keepdims}
    x = make_input(kind, 2, 3, 4)
    if axes is None or opset < (13 if kind == "Sum" else 18):
        check_node(f"Reduce{kind}", x, opset=opset, **attributes, **({} if axes is None else {"axes": axes}))
    else:
        check_node(f"Reduce{kind}", x, whole(*axes), opset=opset, **attributes)


@pytest.mark.parametrize("kind", ["Sum", "Max", "Mean"])
def test_no_axes_are_all_or_none(kind: str) -> None:
    x = make_input(kind, 2, 3)
    for noop in (0, 1):
        check_node(f"Reduce{kind}", x, opset=18, noop_with_empty_axes=noop)
        check_node(f"Reduce{kind}", x, whole(), opset=18, noop_with_empty_axes=noop, keepdims=0)


@pytest.mark.parametrize("kind", ["Mean", "Sum", "Max", "Min", "Prod", "L1", "SumSquare"])
def test_reductions_of_whole_numbers(kind: str) -> None:
    check_node(f"Reduce{kind}", np.array([[3, -4, 2], [-7, 5, 1]], np.int32), axes=[1], opset=11)


@pytest.mark.parametrize("kind", ["Mean", "Sum", "Max", "Prod", "L2"])
def test_reductions_of_one_number(kind: str) -> None:
    check_node(f"Reduce{kind}", np.asarray(np.float32(-3)))
    check_node(f"Reduce{kind}", np.asarray(np.float32(-3)), keepdims=0)


def test_logarithms_of_sums_of_great_exponentials() -> None:
    check_node("ReduceLogSumExp", np.array([[1000, 999], [-1000, -1000]], np.float32), axes=[1])


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keepdims", [None, 0, 1])
@pytest.mark.parametrize("select_last_index", [0, 1])
def test_places_of_extremes(kind: str, axis: int | None, keepdims: int | None, select_last_index: int) -> None:
    x = np.array([[3, 1, 3, 1, 2], [1, 3, 1, 3, 2], [3, 1, 1, 3, 2]], np.float32)
    attributes = {"axis": axis, "keepdims": keepdims}
    stated = {name: value for name, value in attributes.items() if value is not None}
    check_node(kind, x, select_last_index=select_last_index, **stated)
    check_node(kind, x, opset=7, **({} if axis == -1 else stated))


def test_greatest_and_least() -> None:
    x = np.random.default_rng(3).permutation(60).astype(np.float32).reshape(3, 4, 5)
    check_node("TopK", x, k=3, outputs=2, opset=7)
    check_node("TopK", x, whole(3), outputs=2, opset=10, axis=1)
    for axis in (0, -1):
        for largest in (0, 1):
            check_node("TopK", x, whole(2), outputs=2, opset=11, axis=axis, largest=largest)


def test_greatest_of_whole_numbers() -> None:
    check_node("TopK", np.array([4, -9, 7, 1]), whole(2), outputs=2)


def test_greatest_in_any_order() -> None:
    check_node("TopK", np.array([4, 9, 7, 1], np.float32), whole(1), outputs=2, sorted=0)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sums(axis: int, exclusive: int, reverse: int) -> None:
    for x in (numbers(3, 4), np.arange(12, dtype=np.int32).reshape(3, 4)):
        check_node("CumSum", x, np.asarray(axis), exclusive=exclusive, reverse=reverse)


def test_a_running_sum_without_itself_is_not_spoilt_by_infinity() -> None:
    check_node("CumSum", np.array([1, np.inf, 2], np.float32), np.asarray(0), exclusive=1)
