"""Tracks of a video as frames: CVAT writes them object by object, so they are gathered by frame before the first picture comes.

So are frames of a video that an export "for images" lists without their pictures. What is held of a shape is its annotation as
packed bytes.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import msgspec

from sightline.core.annotations import Annotation
from sightline.core.errors import SightlineError, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cvat.elements import NO_SUBSET, Meta, Task, read_count, read_subset, walk_elements
from sightline.data.formats.cvat.pictures import Folders
from sightline.data.formats.cvat.shapes import parse_shape, read_order
from sightline.data.formats.format import NONE_KEPT, SourceItem
from sightline.imaging.files.reading import encode_image

Packed = dict[int, list[tuple[int, bytes]]]  # by frame: where in the order of painting, and the annotation; [] if none is kept

SAME_PICTURE = "its file is that of a picture before it: tasks of a project whose pictures share names; export each by itself"
GAP = "track leaves out frames between two shapes, as CVAT's export does deleted ones: nothing is made up for them"
LABELLED_ONLY = "of a video only the frames with labels are taken"
NO_FRAMES = (
    "frames of which neither the pictures nor the video are there: export with 'save images', or put the video beside it"
)
FRAME = re.compile(r"frame_(\d{6,9})(\.\w+)?")


class Clip(msgspec.Struct, frozen=True):
    """One task of a file: its id where the file has several, and the subset whose folder holds its frames."""

    task_id: str | None
    subset: str


def check_frames(path: Path, folders: Folders, meta: Meta) -> None:
    """Raises: UnreadableDataset when there are neither pictures of frames nor a video for any task of the file."""
    for clip in _list_clips(meta):
        if any(_find_source(folders, meta, clip)):
            return
    video = meta.only.video or "its video"
    raise UnreadableDataset(
        f"expected the frames of {path.name} as images/frame_000000.PNG or {video} itself beside it, found neither; "
        "export from CVAT with 'save images', a task of pictures 'for images', or put the video there"
    )


def stream_frames(
    path: Path, folders: Folders, meta: Meta, named: str | None, seen: set[int], report: ConversionReport
) -> Iterator[SourceItem]:
    """The frames of a file's tasks with their shapes.

    Args:
        named: the split where no subset tells one.
        seen: hashes of the paths of pictures given before; grows.
    """
    gathered = _gather_shapes(path, meta, report)
    for clip in dict.fromkeys([*_list_clips(meta), *gathered]):
        task, shapes = meta.find_task(clip.task_id), gathered.pop(clip, {})
        split = read_subset(clip.subset) or named
        pictures, video = _find_source(folders, meta, clip)
        empty = {number for number, each in shapes.items() if not each}  # frames with shapes of which none is kept
        shapes = {number: each for number, each in shapes.items() if each}
        if video is not None:
            yield from _stream_video(video, shapes, task, split, report)
            continue
        for number in sorted(pictures.keys() | shapes.keys()):
            picture, annotations = pictures.get(number), _unpack(shapes.pop(number, []))
            name = f"frame_{number:06d}.PNG" if picture is None else picture.name
            if picture is not None and hash(picture) in seen:
                if annotations:
                    report.drop("image", SAME_PICTURE, name)
                    report.drop("annotation", "its picture was dropped", name, count=len(annotations))
                continue
            seen.add(hash(picture))
            yield SourceItem(
                file_name=name,
                path=picture,
                split=split,
                annotations=annotations,
                declared_size=task.size,
                source_video=task.video,
                seen_by="nobody" if number in empty else None,
                warning=NONE_KEPT if number in empty else None,
            )


class MissingFrames:
    """Frames of videos that an export "for images" lists without their pictures: those with shapes come from the video.

    CVAT calls such a frame `frame_` and its number in the video, as its exports "for video" do.
    """

    def __init__(self, path: Path, folders: Folders, meta: Meta) -> None:
        self._path, self._folders, self._meta = path, folders, meta
        self._videos: dict[Clip, Path | None] = {}
        self._shapes: dict[Clip, Packed] = {}

    def take(self, image: Element, subset: str | None, annotations: Sequence[Annotation], report: ConversionReport) -> bool:
        """Whether the video of a frame is there, which then gives its picture."""
        task_id = image.get("task_id") if image.get("task_id") in self._meta.by_id else None
        task, match = self._meta.find_task(task_id), FRAME.fullmatch(image.get("name", ""))
        if not task.is_video or match is None:
            return False
        clip = Clip(task_id, subset or NO_SUBSET)
        if clip not in self._videos:
            self._videos[clip] = self._folders.find_video(task.video, is_alone=len(self._meta.by_id) < 2)
            if self._videos[clip] is None:
                report.drop("file", NO_FRAMES, f"{self._path.name}: {task.video}")
        if self._videos[clip] is not None and annotations:
            pack = msgspec.msgpack.Encoder().encode
            shapes = self._shapes.setdefault(clip, {}).setdefault(int(match[1]), [])
            shapes += [(place, pack(annotation)) for place, annotation in enumerate(annotations)]
        return self._videos[clip] is not None

    def stream(self, named: str | None, report: ConversionReport) -> Iterator[SourceItem]:
        """The frames that were taken. Args: named: the split where no subset tells one."""
        for clip, video in self._videos.items():
            if video is not None:
                split = read_subset(clip.subset) or named
                yield from _stream_video(video, self._shapes.get(clip, {}), self._meta.find_task(clip.task_id), split, report)


def _find_source(folders: Folders, meta: Meta, clip: Clip) -> tuple[dict[int, Path], Path | None]:
    """The pictures of a clip's frames by number, else its video; none of pictures, which no number tells."""
    task = meta.find_task(clip.task_id)
    if task.has_names:
        return {}, None
    pictures = {number: path for number, path in folders.find_frames(clip.subset).items() if task.holds(number)}
    return pictures, None if pictures else folders.find_video(task.video, is_alone=len(meta.by_id) < 2)


def _list_clips(meta: Meta) -> list[Clip]:
    """The tasks that the head names."""
    if not meta.by_id:
        return [Clip(None, meta.only.subset or NO_SUBSET)]
    return [Clip(task_id, task.subset or NO_SUBSET) for task_id, task in meta.by_id.items()]


def _gather_shapes(path: Path, meta: Meta, report: ConversionReport) -> dict[Clip, Packed]:
    """What the tracks of a file show in each frame."""
    gathered: dict[Clip, Packed] = {}
    pack = msgspec.msgpack.Encoder().encode
    shown: int | None = None  # the frame of the track's shape before this one, unless it was outside
    for shape, track in walk_elements(path):
        if track is None or shape.tag == "track":  # the end of a track, or a track of a skeleton's point
            shown = None if track is None else shown
            continue
        frame = read_count(shape.get("frame"), -1)
        if frame < 0:
            report.drop("annotation", "shape of a track without the number of its frame", f"track {track.get('id')}")
            continue
        task_id = track.get("task_id") if track.get("task_id") in meta.by_id else None
        task = meta.find_task(task_id)
        if shown is not None and frame - shown > task.step:
            example = f"track {track.get('id')}: {shown} to {frame}"
            report.warn("annotation", GAP, example, count=(frame - shown) // task.step - 1)
        is_outside = shape.get("outside") == "1"
        shown = None if is_outside else frame
        if is_outside:
            continue
        clip = Clip(task_id, track.get("subset") or task.subset or NO_SUBSET)
        shapes = gathered.setdefault(clip, {}).setdefault(frame, [])
        annotation = parse_shape(shape, track, task.size, report, f"frame_{frame:06d}")
        if annotation is not None:
            shapes.append((read_order(shape), pack(annotation)))
    return gathered


def _unpack(shapes: list[tuple[int, bytes]]) -> tuple[Annotation, ...]:
    """A frame's annotations, in the order in which they are painted."""
    ordered = sorted(shapes, key=lambda shape: shape[0])
    return tuple(msgspec.msgpack.decode(packed, type=Annotation) for _, packed in ordered)


def _stream_video(video: Path, shapes: Packed, task: Task, split: str | None, report: ConversionReport) -> Iterator[SourceItem]:
    """The labelled frames of a video; those that it does not show come without a picture."""
    from sightline.data.video.frames import read_video_frames  # brings FFmpeg, which a few imports need

    report.warn("file", LABELLED_ONLY, video.name)
    left = sorted(shapes, reverse=True)
    try:
        for frame in read_video_frames(video) if left else ():
            number = task.first + frame.index
            if number == left[-1]:
                left.pop()
                yield SourceItem(
                    file_name=f"frame_{number:06d}.png",
                    content=encode_image(frame.image, "png"),
                    split=split,
                    annotations=_unpack(shapes.pop(number)),
                    declared_size=task.size,
                    source_video=video.name,
                    frame_pts=frame.pts,
                )
            if not left:
                return
    except SightlineError as error:
        report.drop("file", "video that cannot be read up to its last labelled frame", str(error))
    for number in reversed(left):
        yield SourceItem(file_name=f"frame_{number:06d}.png", split=split, annotations=_unpack(shapes.pop(number)))
