"""Every shared dataset of real pictures is recognised and imported; counts from its README, its folders and its lists."""

from collections import Counter

import pytest

from sightline.core.errors import UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.importing import import_dataset

# folder: format, pictures, categories, splits
EXPECTED = {
    "detection/bccd": ("voc", 364, 3, {"train": 205, "val": 87, "test": 72}),
    "classification/cifar10-jpg": ("class_folders", 3000, 10, {"train": 1000, "test": 2000}),
    "classification/trashnet-512px-120": ("class_folders", 120, 6, {"train": 96, "val": 12, "test": 12}),
    "segmentation/camvid": ("label_masks", 115, 11, {"train": 90, "val": 25}),
    "segmentation/em-membrane": ("label_masks", 30, 1, {"train": 30}),
    "label-formats/cityscapes-style": ("cityscapes", 4, 19, {"val": 4}),
    "label-formats/labelme-nuts/images": ("labelme", 6, 3, {"train": 5, "val": 1}),  # drawn
    "label-formats/yolo-mark": ("darknet", 9, 2, {"train": 9}),
}


@pytest.mark.slow
@pytest.mark.parametrize("folder", EXPECTED)
def test_a_shared_data_set_is_recognised_and_whole(shared_data, tmp_path, folder):
    format, pictures, categories, splits = EXPECTED[folder]
    version, report = import_dataset(shared_data / folder, Workspace(tmp_path), "x")
    assert version.manifest.source["format"] == format
    assert version.count() == report.kept["image"] == pictures
    assert len(version.categories) == categories
    assert version.splits == splits
    assert report.changed("image") == report.changed("annotation") == 0
    first = next(version.items())
    assert version.read_image(first).shape == (first.height, first.width, 3)


@pytest.mark.slow
def test_imagenet_sample_has_one_picture_a_class_in_every_split(shared_data, tmp_path):
    version, _ = import_dataset(shared_data / "classification" / "imagenet-sample", Workspace(tmp_path), "x")
    assert version.count() == 299
    assert version.splits == {"train": 239, "val": 30, "test": 30}


@pytest.mark.slow
def test_trashnets_lists_decide_its_split(shared_data, tmp_path):
    folder = shared_data / "classification" / "trashnet-150px"
    version, _ = import_dataset(folder, Workspace(tmp_path), "x")
    lists = {split: (folder / f"{split}-files.csv").read_text().split() for split in ("train", "val", "test")}
    assert version.splits == {split: len(rows) for split, rows in lists.items()}
    counts = Counter(row.split(",")[1] for rows in lists.values() for row in rows)
    assert sorted(version.manifest.annotation_counts.values()) == sorted(counts.values())


def test_what_is_no_data_set_is_refused_in_one_line(shared_data, tmp_path):
    with pytest.raises(UnreadableDataset, match="none of the formats"):
        import_dataset(shared_data / "label-formats" / "coco-results", Workspace(tmp_path), "x")
