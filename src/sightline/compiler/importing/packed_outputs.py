"""Outputs that pack several tensors into one: which of their channels belong together, and how far each part is off.

Exported YOLO networks end in a Concat of boxes in pixels and scores of 0..1. Beside the boxes' magnitude no error of the scores
shows, not even that all of them are lost. So every part is also measured against its own magnitude, as if it were an output.
The parts are read off the graph: each joined tensor gets a number in place of its values, and the operators behind it, which
only move values, carry the numbers to where the values would stand.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sightline.compiler.importers.onnx.forms import open_unoptimised
from sightline.runtime.backend import Tensors

# Operators that only move values, with the places of the inputs whose values they move; of a Concat it is all of them.
MOVED_INPUTS: dict[str, tuple[int, ...]] = dict.fromkeys(
    ("Identity", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Slice", "Split", "Gather", "Expand"), (0,)
) | {"ScatterND": (0, 2), "ScatterElements": (0, 2)}
NUMBERED = " numbered"  # appended to the name of a tensor whose values are replaced by numbers
LEAST_SHARE = 1e-6  # of the whole output's magnitude; a part below it is what rounding in FP32 leaves


class Part(NamedTuple):
    """Channels of an output that come from one tensor.

    Attributes:
        output: name of the output.
        axis: of the channels.
        places: of the channels along it, rising.
    """

    output: str
    axis: int
    places: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people: "output0, channels 4 to 83"."""
        first, last = self.places[0], self.places[-1]
        if last - first + 1 == len(self.places):
            return f"{self.output}, channel{'' if first == last else 's'} {first}" + (f" to {last}" if first < last else "")
        return f"{self.output}, {len(self.places)} channels from {first} to {last}"

    def take(self, values: np.ndarray) -> np.ndarray:
        """What is of this part in its output's values."""
        return np.take(values, self.places, axis=self.axis)


def list_joins(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The Concats whose result reaches an output with nothing behind them that computes."""
    return [node for output in model.graph.output for node in _trace(model, output.name)[0] if node.op_type == "Concat"]


def find_parts(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[Part]:
    """The parts of all packed outputs; of an output that packs nothing there are none.

    Args: model: float graph; inputs: one picture.
    """
    traced = {output.name: _trace(model, output.name) for output in model.graph.output}
    packed = {name: found for name, found in traced.items() if len(found[1]) > 1}
    if not packed:
        return []
    names = [name + NUMBERED for name in packed]
    numbers = open_unoptimised(_number(model, packed)).run(names, dict(inputs))
    return [part for name, found in zip(packed, numbers, strict=True) for part in _split(name, found)]


def find_part_error(parts: Sequence[Part], expected: Tensors, actual: Tensors) -> tuple[float, Part | None]:
    """Largest difference of a part over its own largest magnitude, and the part; (0, None) without parts.

    Infinite for other shapes or where a value is not finite.
    """
    worst: tuple[float, Part | None] = 0.0, None
    for part in parts:
        before, after = expected[part.output], actual[part.output]
        error = float("inf")
        if before.shape == after.shape:
            scale = max(float(np.abs(part.take(before)).max()), LEAST_SHARE * float(np.abs(before).max())) or 1.0
            with np.errstate(invalid="ignore"):
                error = float(np.abs(part.take(after) - part.take(before)).max() / scale)
        if not error <= worst[0]:
            worst = error if np.isfinite(error) else float("inf"), part
    return worst


def measure_parts(parts: Sequence[Part], before: Sequence[Tensors], after: Sequence[Tensors]) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares of every part on every picture, each `(pictures, parts)`: of the difference, and of what is expected.

    Args: before, after: outputs of each picture, of equal shapes.
    """
    noise, power = np.zeros((2, len(before), len(parts)))
    for row, (one, other) in enumerate(zip(before, after, strict=True)):
        for column, part in enumerate(parts):
            whole = one[part.output].astype(np.float64)
            noise[row, column] = np.square(part.take(other[part.output]) - part.take(whole)).mean()
            power[row, column] = max(np.square(part.take(whole)).mean(), LEAST_SHARE**2 * np.square(whole).mean())
    return noise, power


def divide_squares(noise: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Relative errors, root mean square, of mean squares over all pictures `(..., parts)`; of nothing but zeros absolute."""
    return np.sqrt(noise / np.where(power > 0, power, 1.0))


def _trace(model: onnx.ModelProto, output: str) -> tuple[list[onnx.NodeProto], list[str]]:
    """The operators that only move values to an output, in the graph's order, and the tensors whose values they move."""
    makers = {name: node for node in model.graph.node for name in node.output}
    movers: set[str] = set()
    joined: dict[str, None] = {}
    waiting = [output]
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        places = list_moved(node) if node is not None else ()
        if node is None or not places:
            joined[name] = None
        elif node.output[0] not in movers:
            movers.add(node.output[0])
            waiting += [node.input[place] for place in places]
    return [node for node in model.graph.node if node.output and node.output[0] in movers], list(joined)


def list_moved(node: onnx.NodeProto) -> Sequence[int]:
    """Places of the inputs whose values an operator moves; none for one that computes."""
    return range(len(node.input)) if node.op_type == "Concat" else MOVED_INPUTS.get(node.op_type, ())


def _number(model: onnx.ModelProto, packed: Mapping[str, tuple[list[onnx.NodeProto], list[str]]]) -> onnx.ModelProto:
    """A copy of the graph that gives, for each packed output, the numbers of the tensors its values come from."""
    copy = deepcopy(model)
    movers = {node.output[0] for nodes, _ in packed.values() for node in nodes}
    joined = dict.fromkeys(name for _, names in packed.values() for name in names)
    for number, name in enumerate(joined):
        value = numpy_helper.from_array(np.array([number], np.float32))
        copy.graph.node.append(helper.make_node("Shape", [name], [f"{name}{NUMBERED} shape"]))
        copy.graph.node.append(helper.make_node("ConstantOfShape", [f"{name}{NUMBERED} shape"], [name + NUMBERED], value=value))
    for node in model.graph.node:
        if node.output and node.output[0] in movers:
            copy.graph.node.append(_carry_numbers(node))
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name + NUMBERED) for name in packed)
    return copy


def _carry_numbers(node: onnx.NodeProto) -> onnx.NodeProto:
    """The same operator on numbers in place of values; numbers keep their type."""
    carried = deepcopy(node)
    carried.name = node.name + NUMBERED if node.name else ""
    for place in list_moved(node):
        carried.input[place] += NUMBERED
    for place, name in enumerate(node.output):
        carried.output[place] = name + NUMBERED if name else ""
    if node.op_type == "Cast":
        carried.op_type = "Identity"
        del carried.attribute[:]
    return carried


def _split(output: str, numbers: np.ndarray) -> list[Part]:
    """Channels of equal numbers at every place, as parts; none when all channels are alike.

    The channels of `(N, C, P)` and `(N, P, C)` are the shorter axis: along the other the places of several scales are joined,
    which are all of one kind. Of maps it is the shortest axis that differs.
    """
    axes = sorted(range(1, numbers.ndim), key=lambda axis: numbers.shape[axis])
    for axis in axes[:1] if numbers.ndim == 3 else axes:
        rows = np.moveaxis(numbers, axis, 0).reshape(numbers.shape[axis], -1)
        _, kinds = np.unique(rows, axis=0, return_inverse=True)
        kinds = kinds.reshape(-1)
        if kinds.size and kinds.max() > 0:
            places = sorted(tuple(np.flatnonzero(kinds == kind).tolist()) for kind in range(kinds.max() + 1))
            return [Part(output, axis, one) for one in places]
    return []
