"""Room in a cache: the longest unused goes first, files as well as folders, and nothing that hinders stops it."""

import os
import shutil
from pathlib import Path

from sightline.runtime.cache_room import make_room, measure_bytes


def make_entry(path: Path, used_s: float, size_bytes: int = 100_000) -> Path:
    inside = path / "project" / "weights.txt"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(bytes(size_bytes))
    os.utime(path, (used_s, used_s))
    return path


def test_a_folder_counts_with_all_that_is_in_it(tmp_path: Path) -> None:
    entry = make_entry(tmp_path / "one", 1.0)
    folders = entry.lstat().st_size + (entry / "project").lstat().st_size
    assert measure_bytes(entry) == 100_000 + folders
    assert measure_bytes(entry / "project" / "weights.txt") == 100_000


def test_the_longest_unused_folders_go_until_the_rest_fits(tmp_path: Path) -> None:
    for number, name in enumerate(("c", "a", "b")):
        make_entry(tmp_path / name, 1000.0 + number)
    make_room(tmp_path.iterdir(), 350_000, shutil.rmtree)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}
    make_room(tmp_path.iterdir(), 250_000, shutil.rmtree)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_what_cannot_be_removed_leaves_it_to_the_next(tmp_path: Path) -> None:
    make_entry(tmp_path / "folder", 1000.0)  # which is not unlinked
    for number in range(2):
        (tmp_path / f"file{number}").write_bytes(bytes(100_000))
        os.utime(tmp_path / f"file{number}", (2000.0 + number,) * 2)
    make_room(tmp_path.iterdir(), 250_000)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file1"}


def test_no_folder_needs_no_room(tmp_path: Path) -> None:
    make_room((tmp_path / "none").iterdir(), 0)
