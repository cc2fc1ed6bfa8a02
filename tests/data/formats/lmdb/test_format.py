from collections.abc import Iterable
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from format_samples import by_blob, make_version, read, round_trip, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.exporting import export_version
from sightline.data.formats.lmdb.datum import Datum, read_datum, write_datum
from sightline.data.formats.table import detect_format, load_format
from sightline.data.importing import import_dataset
from sightline.imaging.files.reading import decode_image

PIXELS = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)  # (H, W, 3) RGB
JPEG = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()


def write_lmdb(folder: Path, entries: Iterable[tuple[str, bytes]]) -> Path:
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 24, lock=False) as environment, environment.begin(write=True) as transaction:
        for key, value in entries:
            transaction.put(key.encode(), value)
    return folder


def raw(label: int) -> bytes:
    data = PIXELS[:, :, ::-1].transpose(2, 0, 1).tobytes()
    return write_datum(Datum(channels=3, height=2, width=4, data=data, label=label))


def encoded(label: int, content: bytes = JPEG) -> bytes:
    return write_datum(Datum(data=content, label=label, is_encoded=True))


def labels_of(items) -> dict[str, list[str]]:
    return {name: [annotation.category for annotation in item.annotations] for name, item in items.items()}


def test_raw_and_encoded_datums_are_read(tmp_path: Path) -> None:
    entries = [("00000000_a/1.jpg", raw(2)), ("00000001_a/2.jpg", encoded(0)), ("00000002", encoded(1)), ("x", raw(1))]
    folder = write_lmdb(tmp_path / "data", entries)
    dataset, items, report = read("lmdb", folder, classes=["cat", "dog", "cow"])
    assert dataset.categories.names == ("cat", "dog", "cow")
    assert labels_of(items) == {"a/1.png": ["cow"], "a/2.jpg": ["cat"], "00000002.jpg": ["dog"], "x.png": ["dog"]}
    assert np.array_equal(decode_image(items["a/1.png"].content), PIXELS)
    assert items["a/2.jpg"].content == JPEG
    assert {item.split for item in items.values()} == {None}
    assert report.is_clean
    assert detect_format(folder).name == detect_format(folder / "data.mdb").name == "lmdb"


def test_names_come_from_a_file_inside_or_beside_the_database(tmp_path: Path) -> None:
    folder = write_lmdb(tmp_path / "set" / "imagenet_val_lmdb", [("0", raw(1))])
    dataset, items, report = read("lmdb", folder)
    assert dataset.categories.names == ("class 1",)
    assert report.warned("category") == 1
    assert items["0.png"].split == "val"
    write_text(tmp_path / "set" / "synset_words.txt", "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n")
    for source in (folder, folder / "data.mdb", tmp_path / "set"):
        dataset, items, _ = read("lmdb", source)
        assert dataset.categories.names == ("tench, Tinca tinca", "crane", "crane (2)")
        assert labels_of(items) == {"0.png": ["crane"]}
    write_text(folder / "labels.txt", "p\nq\n")
    assert labels_of(read("lmdb", folder)[1]) == {"0.png": ["q"]}
    write_text(tmp_path / "names", "only one\n")
    _, items, report = read("lmdb", folder, classes=str(tmp_path / "names"))
    assert labels_of(items) == {"0.png": []}
    assert report.dropped("annotation") == 1


def test_a_database_a_split(tmp_path: Path) -> None:
    for name, label in (("cifar-test-lmdb", 0), ("train_lmdb", 1), ("extra", 2)):
        write_lmdb(tmp_path / name, [("00000000_same.png", raw(label))])
    _, items, _ = read("lmdb", tmp_path)
    assert [(item.split, name) for name, item in items.items()] == [
        ("train", "same.png"),
        ("test", "cifar-test-lmdb/00000000_same.png/same.png"),
        ("extra", "extra/00000000_same.png/same.png"),
    ]


def test_damaged_datums_are_dropped_and_told(tmp_path: Path) -> None:
    floats = bytes([6 << 3 | 5, 0, 0, 128, 63])  # float_data: 1.0
    entries = [("a", raw(0)), ("b", raw(0)[:-9]), ("c", floats), ("d", b"\xff" * 20), ("e", encoded(0, JPEG[:40])), ("f", b"")]
    folder = write_lmdb(tmp_path / "data", entries)
    version, report = import_dataset(folder, Workspace(tmp_path / "w"), "some", split="given")
    assert [item.file_name for item in version.items()] == ["a.png"]
    assert report.count("image", "dropped", "damaged Datum") == 2
    assert report.count("image", "dropped", "Datum without a picture") == 2
    assert report.count("image", "dropped", "broken picture") == 1
    assert all("\n" not in line for line in report.lines())


def test_keys_lead_nowhere(tmp_path: Path) -> None:
    folder = write_lmdb(tmp_path / "data", [("1_../../etc/a.jpg", encoded(0)), ("2_/b.jpg", encoded(0)), ("3_..", encoded(0))])
    _, items, _ = read("lmdb", folder)
    assert list(items) == ["etc/a.jpg", "b.jpg", "picture.jpg"]


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    folder = write_lmdb(tmp_path / "data", [(f"{index:08d}", raw(0)) for index in range(500)])
    path = folder / "data.mdb"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UnreadableDataset, match="it was cut"):
        import_dataset(folder, Workspace(tmp_path / "w"), "some")


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    folder = write_lmdb(tmp_path / "data", [("a", raw(0))])
    with pytest.raises(InvalidInput, match="classes"):
        read("lmdb", folder, labels="x")
    with pytest.raises(NotFound):
        read("lmdb", folder, classes=str(tmp_path / "absent.txt"))


def test_what_is_written_is_what_caffe_reads(tmp_path: Path) -> None:
    rows = [("b/2.jpg", "train", (Annotation(category="dog"),)), ("a.png", "my split", (Annotation(category="cat"),))]
    version = make_version(tmp_path, rows, ["cat", "dog"])
    contents = {item.file_name: version.blobs.read(item.blob) for item in version.items()}
    export_version(version, tmp_path / "out", "lmdb")
    assert (tmp_path / "out" / "labels.txt").read_text() == "cat\ndog\n"
    for split, key, name, label in (("train", b"00000000_b/2.jpg", "b/2.jpg", 1), ("my split", b"00000000_a.png", "a.png", 0)):
        folder = tmp_path / "out" / f"{split}_lmdb"
        assert [path.name for path in folder.iterdir()] == ["data.mdb"]
        with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
            entries = dict(transaction.cursor())
        assert list(entries) == [key]
        assert read_datum(entries[key]) == Datum(data=contents[name], label=label, is_encoded=True)


def test_a_round_trip_keeps_names_splits_and_bytes(tmp_path: Path) -> None:
    rows = [
        ("one.jpg", "train", (Annotation(category="a b"),)),
        ("x/two.png", "val", (Annotation(category="ü"),)),
        ("3_x.png", None, (Annotation(category="ü"),)),
    ]
    version = make_version(tmp_path, rows, ["a b", "ü", "unused"])
    again, report = round_trip(version, "lmdb", tmp_path)
    assert report.is_clean and again.categories == version.categories
    assert by_blob(again) == by_blob(version)


def test_raw_datums_keep_the_pixels_and_say_that_the_file_is_lost(tmp_path: Path) -> None:
    rows = [(f"{index}.jpg", "test", (Annotation(category="a"),)) for index in range(3)]
    version = make_version(tmp_path, rows, ["a"])
    losses = load_format("lmdb_raw").check(version)
    assert losses.changed("image") == 3
    again, _ = round_trip(version, "lmdb_raw", tmp_path, allow_loss=True)
    first, second = list(version.items()), list(again.items())
    assert [item.file_name for item in second] == ["0.png", "1.png", "2.png"]
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(version.read_image(one), again.read_image(other))


def test_what_a_datum_cannot_hold_is_told(tmp_path: Path) -> None:
    box = Annotation(category="a", box_xyxy=(1.0, 1.0, 5.0, 5.0))
    rows = [
        ("two.png", "train", (Annotation(category="a"), Annotation(category="b"), box)),
        ("none.png", "train", ()),
        ("long" * 200 + ".png", "old_train", (Annotation(category="a"),)),
    ]
    losses = load_format("lmdb").check(make_version(tmp_path, rows, ["a", "b"]))
    assert (losses.dropped("annotation"), losses.dropped("image"), losses.changed("file")) == (2, 1, 2)
