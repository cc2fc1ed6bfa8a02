"""SLICE and STRIDED_SLICE of a .tflite file: which part of a tensor they take, worked out once for constants and for maps.

The masks of STRIDED_SLICE follow `tf.strided_slice`: bit i speaks of entry i of the specification; an ellipsis stands for as
many whole axes as are missing, a new axis takes none of the source, a shrunk axis is one index and leaves the shape.
"""

from dataclasses import dataclass

from sightline.compiler.importers.tflite.files import OperatorRecord
from sightline.compiler.importers.tflite.graph import TO_SPATIAL_AXIS, GraphBuilder, Shape
from sightline.compiler.importers.tflite.reshapes import emit_reshape
from sightline.core.errors import InvalidInput, Unsupported


@dataclass(frozen=True)
class AxisCut:
    """What is taken of one axis, as `range(start, stop, step)`; stop is -1 for "down to the first"."""

    start: int
    stop: int
    step: int

    @property
    def size(self) -> int:
        """Number of places taken."""
        return len(range(self.start, self.stop, self.step))


@dataclass(frozen=True)
class Cut:
    """A part of a tensor: one `AxisCut` for each axis of the source, and the shape of the result."""

    axes: tuple[AxisCut, ...]
    shape: Shape


def convert_slice(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SLICE and STRIDED_SLICE; the batch axis must be taken whole, or be dropped where it is merely an axis of length 1."""
    source, output = operator.inputs[0], operator.outputs[0]
    cut = read_slice(builder, operator) if operator.kind == "SLICE" else read_strided_slice(builder, operator)
    shape, taken = builder.shape(source), tuple(axis.size for axis in cut.axes)
    if cut.axes[0] != AxisCut(0, shape[0], 1):
        raise Unsupported(f"{builder.tensor(output).name} cuts the batch axis, which must stay free")
    places = [index for index, (axis, size) in enumerate(zip(cut.axes, shape, strict=True)) if axis != AxisCut(0, size, 1)]
    if not places:
        emit_reshape(builder, operator, cut.shape)
        return
    layout = builder.choose_layout([source], len(shape)) if cut.shape == taken else "plain"
    axes = [cut.axes[index] for index in places]
    inputs = [
        builder.operand(source, layout),
        builder.add_numbers("starts", [axis.start for axis in axes]),
        builder.add_numbers("ends", [axis.stop if axis.stop >= 0 else -(2**31) for axis in axes]),
        builder.add_numbers("axes", [TO_SPATIAL_AXIS[index] if layout == "spatial" else index for index in places]),
        builder.add_numbers("steps", [axis.step for axis in axes]),
    ]
    if cut.shape == taken:
        builder.emit(operator, "Slice", inputs, cut.shape, layout)
        return
    part = builder.writer.add("Slice", inputs, name=f"{builder.tensor(output).name}/part")
    first = 0 if cut.shape[:1] == taken[:1] else -1
    builder.emit(operator, "Reshape", [part, builder.add_numbers("shape", [first, *cut.shape[1:]])], cut.shape, "plain")


def read_slice(builder: GraphBuilder, operator: OperatorRecord) -> Cut:
    """The part a SLICE takes: a beginning and a size for each axis, -1 for all that is left."""
    shape = builder.shape(operator.inputs[0])
    begins, sizes = builder.numbers(operator.inputs[1], "a slice"), builder.numbers(operator.inputs[2], "a slice")
    if not len(begins) == len(sizes) == len(shape) or not shape:
        raise InvalidInput(f"{builder.name(operator)} slices {shape} by {len(begins)} and {len(sizes)} numbers")
    axes = []
    for length, begin, size in zip(shape, begins, sizes, strict=True):
        end = length if size == -1 else begin + size
        if not 0 <= begin <= end <= length:
            raise InvalidInput(f"{builder.name(operator)} takes {begin} to {end} of {length}")
        axes.append(AxisCut(begin, end, 1))
    return Cut(tuple(axes), tuple(axis.size for axis in axes))


def read_strided_slice(builder: GraphBuilder, operator: OperatorRecord) -> Cut:
    """The part a STRIDED_SLICE takes, its masks resolved."""
    shape, options = builder.shape(operator.inputs[0]), operator.options
    begins, ends, steps = (builder.numbers(index, "a slice") for index in operator.inputs[1:4])
    name = builder.name(operator)
    if not len(begins) == len(ends) == len(steps) or 0 in steps or options.get("Offset"):
        raise InvalidInput(f"{name} of {builder.file.path.name} slices by {begins}, {ends} and {steps}")
    axes: list[AxisCut] = []
    result: list[int] = []
    for entry, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit = 1 << entry
        if options["EllipsisMask"] & bit:
            later = range(entry + 1, len(begins))
            whole = len(shape) - len(axes) - sum(1 for place in later if not options["NewAxisMask"] & (1 << place))
            for length in shape[len(axes) : len(axes) + whole]:
                axes.append(AxisCut(0, length, 1))
                result.append(length)
        elif options["NewAxisMask"] & bit:
            result.append(1)
        elif len(axes) >= len(shape):
            raise InvalidInput(f"{name} of {builder.file.path.name} slices more axes than {shape} has")
        elif options["ShrinkAxisMask"] & bit:
            axes.append(_take_one(builder, name, begin, shape[len(axes)]))
        else:
            axis = slice(
                None if options["BeginMask"] & bit else begin, None if options["EndMask"] & bit else end, step
            ).indices(shape[len(axes)])
            axes.append(AxisCut(*axis))
            result.append(axes[-1].size)
    rest = shape[len(axes) :]
    return Cut((*axes, *(AxisCut(0, length, 1) for length in rest)), (*result, *rest))


def _take_one(builder: GraphBuilder, name: str, place: int, length: int) -> AxisCut:
    if not -length <= place < length:
        raise InvalidInput(f"{name} of {builder.file.path.name} takes place {place} of {length}")
    return AxisCut(place % length, place % length + 1, 1)
