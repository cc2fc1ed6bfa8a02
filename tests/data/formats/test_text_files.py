from pathlib import Path

import pytest
from format_samples import read, write_mask, write_picture, write_text

from sightline.data.conversion import ConversionReport
from sightline.data.formats.text_files import find_encoding, open_text, read_text

GUESSED = "text is no UTF-8 and is read as Windows-1252; save it as UTF-8 if names look wrong"


@pytest.mark.parametrize(
    ("written", "found", "guesses"),
    [
        ("utf-8", "utf-8-sig", 0),
        ("utf-8-sig", "utf-8-sig", 0),
        ("utf-16", "utf-16", 0),
        ("cp1252", "cp1252", 1),
    ],
)
def test_a_text_is_read_as_it_was_written(tmp_path: Path, written: str, found: str, guesses: int) -> None:
    path, report = tmp_path / "names.txt", ConversionReport()
    path.write_bytes("Fl\u00e4che\r\ngro\u00df\r\n".encode(written))
    assert find_encoding(path) == found
    assert read_text(path, report).splitlines() == ["Fl\u00e4che", "gro\u00df"]
    assert report.count("file", "warned", GUESSED) == guesses
    with open_text(path) as lines:
        assert [line.strip() for line in lines] == ["Fl\u00e4che", "gro\u00df"]


def test_bytes_that_no_encoding_has_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"a\x81\na\x8d\n")
    assert len(set(read_text(path).split("\n"))) == 3
    path.write_bytes(b"\xff\xfea")  # half a letter of UTF-16
    assert read_text(path) == "\u00ff\u00fea"
    path.write_bytes(b"")
    assert read_text(path) == ""


def test_a_letter_on_the_edge_of_two_blocks_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"x" * ((1 << 20) - 1) + "\u00e4".encode())
    assert find_encoding(path) == "utf-8-sig"


@pytest.mark.parametrize(("encoding", "delimiter"), [("cp1252", ";"), ("utf-16", "\t"), ("utf-8-sig", ",")])
def test_names_of_a_list_do_not_become_one(tmp_path: Path, encoding: str, delimiter: str) -> None:
    names = ["Kratzer", "Fl\u00e4che", "Fl\u00fcche"]
    for number in range(3):
        write_picture(tmp_path / f"{number}.png")
    rows = ["path,label", *(f"{number}.png,{name}" for number, name in enumerate(names))]
    (tmp_path / "labels.csv").write_bytes("\r\n".join(rows).replace(",", delimiter).encode(encoding))
    dataset, items, report = read("class_list", tmp_path)
    assert dataset.categories.names == ("Fl\u00e4che", "Fl\u00fcche", "Kratzer")
    assert [item.annotations[0].category for item in items.values()] == names
    assert report.count("file", "warned", GUESSED) == (encoding == "cp1252")


def test_names_beside_folders_lists_and_darknet_are_read_alike(tmp_path: Path) -> None:
    names = "Fl\u00e4che\r\nFl\u00fcche\r\n".encode("cp1252")
    for format, name, text in (
        ("class_folders", "classes.txt", None),
        ("class_list", "classes.txt", ("labels.csv", "path,class_id\n1.png,0\n")),
        ("darknet", "obj.names", ("obj.data", "names = obj.names\ntrain = train.txt\n")),
    ):
        source = tmp_path / format
        write_picture(source / ("Fl\u00fcche/1.png" if format == "class_folders" else "1.png"))
        (source / name).write_bytes(names)
        (source / "train.txt").write_bytes(b"1.png\n") if format == "darknet" else None
        if text is not None:
            (source / text[0]).write_text(text[1])
        dataset, _, report = read(format, source)
        assert dataset.categories.names == ("Fl\u00e4che", "Fl\u00fcche")
        assert report.count("file", "warned", GUESSED) == 1


@pytest.mark.parametrize(("encoding", "guesses"), [("cp1252", 1), ("utf-16", 0)])
def test_names_of_yolo_and_of_masks_do_not_become_one(tmp_path: Path, encoding: str, guesses: int) -> None:
    write_picture(tmp_path / "yolo/images/train/1.png")
    write_text(tmp_path / "yolo/labels/train/1.txt", "1 0.5 0.5 0.2 0.2\n")
    (tmp_path / "yolo/data.yaml").write_bytes("train: images/train\nnames: [Fl\u00e4che, Fl\u00fcche]\n".encode(encoding))
    write_picture(tmp_path / "masks/images/1.png", 4, 2)
    write_mask(tmp_path / "masks/masks/1.png", [[0, 1, 2, 0], [0, 1, 2, 0]])
    (tmp_path / "masks/classes.txt").write_bytes("background\nFl\u00e4che\nFl\u00fcche\n".encode(encoding))
    for format, folder in (("yolo", "yolo"), ("label_masks", "masks")):
        dataset, _, report = read(format, tmp_path / folder)
        assert {"Fl\u00e4che", "Fl\u00fcche"} <= set(dataset.categories.names)
        assert report.count("file", "warned", GUESSED) == guesses
