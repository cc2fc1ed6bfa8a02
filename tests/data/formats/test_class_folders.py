import os
from pathlib import Path

import pytest
from format_samples import by_blob, make_version, read, round_trip, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.formats.table import detect_format, load_format
from sightline.data.importing import import_dataset


def labels(items: dict[str, object]) -> dict[str, tuple[str | None, list[str]]]:
    return {name: (item.split, [a.category for a in item.annotations]) for name, item in items.items()}  # type: ignore[attr-defined]


def test_split_class_file(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "valid/cat/1.png", "train/cat/deep/2.png"):
        write_picture(tmp_path / name)
    dataset, items, report = read("class_folders", tmp_path)
    assert dataset.categories.names == ("cat", "dog")
    assert labels(items) == {
        "cat/1.png": ("train", ["cat"]),
        "cat/deep/2.png": ("train", ["cat"]),
        "dog/1.png": ("train", ["dog"]),
        "valid/cat/1.png": ("val", ["cat"]),  # the name is taken by training
    }
    assert report.is_clean
    assert detect_format(tmp_path).name == "class_folders"


def test_class_file_and_class_split_file_and_wrapping_folders(tmp_path: Path) -> None:
    write_picture(tmp_path / "a/flat/cat/1.png")
    write_picture(tmp_path / "a/flat/dog/1.png")
    _, items, _ = read("class_folders", tmp_path / "a")
    assert labels(items) == {"cat/1.png": (None, ["cat"]), "dog/1.png": (None, ["dog"])}
    for name in ("cat/train/1.png", "cat/test/2.png", "dog/train/3.png"):
        write_picture(tmp_path / "b" / name)
    _, items, _ = read("class_folders", tmp_path / "b")
    assert labels(items) == {
        "cat/test/2.png": ("test", ["cat"]),
        "cat/train/1.png": ("train", ["cat"]),
        "dog/train/3.png": ("train", ["dog"]),
    }


def test_junk_is_ignored_and_surprises_are_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "cat/1.png")
    write_picture(tmp_path / "dog/1.png")
    write_picture(tmp_path / "lost.png")
    for name in (".DS_Store", "cat/Thumbs.db", "__MACOSX/cat/1.png", "README.md"):
        write_text(tmp_path / name, "junk")
    write_text(tmp_path / "cat/notes.docx", "hm")
    write_text(tmp_path / "scripts/run.sh", "hm")
    (tmp_path / "empty").mkdir()
    dataset, items, report = read("class_folders", tmp_path)
    assert dataset.categories.names == ("cat", "dog", "empty")
    assert labels(items)["lost.png"] == (None, [])
    assert report.is_clean
    assert report.warned("file") == 2  # notes.docx, scripts
    assert [name for name, item in items.items() if item.warning] == ["lost.png"]


def test_a_link_to_a_folder_above_does_not_loop(tmp_path: Path) -> None:
    write_picture(tmp_path / "cat/1.png")
    write_picture(tmp_path / "dog/1.png")
    (tmp_path / "dog/up").symlink_to(tmp_path)
    _, items, _ = read("class_folders", tmp_path)
    assert len([name for name in items if name.startswith("cat/")]) == 1


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDataset):
        read("class_folders", tmp_path)


@pytest.mark.parametrize("name", ["class_folders", "yolo", "darknet"])
def test_options_a_format_does_not_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="no options for format"):
        read(name, tmp_path, lists={"train": "a.csv"})


def test_a_round_trip_keeps_labels_splits_order_and_empty_classes(tmp_path: Path) -> None:
    rows = [
        ("cat/1.png", "train", [Annotation(category="cat")]),
        ("dog/1.png", "test", [Annotation(category="dog")]),
        ("dog/2.png", None, [Annotation(category="dog")]),
    ]
    version = make_version(tmp_path, rows, ["dog", "cat", "never"])
    assert load_format("class_folders").check(version).is_clean
    again, report = round_trip(version, "class_folders", tmp_path)
    assert report.is_clean
    assert again.categories == version.categories
    assert by_blob(again) == by_blob(version)


def test_what_a_folder_cannot_hold_is_told(tmp_path: Path) -> None:
    rows = [
        ("1.png", "train", [Annotation(category="a/b"), Annotation(category="cat")]),
        ("2.png", "train", []),
        ("3.png", "train", [Annotation(category="cat", box_xyxy=(1, 1, 2, 2)), Annotation(category="cat")]),
    ]
    version = make_version(tmp_path, rows, ["a/b", "cat"])
    report = load_format("class_folders").check(version)
    assert report.dropped("image") == 1
    assert report.dropped("annotation") == 2  # the second label, the box
    assert report.changed("category") == 1  # a/b
    again, _ = round_trip(version, "class_folders", tmp_path, allow_loss=True)
    assert sorted(item.file_name for item in again.items()) == ["a_b/1.png", "cat/3.png"]


def test_cifar_and_trashnet(shared_data: Path) -> None:
    source = shared_data / "classification/cifar10-jpg"
    assert detect_format(source).name == "class_folders"
    dataset, items, report = read("class_folders", source)
    assert len(dataset.categories) == 10
    splits = [item.split for item in items.values()]
    assert (splits.count("train"), splits.count("test")) == (1000, 2000)
    assert report.is_clean
    dataset, items, _ = read("class_folders", shared_data / "classification/trashnet-512px-120")
    assert dataset.categories.names == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert len(items) == 120


def test_datumaro_samples(shared_data: Path) -> None:
    assets = shared_data / "label-formats/datumaro-test-assets"
    _, items, _ = read("class_folders", assets / "imagenet_dataset")
    assert {name.split("/")[0] for name in items} == {"label_0", "label_1"}
    _, items, _ = read("class_folders", assets / "yolo_dataset/yolov8_classification")
    assert [item.split for item in items.values()] == ["train"] * 3


def test_what_lies_beside_the_class_folders_may_be_labels_and_is_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "set/images/cat/1.png")
    write_picture(tmp_path / "set/images/dog/1.png")
    write_text(tmp_path / "set/labels.csv", "x")
    write_text(tmp_path / "set/labels/1.txt", "x")
    write_text(tmp_path / "set/README.md", "x")
    _, items, report = read("class_folders", tmp_path / "set")
    assert len(items) == 2
    assert report.count("file", "warned", "file that is no picture is ignored") == 1
    assert report.count("file", "warned", "folder without a picture is ignored") == 1


def test_a_folder_whose_name_is_no_utf8_is_a_class_all_the_same(tmp_path: Path) -> None:
    write_picture(tmp_path / "cat/1.png")
    folder = tmp_path / os.fsdecode(b"dog\xff")
    folder.mkdir()
    write_picture(tmp_path / "2.png").rename(folder / os.fsdecode(b"\xfe.png"))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x", format="class_folders")
    assert version.categories.names == ("cat", "dog\N{REPLACEMENT CHARACTER}")
    names = [item.file_name for item in version.items()]
    assert names == ["cat/1.png", "dog\N{REPLACEMENT CHARACTER}/\N{REPLACEMENT CHARACTER}.png"]
    assert report.count("image", "changed", "file name is no UTF-8, its odd bytes replaced") == 1
