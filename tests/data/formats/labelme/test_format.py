"""LabelMe: what is read of the tool's own files, what comes back of ours, and an independent COCO twin of real labels."""

import base64
import io
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from format_samples import by_blob, make_version, read, round_trip, write_picture, write_text
from msgspec.structs import replace
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, LossyExport, SightlineError, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.exporting import export_version
from sightline.data.formats.table import detect_format, load_format
from sightline.data.importing import UNKNOWN_TURN, import_dataset
from sightline.data.items import Item, Viewer
from sightline.data.truth import find_viewer
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import decode_label_map
from sightline.imaging.masks import decode_mask, encode_mask, find_polygons_box

TRIANGLE = [[1, 1], [9, 2.5], [4, 8]]
RING = (1.0, 1.0, 9.0, 2.5, 4.0, 8.0)
CAT = {"label": "cat", "points": TRIANGLE, "shape_type": "polygon"}
SHAPED = {"box_xyxy": None, "polygons": None, "mask": None}


def write_json(path: Path, *shapes: object, **facts: object) -> Path:
    content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": path.with_suffix(".png").name}
    return write_text(path, json.dumps({**content, "imageData": None, "imageHeight": 10, "imageWidth": 20, **facts}))


def test_a_folder_of_pictures_and_their_json_files(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "val/a", "c"):
        write_picture(tmp_path / f"{name}.png")
    write_json(tmp_path / "train/a.json", CAT, {**CAT, "label": "dog"}, flags={"night": True, "rain": False})
    write_json(tmp_path / "val/a.json")
    write_text(tmp_path / "package.json", '{"name": "x"}')
    assert detect_format(tmp_path).name == "labelme"
    dataset, items, report = read("labelme", tmp_path)
    assert dataset.categories.names == ("cat", "dog", "night")
    assert {name: (item.split, item.seen_by) for name, item in items.items()} == {
        "a.png": ("train", "human"),
        "val/a.png": ("val", "human"),
        "c.png": (None, "nobody"),
        "b.png": ("train", "nobody"),
    }
    cat, dog = (Annotation(category=name, polygons=(RING,)) for name in ("cat", "dog"))
    assert items["a.png"].annotations == (cat, dog, Annotation(category="night"))
    assert items["a.png"].declared_size == (20, 10)
    assert report.is_clean
    assert (report.warned("image"), report.warned("file")) == (2, 1)
    with pytest.raises(InvalidInput, match="no options"):
        read("labelme", tmp_path, task="x")


def test_listed_labels_come_first_in_their_order(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", CAT, {**CAT, "label": "ant"})
    write_text(tmp_path / "labels.txt", "__ignore__\n_background_\ndog\n\ncat\n")
    assert read("labelme", tmp_path)[0].categories.names == ("dog", "cat", "ant")


def test_a_list_of_something_else_names_no_categories(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", CAT)
    write_text(tmp_path / "labels.txt", "0: cat\n1: dog\n")
    assert read("labelme", tmp_path)[0].categories.names == ("cat",)


def test_what_converters_made_of_the_labels_is_left_out(tmp_path: Path) -> None:
    made = ("masks/a", "a_json/label", "SegmentationClassVisualization/a", "x/SegmentationObject/a")
    for name in ("a", "x/b", *made):
        write_picture(tmp_path / f"{name}.png")
    write_json(tmp_path / "a.json", CAT)
    _, items, report = read("labelme", tmp_path)
    assert list(items) == ["a.png", "x/b.png"]
    assert report.warned("file") == 4


def test_a_name_that_ends_twice_like_a_picture_keeps_its_labels(tmp_path: Path) -> None:
    names = ("x.png", "x.png.jpg", "x.json.png", "x.json.json.png")
    rows = [(name, "train", [Annotation(category=name, box_xyxy=(1, 1, 5, 5))]) for name in names]
    version = make_version(tmp_path, rows, names)
    again, report = round_trip(version, "labelme", tmp_path)
    assert report.is_clean
    assert by_blob(again) == by_blob(version)


def test_a_picture_that_is_missing_is_taken_from_its_json(tmp_path: Path) -> None:
    content = base64.b64encode(write_picture(tmp_path / "elsewhere/a.png").read_bytes()).decode()
    mask = base64.b64encode(write_mask_png()).decode()
    write_json(
        tmp_path / "set/a.json",
        {"label": "cat", "shape_type": "mask", "points": [[1, 1], [2, 1]], "mask": mask},
        imageData=content,
        imagePath="C:\\Users\\ann\\b.png",
        imageWidth=None,
    )
    write_json(tmp_path / "set/gone.json", CAT)
    version, report = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x", split="given")
    (item,) = version.items()
    assert (item.file_name, item.annotations[0].box_xyxy) == ("b.png", (1.0, 1.0, 3.0, 2.0))
    assert report.count("image", "dropped", "picture is missing") == 1
    assert report.dropped("annotation") == 1
    assert report.warned("image") == 1
    single, _ = import_dataset(tmp_path / "set/a.json", Workspace(tmp_path / "w"), "y", split="given")
    assert list(single.items()) == [item]


def write_mask_png() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.ones((1, 2), bool)).save(content, "png")  # 1 bit a pixel, as the tool writes
    return content.getvalue()


def test_pictures_of_files_that_cannot_be_read_do_not_count_as_empty(tmp_path: Path) -> None:
    for name in "abc":
        write_picture(tmp_path / f"{name}.png")
    write_json(tmp_path / "a.json", CAT)
    write_text(tmp_path / "b.json", (tmp_path / "a.json").read_text()[:-20])
    write_text(tmp_path / "c.json", "")
    _, items, report = read("labelme", tmp_path)
    assert list(items) == ["a.png"]
    assert (report.dropped("file"), report.dropped("image")) == (2, 2)


def test_a_picture_of_whose_shapes_none_is_kept_does_not_count_as_empty(tmp_path: Path) -> None:
    line = {"label": "cat", "points": [[1, 1], [9, 2.5]], "shape_type": "line"}
    for name, shapes, flags in (("a", [line], {}), ("b", [line, CAT], {}), ("c", [line], {"night": True}), ("d", [], {})):
        write_picture(tmp_path / f"{name}.png")
        write_json(tmp_path / f"{name}.json", *shapes, flags=flags)
    _, items, _ = read("labelme", tmp_path)
    assert {name: item.seen_by for name, item in items.items() if item.warning} == {"a.png": "nobody"}
    assert {item.seen_by for item in items.values() if not item.warning} == {"human"}


def test_links_to_themselves_and_pipes_are_passed_by(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", CAT)
    (tmp_path / "loop.json").symlink_to("loop.json")
    os.mkfifo(tmp_path / "pipe.json")
    assert detect_format(tmp_path).name == "labelme"
    _, items, report = read("labelme", tmp_path)
    assert list(items) == ["a.png"]
    assert report.warned("file") == 2


def test_of_two_files_of_one_picture_the_first_counts_and_folders_without_any_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", CAT)
    write_json(tmp_path / "a.png.json", {**CAT, "label": "dog"})
    _, items, report = read("labelme", tmp_path)
    assert [annotation.category for annotation in items["a.png"].annotations] == ["cat"]
    assert report.dropped("file") == 1
    for name in ("a.json", "a.png.json"):
        write_text(tmp_path / name, "{")
    with pytest.raises(UnreadableDataset, match="none of the JSON files"):
        read("labelme", tmp_path)
    for name in ("a.json", "a.png.json"):
        (tmp_path / name).unlink()
    with pytest.raises(UnreadableDataset, match="found none"):
        read("labelme", tmp_path)


def test_the_coco_twin_of_real_labels_says_the_same(shared_data: Path) -> None:
    folder = shared_data / "label-formats/labelme-nuts"
    dataset, items, report = read("labelme", folder / "images")
    _, twins, _ = read("coco", folder / "trainval.json")
    twins = {Path(name).name: item for name, item in twins.items() if Path(name).name in items}
    assert report.is_clean
    assert dataset.categories.names == ("date", "fig", "hazelnut")
    assert len(items) == len(twins) == 6
    assert sum(len(item.annotations) for item in items.values()) == 49
    for name, item in items.items():
        assert [annotation.category for annotation in item.annotations] == [one.category for one in twins[name].annotations]
        for ours, theirs in zip(item.annotations, twins[name].annotations, strict=True):
            assert ours.polygons is not None
            assert theirs.polygons is not None
            assert ours.polygons[0] == pytest.approx(theirs.polygons[0], abs=1e-9)
            assert find_polygons_box(ours.polygons) == pytest.approx(theirs.box_xyxy, abs=1)  # the twin's are whole pixels
        assert item.declared_size == twins[name].declared_size


def test_the_folder_of_the_coco_twin_stays_cocos(shared_data: Path) -> None:
    folder = shared_data / "label-formats/labelme-nuts"
    assert detect_format(folder).name == "coco"
    assert detect_format(folder / "images").name == "labelme"
    assert detect_format(folder / "images/0.json").name == "labelme"


@pytest.mark.parametrize("name", ["", "img1.xml"])
def test_xml_of_the_web_tool_is_refused_by_its_name(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "label-formats/datumaro-test-assets/labelme_dataset" / name
    for format in ("auto", "labelme"):
        with pytest.raises(UnreadableDataset, match="XML of its older web tool"):
            import_dataset(source, Workspace(tmp_path), "x", format=format)


@pytest.mark.parametrize("source", ["detection/bccd", "label-formats/labelme-nuts/images", "label-formats/cityscapes-style"])
def test_real_data_comes_back_exactly(shared_data: Path, tmp_path: Path, source: str) -> None:
    version, _ = import_dataset(shared_data / source, tmp_path / "v", "x", blobs=BlobStore(tmp_path / "b"), verify="header")
    losses = load_format("labelme").check(version)
    ignores = version.manifest.unlabelled_pixels == "ignore"  # which only Cityscapes' pictures do, and LabelMe cannot say
    assert (losses.changed("attribute"), losses.is_clean) == (ignores, not ignores)
    again, report = round_trip(version, "labelme", tmp_path, allow_loss=ignores)
    assert report.is_clean, report.lines()
    assert again.categories == version.categories
    assert sorted(again.items(), key=lambda item: item.file_name) == sorted(
        map(forget_none, version.items()), key=lambda item: item.file_name
    )


def forget_none(item: Item) -> Item:
    """The item as it is read again: one of which nothing says who looked has a JSON, and so a person looked."""
    return replace(item, seen_by=item.seen_by or (None if item.annotations else "human"))


def random_annotations(rng: np.random.Generator) -> list[Annotation]:
    """Annotations of every kind, with groups, facts and names that are hard to tell apart."""
    made = []
    for _ in range(rng.integers(0, 6)):
        x0, y0 = rng.uniform(0, 10), rng.uniform(0, 5)
        x1, y1 = x0 + rng.uniform(1, 9), y0 + rng.uniform(1, 4)
        pixels = rng.random((10, 20)) < 0.3
        pixels[3, 4] = True
        rings = [(x0, y0, x1, y0, x1, y1), (x0, y0, x1, y1, x0, y1), (x0, y0, x1, y0, x0, y1)]
        shape = [
            {"box_xyxy": (x0, y0, x1, y1)},
            {"polygons": tuple(rings[: rng.integers(1, 4)]), "box_xyxy": (x0, y0, x1, y1)},
            {"mask": encode_mask(pixels)},
        ][rng.integers(0, 3)]
        facts = [
            {},
            {"confidence": float(rng.random()), "origin": "model"},
            {"confidence": 0.5},
            {"origin": "model"},
            {"is_crowd": True},
        ][rng.integers(0, 5)]
        groups = [{}, {"group_id": "1"}, {"group_id": "2"}, {"group_id": "007"}, {"group_id": "-1"}][rng.integers(0, 5)]
        texts = [{}, {"difficult": "1"}, {"description": ""}, {"description": "true"}, {"wet": "true", "description": "ä\n"}]
        attributes = {**groups, **texts[rng.integers(0, 5)]}
        made.append(Annotation(category=["cat", "dog"][rng.integers(0, 2)], **shape, **facts, attributes=attributes))
    return made


@pytest.mark.parametrize("seed", range(60))
def test_any_annotations_come_back_as_they_were(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    splits = ["train", "night", "dev", "Val", None]
    rows = [(f"{'xy'[n % 2]}/{n}.png", splits[n % 5], random_annotations(rng)) for n in range(5)]
    version = make_version(tmp_path, rows, ["dog", "never", "cat"])
    again, report = round_trip(version, "labelme", tmp_path, allow_loss=True)
    assert report.is_clean, report.lines()
    assert again.categories == version.categories
    before, after = by_blob(version), by_blob(again)
    assert before.keys() == after.keys()
    for blob, item in before.items():
        assert (after[blob].file_name, after[blob].split) == (item.file_name, item.split)
        assert len(after[blob].annotations) == len(item.annotations)
        for ours, theirs in zip(item.annotations, after[blob].annotations, strict=True):
            assert replace(theirs, **SHAPED) == replace(ours, **SHAPED)
            assert (theirs.polygons, theirs.mask) == (ours.polygons, ours.mask)
            if ours.geometry == "box":
                assert theirs.box_xyxy == ours.box_xyxy


def test_what_the_tool_opens_is_written(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), bool)
    pixels[2:5, 3:9] = True
    pixels[3, 4] = False  # a hole
    annotations = [
        Annotation(category="cat", box_xyxy=(1.5, 2, 9, 8), attributes={"occluded": "true", "description": "old", "age": "3"}),
        Annotation(category="dog", polygons=(RING, (11, 1, 19, 2, 14, 8))),
        Annotation(category="dog", mask=encode_mask(pixels)),
        Annotation(category="day"),
    ]
    version = make_version(tmp_path, [("x/a.png", "val", annotations)], ["dog", "cat", "day"])
    export_version(version, tmp_path / "out", "labelme")
    assert (tmp_path / "out/labels.txt").read_text() == "__ignore__\n_background_\ndog\ncat\nday\n"
    content = json.loads((tmp_path / "out/val/x/a.json").read_text())
    box, first, second, mask = content.pop("shapes")
    assert content == {
        "version": "5.5.0",
        "flags": {"day": True},
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": 10,
        "imageWidth": 20,
        "split": "val",
    }
    assert box == {
        "label": "cat",
        "group_id": None,
        "description": "old",
        "flags": {"occluded": True},
        "mask": None,
        "shape_type": "rectangle",
        "points": [[1.5, 2], [9, 8]],
        "attributes": {"age": "3"},
    }
    assert first["points"] == TRIANGLE
    assert first["group_id"] == second["group_id"] == 1
    assert (mask["shape_type"], mask["points"]) == ("mask", [[3, 2], [8, 4]])
    assert np.array_equal(decode_label_map(base64.b64decode(mask["mask"])), pixels[2:5, 3:9])


def test_a_picture_still_to_do_gets_no_json(tmp_path: Path) -> None:
    version = make_viewed_version(tmp_path)
    losses = load_format("labelme").check(version)
    assert (losses.changed("attribute"), losses.changed("file"), losses.dropped("image")) == (1, 1, 0)
    with pytest.raises(LossyExport, match="model alone found nothing"):
        export_version(version, tmp_path / "refused", "labelme")
    again, _ = round_trip(version, "labelme", tmp_path, allow_loss=True)
    assert sorted(path.name for path in (tmp_path / "export-labelme").rglob("*.json")) == [
        "human.json",
        "none.json",
        "seen.json",
    ]
    seen = {item.file_name: find_viewer(item.annotations, item.seen_by) for item in again.items()}
    expected = {"human.png": "human", "none.png": "human", "seen.png": "human", "nobody.png": "nobody", "model.png": "nobody"}
    # Told above: no JSON says that "night" is a split. Our own export has no masks, so "masks" is a folder like others.
    assert seen == {**expected, "night/alone.png": "nobody", "masks/late.png": "nobody"}


def make_viewed_version(folder: Path) -> DatasetVersion:
    """Pictures without annotations, and one whose only annotation is a model's, that different ones looked at."""
    blobs = BlobStore(folder / "blobs")
    viewers: dict[str, Viewer | None] = {
        "human": "human",
        "none": None,
        "nobody": "nobody",
        "model": "model",
        "seen": "human",
        "alone": "nobody",
        "masks/late": "nobody",
    }
    with VersionWriter(folder / "version", "sample", Categories(["cat"]), blobs) as writer:
        for name, viewer in viewers.items():
            blob = blobs.put_bytes(write_picture(folder / f"{name}.png").read_bytes())
            found = (Annotation(category="cat", box_xyxy=(1, 1, 5, 5), confidence=0.5, origin="model"),)
            writer.add(
                Item(
                    blob=blob,
                    file_name=f"{name}.png",
                    width=20,
                    height=10,
                    split="night" if name == "alone" else "train",
                    seen_by=viewer,
                    annotations=found if name == "seen" else (),
                )
            )
        return writer.close()


def test_losses_are_told_before(tmp_path: Path) -> None:
    pixels = encode_mask(np.eye(10, 20, dtype=bool))
    annotations = [
        Annotation(category="cat", confidence=0.5, origin="model", attributes={"a": "b"}),
        Annotation(category="cat"),
        Annotation(category="_background_", box_xyxy=(1, 1, 5, 5)),
        Annotation(category="cat", mask=pixels, polygons=(RING,), box_xyxy=(0, 0, 20, 10)),
    ]
    version = make_version(tmp_path, [("a.png", None, annotations)], ["cat", "_background_"], unlabelled_pixels="ignore")
    losses = load_format("labelme").check(version)
    assert (losses.dropped("annotation"), losses.dropped("attribute"), losses.changed("annotation")) == (1, 3, 2)
    assert (losses.changed("category"), losses.changed("attribute")) == (1, 1)
    written = export_version(version, tmp_path / "out", "labelme", allow_loss=True)
    assert written.kept == {"image": 1, "annotation": 3}
    assert written.to_dict()["findings"] == losses.to_dict()["findings"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_of_turned_pictures_are_taken_as_the_tool_showed_them(tmp_path: Path, orientation: int) -> None:
    pixels = np.random.default_rng(orientation).integers(0, 256, (10, 20, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    width, height = (10, 20) if orientation >= 5 else (20, 10)
    box = {"label": "cat", "shape_type": "rectangle", "points": [[1, 2], [4, 9]]}
    write_json(tmp_path / "a.json", box, imageWidth=width, imageHeight=height)
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    (item,) = version.items()
    assert (item.orientation, item.annotations[0].box_xyxy) == (orientation, (1.0, 2.0, 4.0, 9.0))
    assert report.is_clean
    assert report.warned("image") == 0
    again, report = round_trip(version, "labelme", tmp_path)
    assert report.is_clean
    assert next(iter(again.items())).annotations == item.annotations
    write_json(tmp_path / "a.json", box, version="2.9.0")  # shown as stored: turned with the picture where its size tells
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w2"), "x")
    assert report.changed("annotation") == (orientation >= 5)
    assert report.count("image", "warned", UNKNOWN_TURN) == (1 < orientation < 5)


@pytest.mark.parametrize(
    ("points", "dropped", "changed"),
    [
        ([[1, 1], [2, 2]], 1, 0),
        ([[1, 1], [2, 2], [3, 3]], 1, 0),
        ([[-5, -5], [-1, -5], [-1, -1]], 1, 0),
        ([[-5, 1], [9, 1], [9, 8]], 0, 1),
        ([[1e308, 1], [9, 1], [9, -1e308]], 1, 0),  # no area can be computed
        ([[float("nan"), 1], [9, 1], [9, 8]], 1, 0),
        ([[10 + 4 * math.sin(n / 3e4), 5 + 4 * math.cos(n / 3e4)] for n in range(188_000)], 0, 0),
    ],
)
def test_degenerate_outside_and_enormous_shapes_are_told(
    tmp_path: Path, points: list[object], dropped: int, changed: int
) -> None:
    write_picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", {"label": "cat", "points": points})
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    assert (report.dropped("annotation"), report.changed("annotation")) == (dropped, changed)
    assert sum(len(item.annotations) for item in version.items()) == 1 - dropped


def test_no_mutated_file_spoils_another(tmp_path: Path) -> None:
    hostile = [None, True, -1, 1e308, float("nan"), 10**30, "", "x" * 5000, "a\0b", "../" * 90, "\ud800"]
    hostile += [[], {}, [[]], [[1e999]], {"a": {}}]
    mask = {
        "label": "cat",
        "shape_type": "mask",
        "points": [[1, 1], [2, 1]],
        "mask": base64.b64encode(write_mask_png()).decode(),
    }
    document = {"version": "5.5.0", "flags": {"day": True}, "shapes": [mask, CAT], "imagePath": "a.png", "imageWidth": 20}
    document |= {"imageData": None, "imageHeight": 10, "split": "x", "seen_by": "human", "checked": False}
    shape_keys = ("label", "points", "shape_type", "mask", "group_id", "flags", "description", "score", "attributes", "origin")
    made = 0
    for key in (*document, *(f"shapes.{key}" for key in shape_keys)):
        for value in hostile:
            changed = json.loads(json.dumps(document))
            if key.startswith("shapes."):
                changed["shapes"][0][key.partition(".")[2]] = value
            else:
                changed[key] = value
            made += 1
            write_picture(tmp_path / f"{made}.png")
            write_text(tmp_path / f"{made}.json", json.dumps(changed))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x", format="labelme")
    # Only where `shapes` is no list, or text is no Unicode, is a whole file lost.
    assert made == 16 * len((*document, *shape_keys))
    assert version.count() == made - report.dropped("file")
    assert 0 < report.dropped("file") < made / 8


def test_the_fuzzers_files_and_cut_files_are_errors_in_one_line(shared_data: Path, tmp_path: Path) -> None:
    contents = [
        path.read_bytes() for path in sorted((shared_data / "malformed/go-fuzz-corpus").rglob("*json*")) if path.is_file()
    ]
    assert len(contents) >= 40
    whole = write_json(tmp_path / "whole.json", CAT).read_bytes()
    write_picture(tmp_path / "set/a.png")
    for content in [*contents, *(whole[:cut] for cut in range(0, len(whole), 7))]:
        (tmp_path / "set/a.json").write_bytes(content)
        with pytest.raises(SightlineError) as caught:
            import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x", format="labelme")
        assert "\n" not in str(caught.value)


def test_masks_keep_to_the_limit_of_pixels(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    mask = base64.b64encode(write_mask_png()).decode()
    write_json(tmp_path / "a.json", {"label": "cat", "shape_type": "mask", "points": [[1, 1], [2, 1]], "mask": mask})
    version, _ = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x", max_pixels=200)
    (item,) = version.items()
    assert item.annotations[0].mask is not None
    assert decode_mask(item.annotations[0].mask).sum() == 2
    with pytest.raises(UnreadableDataset, match="more pixels than SIGHTLINE_MAX_IMAGE_PIXELS"):
        import_dataset(tmp_path, Workspace(tmp_path / "w2"), "x", max_pixels=199)
