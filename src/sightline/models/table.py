"""The table of networks: a name, the tasks it serves, where its builder is, and its usual input size.

Nothing is imported until it is asked for. `DIALS` gives "fast" and "accurate" of each task their network.
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.manifests import Task

if TYPE_CHECKING:
    from sightline.models.network import Network

TIMM_PREFIX = "timm/"
DIAL_NAMES = ("fast", "accurate")


class NetworkRow(NamedTuple):
    """A row of the table.

    Attributes:
        builder: "module:function" of `build(task, category_count, width, height) -> Network`.
        tasks: what it can learn.
        size: longest side of the input when the recipe names none, pixels.
        multiple: width and height must be multiples of this, pixels; timm's networks only by default.
    """

    builder: str
    tasks: tuple[Task, ...]
    size: int
    multiple: int = 32


CLASSIFICATION: tuple[Task, ...] = ("classification", "multilabel")
DETECTION: tuple[Task, ...] = ("detection",)
INSTANCE: tuple[Task, ...] = ("instance",)
SEMANTIC: tuple[Task, ...] = ("semantic",)

NETWORKS: dict[str, NetworkRow] = {
    "small_classifier": NetworkRow("sightline.models.small_classifier:build", CLASSIFICATION, 160),
    "resnet18": NetworkRow("sightline.models.from_torchvision:build_resnet18", CLASSIFICATION, 224),
    "resnet50": NetworkRow("sightline.models.from_torchvision:build_resnet50", CLASSIFICATION, 224),
    "csp_detector": NetworkRow("sightline.models.csp_detector:build", DETECTION, 320),
    "faster_rcnn": NetworkRow("sightline.models.faster_rcnn:build", DETECTION, 640, 64),
    "csp_instances": NetworkRow("sightline.models.csp_instances:build", INSTANCE, 320),
    "small_segmenter": NetworkRow("sightline.models.small_segmenter:build", SEMANTIC, 480),
    "gated_scnn": NetworkRow("sightline.models.gated_scnn:build", SEMANTIC, 480, 8),
    "lraspp_mobilenet_v3_large": NetworkRow("sightline.models.from_torchvision:build_lraspp", SEMANTIC, 480),
    "deeplabv3_mobilenet_v3_large": NetworkRow("sightline.models.from_torchvision:build_deeplab_mobilenet", SEMANTIC, 480),
    "deeplabv3_resnet50": NetworkRow("sightline.models.from_torchvision:build_deeplab_resnet50", SEMANTIC, 480),
}
TIMM_ROW = NetworkRow("sightline.models.from_timm:build", CLASSIFICATION, 224)

DIALS: dict[Task, dict[str, str]] = {
    "classification": {"fast": "small_classifier", "accurate": "resnet50"},
    "multilabel": {"fast": "small_classifier", "accurate": "resnet50"},
    "detection": {"fast": "csp_detector", "accurate": "faster_rcnn"},
    "instance": {"fast": "csp_instances"},
    "semantic": {"fast": "small_segmenter", "accurate": "deeplabv3_mobilenet_v3_large"},
}


def resolve_network(task: Task, name: str) -> str:
    """The network's name that a dial or a name stands for. Raises: NotFound, InvalidInput when it cannot learn the task."""
    dials = DIALS.get(task, {})
    if name in DIAL_NAMES and name not in dials:
        raise NotFound(f"no {name} network learns {task} yet; there is {', '.join(dials) or 'none'}")
    name = dials.get(name, name)
    if task not in find_row(name).tasks:
        raise InvalidInput(f"{name} does not learn {task}, it learns {', '.join(find_row(name).tasks)}; choose another network")
    return name


def find_row(name: str) -> NetworkRow:
    """The row of a network. Raises: NotFound naming what there is."""
    if name.startswith(TIMM_PREFIX):
        return TIMM_ROW
    if name not in NETWORKS:
        raise NotFound(f"no network {name!r}; there is fast, accurate, {', '.join(NETWORKS)}, and timm/<name>")
    return NETWORKS[name]


def build_network(task: Task, name: str, category_count: int, width: int, height: int) -> "Network":
    """Build a network with random weights; seed torch before.

    Args:
        name: a dial, a row of `NETWORKS` or "timm/<name>".
        category_count: >= 1.
        width, height: input size, pixels.

    Raises:
        NotFound, InvalidInput.
    """
    name = resolve_network(task, name)
    row = find_row(name)
    if category_count < 1:
        raise InvalidInput(f"expected at least one category to learn, got {category_count}; label something first")
    own_reasons = row is TIMM_ROW  # to refuse a size: with patches of 14 pixels 518 is right and 512 is not
    if not own_reasons and (width % row.multiple or height % row.multiple or min(width, height) < row.multiple):
        raise InvalidInput(f"{name} takes sizes that are multiples of {row.multiple}, got {width} x {height}; round them")
    builder = resolve_name(row.builder)
    arguments = (task, category_count, width, height)
    network: Network = builder(name, *arguments) if row is TIMM_ROW else builder(*arguments)
    return network
