from pathlib import Path

import pytest
from format_samples import write_picture

from sightline.data.conversion import ConversionReport
from sightline.data.formats.listed_pictures import ListedPictures, remove_machine_folders, warn_unlisted


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cam/1.png", "images/cam/1.png"),
        ("2.png", "2.png"),
        (r"C:\set\images\cam\1.png", "images/cam/1.png"),
        ("/home/ann/images/cam/1.png", "images/cam/1.png"),
        ("../../cam/1.png", "images/cam/1.png"),
        ("other/1.png", None),  # a plain name is no other picture's
        ("/" + "x" * 300 + "/cam/1.png", None),
        ("a\0b.png", None),
    ],
)
def test_a_name_of_any_machine_is_found_below_the_folders(tmp_path: Path, name: str, found: str | None) -> None:
    for place in ("set/images/cam/1.png", "set/2.png", "outside/3.png"):
        write_picture(tmp_path / place)
    finder = ListedPictures([tmp_path / "set/images", tmp_path / "set/none", tmp_path / "set"])
    path = finder.find(name)
    assert (None if path is None else path.relative_to(tmp_path / "set").as_posix()) == found


def test_the_folder_with_the_most_of_the_names_counts_and_the_likeliest_of_equals(tmp_path: Path) -> None:
    for place in ("train/1.png", "train/2.png", "1.png", "train/train/1.png"):
        write_picture(tmp_path / place)
    folders = [tmp_path / "train", tmp_path]
    for names, where in ((("1.png", "train/1.png"), "train"), (("1.png", "train/2.png"), "."), (("1.png", "2.png"), "train")):
        finder = ListedPictures(folders)
        finder.prefer_fullest(names)
        assert finder.find("2.png") == tmp_path / "train/2.png"  # lies in one of them only, and changes no later answer
        assert finder.find("1.png") == tmp_path / where / "1.png"


def test_a_name_never_leads_out_of_the_folders(tmp_path: Path) -> None:
    write_picture(tmp_path / "outside/3.png")
    (tmp_path / "set").mkdir()
    finder = ListedPictures([tmp_path / "set"])
    assert finder.find("../outside/3.png") is None
    assert finder.find(str(tmp_path / "outside/3.png")) is None


def test_machine_folders_are_left_out_of_a_name() -> None:
    assert remove_machine_folders(r"C:\set\..\cam\1.png") == "set/cam/1.png"
    assert remove_machine_folders("/../") == "image"


def test_pictures_that_are_not_listed_are_told_once(tmp_path: Path) -> None:
    listed, other = (write_picture(tmp_path / "images" / name) for name in ("1.png", "sub/2.png"))
    report = ConversionReport()
    warn_unlisted({tmp_path / "images", tmp_path / "images/sub"}, {hash(listed)}, tmp_path, report)
    assert report.warned("image") == 1
    assert other.relative_to(tmp_path).as_posix() in "".join(report.lines())
