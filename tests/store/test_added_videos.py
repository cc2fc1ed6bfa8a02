"""Videos that join a Dataset under a name that it has already."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from sightline.core.workspace import Workspace
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset
from sightline.store.adding import Addition, add_pictures
from sightline.store.datasets import Dataset, DatasetStore
from sightline.store.revising import OTHER_VIDEO, RENAMED


def make_frames(frames: Mapping[int | None, int], video: str = "line.mp4") -> list[SourceItem]:
    """Frames of a video. Args: frames: the shade of each by its time stamp."""
    return [
        SourceItem(
            file_name=f"{video}/{number:06d}.png",
            content=np.full((20, 30, 3), shade, np.uint8),
            source_video=video,
            frame_pts=pts,
            seen_by="nobody",
        )
        for number, (pts, shade) in enumerate(frames.items())
    ]


@pytest.fixture
def dataset(workspace: Workspace, open_store: Callable[[], DatasetStore]) -> Dataset:
    import_dataset(make_frames({0: 10, 100: 11, 200: 12}), workspace, "line", categories=["cup"], split="1.0/0.0")
    return open_store().open("line")


def add(dataset: Dataset, frames: list[SourceItem]) -> Addition:
    return add_pictures(dataset, frames, "ada", categories=["cup"])


def read_names(dataset: Dataset) -> list[tuple[str | None, str]]:
    return [(item.source_video, item.file_name) for item in dataset.list_items().items]


def test_another_video_of_the_same_name_gets_another(dataset: Dataset) -> None:
    added = add(dataset, make_frames({0: 50, 100: 51}))
    assert read_names(dataset)[3:] == [("line-2.mp4", "line-2.mp4/000000.png"), ("line-2.mp4", "line-2.mp4/000001.png")]
    assert dataset.count_frames() == {"line.mp4": 3, "line-2.mp4": 2}
    assert added.report.count("file", "changed", OTHER_VIDEO) == 1
    assert added.report.count("image", "changed", RENAMED) == 0
    add(dataset, make_frames({0: 70}))
    assert list(dataset.count_frames()) == ["line.mp4", "line-2.mp4", "line-3.mp4"]


def test_further_frames_of_the_same_video_join_it(dataset: Dataset) -> None:
    added = add(dataset, make_frames({0: 10, 50: 13, 100: 11, 150: 14}))
    assert dataset.count_frames() == {"line.mp4": 5}
    frames = dataset.find_frames(0)
    assert frames is not None and frames.pts.tolist() == [0, 50, 100, 150, 200]
    assert added.report.count("file", "changed", OTHER_VIDEO) == 0


def test_a_video_that_was_renamed_is_known_again(dataset: Dataset) -> None:
    add(dataset, make_frames({0: 50, 100: 51}))
    add(dataset, make_frames({0: 50, 100: 51, 130: 52}))
    assert dataset.count_frames() == {"line.mp4": 3, "line-2.mp4": 3}


def test_a_name_that_comes_with_it_is_not_taken(dataset: Dataset) -> None:
    add(dataset, [*make_frames({0: 50}), *make_frames({0: 60}, "line-2.mp4")])
    assert dataset.count_frames() == {"line.mp4": 3, "line-3.mp4": 1, "line-2.mp4": 1}


def test_videos_whose_frames_share_a_picture_but_no_other_moment_are_two(dataset: Dataset) -> None:
    add(dataset, make_frames({0: 10, 100: 99}))  # both begin in the dark
    assert dataset.count_frames() == {"line.mp4": 3, "line-2.mp4": 1}


def test_without_time_stamps_nothing_tells_two_videos_apart(dataset: Dataset) -> None:
    add(dataset, make_frames({None: 77}))
    assert dataset.count_frames() == {"line.mp4": 4}
