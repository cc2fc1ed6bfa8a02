"""Free an ONNX graph from a fixed batch: where a file was exported for one picture, the graph then takes any number.

The one idea: infer all shapes twice, for the file's batch and for a multiple of it. An axis that grows with the batch carries
it. A Reshape keeps the order of elements, so the batch leaves it on the axis from which on as many elements lie as from the one
where it came in; where that axis should grow and does not, it is set to -1. What the rewrite cannot reach (an index into the
batch, say) shows when a batch of pictures is run against single ones, and is refused.
"""

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.compiler.importers.graph_writer import BATCH, find_free_name
from sightline.compiler.importers.onnx.forms import (
    Shapes,
    check_sizes,
    drop_dead_nodes,
    forget_shapes,
    infer_shapes,
    open_unoptimised,
)
from sightline.compiler.importers.onnx.picture import PictureInput, fix_input
from sightline.compiler.importers.onnx.reading import one_line
from sightline.compiler.importers.sizes import find_resize_factor
from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.backends.onnxruntime import find_engine_errors
from sightline.runtime.output_error import find_largest_error

GROWTH = 61  # a prime no network has as a size by chance together with the product it makes
SMALL_TENSOR = 64  # elements; shapes and scales are smaller, weights larger
MENDED = ("Reshape", "Expand", "Squeeze", "Resize")
MAX_ROW_ERROR = 1e-3  # relative to the largest magnitude; kernels may differ with the batch in the last digits only


def make_batch_dynamic(model: onnx.ModelProto, picture: PictureInput, file_name: str) -> list[str]:
    """Give the graph a symbolic batch, and its outputs their shapes; returns the nodes that were rewritten.

    Raises: Unsupported when pictures of a batch do not stay apart; InvalidInput when the graph cannot be run at all.
    """
    forget_shapes(model)
    batch, mended = picture.batch or 1, []
    check_sizes(_infer(model, picture, batch), file_name)
    for _ in range(len(model.graph.node)):
        changed = _mend_nodes(model, _infer(model, picture, batch), _infer(model, picture, batch * GROWTH), batch)
        if not changed:
            break
        mended += changed
    drop_dead_nodes(model)
    fix_input(model, picture, BATCH)
    forget_shapes(model)
    _state_outputs(model, check_rows(model, picture, file_name))
    return mended


def check_rows(model: onnx.ModelProto, picture: PictureInput, file_name: str) -> dict[str, tuple[int, ...]]:
    """Run three random pictures together and alone; returns the shape of a row of each output.

    Raises: Unsupported unless every row of every output is what its picture alone gives; InvalidInput when it does not run.
    """
    pictures = np.random.default_rng(0).standard_normal((3, *picture.row_shape), dtype=np.float32)
    names = [value.name for value in model.graph.output]
    try:
        session = open_unoptimised(model)
        alone = [session.run(names, {picture.name: pictures[index : index + 1]}) for index in range(3)]
    except find_engine_errors() as error:
        raise InvalidInput(f"{file_name} does not run on one picture: {one_line(error)}; export it in float32") from error
    advice = "export it with a dynamic batch, or end the network earlier by naming its outputs"
    try:
        together = session.run(names, {picture.name: pictures})
    except find_engine_errors() as error:
        raise Unsupported(f"{file_name} takes one picture at a time: {one_line(error)}; {advice}") from error
    for place, name in enumerate(names):
        rows = [outputs[place] for outputs in alone]
        if any(row.shape[:1] != (1,) for row in rows) or together[place].shape != (3, *rows[0].shape[1:]):
            raise Unsupported(
                f"output {name} of {file_name} has no row for each picture: {list(rows[0].shape)} for one and "
                f"{list(together[place].shape)} for three; {advice}"
            )
        if find_largest_error(np.concatenate(rows), together[place]) > MAX_ROW_ERROR:
            raise Unsupported(f"output {name} of {file_name} mixes the pictures of a batch; {advice}")
    return {name: alone[0][place].shape[1:] for place, name in enumerate(names)}


def _state_outputs(model: onnx.ModelProto, rows: Mapping[str, tuple[int, ...]]) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *row]) for name, row in rows.items()]
    del model.graph.output[:]
    model.graph.output.extend(values)


def _infer(model: onnx.ModelProto, picture: PictureInput, batch: int) -> Shapes:
    """Shapes for a batch; large weights are left out of the copy that is inferred, only their shapes matter."""
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = "shapes"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > SMALL_TENSOR:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            light.graph.initializer.append(tensor)
    fix_input(light, picture, batch)
    return infer_shapes(light)


def _mend_nodes(model: onnx.ModelProto, one: Shapes, many: Shapes, batch: int) -> list[str]:
    """Rewrite the nodes at which the batch gets lost first on each path; returns their names."""
    stale: set[str] = set()
    mended = []
    for node in model.graph.node:
        if stale & set(node.input):
            stale.update(node.output)
        elif node.op_type in MENDED and _mend_node(model, node, one, many, batch):
            stale.update(node.output)
            mended.append(node.name)
    return mended


def _mend_node(model: onnx.ModelProto, node: onnx.NodeProto, one: Shapes, many: Shapes, batch: int) -> bool:
    source, target = one.get(node.input[0]), one.get(node.output[0])
    axis = find_batch_axis(source, many.get(node.input[0]))
    if source is None or axis is None:
        return False
    if node.op_type == "Squeeze":
        return _mend_squeeze(model, node, source, axis)
    if target is None:
        return False
    out_axis: int | None = axis + len(target) - len(source)  # Expand aligns shapes at their end; Resize keeps the axes
    if node.op_type == "Reshape":
        out_axis = trace_reshape(source, axis, target, batch)
    if out_axis is None or not 0 <= out_axis < len(target):
        return False
    right = find_batch_axis(target, many.get(node.output[0])) == out_axis
    shape_input = (
        node.input[3] if node.op_type == "Resize" and len(node.input) > 3 else node.input[1] if len(node.input) > 1 else ""
    )
    constant = any(tensor.name == shape_input for tensor in model.graph.initializer)
    if not shape_input or (right and constant):
        return False
    if node.op_type == "Resize":
        _set_scales(model, node, source, target, axis)
    else:
        free = -1 if node.op_type == "Reshape" else 1
        sizes = [free if place == out_axis else size for place, size in enumerate(target)]
        node.input[1] = _store(model, f"{node.output[0]}_shape", np.array(sizes, np.int64))
    return True


def find_batch_axis(one: tuple[int, ...] | None, many: tuple[int, ...] | None) -> int | None:
    """The only axis that grew with the batch."""
    if one is None or many is None or len(one) != len(many):
        return None
    grown = [axis for axis, (size, larger) in enumerate(zip(one, many, strict=True)) if size != larger]
    return grown[0] if len(grown) == 1 and many[grown[0]] == GROWTH * one[grown[0]] else None


def trace_reshape(source: tuple[int, ...], axis: int, target: tuple[int, ...], batch: int) -> int | None:
    """Axis on which the batch leaves a Reshape: as many elements lie from it on as from the axis it came in on.

    Example: trace_reshape((1, 48, 44, 44), 0, (24, 2, 44 * 44), 1) == 0
        trace_reshape((2, 24, 44 * 44), 1, (2, 1, 24, 44, 44), 1) == 1
    """
    behind = math.prod(source[axis:])
    fitting = (place for place, size in enumerate(target) if math.prod(target[place:]) == behind and size % batch == 0)
    return next(fitting, None)


def _mend_squeeze(model: onnx.ModelProto, node: onnx.NodeProto, source: tuple[int, ...], axis: int) -> bool:
    """A Squeeze without axes drops the batch of one picture: name the others."""
    if len(node.input) > 1 and node.input[1]:
        return False
    axes = [place for place, size in enumerate(source) if size == 1 and place != axis]
    del node.input[1:]
    node.input.append(_store(model, f"{node.output[0]}_axes", np.array(axes, np.int64)))
    return True


def _set_scales(
    model: onnx.ModelProto, node: onnx.NodeProto, source: tuple[int, ...], target: tuple[int, ...], axis: int
) -> None:
    """A Resize to sizes that hold the batch becomes one by factors; output sizes are floor(input size * factor)."""
    factors = np.ones(len(source), np.float32)
    for place, (before, after) in enumerate(zip(source, target, strict=True)):
        if place != axis:
            factors[place] = find_resize_factor(before, after)
    node.input[2] = _store(model, f"{node.output[0]}_scales", factors)
    del node.input[3:]


def _store(model: onnx.ModelProto, name: str, values: np.ndarray) -> str:
    taken = {tensor.name for tensor in model.graph.initializer} | {name for node in model.graph.node for name in node.output}
    free = find_free_name(name, taken, "_")
    model.graph.initializer.append(numpy_helper.from_array(values, free))
    return free
