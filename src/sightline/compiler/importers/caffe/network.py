"""From a prototxt to the layers that answer a request: one schema, one phase, one picture input, every tensor written once.

Caffe's layers may write over their input (top == bottom), and a blob's name then means several tensors in turn. Here each
writing is a `Value` of its own. Layers that only serve training, or that hand on their input unchanged, are taken out. Rules of
phases: `NetStateRule` in caffe.proto; a deployed net has phase TEST and stage "deploy".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sightline.compiler.importers.caffe.text import Fields, read_text
from sightline.compiler.importers.graph_writer import find_free_name
from sightline.core.errors import InvalidInput, Unsupported

# caffe.proto, V1LayerParameter.LayerType: those spelt otherwise than by joining their words
V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
DATA_TYPES = ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData", "AnnotatedData", "VideoData")
TRAINING_TYPES = ("Accuracy", "Silence", "HDF5Output", "DetectionEvaluate")
IDENTITY_TYPES = ("Dropout", "Split")
DEPLOY_STAGE = "deploy"
MOST_LAYERS = 10_000


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor of the running network: the `output`-th of a layer, written into a blob."""

    blob: str
    layer: str
    output: int


@dataclass(frozen=True)
class Layer:
    """A layer and what it reads and writes.

    Attributes:
        type: as caffe.proto names it in V2: "Convolution".
        fields: the layer's message.
        blobs: its weights, float32; empty until `attach_weights`.
    """

    name: str
    type: str
    fields: Fields
    reads: tuple[Value, ...] = ()
    writes: tuple[Value, ...] = ()
    blobs: tuple[np.ndarray, ...] = ()

    def param(self, name: str) -> Fields:
        """One of the layer's parameter messages, an empty one where it is absent."""
        return self.fields.child(name)


@dataclass(frozen=True)
class Network:
    """The layers of the TEST phase in running order.

    Attributes:
        name: of the net.
        picture: its input.
        picture_shape: channels, height, width as stated; None where the file does not say (a training net).
        batch: the batch axis as stated.
        transform: `transform_param` of the layer that brings pictures, None when there is none.
        layers: without data, training and identity layers.
        blobs: the value each blob has at the end, by name.
        notes: what was left out.
    """

    name: str
    picture: Value
    picture_shape: tuple[int, int, int] | None
    batch: int
    transform: Fields | None
    layers: tuple[Layer, ...]
    blobs: dict[str, Value]
    notes: tuple[str, ...]

    def unread(self) -> list[Value]:
        """The network's outputs: what no layer reads, in order of writing."""
        read = {value for layer in self.layers for value in layer.reads}
        return [value for layer in self.layers for value in layer.writes if value not in read]


@dataclass
class _Wiring:
    """What has been seen while walking the layers from the first to the last."""

    blobs: dict[str, Value] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    inputs: list[tuple[Value, tuple[int, ...] | None]] = field(default_factory=list)
    transform: Fields | None = None
    left_out: list[str] = field(default_factory=list)
    losses: list[tuple[float, Value]] = field(default_factory=list)


def read_network(content: bytes) -> Network:
    """Read a prototxt of any schema and phase.

    Raises: InvalidInput for a damaged file or a layer that reads what nobody writes; Unsupported for another number of inputs
        than one.
    """
    net = read_text(content)
    wiring = _Wiring()
    _wire_inputs(net, wiring)
    stages = {*net.child("state").texts("stage"), DEPLOY_STAGE}
    if len(net.children("layers")) + len(net.children("layer")) > MOST_LAYERS:
        raise InvalidInput(f"expected at most {MOST_LAYERS} layers, got more; this is no network")
    names: set[str] = set()
    for schema in ("layers", "layer"):
        for fields in net.children(schema):
            if _is_included(fields, stages):
                _wire_layer(_read_layer(fields, names, is_v1=schema == "layers"), wiring)
    return _close(net.text("name", "caffe"), wiring)


def prune_layers(layers: Sequence[Layer], outputs: Sequence[Value]) -> list[Layer]:
    """The layers that lead to one of the outputs, in their order."""
    needed, kept = set(outputs), []
    for layer in reversed(layers):
        if needed & set(layer.writes):
            kept.append(layer)
            needed |= set(layer.reads)
    return kept[::-1]


def attach_weights(layers: Sequence[Layer], weights: dict[str, tuple[np.ndarray, ...]]) -> list[Layer]:
    """Give each layer its blobs. Raises: InvalidInput when a blob holds infinities."""
    for layer in layers:
        if not all(np.isfinite(blob).all() for blob in weights.get(layer.name, ())):
            raise InvalidInput(f"the weights of layer {layer.name} are not all finite; the caffemodel is damaged")
    return [replace(layer, blobs=weights.get(layer.name, ())) for layer in layers]


def _wire_inputs(net: Fields, wiring: _Wiring) -> None:
    """The deprecated spelling of inputs, at the top of the file: `input` with four `input_dim` each, or an `input_shape`."""
    dims = net.integers("input_dim")
    shapes = [tuple(shape.integers("dim")) for shape in net.children("input_shape")]
    shapes = shapes or [tuple(dims[start : start + 4]) for start in range(0, len(dims), 4)]
    for index, name in enumerate(net.texts("input")):
        _add_input(wiring, name, name, shapes[index] if index < len(shapes) else None)


def _add_input(wiring: _Wiring, blob: str, layer: str, shape: tuple[int, ...] | None) -> None:
    value = Value(blob, layer, len(wiring.inputs))
    wiring.blobs[blob] = value
    wiring.inputs.append((value, shape))


def _read_layer(fields: Fields, names: set[str], is_v1: bool) -> Layer:
    """Name and type; a later layer of the same name gets a number, as Caffe allows both."""
    if "layer" in fields:
        raise Unsupported("this prototxt has the schema of 2013 (V0); upgrade it with Caffe's upgrade_net_proto_text")
    name, kind = fields.text("name"), fields.text("type")
    if not kind:
        raise InvalidInput(f"line {fields.line}: expected a layer with a type, got none for {name!r}; correct the prototxt")
    free = find_free_name(name, names)
    names.add(free)
    if is_v1:
        kind = V1_TYPES.get(kind, "".join(word.capitalize() for word in kind.split("_")))
    return Layer(free, kind, fields)


def _is_included(fields: Fields, stages: set[str]) -> bool:
    """Whether a layer belongs to the net of phase TEST, level 0 and these stages."""
    if included := fields.children("include"):
        return any(_meets(rule, stages) for rule in included)
    return not any(_meets(rule, stages) for rule in fields.children("exclude"))


def _meets(rule: Fields, stages: set[str]) -> bool:
    return (
        rule.text("phase", "TEST") in ("TEST", "1")
        and rule.integer("min_level", 0) <= 0 <= rule.integer("max_level", 0)
        and all(stage in stages for stage in rule.texts("stage"))
        and not any(stage in stages for stage in rule.texts("not_stage"))
    )


def _wire_layer(layer: Layer, wiring: _Wiring) -> None:
    tops, bottoms = layer.fields.texts("top"), layer.fields.texts("bottom")
    if layer.type == "Input" or layer.type in DATA_TYPES:
        _wire_source(layer, tops, wiring)
        return
    if missing := [blob for blob in bottoms if blob not in wiring.blobs]:
        raise InvalidInput(
            f"layer {layer.name} reads {', '.join(missing)}, which no layer before it writes; correct the prototxt"
        )
    reads = tuple(wiring.blobs[blob] for blob in bottoms)
    if layer.type in TRAINING_TYPES or layer.type.endswith("Loss"):
        wiring.left_out.append(f"{layer.name} ({layer.type})")
        if layer.type.endswith("Loss") and reads:
            wiring.losses.append((layer.fields.number("loss_weight", 1.0), reads[0]))
    elif layer.type in IDENTITY_TYPES and len(reads) == 1:
        wiring.blobs.update(dict.fromkeys(tops, reads[0]))
    else:
        writes = tuple(Value(top, layer.name, index) for index, top in enumerate(tops))
        wiring.blobs.update({value.blob: value for value in writes})
        wiring.layers.append(replace(layer, reads=reads, writes=writes))


def _wire_source(layer: Layer, tops: Sequence[str], wiring: _Wiring) -> None:
    """A layer that brings pictures: an Input, or a data layer of training, whose first top is the picture."""
    if wiring.transform is None:
        wiring.transform = _find_transform(layer)
    shapes = [tuple(shape.integers("dim")) for shape in layer.param("input_param").children("shape")]
    for index, top in enumerate(tops):
        shape = shapes[min(index, len(shapes) - 1)] if shapes else None
        if layer.type == "Input" or index == 0:
            _add_input(wiring, top, layer.name, shape)
        else:
            wiring.blobs[top] = Value(top, layer.name, index)  # labels
    if layer.type != "Input":
        wiring.left_out.append(f"{layer.name} ({layer.type})")


def _find_transform(layer: Layer) -> Fields | None:
    """`transform_param`, or the data parameters that held its fields before it existed."""
    for name in ("transform_param", "data_param", "image_data_param", "window_data_param"):
        param = layer.param(name)
        if name in layer.fields and (
            name == "transform_param" or any(key in param for key in ("scale", "mean_file", "crop_size"))
        ):
            return param
    return None


def _close(name: str, wiring: _Wiring) -> Network:
    read = {value for layer in wiring.layers for value in layer.reads}
    used = [(value, shape) for value, shape in wiring.inputs if value in read]
    if len(used) != 1:
        names = ", ".join(value.blob for value, _ in used) or "none"
        raise Unsupported(f"expected a network with one picture input, got {len(used)} ({names}); only such can be imported")
    layers, notes = _drop_auxiliary(wiring)
    picture, shape = used[0]
    if shape is not None and (len(shape) != 4 or min(shape) < 1):
        raise Unsupported(
            f"expected an input (batch, channels, height, width), got {picture.blob} {shape}; only such can be imported"
        )
    known = {picture, *(value for layer in layers for value in layer.writes)}
    if strangers := sorted({value.blob for layer in layers for value in layer.reads if value not in known}):
        raise Unsupported(f"layers that are no training read labels ({', '.join(strangers)}); name a deploy prototxt")
    if wiring.left_out:
        notes = (f"layers that serve only training were left out: {', '.join(wiring.left_out)}", *notes)
    sizes = None if shape is None else (shape[1], shape[2], shape[3])
    return Network(
        name=name,
        picture=picture,
        picture_shape=sizes,
        batch=shape[0] if shape else 1,
        transform=wiring.transform,
        layers=tuple(layers),
        blobs=wiring.blobs,
        notes=notes,
    )


def _drop_auxiliary(wiring: _Wiring) -> tuple[list[Layer], tuple[str, ...]]:
    """Without the side branches whose loss weighs less than the main one's: they only help training (GoogLeNet)."""
    heaviest = max((weight for weight, _ in wiring.losses), default=0.0)
    side = [value for weight, value in wiring.losses if weight < heaviest]
    if not side:
        return wiring.layers, ()
    read = {value for layer in wiring.layers for value in layer.reads}
    ends = [value for layer in wiring.layers for value in layer.writes if value not in read and value not in side]
    note = f"side outputs whose loss weighs less were left out: {', '.join(value.blob for value in side)}"
    return prune_layers(wiring.layers, ends), (note,)
