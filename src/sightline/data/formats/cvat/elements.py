"""CVAT's XML as a stream of elements, and what its `meta` says of labels and tasks.

Each element is freed once it was looked at, so a file of any size takes the memory of its largest picture.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree as SafeElementTree
import msgspec
from defusedxml import DefusedXmlException
from msgspec.structs import replace

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import clean_name
from sightline.data.formats.picture_files import read_split

ROOT = "annotations"
WHOLE = ("meta", "image")  # children of the root that are looked at with all that they hold
MAX_DEPTH = 64
MAX_SIDE = 1 << 20
FRAME_STEP = "step="
NO_SUBSET = "default"  # what CVAT calls the pictures of no subset
SHAPELESS_TYPES = ("skeleton", "points", "polyline", "cuboid")  # labels for what is not kept


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What `meta` says of one task; what it does not say is None.

    Attributes:
        subset: its subset, as the file spells it.
        size: width and height of a video's frames.
        video: the video's file name, or else the task's own name, or the job's number.
        is_video: its pictures are frames of a video.
        step: every so many frames of the video are in the task.
        has_names: its pictures have names of their own, by which only an export "for images" tells them.
        first: what the file calls frame 0 of its video: in a project, tasks of one subset are numbered on.
        end: the number behind its last frame; None where the file does not say, or holds no other task.
    """

    subset: str | None = None
    size: tuple[int, int] | None = None
    video: str | None = None
    is_video: bool = False
    step: int = 1
    has_names: bool = False
    first: int = 0
    end: int | None = None

    def holds(self, number: int) -> bool:
        """Whether the frame of a number in the file can be one of its."""
        return number >= self.first and (self.end is None or number < self.end)


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a file. Attributes: labels: in their order; only: its task; by_id: those of a project."""

    labels: tuple[str, ...] = ()
    only: Task = Task()
    by_id: dict[str, Task] = {}

    def find_task(self, task_id: str | None) -> Task:
        """The task of this id; else the only one."""
        return self.by_id.get(task_id or "", self.only)


def walk_elements(path: Path) -> Iterator[tuple[Element, Element | None]]:
    """Each `meta`, `image` and `track` of the file once it is whole, and before its track each shape of one, with the track.

    Raises: UnreadableDataset when the file is no XML, is cut, or is not CVAT's.
    """
    stack: list[Element] = []
    with path.open("rb") as file:
        try:
            for event, element in SafeElementTree.iterparse(file, ("start", "end")):
                if event == "start":
                    stack.append(element)
                    if element.tag != ROOT and len(stack) == 1:
                        raise UnreadableDataset(
                            f"expected <{ROOT}> at the top of {path.name}, got <{element.tag[:40]}>; choose another format"
                        )
                    if len(stack) > MAX_DEPTH:
                        raise RecursionError(f"elements inside each other, more than {MAX_DEPTH} deep")
                    continue
                stack.pop()
                if len(stack) == 1:
                    yield element, None
                    stack[0].clear()
                elif len(stack) == 2 and stack[1].tag not in WHOLE:
                    if stack[1].tag == "track":
                        yield element, stack[1]
                    del stack[1][:]
        except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError, MemoryError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise UnreadableDataset(
                f"expected {path.name} to be CVAT's XML, cannot parse it ({reason}); export it from CVAT again"
            ) from error


def read_meta(meta: Element) -> Meta:
    """What the head says of labels and of the task, the job or the tasks of a project."""
    labels = [
        clean_name(label.findtext("name") or "")
        for label in meta.iter("label")
        if label.find("parent") is None and label.findtext("type") not in SHAPELESS_TYPES
    ]
    alone = next((head for head in map(meta.find, ("task", "job")) if head is not None), None)
    only = Task() if alone is None else _read_task(alone, meta)
    return Meta(labels=tuple(dict.fromkeys(filter(None, labels))), only=only, by_id=_read_tasks(meta))


def read_subset(subset: str | None) -> str | None:
    """The split that a subset's name stands for; None for CVAT's own "default"."""
    name = clean_name(subset or "")
    return None if name.casefold() in ("", NO_SUBSET) else read_split(name)


def read_size(width: str | None, height: str | None) -> tuple[int, int] | None:
    """Width and height as a file states them; None when it does not, or states what no picture has."""
    sides = read_number(width), read_number(height)
    return (int(sides[0]), int(sides[1])) if all(1 <= side <= MAX_SIDE for side in sides) else None


def read_number(text: str | None) -> float:
    """A number; NaN for what is none."""
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan


def read_count(text: str | None, usual: int) -> int:
    """A whole number that can be one; else the usual."""
    number = read_number(text)
    return int(number) if abs(number) < 2**53 else usual


def _read_tasks(meta: Element) -> dict[str, Task]:
    """The tasks of a project by their ids. CVAT numbers the frames of a subset's tasks on from one task to the next."""
    tasks: dict[str, Task] = {}
    ends: dict[str | None, int | None] = {}
    for element in meta.iterfind("project/tasks/task"):
        task = _read_task(element, meta)
        first, size = ends.get(task.subset, 0), read_count(element.findtext("size"), 0)
        if first is not None and size > 0:
            end = first + max(read_count(element.findtext("start_frame"), 0), 0) + task.step * size
            task, ends[task.subset] = replace(task, first=first, end=end), end
        else:
            ends[task.subset] = None
        tasks[(element.findtext("id") or "").strip()] = task
    return tasks


def _read_task(task: Element, meta: Element) -> Task:
    """What a task or a job says; the size of a job's video stands beside it."""
    frames = (task.findtext("frame_filter") or "").strip()
    step = read_count(frames.removeprefix(FRAME_STEP), 1) if frames.startswith(FRAME_STEP) else 1
    number = (task.findtext("id") or "").strip()
    video = task.findtext("source") or meta.findtext("source") or task.findtext("name") or (number and f"{task.tag} {number}")
    sized = task if task.find("original_size") is not None else meta
    mode = task.findtext("mode")
    return Task(
        subset=(task.findtext("subset") or "").strip() or None,
        size=read_size(sized.findtext("original_size/width"), sized.findtext("original_size/height")),
        video=clean_name(video) or None,
        is_video=mode == "interpolation",
        step=max(step, 1),
        has_names=mode == "annotation",
    )
