"""Pascal VOC: boxes as stored, lists, masks, dialects; BCCD against the benchmark's own numbers."""

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.exporting import export_version
from sightline.data.formats.voc.format import VocFormat
from sightline.data.formats.voc.masks import make_palette, save_palette_png
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.samples import generate_samples
from sightline.data.versions import VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import decode_mask, encode_mask

OBJECT = "<object><name>{name}</name>{more}<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>22</ymax></bndbox></object>"


def put_picture(path, seed=0, size=(30, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.write_bytes(encode_image(pixels, "png"))


def put_xml(path, *names, more="", size="<size><width>40</width><height>30</height><depth>3</depth></size>", head=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(OBJECT.format(name=name, more=more) for name in names)
    path.write_text(f"<annotation>{head}{size}{objects}</annotation>")


def read(source, tmp_path, **options):
    version, report = import_dataset(source, Workspace(tmp_path / "workspace"), "x", split="given", **options)
    return {item.file_name: item for item in version.items()}, report, version


def test_a_voc_tree_with_lists(tmp_path):
    root = tmp_path / "VOC"
    for number, name in enumerate("abcd"):
        put_picture(root / "JPEGImages" / f"{name}.png", number)
        put_xml(root / "Annotations" / f"{name}.xml", "dog")
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name, ids in {"train": "a\nb\n", "val": "c\nb\n", "trainval": "a\nb\nc\n", "dog_train": "a  1\nb -1\n"}.items():
        (lists / f"{name}.txt").write_text(ids)
    items, report, version = read(root, tmp_path)
    assert {name: item.split for name, item in items.items()} == {
        "a.png": "train", "b.png": "train", "c.png": "val", "d.png": None,
    }  # fmt: skip
    assert report.is_clean
    assert report.count("image", "warned", "picture in several split lists, the first counts") == 1
    assert items["a.png"].annotations == (Annotation(category="dog", box_xyxy=(1.0, 2.0, 11.0, 22.0)),)
    assert version.categories.names == ("dog",)


def warnings_of(report):
    return {finding.reason: finding.examples for finding in report.findings() if finding.outcome == "warned"}


def test_a_file_name_left_over_from_a_copy_moves_no_box_to_another_picture(tmp_path):
    root = tmp_path / "VOC"
    for number, (name, category) in enumerate({"1": "good", "2": "scratch", "3": "dent"}.items()):
        put_xml(root / "Annotations" / f"{name}.xml", category, head="<filename>1.png</filename>")
        if name != "3":
            put_picture(root / "JPEGImages" / f"{name}.png", number)
    items, report, _ = read(root, tmp_path)
    assert {name: [a.category for a in item.annotations] for name, item in items.items()} == {
        "1.png": ["good"], "2.png": ["scratch"],
    }  # fmt: skip
    assert report.count("image", "dropped", "picture is missing") == 1
    assert list(warnings_of(report).values()) == [["2.xml: 1.png"], ["3.xml: 1.png"]]


def test_an_xml_named_otherwise_takes_the_picture_it_names_once(tmp_path):
    root = tmp_path / "VOC"
    put_picture(root / "JPEGImages" / "a.png")
    for name in ("first", "second"):
        put_xml(root / "Annotations" / f"{name}.xml", name, head="<filename>a.png</filename>")
    items, report, _ = read(root, tmp_path)
    assert {name: [a.category for a in item.annotations] for name, item in items.items()} == {"a.png": ["first"]}
    assert report.count("file", "dropped", "annotation file of a picture that another one has described") == 1
    assert report.count("image", "warned", "picture found by <filename>, the XML is named otherwise") == 2


@pytest.mark.parametrize(("head", "labelled"), [("", "a.jpg"), ("<filename>C:\\x\\a.png</filename>", "a.png")])
def test_of_two_pictures_of_one_stem_the_second_is_kept_and_told(tmp_path, head, labelled):
    root = tmp_path / "VOC"
    for number, name in enumerate(("a.jpg", "a.png")):
        put_picture(root / "JPEGImages" / name, number)
    put_xml(root / "Annotations" / "a.xml", "dog", head=head)
    items, report, _ = read(root, tmp_path)
    assert {name: len(item.annotations) for name, item in items.items()} == {"a.jpg": 0, "a.png": 0} | {labelled: 1}
    assert {name: item.seen_by for name, item in items.items()} == {"a.jpg": "nobody", "a.png": "nobody"} | {labelled: None}
    assert report.count("image", "warned", "picture without an annotation file") == 1


@pytest.mark.parametrize("form", ["\N{ZERO WIDTH NO-BREAK SPACE}{}\r\n", "{}.png\n", "{}  1\n", "{}.png {}.xml\n", '"{}"\n'])
def test_lists_may_have_a_byte_order_mark_suffixes_columns_and_quotes(tmp_path, form):
    root = tmp_path / "VOC"
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for number, (name, split) in enumerate({"a": "train", "b c": "val", "d": "test"}.items()):
        put_picture(root / "JPEGImages" / f"{name}.png", number)
        put_xml(root / "Annotations" / f"{name}.xml", "dog")
        (lists / f"{split}.txt").write_text("b c\n" if name == "b c" else form.replace("{}", name), encoding="utf-8")
    items, report, _ = read(root, tmp_path)
    assert {name: item.split for name, item in items.items()} == {"a.png": "train", "b c.png": "val", "d.png": "test"}
    assert report.is_clean


def test_a_list_that_names_nothing_is_refused_while_pictures_are_in_no_list(tmp_path):
    root = tmp_path / "VOC"
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for number, name in enumerate("ab"):
        put_picture(root / "JPEGImages" / f"{name}.png", number)
        put_xml(root / "Annotations" / f"{name}.xml", "dog")
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("part_b\n")
    with pytest.raises(UnreadableDataset, match=r"picture ids in ImageSets.Main.val\.txt.*'part_b'"):
        read(root, tmp_path)
    (lists / "train.txt").write_text("a\nb\n")  # a part of a larger set: its other list names what is not here
    items, report, _ = read(root, tmp_path)
    assert {name: item.split for name, item in items.items()} == {"a.png": "train", "b.png": "train"}
    assert report.count("image", "dropped", "picture is missing") == 1


def test_a_byte_order_mark_does_not_shift_the_classes_of_a_label_map(tmp_path):
    root = tmp_path / "VOC"
    put_picture(root / "JPEGImages" / "a.png")
    put_xml(root / "Annotations" / "a.xml")
    indices = np.zeros((30, 40), np.uint8)
    indices[2:5, 2:5] = 1
    for folder in ("SegmentationClass", "SegmentationObject"):
        save_palette_png(root / folder / "a.png", indices)
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nscratch:128,0,0::\ndent:0,128,0::\n"
    (root / "labelmap.txt").write_text(text, encoding="utf-8-sig")
    items, _, version = read(root, tmp_path)
    assert version.categories.names == ("scratch", "dent")
    assert [annotation.category for annotation in items["a.png"].annotations] == ["scratch"]


def test_only_unusual_attributes_are_kept(tmp_path):
    more = "<pose>Left</pose><truncated>0</truncated><difficult>1</difficult>"
    more += "<attributes><attribute><name>ripe</name><value>yes</value></attribute></attributes>"
    put_picture(tmp_path / "set" / "a.png")
    put_xml(tmp_path / "set" / "a.xml", "dog", more=more)
    items, _, _ = read(tmp_path / "set", tmp_path)
    assert items["a.png"].annotations[0].attributes == {"pose": "Left", "difficult": "1", "ripe": "yes"}


def test_marks_of_true_and_false_are_read_and_written_as_1_and_0(tmp_path):
    for name, words in {"a": ("true", "False", "TRUE"), "b": ("1", "0", "some")}.items():
        put_picture(tmp_path / f"in/{name}.png", ord(name))
        more = "".join(
            f"<{tag}>{word}</{tag}>" for tag, word in zip(("truncated", "difficult", "occluded"), words, strict=True)
        )
        put_xml(tmp_path / f"in/{name}.xml", "pear", more=more)
    items, _, _ = read(tmp_path / "in", tmp_path)
    assert items["a.png"].annotations[0].attributes == {"truncated": "1", "occluded": "1"}
    assert items["b.png"].annotations[0].attributes == {"truncated": "1", "occluded": "some"}

    blobs = BlobStore(tmp_path / "blobs")
    with VersionWriter(tmp_path / "version", "x", Categories(["pear"]), blobs) as writer:
        blob = blobs.put_bytes((tmp_path / "in/a.png").read_bytes())
        attributes = {"truncated": "true", "difficult": "false", "ripe": "true"}  # as Datumaro's JSON gives them
        pear = Annotation(category="pear", box_xyxy=(1, 2, 11, 22), attributes=attributes)
        writer.add(Item(blob=blob, file_name="a.png", width=40, height=30, split="train", annotations=(pear,)))
        version = writer.close()
    report = export_version(version, tmp_path / "out", "voc")
    assert (report.is_clean, report.warned("attribute")) == (True, 2)
    thing = ElementTree.parse(tmp_path / "out/Annotations/a.xml").find("object")
    assert [thing.findtext(tag) for tag in ("truncated", "difficult", "occluded")] == ["1", "0", "0"]
    assert thing.findtext("attributes/attribute/value") == "true"


@pytest.mark.parametrize(
    "folders", [("data", "labels"), ("images", "xmls"), ("Images", "annots"), ("images", "annotations/xmls")]
)
def test_annotations_and_pictures_in_folders_of_other_names(tmp_path, folders):
    for split in ("train", "val"):
        put_picture(tmp_path / "set" / split / folders[0] / f"{split}.png", len(split))
        put_xml(tmp_path / "set" / split / folders[1] / f"{split}.xml", "dog", head=f"<filename>{split}.png</filename>")
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert {(item.split, len(item.annotations)) for item in items.values()} == {("train", 1), ("val", 1)}
    assert report.is_clean and not report.warned("image")


def test_flat_folders_by_split_and_pictures_without_xml(tmp_path):
    for number, split in enumerate(("train", "valid")):
        put_picture(tmp_path / "set" / split / "a.png", number)
        put_xml(tmp_path / "set" / split / "a.xml", "dog")
    put_picture(tmp_path / "set" / "train" / "empty.png", 9)
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert {name: (item.split, len(item.annotations)) for name, item in items.items()} == {
        "train/a.png": ("train", 1), "valid/a.png": ("val", 1), "train/empty.png": ("train", 0),
    }  # fmt: skip
    assert report.warned("image") == 1


def test_ibms_dialect_has_polygons_and_no_file_name(tmp_path):
    points = "".join(f"<point><value>{x}</value><value>{y}</value></point>" for x, y in ((1, 2), (11, 2), (11, 22)))
    put_picture(tmp_path / "set" / "a.png")
    put_xml(tmp_path / "set" / "a.xml", "dog", more=f"<segment_polygons><polygon>{points}</polygon></segment_polygons>")
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert report.is_clean
    assert items["a.png"].annotations[0].polygons == ((1.0, 2.0, 11.0, 2.0, 11.0, 22.0),)


def test_a_broken_xml_drops_its_picture_and_says_so(tmp_path):
    for name in "ab":
        put_picture(tmp_path / "set" / f"{name}.png", ord(name))
    put_xml(tmp_path / "set" / "a.xml", "dog")
    (tmp_path / "set" / "b.xml").write_text("<annotation><size>")
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert list(items) == ["a.png"]
    assert report.count("image", "dropped", "its annotation file cannot be read") == 1


def test_an_entity_bomb_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><annotation><size>&b;</size></annotation>')
    with pytest.raises(UnreadableDataset, match="cannot parse"):
        read(path, tmp_path, format="voc")


def test_the_palette_is_vocs():
    # First colours of VOC's own map, from its documentation.
    expected = [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (0, 0, 128),
        (128, 0, 128),
        (0, 128, 128),
        (128, 128, 128),
        (64, 0, 0),
    ]
    assert make_palette()[:9].tolist() == [list(colour) for colour in expected]
    assert make_palette()[255].tolist() == [224, 224, 192]


@pytest.mark.parametrize("name", ["a:b", "a\tb", "background", "#1"])
def test_a_name_that_voc_would_change_is_said_before(tmp_path, name):
    with VersionWriter(Workspace(tmp_path), "x", Categories([name])) as writer:
        version = writer.close()
    assert VocFormat().check(version).changed("category") == 1


def test_masks_go_out_as_palette_pictures_and_come_back(tmp_path):
    version = generate_samples(Workspace(tmp_path / "w"), 8, task="instance", width=160, height=120)
    report = export_version(version, tmp_path / "voc", "voc")
    assert report.is_clean
    again, _, _ = read(tmp_path / "voc", tmp_path)
    masked = 0
    for item in version.items():
        for ours, theirs in zip(item.annotations, again[item.file_name].annotations, strict=True):
            assert ours == theirs
            masked += 1
        stem = item.file_name.removesuffix(".jpg")
        if item.annotations:
            with Image.open(tmp_path / "voc" / "SegmentationClass" / f"{stem}.png") as picture:
                assert picture.mode == "P"
                classes = np.asarray(picture)
            first = item.annotations[0]
            assert set(classes[decode_mask(first.mask)]) == {version.categories.index(first.category) + 1}
    assert masked > 5


def make_masked(folder, *annotations):
    blobs = BlobStore(folder / "blobs")
    blob = blobs.put_bytes(encode_image(np.zeros((40, 40, 3), np.uint8), "png"))
    with VersionWriter(folder / "version", "masked", Categories(["person"]), blobs) as writer:
        writer.add(Item(blob=blob, file_name="a.png", width=40, height=40, split="train", annotations=annotations))
        return writer.close()


def test_a_box_that_is_not_the_bounds_of_its_mask_stays_with_it(tmp_path):
    small, large = np.zeros((2, 40, 40), bool)
    small[20:30, 20:30] = True
    large[2:8, 2:38] = True
    version = make_masked(
        tmp_path,
        Annotation(category="person", box_xyxy=(1.0, 1.0, 39.0, 9.0)),  # a box alone, nearer to the second mask than its own
        Annotation(category="person", box_xyxy=(5.0, 5.0, 38.0, 38.0), mask=encode_mask(small)),
        Annotation(category="person", box_xyxy=(0.0, 0.0, 40.0, 40.0), mask=encode_mask(large)),
    )
    assert export_version(version, tmp_path / "voc", "voc").is_clean
    again, _, _ = read(tmp_path / "voc", tmp_path)
    assert again["a.png"].annotations == next(version.items()).annotations


def test_a_mask_index_that_fits_nothing_is_passed_over(tmp_path):
    pixels = np.zeros((40, 40), bool)
    pixels[20:30, 20:30] = True
    annotation = Annotation(category="person", box_xyxy=(20.0, 20.0, 30.0, 30.0), mask=encode_mask(pixels))
    export_version(make_masked(tmp_path, annotation), tmp_path / "voc", "voc")
    xml = tmp_path / "voc/Annotations/a.xml"
    text = xml.read_text()
    for place, index in enumerate(("7", "-1", "one", "9" * 5000)):
        xml.write_text(text.replace("<mask_index>1<", f"<mask_index>{index}<"))
        (tmp_path / str(place)).mkdir()
        again, _, _ = read(tmp_path / "voc", tmp_path / str(place))
        assert again["a.png"].annotations == (annotation,)  # by its box


def test_bccd_is_read_as_the_benchmark_reads_it(shared_data, tmp_path):
    root = shared_data / "detection" / "bccd"
    items, report, version = read(root, tmp_path)
    assert version.splits == {"test": 72, "train": 205, "val": 87}
    assert version.manifest.annotation_counts == {"Platelets": 361, "RBC": 4153, "WBC": 372}
    assert [(finding.reason, finding.count) for finding in report.findings()] == [("box without area", 2)]
    for item in items.values():
        tree = ElementTree.parse(root / "BCCD" / "Annotations" / item.file_name.replace(".jpg", ".xml"))
        expected = []
        for thing in tree.iter("object"):
            x0, y0, x1, y1 = (float(thing.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
            x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, item.width), min(y1, item.height)
            if x1 - x0 >= 1 and y1 - y0 >= 1:
                expected.append((thing.findtext("name"), (x0, y0, x1, y1)))
        assert [(annotation.category, annotation.box_xyxy) for annotation in item.annotations] == expected


def test_datumaro_sample_has_two_boxes_and_a_mask(shared_data, tmp_path):
    folder = shared_data / "label-formats" / "datumaro-test-assets" / "voc_dataset"
    items, report, _ = read(folder / "voc_dataset1", tmp_path)
    assert {name: item.split for name, item in items.items()} == {"2007_000001.jpg": "train", "2007_000002.jpg": "test"}
    # The mask is painted (0, 128, 0): VOC's colour 2, bicycle; it fits neither box.
    geometries = {annotation.category: annotation.geometry for annotation in items["2007_000001.jpg"].annotations}
    assert geometries == {"cat": "box", "person": "box", "bicycle": "mask"}
    assert report.count("attribute", "dropped", "parts of objects are not kept") == 1
    with pytest.raises(UnreadableDataset, match="dropped 5 images: picture is missing"):
        read(folder / "voc_dataset2", tmp_path / "2")


def test_an_xml_in_utf16_is_seen_and_a_single_one_finds_its_picture(tmp_path):
    put_picture(tmp_path / "VOC" / "JPEGImages" / "a.png")
    path = tmp_path / "VOC" / "Annotations" / "a.xml"
    put_xml(path, "grün")
    text = path.read_text().replace("<size>", "<filename>a.png</filename><size>")
    path.write_bytes(('<?xml version="1.0" encoding="utf-16"?>' + text).encode("utf-16"))
    items, report, version = read(tmp_path / "VOC", tmp_path / "1")
    assert version.categories.names == ("grün",)
    assert len(items["a.png"].annotations) == 1
    items, report, _ = read(path, tmp_path / "2")
    assert report.is_clean
    assert len(items["a.png"].annotations) == 1


def test_an_option_is_refused(tmp_path):
    put_xml(tmp_path / "VOC" / "Annotations" / "a.xml", "cat")
    with pytest.raises(InvalidInput, match="no options for format voc"):
        read(tmp_path / "VOC", tmp_path, format_options={"lists": {}})


def test_links_to_themselves_and_pipes_are_no_annotation_files(tmp_path):
    put_picture(tmp_path / "VOC" / "JPEGImages" / "a.png")
    (tmp_path / "VOC" / "Annotations").mkdir()
    (tmp_path / "VOC" / "Annotations" / "a.xml").symlink_to("a.xml")
    os.mkfifo(tmp_path / "VOC" / "Annotations" / "b.xml")
    assert VocFormat().detect(tmp_path / "VOC") == 0


@pytest.mark.parametrize("name", ["{parent}/home/a.png", "../../home/a.png"])
def test_a_file_name_that_leads_out_gives_the_picture_inside_never_the_one_outside(tmp_path, monkeypatch, name):
    put_picture(tmp_path / "home" / "a.png", seed=1)
    root = tmp_path / "VOC"
    put_picture(root / "JPEGImages" / "home" / "a.png", seed=2)
    put_xml(root / "Annotations" / "x.xml", "dog", head=f"<filename>{name.format(parent=tmp_path)}</filename>")
    monkeypatch.chdir(tmp_path)
    for number, source in enumerate((root, Path("VOC"))):
        items, report, version = read(source, tmp_path / str(number))
        assert list(items) == ["home/a.png"]
        inside = (root / "JPEGImages" / "home" / "a.png").read_bytes()
        assert version.blobs.read(items["home/a.png"].blob) == inside
        assert report.is_clean


def test_an_absolute_file_name_inside_of_a_source_given_by_a_relative_path_is_found(tmp_path, monkeypatch):
    path = tmp_path / "VOC" / "JPEGImages" / "sub" / "a.png"
    put_picture(path)
    put_xml(tmp_path / "VOC" / "Annotations" / "x.xml", "dog", head=f"<filename>{path}</filename>")
    monkeypatch.chdir(tmp_path)
    items, report, _ = read(Path("VOC"), tmp_path)
    assert report.is_clean
    assert list(items) == ["sub/a.png"]


@pytest.mark.parametrize("name", ["x" * 5000 + ".png", "a/" * 100_000 + "a.png"])
def test_a_file_name_that_no_disk_holds_is_passed_over(tmp_path, name):
    put_picture(tmp_path / "VOC" / "JPEGImages" / "x.png")
    put_xml(tmp_path / "VOC" / "Annotations" / "x.xml", "dog")
    path = tmp_path / "VOC" / "Annotations" / "x.xml"
    path.write_text(path.read_text().replace("</annotation>", f"<filename>{name}</filename></annotation>"))
    items, _, _ = read(tmp_path / "VOC", tmp_path)
    assert list(items) == ["x.png"]
