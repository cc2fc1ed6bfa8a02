"""Quantised tensors of OpenVINO: FakeQuantize on activations, int8 weights behind a scale, as ONNX QuantizeLinear pairs.

FakeQuantize rounds a number to one of `levels` steps between two limits (OpenVINO, FakeQuantize-1). When the limits lie on a
grid of 8-bit numbers, it is QuantizeLinear and DequantizeLinear exactly; otherwise it stays float arithmetic. Integer weights
are folded to float32 when nothing in front of them is quantised: then they only saved space.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.compiler.importers.openvino.constants import Constants, Node, Output, get_type, widen
from sightline.compiler.importers.openvino.context import Context, get_shape

GRID_TOLERANCE = 1e-3  # of a step, between the lower limit and the grid
PASSED_THROUGH = {"Convert", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}


@dataclass(frozen=True)
class QuantisedWeights:
    """int8 weights with the step of each of them: values times steps, both of one shape."""

    values: np.ndarray
    steps: np.ndarray

    def reshape(self, shape: tuple[int, ...]) -> "QuantisedWeights":
        """The same numbers in another shape."""
        return QuantisedWeights(self.values.reshape(shape), self.steps.reshape(shape))

    def find_steps(self, axis: int | None) -> np.ndarray | None:
        """The one step `()`, or the step of each place along an axis `(C,)`; None when they differ otherwise."""
        if (self.steps == self.steps.flat[0]).all():
            return np.array(self.steps.flat[0])
        if axis is None:
            return None
        rows = np.moveaxis(self.steps, axis, 0).reshape(self.steps.shape[axis], -1)
        return rows[:, 0].copy() if (rows == rows[:, :1]).all() else None


@dataclass(frozen=True)
class Grid:
    """Limits that lie on a grid of 8-bit numbers: number = (stored + lowest) * step."""

    step: np.ndarray
    lowest: np.ndarray


def find_grid(low: np.ndarray, high: np.ndarray, levels: int) -> Grid | None:
    """The grid of a FakeQuantize's limits, or None when they lie on none, or are no range."""
    if not 2 <= levels <= 256 or not np.isfinite(low).all() or not np.isfinite(high).all():
        return None
    low, high = np.broadcast_arrays(low.astype(np.float64), high.astype(np.float64))
    if (high <= low).any():
        return None
    step = (high - low) / (levels - 1)
    lowest = np.rint(low / step)
    if np.abs(low / step - lowest).max() > GRID_TOLERANCE or (lowest > 0).any() or (lowest < 1 - levels).any():
        return None
    return Grid(step.astype(np.float32), lowest)


def find_quantised(constants: Constants, output: Output) -> QuantisedWeights | None:
    """The integers behind weights: int8 constant -> Convert [-> Subtract] -> Multiply, or FakeQuantize of a constant.

    Reshapes and transposes behind them are carried out. None when there are none, or their zero point is not 0.
    """
    later: list[Node] = []
    node = output.get_node()
    while node.get_type_name() in PASSED_THROUGH and constants.read(node.output(0)) is not None:
        later.append(node)
        node = node.input_value(0).get_node()
    found = None
    if node.get_type_name() == "Multiply":
        found = _read_scaled(constants, node)
    elif node.get_type_name() == "FakeQuantize":
        found = _quantise_weights(constants, node)
    for one in reversed(later):
        found = None if found is None else _lay_out(constants, one, found)
    return found


def convert_fake_quantize(c: Context, node: Node) -> str:
    """FakeQuantize of a picture-dependent tensor."""
    levels = int(node.get_attributes()["levels"])
    limits = [c.need(node, index, "limits") for index in range(1, 5)]
    source, target = find_grid(limits[0], limits[1], levels), find_grid(limits[2], limits[3], levels)
    axis = _find_axis(limits, len(get_shape(node)))
    if source is None or target is None or axis is None:
        return _write_float(c, node, limits, levels)
    x = c.get(node, 0)
    if levels < 256:  # the 8-bit type would let one number more through
        x = c.step(node, "clipped", "Max", [c.step(node, "upper", "Min", [x, _limit(c, node, "high", limits[1])]),
                                            _limit(c, node, "low", limits[0])])  # fmt: skip
    attributes = {"axis": axis[0]} if axis else {}
    quantised = c.step(node, "quantised", "QuantizeLinear", [x, *_write_grid(c, node, "input", source)], **attributes)
    name = c.add(node, "DequantizeLinear", [quantised, *_write_grid(c, node, "output", target)], **attributes)
    if not axis:
        c.steps[name] = target.step.reshape(())
    return name


def _write_grid(c: Context, node: Node, which: str, grid: Grid) -> list[str]:
    """Step and zero point, unsigned: what both CPU engines run fastest, whatever the sign of the numbers."""
    shape = () if grid.step.size == 1 else (-1,)
    step, zero_point = grid.step.reshape(shape), (-grid.lowest).astype(np.uint8).reshape(shape)
    return [c.weight(node, f"{which}_scale", step), c.weight(node, f"{which}_zero_point", zero_point)]


def _limit(c: Context, node: Node, which: str, values: np.ndarray) -> str:
    return c.weight(node, which, values.astype(np.float32))


def _find_axis(limits: list[np.ndarray], rank: int) -> tuple[int, ...] | None:
    """() for one range, (axis,) for a range for each place along an axis, None for anything else."""
    shape = np.broadcast_shapes(*(values.shape for values in limits))
    if len(shape) > rank:
        return None
    wide = tuple(rank - len(shape) + index for index, size in enumerate(shape) if size > 1)
    same = all(values.size == 1 for values in limits) or all(values.shape == shape for values in limits)
    return wide if len(wide) <= 1 and same else None


def _write_float(c: Context, node: Node, limits: list[np.ndarray], levels: int) -> str:
    """FakeQuantize-1 as it is defined: round((x - low) / step) steps of the output, limits included."""
    low, high, new_low, new_high = (values.astype(np.float64) for values in limits)
    step = np.where(high > low, high - low, 1.0) / (levels - 1)
    c.notes.append(f"{node.get_friendly_name()} quantises to no 8-bit grid: it is kept as float arithmetic")
    upper = c.step(node, "upper", "Min", [c.get(node, 0), _limit(c, node, "high", high)])
    clipped = c.step(node, "clipped", "Max", [upper, _limit(c, node, "low", low)])
    moved = c.step(node, "moved", "Sub", [clipped, _limit(c, node, "origin", low)])
    rounded = c.step(node, "rounded", "Round", [c.step(node, "scaled", "Div", [moved, _limit(c, node, "step", step)])])
    new_step = _limit(c, node, "new_step", (new_high - new_low) / (levels - 1))
    return c.add(node, "Add", [c.step(node, "rescaled", "Mul", [rounded, new_step]), _limit(c, node, "new_low", new_low)])


def _read_scaled(constants: Constants, node: Node) -> QuantisedWeights | None:
    """Convert(int8) [- zero point] times a scale."""
    for data, scale in ((0, 1), (1, 0)):
        steps = constants.read(node.input_value(scale))
        integers = _read_integers(constants, node.input_value(data))
        if steps is not None and integers is not None and (steps > 0).all() and steps.dtype.kind == "f":
            steps = np.broadcast_to(widen(steps), integers.shape) if steps.ndim <= integers.ndim else None
            return None if steps is None else QuantisedWeights(integers, steps)
    return None


def _read_integers(constants: Constants, output: Output) -> np.ndarray | None:
    """The int8 values behind a Convert and perhaps a Subtract of their zero point."""
    node, zero_point = output.get_node(), np.zeros((), np.int64)
    if node.get_type_name() == "Subtract":
        offset = constants.read(node.input_value(1))
        if offset is None or (offset != np.rint(offset)).any():
            return None
        node, zero_point = node.input_value(0).get_node(), offset.astype(np.int64)
    if node.get_type_name() != "Convert" or get_type(node.input_value(0)) not in ("i8", "u8"):
        return None
    values = constants.read(node.input_value(0))
    if values is None:
        return None
    moved = values.astype(np.int64) - zero_point
    in_range = moved.shape == values.shape and moved.min(initial=0) >= -128 and moved.max(initial=0) <= 127
    return moved.astype(np.int8) if in_range else None


def _quantise_weights(constants: Constants, node: Node) -> QuantisedWeights | None:
    inputs = [constants.read(source) for source in node.input_values()]
    levels = int(node.get_attributes()["levels"])
    if any(values is None for values in inputs):
        return None
    data, *limits = (widen(values) for values in inputs if values is not None)
    source, target = find_grid(limits[0], limits[1], levels), find_grid(limits[2], limits[3], levels)
    if source is None or target is None:
        return None
    whole = np.rint((np.clip(data, limits[0], limits[1]) - limits[0]) / source.step) + target.lowest
    if whole.min() < -128 or whole.max() > 127 or whole.shape != data.shape:
        return None
    return QuantisedWeights(whole.astype(np.int8), np.broadcast_to(target.step, data.shape))


def _lay_out(constants: Constants, node: Node, weights: QuantisedWeights) -> QuantisedWeights | None:
    kind = node.get_type_name()
    if kind == "Convert":
        return weights
    if kind == "Transpose":
        order = constants.read(node.input_value(1))
        if order is None:
            return None
        axes = [int(axis) for axis in order] or list(range(weights.values.ndim))[::-1]
        return QuantisedWeights(weights.values.transpose(axes), weights.steps.transpose(axes))
    made = constants.read(node.output(0))
    return None if made is None else weights.reshape(made.shape)


CONVERTERS: dict[str, Callable[[Context, Any], str]] = {"FakeQuantize": convert_fake_quantize}
