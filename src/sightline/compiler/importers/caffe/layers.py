"""Caffe's layers by type: the function that writes each as ONNX nodes. A layer we lack is one function and one row here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from sightline.compiler.importers.caffe import arithmetic, shapes, windows
from sightline.compiler.importers.caffe.network import Layer, Network, Value
from sightline.compiler.importers.caffe.step import Step, Tensor
from sightline.compiler.importers.graph_writer import BATCH, GraphWriter
from sightline.core.errors import InvalidInput, Unsupported

LAYERS: dict[str, Callable[[Step], None]] = {
    "Convolution": windows.write_convolution,
    "DepthwiseConvolution": windows.write_convolution,
    "ConvolutionDepthwise": windows.write_convolution,
    "Deconvolution": windows.write_deconvolution,
    "Pooling": windows.write_pooling,
    "InnerProduct": windows.write_inner_product,
    "ChannelAffine": arithmetic.write_channel_affine,
    "Scale": arithmetic.write_scale,
    "Bias": arithmetic.write_bias,
    "LRN": arithmetic.write_lrn,
    "Normalize": arithmetic.write_normalize,
    "ReLU": arithmetic.write_relu,
    "ReLU6": arithmetic.write_relu6,
    "PReLU": arithmetic.write_prelu,
    "ELU": arithmetic.write_elu,
    "Swish": arithmetic.write_swish,
    "Clip": arithmetic.write_clip,
    "Sigmoid": arithmetic.write_plain,
    "TanH": arithmetic.write_plain,
    "AbsVal": arithmetic.write_plain,
    "BNLL": arithmetic.write_plain,
    "Power": arithmetic.write_power,
    "Exp": arithmetic.write_exp,
    "Log": arithmetic.write_log,
    "Eltwise": arithmetic.write_eltwise,
    "Softmax": arithmetic.write_softmax,
    "ArgMax": arithmetic.write_argmax,
    "Concat": shapes.write_concat,
    "Slice": shapes.write_slice,
    "Flatten": shapes.write_flatten,
    "Reshape": shapes.write_reshape,
    "Permute": shapes.write_permute,
    "Crop": shapes.write_crop,
    "ShuffleChannel": shapes.write_shuffle_channel,
    "Interp": shapes.write_interp,
    "Upsample": shapes.write_upsample,
}
FOLDED = ("BatchNorm",)  # turned into ChannelAffine before it is written
INPUT_COUNTS = {"Eltwise": None, "Concat": None, "Crop": 2, "Scale": None, "Bias": None, "Interp": None, "Upsample": None}


@dataclass(frozen=True)
class WrittenGraph:
    """The ONNX graph, and which tensor of it carries which value of the network."""

    graph: onnx.ModelProto
    tensors: Mapping[Value, Tensor]


def check_types(layers: Sequence[Layer]) -> None:
    """Raises: Unsupported naming every layer of a type that has no row above."""
    unknown = [f"{layer.name} ({layer.type})" for layer in layers if layer.type not in LAYERS and layer.type not in FOLDED]
    if unknown:
        raise Unsupported(f"the network has layers that cannot be imported: {', '.join(unknown)}")


def write_graph(
    network: Network, layers: Sequence[Layer], outputs: Sequence[Value], picture_shape: tuple[int, int, int]
) -> WrittenGraph:
    """Write the layers as an ONNX graph that ends at `outputs`.

    The last tensor written to a blob has the blob's name; one that an in-place layer writes over later has "BLOB@LAYER".

    Args:
        layers: with weights, folded, in running order.
        picture_shape: channels, height, width of the input.
    """
    writer = GraphWriter(network.name)
    picture = Tensor(writer.add_input(network.picture.blob, picture_shape), picture_shape)
    tensors = {network.picture: picture}
    last = {value.blob: value for layer in layers for value in layer.writes}
    for layer in layers:
        names = [value.blob if last[value.blob] is value else f"{value.blob}@{value.layer}" for value in layer.writes]
        step = Step(writer, layer, [tensors[value] for value in layer.reads], names, network.batch)
        _check_inputs(step)
        LAYERS[layer.type](step)
        if len(step.outputs) != len(layer.writes):
            raise step.wrong(f"it writes {len(layer.writes)} tensors where {len(step.outputs)} are expected")
        tensors.update(zip(layer.writes, step.outputs, strict=True))
    ends: dict[str, Sequence[int | str]] = {tensors[value].name: (BATCH, *tensors[value].shape) for value in outputs}
    if picture.name in ends:
        raise InvalidInput(f"the input {picture.name} cannot be an output; name the output of a layer")
    return WrittenGraph(writer.finish(ends, doc=f"{network.name}, imported from Caffe"), tensors)


def _check_inputs(step: Step) -> None:
    """Raises: InvalidInput for a layer that reads more or fewer tensors than its type takes."""
    expected = INPUT_COUNTS.get(step.layer.type, 1)
    if not step.inputs or (expected is not None and len(step.inputs) != expected):
        raise step.wrong(f"it reads {len(step.inputs)} tensors where {expected or 'some'} are expected")
