from pathlib import Path

import pytest
from format_samples import make_version, read, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.data.exporting import export_version
from sightline.data.formats.table import detect_format


def test_yolo_mark_gives_nine_pictures_and_tells_of_two_that_are_missing(shared_data: Path) -> None:
    source = shared_data / "label-formats/yolo-mark"
    assert detect_format(source).name == "darknet"
    dataset, items, report = read("darknet", source)
    assert dataset.categories.names == ("air", "bird")
    assert len(items) == 9
    assert sum(len(item.annotations) for item in items.values()) == 34  # rows of the label files
    # air1.txt: 0 0.498437 0.479861 0.117188 0.168056 in 800 x 532 pixels, by hand
    assert items["img/air1.jpg"].annotations[0].box_xyxy == pytest.approx((351.87, 210.58, 445.62, 299.99), abs=0.01)
    assert report.count("image", "dropped", "picture is missing") == 2  # air7.jpg and bird4.jpg


def test_datumaro_sample(shared_data: Path) -> None:
    dataset, items, report = read("darknet", shared_data / "label-formats/datumaro-test-assets/yolo_dataset/yolo")
    assert len(dataset.categories) == 10
    assert [annotation.category for annotation in items["obj_train_data/1.jpg"].annotations] == ["label_2", "label_4"]
    assert report.is_clean


def test_unlisted_pictures_and_lonely_labels_are_told(tmp_path: Path) -> None:
    write_text(tmp_path / "obj.data", "classes = 1\ntrain = train.txt\nvalid = gone.txt\nnames = obj.names\n")
    write_text(tmp_path / "obj.names", "cat\n")
    write_text(tmp_path / "train.txt", "obj/a.png\nobj/a.png\n")
    for name in ("a", "b"):
        write_picture(tmp_path / f"obj/{name}.png")
    write_text(tmp_path / "obj/c.txt", "0 0.5 0.5 0.1 0.1\n")
    _, items, report = read("darknet", tmp_path)
    assert list(items) == ["a.png"]
    assert report.count("image", "dropped", "picture that no list names") == 1
    assert report.count("image", "dropped", "picture is listed twice; the first split keeps it") == 1
    assert report.dropped("file") == 2  # the list that is not there, the labels without a picture


@pytest.mark.parametrize("folder", ["images", "JPEGImages"])
def test_labels_in_a_folder_beside_the_pictures_folder_are_found(tmp_path: Path, folder: str) -> None:
    write_text(tmp_path / "voc.data", "classes = 1\ntrain = /home/ann/voc/train.txt\nnames = voc.names\n")
    write_text(tmp_path / "voc.names", "cat\n")
    write_text(tmp_path / "train.txt", f"/home/ann/voc/VOC2007/{folder}/a.png\n/home/ann/voc/VOC2007/{folder}/b.png\n")
    for name in ("a", "b"):
        write_picture(tmp_path / f"VOC2007/{folder}/{name}.png")
    write_text(tmp_path / "VOC2007/labels/a.txt", "0 0.5 0.5 0.2 0.4\n")
    _, items, report = read("darknet", tmp_path)
    # by hand: centre (10, 5), 4 x 4 in 20 x 10 pixels
    assert items[f"VOC2007/{folder}/a.png"].annotations == (Annotation(category="cat", box_xyxy=(8, 3, 12, 7)),)
    assert items[f"VOC2007/{folder}/b.png"].annotations == ()
    assert list(report.findings()) == []


def test_listed_pictures_without_any_labels_are_told(tmp_path: Path) -> None:
    write_text(tmp_path / "obj.data", "classes = 1\ntrain = train.txt\nnames = obj.names\n")
    write_text(tmp_path / "obj.names", "cat\n")
    write_text(tmp_path / "train.txt", "pictures/a.png\n")
    write_picture(tmp_path / "pictures/a.png")
    _, items, report = read("darknet", tmp_path)
    assert len(items) == 1
    assert report.warned("file") == 1


def test_a_folder_without_obj_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDataset, match=r"obj\.data"):
        read("darknet", tmp_path)


def test_the_export_is_laid_out_as_darknet_wants_it(tmp_path: Path) -> None:
    annotation = Annotation(category="dog", box_xyxy=(5, 5, 15, 10))
    version = make_version(tmp_path, [("x/a.png", "val", [annotation])], ["cat", "dog"])
    export_version(version, tmp_path / "out", "darknet")
    assert (tmp_path / "out/obj.names").read_text() == "cat\ndog\n"
    assert "valid = val.txt" in (tmp_path / "out/obj.data").read_text()
    assert (tmp_path / "out/val.txt").read_text() == "obj/x/a.png\n"
    assert (tmp_path / "out/obj/x/a.txt").read_text() == "1 0.5 0.75 0.5 0.5\n"


@pytest.mark.parametrize("split", ["names", "a=b", "#1", " night"])
def test_a_split_that_is_no_key_of_its_own_is_refused(tmp_path: Path, split: str) -> None:
    version = make_version(tmp_path, [("a.png", split, [])], ["cat"])
    with pytest.raises(InvalidInput, match="rename the split"):
        export_version(version, tmp_path / "out", "darknet")
