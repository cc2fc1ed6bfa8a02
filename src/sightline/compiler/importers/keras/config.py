"""Read the configuration of a Sequential or Functional model into layers and the tensors each call of them reads.

Keras 1 to 3 write the same thing in different ways: a Sequential as a bare list or an object, a call as `["conv", 0, 0, {}]`
or as `{"args": [{"class_name": "__keras_tensor__", ...}]}`. Here a Sequential becomes a chain and every call a tuple of
addresses, a model within a model stays one, and anything that names code of its author is refused before Keras sees the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sightline.compiler.importers.keras.settings import LayerSettings
from sightline.compiler.importers.keras.spellings import modernise
from sightline.core.errors import InvalidInput, Unsupported

FUNCTIONAL, SEQUENTIAL = ("Functional", "Model"), "Sequential"
MAX_DEPTH = 16  # of models within models
MAX_LAYERS = 5_000
CODE_KINDS = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "SlicingOpLambda"}
OPERATIONS = "keras.src.ops."


class Address(NamedTuple):
    """A tensor inside a model: output `tensor` of the call `node` of a layer."""

    layer: str
    node: int
    tensor: int


Argument = Address | float


@dataclass(frozen=True)
class Layer:
    """A layer and its calls.

    Attributes:
        kind: class name in the spelling of Keras 3; a function of `keras.ops` has one too: "Multiply".
        calls: what each call reads: addresses in the same model, or numbers.
        inner: the model this layer is, or None.
        trainable: False for a frozen layer, which Keras lists its weights behind the others for.
        is_operation: a function used as a layer; it has no weights and no place among the layers of a file.
    """

    name: str
    kind: str
    settings: LayerSettings
    calls: tuple[tuple[Argument, ...], ...]
    inner: "Model | None" = None
    trainable: bool = True
    is_operation: bool = False


@dataclass(frozen=True)
class Model:
    """A network, or a part of one: its layers in the file's order, and where its inputs and outputs are."""

    name: str
    kind: str
    layers: tuple[Layer, ...]
    inputs: tuple[Address, ...]
    outputs: tuple[Address, ...]


def read_model(config: Mapping[str, Any]) -> Model:
    """The model of a file's configuration.

    Raises: InvalidInput where the configuration contradicts itself; Unsupported for a model class of one's own or code in it.
    """
    code = sorted(set(_list_code({key: value for key, value in config.items() if key != "compile_config"})))
    if code:
        raise Unsupported(f"the model needs code that is not in Keras: {', '.join(code[:20])}; rebuild it from standard layers")
    return _read_model(config, 0)


def _list_code(root: Any) -> list[str]:
    """Names of Lambda layers and of classes that Keras does not bring, anywhere in a configuration."""
    found, waiting = [], [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
            kind, module = value.get("class_name"), value.get("module")
            named = value.get("name") or kind
            if kind in CODE_KINDS:
                found.append(f"{named} ({kind})")
            elif isinstance(module, str) and "class_name" in value and not _is_of_keras(module):
                found.append(f"{named} ({module}.{kind})")
            elif isinstance(value.get("registered_name"), str) and ">" in value["registered_name"]:
                found.append(f"{named} ({value['registered_name']})")
        elif isinstance(value, list):
            waiting += value
    return found


def _is_of_keras(module: str) -> bool:
    return module in ("keras", "builtins") or module.startswith("keras.")


def _read_model(config: Mapping[str, Any], depth: int) -> Model:
    kind, inner = config.get("class_name"), config.get("config")
    if depth > MAX_DEPTH:
        raise InvalidInput(f"models lie within models more than {MAX_DEPTH} deep; the configuration is damaged")
    if kind == SEQUENTIAL and isinstance(inner, list | Mapping):
        model = _read_sequential(inner, depth)
    elif kind in FUNCTIONAL and isinstance(inner, Mapping):
        model = _read_functional(inner, depth)
    else:
        raise Unsupported(f"expected a Sequential or Functional model, got {str(kind)[:80]!r}; a class of one's own is code")
    names = [layer.name for layer in model.layers]
    if len(set(names)) < len(names):
        raise InvalidInput(f"model {model.name} has several layers of one name; the configuration is damaged")
    return model


def _read_functional(config: Mapping[str, Any], depth: int) -> Model:
    entries = _list_entries(config)
    layers = []
    for entry in entries:
        nodes = entry.get("inbound_nodes", [])
        if not isinstance(nodes, list):
            raise InvalidInput(f"layer {entry.get('name')}: expected a list of inbound_nodes, got {str(nodes)[:80]!r}")
        layers.append(_read_layer(entry, tuple(map(_read_call, nodes)), depth))
    name = str(config.get("name", "model"))
    inputs, outputs = (_read_addresses(config.get(key), f"{key} of {name}") for key in ("input_layers", "output_layers"))
    is_old = not any(isinstance(node, Mapping) for entry in entries for node in entry.get("inbound_nodes", []))
    renumbered, outputs = _renumber(layers, outputs, is_old)
    return Model(name, "Functional", tuple(renumbered), inputs, outputs)


def _renumber(layers: list[Layer], outputs: tuple[Address, ...], is_old: bool) -> tuple[list[Layer], tuple[Address, ...]]:
    """Count the calls of models inside a model from 0.

    Building a model counts as its first call. Keras 1 and 2 number the calls after it from 1 where they saw that, so the least
    number tells; Keras 3 numbers from 0 where a layer reads the model, but from 1 where a Functional one is an output.
    """
    first: dict[str, int] = {}
    inner = {layer.name: layer.kind for layer in layers if layer.inner is not None}
    read = [argument for layer in layers for call in layer.calls for argument in call if isinstance(argument, Address)]
    if is_old:
        for address in (*read, *outputs):
            if address.layer in inner:
                first[address.layer] = min(first.get(address.layer, address.node), address.node)
        layers = [replace(layer, calls=tuple(_count_from(call, first) for call in layer.calls)) for layer in layers]
    else:
        first = {name: 1 for name, kind in inner.items() if kind == "Functional"}
    ends = [address for address in _count_from(outputs, first) if isinstance(address, Address)]
    return layers, tuple(ends)


def _count_from(arguments: Sequence[Argument], first: Mapping[str, int]) -> tuple[Argument, ...]:
    return tuple(
        one._replace(node=max(one.node - first.get(one.layer, 0), 0)) if isinstance(one, Address) else one for one in arguments
    )


def _read_sequential(config: list[Any] | Mapping[str, Any], depth: int) -> Model:
    """A Sequential model as a chain behind an InputLayer, which old files state only as the first layer's input shape."""
    settings: Mapping[str, Any] = config if isinstance(config, Mapping) else {"layers": config}
    entries = _list_entries(settings)
    if not entries:
        raise InvalidInput("the Sequential model has no layers")
    chain = [_read_layer(entry, (), depth) for entry in entries]
    if chain[0].kind != "InputLayer":
        shape = chain[0].settings.get("batch_shape", settings.get("build_input_shape")) or _find_input_shape(chain[0])
        name = f"{chain[0].name}_input"
        chain.insert(0, Layer(name, "InputLayer", LayerSettings(name, {"batch_shape": shape}), ()))
    layers = [chain[0]]
    for layer in chain[1:]:
        call = (Address(layers[-1].name, 0, 0),)
        layers.append(Layer(layer.name, layer.kind, layer.settings, (call,), layer.inner, layer.trainable, layer.is_operation))
    name = str(settings.get("name", "sequential"))
    return Model(name, SEQUENTIAL, tuple(layers), (Address(layers[0].name, 0, 0),), (Address(layers[-1].name, 0, 0),))


def _find_input_shape(layer: Layer) -> Any:
    """The input shape of a model that is the first layer of a Sequential one; None where nothing says it."""
    if layer.inner is None:
        return None
    names = {address.layer for address in layer.inner.inputs}
    return next((one.settings.get("batch_shape") for one in layer.inner.layers if one.name in names), None)


def _list_entries(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = config.get("layers")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InvalidInput("expected a list of layers in the model's configuration; the file is damaged")
    if len(entries) > MAX_LAYERS:
        raise InvalidInput(f"expected at most {MAX_LAYERS} layers in a model, got {len(entries)}")
    return entries


def _read_layer(entry: Mapping[str, Any], calls: tuple[tuple[Argument, ...], ...], depth: int) -> Layer:
    kind, config = entry.get("class_name"), entry.get("config")
    if not isinstance(kind, str) or not isinstance(config, Mapping | list):
        raise InvalidInput(f"expected class_name and config of a layer, got {str(entry)[:80]!r}; the file is damaged")
    inner = _read_model(entry, depth + 1) if kind in (SEQUENTIAL, *FUNCTIONAL) else None
    if isinstance(config, list):  # a Sequential of Keras 1 within a model
        config = {}
    name = entry.get("name") or config.get("name") or (inner.name if inner else None)
    if not isinstance(name, str):
        raise InvalidInput(f"a layer of kind {kind} has no name; the file is damaged")
    trainable = config.get("trainable", True) is not False
    if inner is not None:
        return Layer(name, inner.kind, LayerSettings(name, {}), calls, inner, trainable)
    if "int8" in str(config.get("dtype")) or "Quantized" in str(config.get("dtype")):
        raise Unsupported(f"layer {name} is quantised by Keras; save the model before quantising it")
    is_operation = kind == "TFOpLambda" or str(entry.get("module")).startswith(OPERATIONS) or config.keys() == {"name"}
    kind, settings = modernise(name, kind, config)
    return Layer(name, kind, LayerSettings(name, settings), calls, None, trainable, is_operation)


def _read_call(node: Any) -> tuple[Argument, ...]:
    """What one call reads, in order."""
    if isinstance(node, Mapping):  # Keras 3
        arguments = node.get("args", [])
        named = {key: value for key, value in node.get("kwargs", {}).items() if key != "training"}  # the run decides it
    elif isinstance(node, list):  # [["conv", 0, 0, {"y": ...}], ...]; one input may stand without its list
        tensors = [node] if len(node) >= 3 and isinstance(node[0], str) else node
        arguments = [tensor[:3] if isinstance(tensor, list) else tensor for tensor in tensors]
        named = {}
        for tensor in tensors:
            if isinstance(tensor, list) and len(tensor) > 3 and isinstance(tensor[3], Mapping):
                named |= tensor[3]
    else:
        raise InvalidInput(f"expected a call of a layer, got {str(node)[:80]!r}; the file is damaged")
    if not isinstance(named, Mapping):
        raise InvalidInput(f"expected named arguments of a call, got {str(named)[:80]!r}; the file is damaged")
    if named.get("training"):
        raise Unsupported("a layer is called with training=True: its output is random, which no compiled network can give")
    others = [value for key, value in named.items() if key not in ("training", "mask", "name")]
    return tuple(_read_arguments([*arguments, *others], 0))


def _read_arguments(value: Any, depth: int) -> list[Argument]:
    """Tensors and numbers of a call's arguments, whatever lists they are wrapped in."""
    if value is None or isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [float(value)]
    address = _read_address(value)
    if address is not None:
        return [address]
    if isinstance(value, list) and depth < MAX_DEPTH:
        return [argument for one in value for argument in _read_arguments(one, depth + 1)]
    raise Unsupported(f"a layer is called with {str(value)[:80]!r}; only tensors and numbers are supported")


def _read_address(value: Any) -> Address | None:
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        value = config.get("keras_history") if isinstance(config, Mapping) else None
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        numbers = value[1:]
        if all(type(number) is int and 0 <= number < MAX_LAYERS for number in numbers):
            return Address(value[0], *numbers)
    return None


def _read_addresses(value: Any, where: str) -> tuple[Address, ...]:
    """The inputs or outputs of a model: a list of addresses, one alone, or a mapping of them."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        raise InvalidInput(f"expected {where} as a list, got {str(value)[:80]!r}; the file is damaged")
    one = _read_address(value)
    found = [one] if one is not None else [_read_address(each) for each in value]
    if not found or None in found:
        raise InvalidInput(f"expected {where} as [layer, call, tensor], got {str(value)[:80]!r}; the file is damaged")
    return tuple(address for address in found if address is not None)
