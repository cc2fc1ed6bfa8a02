"""The picture input of an OpenVINO model, and the model made ready for conversion: open batch, fixed picture, wanted outputs.

A file often fixes the batch at 1, also inside: a Reshape to (1, 400). When opening the batch alone does not reach the outputs,
the first number of such shapes is set to 0, "as in the input", and it is tried again.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.compiler.importers.graph_writer import TO_NCHW
from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.openvino.constants import Node, check_size, get_dimensions, get_type
from sightline.core.errors import InvalidInput, NotFound, Unsupported

Model = Any  # openvino.Model
PICTURE_CHANNELS = (1, 3)
PIXEL_BY_PIXEL = ("Add", "Convert", "Divide", "Multiply", "Subtract")
LONGEST_START = 20  # layers in front of the first that tells channels from pixels


@dataclass(frozen=True)
class Picture:
    """The input of a network: `height` x `width` pixels of `channels` numbers; `nhwc` is the layout the file has."""

    name: str
    channels: int
    height: int
    width: int
    nhwc: bool

    def make_shape(self, batch: int) -> list[int]:
        """The shape in the file's layout."""
        inner = [self.height, self.width, self.channels] if self.nhwc else [self.channels, self.height, self.width]
        return [batch, *inner]


def cut_outputs(model: Model, names: tuple[str, ...]) -> Model:
    """The part of the model that leads to these tensors, named by operation or tensor; all of it without names."""
    import openvino

    chosen = [_find_output(model, name) for name in names]
    results = []
    for name, output in zip(names, chosen, strict=True):
        result = openvino.opset13.result(output)
        result.set_friendly_name(name)
        results.append(result)
    results = results or list(model.get_results())
    needed = {node.get_name() for node in list_needed(results)}
    inputs = [node for node in model.get_parameters() if node.get_name() in needed]
    if not inputs:
        raise Unsupported("expected a network whose outputs depend on a picture, got one without any input that is used")
    return openvino.Model(results, inputs, model.get_friendly_name())


def list_needed(results: list[Node]) -> list[Node]:
    """All nodes the results depend on, the results first."""
    seen, stack, needed = set(), list(results), []
    while stack:
        node = stack.pop()
        if node.get_name() not in seen:
            seen.add(node.get_name())
            needed.append(node)
            stack.extend(source.get_node() for source in node.input_values())
    return needed


def find_picture(model: Model, options: ImportOptions) -> Picture:
    """The one picture input. Raises: Unsupported, InvalidInput."""
    inputs = model.get_parameters()
    said = ", ".join(f"{clean_name(node.get_friendly_name())} {node.get_partial_shape()}" for node in inputs)
    if len(inputs) != 1:
        raise Unsupported(f"expected a vision network with one picture input, got {len(inputs)} inputs: {said}")
    node = inputs[0]
    if node.get_partial_shape().rank.is_dynamic or len(node.get_partial_shape()) != 4:
        raise Unsupported(f"expected a picture input of four axes, (N, C, H, W) or (N, H, W, C), got {said}")
    if get_type(node.output(0)) == "i8":
        raise Unsupported(f"expected an input that can hold pixels 0..255, got {said} of int8; export it with uint8 or float")
    shape = get_dimensions(node.output(0))
    nhwc = _is_nhwc(node, shape, options)
    channels, height, width = (shape[3], *shape[1:3]) if nhwc else shape[1:]
    return Picture(
        clean_name(node.get_friendly_name()),
        _choose_size("channels", channels, options.channels, said),
        _choose_size("height", height, options.height, said),
        _choose_size("width", width, options.width, said),
        nhwc,
    )


def clean_name(name: str) -> str:
    """A name without TensorFlow's output number: "data:0" is the tensor "data"."""
    return str(name).removesuffix(":0")


def open_batch(model: Model, picture: Picture) -> Model:
    """A copy of the model for any number of pictures of that size.

    Raises: Unsupported when it only takes the batch it has; InvalidInput for tensors of absurd size.
    """
    reason = ""
    for patched in (False, True):
        opened = model.clone()
        if patched:
            _free_reshapes(opened)
        try:
            opened.reshape({opened.inputs[0]: picture.make_shape(-1)})
            for node in opened.get_ordered_ops():
                for output in node.outputs():
                    check_size(output)
            if not (closed := _find_closed(opened, picture)):
                return opened
            reason = f"the output {closed} does not follow the batch"
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
    raise Unsupported(f"the network cannot take more than one picture at a time: {reason}")


def _find_closed(model: Model, picture: Picture) -> str:
    """The first output whose first size is not the batch, or whose other sizes are open; "" when there is none."""
    clone = model.clone()
    clone.reshape({clone.inputs[0]: picture.make_shape(3)})
    for opened, fixed in zip(model.outputs, clone.outputs, strict=True):
        shape, at_three = get_dimensions(opened), get_dimensions(fixed)
        if not shape or shape[0] >= 0 or any(size < 0 for size in shape[1:]) or at_three[0] != 3:
            return str(opened.get_node().input_value(0).get_node().get_friendly_name())
    return ""


def _free_reshapes(model: Model) -> None:
    """Let shapes that start with the batch take it from their input."""
    import openvino

    batch = get_dimensions(model.inputs[0])[0]
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Reshape" or node.input_value(1).get_node().get_type_name() != "Constant":
            continue
        source, target = (
            node.input_value(0).get_partial_shape(),
            [int(size) for size in node.input_value(1).get_node().data.ravel()],
        )
        if source.rank.is_dynamic or not len(source) or not target or not source[0].is_static:
            continue
        if source[0].get_length() == batch and target[0] == batch and source.rank.get_length() > 1:
            shape = openvino.opset13.constant(np.array([0, *target[1:]], np.int64))
            freed = openvino.opset13.reshape(node.input_value(0), shape, True)
            freed.set_friendly_name(node.get_friendly_name())
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(freed.output(0))


def _find_output(model: Model, name: str) -> Any:
    """The tensor of this name. Raises: NotFound."""
    nodes = model.get_ordered_ops()
    for node in nodes:
        if node.get_type_name() == "Result":
            continue
        for output in node.outputs():
            names = {str(one) for one in output.get_names()}
            if {name, f"{name}:0"} & names or (name == node.get_friendly_name() and output.get_index() == 0):
                return output
    for result in model.get_results():
        if clean_name(result.get_friendly_name()) == name:
            return result.input_value(0)
    likely = [str(node.get_friendly_name()) for node in nodes if node.get_type_name() not in ("Constant", "Result")][-5:]
    raise NotFound(f"no tensor {name!r} in the network; its last ones are {', '.join(likely)}")


def _is_nhwc(node: Node, shape: tuple[int, ...], options: ImportOptions) -> bool:
    """By the file's own layout, else by which axis can be that of the channels, else by what reads it."""
    stated = "".join(letter for letter in node.get_layout().to_string() if letter.isalpha()).upper()
    if stated in ("NCHW", "NHWC"):
        return stated == "NHWC"
    possible = (options.channels,) if options.channels else PICTURE_CHANNELS
    first, last = shape[1] in possible, shape[3] in possible
    if first != last:
        return last
    if not first and not options.channels:
        raise Unsupported(
            f"expected a picture input of 1 or 3 channels, got {node.get_friendly_name()} {shape}; give its channels"
        )
    return _is_turned_first(node)


def _is_turned_first(node: Node) -> bool:
    """Whether a Transpose to NCHW comes before anything that tells channels from pixels."""
    for _ in range(LONGEST_START):
        readers = [reader.get_node() for reader in node.output(0).get_target_inputs()]
        if len(readers) != 1 or readers[0].get_type_name() not in (*PIXEL_BY_PIXEL, "Transpose"):
            return False
        node = readers[0]
        if node.get_type_name() == "Transpose":
            order = node.input_value(1).get_node()
            return order.get_type_name() == "Constant" and tuple(int(axis) for axis in order.data) == TO_NCHW
    return False


def _choose_size(what: str, stated: int, wanted: int | None, said: str) -> int:
    if stated < 0 and wanted is None:
        raise InvalidInput(f"the network states no input {what} ({said}); give the {what} it should take")
    if stated >= 0 and wanted is not None and stated != wanted:
        raise InvalidInput(f"the network takes an input {what} of {stated} only, got {wanted}; leave it out")
    size = stated if wanted is None else wanted
    if not 1 <= size <= 16384:
        raise InvalidInput(f"expected an input {what} of 1 to 16384, got {size}")
    return size
