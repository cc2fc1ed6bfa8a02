import numpy as np
import pytest
from nodes import check_node, numbers, run_node, whole

from sightline.core.errors import Unsupported

X = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("indices", [0, -1, [1, 0], [[0, -2], [1, 1]]])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_slices_are_gathered(axis: int, indices: object, dtype: type) -> None:
    check_node("Gather", X, np.array(indices, dtype), axis=axis)


def test_slices_of_whole_numbers_are_gathered() -> None:
    check_node("Gather", whole(5, 6, 7), np.asarray(-1))
    check_node("Gather", np.array([True, False]), whole(1, 0), opset=7)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_elements_are_gathered(axis: int) -> None:
    check_node("GatherElements", X, np.random.default_rng(1).integers(-2, 2, (2, 2, 4)), axis=axis)


@pytest.mark.parametrize(
    ("indices", "batch_dims"),
    [
        ([[0, 1], [1, -1]], 0),
        ([[1], [0]], 0),
        ([[[0, 1, 2]], [[-1, -1, -1]]], 0),
        ([[2], [-3]], 1),
        ([[[0, 1], [1, 2]], [[2, 3], [-1, 0]]], 1),
        ([[[0], [1], [2]], [[3], [-1], [0]]], 2),
    ],
)
def test_places_are_gathered(indices: object, batch_dims: int) -> None:
    check_node("GatherND", X, np.array(indices), batch_dims=batch_dims, opset=13)


@pytest.mark.parametrize("indices", [[[0], [-1]], [[0, 2], [1, 0]], [[0, 1, 2], [1, 2, -1]]])
@pytest.mark.parametrize(("opset", "attributes"), [(13, {}), (16, {"reduction": "none"}), (16, {"reduction": "add"})])
def test_places_are_scattered(indices: list[list[int]], opset: int, attributes: dict[str, str]) -> None:
    check_node("ScatterND", X, np.array(indices), numbers(2, *X.shape[len(indices[0]) :]), opset=opset, **attributes)


def test_updates_of_one_place_are_all_added() -> None:
    check_node("ScatterND", X, whole(0, 0).reshape(2, 1), numbers(2, 3, 4), reduction="add")
    check_node("ScatterElements", X, np.zeros((2, 2, 4), np.int64), numbers(2, 2, 4), axis=1, reduction="add")


@pytest.mark.parametrize("axis", [0, -1])
def test_elements_are_scattered(axis: int) -> None:
    indices = np.array([[[1, -1, 0, 2]]]) if axis else np.array([[[0, -1, 1, 0]]])
    check_node("ScatterElements", X, indices, numbers(1, 1, 4), axis=axis)


@pytest.mark.parametrize("kind", ["ScatterND", "ScatterElements"])
def test_other_ways_to_join_updates_are_refused(kind: str) -> None:
    with pytest.raises(Unsupported, match=f"{kind} 'tested': expected reduction none or add, got mul"):
        run_node(kind, X, whole(0).reshape(1, 1, 1), numbers(1, 1, 1), reduction="mul")
