"""Build a model again with the layers of the installed Keras, for files that Keras itself no longer loads.

Keras 3 knows neither the layer names of Keras 1 nor the functions tf.keras wrote as layers. The arithmetic is then still
Keras's own, but the reading of the file is ours: less proof than a model that Keras loaded, which is why the source says so.
"""

import inspect
from collections.abc import Callable
from typing import Any

from sightline.compiler.importers.keras.config import Address, Argument, Layer, Model
from sightline.compiler.importers.keras.weights import Weights, to_snake_case

TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")

Made = dict[tuple[str, int], list[Any]]  # call of a layer -> its Keras tensors


def rebuild_model(model: Model, weights: Weights, prefix: str = "") -> Any:
    """A `keras.Model` of a model's layers and arrays; `prefix` is the path of a model inside another."""
    import keras

    inputs = {address.layer for address in model.inputs}
    made: Made = {
        (layer.name, 0): [keras.Input(layer.settings.get("batch_shape")[1:])] for layer in model.layers if layer.name in inputs
    }
    layers = {layer.name: _make_layer(layer, weights, prefix) for layer in model.layers if layer.name not in inputs}
    waiting = [(layer, node) for layer in model.layers for node in range(len(layer.calls)) if (layer.name, node) not in made]
    while waiting:
        layer, node = next(one for one in waiting if all(_is_made(made, argument) for argument in one[0].calls[one[1]]))
        arguments = [_take(made, argument) for argument in layer.calls[node]]
        result = layers[layer.name](*arguments) if layer.is_operation else _call(layers[layer.name], arguments)
        made[layer.name, node] = keras.tree.flatten(result)
        waiting.remove((layer, node))
    for name, built in layers.items():
        if prefix + name in weights:
            built.set_weights(weights[prefix + name][: len(built.weights)])
            if hasattr(built, "finalize_state"):
                built.finalize_state()
    ends = [_take(made, address) for address in model.outputs]
    return keras.Model([made[address.layer, 0][0] for address in model.inputs], ends, name=model.name.replace("/", "_"))


def _make_layer(layer: Layer, weights: Weights, prefix: str) -> Any:
    """A model, a function of `keras.ops`, or a layer with the settings its constructor still takes."""
    import keras

    if layer.inner is not None:
        return rebuild_model(layer.inner, weights, f"{prefix}{layer.name}/")
    if layer.is_operation:
        return getattr(keras.ops, to_snake_case(layer.kind))
    kind = getattr(keras.layers, layer.kind)
    accepted = inspect.signature(kind.__init__).parameters
    settings = {key: value for key, value in layer.settings.values.items() if key in accepted}
    kept = {key: value for key, value in settings.items() if not key.endswith(TRAINING_ONLY)}
    return kind(**kept | {"name": layer.name.replace("/", "_")})


def _call(layer: Callable[[Any], Any], arguments: list[Any]) -> Any:
    return layer(arguments if len(arguments) > 1 else arguments[0])


def _is_made(made: Made, argument: Argument) -> bool:
    return not isinstance(argument, Address) or (argument.layer, argument.node) in made


def _take(made: Made, argument: Argument) -> Any:
    return made[argument.layer, argument.node][argument.tensor] if isinstance(argument, Address) else argument
