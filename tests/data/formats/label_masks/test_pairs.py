from pathlib import Path

import pytest
from format_samples import read, write_mask, write_picture, write_text

from sightline.core.errors import UnreadableDataset
from sightline.data.formats.picture_files import find_split
from sightline.data.formats.table import detect_format


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("train", "train_masks"),  # Carvana
        ("train", "train_labels"),  # CamVid on Kaggle
        ("data", "labels"),  # FiftyOne
        ("JPEGImages", "SegmentationClass"),  # CVAT
    ],
)
def test_folders_that_go_together_by_name(tmp_path: Path, pictures: str, masks: str) -> None:
    write_picture(tmp_path / pictures / "1.png", 4, 2)
    write_mask(tmp_path / masks / "1_mask.png", [[0, 0, 255, 255]] * 2)
    write_picture(tmp_path / "test/2.png")
    assert detect_format(tmp_path).name == "label_masks"
    _, items, report = read("label_masks", tmp_path)
    assert [(item.split, item.annotations[0].category) for item in items.values()] == [(find_split(pictures), "foreground")]
    assert report.count("file", "warned", "folder of pictures without masks beside it is not read") == 1  # test


def test_roboflow_has_pictures_and_masks_in_one_folder(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_picture(tmp_path / split / f"{split}_jpg.rf.1.jpg", 4, 2)
        write_mask(tmp_path / split / f"{split}_jpg.rf.1_mask.png", [[0, 2, 1, 255]] * 2)
        write_text(tmp_path / split / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    assert detect_format(tmp_path).name == "label_masks"
    dataset, items, report = read("label_masks", tmp_path)
    assert dataset.categories.names == ("cat", "dog") and dataset.unlabelled_pixels == "background"
    assert {name: (item.split, [a.category for a in item.annotations]) for name, item in items.items()} == {
        "train_jpg.rf.1.jpg": ("train", ["cat", "dog"]),
        "valid_jpg.rf.1.jpg": ("val", ["cat", "dog"]),
    }
    assert report.dropped("annotation") == 2  # the value 255
    write_text(tmp_path / "train/_classes.csv", "Pixel Value, Class\nzero, background\n")
    with pytest.raises(UnreadableDataset, match=r"rows of a value and a name in _classes\.csv"):
        read("label_masks", tmp_path)


def test_masks_of_which_none_has_the_name_of_a_picture_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/1.jpg")
    write_mask(tmp_path / "annotations/trimaps/1.png", [[0, 1]])
    with pytest.raises(
        UnreadableDataset, match=r"masks named like their pictures in annotations, got none for any, as for 1\.jpg"
    ):
        read("label_masks", tmp_path)
