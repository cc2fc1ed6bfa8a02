"""Tracks: one object over the frames of a video. Its annotations share an attribute, and between two frames it is interpolated.

CVAT and Datumaro call that attribute `track_id`, and so it is called here. A track needs no record of its own: whatever keeps
attributes keeps tracks.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from sightline.core.annotations import Annotation, BoxXyxy, Ring
from sightline.core.errors import InvalidInput
from sightline.data.editing import Label

TRACK_ID = "track_id"


class KeyFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Where an object is known to be. Attributes: pts: the frame's time stamp, in ticks of the video's clock."""

    pts: int
    annotation: Annotation


def find_track(labels: Iterable[Label], track_id: str) -> Label | None:
    """A picture's label of a track; of several the first one that a person made, or the first."""
    found = [label for label in labels if label.annotation.attributes.get(TRACK_ID) == track_id]
    return next((label for label in found if label.annotation.origin == "human"), found[0] if found else None)


def interpolate_track(keys: Sequence[KeyFrame], times: Iterable[int]) -> list[Annotation]:
    """Where an object is between the frames in which it is known: proposals, straight in time from one of these to the next.

    Boxes move linearly, polygons vertex by vertex. Category and attributes are those of the key frame before.

    Args:
        keys: at least two, with rising `pts`.
        times: time stamps of the frames asked for, each between the first and the last key frame.

    Returns: an annotation for each time, with `origin="model"` and no confidence, since nobody measured one.

    Raises: InvalidInput for annotations that cannot be interpolated, and for other times.
    """
    made = []
    for pts in times:
        pair = next(
            ((one, other) for one, other in pairwise(keys) if one.pts <= pts <= other.pts and one.pts < other.pts), None
        )
        if pair is None:
            raise InvalidInput(f"expected a time between two key frames with rising times, got {pts}; choose other key frames")
        first, last = pair
        made.append(interpolate(first.annotation, last.annotation, (pts - first.pts) / (last.pts - first.pts)))
    return made


def interpolate(first: Annotation, last: Annotation, share: float) -> Annotation:
    """What lies between two annotations of one object. Args: share: of the way from the first to the last, 0..1.

    Raises: InvalidInput.
    """
    if first.category != last.category:
        raise InvalidInput(
            f"expected one category in both key frames, got {first.category!r} and {last.category!r}; give both the same"
        )
    kinds = {first.geometry, last.geometry}
    between = replace(first, origin="model", confidence=None)
    if kinds == {"box"} and first.box_xyxy is not None and last.box_xyxy is not None:
        return replace(between, box_xyxy=_mix_box(first.box_xyxy, last.box_xyxy, share))
    if kinds == {"polygons"} and first.polygons is not None and last.polygons is not None:
        if list(map(len, first.polygons)) != list(map(len, last.polygons)):
            raise InvalidInput(
                "expected polygons with equally many points in both key frames, got "
                f"{_count_points(first.polygons)} and {_count_points(last.polygons)}; carry one on and move its points"
            )
        rings = tuple(_mix(one, other, share) for one, other in zip(first.polygons, last.polygons, strict=True))
        return replace(between, polygons=rings, box_xyxy=None)
    raise InvalidInput(
        f"expected two boxes or two polygons, got {' and '.join(sorted(kinds))}; label the frames between one by one"
    )


def _mix(first: Ring, last: Ring, share: float) -> Ring:
    return tuple((1 - share) * one + share * other for one, other in zip(first, last, strict=True))


def _mix_box(first: BoxXyxy, last: BoxXyxy, share: float) -> BoxXyxy:
    x_min, y_min, x_max, y_max = _mix(first, last, share)
    return x_min, y_min, x_max, y_max


def _count_points(polygons: Sequence[Ring]) -> str:
    return " + ".join(str(len(ring) // 2) for ring in polygons)
