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

MOST_FRAMES = 1000  # between two key frames, and to look through for one


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the frames between two key frames.

    Attributes:
        first, last: positions of the key frames.
        filled: positions of the pictures that have a new proposal.
        kept: how many stay as they are: with a label of the track by a person, or with this very proposal.
        stale: positions of the pictures that somebody edited meanwhile; they stay as they are.
    """

    first: int
    last: int
    filled: list[int]
    kept: int
    stale: list[int]


def fill_track(dataset: Dataset, track_id: str, first: int | None, last: int | None, author: str) -> Filling:
    """Propose the labels of a track in the frames between two in which people labelled it.

    Args:
        first, last: positions of the two frames. None for one of them: the nearest frame before the last, or after the first,
            with a label of the track by a person.
        author: who asks; the edits are by "interpolation" and this name.

    Raises: NotFound where a frame has no such label; InvalidInput for frames that cannot be filled.
    """
    author = f"interpolation {author}"
    check_author(author)
    frames, start, end = _find_ends(dataset, track_id, first, last)
    if end - start - 1 > MOST_FRAMES:
        raise InvalidInput(
            f"expected at most {MOST_FRAMES} frames between the two, got {end - start - 1}; label one between them first"
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


def _find_ends(dataset: Dataset, track_id: str, first: int | None, last: int | None) -> tuple[Frames, int, int]:
    """The frames of the video, and the places of both key frames among them, in the order of time."""
    known = [position for position in (first, last) if position is not None]
    if not known:
        raise InvalidInput("expected `first`, `last` or both, got neither; say where the object is known")
    frames = dataset.find_frames(known[0])
    if frames is None:
        raise InvalidInput(f"expected a frame of a video, got picture {known[0]}, which is none; choose a frame")
    places = []
    for position in known:
        item = dataset.read_item(position)
        (found,) = np.nonzero(frames.positions == position)
        if not len(found):
            raise InvalidInput(
                f"expected two frames of {frames.video}, got picture {position}, which is none of it; choose another"
            )
        _check_key(item, track_id)
        places.append(int(found[0]))
    if len(places) == 1:
        places.append(_search(dataset, frames, places[0], -1 if first is None else 1, track_id))
    return frames, min(places), max(places)


def _check_key(item: LabelledItem, track_id: str) -> None:
    label = find_track(item.labels, track_id)
    if label is None or label.annotation.origin != "human":
        raise NotFound(f"no label of track {track_id!r} by a person in {item.file_name}; draw or accept it there first")


def _search(dataset: Dataset, frames: Frames, start: int, step: int, track_id: str) -> int:
    """The place of the nearest frame in one direction that has a label of the track by a person."""
    end = start + step * (MOST_FRAMES + 2)
    for place in range(start + step, min(max(end, -1), len(frames.positions)), step):
        label = find_track(dataset.read_item(int(frames.positions[place])).labels, track_id)
        if label is not None and label.annotation.origin == "human":
            return place
    where = "before" if step < 0 else "after"
    raise NotFound(f"no frame {where} this one has a label of track {track_id!r} by a person; label the object in one first")
