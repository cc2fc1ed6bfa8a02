"""items.parquet: exact round trip of every field, bounded row groups, split filter, random access."""

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from sightline.core.annotations import Annotation, MaskRle
from sightline.core.errors import CorruptFile, InvalidInput
from sightline.data import items as items_module
from sightline.data.items import Item, ItemWriter, load_item_table, read_items, read_video_splits

FULL = Item(
    blob="a" * 64,
    file_name="straße/b ü.png",
    width=640,
    height=480,
    orientation=6,
    split="train",
    source_video="line 3.mp4",
    frame_pts=-12800,
    seen_by="model",
    attributes={"größe": "3 mm", "line": ""},
    annotations=(
        Annotation(category="cat", box_xyxy=(0.1, 1 / 3, 100.00000000000001, 480.0), confidence=0.25, origin="model"),
        Annotation(category="dog", polygons=((1.0, 2.0, 3.5, 2.0, 3.0, 9.0), (0.0, 0.0, 1.0, 0.0, 1.0, 1.0)), is_crowd=True),
        Annotation(category="cat", mask=MaskRle(height=480, width=640, counts="Q0`3"), attributes={"pose": "left", "a": ""}),
        Annotation(category="dog"),
    ),
)
EMPTY = Item(blob="b" * 64, file_name="empty.jpg", width=1, height=1)


def write(path, items):
    writer = ItemWriter(path)
    for item in items:
        writer.add(item)
    writer.close()
    return path


def test_every_field_comes_back_exactly(tmp_path):
    path = write(tmp_path / "items.parquet", [FULL, EMPTY])
    assert list(read_items(path)) == [FULL, EMPTY]


def test_no_items_make_a_readable_file(tmp_path):
    path = write(tmp_path / "items.parquet", [])
    assert list(read_items(path)) == []
    assert len(load_item_table(path)) == 0


def test_only_the_asked_splits_are_read(tmp_path):
    splits = ["train", None, "val", "train", "test"]
    items = [Item(blob="c" * 64, file_name=str(n), width=2, height=2, split=split) for n, split in enumerate(splits)]
    path = write(tmp_path / "items.parquet", items)
    assert [item.file_name for item in read_items(path, ["train"])] == ["0", "3"]
    assert [item.file_name for item in read_items(path, ["test", "val"])] == ["2", "4"]
    assert [item.file_name for item in load_item_table(path, ["train", "test"])] == ["0", "3", "4"]
    assert list(read_items(path, [])) == []


def test_a_row_group_is_bounded_in_rows_and_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(items_module, "ROWS_PER_GROUP", 10)
    plain = [Item(blob="d" * 64, file_name=str(n), width=2, height=2) for n in range(25)]
    file = pq.ParquetFile(write(tmp_path / "rows.parquet", plain))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [10, 10, 5]
    monkeypatch.setattr(items_module, "BYTES_PER_GROUP", 3000)
    masked = Annotation(category="cat", mask=MaskRle(height=2, width=2, counts="x" * 2900))
    heavy = [Item(blob="d" * 64, file_name=str(n), width=2, height=2, annotations=(masked,)) for n in range(3)]
    assert pq.ParquetFile(write(tmp_path / "bytes.parquet", heavy)).num_row_groups == 3


def test_a_table_gives_any_row_and_any_slice(tmp_path):
    items = [Item(blob="e" * 64, file_name=str(n), width=2, height=n + 1, annotations=FULL.annotations[:n]) for n in range(5)]
    table = load_item_table(write(tmp_path / "items.parquet", items))
    assert len(table) == 5
    assert table[3] == items[3]
    assert table[-1] == items[4]
    assert list(table[1:4:2]) == [items[1], items[3]]
    with pytest.raises(IndexError):
        table[5]


def test_the_same_items_give_the_same_bytes(tmp_path):
    turned = Item(
        **{name: getattr(EMPTY, name) for name in EMPTY.__struct_fields__}
        | {"annotations": (Annotation(category="cat", attributes={"b": "2", "a": "1"}),), "attributes": {"d": "4", "c": "3"}}
    )
    straight = Item(
        **{name: getattr(EMPTY, name) for name in EMPTY.__struct_fields__}
        | {"annotations": (Annotation(category="cat", attributes={"a": "1", "b": "2"}),), "attributes": {"c": "3", "d": "4"}}
    )
    first = write(tmp_path / "1.parquet", [FULL, turned])
    second = write(tmp_path / "2.parquet", [FULL, straight])
    assert first.read_bytes() == second.read_bytes()


def test_split_and_category_are_dictionary_encoded_and_compressed(tmp_path):
    file = pq.ParquetFile(write(tmp_path / "items.parquet", [FULL] * 3))
    columns = {file.metadata.row_group(0).column(n).path_in_schema: file.metadata.row_group(0).column(n) for n in range(20)}
    for name in ("split", "annotations.list.element.category"):
        assert "RLE_DICTIONARY" in columns[name].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_a_broken_or_foreign_file_is_refused(tmp_path):
    broken = tmp_path / "items.parquet"
    broken.write_bytes(b"PAR1 not really")
    with pytest.raises(CorruptFile, match=r"no readable items\.parquet"):
        list(read_items(broken))
    import pyarrow as pa

    pq.write_table(pa.table({"x": [1]}), broken)
    with pytest.raises(CorruptFile, match="other columns"):
        list(read_items(broken))


def test_a_box_of_three_numbers_is_refused(tmp_path):
    writer = ItemWriter(tmp_path / "items.parquet")
    with pytest.raises(InvalidInput, match="got 3 numbers"):
        writer.add(
            Item(blob="f" * 64, file_name="x", width=1, height=1, annotations=(Annotation(category="c", box_xyxy=(1, 2, 3)),))
        )
    writer.close()


@pytest.mark.parametrize("lacking", [("attributes",), ("attributes", "seen_by")])
def test_a_file_of_an_older_version_says_nothing_of_what_came_later(lacking, tmp_path):
    path = write(tmp_path / "items.parquet", [FULL, EMPTY])
    pq.write_table(pq.read_table(path).drop_columns(list(lacking)), path)
    silent = {"seen_by": None, "attributes": {}}
    expected = [replace(FULL, **{name: silent[name] for name in lacking}), EMPTY]
    assert list(read_items(path)) == [*read_items(path, ["train"]), EMPTY] == expected
    table = load_item_table(path)
    assert list(table) == list(table.drop_unknown()) == expected


def test_pictures_without_annotations_that_no_person_looked_at_are_dropped(tmp_path):
    guess = Annotation(category="cat", confidence=0.5, origin="model")
    rows = [(viewer, annotations) for viewer in (None, "human", "model", "nobody") for annotations in ((), (guess,))]
    items = [
        Item(
            blob="f" * 64, file_name=f"{viewer} {len(annotations)}", width=1, height=1, seen_by=viewer, annotations=annotations
        )
        for viewer, annotations in rows
    ]
    kept = load_item_table(write(tmp_path / "items.parquet", items)).drop_unknown()
    assert [item.file_name for item in kept] == ["None 0", "None 1", "human 0", "human 1", "model 1", "nobody 1"]


def test_the_split_of_each_video_is_that_of_its_first_frame(tmp_path):
    writer = ItemWriter(tmp_path / "items.parquet")
    for number, (video, split) in enumerate([("a", "val"), (None, "test"), ("b", None), ("a", "train")]):
        writer.add(Item(blob="0" * 64, file_name=f"{number}", width=1, height=1, source_video=video, split=split))
    writer.close()
    assert read_video_splits(tmp_path / "items.parquet") == {"a": "val", "b": None}
