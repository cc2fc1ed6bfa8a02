"""Equalise channels: the same network with weights shifted between layers, so that one range fits all channels of a tensor.

Between two convolutions a channel may be divided by any positive factor and multiplied again by the weights that read it, as
ReLU and leaky ReLU let factors pass: f(s x) = s f(x) (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization
and Bias Correction", §4.1). There only weights balance each other; here the values seen on pictures take part (as in Xiao et
al. 2023, "SmoothQuant", eq. 4). Where only depthwise convolutions read a tensor its channels become equal at no cost, for the
scales of their weights are by channel.
"""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import onnx

from sightline.compiler.quantisers.convolutions import Convolution, list_convolutions, read_constants, replace_constants
from sightline.compiler.quantisers.ranges import TensorStatistics

HOMOGENEOUS = {"Relu", "LeakyRelu"}
STRENGTH = 0.5  # share of the activations in the balance with the weights
PERCENTILE = 99.99  # of a channel's values
LEAST_SHARE = 1e-4  # a channel below this share of the largest is dead: nothing is balanced with it
LARGEST_FACTOR = 1000.0


def equalise(model: onnx.ModelProto, statistics: dict[str, TensorStatistics]) -> onnx.ModelProto:
    """A copy that computes the same; the `statistics` of its convolutions' inputs are changed with it, in place."""
    copy = deepcopy(model)
    convolutions = list_convolutions(copy)
    constants = dict(read_constants(copy, [name for one in convolutions for name in (one.weight, one.bias)]))
    for producer, tensor, readers in find_links(copy, convolutions):
        if tensor not in statistics:
            continue
        factors = balance(statistics[tensor], [constants[one.weight] for one in readers], [one.groups for one in readers])
        constants[producer.weight] = constants[producer.weight] / factors[:, None, None, None]
        if producer.bias:
            constants[producer.bias] = constants[producer.bias] / factors
        for one in readers:
            shape = (1, -1, 1, 1) if one.groups == 1 else (-1, 1, 1, 1)
            constants[one.weight] = constants[one.weight] * factors.reshape(shape)
        statistics[tensor].divide(factors)
    replace_constants(copy, constants)
    return copy


def find_links(model: onnx.ModelProto, convolutions: Sequence[Convolution]) -> list[tuple[Convolution, str, list[Convolution]]]:
    """(convolution, tensor, convolutions that read it) where nothing else reads it and all between lets factors pass."""
    outputs = {value.name for value in model.graph.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    by_name = {one.output: one for one in convolutions}
    links = []
    for one in convolutions:
        tensor = one.output
        while len(after := readers.get(tensor, [])) == 1 and after[0].op_type in HOMOGENEOUS and tensor not in outputs:
            tensor = after[0].output[0]
        found = [by_name.get(node.output[0]) for node in readers.get(tensor, [])]
        known = [reader for reader in found if reader is not None and reader.source == tensor]
        if known and len(known) == len(found) and tensor not in outputs and all(_is_plain(model, reader) for reader in known):
            links.append((one, tensor, known))
    return links


def _is_plain(model: onnx.ModelProto, one: Convolution) -> bool:
    """Dense, or depthwise with one filter for each channel."""
    shape = next(tuple(tensor.dims) for tensor in model.graph.initializer if tensor.name == one.weight)
    return one.groups == 1 or (shape[0] == one.groups and shape[1] == 1)


def balance(statistics: TensorStatistics, weights: Sequence[np.ndarray], groups: Sequence[int]) -> np.ndarray:
    """What to divide each channel by: `(C,)`, around 1.

    Args:
        statistics: the tensor's values.
        weights, groups: of the convolutions that read it.
    """
    spread = np.percentile(np.abs(statistics.values), PERCENTILE, axis=1).astype(np.float64)
    alive = spread > LEAST_SHARE * spread.max(initial=0.0)
    dense = [np.abs(one).max((0, 2, 3)) for one, count in zip(weights, groups, strict=True) if count == 1]
    factors = spread.copy()
    if dense:
        reach = np.max(dense, axis=0).astype(np.float64)
        alive &= reach > LEAST_SHARE * reach.max(initial=0.0)
        factors = np.where(alive, spread, 1.0) ** STRENGTH / np.where(alive, reach, 1.0) ** (1 - STRENGTH)
    if not alive.any():
        return np.ones(len(spread))
    middle = np.exp(np.log(factors[alive]).mean())
    return np.where(alive, np.clip(factors / middle, 1 / LARGEST_FACTOR, LARGEST_FACTOR), 1.0)
