import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from format_samples import by_blob, make_version, read, round_trip, write_mask, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.data.exporting import export_version
from sightline.data.formats.cityscapes.labels import LABELS
from sightline.data.formats.table import detect_format, load_format
from sightline.imaging.files.reading import limit_pixels
from sightline.imaging.masks import decode_mask, encode_mask

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]
RIGHT = [[2, 0], [4, 0], [4, 4], [2, 4]]


def write_scene(folder: Path, objects: list[dict[str, object]], name: str = "a_000000_000001") -> None:
    write_picture(folder / f"leftImg8bit/train/a/{name}_leftImg8bit.png", 4, 4)
    facts = {"imgWidth": 4, "imgHeight": 4, "objects": objects}
    write_text(folder / f"gtFine/train/a/{name}_gtFine_polygons.json", json.dumps(facts))


def test_the_table_has_19_evaluated_classes() -> None:
    assert sorted(label.train_id for label in LABELS if label.train_id != 255) == list(range(19))
    assert [label.id for label in LABELS] == [*range(34), -1]


def test_polygons_are_painted_in_order_and_void_hides_what_is_below(tmp_path: Path) -> None:
    write_scene(tmp_path, [{"label": "road", "polygon": SQUARE}, {"label": "out of roi", "polygon": RIGHT}])
    dataset, items, report = read("cityscapes", tmp_path)
    assert dataset.unlabelled_pixels == "ignore"
    assert len(dataset.categories) == 19
    (annotation,) = items["a/a_000000_000001.png"].annotations
    assert annotation.category == "road"
    assert annotation.mask is not None
    assert decode_mask(annotation.mask).tolist() == [[True, True, False, False]] * 4
    assert report.is_clean
    assert detect_format(tmp_path).name == "cityscapes"


def test_instances_are_polygons_groups_are_crowds_and_the_rest_is_told(tmp_path: Path) -> None:
    labels = ["car", "cargroup", "caravan", "static", "spaceship"]
    write_scene(tmp_path, [{"label": label, "polygon": SQUARE} for label in labels])
    _, items, report = read("cityscapes", tmp_path, annotations="instance")
    car, crowd = items["a/a_000000_000001.png"].annotations
    assert car.polygons == ((0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0),)
    assert (car.category, car.is_crowd, crowd.category, crowd.is_crowd) == ("car", False, "car", True)
    assert report.dropped("annotation") == 2  # caravan is not evaluated, spaceship is unknown
    assert report.warned("annotation") == 1  # static is void
    dataset, items, _ = read("cityscapes", tmp_path, annotations="instance", classes="all")
    assert len(items["a/a_000000_000001.png"].annotations) == 3
    assert len(dataset.categories) == 28


@pytest.mark.parametrize(("kind", "values"), [("labelIds", [[7, 26]]), ("labelTrainIds", [[0, 13]])])
def test_label_pictures_are_taken_before_polygons(tmp_path: Path, kind: str, values: list[list[int]]) -> None:
    write_scene(tmp_path, [{"label": "sky", "polygon": SQUARE}])
    write_picture(tmp_path / "leftImg8bit/train/a/a_000000_000001_leftImg8bit.png", 2, 1)
    write_mask(tmp_path / f"gtFine/train/a/a_000000_000001_gtFine_{kind}.png", values)
    _, items, _ = read("cityscapes", tmp_path)
    assert [annotation.category for annotation in items["a/a_000000_000001.png"].annotations] == ["road", "car"]


def test_instance_ids_part_objects(tmp_path: Path) -> None:
    write_picture(tmp_path / "leftImg8bit/val/a/b_leftImg8bit.png", 4, 1)
    (tmp_path / "gtFine/val/a").mkdir(parents=True)
    ids = np.array([[7, 26001, 26002, 26]], np.uint16)
    assert cv2.imwrite(str(tmp_path / "gtFine/val/a/b_gtFine_instanceIds.png"), ids)
    _, items, _ = read("cityscapes", tmp_path, annotations="instance")
    found = [(annotation.category, annotation.is_crowd) for annotation in items["a/b.png"].annotations]
    assert found == [("road", False), ("car", True), ("car", False), ("car", False)]


def test_damaged_missing_and_lonely_labels_are_told(tmp_path: Path) -> None:
    write_scene(tmp_path, [], name="a_1")
    write_text(tmp_path / "gtFine/train/a/a_1_gtFine_polygons.json", "{")
    write_picture(tmp_path / "leftImg8bit/train/a/a_2_leftImg8bit.png")
    write_text(tmp_path / "gtFine/train/a/a_3_gtFine_polygons.json", "{}")
    _, items, report = read("cityscapes", tmp_path)
    assert all((item.annotations, item.seen_by) == ((), "nobody") for item in items.values())
    assert report.count("image", "warned", "picture without labels") == 1
    assert report.dropped("annotation") == 1
    assert report.dropped("image") == 1


def test_wrong_options_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDataset):
        read("cityscapes", tmp_path)
    with pytest.raises(InvalidInput, match="semantic"):
        read("cityscapes", tmp_path, annotations="boxes")


def test_a_round_trip_keeps_masks_exactly(tmp_path: Path, rng: np.random.Generator) -> None:
    cells = rng.integers(0, 4, (10, 20))
    annotations = [
        Annotation(category=name, mask=encode_mask(cells == index)) for index, name in enumerate(["gear", "car", "static"])
    ]
    rows = [("x/a.png", "train", annotations), ("a.jpg", None, annotations[1:]), ("b.png", "night", [])]
    for unlabelled in ("ignore", "background"):
        folder = tmp_path / unlabelled
        version = make_version(folder, rows, ["gear", "car", "static", "never"], unlabelled_pixels=unlabelled)
        assert load_format("cityscapes").check(version).is_clean
        again, report = round_trip(version, "cityscapes", folder)
        assert report.is_clean
        assert again.categories == version.categories
        assert again.manifest.unlabelled_pixels == unlabelled
        after = by_blob(again)
        for blob, item in by_blob(version).items():
            assert (after[blob].file_name, after[blob].split) == (item.file_name, item.split)
            assert [(a.category, a.mask) for a in after[blob].annotations] == [(a.category, a.mask) for a in item.annotations]


def test_a_round_trip_keeps_polygons_parts_and_crowds(tmp_path: Path) -> None:
    parts = ((1.0, 1.0, 5.0, 1.0, 5.0, 5.0), (7.5, 1.0, 9.0, 1.0, 9.0, 5.25))
    annotations = [
        Annotation(category="car", polygons=parts, box_xyxy=(1, 1, 9, 5.25)),
        Annotation(category="car", polygons=(parts[0],), box_xyxy=(1, 1, 5, 5), is_crowd=True),
        Annotation(category="gear", polygons=(parts[1],), box_xyxy=(7.5, 1, 9, 5.25)),
    ]
    version = make_version(tmp_path, [("x/a.png", "train", annotations)], ["gear", "car"])
    assert load_format("cityscapes").check(version).is_clean
    again, report = round_trip(version, "cityscapes", tmp_path)
    assert report.is_clean
    assert by_blob(again) == by_blob(version)


def test_the_export_uses_cityscapes_ids_and_names(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), bool)
    pixels[:, :3] = True
    annotations = [Annotation(category="car", mask=encode_mask(pixels)), Annotation(category="car", box_xyxy=(1, 1, 2, 2))]
    version = make_version(tmp_path, [("town/a.png", "val", annotations)], ["gear", "car"])
    report = export_version(version, tmp_path / "out", "cityscapes", allow_loss=True)
    assert report.dropped("annotation") == 1
    ids = cv2.imread(str(tmp_path / "out/gtFine/val/town/a_gtFine_labelIds.png"), cv2.IMREAD_UNCHANGED)
    assert (ids == np.where(pixels, 26, 0)).all()  # 26 is car
    facts = json.loads((tmp_path / "out/gtFine/val/town/a_gtFine_polygons.json").read_text())
    assert (facts["imgHeight"], facts["imgWidth"], facts["objects"][0]["label"]) == (10, 20, "car")
    assert (tmp_path / "out/leftImg8bit/val/town/a_leftImg8bit.png").is_file()


def test_painted_polygons_agree_with_the_label_pictures_of_cityscapes_scripts(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "label-formats/cityscapes-style"
    _, items, report = read("cityscapes", source)
    assert len(items) == 4
    assert report.is_clean
    for folder in ("leftImg8bit", "gtFine"):  # the same without label pictures: polygons must be painted
        for path in (source / folder).rglob("*"):
            if path.is_file() and ("leftImg8bit" in path.name or path.suffix == ".json"):
                target = tmp_path / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    _, painted, _ = read("cityscapes", tmp_path)
    agreeing = total = 0
    for name, item in items.items():
        ours = {a.category: decode_mask(a.mask) for a in painted[name].annotations if a.mask}
        for annotation in item.annotations:
            assert annotation.mask is not None
            theirs = decode_mask(annotation.mask)
            agreeing += int((theirs & ours[annotation.category]).sum())
            total += int(theirs.sum())
    # PIL paints the pixels an outline touches too, we those whose centre is inside: only outlines differ
    assert agreeing / total > 0.95


def test_datumaro_sample_has_its_pictures_one_level_down(shared_data: Path) -> None:
    source = shared_data / "label-formats/datumaro-test-assets/cityscapes_dataset/dataset"
    assert detect_format(source).name == "cityscapes"
    _, items, _ = read("cityscapes", source)
    assert sorted(item.split or "" for item in items.values()) == ["test", "test", "train", "val"]


def test_a_polygons_file_cannot_ask_for_all_memory_and_a_polygon_of_two_points_is_told(tmp_path: Path) -> None:
    write_scene(tmp_path, [{"label": "car", "polygon": [[0, 0], [2, 2]]}], name="a_1")
    write_scene(tmp_path, [], name="a_2")
    huge = {"imgWidth": 100_000, "imgHeight": 100_000, "objects": [{"label": "car", "polygon": [[0, 0], [9, 0], [9, 9]]}]}
    write_text(tmp_path / "gtFine/train/a/a_2_gtFine_polygons.json", json.dumps(huge))
    _, items, report = read("cityscapes", tmp_path)
    assert len(items) == 2
    assert report.count("annotation", "dropped", "polygon without area") == 1
    assert report.count("annotation", "dropped", "labels cannot be read") == 1


def test_polygons_keep_to_the_limit_of_pixels(tmp_path: Path) -> None:
    write_scene(tmp_path, [{"label": "road", "polygon": SQUARE}])  # 4 x 4
    for limit, found in ((15, 0), (16, 1)):
        with limit_pixels(limit):
            _, items, report = read("cityscapes", tmp_path)
        assert [len(item.annotations) for item in items.values()] == [found]
        assert report.count("annotation", "dropped", "labels cannot be read") == 1 - found
