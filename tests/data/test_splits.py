"""Splits: fractions kept, rare categories spread, equal pictures together, the same seed the same split."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.data.splits import DuplicateFinder, SplitDrawer, parse_fractions

THREE = {"train": 0.8, "val": 0.1, "test": 0.1}


def blob(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def draw(label_sets, fractions=THREE, seed=0, blobs=None):
    drawer = SplitDrawer()
    for number, labels in enumerate(label_sets):
        drawer.add(blobs[number] if blobs else blob(number), labels)
    return drawer.draw(fractions, seed)


def test_fractions_are_read():
    assert parse_fractions("0.8/0.1/0.1") == THREE
    assert parse_fractions("0.75/0.25") == {"train": 0.75, "val": 0.25}
    assert parse_fractions("1/0/0") == {"train": 1.0}


@pytest.mark.parametrize("text", ["", "a/b", "0.8", "0.5/0.1", "1.5/-0.5", "0.25/0.25/0.25/0.25", "nan/0.5"])
def test_other_fractions_are_refused(text):
    with pytest.raises(InvalidInput, match="sum to 1"):
        parse_fractions(text)


def test_no_picture_and_one_picture():
    assert draw([]) == []
    assert draw([[0]]) == ["train"]


def test_each_category_is_spread_by_the_fractions():
    rng = np.random.default_rng(0)
    label_sets = [[0] if rng.random() < 0.9 else [1] for _ in range(1000)]
    splits = draw(label_sets)
    assert Counter(splits) == {"train": 800, "val": 100, "test": 100}
    rare = Counter(split for split, labels in zip(splits, label_sets, strict=True) if labels == [1])
    count = sum(rare.values())
    assert abs(rare["val"] - 0.1 * count) <= 1
    assert abs(rare["test"] - 0.1 * count) <= 1


def test_a_rare_category_among_many_labels_reaches_every_split():
    rng = np.random.default_rng(1)
    label_sets = [sorted(set(rng.integers(0, 5, 3).tolist())) for _ in range(500)]
    for number in range(0, 500, 25):  # 20 pictures
        label_sets[number] = [*label_sets[number], 9]
    splits = draw(label_sets)
    rare = Counter(split for split, labels in zip(splits, label_sets, strict=True) if 9 in labels)
    assert rare == {"train": 16, "val": 2, "test": 2}


def test_the_two_pictures_of_a_category_are_parted_wherever_they_stand():
    for seed in range(20):
        splits = draw([[1], *[[]] * 18, [1]], {"train": 0.5, "val": 0.5}, seed)
        assert splits[0] != splits[-1]
        assert Counter(splits) == {"train": 10, "val": 10}


def test_categories_of_one_picture_each_fill_all_splits():
    splits = Counter(draw([[number] for number in range(300)]))
    assert splits == {"train": 240, "val": 30, "test": 30}


def test_pictures_without_labels_are_spread_too():
    assert Counter(draw([[] for _ in range(50)])) == {"train": 40, "val": 5, "test": 5}


def test_equal_pictures_stay_together():
    blobs = [blob(number // 4) for number in range(400)]
    splits = draw([[number % 3] for number in range(400)], blobs=blobs)
    for first in range(0, 400, 4):
        assert len(set(splits[first : first + 4])) == 1
    assert abs(Counter(splits)["train"] - 320) <= 8


def test_the_seed_decides():
    label_sets = [[number % 4] for number in range(200)]
    assert draw(label_sets, seed=3) == draw(label_sets, seed=3)
    assert draw(label_sets, seed=3) != draw(label_sets, seed=4)


def test_leaks_and_twins_are_found():
    finder = DuplicateFinder()
    for number, split in [(0, "train"), (1, "train"), (0, "test"), (2, None), (1, "train"), (0, "train"), (2, None)]:
        finder.add(blob(number), split)
    leaks, twins = finder.find()
    assert leaks == [(0, 2)]
    assert twins == [(0, 5), (1, 4), (3, 6)]


def test_no_pictures_have_no_duplicates():
    assert DuplicateFinder().find() == ([], [])


def test_frames_of_one_video_stay_together_and_so_do_videos_that_share_a_frame():
    drawer = SplitDrawer()
    for number in range(400):  # 20 videos of 10 frames; and 200 pictures of no video
        video = f"line {number // 10}.mp4" if number < 200 else None
        same = 15 if number == 185 else number  # a frame of the 19th video is one of the second, too
        drawer.add(blob(same), [number % 3], video)
    splits = drawer.draw({"train": 0.5, "val": 0.25, "test": 0.25}, seed=0)
    for first in range(0, 200, 10):
        assert len(set(splits[first : first + 10])) == 1
    assert splits[10] == splits[180]
    assert Counter(splits) == {"train": 200, "val": 100, "test": 100}
    for label in range(3):
        spread = Counter(split for number, split in enumerate(splits) if number % 3 == label)
        assert spread["train"] == pytest.approx(400 / 3 / 2, abs=7)


def test_a_video_counts_for_all_that_its_frames_show():
    drawer = SplitDrawer()
    for number in range(60):  # 6 videos; the first frame of each shows nothing, and a rare category is in two of them
        labels = [] if number % 10 == 0 else [1] if number in (5, 25) else [0]
        drawer.add(blob(number), labels, f"{number // 10}")
    splits = drawer.draw({"train": 0.5, "val": 0.5}, seed=0)
    assert {splits[5], splits[25]} == {"train", "val"}


def test_pictures_that_come_one_by_one_reach_every_split_in_its_share():
    counts = Counter()
    for seed in range(2000):
        drawer = SplitDrawer()
        drawer.add(blob(seed), [])
        counts.update(drawer.draw_further({"train": 0.8, "val": 0.1, "test": 0.1}, seed))
    assert all(abs(counts[name] - wanted) < 80 for name, wanted in (("train", 1600), ("val", 200), ("test", 200)))


def test_a_whole_number_of_each_is_drawn_as_it_is_and_one_video_stays_together():
    drawer = SplitDrawer()
    for number in range(20):
        drawer.add(blob(number), [])
    assert Counter(drawer.draw_further({"train": 0.5, "test": 0.5}, 3)) == {"train": 10, "test": 10}
    seen = set()
    for seed in range(40):
        drawer = SplitDrawer()
        for number in range(20):
            drawer.add(blob(number), [], "belt.mp4")
        (split,) = set(drawer.draw_further({"train": 0.5, "test": 0.5}, seed))
        seen.add(split)
    assert seen == {"train", "test"}
    assert SplitDrawer().draw_further({"train": 1.0}, 0) == []
