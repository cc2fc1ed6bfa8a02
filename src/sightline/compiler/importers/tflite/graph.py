"""The ONNX graph of a .tflite file while its operators are carried over one by one.

The file orders the axes of a map N, H, W, C and knows batch 1; the graph orders them N, C, H, W and takes any batch. So every
tensor is held with its layout: "spatial" for a map of rank 4 that lies as (N, C, H, W), "plain" for the file's own order,
"flat" for (N, C * H * W) that the file has as (N, H * W * C). An operator asks for the layout it wants; a Transpose appears
only where what is held lies otherwise. Everything is float32, indices too. A tensor that the file quantises to 8 bits is
followed by its own QuantizeLinear and DequantizeLinear, so the graph computes what the file states and engines fuse the pairs
into integer kernels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx

from sightline.compiler.importers.graph_writer import BATCH, TO_NCHW, TO_NHWC, GraphWriter
from sightline.compiler.importers.tflite.files import OperatorRecord, Quantisation, TensorRecord, TfliteFile
from sightline.core.errors import InvalidInput, Unsupported

Layout = Literal["plain", "spatial", "flat"]
Shape = tuple[int, ...]
TO_SPATIAL_AXIS = (0, 2, 3, 1)  # where each axis of (N, H, W, C) is in (N, C, H, W)
QUANTISED_KINDS = {"UINT8": np.uint8, "INT8": np.int8}
# ActivationFunctionType of the schema: operator, lowest, highest value. The kernels know no others in fused form.
ACTIVATIONS: dict[int, tuple[str, float, float]] = {
    1: ("Relu", 0.0, np.inf),
    2: ("Clip", -1.0, 1.0),
    3: ("Clip", 0.0, 6.0),
}


@dataclass(frozen=True)
class Held:
    """Where a tensor of the file is in the graph.

    Attributes:
        name: the graph's tensor.
        layout: how it lies there.
        pads: zeros that the file puts around the map before this and that are not there yet: top, left, bottom, right.
    """

    name: str
    layout: Layout
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


class GraphBuilder:
    """Holds the tensors of a file in a growing ONNX graph. Shapes are the file's, with batch 1, axes in the file's order."""

    def __init__(self, file: TfliteFile, picture_shape: Shape) -> None:
        self.file = file
        self.writer = GraphWriter(file.path.stem)
        self.constants: dict[int, np.ndarray] = {i: t.data for i, t in enumerate(file.tensors) if t.data is not None}
        self.shapes: dict[int, Shape] = {index: values.shape for index, values in self.constants.items()}
        self.held: dict[int, Held] = {}
        self.flat_maps: dict[int, Shape] = {}  # the map (N, H, W, C) that a "flat" tensor is
        self.absorbed: set[int] = set()  # first outputs of operators that another one has carried over already
        self.layers: dict[str, tuple[int, Layout]] = {}
        self.notes: dict[str, None] = {}
        self._cache: dict[Any, str] = {}
        self._is_resized = any(file.tensors[index].is_free for index in file.inputs)
        self._add_input(file.inputs[0], picture_shape)

    def tensor(self, index: int) -> TensorRecord:
        """What the file says of a tensor."""
        return self.file.tensors[index]

    def name(self, operator: OperatorRecord) -> str:
        """The file's name of what an operator computes, which its nodes carry."""
        return self.tensor(operator.outputs[0]).name

    def title(self, operator: OperatorRecord) -> str:
        """An operator in words: "CONV_2D features of net.tflite"."""
        return f"{operator.kind} {self.name(operator)} of {self.file.path.name}"

    def shape(self, index: int) -> Shape:
        """Shape of a tensor that is computed or constant. Raises: InvalidInput when nothing wrote it."""
        if index not in self.shapes:
            raise InvalidInput(f"{self.file.path.name} reads tensor {index} before it is written; get the file again")
        return self.shapes[index]

    def quantisation(self, index: int) -> Quantisation | None:
        """Scale and zero point of a tensor that is stored in 8 bits, else None."""
        tensor = self.tensor(index)
        return tensor.quantisation if tensor.kind in QUANTISED_KINDS else None

    def consumers(self, index: int) -> list[OperatorRecord]:
        """Operators that read a tensor."""
        return [operator for operator in self.file.operators if index in operator.inputs]

    def numbers(self, index: int, what: str) -> tuple[int, ...]:
        """A constant of whole numbers. Raises: Unsupported when the network computes it."""
        if index not in self.constants:
            raise Unsupported(f"{self.file.path.name} computes {what} ({self.tensor(index).name}) from the picture")
        return tuple(int(value) for value in np.atleast_1d(self.constants[index]).ravel())

    def real(self, index: int) -> np.ndarray:
        """The real values of a constant, float32. Raises: Unsupported when the network computes it."""
        if index not in self.constants:
            raise Unsupported(f"{self.file.path.name} computes {self.tensor(index).name}, which we need as a constant")
        return dequantise(self.constants[index], self.tensor(index).quantisation)

    def spatial(self, index: int) -> str:
        """A map of rank 4 as `(N, C, H, W)`, padded as the file says."""
        held = self._held(index)
        if held.layout == "spatial" and not any(held.pads):
            return held.name
        if held.layout == "spatial":
            top, left, bottom, right = held.pads
            pads = self.add_numbers("pads", [0, 0, top, left, 0, 0, bottom, right])
            return self._once((index, "padded"), "Pad", [held.name, pads], f"{held.name}/padded")
        return self._once((index, "spatial"), "Transpose", [held.name], f"{held.name}/nchw", perm=TO_NCHW)

    def plain(self, index: int) -> str:
        """A tensor in the file's own order of axes."""
        held = self._held(index)
        if held.layout == "plain":
            return held.name
        name, (_, height, width, channels) = self.spatial(index), self.shape(index)
        if height * width == 1 or channels == 1:  # the order of the values is the same
            target = self.add_numbers("shape", [0, height, width, channels])
            return self._once((index, "plain"), "Reshape", [name, target], f"{held.name}/nhwc")
        return self._once((index, "plain"), "Transpose", [name], f"{held.name}/nhwc", perm=TO_NHWC)

    def is_spatial(self, index: int) -> bool:
        """Whether a tensor lies as `(N, C, H, W)`."""
        return index in self.held and self.held[index].layout == "spatial"

    def choose_layout(self, indices: Sequence[int], rank: int) -> Layout:
        """The layout in which operands meet with the fewest Transposes."""
        computed = [index for index in indices if index not in self.constants]
        fits = rank == 4 and all(len(self.shape(index)) == 4 for index in computed)
        return "spatial" if fits and any(self.is_spatial(index) for index in computed) else "plain"

    def operand(self, index: int, layout: Layout, rank: int = 0) -> str:
        """A tensor or a constant in a layout; a constant is brought to `rank` by axes of length 1 in front."""
        if index not in self.constants:
            return self.spatial(index) if layout == "spatial" else self.plain(index)
        key = (index, layout, rank)
        if key not in self._cache:
            values = self.constants[index]
            values = values.reshape((1,) * (rank - values.ndim) + values.shape)
            self._cache[key] = self._add_constant(index, values.transpose(TO_NCHW) if layout == "spatial" else values)
        return self._cache[key]

    def emit(
        self,
        operator: OperatorRecord,
        kind: str,
        inputs: Sequence[str],
        shape: Shape,
        layout: Layout,
        activation: int = 0,
        **attributes: Any,
    ) -> None:
        """The node that computes an operator's first output, then its fused activation, then the output's quantisation.

        Where the quantised range does not imply the activation, the value is rounded before it as well. Clamping and rounding
        may change places, so that is the same number, and engines that fuse an activation before they look for pairs would run
        the whole layer in float otherwise.
        """
        index = operator.outputs[0]
        name, quantisation = self.tensor(index).name, self.quantisation(index)
        step = self.needed_activation(activation, index)
        first = f"{name}/linear" if quantisation is not None or step else name
        value = self.writer.add(kind, inputs, name=name, output=first, **attributes)
        if step is not None:
            if quantisation is not None:
                value = self.add_pair(value, quantisation, self.tensor(index).kind, f"{name}/linear", f"{name}/rounded")
            value = self.add_activation(step, value, f"{name}/activation", name if quantisation is None else f"{name}/active")
        self.put(index, value, shape, layout)

    def add_activation(self, step: tuple[str, float, float], value: str, name: str, output: str) -> str:
        """A node of `ACTIVATIONS`."""
        kind, lowest, highest = step
        limits = [self.add_scalar(lowest), self.add_scalar(highest)] if kind == "Clip" else []
        return self.writer.add(kind, [value, *limits], name=name, output=output)

    def put(self, index: int, value: str, shape: Shape, layout: Layout) -> None:
        """Hold a computed tensor, quantised as the file says. Raises: InvalidInput when the file states another shape."""
        self._check_shape(index, shape)
        if (quantisation := self.quantisation(index)) is not None:
            name = self.tensor(index).name
            value = self.add_pair(value, quantisation, self.tensor(index).kind, name, name)
        self.hold(index, Held(value, layout), shape)

    def hold(self, index: int, held: Held, shape: Shape) -> None:
        """Hold a tensor under another one's name: what changes nothing but the layout."""
        self.shapes[index], self.held[index] = shape, held
        if held.layout != "flat" and not any(held.pads):
            self.layers.setdefault(held.name, (index, held.layout))

    def alias(self, index: int, source: int) -> None:
        """Hold the values of `source` as they are."""
        shape, held = self.shape(source), self._held(source)
        name = self.spatial(source) if held.layout == "spatial" else held.name
        if self.quantisation(index) is None:
            self._check_shape(index, shape)
            self.hold(index, Held(name, held.layout), shape)
        else:
            self.move(index, source, name, shape, held.layout)

    def move(self, index: int, source: int, value: str, shape: Shape, layout: Layout) -> None:
        """Hold a value whose numbers are those of `source`; quantised again only where the two differ in that."""
        if self.has_same_scale(index, source):
            self._check_shape(index, shape)
            self.hold(index, Held(value, layout), shape)
        else:
            self.put(index, value, shape, layout)

    def moved_name(self, index: int, source: int) -> str:
        """The name for the output of a node that only moves the numbers of `source`."""
        name = self.tensor(index).name
        return name if self.has_same_scale(index, source) else f"{name}/linear"

    def has_same_scale(self, index: int, other: int) -> bool:
        """Whether two tensors are stored alike, so that one's values need no rounding to be the other's."""
        first, second = self.quantisation(index), self.quantisation(other)
        if first is None or second is None:
            return first is second
        kinds = self.tensor(index).kind == self.tensor(other).kind
        return kinds and bool(first.scales[0] == second.scales[0] and first.zero_points[0] == second.zero_points[0])

    def add_pair(self, value: str, quantisation: Quantisation, kind: str, name: str, output: str) -> str:
        """QuantizeLinear and DequantizeLinear behind a value; returns the real values' name."""
        if len(quantisation.scales) > 1:
            raise Unsupported(f"{self.file.path.name} quantises the values of {name} per channel; we know that of weights only")
        scale, zero = self.add_scale(*make_unsigned(quantisation, kind))
        stored = self.writer.add("QuantizeLinear", [value, scale, zero], name=f"{name}/quantize", output=f"{name}/quantized")
        return self.writer.add("DequantizeLinear", [stored, scale, zero], name=f"{name}/dequantize", output=output)

    def add_scale(self, quantisation: Quantisation, kind: str) -> tuple[str, str]:
        """Constants of a scale and a zero point, scalars or one per channel; equal ones are shared."""
        scales, zeros = quantisation.scales, quantisation.zero_points.astype(QUANTISED_KINDS[kind])
        if len(scales) == 1:
            scales, zeros = scales.reshape(()), zeros.reshape(())
        names = []
        for what, values in (("scale", scales), ("zero_point", zeros)):
            key = (what, kind, values.shape, values.tobytes())
            if key not in self._cache:
                self._cache[key] = self.writer.add_weight(what, values)
            names.append(self._cache[key])
        return names[0], names[1]

    def add_numbers(self, what: str, numbers: Sequence[int]) -> str:
        """A constant vector of int64; equal ones are shared."""
        key = (what, tuple(numbers))
        if key not in self._cache:
            self._cache[key] = self.writer.add_weight(what, np.array(numbers, np.int64))
        return self._cache[key]

    def add_scalar(self, value: float) -> str:
        """A constant float32 scalar; equal ones are shared."""
        key = ("scalar", value)
        if key not in self._cache:
            self._cache[key] = self.writer.add_weight("value", np.array(value, np.float32))
        return self._cache[key]

    def finish(self, doc: str) -> onnx.ModelProto:
        """Close the graph at the file's outputs: maps as `(N, C, H, W)`, everything else in the file's order."""
        outputs: dict[str, Sequence[int | str]] = {}
        for index in self.file.outputs:
            name, shape = self._add_output(index)
            outputs[name] = (BATCH, *shape)
        self.layers = {name: place for name, place in self.layers.items() if name not in outputs}
        return self.writer.finish(outputs, doc)

    @property
    def output_names(self) -> Mapping[str, int]:
        """Tensor number of each output by the graph's name; complete after `finish`."""
        return self._outputs

    def output_layout(self, index: int) -> Layout:
        """How an output lies: as every map, or as the file has it."""
        return "spatial" if len(self.shape(index)) == 4 else "plain"

    def _add_output(self, index: int) -> tuple[str, Shape]:
        shape, tensor = self.shape(index), self.tensor(index)
        if index in self.constants or not shape:
            raise Unsupported(f"output {tensor.name} of {self.file.path.name} does not depend on the picture")
        rest: Shape
        if len(shape) == 4:
            value, rest = self.spatial(index), (shape[3], shape[1], shape[2])
        else:
            value, rest = self.plain(index), shape[1:]
        if shape[0] != 1:  # the batch was merged into the first axis
            rest = shape
            value = self.writer.add("Reshape", [value, self.add_numbers("shape", [-1, *shape])], name=f"{tensor.name}/batch")
        if value != tensor.name or value in self._outputs or index == self.file.inputs[0]:
            value = self.writer.add("Identity", [value], name=f"{tensor.name}/output", output=tensor.name)
        self._outputs[value] = index
        return value, rest

    def _add_input(self, index: int, shape: Shape) -> None:
        self._outputs: dict[str, int] = {}
        _, height, width, channels = shape
        tensor = self.tensor(index)
        value = self.writer.add_input(tensor.name, (channels, height, width))
        if (quantisation := self.quantisation(index)) is not None:
            value = self.add_pair(value, quantisation, tensor.kind, tensor.name, f"{tensor.name}/real")
        self.shapes[index], self.held[index] = shape, Held(value, "spatial")

    def _held(self, index: int) -> Held:
        if index not in self.held:
            raise InvalidInput(f"{self.file.path.name} reads tensor {index} before it is written; get the file again")
        return self.held[index]

    def _once(self, key: Any, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        if key not in self._cache:
            self._cache[key] = self.writer.add(kind, inputs, name=name, **attributes)
        return self._cache[key]

    def _add_constant(self, index: int, values: np.ndarray) -> str:
        """A constant's real values; stored in 8 bits behind a DequantizeLinear where the file does so with one scale."""
        tensor, quantisation = self.tensor(index), self.quantisation(index)
        if quantisation is None or len(quantisation.scales) > 1:
            return self.writer.add_weight(tensor.name, dequantise(values, tensor.quantisation))
        scale, zero = self.add_scale(*make_unsigned(quantisation, tensor.kind))
        unsigned = values if tensor.kind == "UINT8" else (values.astype(np.int16) + 128).astype(np.uint8)
        stored = self.writer.add_weight(f"{tensor.name}/quantized", unsigned)
        return self.writer.add("DequantizeLinear", [stored, scale, zero], name=f"{tensor.name}/dequantize", output=tensor.name)

    def needed_activation(self, activation: int, index: int) -> tuple[str, float, float] | None:
        """The activation in front of an output, unless the output's quantised range ends where it would clip."""
        if activation == 0:
            return None
        if activation not in ACTIVATIONS:
            raise Unsupported(f"{self.file.path.name} fuses activation {activation} into {self.tensor(index).name}")
        _, lowest, highest = ACTIVATIONS[activation]
        quantisation = self.quantisation(index)
        if quantisation is None:
            return ACTIVATIONS[activation]
        first, last = range_of(quantisation, self.tensor(index).kind)
        half_step = float(quantisation.scales[0]) / 2
        is_implied = first >= lowest - half_step and last <= highest + half_step
        return None if is_implied else ACTIVATIONS[activation]

    def _check_shape(self, index: int, shape: Shape) -> None:
        stated = self.tensor(index)
        if stated.shape and not stated.is_free and not self._is_resized and stated.shape != shape:
            raise InvalidInput(
                f"expected {stated.name} of shape {stated.shape} as {self.file.path.name} states it, "
                f"its operator gives {shape}; get the file again"
            )


def dequantise(values: np.ndarray, quantisation: Quantisation | None) -> np.ndarray:
    """Real values, float32, of stored ones; per channel only when `values` has the file's order of axes."""
    if quantisation is None:
        return values.astype(np.float32)
    scales, zeros = quantisation.scales, quantisation.zero_points
    if len(scales) > 1:
        shape = [1] * values.ndim
        shape[quantisation.axis] = len(scales)
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    real: np.ndarray = (values.astype(np.int64) - zeros) * scales.astype(np.float64)
    return real.astype(np.float32)


def make_unsigned(quantisation: Quantisation, kind: str) -> tuple[Quantisation, str]:
    """The same real values stored as uint8: ONNX Runtime fuses no int8 activations on x86, and 128 more is as exact."""
    if kind == "UINT8":
        return quantisation, kind
    return Quantisation(quantisation.scales, quantisation.zero_points + 128, quantisation.axis), "UINT8"


def range_of(quantisation: Quantisation, kind: str) -> tuple[float, float]:
    """The real values of the least and the greatest number that an 8-bit tensor can store."""
    limits = np.iinfo(QUANTISED_KINDS[kind])
    scale, zero = float(quantisation.scales[0]), int(quantisation.zero_points[0])
    return scale * (limits.min - zero), scale * (limits.max - zero)
