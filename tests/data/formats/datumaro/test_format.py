"""Datumaro JSON: layouts, items and losses, on Datumaro's own samples and on files made here."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from format_samples import read, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, SightlineError, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.conversion import ConversionReport
from sightline.data.formats.table import detect_format, load_format
from sightline.data.importing import import_dataset

BOX = {"id": 0, "type": "bbox", "attributes": {}, "group": 0, "label_id": 0, "z_order": 0, "bbox": [1.0, 2.0, 3.0, 4.0]}
READ_BOX = Annotation(category="cat", box_xyxy=(1.0, 2.0, 4.0, 6.0))


def put_json(path: Path, items: Any, labels: tuple[str, ...] = ("cat", "dog"), **changes: Any) -> Path:
    categories = {"label": {"labels": [{"name": name, "parent": "", "attributes": []} for name in labels], "attributes": []}}
    document = {"info": {}, "categories": categories, "items": items, **changes}
    return write_text(path, json.dumps(document))


def item(item_id: Any, *annotations: Any, path: Any = None, **changes: Any) -> dict[str, Any]:
    image = {} if path is None else {"image": {"path": path, "size": [10, 20]}}
    return {"id": item_id, "annotations": list(annotations), **image, **changes}


@pytest.fixture
def assets(shared_data: Path) -> Path:
    return shared_data / "label-formats/datumaro-test-assets"


def test_datumaros_own_sample(assets: Path, tmp_path: Path) -> None:
    source = assets / "datumaro_dataset/diverse"
    assert detect_format(source).name == "datumaro"
    version, report = import_dataset(source, Workspace(tmp_path), "x", split="given")
    (only,) = version.items()
    assert (only.file_name, only.split, only.width, only.height) == ("100.jpg", "train", 6, 10)
    assert only.annotations == (
        Annotation(category="cat2", attributes={"x": "1", "y": "2"}),
        Annotation(category="cat4", box_xyxy=(1.0, 2.0, 4.0, 6.0), confidence=1.0, origin="model"),
    )
    assert version.categories.names == ("cat0", "cat1", "cat2", "cat3", "cat4")
    # Of 13 annotations in the four files 2 are kept: the other items have no picture, the mask is of 3 x 2 pixels.
    assert (report.kept["annotation"], report.dropped("annotation")) == (2, 11)
    assert report.count("image", "dropped", "picture is missing") == 6
    for kind, count in {"caption": 3, "points": 1, "polyline": 1, "cuboid_3d": 1}.items():
        assert report.count("annotation", "dropped", f"{kind} is not kept") == count
    assert report.count("annotation", "dropped", "annotation without a label") == 2


def test_points_of_skeletons_are_no_categories_and_their_picture_shows_not_nothing(assets: Path, tmp_path: Path) -> None:
    version, report = import_dataset(assets / "datumaro_dataset/with_skeleton", Workspace(tmp_path), "x")
    assert version.categories.names == ("skeleton-label",)
    assert [(one.seen_by, one.annotations) for one in version.items()] == [("nobody", ())]
    assert report.count("annotation", "dropped", "skeleton is not kept") == 1
    assert report.count("category", "dropped", "point of a skeleton is no category") == 3


def test_point_clouds_are_refused_in_one_line(assets: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableDataset, match="3 images: point cloud is no picture") as caught:
        import_dataset(assets / "datumaro_dataset/with_pcd", Workspace(tmp_path), "x")
    assert "\n" not in str(caught.value)


def test_no_sample_of_another_format_is_taken_for_datumaros(shared_data: Path) -> None:
    folders = [path for path in (shared_data / "label-formats").rglob("*") if path.is_dir()]
    assert len(folders) > 200
    found = [folder for folder in folders if load_format("datumaro").detect(folder)]
    assert len(found) == 6 + 7  # of each dataset, the folder and its annotations; the project also finds those of its dataset
    assert all({"datumaro_dataset", "compat"} & set(folder.parts) for folder in found)


def test_a_project_of_the_first_version_is_read(assets: Path, tmp_path: Path) -> None:
    shutil.copytree(assets / "compat/v0.1/project", tmp_path / "project")
    write_picture(tmp_path / "project/dataset/images/2.jpg")
    _, items, report = read("datumaro", tmp_path / "project")
    assert items["2.jpg"].annotations == (Annotation(category="a"),)
    assert report.is_clean


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("images/train/a/1.png", "a/1.png"),
        ("images/a/1.png", "a/1.png"),  # before subsets had folders
        ("a/1.png", "a/1.png"),
        ("images/train/a/1.png", None),  # an item without a picture's path has its id for a name
        ("images/train/a/1.PNG", ""),
        ("images/train/a/1.png", "/home/ann/set/images/train/a/1.png"),
        ("images/train/a/1.png", "C:\\set\\a\\1.png"),
        ("images/train/a/1.png", "/elsewhere/frame.png"),  # not there, but the id is
        ("images/train/a/1.png", 7),
    ],
)
def test_a_picture_is_found_by_its_path_else_by_the_id(tmp_path: Path, place: str, path: Any) -> None:
    write_picture(tmp_path / place)
    put_json(tmp_path / "annotations/train.json", [item("a/1", BOX, path=path)])
    _, items, report = read("datumaro", tmp_path)
    ((name, only),) = items.items()
    assert name == place.removeprefix("images/").removeprefix("train/")
    assert (only.path, only.split, only.annotations) == (tmp_path / place, "train", (READ_BOX,))
    assert only.declared_size == (None if path is None else (20, 10))
    assert report.is_clean, report.lines()


def test_a_picture_of_another_kind_than_the_path_names_is_missing(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/train/1.png")
    put_json(tmp_path / "annotations/train.json", [item("1", BOX, path="1.jpg")])
    _, items, _ = read("datumaro", tmp_path)
    assert items["1.jpg"].path is None


def test_a_path_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret.png")
    named = ["../secret.png", str(tmp_path / "secret.png"), "a\0b.png", "x" * 5000]
    put_json(tmp_path / "set/annotations/train.json", [item(f"{n}", path=path) for n, path in enumerate(named)])
    put_json(tmp_path / "set/annotations/val.json", [item("../secret"), item("../../secret"), item("\ud800")])
    items = list(load_format("datumaro").read(tmp_path / "set", ConversionReport(), {}).items)
    assert len(items) == 7
    assert all(one.path is None for one in items)


def test_subsets_are_splits_and_default_is_none(tmp_path: Path) -> None:
    for subset in ("default", "Validation", "night"):
        write_picture(tmp_path / f"images/{subset}/{subset}.png")
        put_json(tmp_path / f"annotations/{subset}.json", [item(subset, path=f"{subset}.png")])
    _, items, _ = read("datumaro", tmp_path)
    assert {name: one.split for name, one in items.items()} == {
        "default.png": None, "Validation.png": "val", "night.png": "night",
    }  # fmt: skip


def test_a_project_a_single_json_and_one_beside_its_pictures_are_read(tmp_path: Path) -> None:
    write_picture(tmp_path / "project/dataset/images/train/1.png")
    path = put_json(tmp_path / "project/dataset/annotations/train.json", [item("1", BOX)])
    write_picture(tmp_path / "flat/1.png")
    put_json(tmp_path / "flat/labels.json", [item("1", BOX, path="1.png")])
    for source in (tmp_path / "project", path, tmp_path / "flat"):
        assert detect_format(source).name == "datumaro"
        _, items, _ = read("datumaro", source)
        assert items["1.png"].annotations == (READ_BOX,), source


def test_newer_files_and_keys_in_any_order(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/train/1.png")
    first = {"dm_format_version": "1.0", "media_type": 2, "infos": {"a": [1, 2]}, "items": [item("1", BOX, path="1.png")]}
    groups = [{"name": "g", "group_type": "exclusive", "labels": ["cat"]}]
    label = {"labels": [{"name": "cat", "parent": "animal"}], "label_groups": groups}
    colours = {"colormap": [{"label_id": 0, "r": 1, "g": 2, "b": 3}]}
    for document in (
        {**first, "categories": {"label": label, "mask": colours}},
        {"categories": {"label": label, "mask": colours}, **first},
    ):
        write_text(tmp_path / "annotations/train.json", json.dumps(document))
        dataset, items, report = read("datumaro", tmp_path)
        assert items["1.png"].annotations == (READ_BOX,)
        assert dataset.categories.names == ("cat",)
        assert report.count("category", "warned", "parents of labels are not kept") == 1


def test_label_ids_are_those_of_each_file(tmp_path: Path) -> None:
    for subset, labels in {"train": ("dog", "cat"), "val": ("cat", "bird")}.items():
        write_picture(tmp_path / f"images/{subset}/{subset}.png")
        put_json(tmp_path / f"annotations/{subset}.json", [item(subset, BOX, path=f"{subset}.png")], labels)
    dataset, items, _ = read("datumaro", tmp_path)
    assert dataset.categories.names == ("dog", "cat", "bird")
    assert [items[name].annotations[0].category for name in ("train.png", "val.png")] == ["dog", "cat"]


def test_who_looked_and_the_frame_of_a_video_are_read_where_they_are_written(tmp_path: Path) -> None:
    facts = {"seen_by": "nobody", "source_video": "v.mp4", "frame_pts": 7}
    odd = {"seen_by": "me", "source_video": 3, "frame_pts": True, "frame": 0}
    for name in "12":
        write_picture(tmp_path / f"images/train/{name}.png")
    put_json(tmp_path / "annotations/train.json", [item("1", attr=facts), item("2", attr=odd), item(3, attr=[1])])
    _, items, report = read("datumaro", tmp_path)
    assert {name: getattr(items["1.png"], name) for name in facts} == facts
    assert [getattr(items["2.png"], name) for name in facts] == [None, None, None]
    assert items["1.png"].attributes == {}
    assert items["2.png"].attributes == {"seen_by": "me", "source_video": "3", "frame_pts": "true", "frame": "0"}
    assert report.dropped("attribute") == 0


def test_what_is_no_picture_is_told_with_its_annotations(tmp_path: Path) -> None:
    others = [
        item("1", BOX, point_cloud={"path": "1.pcd"}),
        item("2", BOX, BOX, video_frame={"video_path": "v.mp4", "frame_index": 3}),
        item("3", video={"path": "v.mp4"}),
        {"annotations": [BOX]},
        item(""),
        item(True),
        7,
    ]
    put_json(tmp_path / "annotations/train.json", others)
    _, items, report = read("datumaro", tmp_path)
    assert not items
    assert report.count("image", "dropped", "item without an id") == 4
    assert (report.dropped("image"), report.dropped("annotation")) == (7, 3)


def test_pictures_that_no_json_lists_are_told(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_picture(tmp_path / f"images/train/{name}.png")
    put_json(tmp_path / "annotations/train.json", [item("1", path="1.png")])
    _, items, report = read("datumaro", tmp_path)
    assert list(items) == ["1.png"]
    assert report.count("image", "warned", "picture that no JSON lists is left out") == 1


def test_an_item_named_twice_comes_twice_under_two_names(tmp_path: Path) -> None:
    write_picture(tmp_path / "set/images/train/1.png")
    put_json(tmp_path / "set/annotations/train.json", [item("1", BOX), item("1")])
    version, report = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x", split="given")
    assert [one.file_name for one in version.items()] == ["1.png", "train/1.png"]
    assert report.count("image", "changed", "file name used twice, renamed") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"categories": {"label": {"labels": []}}, "items": [',
        '{"categories": {"label": {"labels": []}}, "items": [{"id": "1"',
        '{"categories": {"label": {"labels": 7}}, "items": []}',
        '{"categories": {"points": {"items": {}}}, "items": []}',
        '{"categories": [{"id": 1, "name": "cat"}], "items": []}',
        '{"items": []}',
        '{"categories": {"label": {"labels": []}}}',
        '{"categories": {"label": {"labels": []}}, "items": 7}',
        '{"categories": {"label": {"labels": []}}, "items": ' + "[" * 100_000,
        '{"categories": {"label": {"labels": []}}, "items": [' + "9" * 5000 + "]}",
        '{"categories": {"label": null, "mask": 3, "points": "x"}, "items": [null, {"id": {}}]}',
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "annotations/train.json", text)
    for source in (tmp_path, tmp_path / "annotations/train.json"):
        with pytest.raises(SightlineError) as caught:
            import_dataset(source, Workspace(tmp_path / "w"), "x", format="datumaro")
        assert "\n" not in str(caught.value)


def test_findings_of_a_fuzzer_are_one_clear_line(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "malformed/go-fuzz-corpus/json").glob("*"))
    assert len(paths) == 40
    for number, path in enumerate(paths):
        head = b'{"categories":{"label":{"labels":[{"name":"cat"}]}},"items":['
        nested = tmp_path / f"{number}.json"
        nested.write_bytes(head + b'{"id":"1","annotations":[' + path.read_bytes() + b'],"attr":' + path.read_bytes() + b"}]}")
        for source in (path, nested):
            with pytest.raises(SightlineError) as caught:
                import_dataset(source, Workspace(tmp_path / "w"), "x", format="datumaro")
            assert "\n" not in str(caught.value)


def test_odd_labels_are_told(tmp_path: Path) -> None:
    labels = [{"name": " cat\n"}, {"name": "cat"}, {"name": ""}, {"parent": "x"}, "dog", {"name": 7}, None]
    write_picture(tmp_path / "images/train/1.png")
    boxes = [{**BOX, "label_id": label_id} for label_id in range(7)]
    categories = {"label": {"labels": labels}, "points": {"items": [{"label_id": 99, "labels": ["a"]}, 3]}}
    put_json(tmp_path / "annotations/train.json", [item("1", *boxes)], categories=categories)
    dataset, items, report = read("datumaro", tmp_path)
    assert dataset.categories.names == ("cat", "dog", "7")
    names = [annotation.category for annotation in items["1.png"].annotations]
    assert names == ["cat", "cat", "id 2", "id 3", "dog", "7", "id 6"]
    assert report.count("category", "dropped", "label without a name") == 3
    assert report.changed("category") == 2


def test_options_are_refused(tmp_path: Path) -> None:
    put_json(tmp_path / "annotations/train.json", [])
    with pytest.raises(InvalidInput, match="no options"):
        read("datumaro", tmp_path, task="instances")
