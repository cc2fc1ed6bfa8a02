"""One suite for every registered format: what a format says it can carry comes back the same; what it cannot it says before.

The table finds new formats; each that is written must be able to carry at least one of the contents below without a loss.
"""

from pathlib import Path

import numpy as np
import pytest
from format_samples import encode_turned
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import LossyExport, SightlineError
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.exporting import export_version
from sightline.data.formats.table import FORMATS, READ_ONLY, WRITTEN, load_format
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.truth import find_truth
from sightline.data.versions import VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import annotations_to_label_map, decode_mask, encode_mask

WIDTH, HEIGHT = 40, 30
TOLERANCE_PX = 0.01
NAMES = ("apple", "pear", "rotten fruit")
BOXES = (
    Annotation(category="apple", box_xyxy=(1.0, 2.0, 11.5, 20.25)),
    Annotation(category="rotten fruit", box_xyxy=(0.0, 0.0, 40.0, 30.0)),
    Annotation(category="pear", box_xyxy=(12.3, 4.7, 13.9, 29.1)),
)


def make_mask(x0, y0, x1, y1):
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y0:y1, x0:x1] = True
    pixels[y0, x0] = False  # no plain rectangle
    return encode_mask(pixels)


def outline(category, x0, y0, x1, y1):
    return Annotation(category=category, mask=make_mask(x0, y0, x1, y1), box_xyxy=(x0, y0, x1, y1))


TRIANGLES = (
    Annotation(category="apple", polygons=((1.0, 1.0, 20.0, 3.0, 9.5, 25.0),), box_xyxy=(1.0, 1.0, 20.0, 25.0)),
    Annotation(category="pear", polygons=((22.0, 1.0, 39.0, 1.0, 39.0, 12.0, 22.0, 9.0),), box_xyxy=(22.0, 1.0, 39.0, 12.0)),
)
CONTENTS: dict[str, list[tuple[str, tuple[Annotation, ...]]]] = {
    "boxes": [("train", BOXES), ("val", BOXES[:1]), ("test", BOXES[1:])],
    "boxes and an empty picture": [("train", BOXES), ("train", ()), ("val", BOXES[:2])],
    "whole-image labels": [(split, (Annotation(category=name),)) for split in ("train", "val") for name in NAMES],
    "polygons": [("train", TRIANGLES), ("val", TRIANGLES[:1])],
    "masks of each category": [
        ("train", (outline("apple", 1, 1, 12, 9), outline("pear", 20, 3, 38, 28), outline("rotten fruit", 2, 15, 9, 29))),
        ("val", (outline("pear", 5, 5, 30, 20),)),
    ],
    "everything": [
        (
            "train",
            (
                Annotation(category="apple", box_xyxy=(1.0, 1.0, 9.0, 9.0), confidence=0.25, origin="model"),
                Annotation(category="pear", box_xyxy=(1.0, 1.0, 9.0, 9.0), attributes={"ripe": "yes", "truncated": "1"}),
                Annotation(category="pear", polygons=TRIANGLES[0].polygons + TRIANGLES[1].polygons, is_crowd=True),
                outline("apple", 3, 3, 30, 20),
                Annotation(category="rotten fruit"),
            ),
        ),
        ("my split", ()),
    ],
    "boxes in splits of their own names": [(split, BOXES) for split in ("test_day", "test_night", "fold1_val")],
    "labels in splits of their own names": [(split, (Annotation(category="pear"),)) for split in ("test_day", "night")],
    "masks in splits of their own names": [(split, (outline("pear", 5, 5, 30, 20),)) for split in ("test_day", "night")],
    "boxes in splits that mean the same": [(split, BOXES) for split in ("val", "dev", "Train", "train", "default", "val2")],
    "labels in splits that mean the same": [(split, (Annotation(category="pear"),)) for split in ("val", "dev", "Train")],
    "masks in splits that mean the same": [(split, (outline("pear", 5, 5, 30, 20),)) for split in ("val", "dev", "Train")],
}


def make_version(folder: Path, content: str, orientation: int = 1):
    rng = np.random.default_rng(5)
    blobs = BlobStore(folder / "blobs")
    with VersionWriter(folder / "version", "fruit", Categories(NAMES), blobs) as writer:
        for number, (split, annotations) in enumerate(CONTENTS[content]):
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            name = f"{'ab'[number % 2]}/picture {number} ü.png"
            blob = blobs.put_bytes(encode_turned(pixels, orientation))
            item = Item(
                blob=blob,
                file_name=name,
                width=WIDTH,
                height=HEIGHT,
                orientation=orientation,
                split=split,
                annotations=annotations,
            )
            writer.add(item)
        return writer.close()


def export_and_import(version, format, folder, allow_loss):
    target = folder / ("export.zip" if format == "sightline" else "export")
    written = export_version(version, target, format, allow_loss)
    again, read = import_dataset(target, Workspace(folder / "again"), "fruit", format=format, split="given")
    return again, written, read


def assert_same_boxes(first: Item, second: Item):
    assert len(first.annotations) == len(second.annotations)
    for ours, theirs in zip(first.annotations, second.annotations, strict=True):
        if ours.box_xyxy is not None:
            assert theirs.box_xyxy == pytest.approx(ours.box_xyxy, abs=TOLERANCE_PX)
        if ours.polygons is not None:
            assert [len(ring) for ring in theirs.polygons] == [len(ring) for ring in ours.polygons]
            for ring, other in zip(ours.polygons, theirs.polygons, strict=True):
                assert other == pytest.approx(ring, abs=TOLERANCE_PX)
        if ours.mask is not None:
            assert np.array_equal(decode_mask(theirs.mask), decode_mask(ours.mask))
        plain = {"box_xyxy": None, "polygons": None, "mask": None}
        assert replace(theirs, **plain) == replace(ours, **plain)


def assert_same_items(version, again, format):
    ours = {item.blob: item for item in version.items()}
    theirs = {item.blob: item for item in again.items()}
    assert ours.keys() == theirs.keys()
    for blob, item in ours.items():
        assert theirs[blob].split == item.split
        if format in ("label_masks", "cityscapes"):  # semantic formats keep the map, not how many annotations drew it
            maps = [
                annotations_to_label_map(each.annotations, version.categories, HEIGHT, WIDTH, 255)
                for each in (item, theirs[blob])
            ]
            assert np.array_equal(*maps)
        else:
            assert_same_boxes(item, theirs[blob])


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("format", FORMATS)
def test_what_a_format_can_carry_comes_back_the_same_and_what_not_it_says_before(format, content, tmp_path):
    version = make_version(tmp_path, content)
    losses = load_format(format).check(version)
    if not losses.is_clean:
        with pytest.raises(LossyExport, match="`allow_loss`"):
            export_version(version, tmp_path / "refused", format)
        assert not (tmp_path / "refused").exists()
        return
    again, written, read = export_and_import(version, format, tmp_path, allow_loss=False)
    assert written.is_clean, written.lines()
    assert read.is_clean, read.lines()
    assert written.kept.get("image") == read.kept.get("image") == version.count()
    assert set(again.categories.names) >= {a.category for item in version.items() for a in item.annotations}
    assert_same_items(version, again, format)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(
    "format",
    ["coco", "datumaro", "voc", "yolo", "yolo_segment", "darknet", "cvat", "label_studio", "label_masks", "cityscapes"],
)
def test_a_picture_that_exif_turns_is_told_and_comes_back_the_same(format, orientation, tmp_path):
    content = "masks of each category" if format in ("label_masks", "cityscapes") else "boxes"
    version = make_version(tmp_path, content, orientation)
    losses = load_format(format).check(version)
    turned = 0 if orientation == 1 else version.count()
    assert (losses.changed("image"), losses.warned("image")) == (0, turned)  # nothing is lost
    again, written, read = export_and_import(version, format, tmp_path, allow_loss=True)
    assert (written.changed("image"), written.warned("image")) == (losses.changed("image"), losses.warned("image"))
    assert read.is_clean, read.lines()
    assert {item.orientation for item in again.items()} == {orientation}
    assert_same_items(version, again, format)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("format", FORMATS)
def test_a_lossy_export_that_is_allowed_can_be_read_again(format, content, tmp_path):
    version = make_version(tmp_path, content)
    losses = load_format(format).check(version)
    if losses.is_clean:
        return
    if losses.dropped("image") == version.count():
        with pytest.raises(LossyExport, match="can carry no picture"):
            export_version(version, tmp_path / "export", format, allow_loss=True)
        assert not (tmp_path / "export").exists()
        return
    written = export_version(version, tmp_path / "export", format, allow_loss=True)
    assert not written.is_clean
    promised = {(finding.kind, finding.outcome, finding.reason): finding.count for finding in losses.findings()}
    happened = {(finding.kind, finding.outcome, finding.reason): finding.count for finding in written.findings()}
    assert promised == happened
    again, _ = import_dataset(tmp_path / "export", Workspace(tmp_path / "again"), "fruit", format=format, split="given")
    assert again.count() == written.kept["image"]


@pytest.mark.parametrize("format", WRITTEN)
def test_every_format_carries_some_content_without_a_loss(format, tmp_path):
    clean = [name for name in CONTENTS if load_format(format).check(make_version(tmp_path / name, name)).is_clean]
    assert clean, f"{format} carries none of {list(CONTENTS)}"


@pytest.mark.parametrize("format", READ_ONLY)
def test_a_format_that_is_only_read_says_so(format, tmp_path):
    with pytest.raises(LossyExport, match="are read, not written; export to another format"):
        export_version(make_version(tmp_path, "boxes"), tmp_path / "export", format, allow_loss=True)
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("format", WRITTEN)
def test_every_format_finds_its_own_export_by_itself(format, tmp_path):
    content = next(name for name in CONTENTS if load_format(format).check(make_version(tmp_path / name, name)).is_clean)
    version = make_version(tmp_path / "again", content)
    target = tmp_path / ("export.zip" if format == "sightline" else "export")
    export_version(version, target, format)
    found, report = import_dataset(target, Workspace(tmp_path / "found"), "fruit", split="given")
    named, _ = import_dataset(target, Workspace(tmp_path / "named"), "fruit", format=format, split="given")
    assert report.is_clean, report.lines()
    # One reader may serve two writers (YOLO boxes and outlines), so what was read counts, not the name.
    assert list(found.items()) == list(named.items())
    assert found.categories == named.categories


@pytest.mark.parametrize("format", FORMATS)
def test_no_format_claims_an_empty_folder_or_a_text_file(format, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("nothing to see")
    assert load_format(format).detect(tmp_path / "empty") == 0
    assert load_format(format).detect(tmp_path / "note.txt") == 0


@pytest.mark.parametrize("format", FORMATS)
def test_reading_what_is_not_of_the_format_is_an_error_of_ours(format, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SightlineError) as caught:
        import_dataset(tmp_path / "empty", Workspace(tmp_path / "w"), "x", format=format)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["boxes", "whole-image labels", "masks of each category"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_that_no_person_looked_at_becomes_none_that_shows_nothing_unless_told(format, content, tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    with VersionWriter(tmp_path / "version", "fruit", Categories(NAMES), blobs) as writer:
        bare = [("train", viewer, ()) for viewer in (None, "human", "model", "nobody")]
        rows = [*((split, None, annotations) for split, annotations in CONTENTS[content]), *bare]
        for number, (split, viewer, annotations) in enumerate(rows):
            blob = blobs.put_bytes(encode_image(np.full((HEIGHT, WIDTH, 3), number, np.uint8), "png"))
            item = Item(blob=blob, file_name=f"{number}.png", width=WIDTH, height=HEIGHT, split=split)
            writer.add(replace(item, seen_by=viewer, annotations=annotations))
        version = writer.close()
    if not load_format(format).check(version).is_clean:
        with pytest.raises(LossyExport, match="`allow_loss`"):
            export_version(version, tmp_path / "refused", format)
        return
    again, _, _ = export_and_import(version, format, tmp_path, allow_loss=False)
    judged = [{item.blob for item in each.items() if find_truth(item) is not None} for each in (version, again)]
    assert judged[0] == judged[1]


@pytest.mark.parametrize("format", ["sightline", "coco", "datumaro", "voc", "yolo", "yolo_segment", "darknet", "cvat"])
def test_formats_with_a_place_for_it_carry_every_word_on_who_looked(format, tmp_path):
    model = (replace(BOXES[0], origin="model", confidence=0.5),)
    rows = [("train", BOXES, None), ("train", model, None), ("train", model, "human")]
    rows += [(split, (), viewer) for split in ("train", "val") for viewer in (None, "human", "model", "nobody")]
    blobs = BlobStore(tmp_path / "blobs")
    with VersionWriter(tmp_path / "version", "fruit", Categories(NAMES), blobs) as writer:
        for number, (split, annotations, viewer) in enumerate(rows):
            blob = blobs.put_bytes(encode_image(np.full((HEIGHT, WIDTH, 3), number, np.uint8), "png"))
            item = Item(blob=blob, file_name=f"{number}.png", width=WIDTH, height=HEIGHT, split=split)
            writer.add(replace(item, annotations=annotations, seen_by=viewer))
        version = writer.close()
    again, written, read = export_and_import(version, format, tmp_path, allow_loss=False)
    assert written.is_clean and read.is_clean
    assert {item.blob: item.seen_by for item in again.items()} == {item.blob: item.seen_by for item in version.items()}


@pytest.mark.parametrize("format", WRITTEN)
def test_attributes_of_pictures_come_back_the_same_or_are_told_before(format, tmp_path):
    content = next(name for name in CONTENTS if load_format(format).check(make_version(tmp_path / name, name)).is_clean)
    plain = make_version(tmp_path / "plain", content)
    facts = {"größe": "3 mm", "empty": "", "checked": "true", "line": "7", "code": "007", "day": "2026-11-28"}
    items = [replace(item, attributes={} if number else facts) for number, item in enumerate(plain.items())]
    with VersionWriter(tmp_path / "version", "fruit", plain.categories, plain.blobs) as writer:
        for item in items:
            writer.add(item)
        version = writer.close()
    losses = load_format(format).check(version)
    if format in ("sightline", "coco", "datumaro"):
        again, written, read = export_and_import(version, format, tmp_path, allow_loss=False)
        assert losses.is_clean and written.is_clean and read.is_clean
        assert {item.blob: item.attributes for item in again.items()} == {item.blob: item.attributes for item in items}
    else:
        told = {f"the format has no attribute {key!r} of a whole picture" for key in facts}
        assert {found.reason for found in losses.findings() if found.outcome == "dropped"} == told


@pytest.mark.parametrize("origin", ["human", "model"])
@pytest.mark.parametrize("format", ["voc", "yolo", "yolo_segment", "darknet"])
def test_a_picture_of_which_no_annotation_is_written_is_one_that_nobody_looked_at(format, origin, tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    whole = Annotation(category="apple", origin=origin)
    with VersionWriter(tmp_path / "version", "fruit", Categories(NAMES), blobs) as writer:
        rows = [(None, BOXES), (None, (whole,)), ("human", (replace(whole, origin="model"),)), (None, (whole, *BOXES))]
        for number, (viewer, annotations) in enumerate(rows):
            blob = blobs.put_bytes(encode_image(np.full((HEIGHT, WIDTH, 3), number, np.uint8), "png"))
            item = Item(blob=blob, file_name=f"{number}.png", width=WIDTH, height=HEIGHT, split="train", seen_by=viewer)
            writer.add(replace(item, annotations=annotations))
        version = writer.close()
    again, _, _ = export_and_import(version, format, tmp_path, allow_loss=True)
    found = {item.file_name: (len(item.annotations), item.seen_by) for item in again.items()}
    assert list(found.values()) == [(3, None), (0, "nobody"), (0, "human"), (3, None)]


def test_formats_with_a_place_for_it_carry_who_looked(tmp_path):
    for format in ("sightline", "coco", "datumaro", "voc", "yolo", "darknet", "cvat", "label_studio"):
        test_a_picture_that_no_person_looked_at_becomes_none_that_shows_nothing_unless_told(format, "boxes", tmp_path / format)
        assert not (tmp_path / format / "refused").exists()
        assert (tmp_path / format / "again").exists()
