"""The calls of a model's layers in an order that can be run, with the models inside it opened up.

Tensors are counted: a call reads numbers of tensors and makes one new one. A model that is called twice gives its layers'
calls twice, over the same weights.
"""

from collections import Counter
from dataclasses import dataclass

from sightline.compiler.importers.keras.config import Address, Layer, Model
from sightline.core.errors import InvalidInput

MAX_CALLS = 50_000


@dataclass(frozen=True)
class Call:
    """One call of one layer.

    Attributes:
        path: the layer's name behind those of the models around it: "backbone/conv1".
        name: the path, with the number of the call from the second one on: "backbone/conv1:2".
        inputs: the tensors it reads (int), and constants (float).
        output: the tensor it makes.
    """

    path: str
    name: str
    layer: Layer
    inputs: tuple[int | float, ...]
    output: int


@dataclass(frozen=True)
class Program:
    """All calls, the tensors that are the network's outputs, and how often each layer is called."""

    calls: tuple[Call, ...]
    outputs: tuple[int, ...]
    uses: Counter[str]


def list_calls(model: Model) -> Program:
    """Put a model's calls into an order in which each reads only what is there.

    Raises: InvalidInput for calls that wait for each other or for tensors that nothing makes.
    """
    calls: list[Call] = []
    uses: Counter[str] = Counter()
    outputs = _open_model(model, None, "", calls, uses)
    return Program(tuple(calls), tuple(outputs), uses)


def _open_model(model: Model, given: list[int] | None, prefix: str, calls: list[Call], uses: Counter[str]) -> list[int]:
    """Append the calls of a model that reads the tensors `given`, or its own InputLayers; returns its outputs."""
    made: dict[tuple[str, int], list[int]] = {}
    layers = {layer.name: layer for layer in model.layers}
    if given is not None and len(given) != len(model.inputs):
        raise InvalidInput(f"model {prefix[:-1]} has {len(model.inputs)} inputs but is called with {len(given)}")
    for index, address in enumerate(model.inputs):
        if address.layer not in layers:
            raise InvalidInput(f"the model's input {address.layer} is none of its layers; the configuration is damaged")
        if given is None:
            made[address.layer, 0] = [_append(calls, uses, prefix + address.layer, layers[address.layer], ())]
        else:
            made[address.layer, 0] = [given[index]]
    waiting = [(layer, node) for layer in model.layers for node in range(len(layer.calls)) if (layer.name, node) not in made]
    while waiting:
        blocked = []
        for layer, node in waiting:
            inputs = [_find(made, argument) for argument in layer.calls[node]]
            if None in inputs:
                blocked.append((layer, node))
                continue
            known = [value for value in inputs if value is not None]
            made[layer.name, node] = _call(layer, known, prefix, calls, uses)
        if len(blocked) == len(waiting):
            names = ", ".join(sorted({layer.name for layer, _ in blocked})[:5])
            raise InvalidInput(f"layers read tensors that nothing makes: {names}; the configuration is damaged")
        waiting = blocked
    outputs = [_find(made, address) for address in model.outputs]
    if None in outputs:
        raise InvalidInput(f"model {model.name} ends at a layer that does not exist; the configuration is damaged")
    return [int(output) for output in outputs if output is not None]


def _call(layer: Layer, inputs: list[int | float], prefix: str, calls: list[Call], uses: Counter[str]) -> list[int]:
    if layer.inner is None:
        return [_append(calls, uses, prefix + layer.name, layer, tuple(inputs))]
    tensors = [value for value in inputs if isinstance(value, int)]
    if len(tensors) < len(inputs):
        raise InvalidInput(f"model {prefix}{layer.name} is called with a number; expected tensors")
    return _open_model(layer.inner, tensors, f"{prefix}{layer.name}/", calls, uses)


def _append(calls: list[Call], uses: Counter[str], path: str, layer: Layer, inputs: tuple[int | float, ...]) -> int:
    if len(calls) >= MAX_CALLS:
        raise InvalidInput(f"the model calls more than {MAX_CALLS} layers; the configuration is damaged")
    uses[path] += 1
    name = path if uses[path] == 1 else f"{path}:{uses[path]}"
    calls.append(Call(path, name, layer, inputs, len(calls)))
    return len(calls) - 1


def _find(made: dict[tuple[str, int], list[int]], argument: Address | float) -> int | float | None:
    """The tensor at an address, None while it is not made; a number stands for itself."""
    if isinstance(argument, float):
        return argument
    tensors = made.get((argument.layer, argument.node))
    return tensors[argument.tensor] if tensors is not None and argument.tensor < len(tensors) else None
