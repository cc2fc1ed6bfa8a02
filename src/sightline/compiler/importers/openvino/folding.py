"""Which layers of an OpenVINO model go into the layer in front of them, found before anything is written.

A convolution, deconvolution or product with a constant matrix takes in the additions and multiplications behind it, as long as
each is by a constant per output channel and nothing else reads what lies between: bias, batch norm, scaling. A convolution also
takes in a zero Pad of rows and columns in front of it.
"""

from collections.abc import Iterable

import numpy as np

from sightline.compiler.importers.openvino.constants import Constants, Node, Output
from sightline.compiler.importers.openvino.context import Fold, get_output_shape, get_shape
from sightline.compiler.importers.openvino.quantised import find_quantised

CONVOLUTIONS = {"Convolution", "GroupConvolution"}
DECONVOLUTIONS = {"ConvolutionBackpropData", "GroupConvolutionBackpropData"}
ARITHMETIC = {"Add", "Subtract", "Multiply", "Divide"}


def find_folds(nodes: Iterable[Node], constants: Constants) -> dict[str, Fold]:
    """What each layer takes in behind it, by the layer's name."""
    folds = {}
    for node in nodes:
        if node.get_type_name() in CONVOLUTIONS | DECONVOLUTIONS or _is_matrix_layer(node, constants):
            fold = _follow(node, constants)
            if fold is not None:
                folds[node.get_name()] = fold
    return folds


def find_pads(nodes: Iterable[Node], constants: Constants) -> dict[str, Node]:
    """The Pad each convolution takes in, by the convolution's name."""
    pads = {}
    for node in nodes:
        if node.get_type_name() not in CONVOLUTIONS or str(node.get_attributes()["auto_pad"]) in ("same_upper", "same_lower"):
            continue
        source = node.input_value(0)
        if (
            source.get_node().get_type_name() == "Pad"
            and len(source.get_target_inputs()) == 1
            and _is_zero_pad(source.get_node(), constants)
        ):
            pads[node.get_name()] = source.get_node()
    return pads


def _is_matrix_layer(node: Node, constants: Constants) -> bool:
    if node.get_type_name() != "MatMul" or node.get_attributes()["transpose_a"]:
        return False
    ranks = len(get_shape(node)), len(get_shape(node, 1))
    return ranks == (2, 2) and constants.read(node.input_value(1)) is not None


def _follow(node: Node, constants: Constants) -> Fold | None:
    """The run of foldable layers behind a layer."""
    shape = get_output_shape(node)
    keeps_integers = constants.read(node.input_value(1)) is None or find_quantised(constants, node.input_value(1)) is not None
    last, scale, bias = node, None, None
    taken: list[str] = []
    while (step := _read_step(last, shape, constants)) is not None:
        following, factor, offset = step
        if factor is not None:
            if keeps_integers:  # integer weights, or computed ones: only a bias can be taken in
                break
            scale = factor if scale is None else scale * factor
            bias = None if bias is None else bias * factor
        if offset is not None:
            bias = offset if bias is None else bias + offset
        last = following
        taken.append(last.get_name())
    return None if last is node else Fold(last, tuple(taken), scale, bias)


def _read_step(
    node: Node, shape: tuple[int, ...], constants: Constants
) -> tuple[Node, np.ndarray | None, np.ndarray | None] | None:
    """The only reader of a layer, with what it multiplies by and adds, `(C,)` each; None when it cannot be taken in."""
    readers = list(node.output(0).get_target_inputs())
    if len(readers) != 1:
        return None
    reader, place = readers[0].get_node(), readers[0].get_index()
    kind = reader.get_type_name()
    if kind == "BatchNormInference":
        return _read_batch_norm(reader, place, constants)
    if kind not in ARITHMETIC:
        return None
    values = _read_channels(constants, reader.input_value(1 - place), shape)
    if values is None:
        return None
    if kind == "Multiply":
        return reader, values, None
    if kind == "Divide":
        return (reader, 1 / values, None) if place == 0 and (values != 0).all() else None
    if kind == "Add":
        return reader, None, values
    return (reader, None, -values) if place == 0 else (reader, np.full_like(values, -1.0), values)


def _read_batch_norm(node: Node, place: int, constants: Constants) -> tuple[Node, np.ndarray, np.ndarray] | None:
    """Ioffe and Szegedy 2015, algorithm 1, with the statistics of training."""
    old = node.get_type_info().version_id == "opset1"
    if place != (2 if old else 0):
        return None
    read = [constants.read(node.input_value(index)) for index in ((0, 1, 3, 4) if old else (1, 2, 3, 4))]
    values = [np.asarray(one, np.float64) for one in read if one is not None and np.isfinite(one).all()]
    if len(values) < 4:
        return None
    gamma, beta, mean, variance = values
    if (spread := variance + float(node.get_attributes()["epsilon"])).min() <= 0:
        return None
    scale = gamma / np.sqrt(spread)
    return node, scale, beta - mean * scale


def _read_channels(constants: Constants, output: Output, shape: tuple[int, ...]) -> np.ndarray | None:
    """A constant as one number for each channel, axis 1, or None when it is not constant or varies otherwise."""
    values = constants.read(output)
    if values is None or values.dtype.kind != "f" or values.ndim > len(shape) or not np.isfinite(values).all():
        return None
    wide = values.reshape([1] * (len(shape) - values.ndim) + list(values.shape))
    if any(size != 1 for axis, size in enumerate(wide.shape) if axis != 1) or wide.shape[1] not in (1, shape[1]):
        return None
    return np.broadcast_to(wide.ravel().astype(np.float64), (shape[1],)).copy()


def _is_zero_pad(node: Node, constants: Constants) -> bool:
    begin, end = (constants.read(node.input_value(index)) for index in (1, 2))
    fill = constants.read(node.input_value(3)) if node.get_input_size() > 3 else np.zeros(1)
    if begin is None or end is None or fill is None or str(node.get_attributes()["pad_mode"]).lower() != "constant":
        return False
    return not fill.any() and not begin[:2].any() and not end[:2].any() and begin.min() >= 0 and end.min() >= 0
