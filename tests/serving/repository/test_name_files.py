"""Which names a model's files give its categories and the classes of its outputs."""

from pathlib import Path
from typing import Any

import pytest

from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.serving.repository.configuration import ModelConfiguration, parse_configuration
from sightline.serving.repository.name_files import read_categories, read_labels


def parse(words: Any) -> ModelConfiguration:
    return parse_configuration(words, "parts", "config.json")


def label(**files: str) -> ModelConfiguration:
    return parse({"output": [{"name": name, "label_filename": file} for name, file in files.items()]})


def test_categories_come_from_a_list_a_file_or_tritons_labels(tmp_path: Path) -> None:
    home = tmp_path / "parts"
    home.mkdir()
    (home / "labels.txt").write_text("cat\ndog\n")
    assert read_categories(parse({"sightline": {"categories": ["a", "b"]}}), home) == ("a", "b")
    assert read_categories(parse({"sightline": {"categories_file": "labels.txt"}}), home) == ("cat", "dog")
    assert read_categories(parse({"output": [{"name": "out", "label_filename": "labels.txt"}]}), home) == ("cat", "dog")
    assert read_categories(parse({}), home) == ()
    with pytest.raises(InvalidInput, match=r"none\.txt"):
        read_categories(parse({"sightline": {"categories_file": "none.txt"}}), home)
    (home / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_categories(parse({"sightline": {"categories_file": "labels.txt"}}), home)


def test_categories_are_the_labels_of_what_is_decoded_and_those_of_a_raw_graph_are_none(tmp_path: Path) -> None:
    (tmp_path / "colours.txt").write_text("red\ngreen\n")
    (tmp_path / "animals.txt").write_text("cat\ndog\n")
    labelled, decode = label(colour="colours.txt", animal="animals.txt"), DecodeSpec(head="softmax", outputs=("animal",))
    assert read_categories(labelled, tmp_path, "file", "classification", decode) == ("cat", "dog")
    assert read_categories(labelled, tmp_path, "file", "raw") == ()
    assert read_labels(labelled, tmp_path) == {"colour": ("red", "green"), "animal": ("cat", "dog")}


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"cat\ndog", ("cat", "dog")),
        (b"cat\r\ndog\r\n\r\n", ("cat", "dog")),
        (b"\xef\xbb\xbfcat \ndog\t\n", ("cat", "dog")),
        (b"crane\n\ncrane\n", ("crane", "", "crane")),
        ("a\u2028b\nc\x0cd\n".encode(), ("a\u2028b", "c\x0cd")),
        (b"\n\n", ()),
    ],
)
def test_labels_are_any_text_by_line(tmp_path: Path, content: bytes, labels: tuple[str, ...]) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    assert read_labels(label(out="labels.txt"), tmp_path) == {"out": labels}


def test_a_file_of_labels_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.txt"):
        read_labels(label(out="none.txt"), tmp_path)


def test_a_file_of_categories_may_end_with_empty_lines_and_names_each_once(tmp_path: Path) -> None:
    words = parse({"sightline": {"categories_file": "names.txt"}})
    (tmp_path / "names.txt").write_text("cat \ndog\n\n")
    assert read_categories(words, tmp_path) == ("cat", "dog")
    (tmp_path / "names.txt").write_text("crane\ncrane\n")
    with pytest.raises(InvalidInput, match=r"names\.txt: .*crane.* more than once"):
        read_categories(words, tmp_path)
