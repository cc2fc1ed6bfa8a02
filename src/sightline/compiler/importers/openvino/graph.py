"""Turn an OpenVINO model into an ONNX graph: the one converter behind the OpenVINO and the TensorFlow importer.

OpenVINO's front ends have done the reading; here each operation of the model, in order, meets a small function that writes
its ONNX operators. The graph's input is NCHW. A model that takes NHWC starts with a Transpose, which cancels against the one
it brings along itself; its outputs of four axes are taken for maps and leave as NCHW too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from sightline.compiler.importers.graph_writer import BATCH, TO_NCHW, TO_NHWC, GraphWriter, find_free_name
from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.openvino import (
    ops_elementwise,
    ops_layers,
    ops_pooling,
    ops_shapes,
    quantised,
)
from sightline.compiler.importers.openvino.constants import Constants, Key, Node, Output, get_dimensions, get_type
from sightline.compiler.importers.openvino.context import Context
from sightline.compiler.importers.openvino.folding import find_folds, find_pads
from sightline.compiler.importers.openvino.input import (
    Model,
    Picture,
    clean_name,
    cut_outputs,
    find_picture,
    open_batch,
)
from sightline.core.errors import Unsupported
from sightline.core.manifests import Precision
from sightline.runtime.backends.openvino import find_output_name

CONVERTERS: dict[str, Callable[[Context, Any], str | list[str]]] = {
    **ops_elementwise.CONVERTERS,
    **ops_layers.CONVERTERS,
    **ops_pooling.CONVERTERS,
    **ops_shapes.CONVERTERS,
    **quantised.CONVERTERS,
}
ENDS = {"Parameter", "Result"}
WHOLE_TYPES = {
    "u8": onnx.TensorProto.UINT8,
    "i16": onnx.TensorProto.INT16,
    "u16": onnx.TensorProto.UINT16,
    "i32": onnx.TensorProto.INT32,
    "u32": onnx.TensorProto.UINT32,
    "i64": onnx.TensorProto.INT64,
}


@dataclass(frozen=True)
class ConvertedModel:
    """What came of an OpenVINO model.

    Attributes:
        graph: the ONNX graph, opset 17.
        model: the model it was made from: open batch, fixed picture, wanted outputs, in the file's layout.
        picture: its input.
        outputs: names of the graph's outputs in the order of the model's, and whether each is to be transposed to NCHW.
        precision: "int8" when activations are quantised.
        notes: what a careful user should know.
    """

    graph: onnx.ModelProto
    model: Model
    picture: Picture
    outputs: tuple[tuple[str, bool], ...]
    precision: Precision
    notes: tuple[str, ...]


def convert_model(model: Model, options: ImportOptions, name: str) -> ConvertedModel:
    """Convert a model that a front end has read.

    Raises: Unsupported for operations, inputs or batches we cannot carry over; InvalidInput and NotFound for options that do
        not fit.
    """
    cut = cut_outputs(model, options.outputs)
    picture = find_picture(cut, options)
    _check_types(list_picture_nodes(cut))
    prepared = open_batch(cut, picture)
    nodes = list_picture_nodes(prepared)
    outputs = name_outputs(prepared, picture)
    context = _make_context(prepared, nodes, outputs, name)
    _write_input(context, prepared, picture)
    folded = _list_folded(context)
    for node in nodes:
        if node.get_type_name() not in ENDS and node.get_name() not in folded:
            _write_node(context, node)
    shapes = _write_outputs(context, prepared, outputs)
    graph = context.writer.finish(shapes, doc=f"converted from {name}")
    is_quantised = any(node.op_type == "QuantizeLinear" for node in graph.graph.node)
    return ConvertedModel(graph, prepared, picture, outputs, "int8" if is_quantised else "fp32", tuple(context.notes))


def list_picture_nodes(model: Model) -> list[Node]:
    """The nodes that the picture's numbers reach, in order; what only its shape reaches is folded."""
    reached: set[str] = set()
    chosen = []
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        sources = [source.get_node().get_name() for source in node.input_values()]
        if kind == "Parameter" or (kind != "ShapeOf" and any(source in reached for source in sources)):
            reached.add(node.get_name())
            chosen.append(node)
    return chosen


def name_outputs(model: Model, picture: Picture) -> tuple[tuple[str, bool], ...]:
    """The name of each output, without TensorFlow's number, and whether it is a map in NHWC."""
    named: list[tuple[str, bool]] = []
    for output in model.outputs:
        stated = str(output.node.friendly_name).split("/sink_port_")[0]
        wanted = clean_name(find_output_name(output) if output.names and stated in output.names else stated)
        name = find_free_name(wanted, {one for one, _ in named} | {picture.name})
        named.append((name, picture.nhwc and len(get_dimensions(output)) == 4))
    return tuple(named)


def _check_types(nodes: Iterable[Node]) -> None:
    unknown = sorted({str(node.get_type_name()) for node in nodes} - set(CONVERTERS) - ENDS)
    if unknown:
        raise Unsupported(
            f"expected operations of a convolutional network, got {', '.join(unknown)}; "
            "name outputs in front of them to leave them out"
        )


def _make_context(model: Model, nodes: Sequence[Node], outputs: Sequence[tuple[str, bool]], name: str) -> Context:
    constants = Constants()
    labels: dict[Key, str] = {}
    for (label, is_nhwc), result in zip(outputs, model.get_results(), strict=True):
        source = result.input_value(0)
        if is_nhwc:
            source = _skip_transpose(source, constants)
        if source is not None and get_type(source) == "f32":
            labels.setdefault((source.get_node().get_name(), source.get_index()), label)
    return Context(GraphWriter(name), constants, find_folds(nodes, constants), find_pads(nodes, constants), labels)


def _skip_transpose(source: Output, constants: Constants) -> Output | None:
    """The NCHW map behind a Transpose to NHWC; None when it is none."""
    node = source.get_node()
    if node.get_type_name() != "Transpose":
        return None
    order = constants.read(node.input_value(1))
    return node.input_value(0) if order is not None and tuple(int(axis) for axis in order) == TO_NHWC else None


def _list_folded(c: Context) -> set[str]:
    """Nodes that others have taken in."""
    return {pad.get_name() for pad in c.pads.values()} | {name for fold in c.folds.values() for name in fold.taken}


def _write_input(c: Context, model: Model, picture: Picture) -> None:
    parameter = model.get_parameters()[0]
    name = c.writer.add_input(picture.name, (picture.channels, picture.height, picture.width))
    if (kind := get_type(parameter.output(0))) in WHOLE_TYPES:  # what it takes of a float is its whole part
        whole = c.writer.add("Cast", [name], name=f"{name}/whole", to=WHOLE_TYPES[kind])
        name = c.writer.add("Cast", [whole], name=f"{name}/float", to=onnx.TensorProto.FLOAT)
        c.notes.append(f"the network takes {kind} pictures: they come as float32 and are cast in its first layer")
    c.pictures.add(name)
    if picture.nhwc:
        source = name
        name = c.writer.add("Transpose", [source], name=f"{source}/nhwc", perm=list(TO_NHWC))
        c.transposed[name] = source, TO_NHWC
        c.pictures.add(name)
    c.values[parameter.get_name(), 0] = name


def _write_node(c: Context, node: Node) -> None:
    made = CONVERTERS[node.get_type_name()](c, node)
    last = c.get_last(node)
    for index, name in enumerate([made] if isinstance(made, str) else made):
        c.values[last.get_name(), index] = name


def _write_outputs(c: Context, model: Model, outputs: Sequence[tuple[str, bool]]) -> dict[str, tuple[str | int, ...]]:
    """Give each output its name, layout and type; returns their shapes."""
    shapes: dict[str, tuple[str | int, ...]] = {}
    for (label, is_nhwc), result in zip(outputs, model.get_results(), strict=True):
        shape, tensor = get_dimensions(result.output(0)), c.get(result, 0)
        if is_nhwc:
            shape = tuple(shape[axis] for axis in TO_NCHW)
            tensor = _write_map(c, tensor, label)
        if get_type(result.input_value(0)) not in ops_elementwise.FLOATS:
            tensor = c.writer.add("Cast", [tensor], name=label, to=onnx.TensorProto.FLOAT)
        if tensor != label:
            tensor = c.writer.add("Identity", [tensor], name=label)
        if tensor != label:
            raise Unsupported(f"two tensors of the network are named {label}; name other outputs")
        shapes[label] = (BATCH, *shape[1:])
    return shapes


def _write_map(c: Context, tensor: str, label: str) -> str:
    """(N, H, W, C) -> (N, C, H, W); the tensor it was transposed from where that is the same."""
    source, before = c.transposed.get(tensor, (tensor, (0, 1, 2, 3)))
    order = [before[axis] for axis in TO_NCHW]
    return source if order == [0, 1, 2, 3] else c.writer.add("Transpose", [source], name=label, perm=order)
