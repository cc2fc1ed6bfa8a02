import os
from pathlib import Path

import pytest
from format_samples import by_blob, make_version, read, round_trip, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.formats.format import SourceItem
from sightline.data.formats.picture_files import find_split
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


@pytest.mark.parametrize("name", ["yolo", "darknet"])
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


def test_a_file_beside_pictures_without_a_class_is_told_once(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "loose.png"):
        write_picture(tmp_path / name)
    write_text(tmp_path / "labels.txt", "x")
    _, items, report = read("class_folders", tmp_path)
    assert len(items) == 3
    assert report.count("file", "warned", "file that is no picture is ignored") == 1


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


def write_pictures(folder: Path, *names: str) -> Path:
    for name in names:
        write_picture(folder / name)
    return folder


def test_mvtec_ad_gives_its_splits_and_kinds_of_defects_and_no_masks(tmp_path: Path) -> None:
    names = ("train/good/0.png", "test/good/0.png", "test/hole/0.png", "ground_truth/hole/0_mask.png")
    write_text(write_pictures(tmp_path, *names) / "license.txt", "x")
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    assert version.categories.names == ("good", "hole")
    assert version.splits == {"train": 1, "test": 2}
    reason = "folder of masks is not read: class folders hold labels of whole pictures"
    assert report.count("file", "dropped", reason) == 1


def test_several_sets_of_mvtec_ad_are_no_classes(tmp_path: Path) -> None:
    for name in ("bottle", "cable"):
        write_pictures(tmp_path / name, "train/good/0.png", "test/hole/0.png", "ground_truth/hole/0_mask.png")
    with pytest.raises(UnreadableDataset, match="import it by itself"):
        read("class_folders", tmp_path)


def test_a_folder_beside_the_splits_is_left_out_and_told(tmp_path: Path) -> None:
    write_pictures(tmp_path, "train/ok/1.png", "train/bad/2.png", "val/ok/3.png", "docs/overview.png")
    dataset, items, report = read("class_folders", tmp_path)
    assert dataset.categories.names == ("bad", "ok")
    assert sorted(items) == ["bad/2.png", "ok/1.png", "ok/3.png"]
    assert report.count("file", "dropped", "folder with pictures that is neither a split nor a class is not read") == 1
    _, items, _ = read("class_folders", write_pictures(tmp_path / "one", "train/ok/1.png", "train/bad/1.png", "docs/1.png"))
    assert labels(items) == {"ok/1.png": ("train", ["ok"]), "bad/1.png": ("train", ["bad"])}


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    dataset, _, report = read("class_folders", write_pictures(tmp_path / "a", "valid/1.png", "invalid/2.png"))
    assert dataset.categories.names == ("invalid", "valid")
    assert report.warned("category") == 1
    dataset, _, _ = read(
        "class_folders", write_pictures(tmp_path / "b", "train/train/1.png", "train/bus/1.png", "test/bus/1.png")
    )
    assert dataset.categories.names == ("bus", "train")  # CIFAR-100 has both
    with pytest.raises(UnreadableDataset, match="train may be either"):
        read("class_folders", write_pictures(tmp_path / "c", "train/steam/1.png", "bus/red/1.png"))
    write_text(tmp_path / "c/classes.txt", "bus\ntrain\n")
    assert read("class_folders", tmp_path / "c")[0].categories.names == ("bus", "train")


def test_folders_of_pictures_and_masks_are_no_classes(tmp_path: Path) -> None:
    for names in (("images/1.png", "instances/1.png"), ("RGB/1.png", "GT/1.png"), ("a/RGB/1.png", "a/GT/1.png", "b/1.png")):
        with pytest.raises(UnreadableDataset, match=r"expected (class folders|a class folder)"):
            read("class_folders", write_pictures(tmp_path / names[0][:2], *names))
    dataset, items, _ = read("class_folders", write_pictures(tmp_path / "one", "images/1.png", "images/2.png"))
    assert len(dataset.categories) == 0
    assert labels(items) == {"1.png": (None, []), "2.png": (None, [])}
    source = write_pictures(tmp_path / "more", "cat/images/1.png", "cat/masks/1.png", "dog/1.png", "masks/2.png")
    dataset, items, report = read("class_folders", source)
    assert sorted(items) == ["cat/images/1.png", "dog/1.png"]
    assert report.dropped("file") == 2
    source = write_pictures(tmp_path / "faces", "mask/1.png", "no_mask/2.png")
    assert read("class_folders", source)[0].categories.names == ("mask", "no_mask")


def test_the_folders_of_a_split_may_lie_in_one_more_folder(tmp_path: Path) -> None:
    dataset, items, _ = read("class_folders", write_pictures(tmp_path, "train/images/cat/1.png", "train/images/dog/1.png"))
    assert dataset.categories.names == ("cat", "dog")
    assert {item.split for item in items.values()} == {"train"}


def test_splits_of_any_name_come_back_beside_classes_txt(tmp_path: Path) -> None:
    rows = [(f"{split}.png", split, [Annotation(category="train")]) for split in ("night", "train", "test_day")]
    again, report = round_trip(make_version(tmp_path, rows, ["train", "cat"]), "class_folders", tmp_path)
    assert report.is_clean
    assert again.splits == {"night": 1, "train": 1, "test_day": 1}
    assert again.categories.names == ("train", "cat")


@pytest.mark.parametrize("inner", ["labels", "targets", "gt", "Masks"])
def test_pictures_in_folders_named_like_masks_come_back_from_folders_of_another_name(tmp_path: Path, inner: str) -> None:
    rows = [("a.png", "train", [Annotation(category="cat")]), (f"{inner}/b.png", "train", [Annotation(category="cat")])]
    version = make_version(tmp_path, rows, ["cat", "dog"])
    assert load_format("class_folders").check(version).changed("file") == 1
    again, _ = round_trip(version, "class_folders", tmp_path, allow_loss=True)
    assert [item.file_name for item in again.items()] == ["cat/a.png", f"cat/{inner}_/b.png"]


def test_the_one_class_of_one_folder_is_told(tmp_path: Path) -> None:
    _, _, report = read("class_folders", write_pictures(tmp_path, "widgets/1.png"))
    assert report.count("category", "warned", "one class only: the one folder of pictures") == 1


def place_all(root: Path, *names: str) -> None:
    for name in names:
        write_picture(root / name)


def splits_of(items: dict[str, SourceItem]) -> set[tuple[str | None, str | None]]:
    """Split and class of every picture."""
    return {(item.split, item.annotations[0].category if item.annotations else None) for item in items.values()}


@pytest.mark.parametrize(
    ("training", "testing"),
    [
        ("TRAIN", "Testing"),
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),  # Intel's scenes
        ("train_images", "test-images"),
        ("Dataset Train", "Dataset Test"),
        ("train", "test1"),
    ],
)
def test_splits_are_told_in_any_case_and_with_further_words(tmp_path: Path, training: str, testing: str) -> None:
    place_all(tmp_path, *(f"{split}/{name}/1.png" for split in (training, testing) for name in ("cat", "dog")))
    dataset, items, report = read("class_folders", tmp_path)
    assert dataset.categories.names == ("cat", "dog") and detect_format(tmp_path).name == "class_folders"
    assert splits_of(items) == {(split, name) for split in ("train", "test") for name in ("cat", "dog")}
    assert report.warned("category") == 0


@pytest.mark.parametrize("names", [("Train", "TESTING"), ("training", "Valid"), ("TRAIN", "Validation")])
def test_splits_inside_of_classes_are_told_in_any_case(tmp_path: Path, names: tuple[str, str]) -> None:
    place_all(tmp_path, *(f"{name}/{split}/1.png" for split in names for name in ("cat", "dog")))
    _, items, report = read("class_folders", tmp_path)
    assert splits_of(items) == {(find_split(split), name) for split in names for name in ("cat", "dog")}
    assert report.warned("category") == 0


def test_folders_that_only_hold_a_word_of_a_split_are_classes(tmp_path: Path) -> None:
    place_all(tmp_path, "train_station/1.png", "test_tube/2.png", "cup/3.png")
    assert read("class_folders", tmp_path)[0].categories.names == ("cup", "test_tube", "train_station")


def test_the_only_class_of_a_split_may_hold_its_word(tmp_path: Path) -> None:
    place_all(tmp_path, "train/train_station/1.png", "test/train_station/2.png")
    assert splits_of(read("class_folders", tmp_path)[1]) == {("train", "train_station"), ("test", "train_station")}


def test_splits_without_classes_have_no_labels(tmp_path: Path) -> None:
    place_all(tmp_path, "train/cat.0.png", "train/dog.1.png", "test1/1.png")  # Kaggle's cats and dogs
    dataset, items, _ = read("class_folders", tmp_path)
    assert dataset.categories.names == () and splits_of(items) == {("train", None), ("test", None)}


def test_pictures_beside_masks_in_folders_of_splits_are_refused(tmp_path: Path) -> None:
    place_all(tmp_path, "train_images/1.png", "train_masks/1.png")
    with pytest.raises(UnreadableDataset, match="which are none"):
        read("class_folders", tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("a", "b"),
        ("cam1", "cam2", "camera_left"),
        ("2024-01-02", "20240103", "2024_05"),
        ("session_01", "Batch 2"),
        ("100CANON", "101CANON"),
        ("fold1", "fold2"),
    ],
)
def test_classes_named_like_cameras_dates_or_lots_are_told_with_the_remedy(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        place_all(tmp_path, f"{name}/1.png", f"{name}/2.png")
    dataset, _, report = read("class_folders", tmp_path)
    assert dataset.categories.names == tuple(sorted(names))
    (finding,) = report.findings()
    assert "labels=none" in finding.reason and finding.examples == [f"{name}: 2" for name in sorted(names)]
    dataset, items, report = read("class_folders", tmp_path, labels="none")
    assert dataset.categories.names == () and not list(report.findings())
    assert items.keys() == {f"{name}/{number}.png" for name in names for number in (1, 2)}
    with pytest.raises(InvalidInput, match="expected labels=none"):
        read("class_folders", tmp_path, labels="no")


@pytest.mark.parametrize(
    "names", [("cat", "dog"), ("0", "1"), ("a", "b", "c", "d"), ("cam1", "cup"), ("video game", "set top")]
)
def test_other_names_of_classes_are_not_told(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_picture(tmp_path / name / "1.png")
    assert not list(read("class_folders", tmp_path)[2].findings())


def test_folders_inside_of_classes_are_told(tmp_path: Path) -> None:
    place_all(tmp_path, "animals/cat/1.png", "animals/dog/2.png", "tools/3.png")
    dataset, _, report = read("class_folders", tmp_path)
    assert dataset.categories.names == ("animals", "tools")
    assert [(finding.reason, finding.examples) for finding in report.findings()] == [
        ("folders inside of a class are not told apart", ["animals: cat, dog"])
    ]


def test_unlabelled_pictures_keep_the_splits_of_their_folders(tmp_path: Path) -> None:
    place_all(tmp_path, "train/a/1.png", "valid/2.png", "3.png")
    _, items, _ = read("class_folders", tmp_path, labels="none")
    assert {name: item.split for name, item in items.items()} == {"train/a/1.png": "train", "valid/2.png": "val", "3.png": None}
