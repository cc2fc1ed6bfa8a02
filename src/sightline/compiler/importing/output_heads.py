"""What the outputs of an imported network mean: found from their shapes and last operators, or named by the user.

The rules are few and each can be told from the graph alone; what fits none of them stays raw tensors, which can be compiled,
compared and measured, but gives no annotations until someone names its head.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import onnx
from onnx import shape_inference

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.manifests import TENSOR_TASKS, DecodeSpec, Task
from sightline.imaging.heads.checks import check_parameter_names
from sightline.imaging.heads.decoding import HEADS, RAW, TASK_OF_HEAD
from sightline.imaging.heads.joined import BOX_NUMBERS
from sightline.imaging.heads.pictures import PICTURE, read_picture_spec

BOX_THRESHOLDS: dict[str, Any] = {"confidence_threshold": 0.5, "iou_threshold": 0.45}  # of imported detectors, found or named
LEAST_PLACES = 100  # of a detector that looks at a grid; YOLOv8 has 8,400 at 640 pixels
BOX_WORDS = ("box", "loc", "regress")
BACKGROUND_NAMES = ("background", "__background__", "bg")
IDENTITIES = {"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Transpose", "DequantizeLinear", "QuantizeLinear"}


class Output(NamedTuple):
    """An output of the graph.

    Attributes:
        name: of the tensor.
        shape: without the batch axis; 0 for an unknown size.
        operator: what makes it.
        class_count: of class indices, how many classes the ArgMax chose from; 0 when unknown.
    """

    name: str
    shape: tuple[int, ...]
    operator: str
    class_count: int = 0


class FoundHead(NamedTuple):
    """What the outputs mean.

    Attributes:
        task: what the network does.
        decode: the head and its parameters.
        class_count: classes of the outputs, a background included; 0 when unknown.
        reason: why, one line for people.
    """

    task: Task
    decode: DecodeSpec
    class_count: int
    reason: str


def list_outputs(graph: onnx.ModelProto) -> list[Output]:
    """The graph's outputs in order."""
    inferred = shape_inference.infer_shapes(graph, data_prop=True)
    makers = {name: node for node in graph.graph.node for name in node.output}
    known = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    shapes = {value.name: tuple(one.dim_value for one in value.type.tensor_type.shape.dim) for value in known}
    found = []
    for value in inferred.graph.output:
        maker = _find_maker(value.name, makers)
        operator = maker.op_type if maker is not None else ""
        classes = _count_choices(maker, shapes) if maker is not None and operator == "ArgMax" else 0
        found.append(Output(value.name, shapes[value.name][1:], operator, classes))
    return found


def find_head(graph: onnx.ModelProto, category_count: int | None) -> FoundHead:
    """Find the head.

    Args:
        category_count: names the user or the file gives, a background included; None when nobody says.
    """
    outputs = list_outputs(graph)
    if len(outputs) == 1:
        found = next((head for rule in RULES if (head := rule(outputs[0], category_count)) is not None), None)
    else:
        found = _find_boxes(outputs, category_count)
    if found is not None:
        return found
    shapes = ", ".join(f"{one.name} {list(one.shape)}" for one in outputs)
    names = tuple(one.name for one in outputs)
    return FoundHead("raw", DecodeSpec(head=RAW, outputs=names), 0, f"no known head has outputs {shapes}")


def name_head(graph: onnx.ModelProto, head: str, parameters: Mapping[str, Any], category_count: int | None) -> FoundHead:
    """The head a user names, on the graph's outputs in their order.

    Raises: NotFound for an unknown head; InvalidInput for a parameter that it does not read.
    """
    if head not in TASK_OF_HEAD:
        raise NotFound(f"expected a head of {', '.join(TASK_OF_HEAD)}, got {head!r}")
    check_parameter_names(head, parameters, "head parameters")
    found = find_head(graph, category_count)
    if found.decode.head == head:
        merged = {**found.decode.parameters, **parameters}
        decode = msgspec.structs.replace(found.decode, parameters=merged)
        return found._replace(decode=decode, reason="named by the user")
    outputs = list_outputs(graph)
    thresholds = BOX_THRESHOLDS if TASK_OF_HEAD[head] == "detection" else {}
    decode = DecodeSpec(head=head, outputs=tuple(_order_boxes(outputs, head)), parameters=dict(parameters), **thresholds)
    class_count = _count_classes(outputs, decode) or category_count or 0
    return FoundHead(TASK_OF_HEAD[head], decode, class_count, "named by the user")


def settle_categories(
    names: Sequence[str] | None, found: FoundHead, background: bool = False
) -> tuple[tuple[str, ...], DecodeSpec]:
    """Category names for the head's classes, unique; a box head's background class is left out of them.

    Args:
        names: of the classes in order, or None for "class 0", "class 1", ...
        found: the head.
        background: the first class is one that `names` leaves out.

    Raises: InvalidInput when the counts differ, or when nobody tells how many classes there are.
    """
    if found.task in TENSOR_TASKS:
        return (), found.decode
    count = found.class_count or len(names or ())
    if not count:
        raise InvalidInput(
            f"expected names of the network's categories, as its outputs ({found.decode.head}) do not tell how many there are; "
            "give `categories`, the list it was trained with"
        )
    given = list(names) if names is not None else [f"class {index}" for index in range(count)]
    if names is not None and background:
        given = ["background", *given]
    place = _find_background(given, found)
    is_left_out = place is None or isinstance(found.decode.parameters.get("background"), int)
    if found.decode.head in ("scored_boxes", "prior_boxes") and is_left_out and len(given) == count - 1:
        place = place or 0
        given.insert(place, "background")
    if len(given) != count:
        raise InvalidInput(
            f"expected {count} categories for the network's outputs, got {len(given)}; give the list it was trained with"
            + (" or `background` when its first class is one" if len(given) == count - 1 else "")
        )
    decode = found.decode
    if found.decode.head in ("scored_boxes", "prior_boxes"):
        decode = _set_parameter(decode, "background", place)
        given = [name for index, name in enumerate(given) if index != place]
    elif found.task == "semantic" and place is not None:
        decode = _set_parameter(decode, "background", given[place])
    return make_unique(given), decode


def make_unique(names: Sequence[str]) -> tuple[str, ...]:
    """Names told apart: ImageNet has two cranes, "crane" and "crane (517)" (the class index)."""
    seen: set[str] = set()
    made = []
    for index, name in enumerate(names):
        plain = " ".join(name.split()) or f"class {index}"
        free = plain
        while free in seen:
            free = f"{plain} ({index})" if free == plain else f"{free} again"
        made.append(free)
        seen.add(free)
    return tuple(made)


def _find_background(names: Sequence[str], found: FoundHead) -> int | None:
    stated = found.decode.parameters.get("background")
    if isinstance(stated, int):
        return stated
    return next((index for index, name in enumerate(names) if name.strip().lower() in BACKGROUND_NAMES), None)


def _set_parameter(decode: DecodeSpec, name: str, value: object) -> DecodeSpec:
    return msgspec.structs.replace(decode, parameters={**decode.parameters, name: value})


def _find_maker(name: str, makers: Mapping[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """The node behind an output, seen through those that change no values."""
    node = makers.get(name)
    while node is not None and node.op_type in IDENTITIES and node.input[0] in makers:
        node = makers[node.input[0]]
    return node


def _count_choices(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The size of the axis that an ArgMax reduces; 0 when unknown."""
    axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
    shape = shapes.get(node.input[0], ())
    return shape[axis] if -len(shape) <= axis < len(shape) else 0


def _find_label(only: Output, category_count: int | None) -> FoundHead | None:
    """One output of one number a class: a classifier; its last operator tells logits from probabilities."""
    sizes = [size for size in only.shape if size != 1]
    is_vector = len(only.shape) == 1 or (len(only.shape) == 3 and only.shape[1:] == (1, 1)) or only.shape[:2] == (1, 1)
    if not is_vector or len(sizes) != 1:
        return None
    heads = {"Softmax": "probabilities", "Sigmoid": "sigmoid"}
    head = heads.get(only.operator, "softmax")
    parameters: dict[str, Any] = {"activated": True} if head == "sigmoid" else {}
    decode = DecodeSpec(head=head, outputs=(only.name,), parameters=parameters)
    return FoundHead(
        TASK_OF_HEAD[head], decode, sizes[0], f"one output of {sizes[0]} numbers behind {only.operator or 'nothing'}"
    )


def _find_grid(only: Output, category_count: int | None) -> FoundHead | None:
    """One map of an objectness, four sides and a number a class: told from a segmentation by its channels alone."""
    if category_count is None or len(only.shape) != 3 or only.shape[0] != 5 + category_count:
        return None
    decode = DecodeSpec(head="grid_objects", outputs=(only.name,), **BOX_THRESHOLDS)
    return FoundHead("detection", decode, category_count, f"one map of 5 + {category_count} channels")


def _find_map(only: Output, category_count: int | None) -> FoundHead | None:
    """One map with a channel a class, or one of class indices: a segmentation."""
    if only.operator == "ArgMax" and len(only.shape) in (2, 3):
        decode = DecodeSpec(head="label_map", outputs=(only.name,))
        return FoundHead("semantic", decode, only.class_count or category_count or 0, "one map of class indices behind ArgMax")
    is_map = len(only.shape) == 3 and min(only.shape[1:]) > 1
    if not is_map or category_count != only.shape[0]:
        return None
    decode = DecodeSpec(head="semantic", outputs=(only.name,))
    return FoundHead("semantic", decode, only.shape[0], f"one map of {only.shape[0]} channels, one for each category")


def _find_joined(only: Output, category_count: int | None) -> FoundHead | None:
    """One output of a box and a number a class over many places, as YOLOv8 and later networks are exported."""
    if category_count is None or len(only.shape) != 2:
        return None
    numbers, places = only.shape
    if numbers != BOX_NUMBERS + category_count or places < LEAST_PLACES:
        return None
    decode = DecodeSpec(head="joined_boxes", outputs=(only.name,), parameters={"axis": 1}, **BOX_THRESHOLDS)
    reason = f"one output of {BOX_NUMBERS} + {category_count} numbers over {places} places"
    return FoundHead("detection", decode, category_count, reason)


def _find_boxes(outputs: Sequence[Output], category_count: int | None) -> FoundHead | None:
    """Two outputs over the same places: scores of every class, and four numbers of a box."""
    if len(outputs) != 2 or any(len(one.shape) != 2 for one in outputs):
        return None
    names = _order_boxes(outputs, "scored_boxes")
    by_name = {one.name: one for one in outputs}
    scores, boxes = by_name[names[0]], by_name[names[1]]
    if boxes.shape[-1] != 4 or scores.shape[0] != boxes.shape[0]:
        return None
    decode = DecodeSpec(head="scored_boxes", outputs=(scores.name, boxes.name), **BOX_THRESHOLDS)
    classes = scores.shape[-1]
    reason = f"scores of {classes} classes and boxes over {boxes.shape[0]} places"
    if (
        category_count is None and scores.operator == "Softmax"
    ):  # probabilities of a place add up to 1: one of them is of nothing
        decode = _set_parameter(decode, "background", 0)
        reason += "; no categories are named, so the first class is taken as the background, as behind a softmax it usually is"
    return FoundHead("detection", decode, classes, reason)


def _order_boxes(outputs: Sequence[Output], head: str) -> list[str]:
    """Names in the order a head wants: scores then boxes, or offsets then scores; the boxes have four numbers or the name."""
    if head not in ("scored_boxes", "prior_boxes") or len(outputs) != 2:
        return [one.name for one in outputs]

    named = [one for one in outputs if any(word in one.name.lower() for word in BOX_WORDS)]
    boxes = named[-1:] or [one for one in outputs if one.shape[-1:] == (4,)][-1:] or [outputs[1]]
    scores = next(one for one in outputs if one is not boxes[0])
    pair = [scores.name, boxes[0].name]
    return pair if head == "scored_boxes" else pair[::-1]


def _count_classes(outputs: Sequence[Output], decode: DecodeSpec) -> int:
    head = decode.head
    if head == "joined_boxes":
        axis = 1 if decode.parameters.get("axis", 1) == 2 else 0
        others = BOX_NUMBERS + bool(decode.parameters.get("objectness", False))
        return max(0, outputs[0].shape[axis] - others) if outputs and len(outputs[0].shape) == 2 else 0
    if head in ("softmax", "probabilities", "sigmoid"):
        return max((size for one in outputs for size in one.shape), default=0)
    if head == "semantic":
        return outputs[0].shape[0] if outputs and outputs[0].shape else 0
    if head == "grid_objects":
        return max(0, outputs[0].shape[0] - 5) if outputs and outputs[0].shape else 0
    if head in ("scored_boxes", "prior_boxes"):
        scores = next((one for one in outputs if one.name == _order_boxes(outputs, head)[head == "prior_boxes"]), None)
        return scores.shape[-1] if scores is not None and len(scores.shape) == 2 else 0
    return 0


Rule = Callable[[Output, int | None], FoundHead | None]
RULES: tuple[Rule, ...] = (_find_label, _find_grid, _find_map, _find_joined)  # for a single output


def check_head(decode: DecodeSpec) -> None:
    """Raises: InvalidInput when a head is named that nothing decodes, or that draws pictures by wrong parameters."""
    if decode.head == PICTURE:
        read_picture_spec(decode)
        return
    if decode.head != RAW and decode.head not in HEADS:
        raise InvalidInput(f"expected a decode head of {', '.join(sorted(HEADS))} or raw, got {decode.head!r}")
