"""CVAT for images: layouts, labels, subsets, names, and what is no CVAT."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.data.formats.format_samples import read, write_picture, write_text

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cvat.format import CvatFormat
from sightline.data.formats.format import NONE_KEPT
from sightline.data.formats.table import FORMATS, detect_format, load_format
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion

ASSETS = "label-formats/datumaro-test-assets"
LABELS = "<labels><label><name>dog</name></label><label><name>cat</name></label></labels>"
BOX = '<box label="{0}" xtl="1" ytl="2" xbr="11" ybr="8"/>'


def image(name: str, *labels: str, more: str = "", size: str = 'width="20" height="10"') -> str:
    return f'<image id="0" name="{name}" {size} {more}>{"".join(map(BOX.format, labels))}</image>'


def put(path: Path, *images: str, head: str = f"<task>{LABELS}</task>") -> Path:
    """An XML of these pictures."""
    meta = f"<version>1.1</version><meta>{head}</meta>"
    return write_text(path, f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{meta}{"".join(images)}</annotations>\n')


def load(source: Path, tmp_path: Path) -> tuple[DatasetVersion, ConversionReport]:
    return import_dataset(source, Workspace(tmp_path / "workspace"), "x", split="given")


def test_a_task_with_its_pictures(tmp_path: Path) -> None:
    source = tmp_path / "task"
    for name in ("a.png", "sub/b c.png", "empty.png"):
        write_picture(source / "images" / name)
    put(source / "annotations.xml", image("a.png", "cat"), image("sub/b c.png", "dog", "cat"), image("empty.png"))
    version, report = load(source, tmp_path)
    assert version.categories.names == ("dog", "cat")  # in the order of the head
    items = {item.file_name: item for item in version.items()}
    assert items["a.png"].annotations == (Annotation(category="cat", box_xyxy=(1.0, 2.0, 11.0, 8.0)),)
    assert [one.category for one in items["sub/b c.png"].annotations] == ["dog", "cat"]
    assert items["empty.png"].seen_by is None
    assert {item.split for item in items.values()} == {None}
    assert report.is_clean
    assert report.warned("image") == 1  # nobody says who looked at the empty one


@pytest.mark.parametrize("subset", ["Train", "default", "Validation", "my subset"])
def test_a_tasks_subset_is_its_split(tmp_path: Path, subset: str) -> None:
    write_picture(tmp_path / "images/a.png")
    put(tmp_path / "annotations.xml", image("a.png", "cat"), head=f"<task><subset>{subset}</subset>{LABELS}</task>")
    expected = {"Train": "train", "default": None, "Validation": "val", "my subset": "my subset"}[subset]
    _, items, _ = read("cvat", tmp_path)
    assert items["a.png"].split == expected


def test_a_project_keeps_pictures_of_one_name_apart_by_their_subset(tmp_path: Path) -> None:
    for subset in ("Train", "Test"):
        write_picture(tmp_path / "images" / subset / "a.png")
    write_picture(tmp_path / "images/default/b.png")
    tasks = "<tasks><task><id>4</id><subset>Train</subset></task><task><id>5</id><subset>Test</subset></task></tasks>"
    put(
        tmp_path / "annotations.xml",
        image("a.png", "cat", more='subset="Train" task_id="4"'),
        image("a.png", "dog", more='subset="Test" task_id="5"'),
        image("b.png", "dog", more='subset="default" task_id="6"'),
        head=f"<project>{LABELS}{tasks}<subsets>Train\nTest</subsets></project>",
    )
    report = ConversionReport()
    items = list(load_format("cvat").read(tmp_path, report, {}).items)
    assert [(item.file_name, item.split, str(item.path).rpartition("images/")[2]) for item in items] == [
        ("a.png", "train", "Train/a.png"), ("a.png", "test", "Test/a.png"), ("b.png", None, "default/b.png"),
    ]  # fmt: skip
    assert report.is_clean


@pytest.mark.parametrize("subset", ["..", "../..", "/", "a\\b", "C:"])
def test_a_subset_leads_nowhere_else(tmp_path: Path, subset: str) -> None:
    source = tmp_path / "deep/task"
    put(source / "annotations.xml", image("a.png", "cat", more=f'subset="{subset}"'))
    write_picture(tmp_path / "a.png")
    report = ConversionReport()
    assert [item.path for item in CvatFormat().read(source, report, {}).items] == [None]


def test_several_exports_side_by_side(tmp_path: Path) -> None:
    for task, label in (("one", "cat"), ("two", "dog")):
        write_picture(tmp_path / task / "images/a.png")
        head = f"<task><labels><label><name>{label}</name></label></labels></task>"
        put(tmp_path / task / "annotations.xml", image("a.png", label), head=head)
    version, report = load(tmp_path, tmp_path)
    assert version.categories.names == ("cat", "dog")
    assert {item.file_name: item.annotations[0].category for item in version.items()} == {"a.png": "cat", "a~2.png": "dog"}
    assert report.count("image", "changed", "file name used twice, renamed") == 1


def test_an_xml_alone_beside_its_pictures_named_after_a_split(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    path = put(tmp_path / "val.xml", image("a.png", "cat"))
    assert detect_format(path).name == "cvat"
    _, items, report = read("cvat", path)
    assert (items["a.png"].split, items["a.png"].path) == ("val", tmp_path / "a.png")
    assert report.is_clean


def test_labels_that_the_head_does_not_declare_follow_and_those_for_other_shapes_are_left_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    others = "".join(f"<label><name>{kind}</name><type>{kind}</type></label>" for kind in ("skeleton", "points", "rectangle"))
    child = "<label><name>nose</name><type>points</type><parent>skeleton</parent></label>"
    head = f"<task><labels><label><name>dog</name><type>any</type></label>{others}{child}</labels></task>"
    put(tmp_path / "annotations.xml", image("a.png", "zebra", "dog", "ant"), head=head)
    dataset, items, _ = read("cvat", tmp_path)
    assert dataset.categories.names == ("dog", "rectangle", "ant", "zebra")
    assert len(items["a.png"].annotations) == 3
    write_text(tmp_path / "annotations.xml", f"<annotations>{image('a.png', 'b', 'a')}</annotations>")  # without a head
    assert read("cvat", tmp_path)[0].categories.names == ("a", "b")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("/home/ann/set/images/a.png", "a.png"),
        ("C:\\data\\batch\\a.png", "batch/a.png"),
        ("../../a.png", "a.png"),
        ("https://example.org/set/a.png?size=2", "a.png"),
        ("b%20%C3%A4.png", "b ä.png"),
        ("100%.png", "100%.png"),
        ("Bücher.png", "Bu\N{COMBINING DIAERESIS}cher.png"),
        ("frame_000010", "frame_000010.PNG"),
        ("sub/frame_000010", "sub/frame_000010.jpg"),
    ],
)
def test_names_of_other_machines_addresses_and_frames(tmp_path: Path, name: str, file: str) -> None:
    write_picture(tmp_path / "images" / file)
    put(tmp_path / "annotations.xml", image(name, "cat"))
    _, items, report = read("cvat", tmp_path)
    assert {item.path for item in items.values()} == {tmp_path / "images" / file}
    assert list(items) == [file]
    assert report.is_clean


def test_a_name_that_leads_out_of_the_folder_finds_nothing_there(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret.png")
    write_picture(tmp_path / "task/images/a.png")
    (tmp_path / "task/images/link.png").symlink_to(tmp_path / "secret.png")
    put(tmp_path / "task/annotations.xml", image("../secret.png", "cat"), image("../../link.png", "cat"), image("a.png", "cat"))
    version, report = load(tmp_path / "task", tmp_path)
    assert [item.file_name for item in version.items()] == ["a.png"]
    assert report.count("image", "dropped", "picture is missing") == 2


def test_a_picture_that_two_tasks_share_is_given_once(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    put(
        tmp_path / "annotations.xml",
        image("a.png", "cat", more='task_id="1"'),
        image("a.png", "dog", "dog", more='task_id="2"'),
    )
    _, items, report = read("cvat", tmp_path)
    assert [one.category for one in items["a.png"].annotations] == ["cat"]
    assert (report.dropped("image"), report.dropped("annotation")) == (1, 2)


def test_pictures_that_are_missing_or_not_listed_are_told(tmp_path: Path) -> None:
    for name in ("a.png", "more/b.png"):
        write_picture(tmp_path / "images" / name)
    put(tmp_path / "annotations.xml", image("a.png", "cat"), image("gone.png", "cat", "dog"))
    version, report = load(tmp_path, tmp_path)
    assert version.count() == 1
    assert report.count("image", "dropped", "picture is missing") == 1
    assert report.count("annotation", "dropped", "its picture was dropped") == 2
    assert report.count("image", "warned", "picture that no XML lists is left out") == 1


def test_a_size_that_no_picture_has_is_none(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    for size in ("", 'width="0" height="10"', 'width="nan" height="10"', 'width="1e99" height="10"'):
        put(tmp_path / "annotations.xml", image("a.png", "cat", size=size))
        assert read("cvat", tmp_path)[1]["a.png"].declared_size is None


def test_damaged_boxes_are_dropped_one_by_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    boxes = ("1,1,nan,5", "1,1,inf,5", "1,1,x,5", "5,5,5,9", "9,9,2,2", "15,5,400,9", "100,100,120,120", "1,1,3,3")
    names = ("xtl", "ytl", "xbr", "ybr")
    shapes = [" ".join(f'{name}="{value}"' for name, value in zip(names, box.split(","), strict=True)) for box in boxes]
    shapes.append('xtl="1" ytl="1" xbr="3"')
    text = "".join(f'<box label="cat" {shape}/>' for shape in shapes)
    put(tmp_path / "annotations.xml", image("a.png").replace("</image>", f"{text}</image>"))
    version, report = load(tmp_path, tmp_path)
    item = next(version.items())
    assert [one.box_xyxy for one in item.annotations] == [(15, 5, 20, 9), (1, 1, 3, 3)]
    assert report.count("annotation", "dropped", "coordinate that is not a number") == 4
    assert report.count("annotation", "dropped", "box without area") == 2
    assert report.count("annotation", "dropped", "box outside the picture") == 1
    assert report.count("annotation", "changed", "box reaches over the edge of the picture, clipped") == 1


BOMB = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;">]>'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotations><version>1.1</version><image",
        "<annotations><image name='a.png' width='20' height='10'></image>",
        "<annotation><size/></annotation>",
        BOMB + "<annotations><meta>&c;</meta></annotations>",
        "<!DOCTYPE a SYSTEM 'http://127.0.0.1:9/a.dtd'><annotations><meta>&c;</meta></annotations>",
        "<annotations><meta>" + "<a>" * 100_000 + "</a>" * 100_000 + "</meta></annotations>",
        "<annotations><meta>\x01</meta></annotations>",
        "<?xml version='1.0' encoding='klingon'?><annotations><meta/></annotations>",
    ],
    ids=["empty", "cut in a tag", "cut", "VOC", "bomb", "DTD", "deep", "control", "encoding"],
)
def test_damaged_and_hostile_files_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    write_picture(tmp_path / "images/a.png")
    write_text(tmp_path / "annotations.xml", text)
    with pytest.raises(UnreadableDataset, match=r"annotations\.xml|looks like none|got none") as caught:
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "x", format="cvat")
    assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableDataset) as caught:
        import_dataset(tmp_path / "annotations.xml", Workspace(tmp_path / "w"), "x", format="cvat")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    write_picture(tmp_path / "images/ü.png")
    name = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{name}"?><annotations><meta/>{image("ü.png", "Schlüssel")}</annotations>'
    (tmp_path / "annotations.xml").write_bytes(text.encode(encoding))
    assert detect_format(tmp_path).name == "cvat"
    assert read("cvat", tmp_path)[0].categories.names == ("Schlüssel",)


def test_a_picture_of_which_no_shape_is_kept_counts_as_one_that_nobody_looked_at(tmp_path: Path) -> None:
    points = '<points label="dog" points="1,2"/>'
    pictures = {"points.png": points, "both.png": points + BOX.format("dog"), "none.png": ""}
    for name in pictures:
        write_picture(tmp_path / "images" / name)
    put(tmp_path / "annotations.xml", *(f'<image id="0" name="{name}">{each}</image>' for name, each in pictures.items()))
    version, report = load(tmp_path, tmp_path)
    assert {item.file_name: item.seen_by for item in version.items()} == {
        "points.png": "nobody", "both.png": None, "none.png": None,
    }  # fmt: skip
    assert report.count("image", "warned", NONE_KEPT) == 1


def test_a_million_points_are_read(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    points = ";".join(["1,1", "9,1", "9,9"] * 350_000)
    put(tmp_path / "annotations.xml", image("a.png").replace("</image>", f'<polygon label="cat" points="{points}"/></image>'))
    _, items, _ = read("cvat", tmp_path)
    polygons = items["a.png"].annotations[0].polygons
    assert polygons is not None
    assert len(polygons[0]) == 2_100_000


def test_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no options"):
        CvatFormat().read(tmp_path, ConversionReport(), {"task": "x"})


def test_the_sample_export_is_read_as_counted_by_a_plain_parser(shared_data: Path) -> None:
    source = shared_data / ASSETS / "cvat_dataset/for_images"
    tree = ElementTree.parse(source / "train.xml")
    boxes = [box for box in tree.iter("box") if box.get("label")]
    dataset, items, report = read("cvat", source)
    assert dataset.categories.names == ("label1", "label2")
    assert list(items) == [each.get("name") for each in tree.iter("image")]
    assert {item.split for item in items.values()} == {"train"}
    assert [one for item in items.values() for one in item.annotations] == [
        Annotation(
            category="label1",
            box_xyxy=(0.0, 2.0, 4.0, 4.0),
            attributes={"occluded": "1", "a1": "true", "a2": "v3", "a3": "0003", "a4": "2.4"},
        )
    ]
    assert len(boxes) == 1
    shapes = sum(len(list(each)) for each in tree.iter("image"))
    assert report.dropped("annotation") == shapes - len(boxes)


def test_no_other_sample_is_taken_for_cvats(shared_data: Path) -> None:
    claimed = {
        path.relative_to(shared_data).as_posix()
        for folder in (shared_data / "label-formats", shared_data / ASSETS, shared_data / "detection")
        for path in (folder, *folder.glob("*"), *folder.glob("*/*"))
        if CvatFormat().detect(path) > 0
    }
    assert claimed == {f"{ASSETS}/cvat_dataset"} | {f"{ASSETS}/cvat_dataset/{kind}" for kind in ("for_images", "for_video")}


def test_cvats_samples_are_taken_by_no_other_format(shared_data: Path) -> None:
    for kind in ("for_images", "for_video"):
        source = shared_data / ASSETS / "cvat_dataset" / kind
        assert detect_format(source).name == "cvat"
        for name in FORMATS:
            if name != "cvat":
                assert load_format(name).detect(source) < 0.9
