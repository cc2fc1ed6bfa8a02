from pathlib import Path

import pytest
from format_samples import read, write_picture, write_text

from sightline.core.errors import UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.formats.table import detect_format
from sightline.data.importing import import_dataset

ROBOFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"


def boxes_of(items: dict[str, object]) -> dict[str, list[tuple[object, ...]]]:
    return {name: [(a.category, *a.box_xyxy) for a in item.annotations] for name, item in items.items()}  # type: ignore


@pytest.mark.parametrize(
    "text",
    [
        ROBOFLOW + "a.png,20,10,cat,1,2,5,6\na.png,20,10,dog,0,0,9.5,9\nb.png,20,10,cat,3,3,4,4\n",
        "image,xmin,ymin,xmax,ymax,label\na.png,1,2,5,6,cat\na.png,0,0,9.5,9,dog\nb.png,3,3,4,4,cat\n",
        "a.png,1,2,5,6,cat\na.png,0,0,9.5,9,dog\nb.png,3,3,4,4,cat\n",
        "Image_Path;X1;Y1;X2;Y2;Class Name\nset/a.png;1;2;5;6;cat\nset/b.png;3;3;4;4;cat\nset/a.png;0;0;9.5;9;dog\n",
        "id,left,top,right,bottom,category\na,1,2,5,6,cat\na,0,0,9.5,9,dog\nb,3,3,4,4,cat\n",
        "path,class,xmin,ymin,xmax,ymax\na.png,cat,.05,.2,.25,.6\na.png,dog,0,0,.475,.9\nb.png,cat,.15,.3,.2,.4\n",
    ],
)
def test_every_way_to_write_the_same_boxes(tmp_path: Path, text: str) -> None:
    write_picture(tmp_path / "images/a.png")
    write_picture(tmp_path / "images/b.png")
    write_text(tmp_path / "boxes.csv", text)
    assert detect_format(tmp_path).name == "box_list"
    dataset, items, report = read("box_list", tmp_path)
    assert dataset.categories.names == ("cat", "dog") and report.is_clean
    found = boxes_of(items)
    assert found.keys() == {"a.png", "b.png"}
    assert found["a.png"][0][1:] == pytest.approx((1, 2, 5, 6)) and found["a.png"][1][1:] == pytest.approx((0, 0, 9.5, 9))
    assert found["b.png"][0][1:] == pytest.approx((3, 3, 4, 4))
    assert [row[0] for row in found["a.png"]] == ["cat", "dog"]


def test_roboflow_has_a_list_in_the_folder_of_each_split(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write_picture(tmp_path / split / "a.jpg")
        write_text(tmp_path / split / "_annotations.csv", f"{ROBOFLOW}a.jpg,20,10,{split},1,1,5,5\n")
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    assert version.splits == {"train": 1, "val": 1, "test": 1} and report.is_clean
    assert version.categories.names == ("test", "train", "valid")
    assert version.manifest.source == {"format": "box_list"}


def test_lists_of_splits_beside_the_pictures(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.jpg")
    write_picture(tmp_path / "images/b.jpg")
    write_picture(tmp_path / "images/c.jpg")
    write_text(tmp_path / "data/train_labels.csv", ROBOFLOW + "a.jpg,20,10,cat,1,1,5,5\n")
    write_text(tmp_path / "data/test_labels.csv", ROBOFLOW + "b.jpg,20,10,cat,1,1,5,5\n")
    _, items, report = read("box_list", tmp_path)
    assert {name: item.split for name, item in items.items()} == {"a.jpg": "train", "b.jpg": "test"}
    assert report.count("image", "warned", "picture that no list names is left out") == 1


def test_open_images(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/train/ab12.png")
    write_picture(tmp_path / "images/validation/cd34.png")
    write_text(tmp_path / "annotations/oidv6-class-descriptions.csv", "LabelName,DisplayName\n/m/0,Tortoise\n/m/1,Cup\n")
    write_text(
        tmp_path / "annotations/train-annotations-bbox.csv", OPEN_IMAGES + "ab12,xclick,/m/0,1,0.25,1,0.5,0.9,1,0,1,-1,0\n"
    )
    write_text(tmp_path / "annotations/validation-annotations-bbox.csv", OPEN_IMAGES + "cd34,xclick,/m/1,1,0,1,0,1,0,0,0,0,0\n")
    write_text(tmp_path / "annotations/train-annotations-human-imagelabels.csv", "ImageID,Source,LabelName,Confidence\n")
    dataset, items, report = read("box_list", tmp_path)
    assert dataset.categories.names == ("Cup", "Tortoise")
    assert boxes_of(items) == {"train/ab12.png": [("Tortoise", 5, 5, 20, 9)], "validation/cd34.png": [("Cup", 0, 0, 20, 10)]}
    first, second = (items[name].annotations[0] for name in ("train/ab12.png", "validation/cd34.png"))
    assert first.is_crowd and first.attributes == {"occluded": "1"} and first.confidence is None
    assert not second.is_crowd and second.attributes == {} and items["validation/cd34.png"].split == "val"
    unread = "table that is no list of boxes is not read"
    assert report.count("file", "warned", unread) == 2  # the descriptions are one of them


def test_rows_of_a_picture_that_lie_apart_and_rows_without_a_box(tmp_path: Path) -> None:
    for name in "abc":
        write_picture(tmp_path / f"{name}.png")
    rows = ["a.png,20,10,cat,1,1,5,5", "b.png,20,10,dog,2,2,6,6", "c.png,20,10,,,,,", "a.png,20,10,dog,3,3,7,7"]
    write_text(tmp_path / "boxes.csv", ROBOFLOW + "\n".join(rows))
    _, items, report = read("box_list", tmp_path)
    assert boxes_of(items) == {
        "a.png": [("cat", 1, 1, 5, 5), ("dog", 3, 3, 7, 7)],
        "b.png": [("dog", 2, 2, 6, 6)],
        "c.png": [],
    }
    assert report.is_clean and items["a.png"].declared_size == (20, 10)


def test_class_numbers_take_the_names_of_classes_txt(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "boxes.csv", "image,class_id,x1,y1,x2,y2\na.png,1,1,1,5,5\na.png,7,1,1,5,5\n")
    dataset, items, report = read("box_list", tmp_path)
    assert dataset.categories.names == ("cat", "dog") and boxes_of(items) == {"a.png": [("dog", 1, 1, 5, 5)]}
    assert report.dropped("annotation") == 1


def test_a_list_without_classes_is_of_one_thing_and_says_so(tmp_path: Path) -> None:
    write_picture(tmp_path / "training_images/vid_4_1000.jpg")
    write_text(tmp_path / "train_boxes.csv", "image,xmin,ymin,xmax,ymax\nvid_4_1000.jpg,1.5,2.5,9,9\n")
    dataset, items, report = read("box_list", tmp_path)
    assert dataset.categories.names == ("object",) and len(items) == 1
    assert report.warned("category") == 1


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    rows = ["a.png,20,10,cat,1,x,5,5", "a.png,20,10,cat,1,1,5,5", "gone.png,20,10,cat,1,1,5,5"]
    write_text(tmp_path / "boxes.csv", ROBOFLOW + "\n".join(rows))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    assert version.count() == 1 and report.kept == {"image": 1, "annotation": 1}
    assert report.count("annotation", "dropped", "coordinate that is not a number") == 1
    assert report.count("annotation", "dropped", "its picture was dropped") == 1
    assert report.count("image", "dropped", "picture is missing") == 1
    write_text(tmp_path / "boxes.csv", ROBOFLOW + "a.png,20,10,cat,1,1,5,5\na.png,20,10\n")
    with pytest.raises(UnreadableDataset, match=r"row 3 of boxes\.csv is not like the others"):
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "y")
    write_text(tmp_path / "boxes.csv", "image,x,y,w,h\na.png,1,1,5,5\n")
    with pytest.raises(UnreadableDataset, match=r"xmin, ymin, xmax, ymax in boxes\.csv, got 'image,x,y,w,h'"):
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "z", format="box_list")


def test_predictions_keep_their_confidence(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_text(tmp_path / "boxes.csv", "image,label,xmin,ymin,xmax,ymax,confidence\na.png,cat,1,1,5,5,0.25\n")
    _, items, _ = read("box_list", tmp_path)
    (annotation,) = items["a.png"].annotations
    assert (annotation.confidence, annotation.origin) == (0.25, "model")


def test_lists_that_are_not_one_a_split_are_to_be_chosen_from(tmp_path: Path) -> None:
    for name in "ab":
        write_picture(tmp_path / f"images/{name}.png")
    write_text(tmp_path / "data/all_labels.csv", ROBOFLOW + "a.png,20,10,cat,1,1,5,5\nb.png,20,10,cat,1,1,5,5\n")
    write_text(tmp_path / "data/train_labels.csv", ROBOFLOW + "a.png,20,10,cat,1,1,5,5\n")
    with pytest.raises(UnreadableDataset, match=r"one a split, got all_labels\.csv, train_labels\.csv; choose with `lists`"):
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    options = {"lists": {"train": "data/train_labels.csv"}}
    version, _ = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x", format_options=options)
    assert version.splits == {"train": 1}


def test_the_list_of_a_split_names_pictures_of_its_folder(tmp_path: Path) -> None:
    """As FiftyOne lays out Open Images."""
    for split, name in (("train", "/m/0"), ("validation", "/m/1")):
        write_picture(tmp_path / split / "data/0a1b.jpg")
        write_text(tmp_path / split / "labels/detections.csv", OPEN_IMAGES + f"0a1b,xclick,{name},1,0,1,0,1,0,0,0,0,0\n")
        write_text(tmp_path / split / "metadata/classes.csv", "/m/0,Cat\n/m/1,Dog\n")
    _, items, report = read("box_list", tmp_path)
    assert {name: (item.split, item.annotations[0].category) for name, item in items.items()} == {
        "train/data/0a1b.jpg": ("train", "Cat"),
        "validation/data/0a1b.jpg": ("val", "Dog"),
    }
    assert not list(report.findings())


def test_marks_are_1_or_true(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    rows = ("1,0,0", "0,True,0", "False,TRUE,true", "-1,false,2")
    text = "filename,class,xmin,ymin,xmax,ymax,truncated,difficult,IsGroupOf\n"
    write_text(tmp_path / "list.csv", text + "".join(f"a.png,cat,1,1,{9 + place},9,{row}\n" for place, row in enumerate(rows)))
    _, items, _ = read("box_list", tmp_path)
    found = [(sorted(one.attributes.items()), one.is_crowd) for one in items["a.png"].annotations]
    assert found == [([("truncated", "1")], False), ([("difficult", "1")], False), ([("difficult", "1")], True), ([], False)]
