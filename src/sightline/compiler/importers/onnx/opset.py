"""Bring an ONNX graph of any age to opset 17 or 18, up or down, with ONNX's own converter.

Upwards the converter's adapters keep the meaning. Downwards it drops nothing by itself: operators younger than opset 18 are
first replaced by the function their specification defines them with (Gelu, ...), and attributes that opset 18 lacks are dropped
where they stand at their default; what remains is refused by name.
"""

from copy import deepcopy

import onnx
from onnx import helper, shape_inference, version_converter

from sightline.compiler.graphs import LATEST_OPSET, STANDARD_DOMAINS, find_opset
from sightline.compiler.importers.graph_writer import IR_VERSION, OPSET
from sightline.compiler.importers.onnx.forms import drop_dead_nodes, forget_shapes, infer_shapes
from sightline.compiler.importers.onnx.reading import check_model, iterate_nodes, one_line
from sightline.core.errors import InvalidInput, Unsupported

FLATTENED_KINDS = ("Softmax", "LogSoftmax", "Hardmax")


def convert_opset(model: onnx.ModelProto, file_name: str) -> onnx.ModelProto:
    """The model with an opset every engine here reads, and IR 8. Raises: Unsupported, naming what stands in the way."""
    opset = find_opset(model)
    model.ir_version = IR_VERSION
    if OPSET <= opset <= LATEST_OPSET:
        return model
    if opset > LATEST_OPSET:
        model = _inline_young_operators(model, file_name, opset)
    forget_shapes(model)
    if opset < 7:
        _spread_old_broadcasts(model)
    target = OPSET if opset < OPSET else LATEST_OPSET
    try:
        converted = version_converter.convert_version(model, target)
    except (RuntimeError, ValueError, IndexError) as error:
        reason = f"which cannot be brought to {target}: {one_line(error)}"
        raise Unsupported(f"{file_name} has opset {opset}, {reason}; export it with opset {target}") from error
    if opset > target:
        _drop_young_attributes(converted, file_name, opset)
    converted.ir_version = IR_VERSION
    forget_shapes(converted)
    _simplify_softmax(converted)
    try:
        check_model(shape_inference.infer_shapes(converted), file_name)
    except InvalidInput as error:
        raise Unsupported(
            f"{file_name} has opset {opset} and no equal in {target}: {error}; export it with opset {target}"
        ) from error
    return converted


def _spread_old_broadcasts(model: onnx.ModelProto) -> None:
    """Until opset 6 a second operand was laid along `axis` of the first: give stored ones their trailing axes (numpy's rule).

    The converter does so with an Unsqueeze that counts the axes wrongly.
    """
    ranks = {name: len(shape) for name, shape in infer_shapes(model).items()}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in iterate_nodes(model.graph):
        axis = next((attribute for attribute in node.attribute if attribute.name == "axis"), None)
        laid = any(attribute.name == "broadcast" and attribute.i for attribute in node.attribute)
        if not laid or axis is None or node.input[1] not in weights or node.input[0] not in ranks:
            continue
        spread = deepcopy(weights[node.input[1]])
        spread.name = f"{spread.name}_along_{node.output[0]}"
        first = axis.i % ranks[node.input[0]]
        spread.dims.extend([1] * (ranks[node.input[0]] - first - len(spread.dims)))
        model.graph.initializer.append(spread)
        node.input[1] = spread.name
        node.attribute.remove(axis)


def _inline_young_operators(model: onnx.ModelProto, file_name: str, opset: int) -> onnx.ModelProto:
    from onnx import inliner

    for _ in range(4):  # a function's body may hold young operators itself
        young = {node.op_type for node in iterate_nodes(model.graph) if not _is_in_latest(node.op_type)}
        if not young:
            return model
        before = sum(1 for _ in iterate_nodes(model.graph))
        model = inliner.inline_selected_functions(model, [("", kind) for kind in sorted(young)], inline_schema_functions=True)
        if sum(1 for _ in iterate_nodes(model.graph)) == before:
            break
    raise Unsupported(
        f"{file_name} (opset {opset}) uses {', '.join(sorted(young))}, which opset {LATEST_OPSET} lacks; export with that"
    )


def _is_in_latest(kind: str) -> bool:
    try:
        onnx.defs.get_schema(kind, LATEST_OPSET, "")
    except onnx.defs.SchemaError:
        return False
    return True


def _drop_young_attributes(model: onnx.ModelProto, file_name: str, opset: int) -> None:
    for node in iterate_nodes(model.graph):
        if node.domain in STANDARD_DOMAINS and _is_in_latest(node.op_type):
            known = onnx.defs.get_schema(node.op_type, LATEST_OPSET, "").attributes
            own = onnx.defs.get_schema(node.op_type, opset, "").attributes
            for attribute in [attribute for attribute in node.attribute if attribute.name not in known]:
                default = own[attribute.name].default_value if attribute.name in own else None
                if default is None or default.SerializeToString() != attribute.SerializeToString():
                    raise Unsupported(
                        f"{file_name}: {node.op_type} {node.name!r} sets {attribute.name} (opset {opset}), which opset "
                        f"{LATEST_OPSET} lacks; export with opset {LATEST_OPSET}"
                    )
                node.attribute.remove(attribute)


def _simplify_softmax(model: onnx.ModelProto) -> None:
    """Undo Flatten - Softmax - Reshape where one axis does the same.

    Until opset 12 Softmax took all axes from `axis` on as one, and the converter says so with a Flatten; when only one of them
    is longer than 1, a Softmax along it is the same.
    """
    shapes = infer_shapes(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    for reshape in [node for node in model.graph.node if node.op_type == "Reshape"]:
        softmax, shape = makers.get(reshape.input[0]), makers.get(reshape.input[1])
        if softmax is None or softmax.op_type not in FLATTENED_KINDS:
            continue
        flatten = makers.get(softmax.input[0])
        if flatten is None or flatten.op_type != "Flatten" or shape is None or shape.op_type != "Shape":
            continue
        first = next((attribute.i for attribute in flatten.attribute if attribute.name == "axis"), 1)
        sizes = shapes.get(flatten.input[0], ())
        long = [axis for axis in range(first, len(sizes)) if sizes[axis] != 1] or [len(sizes) - 1]
        if shape.input[0] != flatten.input[0] or not sizes or len(long) != 1:
            continue
        plain = helper.make_node(
            softmax.op_type, [flatten.input[0]], [reshape.output[0]], name=softmax.name or reshape.output[0], axis=long[0]
        )
        reshape.CopyFrom(plain)
    drop_dead_nodes(model)
