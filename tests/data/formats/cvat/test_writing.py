"""CVAT as written: what a plain parser finds in it, and that all of it comes back."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from msgspec.structs import replace
from tests.data.formats.format_samples import by_blob, make_version, round_trip

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.conversion import ConversionReport
from sightline.data.exporting import export_version
from sightline.data.formats.cvat.format import CvatFormat
from sightline.data.formats.cvat.writing import PARTS
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import encode_mask

PART = (1.0, 1.0, 5.0, 1.0, 5.0, 6.25)
OTHER = (8.0, 2.0, 12.0, 2.0, 12.0, 7.0, 8.0, 7.0)


def export(version: DatasetVersion, folder: Path) -> tuple[ElementTree.Element, ConversionReport]:
    report = export_version(version, folder / "export", "cvat")
    return ElementTree.parse(folder / "export/annotations.xml").getroot(), report


def test_the_project_is_called_as_the_workspace_calls_the_dataset(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", None, [])], ["day"])
    version.name = "renamed"  # of a version that was imported under another name than its record has
    assert export(version, tmp_path)[0].findtext("meta/project/name") == "renamed"


def test_labels_subsets_and_pictures_lie_where_cvat_looks(tmp_path: Path) -> None:
    dent = Annotation(category="dent", box_xyxy=(1.0, 2.0, 3.5, 4.0), attributes={"depth": "2", "occluded": "1"})
    day = Annotation(category="day", attributes={"group_id": "12", "occluded": "1"})
    version = make_version(
        tmp_path, [("a/b.png", "train", [dent]), ("c.png", None, [day]), ("d.png", "val", [])], ["day", "dent"]
    )
    root, report = export(version, tmp_path)
    assert report.is_clean
    assert root.findtext("version") == "1.1"
    project = root.find("meta/project")
    assert project is not None
    assert [label.findtext("name") for label in project.iterfind("labels/label")] == ["day", "dent"]
    assert [each.text for each in project.iterfind("labels/label/attributes/attribute/name")] == ["occluded", "depth"]
    assert (project.findtext("subsets") or "").split("\n") == ["train", "val", "default"]
    for image in root.iterfind("image"):
        assert (tmp_path / "export/images" / image.get("subset", "") / image.get("name", "")).is_file()
    (box,) = root.iter("box")
    assert box.attrib == {
        "label": "dent", "source": "manual", "occluded": "1", "z_order": "0",
        "xtl": "1", "ytl": "2", "xbr": "3.5", "ybr": "4",
    }  # fmt: skip
    assert [(each.get("name"), each.text) for each in box.iter("attribute")] == [("depth", "2")]
    (tag,) = root.iter("tag")
    assert tag.attrib == {"label": "day", "source": "manual", "group_id": "12"}
    again, read = round_trip(version, "cvat", tmp_path)
    assert read.is_clean
    assert [(item.file_name, item.split, item.annotations) for item in again.items()] == [
        (item.file_name, item.split, item.annotations) for item in version.items()
    ]
    assert again.categories == version.categories


def test_parts_of_a_polygon_are_polygons_of_a_free_group(tmp_path: Path) -> None:
    parts = Annotation(category="a", polygons=(PART, OTHER), box_xyxy=(1.0, 1.0, 12.0, 7.0))
    grouped = replace(parts, attributes={"group_id": "41"})
    version = make_version(tmp_path, [("a.png", "train", [parts, grouped, parts])], ["a"])
    root, report = export(version, tmp_path)
    assert [(each.get("group_id"), each.get("part_of"), each.get("z_order")) for each in root.iter("polygon")] == [
        ("42", "42", "0"), ("42", "42", "0"), ("41", "43", "1"), ("41", "43", "1"), ("44", "44", "2"), ("44", "44", "2"),
    ]  # fmt: skip
    assert report.count("annotation", "warned", PARTS) == 3
    again, _ = round_trip(version, "cvat", tmp_path)
    assert next(again.items()).annotations == (parts, grouped, parts)


def test_a_mask_is_written_as_its_box_and_runs(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), bool)
    pixels[2, 3:6] = pixels[3, 3] = pixels[3, 5] = True  # with a notch
    version = make_version(
        tmp_path,
        [("a.png", "train", [Annotation(category="a", mask=encode_mask(pixels), box_xyxy=(3.0, 2.0, 6.0, 4.0))])],
        ["a"],
    )
    root, _ = export(version, tmp_path)
    (mask,) = root.iter("mask")
    facts = {name: mask.get(name) for name in ("rle", "left", "top", "width", "height")}
    assert facts == {"rle": "0, 4, 1, 1", "left": "3", "top": "2", "width": "3", "height": "2"}


def test_what_has_no_place_is_told_before(tmp_path: Path) -> None:
    box = Annotation(category="a\x01", box_xyxy=(1.0, 1.0, 2.0, 2.0))
    annotations = [
        replace(box, confidence=0.5),
        replace(box, is_crowd=True),
        replace(box, attributes={" x": "a\x02", "y": " b "}),
        replace(box, polygons=(PART,), mask=encode_mask(np.ones((10, 20), bool))),
    ]
    version = make_version(tmp_path, [("a\x03.png", "dev", annotations)], ["a\x01"], unlabelled_pixels="ignore")
    told = {(each.kind, each.outcome, each.reason): each.count for each in CvatFormat().check(version).findings()}
    assert told == {
        ("attribute", "dropped", "the format holds a confidence of a model's annotation only"): 1,
        ("attribute", "dropped", "the format has no mark for crowds: the region becomes an ordinary object"): 1,
        ("category", "changed", "name with a character that XML lacks"): 1,
        ("attribute", "changed", "pixels without a label are to be ignored; the format takes them as background"): 1,
        ("file", "changed", "split's name is read back as another"): 1,
        ("file", "changed", "picture renamed: XML lacks a character of its name"): 1,
        ("attribute", "changed", "text with characters that XML lacks or spaces at its ends"): 2,
        ("annotation", "changed", "polygons beside a mask are not written"): 1,
        ("annotation", "changed", "box is not the bounds of its mask; the bounds are kept"): 1,
    }
    again, _ = round_trip(version, "cvat", tmp_path, allow_loss=True)
    assert next(again.items()).file_name == "a\N{REPLACEMENT CHARACTER}.png"
    assert len(next(again.items()).annotations) == 4


def test_a_frame_and_who_looked_come_back(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with VersionWriter(tmp_path / "version", "x", Categories(["a"]), blobs) as writer:
        for number, viewer in enumerate((None, "human", "model", "nobody")):
            blob = blobs.put_bytes(encode_image(np.full((4, 4, 3), number, np.uint8), "png"))
            facts = {"source_video": "ü & b.mp4", "frame_pts": -5 * number, "seen_by": viewer, "split": "train"}
            writer.add(Item(blob=blob, file_name=f"{number}.png", width=4, height=4, **facts))
        version = writer.close()
    again, _ = round_trip(version, "cvat", tmp_path)
    assert list(again.items()) == list(version.items())


def make_any(rng: np.random.Generator, width: int, height: int) -> Annotation:
    """An annotation of any kind."""
    is_model = bool(rng.integers(2))
    names = rng.choice(["occluded", "group_id", "ripe", "track_id", "ü"], rng.integers(0, 4), replace=False)
    one = Annotation(
        category=str(rng.choice(["ant", 'b "&<ee>', "Käfer x"])),
        origin="model" if is_model else "human",
        confidence=float(rng.random()) if is_model and rng.integers(2) else None,
        attributes={str(name): str(rng.choice(["", "1", "0", "7", "a\tb\nc", "<&>", "\U0001f41c"])) for name in names},
    )
    kind = rng.integers(4)
    if kind == 0:
        return one
    if kind == 1:
        pixels = rng.random((height, width)) < rng.random()
        pixels[rng.integers(height), rng.integers(width)] = True
        return replace(one, mask=encode_mask(pixels))
    if kind == 2:
        x0, y0 = (rng.random(2) * (width / 2, height / 2)).tolist()
        return replace(one, box_xyxy=(x0, y0, x0 + 1 + rng.random(), y0 + 1))
    rings = [(rng.random((rng.integers(3, 8), 2)) * (width, height)).ravel().tolist() for _ in range(rng.integers(1, 4))]
    return replace(one, polygons=tuple(map(tuple, rings)))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_an_import_leaves_comes_back_exactly(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(3, 40, 2))
    splits = ["train", "val", "night shift", None]
    pictures = rng.integers(0, 256, (12, height, width, 3), np.uint8)
    rows = [
        SourceItem(
            file_name=f"{number}/bild {number} 'ü'.png",
            content=pixels,
            split=splits[rng.integers(4)],
            annotations=[make_any(rng, width, height) for _ in range(rng.integers(0, 6))],
        )
        for number, pixels in enumerate(pictures)
    ]
    names = ["Käfer x", 'b "&<ee>', "ant", "unused"]
    version, _ = import_dataset(rows, Workspace(tmp_path / "w"), "made", categories=names, split="given")
    again, read = round_trip(version, "cvat", tmp_path)
    assert read.is_clean, read.lines()
    assert by_blob(again) == by_blob(version)
    assert again.categories == version.categories


def test_cells_survive_exactly(shared_data: Path, tmp_path: Path) -> None:
    version, _ = import_dataset(shared_data / "detection/bccd", Workspace(tmp_path / "w"), "cells", verify="header")
    again, read = round_trip(version, "cvat", tmp_path)
    assert read.is_clean
    assert by_blob(again) == by_blob(version)
    assert sum(len(item.annotations) for item in again.items()) == 4886


def test_polygons_of_nuts_survive_exactly(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "label-formats/labelme-nuts"
    version, _ = import_dataset(source, Workspace(tmp_path / "w"), "nuts", format="coco")
    # The converter that made this COCO file wrote boxes that are not the bounds of their polygons.
    again, read = round_trip(version, "cvat", tmp_path, allow_loss=True)
    assert read.is_clean
    found, ours = (
        [(one.category, one.polygons) for item in each.items() for one in item.annotations] for each in (again, version)
    )
    assert found == ours
    assert len(ours) == 49


def test_masks_of_streets_survive_exactly(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "label-formats/cityscapes-style"
    version, _ = import_dataset(source, Workspace(tmp_path / "w"), "streets")
    again, read = round_trip(version, "cvat", tmp_path, allow_loss=True)
    assert read.is_clean
    assert by_blob(again) == by_blob(version)
