"""The arrays of every layer, from either of the two ways Keras lays them out.

An `.h5` model has a group per top layer whose attribute lists its arrays in the order of the layer's variables; a model
inside a model is one such layer, and lists first all its trainable arrays, then the others. A `.keras` file follows the path
of the objects: `layers/conv2d_1/vars/0`, where a layer's place is its class name and how many of that class came before it.
"""

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from sightline.compiler.importers.keras.config import Layer, Model
from sightline.compiler.importers.keras.files import KerasFile, WeightStore
from sightline.core.errors import InvalidInput

Weights = dict[str, list[np.ndarray]]  # path of the layer -> its arrays, in the order of its variables
LAYER_FOLDERS = ("layers", "_layer_checkpoint_dependencies")  # the second in Keras 2.12 and 2.13
WITH_KERNEL = {"Conv2D": 1, "Conv2DTranspose": 1, "DepthwiseConv2D": 1, "Dense": 1, "SeparableConv2D": 2}


def read_weights(file: KerasFile, model: Model) -> Weights:
    """The arrays of each layer that has any, by the layer's path: "backbone/conv1".

    Raises: InvalidInput where the file lacks an array.
    """
    weights: Weights = {}
    if file.by_path:
        _read_by_path(file, model, "", "", weights)
    else:
        _read_by_layer(file, model, weights)
    return {path: _convert_old(file, layer, weights[path]) for path, layer, _ in list_layers(model) if path in weights}


def list_layers(model: Model, prefix: str = "", trainable: bool = True) -> Iterator[tuple[str, Layer, bool]]:
    """Path, layer and whether it is trainable, for each layer of a model and of the models in it."""
    for layer in model.layers:
        path, is_trainable = prefix + layer.name, trainable and layer.trainable
        if layer.inner is not None:
            yield from list_layers(layer.inner, path + "/", is_trainable)
        else:
            yield path, layer, is_trainable


def list_variables(layer: Layer) -> list[bool]:
    """Whether each variable of a layer is trainable, in Keras's order; empty for a layer without any."""
    settings = layer.settings
    if layer.is_operation:
        return []
    if layer.kind in WITH_KERNEL:
        return [True] * (WITH_KERNEL[layer.kind] + settings.flag("use_bias", True))
    if layer.kind == "BatchNormalization":
        return [True] * (settings.flag("scale", True) + settings.flag("center", True)) + [False, False]
    if layer.kind == "PReLU":
        return [True]
    if layer.kind == "Normalization" and settings.get("mean") is None:
        return [False] * 3  # mean, variance, and how many pictures they are of
    return []


def _read_by_layer(file: KerasFile, model: Model, weights: Weights) -> None:
    """The layout of `.h5`: model_weights/LAYER with the attribute weight_names."""
    for layer in model.layers:
        inside = list(list_layers(Model("", "", (layer,), (), ())))
        frozen_of = {path: _list_frozen(one, trainable) for path, one, trainable in inside}
        if not any(frozen_of.values()):
            continue
        group = f"model_weights/{layer.name}"
        names = file.weights.names(group, "weight_names")
        arrays = [file.weights.read(f"{group}/{name}") for name in names]
        expected = sum(map(len, frozen_of.values()))
        if len(arrays) != expected:
            raise InvalidInput(
                f"layer {layer.name}: expected {expected} weights, got {len(arrays)}; the file contradicts itself"
            )
        waiting = iter(arrays)
        for is_frozen in (False, True):
            for path, frozen in frozen_of.items():
                weights.setdefault(path, []).extend(next(waiting) for one in frozen if one == is_frozen)


def _list_frozen(layer: Layer, trainable: bool) -> list[bool]:
    return [not (trainable and one) for one in list_variables(layer)]


def _read_by_path(file: KerasFile, model: Model, root: str, prefix: str, weights: Weights) -> None:
    """The layout of `.keras`: layers/CLASS_NUMBER/vars/INDEX."""
    store = file.weights
    folder = next((name for name in LAYER_FOLDERS if store.has(f"{root}/{name}")), LAYER_FOLDERS[0])
    seen: Counter[str] = Counter()
    for layer in model.layers:
        if layer.is_operation:
            continue
        name = to_snake_case(layer.kind)
        place = f"{root}/{folder}/{name}_{seen[name]}" if seen[name] else f"{root}/{folder}/{name}"
        seen[name] += 1
        if layer.inner is not None:
            _read_by_path(file, layer.inner, place, f"{prefix}{layer.name}/", weights)
        elif count := len(list_variables(layer)):
            weights[prefix + layer.name] = _read_variables(store, f"{place}/vars", count)


def _read_variables(store: WeightStore, place: str, count: int) -> list[np.ndarray]:
    if store.has(f"{place}/{count}"):
        raise InvalidInput(f"expected {count} weights at {place}, got more; the file contradicts itself")
    return [store.read(f"{place}/{index}") for index in range(count)]


def to_snake_case(name: str) -> str:
    """ "SeparableConv2D" -> "separable_conv2d", as Keras names the folders of a `.keras` file."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _convert_old(file: KerasFile, layer: Layer, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Kernels of Keras 1 and of the Theano back end, in the order (rows, columns, in, out) and as correlation.

    Keras 1 kept kernels of channels-first layers as (out, in, rows, columns); Theano convolves, which mirrors the kernel.
    """
    if layer.kind not in ("Conv2D", "Conv2DTranspose") or not arrays or arrays[0].ndim != 4:
        return arrays
    kernel = arrays[0]
    if file.version < (2, 0):
        first = layer.settings.text("data_format", "channels_last") == "channels_first"
        if layer.kind == "Conv2D":
            kernel = kernel.transpose(2, 3, 1, 0) if first else kernel
        else:  # -> (rows, columns, out, in)
            kernel = kernel.transpose(2, 3, 0, 1) if first else kernel.transpose(0, 1, 3, 2)
    if file.backend == "theano":
        kernel = kernel[::-1, ::-1]
    return [kernel, *arrays[1:]]
