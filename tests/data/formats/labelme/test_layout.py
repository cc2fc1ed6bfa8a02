import base64
import json
from pathlib import Path, PurePosixPath

import pytest
from format_samples import write_picture, write_text

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.labelme.layout import (
    LabelmePictures,
    find_place,
    looks_like_either,
    looks_like_labelme,
    read_labelme,
    read_picture_copy,
)


def write_json(path: Path, **facts: object) -> Path:
    content = {"version": "5.5.0", "flags": {}, "shapes": [], "imagePath": "a.png", "imageData": None, **facts}
    return write_text(path, json.dumps(content, ensure_ascii=False))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"shapes": [], "imagePath": "a.png"}', True),
        ('\ufeff\n{"shapes": [], "lineColor": [0], "imageData": ""}', True),
        ('{"imageData": "' + "A" * 200_000 + '", "shapes": [], "imagePath": "a"}', True),  # as Python 2 wrote it
        ('{"shapes": [{"shape_type": "polygon"}], "imageData": "' + "A" * 200_000, True),
        ('[{"version": 0, "tags": [], "shapes": [{"shape_type": "polygon"}], "tracks": []}]', False),  # CVAT's backup
        ('{"shapes": []}', False),
        ('{"images": [], "annotations": [], "categories": []}', False),
        ("", False),
        ("[" * 100_000, False),
    ],
)
def test_a_json_is_known_by_its_keys(tmp_path: Path, text: str, expected: bool) -> None:
    assert looks_like_labelme(write_text(tmp_path / "a.json", text)) is expected
    assert looks_like_either(tmp_path) is expected


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"shapes": {}}', '{"shapes": null}', "[" * 100_000, "\0\1\2"])
def test_what_is_no_labelme_json_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableDataset, match=r"a\.json") as caught:
        read_labelme(write_text(tmp_path / "a.json", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("encoding", "warned"), [("utf-8", 0), ("utf-8-sig", 0), ("utf-16", 0), ("cp1252", 1)])
def test_a_json_in_an_old_code_page_is_read(tmp_path: Path, encoding: str, warned: int) -> None:
    path = write_json(tmp_path / "a.json", imagePath="Käfer.png")
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert looks_like_labelme(path)
    report = ConversionReport()
    assert read_labelme(path, report).picture_name == "Käfer.png"
    assert report.warned("file") == warned


@pytest.mark.parametrize(
    ("facts", "size", "upright"),
    [
        ({"imageWidth": 20, "imageHeight": 10}, (20, 10), True),
        ({"imageWidth": 20, "imageHeight": 10, "version": "3.16.2"}, (20, 10), False),
        ({"imageWidth": 20, "imageHeight": None, "version": None}, None, False),
        ({"imageWidth": 20.5, "imageHeight": True, "version": "10.1"}, None, True),
        ({"imageWidth": 0, "imageHeight": 10**12, "version": 5}, None, True),
    ],
)
def test_size_and_version_are_taken_as_far_as_they_make_sense(
    tmp_path: Path, facts: dict[str, object], size: tuple[int, int] | None, upright: bool
) -> None:
    labels = read_labelme(write_json(tmp_path / "a.json", **facts))
    assert (labels.size, labels.is_upright) == (size, upright)


@pytest.mark.parametrize("before", ["", "data:image/png;base64,"])
def test_the_copy_of_the_picture_is_decoded(tmp_path: Path, before: str) -> None:
    path = write_json(tmp_path / "a.json", imageData=before + base64.b64encode(b"picture").decode())
    assert read_picture_copy(path) == b"picture"


@pytest.mark.parametrize("data", [None, "", "A", 7, {}, "ä"])
def test_a_copy_that_is_none_is_none(tmp_path: Path, data: object) -> None:
    assert read_picture_copy(write_json(tmp_path / "a.json", imageData=data)) is None


@pytest.mark.parametrize(
    ("json_file", "picture", "name"),
    [
        ("a.json", "a.png", "a.png"),
        ("a.json", "a.JPG", None),
        ("a.json", "a.png", "C:\\data\\a.png"),
        ("a.json", "a.png", "renamed.png"),  # the picture and its JSON were renamed together
        ("a.png.json", "a.png", None),
        ("x.json", "a.png", "a.png"),
        ("x.json", "my a.png", "my%20a.png"),
        ("x.json", "a.png", "http://host/pictures/a.png"),
        ("labels/a.json", "images/a.png", "..\\images\\a.png"),
        ("labels/a.json", "images/a.png", "../elsewhere/a.png"),
        ("labels/a.json", "images/a.png", "/data/set/images/a.png"),
        ("labels/a.json", "images/a.png", None),
        ("labels/train/a.json", "images/train/a.png", "a.png"),
        ("labels/x.json", "cam 1/a.png", "D:\\set\\cam 1\\a.png"),
        ("labels/a.json", "a.png", "../a.png"),
        ("ä.json", "ä.png", "ä.png"),
        ("labels/x.json", "images/sub/ä b.png", "sub/a\u0308%20b.png"),
    ],
)
def test_a_picture_is_found(tmp_path: Path, json_file: str, picture: str, name: str | None) -> None:
    path = write_json(tmp_path / "set" / json_file, imagePath=name)
    write_picture(tmp_path / "set" / "other.png")
    write_picture(tmp_path / "a.png")  # outside
    expected = write_picture(tmp_path / "set" / picture)
    report = ConversionReport()
    assert LabelmePictures(tmp_path / "set", report).find(path, read_labelme(path).picture_name) == expected
    assert report.is_clean


@pytest.mark.parametrize(
    "name", ["../a.png", "../../secret/a.png", "/etc/passwd", "b/../../a.png", "a.png", "", None, "..", "x" * 9000]
)
def test_nothing_outside_and_no_picture_of_another_folder_is_taken(tmp_path: Path, name: str | None) -> None:
    path = write_json(tmp_path / "set/sub/a.json", imagePath=name)
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "secret/a.png")
    write_picture(tmp_path / "set/deep/down/a.png")
    assert LabelmePictures(tmp_path / "set", ConversionReport()).find(path, read_labelme(path).picture_name) is None


def test_a_folder_in_image_path_must_be_there(tmp_path: Path) -> None:
    path = write_json(tmp_path / "x.json")
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "images/a.png")
    assert LabelmePictures(tmp_path, ConversionReport()).find(path, "cam2/a.png") is None
    assert LabelmePictures(tmp_path, ConversionReport()).find(path, "/home/ann/cam2/a.png") == tmp_path / "a.png"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = write_picture(tmp_path / "secret/b.png")
    path = write_json(tmp_path / "set/a.json", imagePath="link/b.png")
    (tmp_path / "set/link").symlink_to(outside.parent)
    assert LabelmePictures(tmp_path / "set", ConversionReport()).find(path, "link/b.png") is None


def test_image_path_left_over_from_a_copied_file_moves_no_labels(tmp_path: Path) -> None:
    finder = LabelmePictures(tmp_path, report := ConversionReport())
    own, other = write_picture(tmp_path / "1.png"), write_picture(tmp_path / "2.png")
    first = write_json(tmp_path / "1.json", imagePath="2.png")
    assert finder.find(first, "2.png") == own
    write_json(tmp_path / "2.json", imagePath="2.png")
    third = write_json(tmp_path / "3.json", imagePath="2.png")
    assert finder.find(third, "2.png") is None
    (tmp_path / "2.json").unlink()
    assert finder.find(third, "2.png") == other
    assert report.warned("image") == 3


def test_of_two_pictures_of_one_name_the_named_one_is_taken(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", imagePath="a.png")
    write_picture(tmp_path / "a.jpg")
    assert LabelmePictures(tmp_path, ConversionReport()).find(path, "a.png") == tmp_path / "a.jpg"
    write_picture(tmp_path / "a.png")
    assert LabelmePictures(tmp_path, ConversionReport()).find(path, "a.png") == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("path", "known", "expected"),
    [
        ("a.png", (), ("a.png", None)),
        ("train/a.png", (), ("a.png", "train")),
        ("valid/x/a.png", (), ("x/a.png", "val")),
        ("night/a.png", (), ("night/a.png", None)),
        ("night/a.png", ("night",), ("a.png", "night")),
        ("dev/a.png", ("dev",), ("a.png", "dev")),
        ("unsplit/a.png", ("unsplit",), ("a.png", None)),
        ("cam/train/a.png", (), ("cam/train/a.png", None)),
    ],
)
def test_topmost_folders_named_like_a_split_are_one(
    path: str, known: tuple[str, ...], expected: tuple[str, str | None]
) -> None:
    assert find_place(PurePosixPath(path), known) == expected
