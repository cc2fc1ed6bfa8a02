"""The index of a version against a slow walk over its items."""

import random

import numpy as np
import pyarrow.parquet as pq
import pytest

from sightline.core.annotations import Annotation
from sightline.core.errors import CorruptFile
from sightline.data import item_index, items
from sightline.data.editing import name_state
from sightline.data.item_index import STATES, load_item_index
from sightline.data.items import Item, ItemWriter, read_items
from sightline.data.truth import find_viewer

CATEGORIES = ("cat", "dog", "cow")


def draw_items(count):
    rng = random.Random(0)
    for number in range(count):
        annotations = tuple(
            Annotation(category=rng.choice(CATEGORIES), box_xyxy=(0, 0, 1, 1), origin=rng.choice(["human", "model"]))
            for _ in range(rng.choice([0, 0, 1, 3]))
        )
        yield Item(
            blob=f"{rng.getrandbits(256):064x}",
            file_name=f"bild/ä{number}.png",
            width=number + 1,
            height=2 * number + 1,
            split=rng.choice([None, "train", "val"]),
            seen_by=rng.choice([None, "human", "model", "nobody"]),
            annotations=annotations,
        )


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(items, "ROWS_PER_GROUP", 70)
    writer = ItemWriter(tmp_path / "items.parquet")
    for item in draw_items(1000):
        writer.add(item)
    writer.close()
    return tmp_path / "items.parquet"


def test_the_columns_say_what_the_items_do(path):
    index = load_item_index(path, CATEGORIES)
    assert len(index) == 1000
    for position, item in enumerate(read_items(path)):
        assert index.file_names[position].as_py() == item.file_name
        assert (index.widths[position], index.heights[position]) == (item.width, item.height)
        assert index.read_blob(position) == item.blob
        assert STATES[index.states[position]] == name_state(find_viewer(item.annotations, item.seen_by))
        code = index.split_codes[position]
        assert (None if code < 0 else index.splits[code]) == item.split
        mine = index.codes[index.offsets[position] : index.offsets[position + 1]]
        assert [CATEGORIES[code] for code in mine] == [annotation.category for annotation in item.annotations]


def test_items_are_read_in_any_order_with_few_row_groups_in_memory(path):
    index = load_item_index(path, CATEGORIES)
    every = list(read_items(path))
    for position in random.Random(1).sample(range(1000), 200):
        assert index.read_item(position) == every[position]
    assert len(index._groups) == item_index.KEPT_GROUPS


def test_names_and_categories_are_found(path):
    index = load_item_index(path, CATEGORIES)
    assert list(index.find_positions(["bild/ä7.png", "absent", "bild/ä999.png"])) == [7, -1, 999]
    cows = {n for n, item in enumerate(read_items(path)) if any(one.category == "cow" for one in item.annotations)}
    assert set(index.find_category(2).tolist()) == cows


def test_equal_pictures_of_two_versions_are_found(path, tmp_path):
    writer = ItemWriter(tmp_path / "other.parquet")
    for item in (*list(draw_items(3))[::-1], Item(blob="ab" * 32, file_name="x.png", width=1, height=1)):
        writer.add(item)
    writer.close()
    one, other = load_item_index(path, CATEGORIES), load_item_index(tmp_path / "other.parquet", CATEGORIES)
    assert one.find_blobs(other).tolist() == [True, True, True, False]
    assert other.find_blobs(one).tolist() == [True] * 3 + [False] * 997


def test_frames_are_found_in_the_order_of_their_times(tmp_path):
    writer = ItemWriter(tmp_path / "items.parquet")
    frames = [("a.mp4", 40), (None, None), ("b.mp4", 7), ("a.mp4", 0), ("a.mp4", 20), ("c", None)]
    for number, (video, pts) in enumerate(frames):
        writer.add(Item(blob="ab" * 32, file_name=f"{number}", width=1, height=1, source_video=video, frame_pts=pts))
    writer.close()
    index = load_item_index(tmp_path / "items.parquet", ())
    assert index.count_frames() == {"a.mp4": 3, "b.mp4": 1, "c": 1}
    found = index.find_frames(0)
    assert (found.video, found.positions.tolist(), found.pts.tolist()) == ("a.mp4", [3, 4, 0], [0, 20, 40])
    assert index.find_frames(1) is None
    assert index.find_frames(5).pts.tolist() == [item_index.NO_PTS]


def test_a_version_without_items_or_categories_has_an_empty_index(tmp_path):
    ItemWriter(tmp_path / "items.parquet").close()
    index = load_item_index(tmp_path / "items.parquet", ())
    assert len(index) == 0
    assert np.array_equal(index.offsets, [0])
    assert index.count_frames() == {}
    assert list(index.find_positions(["a"])) == [-1]


def test_an_older_version_does_not_say_who_looked(tmp_path):
    writer = ItemWriter(tmp_path / "new.parquet")
    for item in draw_items(20):
        writer.add(item)
    writer.close()
    pq.write_table(pq.read_table(tmp_path / "new.parquet").drop_columns(list(items.ADDED_COLUMNS)), tmp_path / "old.parquet")
    index = load_item_index(tmp_path / "old.parquet", CATEGORIES)
    for position, item in enumerate(draw_items(20)):
        assert STATES[index.states[position]] == name_state(find_viewer(item.annotations, None))
        assert index.read_item(position).seen_by is None


def test_another_file_is_refused(tmp_path):
    (tmp_path / "items.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorruptFile):
        load_item_index(tmp_path / "items.parquet", ())
