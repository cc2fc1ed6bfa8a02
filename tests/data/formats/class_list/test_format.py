from collections import Counter
from pathlib import Path

import pytest
from format_samples import by_blob, make_version, read, round_trip, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound, UnreadableDataset
from sightline.data.formats.class_list.rows import find_columns, join_labels, read_rows, split_labels
from sightline.data.formats.table import detect_format, load_format


def label_of(items: dict[str, object]) -> dict[str, list[str]]:
    return {name: [a.category for a in item.annotations] for name, item in items.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nb.png,dog\n",
        "a.png,cat\nb.png,dog",
        "a.png cat\nb.png dog\n",
        "filename\tclass\na.png\tcat\nb.png\tdog\n",
        "id;split;category\na.png;;cat\nb.png;;dog\n",
        "\ufeffImage,Label\r\na.png,cat\r\nb.png,dog\r\n",
        "image,cat,dog\na.png,1,0\nb.png,0,1\n",
        "path,class_index,name\na.png,0,cat\nb.png,1,dog\n",
        "image,id,choice,annotator\n/data/upload/a.png,1,cat,1\n/data/upload/b.png,2,dog,1\n",  # Label Studio
    ],
)
def test_every_way_to_write_the_same_list(tmp_path: Path, text: str) -> None:
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "images/b.png")
    write_text(tmp_path / "labels.csv", text)
    dataset, items, report = read("class_list", tmp_path)
    assert dataset.categories.names == ("cat", "dog")
    assert label_of(items) == {"a.png": ["cat"], "b.png": ["dog"]}
    assert report.is_clean
    assert detect_format(tmp_path).name == "class_list"


def test_several_labels_a_picture(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png")
    write_text(tmp_path / "labels.csv", "file,labels\na.png,cat;dog;cat\nb.png,\n")
    _, items, _ = read("class_list", tmp_path)
    assert label_of(items) == {"a.png": ["cat", "dog"], "b.png": []}
    write_text(tmp_path / "labels.csv", "file,cat,dog\na.png,1,1\nb.png,0,0\n")
    _, items, _ = read("class_list", tmp_path)
    assert label_of(items) == {"a.png": ["cat", "dog"], "b.png": []}


def test_lists_of_several_labels_in_the_folders_of_their_splits(tmp_path: Path) -> None:
    """As Roboflow exports them; the folders alone would be three unlabelled splits."""
    for split, row in (("train", "a.png, 1, 0, 1"), ("valid", "a.png, 0, 1, 0"), ("test", "b.png, 0, 0, 0")):
        write_picture(tmp_path / split / row.split(",")[0])
        write_text(tmp_path / split / "_classes.csv", f"filename, Platelets, RBC, WBC\n{row}\n")
    assert detect_format(tmp_path).name == "class_list"
    dataset, items, report = read("class_list", tmp_path)
    assert dataset.categories.names == ("Platelets", "RBC", "WBC") and report.is_clean
    assert label_of(items) == {"train/a.png": ["Platelets", "WBC"], "valid/a.png": ["RBC"], "test/b.png": []}
    assert {name: item.split for name, item in items.items()} == {
        "train/a.png": "train",
        "valid/a.png": "val",
        "test/b.png": "test",
    }


def test_a_label_that_only_begins_with_a_quote_stays_as_it_is() -> None:
    assert split_labels('"big" bolt', ",") == ('"big" bolt',)


def test_the_rows_of_one_picture_are_its_labels(tmp_path: Path) -> None:
    for name in "abc":
        write_picture(tmp_path / f"{name}.png")
    write_text(tmp_path / "train.csv", "a.png,scratch\nb.png,dent\na.png,dent\na.png,dent\n")
    write_text(tmp_path / "test.csv", "c.png,dent\nc.png,stain\na.png,dent\na.png,dent\n")
    _, items, report = read("class_list", tmp_path)
    assert label_of(items) == {"a.png": ["scratch", "dent"], "b.png": ["dent"], "c.png": ["dent", "stain"]}
    assert report.count("image", "dropped", "picture is listed twice; the first row keeps it") == 2  # of the other split
    assert report.dropped("image") == 2


def test_labels_with_separators_come_back() -> None:
    for labels in ([], ["a"], ["a", "b"], ["a;b"], ["a;b", "c|d", 'say "e"'], ['1" bolt'], ['"all"'], ['1" a|b']):
        assert list(split_labels(join_labels(labels), ",")) == labels


def test_equal_names_with_different_numbers_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_picture(tmp_path / f"{name}.png")
    rows = "path,class_index,wnid,name\na.png,517,n03126707,crane\nb.png,134,n02012849,crane\nc.png,0,n01440764,tench\n"
    write_text(tmp_path / "labels.csv", rows)
    dataset, items, report = read("class_list", tmp_path)
    assert dataset.categories.names == ("tench", "crane", "crane (n03126707)")  # in the order of the numbers
    assert label_of(items)["a.png"] == ["crane (n03126707)"]
    assert report.warned("category") == 1  # 3 of 0..517


@pytest.mark.parametrize(
    "text",
    [
        "index,filename,label\n0,0.png,good\n1,1.png,scratch\n2,2.png,good\n3,3.png,scratch\n",  # pandas reset_index
        "index,filename,good,scratch\n0,0.png,1,0\n1,1.png,0,1\n2,2.png,1,0\n3,3.png,0,1\n",
        "index,filename,label\nA1,0.png,good\nA2,1.png,scratch\nA3,2.png,good\nA4,3.png,scratch\n",
        "label_id,filename,label\n10,0.png,good\n11,1.png,scratch\n12,2.png,good\n13,3.png,scratch\n",
        "class_id,filename,label\n1,0.png,good\n1,1.png,scratch\n2,2.png,good\n2,3.png,scratch\n",
        "class_id,index,filename,label\n5,0,0.png,good\n6,1,1.png,scratch\n5,2,2.png,good\n6,3,3.png,scratch\n",
    ],
)
def test_numbers_of_rows_are_no_classes(tmp_path: Path, text: str) -> None:
    for number in range(4):
        write_picture(tmp_path / f"{number}.png")
    write_text(tmp_path / "labels.csv", text)
    dataset, items, _ = read("class_list", tmp_path)
    assert dataset.categories.names == ("good", "scratch")
    assert label_of(items) == {"0.png": ["good"], "1.png": ["scratch"], "2.png": ["good"], "3.png": ["scratch"]}


def test_an_index_of_the_classes_orders_them(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / f"{number}.png")
    write_text(tmp_path / "labels.csv", "filename,index,label\n0.png,1,good\n1.png,0,scratch\n2.png,1,good\n")
    dataset, _, report = read("class_list", tmp_path)
    assert dataset.categories.names == ("scratch", "good")
    assert report.is_clean
    write_text(tmp_path / "labels.csv", "filename,index\n0.png,0\n1.png,1\n2.png,2\n")
    with pytest.raises(UnreadableDataset):
        read("class_list", tmp_path)  # rows, not classes


def test_numbers_get_their_names_from_the_option_or_a_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_text(tmp_path / "train.txt", "a.png 2\n")
    _, items, report = read("class_list", tmp_path)
    assert label_of(items) == {"a.png": ["2"]}
    assert report.warned("category") == 1
    _, items, _ = read("class_list", tmp_path, classes=["x", "y", "z"])
    assert label_of(items) == {"a.png": ["z"]}  # counted from 0
    _, items, _ = read("class_list", tmp_path, classes=["x", "y"])
    assert label_of(items) == {"a.png": ["y"]}  # no 0, and 2 is the last: counted from 1
    write_text(tmp_path / "synsets.txt", "p\nq\nr\n")
    dataset, items, _ = read("class_list", tmp_path)
    assert dataset.categories.names == ("p", "q", "r")
    assert items["a.png"].split == "train"


def test_numbers_without_a_name_are_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_text(tmp_path / "list.csv", "a.png,9\n")
    _, items, report = read("class_list", tmp_path, classes=["x", "y"])
    assert label_of(items) == {"a.png": []}
    assert report.dropped("annotation") == 1


def test_missing_repeated_ambiguous_and_unlisted_pictures_are_told(tmp_path: Path) -> None:
    for name in ("x/a.png", "x/b.png", "y/b.png", "y/c.png"):
        write_picture(tmp_path / name)
    write_text(tmp_path / "train.csv", "a.png,cat\nb.png,cat\n")
    write_text(tmp_path / "test.csv", "a.png,cat\ngone.png,dog\n")
    _, items, report = read("class_list", tmp_path)
    assert {name: item.split for name, item in items.items()} == {"x/a.png": "train"}
    assert report.count("image", "dropped", "several pictures have the name a list gives") == 1
    assert report.count("image", "dropped", "picture is listed twice; the first row keeps it") == 1
    assert report.count("image", "dropped", "picture is missing") == 1
    assert report.warned("image") == 3


def test_a_list_cannot_lead_outside_of_the_data_set(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret.png")
    write_text(tmp_path / "set/labels.csv", f"path,label\n../secret.png,cat\n{tmp_path}/secret.png,cat\n")
    _, items, report = read("class_list", tmp_path / "set")
    assert items == {}
    assert report.dropped("image") == 2


def test_other_lists_are_not_taken_for_labels(tmp_path: Path) -> None:
    for number, text in enumerate(
        ["filename,xmin,ymin,xmax,ymax,class\na.png,1,2,3,4,cat\n", "/train/a.png /trainannot/a.png\n", "just words here\n", ""]
    ):
        with pytest.raises(UnreadableDataset):
            find_columns(write_text(tmp_path / f"{number}.csv", text))
    with pytest.raises(UnreadableDataset):
        read("class_list", tmp_path)


def test_a_broken_row_is_named(tmp_path: Path) -> None:
    rows = "path,class_index,name\n" + "a.png,1,cat\n" * 60 + "b.png,x,dog\n"
    path = write_text(tmp_path / "labels.csv", rows)
    with pytest.raises(UnreadableDataset, match="row 62"):
        list(read_rows(path, find_columns(path)))


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="lists, classes, images"):
        read("class_list", tmp_path, list="a.csv")
    with pytest.raises(NotFound, match=r"gone\.csv"):
        read("class_list", tmp_path, lists={"train": "gone.csv"})


def test_a_round_trip_keeps_everything_a_list_can_hold(tmp_path: Path) -> None:
    rows = [
        ("x/1.png", "train", [Annotation(category="a;b"), Annotation(category="7")]),
        ("y/1.png", None, [Annotation(category="cat, big")]),
        ("1.jpg", "night", []),
        ("1.png", "val", [Annotation(category="7")]),
    ]
    version = make_version(tmp_path, rows, ["7", "never", "cat, big", "a;b"])
    assert load_format("class_list").check(version).is_clean
    again, report = round_trip(version, "class_list", tmp_path)
    assert report.is_clean
    assert again.categories == version.categories
    assert by_blob(again) == by_blob(version)


def test_boxes_are_lost_in_a_list(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("1.png", None, [Annotation(category="a", box_xyxy=(1, 1, 2, 2))])], ["a"])
    assert load_format("class_list").check(version).dropped("annotation") == 1


def test_imagenet_sample_has_299_classes_in_the_order_of_their_numbers(shared_data: Path) -> None:
    source = shared_data / "classification/imagenet-sample"
    assert detect_format(source).name == "class_list"
    dataset, items, report = read("class_list", source)
    assert len(items) == len(dataset.categories) == 299
    assert dataset.categories.names[:2] == ("stingray", "house_finch")  # numbers 6 and 12
    assert label_of(items)["n01498041_stingray.JPEG"] == ["stingray"]
    assert report.warned("category") == 1


def test_trashnet_lists_name_their_classes_by_the_folders(shared_data: Path) -> None:
    source = shared_data / "classification/trashnet-150px"
    dataset, items, report = read("class_list", source)
    assert dataset.categories.names == ("glass", "paper", "plastic", "metal")
    # 1390 + 265 + 332 rows
    assert Counter(item.split for item in items.values()) == {"train": 1390, "val": 265, "test": 332}
    assert report.warned("image") == 2527 - 1987


def test_the_authors_split_of_trashnet(shared_data: Path) -> None:
    source = shared_data / "classification/trashnet-150px"
    prefix = "from-garythung/data/one-indexed-files-notrash_"
    lists = {split: f"{prefix}{split}.txt" for split in ("train", "val", "test")}
    dataset, items, report = read("class_list", source, lists=lists)
    # the order of its README and of constants.py: glass is 1
    assert dataset.categories.names == ("glass", "paper", "cardboard", "plastic", "metal", "trash")
    assert Counter(item.split for item in items.values()) == {"train": 1768, "val": 328, "test": 431}
    # pictures per class as in the README
    counts = Counter(label for labels in label_of(items).values() for label in labels)
    assert counts == {"glass": 501, "paper": 594, "cardboard": 403, "plastic": 482, "metal": 410, "trash": 137}
    assert report.is_clean


def test_datumaro_imagenet_txt(shared_data: Path) -> None:
    source = shared_data / "label-formats/datumaro-test-assets/imagenet_txt_dataset"
    _, items, report = read("class_list", source / "basic")
    assert label_of(items) == {"1.jpg": ["label_0"], "2.jpg": ["label_5"]}
    assert report.dropped("image") == 2
    dataset, _, _ = read("class_list", source / "custom_labels", classes="synsets-alt.txt")
    assert dataset.categories.names[0] == "alt_label_0"


def test_the_row_that_spoils_the_only_list_is_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_text(tmp_path / "labels.csv", "path,label\na.png\n")
    with pytest.raises(UnreadableDataset, match=r"labels\.csv"):
        read("class_list", tmp_path)
