"""Darknet's layers as ONNX nodes: one function a kind, and the table that finds it.

A function takes its section and the network written so far, writes nodes and says what its output is. Batch normalisation is
folded into the convolution it belongs to: Darknet keeps both in one layer. Source of the rules: Darknet's parser.c and the file
of each layer.
"""

import math
from collections.abc import Callable

import numpy as np

from sightline.compiler.importers.darknet.cfg import MAX_WINDOW, Section
from sightline.compiler.importers.darknet.network import DarknetNetwork, Tensor
from sightline.core.errors import InvalidInput, Unsupported

# Darknet's CPU code divides by sqrt(v) + 1e-6, its GPU code by sqrt(v + 1e-5), OpenCV by sqrt(v + 1e-6): the middle one. They
# differ by 0.6 % for a variance of 0.001, the smallest of Yolo-Fastest, and by nothing to speak of above 0.01.
BATCH_NORM_EPSILON = 1e-6
LEAKY_SLOPE = 0.1


def write_layer(section: Section, network: DarknetNetwork) -> None:
    """Write one layer and its activation, and note its output."""
    output = LAYERS[section.kind](section, network)
    if output is not None and "activation" in OPTIONS[section.kind]:
        output = _write_activation(section, network, output)
    network.outputs.append(output)


def find_problems(sections: list[Section]) -> list[str]:
    """What of these layers we cannot carry over, a phrase each."""
    problems = []
    for section in sections:
        if section.kind not in LAYERS:
            problems.append(f"[{section.kind}] (layer {section.index})")
            continue
        for key, value in section.options.items():
            plain = OPTIONS[section.kind].get(key)
            if plain is not None and value not in plain:
                problems.append(f"{key}={value} of [{section.kind}] (layer {section.index})")
    return problems


def _write_convolution(section: Section, network: DarknetNetwork) -> Tensor:
    """[convolutional]: biases, with batch normalisation also scales, means and variances, then kernels (filters, C/g, k, k)."""
    source = network.previous(section)
    filters, size = section.get_int("filters", 1), section.get_int("size", 1, MAX_WINDOW)
    stride, groups = section.get_int("stride", 1, MAX_WINDOW), section.get_int("groups", 1)
    padding = size // 2 if section.get_int("pad") else section.get_int("padding", 0, MAX_WINDOW)
    if source.channels % groups or filters % groups:
        raise InvalidInput(f"{section} has {groups} groups, which do not divide its {source.channels} -> {filters} channels")
    name, normalised = f"conv_{section.index}", section.get_int("batch_normalize") > 0
    biases = network.weights.take((filters,), str(section))
    statistics = network.weights.take((3 if normalised else 0, filters), str(section))
    kernels = network.weights.take((filters, source.channels // groups, size, size), str(section))
    if normalised:
        kernels, biases = _fold(section, kernels, biases, statistics)
    height, width = ((side + 2 * padding - size) // stride + 1 for side in (source.height, source.width))
    return network.add(
        "Conv",
        [source.name, network.writer.add_weight(f"{name}.weight", kernels), network.writer.add_weight(f"{name}.bias", biases)],
        Tensor(name, filters, height, width),
        f"{'bn' if normalised else 'conv'}_{section.index}",
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[padding] * 4,
        group=groups,
    )


def _fold(section: Section, kernels: np.ndarray, biases: np.ndarray, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernels and biases that do what convolution and then normalisation did, from scales, means, variances `(3, filters)`.

    Raises: InvalidInput for a negative variance, and for weights that leave float32.
    """
    scales, means, variances = statistics
    if (variances < 0).any():
        raise InvalidInput(
            f"expected variances of at least 0 for {section}, got {variances.min():.3g}; the weights are damaged"
        )
    factors = scales.astype(np.float64) / np.sqrt(variances.astype(np.float64) + BATCH_NORM_EPSILON)
    with np.errstate(over="ignore"):
        folded = (kernels * factors[:, None, None, None]).astype(np.float32), (biases - means * factors).astype(np.float32)
    if not all(np.isfinite(values).all() for values in folded):
        raise InvalidInput(f"expected weights of {section} within float32 after normalisation, got infinity; they are damaged")
    return folded


def _write_maxpool(section: Section, network: DarknetNetwork) -> Tensor:
    """[maxpool]: `padding` is the sum of both sides, by default size - 1, its smaller half in front; -inf stands there."""
    source = network.previous(section)
    stride = section.get_int("stride", 1, MAX_WINDOW)
    size = section.get_int("size", 1, MAX_WINDOW)
    padding = section.get_int("padding", 0, MAX_WINDOW)
    front, back = padding // 2, padding - padding // 2
    if back >= size:
        raise InvalidInput(f"expected a padding of {section} below {2 * size - 1}, got {padding}: windows would hold no pixel")
    height, width = ((side + padding - size) // stride + 1 for side in (source.height, source.width))
    return network.add(
        "MaxPool",
        [source.name],
        Tensor(f"maxpool_{section.index}", source.channels, height, width),
        f"pool_{section.index}",
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[front, front, back, back],
    )


def _write_avgpool(section: Section, network: DarknetNetwork) -> Tensor:
    """[avgpool]: the mean of each channel."""
    source = network.previous(section)
    name = f"avgpool_{section.index}"
    return network.add("GlobalAveragePool", [source.name], Tensor(name, source.channels), name)


def _write_upsample(section: Section, network: DarknetNetwork) -> Tensor:
    """[upsample]: every pixel repeated."""
    source = network.previous(section)
    stride, name = section.get_int("stride", 1, MAX_WINDOW), f"upsample_{section.index}"
    scales = network.writer.add_weight(f"{name}.scales", np.array([1, 1, stride, stride], np.float32))
    return network.add(
        "Resize",
        [source.name, "", scales],
        Tensor(name, source.channels, source.height * stride, source.width * stride),
        name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _write_route(section: Section, network: DarknetNetwork) -> Tensor:
    """[route]: the channels of several layers behind each other, or one layer or one of its groups of channels."""
    sources = [network.find(section, number) for number in section.get_ints("layers")]
    if not sources:
        raise InvalidInput(f"expected {section} to name layers, got {section.options.get('layers')!r}")
    if len({(source.height, source.width) for source in sources}) > 1:
        raise InvalidInput(f"expected layers of one size for {section}, got {[source.shape for source in sources]}")
    groups = section.get_int("groups", 1)
    if len(sources) == 1:
        return sources[0] if groups == 1 else _write_group(section, network, sources[0], groups)
    if groups > 1:
        raise Unsupported(f"{section} takes groups of several layers, which we cannot carry over")
    first = sources[0]
    output = Tensor(f"route_{section.index}", sum(source.channels for source in sources), first.height, first.width)
    return network.add("Concat", [source.name for source in sources], output, f"concat_{section.index}", axis=1)


def _write_group(section: Section, network: DarknetNetwork, source: Tensor, groups: int) -> Tensor:
    group, name = section.get_int("group_id", 0, groups - 1), f"route_{section.index}"
    if source.channels % groups:
        raise InvalidInput(f"{section} takes one of {groups} groups, which do not divide {source.channels} channels")
    channels = source.channels // groups
    bounds = _add_bounds(network, name, group * channels, (group + 1) * channels)
    output = Tensor(name, channels, source.height, source.width)
    return network.add("Slice", [source.name, *bounds], output, f"slice_{section.index}")


def _add_bounds(network: DarknetNetwork, name: str, start: int, end: int) -> list[str]:
    """What a Slice of channels start..end needs besides its source."""
    return [
        network.writer.add_weight(f"{name}.{key}", np.array([value], np.int64))
        for key, value in (("start", start), ("end", end), ("axis", 1))
    ]


def _write_shortcut(section: Section, network: DarknetNetwork) -> Tensor:
    """[shortcut]: the layer before plus another; of other channels only those both have are added (shortcut_cpu)."""
    source, numbers = network.previous(section), section.get_ints("from")
    if len(numbers) != 1:
        raise Unsupported(f"{section} adds {len(numbers)} layers to the one before; we can carry over one")
    other, name = network.find(section, numbers[0]), f"shortcut_{section.index}"
    if (source.height, source.width) != (other.height, other.width):
        raise Unsupported(
            f"{section} adds maps of different sizes, {source.shape} and {other.shape}, which we cannot carry over"
        )
    added = other.name
    if other.channels > source.channels:
        bounds = _add_bounds(network, name, 0, source.channels)
        added = network.writer.add("Slice", [added, *bounds], name=f"{name}.cut")
    elif other.channels < source.channels:
        missing = np.array([0, 0, 0, 0, 0, source.channels - other.channels, 0, 0], np.int64)
        added = network.writer.add("Pad", [added, network.writer.add_weight(f"{name}.pads", missing)], name=f"{name}.pad")
    return network.add("Add", [source.name, added], Tensor(name, source.channels, source.height, source.width), name)


def _write_sam(section: Section, network: DarknetNetwork) -> Tensor:
    """[sam]: another layer times the one before, value by value (spatial attention of YOLOv4)."""
    source, numbers = network.previous(section), section.get_ints("from")
    other = network.find(section, numbers[0] if numbers else -1)
    if len(numbers) != 1 or source.shape != other.shape:
        raise InvalidInput(f"expected {section} to multiply two layers of one shape, got {source.shape} and {other.shape}")
    name = f"sam_{section.index}"
    return network.add("Mul", [other.name, source.name], Tensor(name, other.channels, other.height, other.width), name)


def _write_reorg(section: Section, network: DarknetNetwork) -> Tensor:
    """[reorg]: (C, H, W) to (C s^2, H / s, W / s), in the peculiar order of Darknet's reorg_cpu.

    It takes its input for a map (C / s^2, H s, W s), moves blocks of s x s pixels to channels, and takes the result for
    (C s^2, H / s, W / s): two reshapes around the usual space-to-depth.
    """
    source = network.previous(section)
    stride, name = section.get_int("stride", 1, MAX_WINDOW), f"reorg_{section.index}"
    channels, height, width = source.shape
    if channels % stride**2 or height % stride or width % stride:
        raise InvalidInput(f"expected a map that {section} can divide by {stride}, got {source.shape}")
    narrow = np.array([0, channels // stride**2, height * stride, width * stride], np.int64)
    wide = np.array([0, channels * stride**2, height // stride, width // stride], np.int64)
    read = network.writer.add(
        "Reshape", [source.name, network.writer.add_weight(f"{name}.narrow", narrow)], name=f"{name}.read"
    )
    blocks = network.writer.add("SpaceToDepth", [read], name=f"{name}.blocks", blocksize=stride)
    output = Tensor(name, channels * stride**2, height // stride, width // stride)
    return network.add("Reshape", [blocks, network.writer.add_weight(f"{name}.wide", wide)], output, name)


def _write_connected(section: Section, network: DarknetNetwork) -> Tensor:
    """[connected]: biases, then weights (outputs, inputs)."""
    source, name = network.previous(section, flat=True), f"connected_{section.index}"
    count = section.get_int("output", 1)
    biases = network.weights.take((count,), str(section))
    weights = network.weights.take((count, math.prod(source.shape)), str(section))
    return network.add(
        "Gemm",
        [
            _flatten(network, source, name),
            network.writer.add_weight(f"{name}.weight", weights),
            network.writer.add_weight(f"{name}.bias", biases),
        ],
        Tensor(name, count, flat=True),
        f"fullyConnected_{section.index}",
        transB=1,
    )


def _write_softmax(section: Section, network: DarknetNetwork) -> Tensor:
    """[softmax]: over everything a picture has."""
    source, name = network.previous(section, flat=True), f"softmax_{section.index}"
    output = Tensor(name, math.prod(source.shape), flat=True)
    return network.add("Softmax", [_flatten(network, source, name)], output, name, axis=1)


def _flatten(network: DarknetNetwork, source: Tensor, name: str) -> str:
    return source.name if source.flat else network.writer.add("Flatten", [source.name], name=f"{name}.flat")


def _pass_on(section: Section, network: DarknetNetwork) -> Tensor:
    """[dropout] and [cost] do nothing outside training."""
    return network.previous(section, flat=True)


def _note_head(section: Section, network: DarknetNetwork) -> None:
    """[yolo] and [region] say what the map before them means; decoding is the decode head's."""
    network.heads.append((section, network.previous(section)))


def _write_activation(section: Section, network: DarknetNetwork, source: Tensor) -> Tensor:
    word = section.options["activation"]
    if word == "linear":
        return source
    name, engine_name = f"{word}_{section.index}", f"{word}_{section.index + 1}"  # OpenCV has counted the layer by then
    output = Tensor(name, source.channels, source.height, source.width, source.flat)
    if word == "leaky":
        return network.add("LeakyRelu", [source.name], output, engine_name, alpha=LEAKY_SLOPE)
    if word in ("swish", "silu"):
        gate = network.writer.add("Sigmoid", [source.name], name=f"{name}.gate")
        return network.add("Mul", [source.name, gate], output, engine_name)
    if word == "mish":  # Misra 2019, eq. 1; engines fuse the three into their own Mish
        soft = network.writer.add("Softplus", [source.name], name=f"{name}.softplus")
        gate = network.writer.add("Tanh", [soft], name=f"{name}.gate")
        return network.add("Mul", [source.name, gate], output, engine_name)
    return network.add({"relu": "Relu", "logistic": "Sigmoid", "tanh": "Tanh"}[word], [source.name], output, engine_name)


LAYERS: dict[str, Callable[[Section, DarknetNetwork], Tensor | None]] = {
    "convolutional": _write_convolution,
    "maxpool": _write_maxpool,
    "avgpool": _write_avgpool,
    "upsample": _write_upsample,
    "route": _write_route,
    "shortcut": _write_shortcut,
    "sam": _write_sam,
    "reorg": _write_reorg,
    "connected": _write_connected,
    "softmax": _write_softmax,
    "dropout": _pass_on,
    "cost": _pass_on,
    "yolo": _note_head,
    "region": _note_head,
}

OFF = ("0",)
ACTIVATIONS = ("linear", "leaky", "relu", "logistic", "tanh", "swish", "silu", "mish")
WITH_ACTIVATION: dict[str, tuple[str, ...]] = {"activation": ACTIVATIONS}
# Options that change what a layer computes, and the values we can carry over; options not named here only concern training.
OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "convolutional": WITH_ACTIVATION
    | dict.fromkeys(("flipped", "binary", "xnor", "bin_output", "antialiasing", "assisted_excitation", "coordconv"), OFF)
    | dict.fromkeys(("sway", "rotate", "stretch", "stretch_sway", "dot"), OFF)
    | {"dilation": ("1",), "stride_x": (), "stride_y": (), "share_index": (), "cbn": OFF},
    "maxpool": {"maxpool_depth": OFF, "antialiasing": OFF, "stride_x": (), "stride_y": ()},
    "avgpool": {},
    "upsample": {"scale": ("1", "1.0", "1.")},
    "route": {},
    "shortcut": WITH_ACTIVATION | {"weights_type": ("none",), "alpha": ("1", "1.0"), "beta": ("1", "1.0")},
    "sam": WITH_ACTIVATION,
    "reorg": {"reverse": OFF, "flatten": OFF, "extra": OFF},
    "connected": WITH_ACTIVATION | {"batch_normalize": OFF, "flipped": OFF},
    "softmax": {"groups": ("1",), "temperature": ("1", "1.0"), "spatial": OFF, "tree": ()},
    "dropout": {},
    "cost": {},
    "yolo": {"embedding_layer": ()},
    "region": {"coords": ("4",), "softmax": ("1",), "background": OFF, "tree": ()},
}
