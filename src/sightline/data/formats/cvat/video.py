"""Tracks of a video as frames: CVAT writes them object by object, so they are gathered by frame before the first picture comes.

What is held of a shape is its annotation as packed bytes.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from sightline.core.annotations import Annotation
from sightline.core.errors import SightlineError, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cvat.elements import NO_SUBSET, Meta, Task, read_count, read_subset, walk_elements
from sightline.data.formats.cvat.pictures import Folders
from sightline.data.formats.cvat.shapes import parse_shape, read_order
from sightline.data.formats.format import SourceItem
from sightline.imaging.files.reading import encode_image

Packed = dict[int, list[tuple[int, bytes]]]  # by frame: where in the order of painting, and the annotation

SAME_PICTURE = "its file is that of a picture before it: tasks of a project whose pictures share names; export each by itself"
GAP = "track leaves out frames between two shapes, as CVAT's export does not: nothing is made up for them"
LABELLED_ONLY = "of a video only the frames with labels are taken"


class Clip(msgspec.Struct, frozen=True):
    """One task of a file: its id where the file has several, and the subset whose folder holds its frames."""

    task_id: str | None
    subset: str


def check_frames(path: Path, folders: Folders, meta: Meta) -> None:
    """Raises: UnreadableDataset when there are neither pictures of frames nor a video for any task of the file."""
    for clip in _list_clips(meta):
        if folders.find_frames(clip.subset) or folders.find_video(meta.find_task(clip.task_id).video):
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
        pictures = folders.find_frames(clip.subset)
        video = None if pictures else folders.find_video(task.video)
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
            )


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
        annotation = None if is_outside else parse_shape(shape, track, task.size, report, f"frame_{frame:06d}")
        if annotation is not None:
            clip = Clip(task_id, track.get("subset") or task.subset or NO_SUBSET)
            shapes = gathered.setdefault(clip, {}).setdefault(frame, [])
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
            if frame.index == left[-1]:
                left.pop()
                yield SourceItem(
                    file_name=f"frame_{frame.index:06d}.png",
                    content=encode_image(frame.image, "png"),
                    split=split,
                    annotations=_unpack(shapes.pop(frame.index)),
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
