import json
from pathlib import Path
from typing import Any

import pytest
from format_samples import read, write_picture, write_text
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, SightlineError, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.formats.table import detect_format
from sightline.data.formats.via.format import looks_like_via
from sightline.data.importing import UNKNOWN_TURN, import_dataset

RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}


def region(facts: dict[str, Any] | None = None, shape: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"shape_attributes": shape or RECT, "region_attributes": {"kind": "cat"} if facts is None else facts}


def record(name: str, *regions: object, **facts: object) -> dict[str, Any]:
    return {"filename": name, "size": 12345, "regions": list(regions), "file_attributes": {}, **facts}


def write_records(path: Path, *records: dict[str, Any]) -> Path:
    return write_text(path, json.dumps({f"{each['filename']}{each['size']}": each for each in records}))


def write_project(path: Path, *records: dict[str, Any], options: object = None, folder: str = "") -> Path:
    project = {
        "_via_settings": {"core": {"default_filepath": folder}},
        "_via_img_metadata": {f"{each['filename']}{each['size']}": each for each in records},
        "_via_attributes": {"region": {"kind": {"type": "dropdown", "options": options or {}}}, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": [],
    }
    return write_text(path, json.dumps(project))


def test_exported_annotations_in_a_folder_a_split_as_mask_r_cnn_has_them(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_picture(tmp_path / f"balloon/{split}/a.png")
        write_records(tmp_path / f"balloon/{split}/via_region_data.json", record("a.png", region({})))
    write_picture(tmp_path / "balloon/train/left over.png")
    assert detect_format(tmp_path / "balloon").name == "via"
    dataset, items, report = read("via", tmp_path / "balloon")
    assert dataset.categories.names == ("object",)
    assert {name: item.split for name, item in items.items()} == {"a.png": "train", "val/a.png": "val"}
    assert items["a.png"].annotations == (Annotation(category="object", box_xyxy=(1, 2, 4, 6)),)
    assert (report.warned("category"), report.warned("image"), report.is_clean) == (1, 1, True)


def test_a_project_orders_its_classes_and_names_the_folder_of_its_pictures(tmp_path: Path) -> None:
    write_picture(tmp_path / "x/y/a.png")
    write_picture(tmp_path / "b c.png")
    records = [record("a.png", region(), region({"kind": "ant"})), record("b%20c.png", file_attributes={"caption": "home"})]
    path = write_project(tmp_path / "via_train.json", *records, options={"dog": "Dog", "cat": "Cat"}, folder="x\\y\\")
    assert detect_format(path).name == "via"
    dataset, items, report = read("via", tmp_path)
    assert dataset.categories.names == ("dog", "cat", "ant")
    assert [(item.file_name, item.split, len(item.annotations)) for item in items.values()] == [
        ("x/y/a.png", "train", 2),
        ("b c.png", "train", 0),
    ]
    assert [item.attributes for item in items.values()] == [{}, {"caption": "home"}]
    assert report.dropped("attribute") == 0
    version, report = import_dataset(path, Workspace(tmp_path / "w"), "x")
    assert version.count() == 2


def test_version_1_numbers_its_regions(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_records(tmp_path / "via.json", record("a.png", regions={"0": region(), "1": region({"kind": "dog"})}))
    _, items, _ = read("via", tmp_path)
    assert [annotation.category for annotation in items["a.png"].annotations] == ["cat", "dog"]


def test_of_a_project_and_its_export_in_one_folder_the_first_counts(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_project(tmp_path / "via_project.json", record("a.png", region()))
    write_records(tmp_path / "via_region_data.json", record("a.png", region(), region()))
    _, items, report = read("via", tmp_path)
    assert len(items["a.png"].annotations) == 1
    assert (report.dropped("annotation"), report.warned("image")) == (2, 1)


def test_what_cannot_be_kept_is_told_and_nothing_outside_is_read(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret/a.png")
    write_picture(tmp_path / "set/b.png")
    point = {"name": "point", "cx": 1, "cy": 1}
    records = [
        record("../secret/a.png", region()),
        record("b.png", region(), region({}), region(None, point), 3),
        record("gone.png", region()),
        record("http://host/b%0.png"),
        {"filename": 7, "size": 1},
    ]
    write_records(tmp_path / "set/via.json", *records)
    version, report = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x")
    (item,) = version.items()
    assert (item.file_name, len(item.annotations)) == ("b.png", 1)
    assert (report.dropped("image"), report.dropped("annotation")) == (4, 5)


def test_pictures_of_two_folders_are_not_taken_for_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "images/cam2/a.png")
    write_records(tmp_path / "via.json", record("cam1/a.png", region()), record("cam2/a.png", region({"kind": "dog"})))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    (item,) = version.items()
    assert (item.file_name, item.annotations[0].category) == ("images/cam2/a.png", "dog")
    assert report.count("image", "dropped", "picture is missing") == 1


def test_labels_of_a_picture_that_exif_turns_are_taken_as_upright_and_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png", exif=exif)
    write_records(tmp_path / "via.json", record("a.png", region()))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    (item,) = version.items()
    assert (item.width, item.height, item.annotations[0].box_xyxy) == (10, 20, (1, 2, 4, 6))
    assert report.count("image", "warned", UNKNOWN_TURN) == 1


def test_the_class_must_be_clear(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_records(tmp_path / "via.json", record("a.png", region({"name": "tom", "type": "cat"})))
    with pytest.raises(InvalidInput, match="name, type"):
        read("via", tmp_path)
    _, items, _ = read("via", tmp_path, attribute="type")
    assert items["a.png"].annotations[0].attributes == {"name": "tom"}
    with pytest.raises(InvalidInput, match="options attribute"):
        read("via", tmp_path, attributes="type")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"a": 1}', '{"_via_img_metadata": []}', "[" * 100_000, '{"\\ud800": 1}']
)
def test_what_is_no_via_json_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableDataset) as caught:
        read("via", write_text(tmp_path / "via.json", text))
    assert "\n" not in str(caught.value)


def test_a_picture_of_whose_regions_none_is_kept_does_not_count_as_empty(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_picture(tmp_path / f"{name}.png")
    point = region(shape={"name": "point", "cx": 3, "cy": 4})
    write_records(
        tmp_path / "via.json",
        record("a.png", point),
        record("b.png", region({})),  # nobody said of which class
        record("c.png", point, region()),
        record("d.png"),
    )
    _, items, _ = read("via", tmp_path)
    seen = {name: (item.seen_by, item.warning is None) for name, item in items.items()}
    assert seen == {"a.png": ("nobody", False), "b.png": ("nobody", False), "c.png": (None, True), "d.png": (None, True)}


def test_cut_and_mutated_files_are_errors_in_one_line_or_read(shared_data: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    path = write_project(tmp_path / "via.json", record("a.png", region()), options={"cat": ""})
    whole = path.read_text()
    texts = [whole[:cut] for cut in range(0, len(whole), 7)]
    for value in ("null", "3", "[]", "{}", '"x"', "NaN", "1e999", '"\\ud800"'):
        texts += [
            whole.replace(old, value, 1) for old in ('"a.png"', '{"kind": "cat"}', '"rect"', '"cat"', "12345", '""', "{}", "1,")
        ]
    texts += [
        file.read_text(errors="replace")
        for file in (shared_data / "malformed/go-fuzz-corpus").rglob("*json*")
        if file.is_file()
    ]
    outcomes = {"read": 0, "refused": 0}
    for number, text in enumerate(texts):
        write_text(path, text)
        try:
            import_dataset(path, Workspace(tmp_path / f"w{number}"), "x", format="via", verify="header")
            outcomes["read"] += 1
        except SightlineError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10


def test_no_sample_of_another_format_is_taken_for_via(shared_data: Path) -> None:
    assert not [path for path in (shared_data / "label-formats").rglob("*.json") if looks_like_via(path)]
