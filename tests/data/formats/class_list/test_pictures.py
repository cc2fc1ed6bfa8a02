from pathlib import Path

import pytest
from format_samples import read, write_picture, write_text

from sightline.data.formats.class_list.pictures import ELSEWHERE, PictureFinder


def find_all(root: Path, *names: str) -> list[str | None]:
    finder = PictureFinder(root, root, names=lambda: names)
    found = [finder.find(name) for name in names]
    return [None if path is None else path.relative_to(root).as_posix() for path in found]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cam2/1.png", "cam2/2.png", "cam1/3.png", "4.png"):
        write_picture(tmp_path / name)
    return tmp_path


def test_a_missing_picture_is_no_other_of_its_name(root: Path) -> None:
    assert find_all(root, "cam1/1.png", "cam2/1.png", "cam1/4.png") == [None, "cam2/1.png", None]
    assert find_all(root, "cam1/1.png", "cam1/2.png", "cam1/4.png") == [None, None, None]  # cam1 is there
    assert find_all(root, "1.png", "9.png") == ["cam2/1.png", None]  # without a folder, anywhere


@pytest.mark.parametrize("lead", ["set/", "./set/", "/home/ann/set/", "C:\\data\\set\\", "../set/"])
def test_what_all_names_begin_with_may_be_left_out(root: Path, lead: str) -> None:
    names = [lead + name for name in ("cam2/1.png", "cam1/3.png", "4.png", "cam1/1.png", "1.png")]
    assert find_all(root, *names) == ["cam2/1.png", "cam1/3.png", "4.png", None, None]
    assert find_all(root, lead + "1.png", lead + "4.png") == ["cam2/1.png", "4.png"]


def test_folders_may_lie_deeper_than_the_list_says(root: Path) -> None:
    write_picture(root / "data/deep/cam5/5.png")
    assert find_all(root, "set/cam5/5.png", "set/cam6/5.png") == ["data/deep/cam5/5.png", None]


def test_a_picture_of_another_split_is_not_taken(tmp_path: Path) -> None:
    write_picture(tmp_path / "test/1.png")
    assert find_all(tmp_path, "train/1.png", "train/2.png") == [None, None]


def test_labels_stay_with_their_pictures(root: Path) -> None:
    write_text(root / "labels.csv", "path,label\ncam1/1.png,good\ncam2/2.png,scratch\ncam1/3.png,good\n")
    _, items, report = read("class_list", root)
    assert {name: item.annotations[0].category for name, item in items.items()} == {
        "cam2/2.png": "scratch",
        "cam1/3.png": "good",
    }
    assert report.count("image", "dropped", "picture is missing") == 1


def test_pictures_that_lie_elsewhere_than_the_list_says_are_told(root: Path) -> None:
    write_text(root / "labels.csv", "path,label\nphotos/2.png,good\nphotos/3.png,bad\n")
    _, items, report = read("class_list", root)
    assert items.keys() == {"cam2/2.png", "cam1/3.png"}
    assert [finding.examples for finding in report.findings() if finding.reason == ELSEWHERE] == [
        ["photos/2.png -> cam2/2.png", "photos/3.png -> cam1/3.png"]
    ]
    write_picture(root / "cam1/2.png")
    _, items, report = read("class_list", root)
    assert items.keys() == {"cam1/3.png"}
    assert report.count("image", "dropped", "several pictures have the name a list gives") == 1
    write_text(root / "labels.csv", "path,label\nset/cam2/2.png,good\nset/cam1/3.png,bad\n")
    _, items, report = read("class_list", root)
    assert report.count("image", "warned", ELSEWHERE) == 0 and len(items) == 2  # only the dataset's own folder is left out


def test_a_name_without_a_suffix_is_the_picture_of_that_stem(tmp_path: Path) -> None:
    """Kaggle's lists name pictures by an id."""
    write_picture(tmp_path / "train/ab12.jpg")
    write_picture(tmp_path / "train/cd34.PNG")
    write_text(tmp_path / "labels.csv", "id,breed\nab12,pug\ncd34,boxer\nef56,pug\n")
    _, items, report = read("class_list", tmp_path)
    assert items.keys() == {"train/ab12.jpg", "train/cd34.PNG"}
    assert report.count("image", "dropped", "picture is missing") == 1
