"""The Caffe network as OpenCV runs it: a second engine that reads the same caffemodel, for Caffe itself cannot be installed.

OpenCV is given the layers' own descriptions, word for word, but with every tensor under a name of its own, so that what an
in-place layer writes over can be asked for too. Layers and parameters it knows under another name are renamed. Pictures run one
at a time: many a prototxt reshapes to a batch of 1.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from sightline.compiler.importers.caffe.folding import CONVOLUTIONS
from sightline.compiler.importers.caffe.network import Layer, Network, Value
from sightline.compiler.importers.caffe.step import Tensor
from sightline.compiler.importers.caffe.text import Fields, Token, quote, write_text
from sightline.compiler.importers.importer import Tensors
from sightline.core.errors import InvalidInput, Unsupported

WIRING = ("name", "type", "bottom", "top", "include", "exclude")
TRAINING = ("param", "blobs_lr", "weight_decay", "loss_weight", "blob_share_mode", "propagate_down", "phase", "transform_param")
ROUNDS_UP = {"CEIL": "true", "0": "true", "FLOOR": "false", "1": "false"}

Params = dict[str, str]
Shapes = Mapping[Value, Tensor]


class CaffeSource:
    """The network in OpenCV.

    Args:
        layers: those the graph was made of, before folding.
        tensors: which tensor of the ONNX graph carries which value.
        outputs: the values the graph ends at.
        caffemodel: the weights' file.

    Raises: InvalidInput when OpenCV cannot read the files.
    """

    is_own_framework = False

    def __init__(
        self, network: Network, layers: Sequence[Layer], tensors: Shapes, outputs: Sequence[Value], caffemodel: bytes
    ) -> None:
        self.engine = f"opencv {cv2.__version__}"
        self._values = {tensor.name: value for value, tensor in tensors.items() if value is not network.picture}
        self._outputs = tuple(tensors[value].name for value in outputs)
        text = write_deploy_text(network, layers, tensors)
        try:
            self._net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8), np.frombuffer(caffemodel, np.uint8))
        except cv2.error as error:
            raise InvalidInput(f"OpenCV cannot read this Caffe network: {_one_line(error)}") from error
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._net.enableFusion(False)
        self._net.enableWinograd(False)  # the plain convolution is the closer one

    def run(self, batch: np.ndarray) -> Tensors:
        """The outputs for a batch `(N, C, H, W)` float32."""
        return self.run_layers(batch, self._outputs)

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """The tensors of these names, without those it does not know. Raises: Unsupported when OpenCV cannot run a layer."""
        wanted = {name: self._values[name] for name in names if name in self._values}
        if not wanted:
            return {}
        layer_names = sorted({value.layer for value in wanted.values()})
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        for picture in batch:
            found = self._forward(picture[None], layer_names)
            for name, value in wanted.items():
                pieces[name].append(np.array(found[value.layer][value.output], np.float32))
        return {name: np.concatenate(parts) for name, parts in pieces.items()}

    def close(self) -> None:
        """Free the network."""
        del self._net

    def _forward(self, picture: np.ndarray, layer_names: Sequence[str]) -> dict[str, Sequence[np.ndarray]]:
        try:
            self._net.setInput(np.ascontiguousarray(picture, np.float32))
            return dict(zip(layer_names, self._net.forwardAndRetrieve(layer_names), strict=True))
        except cv2.error as error:
            raise Unsupported(f"OpenCV cannot run this Caffe network, so nothing can verify it: {_one_line(error)}") from error


def write_deploy_text(network: Network, layers: Sequence[Layer], tensors: Shapes) -> str:
    """A prototxt of these layers with an Input of the chosen size, every tensor under a name of its own."""
    dims = " ".join(f"dim: {size}" for size in (1, *tensors[network.picture].shape))
    names = {network.picture: f"{network.picture.layer}/picture"}
    for layer in layers:  # OpenCV names some layers after what they write, so both have one name
        names |= {value: layer.name if value.output == 0 else f"{layer.name}/{value.output}" for value in layer.writes}
    top = quote(names[network.picture])
    parts = [f"layer {{ name: {top} type: 'Input' top: {top} input_param {{ shape {{ {dims} }} }} }}\n"]
    for layer in layers:
        kind, fields = _translate(layer, tensors)
        lines = [f"layer {{ name: {quote(layer.name)} type: {quote(kind)}\n"]
        lines += [f"  bottom: {quote(names[value])}\n" for value in layer.reads]
        lines += [f"  top: {quote(names[value])}\n" for value in layer.writes]
        parts += [*lines, write_text(fields, "  "), "}\n"]
    return "".join(parts)


def _translate(layer: Layer, tensors: Shapes) -> tuple[str, Fields]:
    """Type and parameters as OpenCV wants them: as they are, but for the types of the table below."""
    fields = Fields()
    for name, value in layer.fields.items():
        if name not in WIRING and name not in TRAINING:
            fields.add(name, value)
    if layer.type not in TRANSLATIONS:
        return layer.type, fields
    kind, param_name, translate = TRANSLATIONS[layer.type]
    changed = translate(layer, tensors)
    param = Fields()
    for name, value in layer.param(param_name).items():
        if name not in changed:
            param.add(name, value)
    for name, text in changed.items():
        if text:
            param.add(name, Token("word", text, 0))
    translated = Fields()
    for name, value in fields.items():
        if name != param_name:
            translated.add(name, value)
    translated.add(param_name, param)
    return kind, translated


def _group_by_channel(layer: Layer, tensors: Shapes) -> Params:
    return {"group": str(tensors[layer.reads[0]].shape[0])}


def _name_pooling(layer: Layer, tensors: Shapes) -> Params:
    param = layer.param("pooling_param")
    changed = {"pool": param.text("pool", "MAX")}
    if "round_mode" in param:
        changed |= {"round_mode": "", "ceil_mode": ROUNDS_UP[param.text("round_mode")]}
    return changed


def _name_axis(layer: Layer, tensors: Shapes) -> Params:
    changed = {}
    for param_name, old in (("concat_param", "concat_dim"), ("slice_param", "slice_dim")):
        if old in layer.param(param_name):
            changed = {old: "", "axis": layer.param(param_name).text(old)}
    return changed


def _complete_norm(layer: Layer, tensors: Shapes) -> Params:
    """OpenCV calls k bias, and takes 0.0001 where no alpha is given and Caffe takes 1."""
    param = layer.param("lrn_param")
    return {"k": "", "bias": param.text("k", "1"), "alpha": param.text("alpha", "1")}


def _use_stored_statistics(layer: Layer, tensors: Shapes) -> Params:
    return {"use_global_stats": ""}


def _keep(layer: Layer, tensors: Shapes) -> Params:
    return {}


def _bound(layer: Layer, tensors: Shapes) -> Params:
    param = layer.param("clip_param")
    return {"min": "", "max": "", "min_value": param.text("min"), "max_value": param.text("max")}


def _zoom_by_repeating(layer: Layer, tensors: Shapes) -> Params:
    scale = layer.param("upsample_param").text("scale")
    return {"scale": "", "zoom_factor": scale, "interpolation": "nearest"}


def _state_size(layer: Layer, tensors: Shapes) -> Params:
    _, height, width = tensors[layer.writes[0]].shape
    return {"shrink_factor": "", "zoom_factor": "", "height": str(height), "width": str(width)}


def _keep_axis(layer: Layer, tensors: Shapes) -> Params:
    return {"op": "max", "keepdims": "1"}


TRANSLATIONS: dict[str, tuple[str, str, Callable[[Layer, Shapes], Params]]] = {
    CONVOLUTIONS[1]: ("Convolution", "convolution_param", _group_by_channel),
    CONVOLUTIONS[2]: ("Convolution", "convolution_param", _group_by_channel),
    "Pooling": ("Pooling", "pooling_param", _name_pooling),
    "BatchNorm": ("BatchNorm", "batch_norm_param", _use_stored_statistics),
    "Concat": ("Concat", "concat_param", _name_axis),
    "Slice": ("Slice", "slice_param", _name_axis),
    "LRN": ("LRN", "lrn_param", _complete_norm),
    "Bias": ("Shift", "bias_param", _keep),
    "Clip": ("ReLU6", "clip_param", _bound),
    "Upsample": ("Resize", "upsample_param", _zoom_by_repeating),
    "Interp": ("Interp", "interp_param", _state_size),
    "ArgMax": ("Arg", "argmax_param", _keep_axis),
}


def _one_line(error: cv2.error) -> str:
    return " ".join(str(error).split())[:300]
