"""What is written: what Label Studio needs to import it again, every loss told before, and the same back when it is read."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from format_samples import by_blob, make_version, read, round_trip
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.data.exporting import export_version
from sightline.data.formats.table import load_format
from sightline.data.importing import import_dataset
from sightline.data.items import Item, Viewer
from sightline.data.versions import DatasetVersion
from sightline.imaging.masks import decode_mask, encode_mask, find_mask_box, find_polygons_box

NAMES = ("cat", 'a "b" & <c>', "größe")
WIDTH, HEIGHT = 37, 23


def write(version: DatasetVersion, target: Path, allow_loss: bool = False) -> tuple[list[dict[str, Any]], ElementTree.Element]:
    """The tasks and the configuration that are written."""
    export_version(version, target, "label_studio", allow_loss=allow_loss)
    return json.loads((target / "tasks.json").read_text()), ElementTree.parse(target / "label_config.xml").getroot()


def draw(rng: np.random.Generator, geometry: str) -> Annotation:
    """A random annotation of one geometry."""
    category = str(rng.choice(NAMES))
    if geometry == "image":
        return Annotation(category=category)
    texts = {f"key {number}": str(rng.choice(["", "yes", "two\nlines", "<&>"])) for number in range(rng.integers(0, 3))}
    if geometry == "mask":
        pixels = rng.random((HEIGHT, WIDTH)) < rng.random()
        pixels[3, 4] = True
        return Annotation(category=category, mask=encode_mask(pixels), box_xyxy=find_mask_box(pixels), attributes=texts)
    if geometry == "polygons":
        rings = tuple(
            tuple((rng.random((int(rng.integers(3, 9)), 2)) * (WIDTH, HEIGHT)).ravel().tolist())
            for _ in range(rng.integers(1, 4))
        )
        return Annotation(category=category, polygons=rings, box_xyxy=find_polygons_box(rings), attributes=texts)
    (x0, y0), (x1, y1) = np.sort(rng.random((2, 2)) * (WIDTH - 1, HEIGHT - 1), axis=0).tolist()
    return Annotation(category=category, box_xyxy=(x0, y0, x1 + 1, y1 + 1), attributes=texts)


def assert_same(ours: Item, theirs: Item, tolerance_px: float = 1e-9) -> None:
    assert len(ours.annotations) == len(theirs.annotations)
    plain = {"box_xyxy": None, "polygons": None, "mask": None}
    for first, second in zip(ours.annotations, theirs.annotations, strict=True):
        assert replace(first, **plain) == replace(second, **plain)
        assert first.geometry == second.geometry
        if first.box_xyxy is not None:
            assert second.box_xyxy == pytest.approx(first.box_xyxy, abs=tolerance_px)
        for ring, other in zip(first.polygons or (), second.polygons or (), strict=True):
            assert other == pytest.approx(ring, abs=tolerance_px)
        if first.mask is not None and second.mask is not None:
            assert np.array_equal(decode_mask(first.mask), decode_mask(second.mask))


@pytest.mark.parametrize("seed", range(12))
def test_random_annotations_come_back_the_same(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(6):
        kinds = sorted(
            rng.choice(["box", "polygons", "mask", "image"], size=rng.integers(0, 6)), key=lambda kind: kind == "image"
        )
        annotations = [draw(rng, kind) for kind in kinds]
        if number % 2:
            confidence = float(rng.random())
            annotations = [replace(one, origin="model", confidence=confidence) for one in annotations]
        rows.append((f"{'ab'[number % 2]}/pic {number} %41+#?&ü.png", ("train", "val", None)[number % 3], annotations))
    version = make_version(tmp_path, rows, NAMES, size=(WIDTH, HEIGHT))
    again, report = round_trip(version, "label_studio", tmp_path)
    assert report.is_clean, report.lines()
    assert again.categories == version.categories
    theirs = by_blob(again)
    for item in version.items():
        assert theirs[item.blob].file_name == item.file_name
        assert theirs[item.blob].split == item.split
        assert_same(item, theirs[item.blob])


def test_every_result_names_a_control_of_the_configuration_that_has_its_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    annotations = [draw(rng, kind) for kind in ("box", "polygons", "mask", "image")]
    annotations[0] = replace(annotations[0], attributes={"boxes": "a name that a control has", "other": "1"})
    version = make_version(tmp_path, [("1.png", "train", annotations)], NAMES, size=(WIDTH, HEIGHT))
    (task,), root = write(version, tmp_path / "out")
    controls = {tag.get("name"): tag for tag in root.iter() if tag.get("toName")}
    image = root.find("Image")
    assert image is not None
    assert image.get("value") == "$image"
    assert task["data"].keys() == {"image", "split"}
    assert len(controls) == sum(tag.get("toName") is not None for tag in root.iter())  # names are unique
    for result in task["annotations"][0]["result"]:
        control = controls[result["from_name"]]
        assert control.tag.lower() == result["type"]
        assert control.get("toName") == result["to_name"] == image.get("name")
        if control.tag != "TextArea":
            assert [label.get("value") for label in control] == list(NAMES)
            assert set(result["value"][result["type"]]) <= set(NAMES)
    assert {control.tag for control in controls.values()} == {
        *("RectangleLabels", "PolygonLabels", "BrushLabels", "Choices", "TextArea")
    }


def test_addresses_are_local_files_below_the_exported_folder(tmp_path: Path) -> None:
    name = "a b/100%+x#?&=ü.png"
    tasks, _ = write(make_version(tmp_path, [(name, None, ())], NAMES), tmp_path / "out")
    address = urlsplit(tasks[0]["data"]["image"])
    assert address.path == "/data/local-files/"
    assert parse_qs(address.query) == {"d": [f"images/{name}"]}
    assert (tmp_path / "out" / "images" / name).is_file()


def test_numbers_worked_by_hand(tmp_path: Path) -> None:
    box = Annotation(category="cat", box_xyxy=(2.0, 1.0, 12.0, 6.0))
    model = Annotation(category="cat", polygons=((0.0, 0.0, 20.0, 0.0, 10.0, 10.0),), origin="model", confidence=0.25)
    rows = [("1.png", None, [box]), ("2.png", None, [model]), ("3.png", None, [])]
    tasks, _ = write(make_version(tmp_path, rows, NAMES), tmp_path / "out")  # 20 x 10 pixels
    (result,) = tasks[0]["annotations"][0]["result"]
    assert result["value"] == {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]}
    assert (result["original_width"], result["original_height"], result["image_rotation"]) == (20, 10, 0)
    (prediction,) = tasks[1]["predictions"]
    assert prediction["result"][0]["value"]["points"] == [[0, 0], [100, 0], [50, 100]]
    assert (prediction["score"], prediction["result"][0]["score"]) == (0.25, 0.25)
    assert tasks[1]["annotations"] == []
    assert tasks[2]["annotations"] == tasks[2]["predictions"] == []


def test_who_looked_comes_back_until_somebody_looks(tmp_path: Path) -> None:
    box = Annotation(category="cat", box_xyxy=(1.0, 1.0, 9.0, 9.0))
    rows = [(f"{number}.png", "train", [box] if number == 0 else []) for number in range(5)]
    viewers: dict[str, Viewer | None] = {"0.png": None, "1.png": None, "2.png": "human", "3.png": "model", "4.png": "nobody"}
    again, report = round_trip(make_version(tmp_path, rows, NAMES, viewers=viewers), "label_studio", tmp_path)
    assert {item.file_name: item.seen_by for item in again.items()} == viewers
    assert report.is_clean
    path = tmp_path / "export-label_studio" / "tasks.json"
    tasks = json.loads(path.read_text())
    assert tasks[1]["data"]["seen_by"] == "unknown"
    for annotation, viewer in (({"result": []}, "human"), ({"result": [], "was_cancelled": True}, "nobody")):
        tasks[1]["annotations"] = [annotation]
        path.write_text(json.dumps(tasks))
        _, items, _ = read("label_studio", path.parent)
        assert items["1.png"].seen_by == viewer


@pytest.mark.parametrize(
    ("annotation", "kind", "reason"),
    [
        ({"is_crowd": True}, "attribute", "the format has no mark for crowds: the region becomes an ordinary object"),
        ({"confidence": 0.5}, "attribute", "the format holds no confidence of a person's annotation"),
        ({"box_xyxy": None, "attributes": {"a": "b"}}, "attribute", "the format has no attribute 'a' of a whole picture"),
        ({"attributes": {"\x01": "b"}}, "attribute", "the format has no attribute '\\x01' of a whole picture"),
        (
            {"polygons": ((1.0, 1.0, 5.0, 1.0, 5.0, 5.0),)},
            "annotation",
            "box is not the bounds of its polygon; the bounds are kept",
        ),
    ],
)
def test_losses_are_told_before(tmp_path: Path, annotation: dict[str, Any], kind: Any, reason: str) -> None:
    made = replace(Annotation(category="cat", box_xyxy=(1.0, 1.0, 9.0, 9.0)), **annotation)
    losses = load_format("label_studio").check(make_version(tmp_path, [("1.png", None, [made])], NAMES))
    assert [(finding.kind, finding.reason) for finding in losses.findings()] == [(kind, reason)]


def test_a_models_beside_a_persons_is_a_prediction_that_reading_leaves_out(tmp_path: Path) -> None:
    box = Annotation(category="cat", box_xyxy=(1.0, 1.0, 9.0, 9.0))
    version = make_version(tmp_path, [("1.png", None, [box, replace(box, origin="model", confidence=0.5)])], NAMES)
    assert load_format("label_studio").check(version).changed("annotation") == 1
    again, report = round_trip(version, "label_studio", tmp_path, allow_loss=True)
    assert next(again.items()).annotations == (box,)
    assert report.dropped("annotation") == 1


def test_classes_of_a_model_share_one_confidence(tmp_path: Path) -> None:
    classes = [
        Annotation(category=name, origin="model", confidence=value) for name, value in zip(NAMES, (0.9, 0.7, 0.8), strict=True)
    ]
    version = make_version(tmp_path, [("1.png", None, classes)], NAMES)
    assert load_format("label_studio").check(version).changed("annotation") == 1
    again, _ = round_trip(version, "label_studio", tmp_path, allow_loss=True)
    assert [one.confidence for one in next(again.items()).annotations] == [0.7] * 3


def test_a_category_that_xml_cannot_hold_is_told_and_kept(tmp_path: Path) -> None:
    names = ("b\x07", "a")
    version = make_version(tmp_path, [("1.png", None, [Annotation(category=name) for name in names])], names)
    assert load_format("label_studio").check(version).changed("category") == 1
    again, _ = round_trip(version, "label_studio", tmp_path, allow_loss=True)
    assert [one.category for one in next(again.items()).annotations] == list(names)


@pytest.mark.parametrize(
    ("source", "format", "tolerance_px"),
    [
        ("detection/bccd", "voc", 1e-9),
        ("label-formats/labelme-nuts/trainval.json", "coco", 1e-9),
        ("segmentation/camvid", "auto", 0),
    ],
)
def test_real_data_come_back_the_same(shared_data: Path, tmp_path: Path, source: str, format: str, tolerance_px: float) -> None:
    version, _ = import_dataset(
        shared_data / source, tmp_path / "version", "x", blobs=tmp_path / "blobs", format=format, split="given"
    )
    again, report = round_trip(version, "label_studio", tmp_path, allow_loss=True)
    assert report.dropped("annotation") == 0
    assert again.categories == version.categories
    theirs = {item.file_name: item for item in again.items()}
    assert len(theirs) == version.count()
    for item in version.items():
        kept, found = (
            tuple(replace(one, box_xyxy=None) if one.polygons else one for one in each.annotations)
            for each in (item, theirs[item.file_name])
        )
        assert_same(replace(item, annotations=kept), replace(theirs[item.file_name], annotations=found), tolerance_px)
