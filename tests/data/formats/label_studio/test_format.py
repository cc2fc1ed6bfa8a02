"""Label Studio's exports read: files, categories, splits, sizes, damaged files, its own samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from format_samples import encode_turned, read, write_picture, write_text
from label_studio_samples import CONFIG, annotated, choice, put, rectangle, small, small_box, task

from sightline.core.errors import UnreadableDataset
from sightline.data.formats.table import detect_format
from sightline.data.importing import import_dataset


def test_choices_are_classes_of_the_picture_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    source = put(tmp_path, task(annotated(rectangle("dog"), choice("night", "fog"))), config=CONFIG)
    dataset, items, report = read("label_studio", source)
    assert dataset.categories.names == ("zebra", "cat", "day", "night", "dog", "fog")
    assert [(one.category, one.geometry) for one in items["1.png"].annotations] == [
        ("dog", "box"),
        ("night", "image"),
        ("fog", "image"),
    ]
    assert report.is_clean


def test_of_two_tasks_of_one_picture_the_first_counts(tmp_path: Path) -> None:
    _, items, report = read("label_studio", put(tmp_path, task(annotated(rectangle())), task(annotated(rectangle("zebra")))))
    assert [one.category for one in items["1.png"].annotations] == ["cat"]
    assert report.count("annotation", "dropped", "of a further task with the same picture") == 1


def test_the_full_json_and_the_later_one_come_first(tmp_path: Path) -> None:
    put(tmp_path, small(box=[small_box("min")]), name="z-min.json")
    put(tmp_path, task(annotated(rectangle("early"))), name="project-1-at-2023.json")
    _, items, _ = read("label_studio", put(tmp_path, task(annotated(rectangle("late"))), name="project-1-at-2024.json"))
    assert [one.category for one in items["1.png"].annotations] == ["late"]


def test_splits_of_the_data_and_of_the_files_names(tmp_path: Path) -> None:
    tasks = [task(annotated(), image=f"{number}.png") for number in (1, 2, 3)]
    tasks[0]["data"]["split"], tasks[1]["data"]["split"] = "valid", "a/b"
    _, items, report = read("label_studio", put(tmp_path, *tasks, name="test.json", pictures=("1.png", "2.png", "3.png")))
    assert [item.split for item in items.values()] == ["val", "test", "test"]
    assert report.warned("image") == 1


def test_labels_follow_a_picture_that_exif_turns_or_that_was_resized(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    upright = {"original_width": 40, "original_height": 30}
    for name, orientation, size in (("upright", 6, upright), ("stored", 6, {"original_width": 30, "original_height": 40})):
        folder = put(tmp_path / name, task(annotated({**rectangle(), **size})), pictures=())
        (folder / "1.png").write_bytes(encode_turned(pixels, orientation))
        version, report = import_dataset(folder, tmp_path / f"{name}-version", "x", blobs=tmp_path / "blobs")
        (annotation,) = next(version.items()).annotations
        # stored 30 x 40, box (3, 8, 12, 24): a quarter clockwise takes (x, y) to (40 - y, x)
        assert annotation.box_xyxy == pytest.approx((4, 6, 16, 18) if name == "upright" else (16, 3, 32, 12))
        assert report.changed("annotation") == (name == "stored")
    folder = put(tmp_path / "resized", task(annotated({**rectangle(), "original_width": 2000, "original_height": 1000})))
    _, items, report = read("label_studio", folder)
    assert items["1.png"].annotations[0].box_xyxy == (2.0, 2.0, 8.0, 6.0)
    assert report.warned("image") == 1


@pytest.mark.parametrize(
    "text",
    [
        *("[", "[{}", '[{"data": {}}', "[1, 2]", "{}", "[]", "null", '[{"data": 5}]', "[" * 5000),
        '[{"data": {"image": "1.png"}, "annotations": 5}',
        '[{"data": {"image": ' + "[" * 5000,
        '[{"id": ' + "9" * 6000 + "}]",
        '[{"data": {"image": "1.png\\ud800"}}]',
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str) -> None:
    write_picture(tmp_path / "set/1.png")
    write_text(tmp_path / "set/export.json", text)
    with pytest.raises(UnreadableDataset) as caught:
        import_dataset(tmp_path / "set/export.json", tmp_path / "version", "x", blobs=tmp_path / "blobs", format="label_studio")
    assert "\n" not in str(caught.value)


def test_odd_tasks_are_told_and_do_not_stop_the_others(tmp_path: Path) -> None:
    odd = [
        5,
        None,
        {},
        {"data": 3},
        task(image=5),
        task(image=""),
        {**task(), "annotations": {"a": 1}},
        task(5, None, image="x.png"),
    ]
    _, items, report = read("label_studio", put(tmp_path, *odd, task(annotated(rectangle()))) / "export.json")
    assert list(items) == ["1.png"]
    assert report.dropped("image") == 7


@pytest.mark.parametrize(
    "config",
    ["<View><Image", '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "<View/>", "", "<a/>", "<View>" * 3000],
)
def test_a_damaged_configuration_leaves_the_labels(tmp_path: Path, config: str) -> None:
    dataset, items, _ = read("label_studio", put(tmp_path, task(annotated(rectangle())), config=config))
    assert dataset.categories.names == ("cat",)
    assert len(items["1.png"].annotations) == 1


def test_the_malformed_corpus_is_refused_in_one_line(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "malformed/go-fuzz-corpus").rglob("*.json"))
    assert len(paths) == 40
    for path in paths:
        with pytest.raises(UnreadableDataset) as caught:
            import_dataset(path, tmp_path / "version", "x", blobs=tmp_path / "blobs", format="label_studio")
        assert "\n" not in str(caught.value)


SAMPLES = {
    "test_export_coco/data.json": (1, 2),
    "test_export_yolo/data.json": (2, 4),
    "test_export_yolo/data_obb.json": (3, 25),
    "test_export_yolo/data_polygons.json": (1, 1),
    "test_export_yolo/data_keypoints.json": (1, 1),
    "test_export_json_min/data.json": (1, 1),
    "test_export_csv/csv_test.json": (2, 3),
    "test_export_doclang/data.json": (3, 2),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_of_label_studios_own_tests(shared_data: Path, tmp_path: Path, name: str) -> None:
    path = shared_data / "label-formats/label-studio" / name
    assert detect_format(path).name == "label_studio"
    tasks = json.loads(path.read_text())
    addresses = [record["data"]["image"].rpartition("/")[2] for record in tasks]
    names = tuple(address if "." in address else f"{address}.png" for address in addresses)
    source = put(tmp_path, *tasks, pictures=names)
    _, items, report = read("label_studio", source)
    assert (len(items), sum(len(item.annotations) for item in items.values())) == SAMPLES[name]
    results = [
        result
        for record in tasks
        for one in (*record["annotations"], *record.get("predictions", []))
        for result in one["result"]
    ]
    relations = report.count("attribute", "dropped", "relations are not kept")
    assert SAMPLES[name][1] + report.dropped("annotation") + relations == len(results)


def test_folders_of_other_formats_are_theirs(shared_data: Path) -> None:
    from sightline.data.formats.label_studio.format import LabelStudioFormat

    folders = [path for path in (shared_data / "label-formats").rglob("*") if path.is_dir()]
    found = {path.relative_to(shared_data / "label-formats").parts[0] for path in folders if LabelStudioFormat().detect(path)}
    assert found == {"label-studio"}
