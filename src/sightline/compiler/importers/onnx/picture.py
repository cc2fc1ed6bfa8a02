"""Find the one picture input of an ONNX graph and fix its size; a graph that has none is no vision network.

The rule is narrow on purpose: exactly one input with four axes, one or three channels first or last. What the file leaves open
(height, width, channels) comes from the options, the first convolution's weights, or the size that the metadata states.
"""

from dataclasses import dataclass
from typing import Literal

import onnx
from onnx import TensorProto

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.onnx.metadata import read_size
from sightline.core.errors import InvalidInput, Unsupported

CHANNELS = (1, 3)
LONGEST_SIDE = 16384
PIXEL_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.UINT8,
               TensorProto.INT8, TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32, TensorProto.INT64}  # fmt: skip
Sizes = list[int | None]


@dataclass(frozen=True)
class PictureInput:
    """The picture input of a graph, its size settled.

    Attributes:
        name: of the tensor.
        layout: order of its axes.
        channels, width, height: sizes, pixels.
        batch: what the file fixes the batch to; None where it takes any.
        element_type: of the file, an `onnx.TensorProto.DataType`.
    """

    name: str
    layout: Literal["NCHW", "NHWC"]
    channels: int
    width: int
    height: int
    batch: int | None
    element_type: int

    @property
    def row_shape(self) -> tuple[int, int, int]:
        """Shape of one picture as the graph wants it."""
        if self.layout == "NCHW":
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels


def find_picture_input(model: onnx.ModelProto, options: ImportOptions, file_name: str) -> PictureInput:
    """Raises: Unsupported when it is no vision network, or takes int8; InvalidInput when a size is missing or contradicts the
    file."""
    value = _find_only_input(model, file_name)
    sizes = _read_sizes(value)
    if sizes is None or len(sizes) != 4:
        found = "of unknown shape" if sizes is None else str(_show(sizes))
        raise Unsupported(
            f"{file_name} is no vision network: its input {value.name} is {found}, a batch of pictures has four axes"
        )
    layout = _find_layout(model, value.name, sizes)
    axes = (1, 2, 3) if layout == "NCHW" else (3, 1, 2)
    channels, height, width = (sizes[axis] for axis in axes)
    channels = channels or _find_conv_channels(model) or options.channels
    if channels is None:
        raise InvalidInput(f"{file_name} does not say how many channels its input {value.name} has; give 1 or 3")
    if channels not in CHANNELS:
        raise Unsupported(
            f"{file_name} is no vision network: its input {value.name} is {_show(sizes)}, pictures have 1 or 3 channels"
        )
    usual_width, usual_height = read_size({entry.key: entry.value for entry in model.metadata_props})
    return PictureInput(
        name=value.name,
        layout=layout,
        channels=_settle(channels, options.channels, "channels", file_name),
        width=_settle(width, options.width, "width", file_name, usual_width),
        height=_settle(height, options.height, "height", file_name, usual_height),
        batch=sizes[0],
        element_type=value.type.tensor_type.elem_type,
    )


def fix_input(model: onnx.ModelProto, picture: PictureInput, batch: int | str) -> None:
    """Write the settled sizes and a batch into the graph's input."""
    for value in model.graph.input:
        if value.name == picture.name:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for size in (batch, *picture.row_shape):
                if isinstance(size, str):
                    shape.dim.add().dim_param = size
                else:
                    shape.dim.add().dim_value = size


def _find_only_input(model: onnx.ModelProto, file_name: str) -> onnx.ValueInfoProto:
    inputs = list(model.graph.input)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs[:4]) + (" ..." if len(inputs) > 4 else "")
        found = f"{len(inputs)} inputs ({names})" if inputs else "no input"
        raise Unsupported(f"{file_name} is no vision network: it takes {found}, a vision network takes one picture")
    kind = inputs[0].type.WhichOneof("value")
    element_type = inputs[0].type.tensor_type.elem_type
    if kind != "tensor_type" or element_type not in PIXEL_TYPES:
        what = TensorProto.DataType.Name(element_type).lower() if kind == "tensor_type" else str(kind).removesuffix("_type")
        raise Unsupported(
            f"{file_name} is no vision network: its input {inputs[0].name} is a {what}, pictures are tensors of numbers"
        )
    if element_type == TensorProto.INT8:
        raise Unsupported(
            f"{file_name} takes int8 pictures in {inputs[0].name}, which cannot hold pixels 0..255; export it with an input of "
            "uint8 or float"
        )
    return inputs[0]


def _read_sizes(value: onnx.ValueInfoProto) -> Sizes | None:
    tensor_type = value.type.tensor_type
    if not tensor_type.HasField("shape"):
        return None
    return [dimension.dim_value if dimension.dim_value > 0 else None for dimension in tensor_type.shape.dim]


def _find_layout(model: onnx.ModelProto, name: str, sizes: Sizes) -> Literal["NCHW", "NHWC"]:
    if sizes[1] in CHANNELS:
        return "NCHW"
    if sizes[3] in CHANNELS:
        return "NHWC"
    reader = next((node for node in model.graph.node if name in node.input), None)
    if reader is not None and reader.op_type == "Transpose":
        order = next((list(attribute.ints) for attribute in reader.attribute if attribute.name == "perm"), [])
        return "NHWC" if order == [0, 3, 1, 2] else "NCHW"
    return "NCHW"


def _find_conv_channels(model: onnx.ModelProto) -> int | None:
    """Channels that the first convolution's weights `(out, in / groups, *kernel)` want."""
    reader = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    if reader is None:
        return None
    group = next((attribute.i for attribute in reader.attribute if attribute.name == "group"), 1)
    weight = next((tensor for tensor in model.graph.initializer if tensor.name == reader.input[1]), None)
    return weight.dims[1] * group if weight is not None and len(weight.dims) == 4 else None


def _settle(stated: int | None, asked: int | None, what: str, file_name: str, usual: int | None = None) -> int:
    """The size that the graph fixes, else the one asked for, else the usual one. Raises: InvalidInput."""
    if stated is None and asked is None:
        asked = usual
    if stated is None and asked is None:
        raise InvalidInput(f"{file_name} takes pictures of any {what}; say `width` and `height` of the input")
    if stated is not None and asked is not None and stated != asked:
        raise InvalidInput(f"expected {what} {stated}, as {file_name} fixes it, got {asked}; leave the option out")
    size = stated or asked or 0
    if not 0 < size <= LONGEST_SIDE:
        raise InvalidInput(f"expected {what} of 1 to {LONGEST_SIDE}, got {size} for {file_name}")
    return size


def _show(sizes: Sizes) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in sizes) + ")"
