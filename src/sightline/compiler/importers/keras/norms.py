"""Layers that scale: BatchNormalization as it stands at inference, Normalization, Rescaling."""

from collections.abc import Sequence

import numpy as np

from sightline.compiler.importers.keras.graph import GraphBuild, LayerCall, Tensor
from sightline.compiler.importers.keras.settings import LayerSettings
from sightline.core.errors import InvalidInput, Unsupported

SMALLEST_STD = 1e-7  # Keras's epsilon: Normalization divides by no less


def read_norm(path: str, settings: LayerSettings, weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset per channel of a BatchNormalization: gamma / sqrt(variance + epsilon), beta - mean factor.

    Ioffe and Szegedy 2015, algorithm 2. The order of the arrays is gamma, beta, mean, variance; the first two may be absent.
    """
    has_gamma, has_beta = settings.flag("scale", True), settings.flag("center", True)
    if len(weights) != 2 + has_gamma + has_beta or len({array.shape for array in weights}) != 1 or weights[0].ndim != 1:
        shapes = ", ".join(str(array.shape) for array in weights)
        raise InvalidInput(f"layer {path}: expected {2 + has_gamma + has_beta} vectors of one length, got {shapes or 'none'}")
    mean, variance = (array.astype(np.float64) for array in weights[-2:])
    spread = variance + settings.number("epsilon", 1e-3)
    if (spread <= 0).any():
        raise InvalidInput(f"layer {path}: its variances are not positive; the file is damaged")
    factors = (weights[0] if has_gamma else 1) / np.sqrt(spread)
    offsets = (weights[has_gamma] if has_beta else 0) - mean * factors
    return factors.astype(np.float32), offsets.astype(np.float32)


def write_batch_norm(build: GraphBuild, call: LayerCall) -> Tensor:
    """BatchNormalization that could not be folded into the layer in front of it."""
    tensor = call.tensor()
    axis = build.find_axis(call, tensor, _read_axis(call))
    factors, offsets = read_norm(call.path, call.settings, call.weights)
    if axis != 1:
        return _write_affine(build, call, tensor, axis, factors, offsets)
    has_gamma, has_beta = call.settings.flag("scale", True), call.settings.flag("center", True)
    gamma = call.weights[0] if has_gamma else np.ones_like(factors)
    beta = call.weights[has_gamma] if has_beta else np.zeros_like(factors)
    parts = {"gamma": gamma, "beta": beta, "mean": call.weights[-2], "variance": call.weights[-1]}
    constants = [
        build.add_constant(call, name, build.along(call, values, tensor, axis).ravel()) for name, values in parts.items()
    ]
    epsilon = call.settings.number("epsilon", 1e-3)
    output = build.writer.add(
        "BatchNormalization", [tensor.name, *constants], name=call.path, output=call.output, epsilon=epsilon
    )
    return Tensor(output, tensor.shape, tensor.flat_of)


def write_normalization(build: GraphBuild, call: LayerCall) -> Tensor:
    """Normalization with statistics of the training pictures: (x - mean) / std."""
    call.settings.expect("invert", False)
    means, variances = read_statistics(call.settings, call.weights)
    factors = 1 / np.maximum(np.sqrt(np.maximum(variances, 0)), SMALLEST_STD)
    return _write_scaling(build, call, factors, -means * factors)


def write_rescaling(build: GraphBuild, call: LayerCall) -> Tensor:
    """Rescaling: x scale + offset, numbers or one a channel."""
    factors, offsets = (_read_numbers(call.settings, key, default) for key, default in (("scale", 1.0), ("offset", 0.0)))
    return _write_scaling(build, call, factors, offsets)


def read_statistics(settings: LayerSettings, weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances of a Normalization, from its settings or its arrays. Raises: InvalidInput."""
    if settings.get("mean") is not None:
        return _read_numbers(settings, "mean", 0.0), _read_numbers(settings, "variance", 1.0)
    if len(weights) < 2:
        raise InvalidInput(f"layer {settings.layer}: expected mean and variance, got {len(weights)} weights")
    return weights[0].ravel(), weights[1].ravel()


def _read_axis(call: LayerCall) -> int:
    axis = call.settings.get("axis", -1)
    if isinstance(axis, list) and len(axis) == 1:
        axis = axis[0]
    if type(axis) is not int:
        raise Unsupported(f"layer {call.path}: axis {axis!r} is not supported, only one axis")
    return axis


def _read_numbers(settings: LayerSettings, key: str, default: float) -> np.ndarray:
    """A number or nested lists of numbers as a vector."""
    try:
        values = np.asarray(settings.get(key, default), np.float32).ravel()
    except (TypeError, ValueError):
        values = np.array([np.nan], np.float32)
    if not values.size or not np.isfinite(values).all():
        raise InvalidInput(f"layer {settings.layer}: expected {key} as numbers, got {str(settings.get(key))[:80]!r}")
    return values


def _write_scaling(build: GraphBuild, call: LayerCall, factors: np.ndarray, offsets: np.ndarray) -> Tensor:
    """x factors + offsets, with one number for all or one a channel."""
    tensor = call.tensor()
    axis = build.find_axis(call, tensor, _read_axis(call) if factors.size > 1 and call.kind == "Normalization" else -1)
    count = tensor.shape[axis - 1]
    spread = [np.broadcast_to(values, count) if values.size == 1 else values for values in (factors, offsets)]
    return _write_affine(build, call, tensor, axis, *spread)


def _write_affine(
    build: GraphBuild, call: LayerCall, tensor: Tensor, axis: int, factors: np.ndarray, offsets: np.ndarray
) -> Tensor:
    factor, offset = (build.along(call, values, tensor, axis) for values in (factors, offsets))
    scaled = build.writer.add("Mul", [tensor.name, build.add_constant(call, "scale", factor)], name=call.part("mul"))
    shift = build.add_constant(call, "offset", offset)
    output = build.writer.add("Add", [scaled, shift], name=call.path, output=call.output)
    return Tensor(output, tensor.shape, tensor.flat_of)


LAYERS = {
    "BatchNormalization": write_batch_norm,
    "Normalization": write_normalization,
    "Rescaling": write_rescaling,
}
