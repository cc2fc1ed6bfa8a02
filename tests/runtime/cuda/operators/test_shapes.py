import numpy as np
import pytest
import torch
from nodes import check_node, make_model, numbers, read_node, run_node, whole
from onnx import helper, numpy_helper

from sightline.core.errors import Unsupported
from sightline.runtime.backends.cuda.operators.shapes import run_shape, run_size

LAST = np.iinfo(np.int64).max
X = np.arange(2 * 5 * 6, dtype=np.float32).reshape(2, 5, 6)


@pytest.mark.parametrize("shape", [(2, 30), (0, -1), (-1,), (0, 0, -1, 3), (6, 10)])
@pytest.mark.parametrize("opset", [7, 13, 14])
def test_reshapes(shape: tuple[int, ...], opset: int) -> None:
    check_node("Reshape", X, whole(*shape), opset=opset)


def test_reshapes_that_allow_a_size_of_0() -> None:
    check_node("Reshape", numbers(2, 0, 3), whole(3, 0, 5), allowzero=1)
    check_node("Reshape", numbers(2, 0, 3), whole(0, 0, 4), allowzero=0)


@pytest.mark.parametrize("axis", [None, 0, 1, 3, -1])
def test_flattened_axes(axis: int | None) -> None:
    check_node("Flatten", X, **({} if axis is None else {"axis": axis}))


def test_transposed_axes() -> None:
    check_node("Transpose", X)
    check_node("Transpose", X, perm=[1, 2, 0])


@pytest.mark.parametrize("axis", [0, 2, -1, -2])
def test_concatenation(axis: int) -> None:
    shape = [2, 3, 4]
    shape[axis] = 5
    check_node("Concat", numbers(2, 3, 4), numbers(*shape), numbers(2, 3, 4), axis=axis)


def test_concatenation_of_whole_numbers() -> None:
    check_node("Concat", whole(1, 2), whole(3), whole(), axis=0, opset=7)


def test_splits_of_sizes() -> None:
    check_node("Split", X, outputs=3, axis=2, split=[1, 2, 3], opset=11)
    check_node("Split", X, whole(1, 4), outputs=2, axis=-2)
    check_node("Split", X, whole(5, 1), outputs=2, axis=2, opset=18)


def test_splits_of_one_size() -> None:
    check_node("Split", X, outputs=2, opset=7)
    check_node("Split", X, outputs=3, axis=2, opset=13)
    check_node("Split", X, outputs=3, axis=1, num_outputs=3, opset=18)  # 2, 2, 1


@pytest.mark.parametrize("opset", [7, 9])
def test_slices_by_attributes(opset: int) -> None:
    check_node("Slice", X, starts=[1], ends=[LAST], opset=opset)
    check_node("Slice", X, starts=[1, -3], ends=[-1, 100], axes=[1, 2], opset=opset)


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([1], [2], None, None),
        ([0, 1], [1, 4], None, None),
        ([1, -3], [-1, LAST], [1, 2], None),
        ([1], [3], [-1], None),
        ([0], [5], [1], [2]),
        ([1], [LAST], [2], [3]),
        ([-1], [-LAST], [2], [-1]),
        ([4], [0], [2], [-2]),
        ([100], [1], [2], [-3]),
        ([-1, 0], [-LAST, 5], [2, 1], [-2, 2]),
        ([3], [3], [1], None),
        ([4], [2], [1], None),
        ([2], [4], [1], [-1]),
        ([-100], [2], [1], [1]),
        ([7], [9], [1], [2]),
    ],
)
@pytest.mark.parametrize("opset", [10, 13])
def test_slices_by_inputs(
    starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None, opset: int
) -> None:
    rest = [None if numbers is None else whole(*numbers) for numbers in (axes, steps)]
    while rest and rest[-1] is None:
        rest.pop()
    check_node("Slice", X, whole(*starts), whole(*ends), *rest, opset=opset)


def test_slices_take_axes_in_their_order_and_default_to_the_first() -> None:
    check_node("Slice", X, whole(1, 2, dtype=np.int32), whole(2, 4, dtype=np.int32), None, whole(1, 2, dtype=np.int32))


@pytest.mark.parametrize("axes", [[0], [0, 2], [2, 0], None])
def test_axes_are_taken_away(axes: list[int] | None) -> None:
    x = numbers(1, 3, 1, 4)
    check_node("Squeeze", x, opset=11, **({} if axes is None else {"axes": axes}))
    check_node("Squeeze", x, *([] if axes is None else [whole(*axes)]))
    check_node("Squeeze", x, whole(-2))


@pytest.mark.parametrize("axes", [[0], [1, 3], [3, 0], [4, 2]])
def test_axes_are_put_in(axes: list[int]) -> None:
    check_node("Unsqueeze", X, opset=11, axes=axes)
    check_node("Unsqueeze", X, whole(*axes))
    check_node("Unsqueeze", X, whole(-1, 0))


@pytest.mark.parametrize("shape", [(2, 5, 6), (3, 1, 5, 1), (5, 6), (1,)])
def test_expansion_goes_both_ways(shape: tuple[int, ...]) -> None:
    check_node("Expand", numbers(5, 1), whole(*shape) if shape != (2, 5, 6) else whole(2, 5, 6))


def test_tiles() -> None:
    check_node("Tile", X, whole(2, 1, 3))
    check_node("Tile", np.asarray(np.float32(3)), whole())


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("pads", [[0, 1, 2, 0, 3, 1], [0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1]])
def test_borders(mode: str, pads: list[int]) -> None:
    check_node("Pad", X, opset=7, pads=pads, mode=mode)
    check_node("Pad", X, whole(*pads), opset=11, mode=mode)
    check_node("Pad", X, whole(*pads), opset=18, mode=mode)


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_negative_borders_cut(mode: str) -> None:
    check_node("Pad", X, whole(0, -1, 2, 0, 1, -2), mode=mode)
    check_node("Pad", X, whole(0, -1, -2, 0, -1, 0), mode=mode)


def test_a_border_of_a_cut_mirror_image_mirrors_what_is_left() -> None:
    (y,) = check_node("Pad", np.arange(5, dtype=np.float32), whole(-1, 2), mode="reflect", judge="reference")
    assert y.tolist() == [1, 2, 3, 4, 3, 2]


def test_a_border_as_deep_as_its_mirror_image() -> None:
    check_node("Pad", X, whole(0, 4, 0, 0, 4, 0), mode="reflect")


def test_borders_of_a_constant() -> None:
    check_node("Pad", X, opset=7, pads=[0, 1, 0, 0, 0, 1], value=2.5)
    check_node("Pad", X, whole(0, 1, 0, 0, 0, 1), np.asarray(np.float32(2.5)))
    check_node("Pad", X.astype(np.int64), whole(0, 1, 0, 0, 0, 1), np.asarray(7))
    check_node("Pad", X > 3, whole(0, 1, 0, 0, 0, 1), np.asarray(True))


def test_borders_of_some_axes() -> None:
    for mode in ("constant", "reflect", "edge"):
        check_node("Pad", X, whole(1, 2, 3, 0), None, whole(-1, 1), opset=18, mode=mode)


def test_other_borders_are_refused() -> None:
    with pytest.raises(Unsupported, match="Pad 'tested': expected mode constant, reflect or edge, got wrap"):
        run_node("Pad", X, whole(0, 0, 1, 0, 0, 1), opset=19, mode="wrap")


@pytest.mark.parametrize("bounds", [{}, {"start": 1}, {"end": -1}, {"start": -2, "end": 2}])
def test_shapes(bounds: dict[str, int]) -> None:
    check_node("Shape", X, **bounds)


def test_shapes_and_sizes_lie_in_the_hosts_memory() -> None:
    node = read_node(make_model("Shape", [X], 1, 17, {}))
    on_device = torch.zeros(2, 3, device="meta")
    assert run_shape(node, on_device).tolist() == [2, 3]
    assert run_size(node, on_device).tolist() == 6


def test_sizes() -> None:
    check_node("Size", X)


@pytest.mark.parametrize(
    "attributes",
    [
        {"value": numpy_helper.from_array(X)},
        {"value": numpy_helper.from_array(whole(1, 2))},
        {"value_float": 2.5},
        {"value_floats": [1.5, 2.5]},
        {"value_int": 3},
        {"value_ints": [3, 4]},
    ],
)
def test_constants(attributes: dict[str, object]) -> None:
    check_node("Constant", **attributes)


def test_constants_of_text_are_refused() -> None:
    with pytest.raises(Unsupported, match="Constant 'tested': expected numbers, got value_string"):
        run_node("Constant", value_string="word")


def test_constants_of_a_shape() -> None:
    check_node("ConstantOfShape", whole(2, 3))
    check_node("ConstantOfShape", whole(2, 3), value=helper.make_tensor("v", 7, [1], [5]))
    check_node("ConstantOfShape", whole(), value=helper.make_tensor("v", 1, [1], [0.5]))


@pytest.mark.parametrize("values", [(0, 10, 3), (0, 9, 3), (5, -5, -2), (3, 1, 1)])
def test_ranges(values: tuple[int, int, int]) -> None:
    check_node("Range", *(np.asarray(value) for value in values))
    check_node("Range", *(np.asarray(value / 2, np.float32) for value in values))


def test_depth_to_space() -> None:
    x = numbers(2, 12, 3, 5)
    check_node("DepthToSpace", x, blocksize=2, opset=7)
    check_node("DepthToSpace", x, blocksize=2, mode="DCR")
    check_node("DepthToSpace", x, blocksize=2, mode="CRD")


def test_space_to_depth() -> None:
    check_node("SpaceToDepth", numbers(2, 3, 4, 6), blocksize=2)
