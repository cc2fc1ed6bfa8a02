"""The labelling configuration: pictures, controls and labels in order, and which of several files is meant."""

from pathlib import Path
from xml.etree import ElementTree

from format_samples import write_text

from sightline.data.conversion import ConversionReport
from sightline.data.formats.label_studio.labelling import Labelling, parse_labelling, read_labelling, write_labelling

CONFIG = """<View>
<Image name="pic" value="$photo"/><Image name="pages" valueList="$scans"/><Image name="fixed" value="1.png"/>
<Text name="text" value="$text"/>
<View><BrushLabels name="brush" toName="pic"><Label value="Sky"/><Label value="Tree" alias="tree"/></BrushLabels></View>
<Choices name="kind" toName="pages"><Choice value="day"><Choice value="noon"/></Choice><Choice value="Sky"/></Choices>
<Choices name="pose" toName="pic" perRegion="true"><Choice value="sits"/></Choices>
<Labels name="words" toName="text"><Label value="noun"/></Labels>
<KeyPointLabels name="points" toName="pic"><Label value="eye"/></KeyPointLabels>
<!-- a comment --></View>"""


def test_labels_of_pictures_in_order() -> None:
    found = parse_labelling(ElementTree.fromstring(CONFIG))
    assert found.images == {"pic": "photo", "pages": "scans"}
    assert found.categories == ["Sky", "tree", "day", "noon"]
    assert found.controls["words"] == "Labels"
    assert found.controls.keys() == {"brush", "kind", "pose", "words", "points"}


def test_of_several_files_that_which_knows_most(tmp_path: Path) -> None:
    write_text(tmp_path / "label_config.xml", CONFIG)
    write_text(tmp_path / "other.xml", CONFIG.replace('name="brush"', 'name="paint"'))
    write_text(tmp_path / "voc.xml", "<annotation><size/></annotation>")
    report = ConversionReport()
    assert "brush" in read_labelling(tmp_path / "x.json", ["kind"], report).controls  # as many: the usual name
    assert "brush" in read_labelling(tmp_path / "x.json", [], report).controls
    assert "paint" in read_labelling(tmp_path / "x.json", ["paint", "kind"], report).controls
    (tmp_path / "label_config.xml").unlink()
    assert read_labelling(tmp_path / "x.json", ["nothing"], report) == Labelling()
    assert report.is_clean


def test_a_file_that_is_no_xml_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "label_config.xml", '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>')
    report = ConversionReport()
    assert read_labelling(tmp_path / "x.json", [], report) == Labelling()
    assert report.count("file", "dropped", "labelling configuration that is no XML") == 1


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    names = ['a "b" & <c>', "tab\tinside", "größe", "it's"]
    write_labelling(tmp_path / "label_config.xml", {"boxes": "RectangleLabels", "classes": "Choices"}, names, ["ripe"])
    found = read_labelling(tmp_path / "x.json", [], ConversionReport())
    assert found.categories == names
    assert found.controls == {"boxes": "RectangleLabels", "classes": "Choices", "ripe": "TextArea"}
    assert found.images == {"image": "image"}


def test_the_malformed_corpus_is_no_configuration(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "malformed/go-fuzz-corpus").rglob("*.xml"))
    assert len(paths) == 40
    for path in paths:
        for content in (path.read_bytes(), b"<View>" + path.read_bytes() + b"</View>"):
            (tmp_path / "label_config.xml").write_bytes(content)
            assert read_labelling(tmp_path / "x.json", ["a"], ConversionReport()).categories == []
