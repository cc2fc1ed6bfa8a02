import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from format_samples import by_blob, make_version, read, round_trip, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, LossyExport, UnreadableDataset
from sightline.data.blobs import BlobStore
from sightline.data.conversion import ConversionReport
from sightline.data.exporting import export_version
from sightline.data.formats.table import detect_format, load_format
from sightline.data.importing import import_dataset
from sightline.imaging.masks import draw_annotation, draw_polygons, encode_mask

NAMES = "names: [cat, dog]\n"


def box(category: str, *values: float, **facts: object) -> Annotation:
    return Annotation(category=category, box_xyxy=values, **facts)  # type: ignore[arg-type]


def test_boxes_are_shares_of_the_picture_around_their_centre(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images/train\n" + NAMES)
    write_picture(tmp_path / "images/train/a.png", 20, 10)
    write_picture(tmp_path / "images/train/sub/b.png", 20, 10)
    write_picture(tmp_path / "images/train/c.png", 20, 10)
    write_text(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.2 0.4\n\n0 0.25 0.5 0.5 1.0\n")
    write_text(tmp_path / "labels/train/c.txt", "")
    dataset, items, report = read("yolo", tmp_path)
    assert dataset.categories.names == ("cat", "dog")
    # by hand: centre (10, 5), 4 x 4; and the left half
    assert items["a.png"].annotations == (box("dog", 8, 3, 12, 7), box("cat", 0, 0, 10, 10))
    assert items["sub/b.png"].annotations == ()  # no label file: nothing is on the picture
    assert (items["c.png"].annotations, items["c.png"].seen_by) == ((), "human")  # somebody wrote an empty file
    assert items["sub/b.png"].seen_by is None
    assert items["a.png"].split == "train"
    assert report.is_clean


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("path: .\ntrain: images/train\nval: images/val\n", {"train": 1, "val": 1}),
        ("path: /home/ann/set\ntrain: [images/train, images/val]\n", {"train": 2}),
        ("train: ../images/train\nvalid: ../images/val\n", {"train": 1, "val": 1}),
        ("train: list.txt\n", {"train": 2}),
        ("train: images/train/a.png\n", {"train": 1}),
    ],
)
def test_places_of_pictures_may_be_folders_lists_and_pictures(tmp_path: Path, places: str, expected: dict[str, int]) -> None:
    write_text(tmp_path / "data.yaml", places + "names: {0: cat, 3: dog}\n")
    write_text(tmp_path / "list.txt", "./images/train/a.png\n/old/machine/images/val/b.png\n")
    write_picture(tmp_path / "images/train/a.png")
    write_picture(tmp_path / "images/val/b.png")
    write_text(tmp_path / "labels/train/a.txt", "3 0.5 0.5 0.2 0.4\n")
    dataset, items, report = read("yolo", tmp_path)
    splits = [item.split for item in items.values()]
    assert {split: splits.count(split) for split in splits} == expected
    assert dataset.categories.names == ("cat", "dog")
    assert next(iter(items.values())).annotations[0].category == "dog"
    assert report.is_clean


@pytest.mark.parametrize("names", ["[yes, no, 010]", "{0: yes, 1: no, 2: 010}", "\n  - yes\n  - no\n  - 010"])
def test_names_are_taken_as_they_are_written(tmp_path: Path, names: str) -> None:
    write_text(tmp_path / "data.yaml", f"train: images/train\nnames: {names}\n")
    write_picture(tmp_path / "images/train/a.png", 20, 10)
    dataset, _, report = read("yolo", tmp_path)
    assert dataset.categories.names == ("yes", "no", "010")
    assert report.is_clean


def test_nothing_outside_of_the_data_set_is_read(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret/images/a.png")
    write_text(tmp_path / "set/data.yaml", f"path: {tmp_path}/secret\ntrain: images\nval: ../secret/images\n" + NAMES)
    with pytest.raises(UnreadableDataset, match="found none of them"):
        read("yolo", tmp_path / "set")


def test_yaml_that_would_grow_without_bound_is_refused_at_once(tmp_path: Path) -> None:
    levels = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    levels += [f"{name}: &{name} [{', '.join(['*' + below] * 9)}]" for below, name in zip("abcdefgh", "bcdefghi", strict=True)]
    write_text(tmp_path / "data.yaml", "\n".join([*levels, "train: images", "names: [*i]"]))
    write_picture(tmp_path / "images/a.png")
    with pytest.raises(UnreadableDataset, match="names"):
        read("yolo", tmp_path)


def test_equal_names_in_two_splits_stay_apart(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images/train\nval: images/val\n" + NAMES)
    for split in ("train", "val"):
        write_picture(tmp_path / f"images/{split}/a.png")
    _, items, report = read("yolo", tmp_path)
    assert {name: item.split for name, item in items.items()} == {"a.png": "train", "val/a.png": "val"}
    assert report.is_clean


def test_rows_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images\nnc: 3\n" + NAMES)
    write_picture(tmp_path / "images/a.png")
    rows = [
        "7 0.5 0.5 0.1 0.1",
        "0 0.5 x 0.1 0.1",
        "0 0.5 nan 0.1 0.1",
        "0 0.5 0.5",
        "0 320 240 10 10",
        "0 0.5 0.5 0.2 0.4 0.75",
    ]
    write_text(tmp_path / "labels/a.txt", "\n".join(rows))
    write_text(tmp_path / "labels/gone.txt", "0 0.5 0.5 0.1 0.1\n")
    _, items, report = read("yolo", tmp_path)
    assert items["a.png"].annotations == (box("cat", 8, 3, 12, 7, confidence=0.75, origin="model"),)
    assert report.count("annotation", "dropped", "unknown category: its class number has no name") == 1
    assert report.dropped("annotation") == 5
    assert report.count("image", "dropped", "picture is missing, only its labels are there") == 1
    assert report.warned("category") == 1  # nc


def test_polygons_oriented_boxes_and_key_points(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images\nkpt_shape: [2, 3]\n" + NAMES)
    write_picture(tmp_path / "images/a.png", 20, 10)
    triangle = "0 0.1 0.1 0.5 0.1 0.5 0.8"
    tilted = "0 0.5 0.2 0.6 0.4 0.5 0.6 0.4 0.4"  # corners (10, 2) (12, 4) (10, 6) (8, 4): a square on its corner
    upright = "0 0.1 0.1 0.5 0.1 0.5 0.8 0.1 0.8"
    pose = "1 0.5 0.5 0.2 0.4 0.5 0.5 2 0.6 0.6 1"
    write_text(tmp_path / "labels/a.txt", "\n".join([triangle, tilted, upright, pose]))
    _, items, report = read("yolo", tmp_path)
    found = items["a.png"].annotations
    assert found[0].polygons == (pytest.approx((2, 1, 10, 1, 10, 8)),)
    assert found[0].box_xyxy == pytest.approx((2, 1, 10, 8))
    assert found[1].polygons == (pytest.approx((10, 2, 12, 4, 10, 6, 8, 4)),)
    assert found[3] == box("dog", 8, 3, 12, 7)
    assert report.changed("annotation") == 1  # the tilted one only
    assert report.dropped("attribute") == 1  # the key points


def test_boxes_come_back_within_a_hundredth_pixel_in_the_widest_picture(tmp_path: Path) -> None:
    from sightline.data.conversion import ConversionReport
    from sightline.data.formats.yolo.rows import format_box_row, parse_row

    size = (99_991, 77_777)
    for values in [(0.25, 0.1, 99_990.9, 77_776.3), (33_333.333, 11_111.111, 33_334.4, 11_112.2)]:
        row = format_box_row(0, values, size)
        again = parse_row(row, {0: "cat"}, size=size, keypoint_values=0, report=ConversionReport(), where="")
        assert again is not None
        assert again.box_xyxy == pytest.approx(values, abs=0.01)


def test_a_round_trip_keeps_boxes_splits_names_and_facts(tmp_path: Path) -> None:
    rows = [
        ("a.png", "train", [box("dog", 1.25, 2.5, 7.125, 9), box("cat", 0, 0, 20, 10, attributes={"difficult": "1"})]),
        ("sub/a.png", "val", [box("cat", 3, 3, 4, 4, confidence=0.5, origin="model")]),
        ("b.jpg", None, []),
        ("c.jpg", "night", [box("cat", 3, 3, 4, 4, is_crowd=True), box("cat", 3, 3, 4, 4)]),
    ]
    version = make_version(tmp_path, rows, ["cat", "dog", "never seen"])
    for name in ("yolo", "yolo_segment", "darknet"):
        assert load_format(name).check(version).is_clean
        again, report = round_trip(version, name, tmp_path)
        assert report.is_clean
        assert again.categories == version.categories
        after = by_blob(again)
        for blob, item in by_blob(version).items():
            assert (after[blob].file_name, after[blob].split) == (item.file_name, item.split)
            assert len(after[blob].annotations) == len(item.annotations)
            for new, old in zip(after[blob].annotations, item.annotations, strict=True):
                assert new.box_xyxy == pytest.approx(old.box_xyxy, abs=1e-5)
                assert (new.category, new.attributes, new.confidence) == (old.category, old.attributes, old.confidence)
                assert (new.origin, new.is_crowd) == (old.origin, old.is_crowd)


def test_an_export_is_found_and_has_what_ultralytics_asks_for(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", None, [box("cat", 1, 2, 3, 4)])], ["cat"])
    export_version(version, tmp_path / "out", "yolo")
    facts = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert facts["train"] == "images/unsplit"
    assert "val" in facts
    assert facts["names"] == {0: "cat"}
    assert (tmp_path / "out/labels/unsplit/a.txt").read_text() == "0 0.1 0.3 0.1 0.2\n"
    assert detect_format(tmp_path / "out").name == "yolo"


def test_polygons_need_permission_to_become_boxes_and_survive_as_segments(tmp_path: Path) -> None:
    ring = (1.0, 1.0, 9.0, 1.0, 9.0, 6.0)
    annotation = Annotation(category="cat", polygons=(ring,), box_xyxy=(1, 1, 9, 6))
    version = make_version(tmp_path, [("a.png", "train", [annotation])], ["cat"])
    with pytest.raises(LossyExport, match="polygon lost"):
        export_version(version, tmp_path / "out", "yolo")
    assert not (tmp_path / "out").exists()
    boxes, _ = round_trip(version, "yolo", tmp_path, allow_loss=True)
    assert next(boxes.items()).annotations[0].polygons is None
    polygons, report = round_trip(version, "yolo_segment", tmp_path)
    assert report.is_clean
    assert next(polygons.items()).annotations[0].polygons == (pytest.approx(ring, abs=1e-5),)


def test_rings_of_one_object_are_joined_without_changing_its_pixels(tmp_path: Path) -> None:
    from sightline.data.formats.yolo.rows import join_rings

    rings = (
        (1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0),
        (8.0, 2.0, 12.0, 2.0, 12.0, 8.0, 8.0, 8.0),
        (14.0, 0.0, 16.0, 0.0, 16.0, 3.0),
    )
    joined = join_rings(rings)
    assert (draw_polygons([joined], 10, 20) == draw_polygons(rings, 10, 20)).all()
    version = make_version(tmp_path, [("a.png", "train", [Annotation(category="cat", polygons=rings)])], ["cat"])
    report = load_format("yolo_segment").check(version)
    assert report.count("annotation", "changed", "polygon of several rings joined to one by bridges of no width") == 1


def make_square(start: int, end: int) -> tuple[float, ...]:
    return tuple(float(value) for value in (start, start, end, start, end, end, start, end))


@pytest.mark.parametrize("second", [(6, 9), (1, 4), (4, 8)])  # over the edge of the first, the first again, inside of it
def test_rings_that_overlap_come_back_with_all_their_pixels(tmp_path: Path, second: tuple[int, int]) -> None:
    first = (1, 4) if second == (1, 4) else (3, 9) if second == (4, 8) else (2, 7)
    rings = (make_square(*first), make_square(*second))
    version = make_version(tmp_path, [("a.png", "train", [Annotation(category="cat", polygons=rings)])], ["cat"])
    again, _ = round_trip(version, "yolo_segment", tmp_path, allow_loss=True)
    (annotation,) = next(again.items()).annotations
    assert (draw_annotation(annotation, 10, 20) == draw_polygons(rings, 10, 20)).all()
    losses = load_format("yolo_segment").check(version)
    assert losses.count("annotation", "changed", "rings that overlap drawn as their common outline, of whole pixels") == 1


def test_an_island_in_the_hole_of_a_mask_stays(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), bool)
    pixels[0:9, 0:9] = True
    pixels[1:8, 1:8] = False
    pixels[3:6, 3:6] = True
    version = make_version(tmp_path, [("a.png", "train", [Annotation(category="cat", mask=encode_mask(pixels))])], ["cat"])
    again, _ = round_trip(version, "yolo_segment", tmp_path, allow_loss=True)
    drawn = draw_annotation(next(again.items()).annotations[0], 10, 20)
    assert drawn[0:9, 0:9].all() and drawn.sum() == 81  # the hole is filled, which is told


@pytest.mark.parametrize("name", ["yolo", "yolo_segment"])
def test_labels_lie_where_readers_look_when_a_name_holds_a_folder_images(tmp_path: Path, name: str) -> None:
    rows = [("images/a.png", "train", [box("cat", 2, 2, 8, 8, attributes={"ripe": "yes"})]),
            ("x/images/y/b.png", "val", [box("dog", 1, 1, 5, 5)]), ("c.png", "images", [box("dog", 3, 3, 5, 5)])]  # fmt: skip
    version = make_version(tmp_path / "version", rows, ["cat", "dog"])
    back, _ = round_trip(version, name, tmp_path)
    assert {item.file_name: (item.split, item.annotations) for item in back.items()} == {
        item.file_name: (item.split, item.annotations) for item in version.items()
    }
    for picture in (tmp_path / f"export-{name}").rglob("*.png"):
        before, after = str(picture).rsplit("/images/", 1)  # Ultralytics' img2label_paths
        assert Path(f"{before}/labels/{after}").with_suffix(".txt").is_file()


def test_pictures_that_would_share_a_label_file_are_renamed_and_told(tmp_path: Path) -> None:
    rows = [("x/a.png", "train", [box("cat", 1, 2, 3, 4)]), ("x/a.jpg", "train", []), ("y/a.png", "train", [])]
    version = make_version(tmp_path, rows, ["cat"])
    assert load_format("yolo").check(version).changed("file") == 1
    again, _ = round_trip(version, "yolo", tmp_path, allow_loss=True)
    assert sorted(item.file_name for item in again.items()) == ["x/a-jpg.jpg", "x/a.png", "y/a.png"]
    assert {item.file_name: len(item.annotations) for item in again.items()}["x/a.png"] == 1


def test_labels_of_whole_pictures_are_lost_in_boxes(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", "train", [Annotation(category="cat")])], ["cat"])
    assert load_format("yolo").check(version).dropped("annotation") == 1


def test_a_folder_without_names_gets_names_from_its_numbers(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/val/a.png")
    write_text(tmp_path / "labels/val/a.txt", "4 0.5 0.5 0.2 0.4\n2 0.5 0.5 0.2 0.4\n")
    dataset, items, _ = read("yolo", tmp_path)
    assert dataset.categories.names == ("class_2", "class_4")
    assert items["a.png"].split == "val"
    with pytest.raises(UnreadableDataset):
        read("yolo", tmp_path / "images")


def test_label_studio_gives_four_pictures_and_tells_of_three_that_are_missing(shared_data: Path) -> None:
    source = shared_data / "label-formats/label-studio/test_import_yolo_data"
    dataset, items, report = read("yolo", source)
    assert dataset.categories.names == ("closed_door", "opened_door", "bus", "number")
    assert sorted(items) == ["img_1.jpg", "img_5.jpg", "img_6.jpeg", "img_7.jpeg"]
    assert sum(len(item.annotations) for item in items.values()) == 13
    assert report.dropped("image") == 3
    assert detect_format(source).name == "yolo"


@pytest.mark.parametrize(
    ("name", "geometry", "count"),
    [
        ("yolov8_detection", "box", 2),
        ("yolov8_detection_with_list_of_imgs", "box", 2),
        ("yolov8_detection_with_list_of_names", "box", 2),
        ("yolov8_detection_with_subset_txt", "box", 2),
        ("yolov8_oriented_boxes", "polygons", 2),
        ("yolov8_pose", "box", 1),
        ("yolov8_pose_two_values_per_point", "box", 1),
        ("yolov8_segmentation", "polygons", 2),
    ],
)
def test_variants_of_datumaro(shared_data: Path, name: str, geometry: str, count: int) -> None:
    source = shared_data / "label-formats/datumaro-test-assets/yolo_dataset" / name
    assert detect_format(source).name == ("yolo" if geometry == "box" else "yolo_segment")
    _, items, report = read("yolo", source)
    (item,) = items.values()
    assert item.split == "train"
    assert [annotation.geometry for annotation in item.annotations] == [geometry] * count
    assert report.is_clean == (name not in ("yolov8_oriented_boxes", "yolov8_pose", "yolov8_pose_two_values_per_point"))


@pytest.mark.parametrize(
    ("images", "labels", "suffix", "has_yaml"),
    [
        ("images", "labels", ".TXT", True),
        ("images", "images", ".txt", True),  # without data.yaml a folder of labels is what tells the layout
        ("Images", "Labels", ".txt", True),
        ("IMAGES", "labels", ".Txt", True),
        ("images", "labels", ".TXT", False),
        ("Images", "Labels", ".txt", False),
        ("IMAGES", "labels", ".Txt", False),
    ],
)
def test_labels_are_found_in_folders_of_any_case_and_beside_the_picture(
    tmp_path: Path, images: str, labels: str, suffix: str, has_yaml: bool
) -> None:
    if has_yaml:
        write_text(tmp_path / "data.yaml", f"train: {images}/train\n" + NAMES)
    else:
        write_text(tmp_path / "classes.txt", "cat\ndog\n")
    write_picture(tmp_path / images / "train/a.JPG", 20, 10)
    write_text(tmp_path / labels / f"train/a{suffix}", "1 0.5 0.5 0.2 0.4\r\n")
    assert detect_format(tmp_path).name == "yolo"
    _, items, report = read("yolo", tmp_path)
    assert items["a.JPG"].annotations == (box("dog", 8, 3, 12, 7),)  # as above, by hand
    assert report.is_clean
    assert report.warned("file") == 0


def test_a_split_whose_pictures_have_no_label_file_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images/train\nval: images/val\n" + NAMES)
    for split in ("train", "val"):
        write_picture(tmp_path / f"images/{split}/{split}.png")
    write_text(tmp_path / "labels/val/val.txt", "")
    _, _, report = read("yolo", tmp_path)
    (finding,) = report.findings()
    assert (finding.kind, finding.outcome, finding.count, finding.examples) == ("file", "warned", 1, ["train"])
    assert "has a file of labels" in finding.reason


def test_links_to_themselves_pipes_and_folders_in_the_place_of_files_are_told(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images/train\n" + NAMES)
    for name in ("a", "b"):
        write_picture(tmp_path / f"images/train/{name}.png")
    (tmp_path / "images/train/loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "images/train/pipe.png")
    (tmp_path / "labels/train/a.txt").mkdir(parents=True)
    _, items, report = read("yolo", tmp_path)
    assert sorted(items) == ["a.png", "b.png"]
    assert report.count("image", "dropped", "picture is missing") == 2
    assert report.count("file", "dropped", "labels cannot be read") == 1


def test_a_broken_yaml_is_an_error_not_another_format(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "names: [a\ntrain: ][")
    write_picture(tmp_path / "images/train/a.png")
    write_text(tmp_path / "labels/train/a.txt", "0 0.5 0.5 0.2 0.4\n")
    with pytest.raises(UnreadableDataset, match=r"data\.yaml to be YAML"):
        detect_format(tmp_path).read(tmp_path, ConversionReport(), {})


def test_a_polygon_without_area_is_no_box_either(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images\n" + NAMES)
    write_picture(tmp_path / "images/a.png", 20, 10)
    write_text(tmp_path / "labels/a.txt", "0 0.25 0.25 0.5 0.5 0.75 0.75\n")
    _, report = import_dataset(tmp_path, tmp_path / "v", "x", blobs=BlobStore(tmp_path / "blobs"), format="yolo")
    assert report.count("annotation", "dropped", "polygon without area") == 1


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt"])
def test_labelimg_leaves_the_names_beside_or_among_the_labels(tmp_path: Path, place: str) -> None:
    folders = ("", "") if place == "classes.txt" else ("images/", "labels/")
    for name in "ab":
        write_picture(tmp_path / f"{folders[0]}{name}.png")
        write_text(tmp_path / f"{folders[1]}{name}.txt", "1 0.5 0.5 0.5 0.5\n" if name == "a" else "")
    write_picture(tmp_path / f"{folders[0]}not_yet.png")
    write_text(tmp_path / place, "cat\ndog\n")
    assert detect_format(tmp_path).name == "yolo"
    dataset, items, report = read("yolo", tmp_path)
    assert dataset.categories.names == ("cat", "dog") and report.is_clean
    assert {name: [(a.category, a.box_xyxy) for a in item.annotations] for name, item in items.items()} == {
        "a.png": [("dog", (5, 2.5, 15, 7.5))],
        "b.png": [],
        "not_yet.png": [],
    }


@pytest.mark.parametrize(
    ("images", "labels", "names"), [("", "", "train/_darknet.labels"), ("images", "labels", "classes.txt")]
)
def test_pictures_and_labels_in_the_folder_of_each_split_need_only_names(
    tmp_path: Path, images: str, labels: str, names: str
) -> None:
    """The first as Roboflow exports Darknet's."""
    for split in ("train", "valid"):
        write_picture(tmp_path / split / images / f"{split}.jpg")
        write_text(tmp_path / split / labels / f"{split}.txt", "0 0.5 0.5 0.5 0.5\n")
    write_text(tmp_path / names, "cat\n")
    assert detect_format(tmp_path).name == "yolo"
    _, items, report = read("yolo", tmp_path)
    assert {name: (item.split, len(item.annotations)) for name, item in items.items()} == {
        "train.jpg": ("train", 1),
        "valid.jpg": ("val", 1),
    }
    assert report.is_clean


def test_other_texts_beside_pictures_are_no_labels(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_text(tmp_path / "classes.txt", "cat\n")
    for text in ("a cat on a mat", "10,20,30,40,text", "Car 0.00 0 -1.58 587 173 614 200"):
        write_text(tmp_path / "a.txt", text)
        with pytest.raises(UnreadableDataset, match="name one as `format`"):
            detect_format(tmp_path)


def test_a_split_that_is_no_key_of_its_own_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", "names", [])], ["cat"])
    with pytest.raises(InvalidInput, match="rename the split"):
        load_format("yolo").check(version)
