from pathlib import Path

import pytest
from format_samples import make_version, write_picture, write_text

from sightline.core.errors import InvalidInput
from sightline.data.conversion import ConversionReport
from sightline.data.formats.class_list.pictures import PictureFinder
from sightline.data.formats.picture_files import (
    FileNamer,
    check_inside,
    find_by_stem,
    find_split,
    make_unique_names,
    names_the_same,
    read_picture_size,
    resolve_inside,
    walk_files,
)


def test_a_walk_is_steady_and_passes_junk_by(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a.txt", ".hidden/x.png", "b/Thumbs.db", "__MACOSX/1.png"):
        write_text(tmp_path / name, "")
    assert [path.relative_to(tmp_path).as_posix() for path in walk_files(tmp_path)] == ["a.txt", "b/1.png", "b/2.png"]


def test_a_picture_is_found_by_its_stem_in_its_own_folder(tmp_path: Path) -> None:
    assert find_by_stem(tmp_path / "nowhere", "a") is None
    for name in ("a.txt", "below/a.png", "a.PNG"):
        write_text(tmp_path / name, "")
    assert find_by_stem(tmp_path, "a") == tmp_path / "a.PNG"
    assert find_by_stem(tmp_path, "below") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.png", True), ("C:\\x\\A.JPG", True), ("x/a", True), ("a.png.png", False), ("b.png", False), ("a/b.png", False)],
)
def test_names_are_the_same_but_for_folders_suffix_and_case(name: str, expected: bool) -> None:
    assert names_the_same("train/a", name) is expected


def test_paths_of_other_machines_are_found_below_the_root_and_nothing_outside(tmp_path: Path) -> None:
    inside = write_text(tmp_path / "set/images/train/a.png", "")
    write_text(tmp_path / "secret.png", "")
    root = tmp_path / "set"
    for name in (
        "images/train/a.png",
        "/home/ann/set/images/train/a.png",
        "..\\images\\train\\a.png",
        "./images/./train/a.png",
    ):
        assert resolve_inside(root, name) == inside
    for name in ("../secret.png", f"{tmp_path}/secret.png", "images/../../secret.png", "secret.png", "gone.png"):
        assert resolve_inside(root, name) is None
    (root / "way_out").symlink_to(tmp_path)
    assert resolve_inside(root, "way_out/secret.png") is None
    assert resolve_inside(root, ".") == root


def test_a_name_is_found_however_its_accents_are_composed(tmp_path: Path) -> None:
    composed, decomposed = "gr\u00fcn.png", "gru\u0308n.png"
    for written, wanted in ((composed, decomposed), (decomposed, composed)):
        path = write_text(tmp_path / written / "set" / written, "")
        assert resolve_inside(path.parent, wanted) == path
        assert PictureFinder(path.parent, path.parent).find(wanted) == path
    assert resolve_inside(tmp_path, "grun.png") is None


def test_names_that_leave_their_folder_are_refused() -> None:
    for name in ("../a.png", "/a.png", "a/../../b.png", ""):
        with pytest.raises(InvalidInput):
            check_inside(name)
    assert check_inside("a/b.png").as_posix() == "a/b.png"


def test_category_names_become_unique_and_changes_are_told() -> None:
    report = ConversionReport()
    assert make_unique_names(["a", "b", "a", "", "a (2)"], report) == ["a", "b", "a (2)", "class_3", "a (2) (2)"]
    assert report.changed("category") == 3
    assert make_unique_names([], report) == []


def test_split_names() -> None:
    assert [find_split(name) for name in ("valid", "TRAIN", "testing", "images")] == ["val", "train", "test", None]


def test_sizes_come_upright_and_failures_are_told(tmp_path: Path) -> None:
    report = ConversionReport()
    assert read_picture_size(write_picture(tmp_path / "a.png", 20, 10), report, "a") == (20, 10)
    assert read_picture_size(tmp_path / "gone.png", report, "gone") is None
    assert read_picture_size(write_text(tmp_path / "text.png", "no"), report, "text") is None
    assert report.dropped("image") == 2


def test_files_without_a_pictures_suffix_get_one(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("frame_1", None, []), ("a.png", None, [])], [])
    report = ConversionReport()
    namer = FileNamer(version, report)
    assert [namer.place("x", item).as_posix() for item in version.items()] == ["x/frame_1.png", "x/a.png"]
    assert report.changed("file") == 1


def test_names_that_a_line_of_a_list_cannot_hold_are_changed_and_told(tmp_path: Path) -> None:
    names = ["two\nlines.png", " b.png", "c ü's, 1.png"]
    version = make_version(tmp_path, [(name, None, []) for name in names], ["cat"])
    report = ConversionReport()
    namer = FileNamer(version, report)
    assert [str(namer.place("x", item)) for item in version.items()] == ["x/two_lines.png", "x/b.png", "x/c ü's, 1.png"]
    assert report.changed("file") == 2
