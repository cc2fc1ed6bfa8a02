"""Fold BatchNorm, Scale and Bias layers into the convolution they follow, or into one another where there is none.

Each of the three is a factor s and a summand t per channel; a convolution with W' = s W and b' = s b + t gives what it and they
give. Stored means and variances are sums that the third blob divides (batch_norm_layer.cpp).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from sightline.compiler.importers.caffe.network import Layer, Value
from sightline.core.errors import InvalidInput

CONVOLUTIONS = ("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise")
PRODUCERS = (*CONVOLUTIONS, "Deconvolution", "InnerProduct", "ChannelAffine")
WEIGHTED = (*CONVOLUTIONS, "Deconvolution", "InnerProduct")
BATCH_NORM_EPS = 1e-5
PARAM_OF = {"InnerProduct": "inner_product_param"}  # convolution_param for the others


def check_blobs(layers: Sequence[Layer]) -> None:
    """Raises: InvalidInput naming every layer that has another number of weights than its description asks for."""
    wrong = []
    for layer in layers:
        expected = _count_blobs(layer)
        if expected is not None and len(layer.blobs) != expected:
            wrong.append(f"{layer.name} ({layer.type}: {expected}, got {len(layer.blobs)})")
    if wrong:
        raise InvalidInput(
            f"the caffemodel lacks weights the prototxt asks for, or has too many: {', '.join(wrong)}; "
            f"give the weights that belong to this prototxt"
        )


def fold_layers(layers: Sequence[Layer], kept: Collection[Value]) -> list[Layer]:
    """The layers with every per-channel affine one folded where only it reads what it reads.

    Args:
        layers: in running order, with weights.
        kept: values that must stay: the outputs.
    """
    readers = Counter(value for layer in layers for value in layer.reads)
    readers.update(kept)
    place: dict[Value, int] = {}  # of the layer that writes a value, in `folded`
    folded: list[Layer] = []
    for layer in layers:
        layer = _as_affine(layer)
        source = place.get(layer.reads[0]) if layer.type == "ChannelAffine" else None
        if source is not None and readers[layer.reads[0]] == 1 and _can_absorb(folded[source]):
            folded[source] = _absorb(folded[source], layer)
            place[layer.writes[0]] = source
        else:
            place.update({value: len(folded) for value in layer.writes})
            folded.append(layer)
    return folded


def _count_blobs(layer: Layer) -> int | None:
    """How many blobs Caffe keeps for a layer; None for types that are no concern here."""
    if layer.type in WEIGHTED:
        return 1 + layer.param(PARAM_OF.get(layer.type, "convolution_param")).flag("bias_term", True)
    if layer.type == "Scale":
        return (len(layer.reads) == 1) + layer.param("scale_param").flag("bias_term", False)
    if layer.type == "Bias":
        return int(len(layer.reads) == 1)
    return {"BatchNorm": 3, "PReLU": 1, "Normalize": 1}.get(layer.type)


def _as_affine(layer: Layer) -> Layer:
    """A layer that is a factor and a summand per channel as a `ChannelAffine` with these two blobs; any other as it is."""
    if layer.type == "BatchNorm":
        factor, summand = _read_batch_norm(layer)
    elif layer.type == "Scale" and len(layer.reads) == 1 and _is_per_channel(layer, "scale_param"):
        factor = layer.blobs[0].ravel().astype(np.float64)
        summand = layer.blobs[1].ravel().astype(np.float64) if len(layer.blobs) > 1 else np.zeros_like(factor)
    elif layer.type == "Bias" and len(layer.reads) == 1 and _is_per_channel(layer, "bias_param"):
        summand = layer.blobs[0].ravel().astype(np.float64)
        factor = np.ones_like(summand)
    else:
        return layer
    if factor.shape != summand.shape:
        raise InvalidInput(f"layer {layer.name} has {factor.size} and {summand.size} weights where as many are expected")
    return replace(layer, type="ChannelAffine", blobs=(factor, summand))


def _read_batch_norm(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    mean, variance, count = (blob.ravel().astype(np.float64) for blob in layer.blobs)
    if mean.shape != variance.shape or count.size != 1:
        raise InvalidInput(f"batch norm {layer.name} has weights of {mean.size}, {variance.size} and {count.size} values")
    share = 0.0 if count[0] == 0 else 1.0 / count[0]
    spread = variance * share + layer.param("batch_norm_param").number("eps", BATCH_NORM_EPS)
    if (spread <= 0).any():
        raise InvalidInput(f"batch norm {layer.name} has a negative variance; the caffemodel is damaged")
    factor = 1.0 / np.sqrt(spread)
    return factor, -mean * share * factor


def _is_per_channel(layer: Layer, param_name: str) -> bool:
    param = layer.param(param_name)
    return param.integer("axis", 1) == 1 and param.integer("num_axes", 1) == 1


def _can_absorb(layer: Layer) -> bool:
    return layer.type in PRODUCERS and layer.param("inner_product_param").integer("axis", 1) == 1


def _absorb(producer: Layer, affine: Layer) -> Layer:
    """The producer that gives what the affine layer makes of its output."""
    factor, summand = affine.blobs
    if producer.type == "ChannelAffine":
        first, second = producer.blobs
        _check_channels(affine, first.size)
        return replace(producer, blobs=(first * factor, second * factor + summand), writes=affine.writes)
    bias = producer.blobs[1].ravel() if len(producer.blobs) > 1 else np.zeros(factor.size)
    weight = _scale_weight(producer, affine)
    if bias.size != factor.size:
        raise InvalidInput(f"layer {producer.name} has {bias.size} biases for {factor.size} channels; the files do not fit")
    return replace(producer, blobs=(weight, bias * factor + summand), writes=affine.writes)


def _scale_weight(producer: Layer, affine: Layer) -> np.ndarray:
    """The weights with each output channel times its factor, float64, in their own shape."""
    factor, weight = affine.blobs[0], producer.blobs[0]
    param = producer.param(PARAM_OF.get(producer.type, "convolution_param"))
    _check_channels(affine, param.integer("num_output"))
    rows = weight.reshape(factor.size, -1) if weight.size % factor.size == 0 else None
    if rows is None:
        raise InvalidInput(f"layer {producer.name} has {weight.size} weights for {factor.size} channels; the files do not fit")
    if producer.type == "InnerProduct" and param.flag("transpose"):
        scaled = weight.reshape(-1, factor.size) * factor
    elif producer.type == "Deconvolution":  # (in, out / groups, h, w)
        groups = max(1, param.integer("group", 1))
        if weight.ndim != 4 or factor.size % groups or weight.shape[0] % groups:
            raise InvalidInput(f"layer {producer.name} has weights {weight.shape} for {groups} groups; the files do not fit")
        grouped = weight.reshape(groups, weight.shape[0] // groups, factor.size // groups, *weight.shape[2:])
        scaled = grouped * factor.reshape(groups, 1, -1, 1, 1)
    else:
        scaled = rows * factor[:, None]
    return np.asarray(scaled.reshape(weight.shape))


def _check_channels(affine: Layer, channels: int) -> None:
    if affine.blobs[0].size != channels:
        raise InvalidInput(
            f"layer {affine.name} has {affine.blobs[0].size} weights for {channels} channels; the files do not fit"
        )
