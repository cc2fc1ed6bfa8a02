import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.data.editing import Label
from sightline.data.tracks import KeyFrame, find_track, interpolate, interpolate_track
from sightline.imaging.masks import encode_mask


def box(*corners: float, **facts: object) -> Annotation:
    return Annotation(category="cup", box_xyxy=corners, attributes={"track_id": "7"}, **facts)


def polygon(*rings: tuple[float, ...]) -> Annotation:
    return Annotation(category="cup", polygons=rings, attributes={"track_id": "7"})


def test_a_box_moves_with_time_and_not_with_the_number_of_the_frame() -> None:
    keys = [KeyFrame(pts=1000, annotation=box(0, 0, 10, 10)), KeyFrame(pts=2000, annotation=box(100, 20, 120, 50))]
    # a variable rate: after a tenth, a quarter and four fifths of the time
    made = interpolate_track(keys, [1100, 1250, 1800])
    assert [one.box_xyxy for one in made] == [
        pytest.approx((10, 2, 21, 14)),
        pytest.approx((25, 5, 37.5, 20)),
        pytest.approx((80, 16, 98, 42)),
    ]


def test_what_is_made_is_a_proposal_with_the_facts_of_the_frame_before() -> None:
    first = box(0, 0, 10, 10, is_crowd=True)
    (made,) = interpolate_track([KeyFrame(pts=0, annotation=first), KeyFrame(pts=2, annotation=box(2, 2, 12, 12))], [1])
    assert made == Annotation(
        category="cup", box_xyxy=(1, 1, 11, 11), origin="model", is_crowd=True, attributes={"track_id": "7"}
    )


def test_between_three_key_frames_each_time_goes_by_its_own_two() -> None:
    keys = [KeyFrame(pts=pts, annotation=box(x, 0, x + 10, 10)) for pts, x in [(0, 0), (10, 100), (30, 0)]]
    assert [one.box_xyxy[0] for one in interpolate_track(keys, [5, 10, 20]) if one.box_xyxy] == [50, 100, 50]


def test_polygons_move_vertex_by_vertex() -> None:
    first = polygon((0, 0, 10, 0, 10, 10), (50, 50, 60, 50, 60, 60))
    last = polygon((10, 10, 30, 10, 30, 30), (50, 54, 64, 50, 60, 60))
    made = interpolate(first, last, 0.25)
    assert made.polygons == ((2.5, 2.5, 15, 2.5, 15, 15), (50, 51, 61, 50, 60, 60))
    assert made.box_xyxy is None and made.origin == "model"


def test_what_cannot_be_interpolated_is_refused_in_one_line() -> None:
    mask = Annotation(category="cup", mask=encode_mask(np.ones((4, 4), bool)))
    refused = [
        (mask, mask, "two boxes or two polygons, got mask; label the frames between one by one"),
        (box(0, 0, 1, 1), polygon((0, 0, 1, 0, 1, 1)), "got box and polygons"),
        (Annotation(category="cup"), Annotation(category="cup"), "got image"),
        (polygon((0, 0, 1, 0, 1, 1)), polygon((0, 0, 1, 0, 1, 1, 0, 1)), "equally many points in both key frames, got 3 and 4"),
        (box(0, 0, 1, 1), Annotation(category="lid", box_xyxy=(0, 0, 1, 1)), "got 'cup' and 'lid'"),
    ]
    for first, last, told in refused:
        with pytest.raises(InvalidInput, match=told):
            interpolate(first, last, 0.5)


def test_times_outside_of_the_key_frames_are_refused() -> None:
    keys = [KeyFrame(pts=0, annotation=box(0, 0, 1, 1)), KeyFrame(pts=10, annotation=box(0, 0, 1, 1))]
    for wrong in (keys, keys[:1], [keys[0], keys[0]]):
        with pytest.raises(InvalidInput, match="between two key frames"):
            interpolate_track(wrong, [11])
    assert interpolate_track(keys, []) == []


def test_of_a_track_the_label_of_a_person_is_found_first() -> None:
    proposal = Label(id="a", annotation=box(0, 0, 1, 1, origin="model"))
    own = Label(id="b", annotation=box(0, 0, 2, 2))
    other = Label(id="c", annotation=Annotation(category="cup", attributes={"track_id": "8"}))
    assert find_track([other, proposal, own], "7") == own
    assert find_track([other, proposal], "7") == proposal
    assert find_track([other], "7") is None
