"""Write a Keras model as an ONNX graph: settle what the whole network decides, then let each call's layer write its nodes.

Two things are planned before: a BatchNormalization that alone reads a layer with a kernel becomes part of that kernel, and
zeros around a picture that one unpadded convolution alone reads become its padding.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import onnx

from sightline.compiler.importers.graph_writer import BATCH, GraphWriter
from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.keras import activations, convolutions, norms, pooling, shapes
from sightline.compiler.importers.keras.activations import is_linear
from sightline.compiler.importers.keras.calls import Call, Program, list_calls
from sightline.compiler.importers.keras.config import Model
from sightline.compiler.importers.keras.graph import (
    NO_PADS,
    PICTURE_RANK,
    GraphBuild,
    LayerCall,
    Pads,
    Tensor,
)
from sightline.compiler.importers.keras.norms import read_norm
from sightline.compiler.importers.keras.weights import Weights
from sightline.core.errors import InvalidInput, Unsupported

LAYERS: dict[str, Callable[[GraphBuild, LayerCall], Tensor]] = {
    **activations.LAYERS,
    **convolutions.LAYERS,
    **norms.LAYERS,
    **pooling.LAYERS,
    **shapes.LAYERS,
}
MAX_SIDE = 1 << 15
PADDED = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")  # layers that can take a ZeroPadding2D in front of them


@dataclass(frozen=True)
class KerasTensor:
    """Where the source has a tensor of the graph.

    Attributes:
        output: which of the model's outputs it is, or None.
        layer: path of the layer that makes it, when it is called once; None otherwise.
        axes: order that turns Keras's axes into the graph's.
    """

    output: int | None
    layer: str | None
    axes: tuple[int, ...]


@dataclass(frozen=True)
class KerasNetwork:
    """A written network.

    Attributes:
        tensors: where the source has each tensor of the graph, by name.
        input_axes: order that turns the graph's input axes into Keras's.
        shape: (C, H, W) of the input.
    """

    graph: onnx.ModelProto
    program: Program
    tensors: dict[str, KerasTensor]
    input_axes: tuple[int, ...]
    shape: tuple[int, int, int]
    notes: tuple[str, ...]


@dataclass
class _Plan:
    """What calls take over from their neighbours, by the tensor they make."""

    norms: dict[int, Call] = field(default_factory=dict)  # kernel's output -> the BatchNormalization behind it
    pads: dict[int, Pads] = field(default_factory=dict)  # convolution's output -> the zeros in front of it
    skipped: set[int] = field(default_factory=set)


def write_network(model: Model, weights: Weights, version: tuple[int, int], options: ImportOptions) -> KerasNetwork:
    """The ONNX graph of a model.

    Raises: Unsupported for layers we cannot carry over, all of them named; InvalidInput where weights, configuration and
    options contradict each other.
    """
    program = list_calls(model)
    _check_layers(program)
    channels_last = _find_data_format(program)
    inputs = [call for call in program.calls if call.layer.kind == "InputLayer"]
    if len(inputs) != 1:
        raise Unsupported(f"expected a network with one picture input, got {len(inputs)}: {', '.join(c.path for c in inputs)}")
    shape = _read_input_shape(inputs[0], channels_last, options)
    build = GraphBuild(GraphWriter(model.name), channels_last, version)
    ends = _find_outputs(program, options)
    tensors = _write_calls(build, program, ends, weights, shape)
    return _finish(build, program, tensors, ends, shape, version)


def _check_layers(program: Program) -> None:
    known = {*LAYERS, "InputLayer"}
    missing = {call.path: call.layer.kind for call in program.calls if call.layer.kind not in known}
    if missing:
        named = ", ".join(f"{path} ({kind[:80]})" for path, kind in list(missing.items())[:30])
        raise Unsupported(f"{len(missing)} layers are not supported: {named}; end the graph before them or replace them")


def _find_data_format(program: Program) -> bool:
    """Whether pictures are channels-last, which all layers must agree on."""
    formats = {str(call.layer.settings.get("data_format", "channels_last")) for call in program.calls if _has_format(call)}
    if not formats <= {"channels_last", "channels_first"} or len(formats) > 1:
        raise Unsupported(f"expected channels_last or channels_first for all layers, got {', '.join(sorted(formats))}")
    return formats != {"channels_first"}


def _has_format(call: Call) -> bool:
    return call.layer.settings.get("data_format") is not None and call.layer.kind != "Flatten"


def _read_input_shape(call: Call, channels_last: bool, options: ImportOptions) -> tuple[int, int, int]:
    """(C, H, W) of the input, with what the options add where the file leaves a size open."""
    stated = call.layer.settings.get("batch_shape")
    if not isinstance(stated, list) or len(stated) != PICTURE_RANK + 1:
        raise Unsupported(f"expected a picture input (batch, H, W, C), got {call.path} of shape {stated}")
    height, width, channels = stated[1:] if channels_last else (stated[2], stated[3], stated[1])
    sizes = []
    for key, size, wish in (
        ("channels", channels, options.channels),
        ("height", height, options.height),
        ("width", width, options.width),
    ):
        if size is None and wish is None:
            raise InvalidInput(f"the network takes pictures of any {key}; state the {key} to import it with")
        if size is not None and wish is not None and size != wish:
            raise InvalidInput(f"expected {key} {size}, as the file has it, got {wish}; leave it out")
        chosen = size if size is not None else wish
        if not isinstance(chosen, int) or not 0 < chosen <= MAX_SIDE:
            raise InvalidInput(f"expected input sizes from 1 to {MAX_SIDE}, got {stated}")
        sizes.append(chosen)
    if sizes[0] not in (1, 3):
        raise Unsupported(f"expected pictures of 1 or 3 channels, got {sizes[0]} in {call.path}")
    return sizes[0], sizes[1], sizes[2]


def _plan(program: Program, ends: list[int]) -> _Plan:
    """Which normalisations and paddings become part of a neighbour."""
    plan = _Plan()
    readers = Counter(value for call in program.calls for value in call.inputs if isinstance(value, int))
    readers.update(ends)
    by_output = {call.output: call for call in program.calls}
    for call in program.calls:
        source = by_output.get(int(call.inputs[0])) if len(call.inputs) == 1 and isinstance(call.inputs[0], int) else None
        if source is None or readers[source.output] > 1:
            continue
        if call.layer.kind == "BatchNormalization" and _takes_norm(source):
            plan.norms[source.output] = call
            plan.skipped.add(call.output)
        elif source.layer.kind == "ZeroPadding2D" and _takes_pads(call):
            plan.pads[call.output] = source.layer.settings.sides("padding")
            plan.skipped.add(source.output)
    return plan


def _takes_norm(source: Call) -> bool:
    """Whether nothing but a kernel's layer stands before a normalisation."""
    settings, kind = source.layer.settings, source.layer.kind
    return kind in convolutions.LAYERS and is_linear(source.path, settings.get("activation"))


def _takes_pads(call: Call) -> bool:
    return call.layer.kind in PADDED and call.layer.settings.text("padding", "valid").lower() == "valid"


def _write_calls(
    build: GraphBuild, program: Program, ends: list[int], weights: Weights, shape: tuple[int, int, int]
) -> dict[int, Tensor]:
    """Write all calls; returns the graph's tensor for each of theirs."""
    plan = _plan(program, ends)
    tensors: dict[int, Tensor] = {}
    for call in program.calls:
        if call.layer.kind == "InputLayer":
            tensors[call.output] = Tensor(build.writer.add_input(call.path, shape), shape)
        elif call.output in plan.skipped:
            tensors[call.output] = tensors[int(call.inputs[0])]
        else:
            inputs = tuple(tensors[value] if isinstance(value, int) else value for value in call.inputs)
            tensors[call.output] = LAYERS[call.layer.kind](build, _prepare(build, call, plan, inputs, weights))
    return tensors


def _prepare(build: GraphBuild, call: Call, plan: _Plan, inputs: tuple[Tensor | float, ...], weights: Weights) -> LayerCall:
    """A call with its arrays and what it takes over from its neighbours."""
    ready = LayerCall(
        call.name,
        call.layer.kind,
        call.layer.settings,
        inputs,
        weights.get(call.path, []),
        call.name,
        plan.pads.get(call.output, NO_PADS),
    )
    norm = plan.norms.get(call.output)
    if norm is None:
        return ready
    if not _is_over_channels(build, norm, ready):
        plan.skipped.discard(norm.output)
        return ready
    return replace(ready, output=norm.name, norm=read_norm(norm.path, norm.layer.settings, weights.get(norm.path, [])))


def _is_over_channels(build: GraphBuild, norm: Call, ready: LayerCall) -> bool:
    """Whether a normalisation scales what the layer in front of it has one kernel each for."""
    tensor, axis = ready.tensor(), norm.layer.settings.get("axis", -1)
    channels = build.find_axis(ready, tensor, -1) if ready.kind == "Dense" else 1
    return type(axis) is int and build.find_axis(ready, tensor, axis) == channels


def _finish(
    build: GraphBuild,
    program: Program,
    tensors: dict[int, Tensor],
    ends: list[int],
    shape: tuple[int, int, int],
    version: tuple[int, int],
) -> KerasNetwork:
    """Close the graph at the network's outputs, or at those asked for."""
    known = _locate(build, program, tensors)
    outputs: dict[str, tuple[int | str, ...]] = {}
    for end in ends:
        call = program.calls[end]
        ready = LayerCall(call.name, call.layer.kind, call.layer.settings, (), (), call.name)
        tensor = build.settle(ready, tensors[end])
        name = tensor.name
        if name != call.name or call.layer.kind == "InputLayer":
            name = build.writer.add("Identity", [tensor.name], name=ready.part("output"), output=call.name)
        outputs[name] = (BATCH, *tensor.shape)
        position = program.outputs.index(end) if end in program.outputs else None
        layer = call.path if program.uses[call.path] == 1 else None
        known[name] = KerasTensor(position, layer, _to_graph_axes(build, len(tensor.shape) + 1))
    graph = build.writer.finish(outputs, f"from a model of Keras {version[0]}.{version[1]}")
    input_axes = tuple(_to_graph_axes(build, PICTURE_RANK + 1).index(axis) for axis in range(PICTURE_RANK + 1))
    return KerasNetwork(graph, program, known, input_axes, shape, tuple(dict.fromkeys(build.notes)))


def _find_outputs(program: Program, options: ImportOptions) -> list[int]:
    """The tensors to end the graph at, each once."""
    if not options.outputs:
        return list(dict.fromkeys(program.outputs))
    by_path = {call.path: call.output for call in program.calls}
    unknown = [name for name in options.outputs if name not in by_path]
    if unknown:
        raise InvalidInput(f"expected outputs among the network's layers, got {', '.join(unknown)}")
    return list(dict.fromkeys(by_path[name] for name in options.outputs))


def _locate(build: GraphBuild, program: Program, tensors: dict[int, Tensor]) -> dict[str, KerasTensor]:
    """Where Keras has the graph's tensors that a layer called once makes; the last such layer for each."""
    found = {}
    for call in program.calls:
        tensor = tensors[call.output]
        became_padding = call.layer.kind == "ZeroPadding2D" and tensor.name != call.path
        if program.uses[call.path] == 1 and tensor.flat_of is None and not became_padding:
            found[tensor.name] = KerasTensor(None, call.path, _to_graph_axes(build, len(tensor.shape) + 1))
    return found


def _to_graph_axes(build: GraphBuild, rank: int) -> tuple[int, ...]:
    """Order of Keras's axes that gives the graph's: (N, H, W, C) -> (N, C, H, W)."""
    return tuple(sorted(range(rank), key=build.list_axes(rank).__getitem__))
