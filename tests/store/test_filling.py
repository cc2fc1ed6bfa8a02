"""Proposals between two frames in which people labelled an object."""

from collections.abc import Callable

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.workspace import Workspace
from sightline.data.editing import Put, Remove
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset
from sightline.imaging.masks import encode_mask
from sightline.store import filling
from sightline.store.datasets import Dataset, DatasetStore
from sightline.store.filling import fill_track

PTS = [0, 100, 250, 800, 1000, 1100]  # of line.mp4, in ticks: a variable rate


def box(x: float, **facts: object) -> Annotation:
    return Annotation(category="cup", box_xyxy=(x, 10, x + 10, 20), attributes={"track_id": "7"}, **facts)


@pytest.fixture
def dataset(workspace: Workspace, open_store: Callable[[], DatasetStore]) -> Dataset:
    """Six frames, the last one first; then a frame of another video, and a picture of none."""
    frames = [("line.mp4", pts) for pts in (PTS[-1], *PTS[:-1])]
    items = [
        SourceItem(
            file_name=f"{video}/{number}.png",
            content=np.full((50, 100, 3), number, np.uint8),
            source_video=video,
            frame_pts=pts,
            seen_by="nobody",
        )
        for number, (video, pts) in enumerate([*frames, ("other.mp4", 5), (None, None)])
    ]
    import_dataset(items, workspace, "line", categories=["cup", "lid"])
    return open_store().open("line")


def label(dataset: Dataset, position: int, annotation: Annotation, label_id: str = "mine") -> None:
    item = dataset.read_item(position)
    operations = [Put(id=label_id, annotation=annotation)]
    dataset.append_edit(position, f"edit-{position}-{item.revision}-{label_id}", item.revision, operations, "ada")


def read_lefts(dataset: Dataset) -> dict[int, float]:
    return {
        position: one.annotation.box_xyxy[0]
        for position in range(6)
        for one in dataset.read_item(position).labels
        if one.annotation.box_xyxy is not None
    }


def test_frames_between_get_proposals_by_their_times(dataset: Dataset) -> None:
    label(dataset, 1, box(0))  # at 0
    label(dataset, 5, box(50))  # at 1000
    made = fill_track(dataset, "7", 1, 5, "ada")
    assert (made.first, made.last, made.filled, made.kept, made.stale) == (1, 5, [2, 3, 4], 0, [])
    assert read_lefts(dataset) == pytest.approx({1: 0, 2: 5, 3: 12.5, 4: 40, 5: 50})  # 100, 250 and 800 of 1000
    item = dataset.read_item(3)
    assert item.state == "proposed" and item.revision == 1
    (proposal,) = item.labels
    assert proposal.annotation.origin == "model" and proposal.annotation.attributes == {"track_id": "7"}
    (edit,) = dataset.read_history(3)
    assert (edit.author, edit.summary) == ("interpolation ada", "added 1 cup")


def test_the_nearest_frames_on_both_sides_are_found(dataset: Dataset) -> None:
    label(dataset, 1, box(0))
    label(dataset, 0, box(44))  # the last frame, at 1100
    assert fill_track(dataset, "7", 0, None, "ada").filled == [2, 3, 4, 5]
    label(dataset, 3, box(30))  # a correction in the middle, beside the proposal, counts from then on
    made = fill_track(dataset, "7", 3, None, "ada")
    assert (made.first, made.last, made.filled, made.kept) == (1, 0, [2, 4, 5], 1)
    assert dataset.read_item(2).labels[0].annotation.box_xyxy == pytest.approx((12, 10, 22, 20))  # 100 of 250
    assert fill_track(dataset, "7", 1, None, "ada").last == 3  # only up to the nearest


def test_labels_by_people_stay_and_are_gone_by_and_proposals_are_made_anew(dataset: Dataset) -> None:
    label(dataset, 1, box(0))
    label(dataset, 5, box(50))
    fill_track(dataset, "7", 1, 5, "ada")
    assert fill_track(dataset, "7", 5, 1, "ada").kept == 3  # again, the other way round: nothing new
    label(dataset, 3, box(80), dataset.read_item(3).labels[0].id)  # corrected
    made = fill_track(dataset, "7", 1, 5, "ada")
    assert (made.filled, made.kept) == ([2, 4], 1)
    assert read_lefts(dataset) == pytest.approx({1: 0, 2: 32, 3: 80, 4: 58, 5: 50})  # 80 - 30 * 550 / 750
    assert len(dataset.read_item(2).labels) == 1


def test_polygons_are_filled_too(dataset: Dataset) -> None:
    for position, x in ((1, 0.0), (3, 50.0)):
        label(dataset, position, Annotation(category="cup", polygons=((x, 0, x + 10, 0, x, 10),), attributes={"track_id": "7"}))
    assert fill_track(dataset, "7", 1, 3, "ada").filled == [2]
    assert dataset.read_item(2).labels[0].annotation.polygons == ((20, 0, 30, 0, 20, 10),)
    assert fill_track(dataset, "7", 1, 3, "ada").kept == 1


def test_pictures_that_others_edit_meanwhile_are_left_and_named(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    label(dataset, 1, box(0))
    label(dataset, 5, box(50))
    compute = filling.interpolate_track

    def edit_meanwhile(*arguments: object) -> list[Annotation]:
        label(dataset, 3, Annotation(category="lid", box_xyxy=(1, 1, 5, 5)), "other")
        return compute(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(filling, "interpolate_track", edit_meanwhile)
    made = fill_track(dataset, "7", 1, 5, "ada")
    assert (made.filled, made.stale) == ([2, 4], [3])
    assert [one.id for one in dataset.read_item(3).labels] == ["other"]


def test_what_cannot_be_filled_is_refused_and_nothing_is_written(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match=r"no label of track '7' by a person in line\.mp4/1\.png"):
        fill_track(dataset, "7", 1, 5, "ada")
    label(dataset, 1, box(0, origin="model"))
    with pytest.raises(NotFound, match="by a person"):
        fill_track(dataset, "7", 1, 5, "ada")
    label(dataset, 1, box(0))
    for other in (None, 1):
        with pytest.raises(NotFound, match="no other frame has a label of track '7'"):
            fill_track(dataset, "7", 1, other, "ada")
    with pytest.raises(InvalidInput, match="got picture 7, which is none"):
        fill_track(dataset, "7", 7, 1, "ada")
    label(dataset, 6, box(0))
    with pytest.raises(InvalidInput, match=r"a frame of line\.mp4, got picture 6"):
        fill_track(dataset, "7", 1, 6, "ada")
    with pytest.raises(NotFound):
        fill_track(dataset, "7", 1, 99, "ada")
    mask = encode_mask(np.ones((50, 100), bool))
    label(dataset, 5, Annotation(category="cup", mask=mask, attributes={"track_id": "7"}))
    with pytest.raises(InvalidInput, match="got box and mask"):
        fill_track(dataset, "7", 1, 5, "ada")
    monkeypatch.setattr(filling, "MOST_FRAMES", 1)
    with pytest.raises(InvalidInput, match="at most 2 frames between the two, got 3"):
        fill_track(dataset, "7", 1, 5, "ada")
    assert [dataset.read_item(position).revision for position in (2, 3, 4)] == [0, 0, 0]


def test_a_removed_label_ends_a_track(dataset: Dataset) -> None:
    label(dataset, 1, box(0))
    label(dataset, 3, box(5))
    dataset.append_edit(1, "edit-removal", 1, [Remove(id="mine")], "ada")
    with pytest.raises(NotFound):
        fill_track(dataset, "7", 3, None, "ada")
