"""Bring an ONNX graph into our form, a small rewrite at a time: names, weights, types, constants, and where it ends.

Every function changes the model it is given and keeps the names of nodes and tensors that stay.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from sightline.compiler.importers.graph_writer import find_free_name, keep_needed
from sightline.compiler.importers.onnx.reading import MAX_TENSOR_ELEMENTS, iterate_nodes, iterate_tensors, one_line
from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.backends.onnxruntime import find_engine_errors

HALF_TYPES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
RANDOM_KINDS = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
LOOP_KINDS = {"Loop", "Scan", "SequenceMap"}  # may run for ever, and no picture network of fixed size needs them
MAX_FOLDED_ELEMENTS = 1 << 27  # 512 MB of float32
SCALAR_ATTRIBUTES = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
Shapes = dict[str, tuple[int, ...]]


def drop_weight_inputs(model: onnx.ModelProto) -> None:
    """Files up to IR 3 list weights among the inputs; an input nobody reads is none either."""
    weights = {tensor.name for tensor in model.graph.initializer}
    _replace(model.graph.input, [value for value in model.graph.input if value.name not in weights])
    drop_unread_inputs(model)


def drop_unread_inputs(model: onnx.ModelProto) -> None:
    """Drop the inputs that no node reads."""
    read = {name for node in iterate_nodes(model.graph) for name in node.input}
    _replace(model.graph.input, [value for value in model.graph.input if value.name in read])


def name_nodes(model: onnx.ModelProto) -> None:
    """Give nodes without a name, or with one that is taken, that of their first output, so that reports can speak of them."""
    counts = Counter(node.name for node in model.graph.node)
    taken = {name for name, count in counts.items() if count == 1}
    for node in model.graph.node:
        if node.name and counts[node.name] == 1:
            continue
        wanted = node.name or next(name for name in node.output if name)
        node.name = find_free_name(wanted, taken, "_")
        taken.add(node.name)


def refuse_loops(model: onnx.ModelProto, file_name: str) -> None:
    """Raises: Unsupported, naming the loops."""
    found = sorted({node.op_type for node in iterate_nodes(model.graph)} & LOOP_KINDS)
    if found:
        raise Unsupported(f"{file_name} holds loops ({', '.join(found)}): end the network before them by naming its outputs")


def cut_outputs(model: onnx.ModelProto, outputs: Sequence[str], file_name: str) -> None:
    """End the graph at these tensors, or at the first output of nodes of that name. Raises: InvalidInput."""
    if outputs:
        known = {name: name for node in model.graph.node for name in node.output if name}
        known = {node.name: node.output[0] for node in model.graph.node if node.name} | known
        if unknown := [name for name in outputs if name not in known]:
            own = ", ".join(value.name for value in model.graph.output)
            raise InvalidInput(f"{file_name} has no tensor {', '.join(unknown)}; its own outputs are {own}")
        stated = {value.name: value for value in [*model.graph.output, *model.graph.value_info]}
        ends = [known[name] for name in dict.fromkeys(outputs)]
        values = [stated.get(name, onnx.ValueInfoProto(name=name)) for name in ends]
        _replace(model.graph.output, values)
    drop_dead_nodes(model)


def drop_dead_nodes(model: onnx.ModelProto) -> None:
    """Drop nodes that no output needs, then weights that no node reads."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    _replace(graph.node, keep_needed(list(graph.node), outputs | find_captured(graph)))
    read = {name for node in iterate_nodes(graph) for name in node.input} | outputs
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in read])


def find_captured(graph: onnx.GraphProto) -> set[str]:
    """Tensors that only sub-graphs read."""
    read = {name for node in iterate_nodes(graph) for name in node.input}
    return read - {name for node in graph.node for name in node.input}


def drop_dropout(model: onnx.ModelProto) -> int:
    """Drop what does nothing in use (Dropout, Identity) unless an output or a sub-graph needs its name; returns how many."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    captured = find_captured(graph)
    read = outputs | {name for node in iterate_nodes(graph) for name in node.input}
    source: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = source.get(name, name)
        idle = node.op_type in ("Dropout", "Identity") and not read & set(node.output[1:])
        if idle and node.output[0] not in outputs | captured:
            source[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    _replace(graph.node, kept)
    return len(source)


def widen_halves(model: onnx.ModelProto) -> bool:
    """Turn every 16-bit float of a graph into float32: weights, casts, inputs and outputs; returns whether there was one."""
    widened = False
    for tensor in iterate_tensors(model.graph):
        if tensor.data_type in HALF_TYPES:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
            widened = True
    for node in iterate_nodes(model.graph):
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i in HALF_TYPES:
                attribute.i, widened = TensorProto.FLOAT, True
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type in HALF_TYPES:
            value.type.tensor_type.elem_type, widened = TensorProto.FLOAT, True
    if widened:
        del model.graph.value_info[:]
    return widened


def fold_constants(model: onnx.ModelProto, keep_kinds: frozenset[str]) -> int:
    """Compute what does not depend on the picture and store it as weights; returns how many nodes that replaced.

    Args:
        keep_kinds: operators to leave alone, with all that depends on them (the quantise pairs of a quantised file).

    Raises: InvalidInput when ONNX Runtime cannot compute them.
    """
    store_constant_nodes(model)
    nodes = _find_constant_nodes(model, keep_kinds)
    if not nodes:
        return 0
    made = {name for node in nodes for name in node.output if name}
    rest = [node for node in model.graph.node if not made & set(node.output)]
    ends = {name for node in rest for name in node.input} | {value.name for value in model.graph.output}
    wanted = [name for node in nodes for name in node.output if name in made & ends]
    for name, values in _compute(model, nodes, wanted).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    _replace(model.graph.node, rest)
    drop_dead_nodes(model)
    return len(nodes)


def infer_shapes(model: onnx.ModelProto) -> Shapes:
    """Sizes of every tensor whose sizes are all known."""
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.graph.initializer}
    for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
        tensor_type = value.type.tensor_type
        if tensor_type.HasField("shape") and all(dimension.HasField("dim_value") for dimension in tensor_type.shape.dim):
            shapes[value.name] = tuple(dimension.dim_value for dimension in tensor_type.shape.dim)
    return shapes


def check_sizes(shapes: Mapping[str, tuple[int, ...]], file_name: str) -> None:
    """Refuse a graph whose tensors no machine here holds. Raises: InvalidInput naming the first."""
    for name, shape in shapes.items():
        if any(size < 0 for size in shape) or math.prod(shape) > MAX_TENSOR_ELEMENTS:
            raise InvalidInput(
                f"{file_name} asks for a tensor {name} of {list(shape)} for one picture; it is damaged, fetch it again"
            )


def make_outputs_float(model: onnx.ModelProto) -> list[str]:
    """Cast outputs of other types to float32, keeping their names; returns those cast."""
    inferred = shape_inference.infer_shapes(model)
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.output}
    others = [name for name, kind in types.items() if kind not in (TensorProto.FLOAT, TensorProto.UNDEFINED)]
    for value in model.graph.output:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    for name in others:
        inner = f"{name}_as_{TensorProto.DataType.Name(types[name]).lower()}"
        rename_tensor(model, name, inner)
        model.graph.node.append(helper.make_node("Cast", [inner], [name], name=f"{name}_to_float", to=TensorProto.FLOAT))
    return others


def make_input_float(model: onnx.ModelProto, name: str, element_type: int) -> None:
    """Let the graph take float32 and cast it to what the file's first layer wants."""
    inner = f"{name}_as_{TensorProto.DataType.Name(element_type).lower()}"
    for node in model.graph.node:
        for place, read in enumerate(node.input):
            if read == name:
                node.input[place] = inner
    model.graph.node.insert(0, helper.make_node("Cast", [name], [inner], name=inner, to=element_type))
    for value in model.graph.input:
        value.type.tensor_type.elem_type = TensorProto.FLOAT


def rename_tensor(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename a tensor that a node makes, everywhere but in the list of outputs."""
    for node in iterate_nodes(model.graph):
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


def forget_shapes(model: onnx.ModelProto) -> None:
    """Drop stated shapes of everything but the inputs: they hold a fixed batch, and inference finds them again."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def store_constant_nodes(model: onnx.ModelProto) -> None:
    """Constant nodes become stored tensors."""
    kept = []
    for node in model.graph.node:
        values = _read_constant(node) if node.op_type == "Constant" else None
        if values is None:
            kept.append(node)
        else:
            values.name = node.output[0]
            model.graph.initializer.append(values)
    _replace(model.graph.node, kept)


def _read_constant(node: onnx.NodeProto) -> TensorProto | None:
    for attribute in node.attribute:
        if attribute.name == "value":
            return deepcopy(attribute.t)
        if attribute.name in SCALAR_ATTRIBUTES:
            return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), SCALAR_ATTRIBUTES[attribute.name]))
    return None


def _find_constant_nodes(model: onnx.ModelProto, keep_kinds: frozenset[str]) -> list[onnx.NodeProto]:
    """Nodes that need no input of the graph, whose results are known to be small enough to store."""
    shapes = infer_shapes(model)
    constant, found = {tensor.name for tensor in model.graph.initializer}, []
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        plain = node.op_type not in RANDOM_KINDS | keep_kinds and not any(
            attribute.HasField("g") or attribute.graphs for attribute in node.attribute
        )
        small = all(name in shapes and 0 <= math.prod(shapes[name]) <= MAX_FOLDED_ELEMENTS for name in node.output if name)
        if plain and small and all(name in constant for name in node.input if name) and not outputs & set(node.output):
            constant.update(name for name in node.output if name)
            found.append(node)
    return found


def _compute(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], wanted: Sequence[str]) -> dict[str, Any]:
    read = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in read]
    ends = [onnx.ValueInfoProto(name=name) for name in wanted]
    part = helper.make_model(
        helper.make_graph(nodes, "constants", [], ends, weights), opset_imports=model.opset_import, ir_version=model.ir_version
    )
    try:
        return dict(zip(wanted, open_unoptimised(part).run(list(wanted), {}), strict=True))
    except find_engine_errors() as error:
        raise InvalidInput(f"the network's own constants cannot be computed: {one_line(error)}") from error


def open_unoptimised(model: onnx.ModelProto) -> Any:
    """An ONNX Runtime session that changes nothing in the graph: what the file means, by the engine that defines it."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 4
    settings.intra_op_num_threads, settings.inter_op_num_threads = 2, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def _replace(field: Any, values: Sequence[Any]) -> None:
    kept = [deepcopy(value) for value in values]
    del field[:]
    field.extend(kept)
