"""Plans on the disk: found whole and ours or not at all, private, and bounded."""

import logging
import os
import threading
from pathlib import Path

import pytest

from sightline.core.folders import make_private_folder
from sightline.runtime.plan_store import PlanStore, open_plan_folder

PLAN = bytes(range(256)) * 40
FILE_BYTES = len(PLAN) + 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = open_plan_folder(tmp_path / "cache")
    assert found is not None
    return found


def keep_at(store: PlanStore, folder: Path, key: str, used_s: float) -> None:
    assert store.keep(key, PLAN)
    os.utime(folder / f"{key}.plan", (used_s, used_s))


def list_keys(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_a_plan_is_found_as_it_was_kept_until_it_is_dropped(folder: Path) -> None:
    store = PlanStore(folder)
    assert store.find("a") is None
    assert store.keep("a", PLAN)
    assert store.find("a") == PLAN
    assert (folder / "a.plan").stat().st_mode & 0o777 == 0o600
    assert list_keys(folder) == {"a"}  # no temporary file is left
    store.drop("a")
    store.drop("a")
    assert store.find("a") is None


@pytest.mark.parametrize("damage", ["flipped", "cut", "short", "empty"])
def test_a_damaged_plan_is_none(folder: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    store, path = PlanStore(folder), folder / "a.plan"
    store.keep("a", PLAN)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes({"flipped": content, "cut": content[:-1], "short": content[:7], "empty": b""}[damage])
    assert store.find("a") is None
    assert store.find("a") is None
    assert caplog.text.count("is damaged") == 1  # it is gone
    store.keep("a", PLAN)
    assert store.find("a") == PLAN


def test_a_plan_under_another_name_is_none(folder: Path) -> None:
    store = PlanStore(folder)
    store.keep("a", PLAN)
    (folder / "a.plan").rename(folder / "b.plan")
    assert store.find("b") is None


@pytest.mark.parametrize("what", ["writable by others", "a link", "another user's", "a folder"])
def test_what_others_may_have_written_is_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    store, path = PlanStore(folder), folder / "a.plan"
    store.keep("a", PLAN)
    if what == "writable by others":
        path.chmod(0o620)
    elif what == "a link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif what == "a folder":
        path.unlink()
        path.mkdir()
    else:
        user = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert store.find("a") is None


def test_a_plan_on_a_read_only_disk_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError("Read-only file system")

    store = PlanStore(folder)
    store.keep("a", PLAN)
    monkeypatch.setattr(os, "utime", refuse)
    assert store.find("a") == PLAN


def test_those_unused_for_longest_make_room(folder: Path) -> None:
    store = PlanStore(folder, most_bytes=3 * FILE_BYTES)
    for number, key in enumerate("abc"):
        keep_at(store, folder, key, used_s=1000.0 + number)
    assert store.find("a") is not None  # now b is the oldest
    store.keep("d", PLAN)
    assert list_keys(folder) == {"a", "c", "d"}


def test_what_is_no_plan_makes_room_where_it_can_and_hinders_nobody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = PlanStore(folder, most_bytes=2 * FILE_BYTES)
    left = folder / ".x.plan.0123"  # of a process that was killed while it wrote
    left.write_bytes(PLAN)
    (folder / "made by hand").mkdir()
    for path in folder.iterdir():
        os.utime(path, (1000.0, 1000.0))
    with caplog.at_level(logging.INFO, "sightline.runtime"):
        assert store.keep("a", PLAN)
        assert store.keep("b", PLAN)
    assert not left.exists()
    assert caplog.text == ""


def test_a_plan_beyond_the_bound_is_not_kept(folder: Path) -> None:
    store = PlanStore(folder, most_plan_bytes=len(PLAN))
    assert store.keep("a", PLAN)
    assert not store.keep("b", bytes(len(PLAN) + 1))
    assert list_keys(folder) == {"a"}


def test_a_folder_that_was_removed_is_made_again_for_its_owner_alone(folder: Path) -> None:
    store = PlanStore(folder)
    folder.rmdir()
    before = os.umask(0o002)
    try:
        assert store.keep("a", PLAN)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert store.find("a") == PLAN


def test_what_hinders_is_told_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.INFO, "sightline.runtime"):
        assert not PlanStore(tmp_path / "file").keep("a", PLAN)
        assert open_plan_folder(tmp_path / "file") is None
    assert caplog.text.count("compiled plans are not kept") == 2


@pytest.mark.parametrize("which", ["cache", "plans"])
def test_folders_that_others_may_write_to_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture, which: str) -> None:
    folder = open_plan_folder(tmp_path / "cache")
    assert folder == tmp_path / "cache" / "plans"
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    (folder if which == "plans" else folder.parent).chmod(0o770)
    with caplog.at_level(logging.INFO, "sightline.runtime"):
        assert open_plan_folder(tmp_path / "cache") is None
    assert "only you may write to" in caplog.text


def test_whoever_makes_a_folder_of_the_cache_first_makes_it_private(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        make_private_folder(tmp_path / "cache" / "fpga-emulator")
    finally:
        os.umask(before)
    assert open_plan_folder(tmp_path / "cache") is not None


def test_folders_of_another_user_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_plan_folder(tmp_path / "cache") is not None
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert open_plan_folder(tmp_path / "cache") is None


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def expand(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", expand)
    with caplog.at_level(logging.INFO, "sightline.runtime"):
        assert open_plan_folder(Path("~/.cache/sightline")) is None
    assert "home" in caplog.text


def test_one_thread_makes_a_plan_while_others_of_it_wait_and_those_of_another_do_not(tmp_path: Path) -> None:
    first, second = PlanStore(tmp_path), PlanStore(tmp_path)
    entered = threading.Event()

    def enter() -> None:
        with second.hold("a"):
            entered.set()

    other = threading.Thread(target=enter)
    with first.hold("a"):
        other.start()
        with second.hold("b"):  # at once
            pass
        assert not entered.wait(0.1)
    other.join(10)
    assert entered.is_set()
