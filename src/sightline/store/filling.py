"""Filling: an object that people labelled in some frames of a video is proposed for the frames between them.

The one idea: what is written are proposals like those of a model, one edit a picture, so that accepting, correcting, rejecting
and undoing them needs nothing new. A label by a person is never changed: it is one more frame to go by.
"""

from uuid import uuid4

import msgspec
import numpy as np
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound
from sightline.data.editing import Put
from sightline.data.item_index import NO_PTS, Frames
from sightline.data.tracks import KeyFrame, find_track, interpolate_track
from sightline.store.datasets import Dataset, check_author
from sightline.store.records import LabelledItem, StaleRevision

MOST_FRAMES = 1000  # to look through for a key frame, on either side; so at most two of them are filled at once


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the frames between two key frames.

    Attributes:
        first, last: positions of the outer key frames.
        filled: positions of the pictures that have a new proposal.
        kept: how many stay as they are: with a label of the track by a person, or with this very proposal.
        stale: positions of the pictures that somebody edited meanwhile; they stay as they are.
    """

    first: int
    last: int
    filled: list[int]
    kept: int
    stale: list[int]


def fill_track(dataset: Dataset, track_id: str, position: int, other: int | None, author: str) -> Filling:
    """Propose the labels of a track in the frames between those in which people labelled it.

    Args:
        position: of a frame with a label of the track by a person.
        other: of another one. None: the nearest such frames before and after.
        author: who asks; the edits are by "interpolation" and this name.

    Raises: NotFound where there is no such label; InvalidInput for frames that cannot be filled.
    """
    author = f"interpolation {author}"
    check_author(author)
    frames = dataset.find_frames(position)
    if frames is None:
        raise InvalidInput(f"expected a frame of a video, got picture {position}, which is none; choose a frame")
    place = _find_place(dataset, frames, position, track_id)
    if other is not None:
        start, end = sorted((place, _find_place(dataset, frames, other, track_id)))
    else:
        start, end = (_search(dataset, frames, place, step, track_id) for step in (-1, 1))
    if start == end:
        raise NotFound(f"no other frame has a label of track {track_id!r} by a person; label the object in one first")
    if end - start - 1 > 2 * MOST_FRAMES:
        raise InvalidInput(
            f"expected at most {2 * MOST_FRAMES} frames between the two, got {end - start - 1}; label one between them first"
        )
    items = [dataset.read_item(position) for position in frames.positions[start : end + 1].tolist()]
    pts = frames.pts[start : end + 1]
    if (pts == NO_PTS).any() or not (np.diff(pts) > 0).all():
        raise InvalidInput(
            f"expected frames with rising time stamps, got frames of {frames.video} without; label them one by one"
        )
    found = [find_track(item.labels, track_id) for item in items]
    is_key = [label is not None and label.annotation.origin == "human" for label in found]
    keys = [
        KeyFrame(pts=int(moment), annotation=label.annotation)
        for moment, label, known in zip(pts, found, is_key, strict=True)
        if known and label is not None
    ]
    between = [place for place, known in enumerate(is_key) if not known]
    made = interpolate_track(keys, [int(pts[place]) for place in between])
    filled: list[int] = []
    stale: list[int] = []
    for place, annotation in zip(between, made, strict=True):
        item, old = items[place], found[place]
        if old is not None and _is_same(old.annotation, annotation):
            continue
        try:
            put = Put(id=old.id if old is not None else uuid4().hex, annotation=annotation)
            dataset.append_edit(item.position, uuid4().hex, item.revision, [put], author, blob=item.blob)
        except StaleRevision:
            stale.append(item.position)
        else:
            filled.append(item.position)
    kept = len(items) - 2 - len(filled) - len(stale)
    return Filling(first=items[0].position, last=items[-1].position, filled=filled, kept=kept, stale=stale)


def _is_same(old: Annotation, new: Annotation) -> bool:
    """Whether a proposal stands there already; of polygons the box is only their bounds."""
    return (old if new.polygons is None else replace(old, box_xyxy=None)) == new


def _find_place(dataset: Dataset, frames: Frames, position: int, track_id: str) -> int:
    """The place of a key frame among the frames of the video."""
    item = dataset.read_item(position)
    (found,) = np.nonzero(frames.positions == position)
    if not len(found):
        raise InvalidInput(f"expected a frame of {frames.video}, got picture {position}, which is none of it; choose another")
    if not _is_key(item, track_id):
        raise NotFound(f"no label of track {track_id!r} by a person in {item.file_name}; draw or accept it there first")
    return int(found[0])


def _is_key(item: LabelledItem, track_id: str) -> bool:
    label = find_track(item.labels, track_id)
    return label is not None and label.annotation.origin == "human"


def _search(dataset: Dataset, frames: Frames, start: int, step: int, track_id: str) -> int:
    """The place of the nearest key frame in one direction; `start` where there is none."""
    places = range(start + step, len(frames.positions) if step > 0 else -1, step)
    for place in places[: MOST_FRAMES + 1]:
        if _is_key(dataset.read_item(int(frames.positions[place])), track_id):
            return place
    return start
