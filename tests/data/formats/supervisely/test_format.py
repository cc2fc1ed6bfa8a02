"""Supervisely projects: layouts, figures, tags. Bitmaps are packed as its documentation says: base64 of zlib of a PNG."""

import base64
import json
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_samples import make_version, read, write_picture, write_text
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, LossyExport, SightlineError, UnreadableDataset, Unsupported
from sightline.core.workspace import Workspace
from sightline.data.exporting import export_version
from sightline.data.formats.table import detect_format, load_format
from sightline.data.importing import import_dataset
from sightline.imaging.masks import decode_mask

CLASSES = [{"title": "zebra", "shape": "rectangle"}, {"title": "ant", "shape": "any", "color": "#00FF00"}]
DRAWN = np.array([[1, 1, 0], [0, 1, 1]], bool)


def pack(mask: np.ndarray, mode: str = "P") -> str:
    """A bitmap's text, in one of the kinds of PNG that Supervisely's tools write."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    settings: dict[str, Any] = {}
    if mode == "P":
        picture = Image.fromarray(mask.astype(np.uint8)).convert("P")
        picture.putpalette([0, 0, 0, 255, 255, 255])
        settings = {"transparency": 0}
    elif mode == "RGBA":
        picture = Image.merge("RGBA", [Image.new("L", picture.size, 255)] * 3 + [picture])
    else:
        picture = picture.convert(mode)
    file = BytesIO()
    picture.save(file, "PNG", **settings)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def figure(kind: str | None, title: Any = "ant", **changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"classTitle": title, "geometryType": kind, "tags": [], "description": "", "id": 1}
    if kind == "bitmap":
        facts["bitmap"] = {"data": pack(DRAWN), "origin": [4, 2]}
    elif kind == "rectangle":
        facts["points"] = {"exterior": [[1, 2], [3, 5]], "interior": []}
    elif kind is not None:
        facts["points"] = {"exterior": [[1, 1], [9, 1], [9, 9], [1, 9]], "interior": []}
    return {**facts, **changes}


def put_labels(path: Path, *objects: Any, **changes: Any) -> Path:
    facts = {"description": "", "tags": [], "size": {"height": 10, "width": 20}, "objects": list(objects), **changes}
    return write_text(path, json.dumps(facts))


def put_project(root: Path, *objects: Any, classes: Any = CLASSES, tags: Any = (), **changes: Any) -> Path:
    """A project of one picture."""
    write_text(root / "meta.json", json.dumps({"classes": classes, "tags": list(tags), "projectType": "images"}))
    write_picture(root / "ds/img/1.png")
    put_labels(root / "ds/ann/1.png.json", *objects, **changes)
    return root


def read_objects(root: Path, *objects: Any, **changes: Any) -> tuple[Any, Any]:
    _, items, report = read("supervisely", put_project(root, *objects, **changes))
    return items["ds/1.png"].annotations, report


def test_a_project_is_found_and_imported(tmp_path: Path) -> None:
    put_project(tmp_path / "set", figure("rectangle"), figure("polygon", "zebra"), figure("bitmap"))
    assert detect_format(tmp_path / "set").name == "supervisely"
    version, report = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x", split="given")
    assert report.is_clean, report.lines()
    assert version.categories.names == ("zebra", "ant")
    (item,) = version.items()
    box, polygon, bitmap = item.annotations
    assert box == Annotation(category="ant", box_xyxy=(1.0, 2.0, 4.0, 6.0))  # pixels 1 to 3 and 2 to 5
    assert polygon.polygons == ((1.5, 1.5, 9.5, 1.5, 9.5, 9.5, 1.5, 9.5),)  # through the middles of its pixels
    assert bitmap.box_xyxy == (4.0, 2.0, 7.0, 4.0)


def test_a_rectangle_of_fractions_has_edges_and_any_order_of_corners(tmp_path: Path) -> None:
    (fractions, turned), _ = read_objects(
        tmp_path,
        figure("rectangle", points={"exterior": [[1.0, 2.5], [3.0, 5.0]], "interior": []}),
        figure("rectangle", points={"exterior": [[3, 2], [1, 5]], "interior": []}),
    )
    assert fractions.box_xyxy == (1.0, 2.5, 3.0, 5.0)
    assert turned.box_xyxy == (1.0, 2.0, 4.0, 6.0)


def test_a_polygon_with_holes_becomes_a_mask(tmp_path: Path) -> None:
    holes = [[[3.0, 3.0], [5.0, 3.0], [5.0, 6.0], [3.0, 6.0]], [[7.0, 7.0], [8.0, 7.0], [8.0, 8.0], [7.0, 8.0]]]
    exterior = [[1.0, 1.0], [9.0, 1.0], [9.0, 9.0], [1.0, 9.0]]
    (one, whole), report = read_objects(
        tmp_path,
        figure("polygon", points={"exterior": exterior, "interior": holes}),
        figure(
            "polygon", points={"exterior": [[0, 0], [19, 0], [19, 9], [0, 9]], "interior": [[[4, 4], [8, 4], [8, 8], [4, 8]]]}
        ),
    )
    expected = np.zeros((10, 20), bool)
    expected[1:9, 1:9] = True
    expected[3:6, 3:5] = expected[7, 7] = False
    assert np.array_equal(decode_mask(one.mask), expected)
    # 19 x 9 less 4 x 4: between the middles of the pixels at the corners.
    assert np.count_nonzero(decode_mask(whole.mask)) == 19 * 9 - 4 * 4
    assert report.count("annotation", "changed", "polygon with holes becomes a mask") == 2


def test_a_polygon_may_have_several_parts(tmp_path: Path) -> None:
    parts = [
        {"exterior": [[1.0, 1.0], [5.0, 1.0], [5.0, 5.0]], "interior": []},
        {"exterior": [[7.0, 1.0], [9.0, 1.0], [9.0, 5.0]]},
    ]
    (one,), report = read_objects(tmp_path, {"classTitle": "ant", "geometryType": "multipolygon", "parts": parts})
    assert one.polygons == ((1.0, 1.0, 5.0, 1.0, 5.0, 5.0), (7.0, 1.0, 9.0, 1.0, 9.0, 5.0))
    assert report.is_clean


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "1", "RGB"])
@pytest.mark.parametrize("origin", [[4, 2], [0, 0], [17, 8], [18, 9], [-1, -1], [-9, 0]])
def test_a_bitmap_lies_at_its_origin_and_is_cut_at_the_edge(tmp_path: Path, mode: str, origin: list[int]) -> None:
    (one,), _ = read_objects(tmp_path, figure("bitmap", bitmap={"data": pack(DRAWN, mode), "origin": origin}))
    around = np.zeros((30, 40), bool)
    around[10 + origin[1] : 12 + origin[1], 10 + origin[0] : 13 + origin[0]] = DRAWN
    assert np.array_equal(decode_mask(one.mask), around[10:20, 10:30])


BOMB = base64.b64encode(zlib.compress(bytes(65 << 20))).decode()


@pytest.mark.parametrize(
    "record",
    [
        figure("bitmap", bitmap=None),
        figure("bitmap", bitmap={"data": "?", "origin": [0, 0]}),
        figure("bitmap", bitmap={"data": 7, "origin": [0, 0]}),
        figure("bitmap", bitmap={"data": pack(DRAWN)[:40], "origin": [0, 0]}),
        figure("bitmap", bitmap={"data": base64.b64encode(zlib.compress(b"text")).decode(), "origin": [0, 0]}),
        figure("bitmap", bitmap={"data": BOMB, "origin": [0, 0]}),
        figure("bitmap", bitmap={"data": pack(np.ones((11, 20), bool)), "origin": [0, 0]}),
        figure("bitmap", bitmap={"data": pack(DRAWN), "origin": 3}),
        figure("rectangle", points={"exterior": [[1, 2], [3, 5], [7, 7]]}),
        figure("rectangle", points=None),
        figure("polygon", points={"exterior": [[1, 2, 3]]}),
        figure("polygon", points={"exterior": [[1, "x"]]}),
        figure("polygon", points={"exterior": [[1, 1], [9, 1], [9, 9]], "interior": [[[1, 1]]]}),
        figure("multipolygon"),
        figure("multipolygon", parts=[{}]),
        figure("point"),
        figure("line"),
        figure("graph"),
        figure("cuboid"),
        figure(None),
        figure("rectangle", None),
        figure("rectangle", " "),
        7,
        None,
    ],
)
def test_a_figure_that_is_not_kept_is_told_and_the_others_are_kept(tmp_path: Path, record: Any) -> None:
    annotations, report = read_objects(tmp_path, figure("rectangle"), record, figure("polygon"))
    assert [one.geometry for one in annotations] == ["box", "polygons"]
    assert report.dropped("annotation") == 1


def test_kinds_that_are_not_known_have_one_reason(tmp_path: Path) -> None:
    _, report = read_objects(tmp_path, *(figure(f"kind {number}") for number in range(9)), figure(["x"]), figure("graph"))
    assert report.count("annotation", "dropped", "figure of a kind that is not known") == 10
    assert report.count("annotation", "dropped", "graph is not kept") == 1


@pytest.mark.parametrize("size", [None, {"height": 0, "width": 20}, {"height": 10}, {"height": 1 << 20, "width": 1 << 20}])
def test_a_mask_needs_the_size_of_its_picture(tmp_path: Path, size: Any) -> None:
    annotations, report = read_objects(tmp_path, figure("bitmap"), figure("rectangle"), size=size)
    assert [one.geometry for one in annotations] == ["box"]
    assert report.count("annotation", "dropped", "figure that is not as Supervisely defines it") == 1


def test_a_picture_with_nothing_but_what_is_not_kept_shows_not_nothing(tmp_path: Path) -> None:
    put_project(tmp_path / "set", figure("graph"))
    write_picture(tmp_path / "set/ds/img/2.png")
    put_labels(tmp_path / "set/ds/ann/2.png.json")
    version, _ = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x")
    assert {item.file_name: item.seen_by for item in version.items()} == {"ds/1.png": "nobody", "ds/2.png": None}


def test_tags_of_objects_become_attributes_and_confidence(tmp_path: Path) -> None:
    tags = [{"name": "occluded", "value": None}, {"name": "age", "value": 3}, {"name": "kind", "value": "big"}, "old"]
    (plain, model, odd), _ = read_objects(
        tmp_path,
        figure("rectangle", tags=tags),
        figure("rectangle", tags=[{"name": "confidence", "value": 0.75, "id": 7}]),
        figure("rectangle", tags=[{"name": "confidence", "value": "high"}, {"value": 3}, 7]),
    )
    assert plain.attributes == {"occluded": "true", "age": "3", "kind": "big", "old": "true"}
    assert (model.confidence, model.origin, model.attributes) == (0.75, "model", {})
    assert (odd.confidence, odd.origin, odd.attributes) == (None, "human", {"confidence": "high"})


def test_tags_of_pictures_are_labels_where_there_are_no_classes(tmp_path: Path) -> None:
    known = [
        {"name": "rainy", "value_type": "none"},
        {"name": "road", "value_type": "oneof_string", "values": ["wet", "dry", 7, ""]},
        {"name": "note", "value_type": "any_string"},
        {"name": "val", "value_type": "none"},
        {"value_type": "none"},
        7,
    ]
    values = {"rainy": None, "road": "dry", "note": "free text", "val": None}
    tags = [{"name": name, "value": value} for name, value in values.items()]
    labelled = put_project(tmp_path / "labelled", classes=[], tags=known)
    put_labels(labelled / "ds/ann/1.png.json", tags=tags)
    dataset, items, report = read("supervisely", labelled)
    assert dataset.categories.names == ("rainy", "road: wet", "road: dry")
    assert [one.category for one in items["ds/1.png"].annotations] == ["rainy", "road: dry"]
    assert items["ds/1.png"].split == "val"
    assert items["ds/1.png"].attributes == {"note": "free text"}
    assert report.dropped("attribute") == 0

    boxed = put_project(tmp_path / "boxed", figure("rectangle"), tags=known)
    put_labels(boxed / "ds/ann/1.png.json", figure("rectangle"), tags=tags)
    dataset, items, report = read("supervisely", boxed)
    assert dataset.categories.names == ("zebra", "ant")
    assert len(items["ds/1.png"].annotations) == 1
    assert items["ds/1.png"].attributes == {"rainy": "true", "road": "dry", "note": "free text"}
    assert report.dropped("attribute") == 0


def test_datasets_nest_and_may_be_splits(tmp_path: Path) -> None:
    put_project(tmp_path)
    for folder in ("train", "outer/datasets/val", "empty/datasets/deep/datasets/deeper"):
        write_picture(tmp_path / folder / "img/1.png")
        put_labels(tmp_path / folder / "ann/1.png.json", figure("rectangle"))
    (tmp_path / "outer/datasets/loop").symlink_to(tmp_path / "outer")
    write_picture(tmp_path / "elsewhere/1.png")
    _, items, _ = read("supervisely", tmp_path)
    assert {name: item.split for name, item in items.items()} == {
        "ds/1.png": None, "train/1.png": "train", "outer/val/1.png": "val", "empty/deep/deeper/1.png": None,
    }  # fmt: skip


def test_older_names_and_kinds_of_label_files(tmp_path: Path) -> None:
    put_project(tmp_path)
    for name in ("old.png", "both.png", "both.jpg", "bare.png"):
        write_picture(tmp_path / "ds/img" / name)
    rectangle, polygon, bitmap = (figure(kind) for kind in ("rectangle", "polygon", "bitmap"))
    for record in (rectangle, polygon, bitmap):
        del record["geometryType"]
    put_labels(tmp_path / "ds/ann/old.json", {**rectangle, "bitmap": None}, {**polygon, "bitmap": None}, bitmap)
    put_labels(tmp_path / "ds/ann/both.png.json", figure("polygon"))
    put_labels(tmp_path / "ds/ann/both.json", figure("rectangle"))
    put_labels(tmp_path / "ds/ann/gone.jpg.json", figure("rectangle"))
    write_text(tmp_path / "ds/img/notes.txt", "x")
    _, items, report = read("supervisely", tmp_path)
    assert [one.geometry for one in items["ds/old.png"].annotations] == ["box", "polygons", "mask"]
    assert [one.geometry for one in items["ds/both.png"].annotations] == ["polygons"]
    assert [one.geometry for one in items["ds/both.jpg"].annotations] == ["box"]
    assert (items["ds/bare.png"].seen_by, items["ds/1.png"].seen_by) == ("nobody", None)
    assert items["ds/gone.jpg"].path is None
    assert report.count("image", "warned", "picture without an annotation file") == 1
    assert report.count("file", "warned", "file that is no picture is ignored") == 1


def test_a_project_that_is_one_dataset(tmp_path: Path) -> None:
    write_text(tmp_path / "meta.json", json.dumps({"classes": CLASSES}))
    write_picture(tmp_path / "img/ü 1.png")
    put_labels(tmp_path / "ann/ü 1.png.json", figure("rectangle"))
    put_labels(tmp_path / "ann/gone.png.json")
    _, items, _ = read("supervisely", tmp_path)
    assert {name: len(item.annotations) for name, item in items.items()} == {"ü 1.png": 1, "gone.png": 0}


def test_a_picture_whose_labels_cannot_be_read_is_told(tmp_path: Path) -> None:
    put_project(tmp_path)
    broken = ["", "{", "[]", '{"size": ' + "[" * 100_000, '{"a": NaN}', "\ufeff{}"]
    for number, text in enumerate(broken):
        write_picture(tmp_path / f"ds/img/b{number}.png")
        write_text(tmp_path / f"ds/ann/b{number}.png.json", text)
    _, items, report = read("supervisely", tmp_path)
    assert sorted(items) == ["ds/1.png", "ds/b5.png"]
    assert report.count("image", "dropped", "its annotation file cannot be read") == 5


def test_findings_of_a_fuzzer_break_nothing(shared_data: Path, tmp_path: Path) -> None:
    put_project(tmp_path)
    for path in sorted((shared_data / "malformed/go-fuzz-corpus/json").glob("*")):
        write_picture(tmp_path / f"ds/img/{path.stem}.png")
        (tmp_path / f"ds/ann/{path.stem}.json").write_bytes(path.read_bytes())
        write_picture(tmp_path / f"ds/img/{path.stem}-in.png")
        nested = b'{"tags":[' + path.read_bytes() + b'],"objects":[' + path.read_bytes() + b"]}"
        (tmp_path / f"ds/ann/{path.stem}-in.json").write_bytes(nested)
    _, items, report = read("supervisely", tmp_path)
    assert len(items) + report.dropped("image") == 1 + 2 * 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"classes": 7}',
        '{"classes": [], "projectType": "videos"}',
        '{"classes": [7, {"title": ""}, {"title": 3}]}',
    ],
)
def test_a_damaged_meta_is_one_clear_line(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "meta.json", text)
    (tmp_path / "ds/ann").mkdir(parents=True)
    (tmp_path / "ds/img").mkdir()
    with pytest.raises(SightlineError) as caught:
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "x", format="supervisely")
    assert "\n" not in str(caught.value)


def test_odd_classes_are_told(tmp_path: Path) -> None:
    titles = [{"title": " ant\n"}, {"title": "ant"}, {"title": ""}, {"name": "x"}, {"title": 7}]
    dataset, items, report = read("supervisely", put_project(tmp_path, figure("rectangle", "ant "), classes=titles))
    assert dataset.categories.names == ("ant",)
    assert [one.category for one in items["ds/1.png"].annotations] == ["ant"]
    assert (report.changed("category"), report.dropped("category")) == (2, 3)


def test_a_dataset_of_a_project_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDataset, match="import the project"):
        read("supervisely", put_project(tmp_path) / "ds")
    with pytest.raises(InvalidInput, match="no options"):
        read("supervisely", tmp_path, task="x")
    (tmp_path / "bare").mkdir()
    write_text(tmp_path / "bare/meta.json", '{"classes": []}')
    with pytest.raises(UnreadableDataset, match="ann and img"):
        read("supervisely", tmp_path / "bare")


def test_no_sample_of_another_format_is_taken_for_superviselys(shared_data: Path) -> None:
    folders = [path for path in (shared_data / "label-formats").rglob("*") if path.is_dir()]
    assert not [folder for folder in folders if load_format("supervisely").detect(folder)]


def test_nothing_is_written(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", None, ())], ["cat"])
    for allow_loss in (False, True):
        with pytest.raises(LossyExport, match="read, not written"):
            export_version(version, tmp_path / "out", "supervisely", allow_loss=allow_loss)
    empty = make_version(tmp_path / "empty", [], ["cat"])
    with pytest.raises(Unsupported, match="export to coco"):
        export_version(empty, tmp_path / "out", "supervisely", allow_loss=True)
    assert not (tmp_path / "out").exists()
