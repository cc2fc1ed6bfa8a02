"""Plans on the disk: found whole or not at all, private, and bounded."""

import logging
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from sightline.runtime.plan_store import PlanStore, open_plan_folder

PLAN = memoryview(bytes(range(256)) * 40)


def keep_at(store: PlanStore, folder: Path, key: str, used_s: float) -> None:
    store.keep(key, PLAN)
    os.utime(folder / f"{key}.plan", (used_s, used_s))


def list_keys(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_a_plan_is_found_as_it_was_kept(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    assert store.find("a") is None
    store.keep("a", PLAN)
    found = store.find("a")
    assert found is not None
    assert found.content.dtype == np.uint8
    assert found.content.tobytes() == PLAN.tobytes()
    found.leave_memory()
    assert found.content.tobytes() == PLAN.tobytes()
    assert (tmp_path / "a.plan").stat().st_mode & 0o777 == 0o600
    assert list_keys(tmp_path) == {"a"}  # no temporary file is left


def test_what_was_found_stays_when_the_plan_is_replaced_or_removed(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    store.keep("a", PLAN)
    found = store.find("a")
    assert found is not None
    store.keep("a", memoryview(bytes(len(PLAN))))
    (tmp_path / "a.plan").unlink()
    found.leave_memory()
    assert found.content.tobytes() == PLAN.tobytes()


@pytest.mark.parametrize("damage", ["flipped", "cut", "short", "empty"])
def test_a_damaged_plan_is_none(tmp_path: Path, damage: str) -> None:
    store, path = PlanStore(tmp_path), tmp_path / "a.plan"
    store.keep("a", PLAN)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes({"flipped": content, "cut": content[:-1], "short": content[:7], "empty": b""}[damage])
    assert store.find("a") is None
    store.keep("a", PLAN)
    assert store.find("a") is not None


def test_those_unused_for_longest_make_room(tmp_path: Path) -> None:
    store = PlanStore(tmp_path, most_bytes=3 * (len(PLAN) + 32))
    for number, key in enumerate("abc"):
        keep_at(store, tmp_path, key, used_s=1000.0 + number)
    assert store.find("a") is not None  # now b is the oldest
    store.keep("d", PLAN)
    assert list_keys(tmp_path) == {"a", "c", "d"}


def test_a_half_written_plan_of_a_killed_process_makes_room_too(tmp_path: Path) -> None:
    store = PlanStore(tmp_path, most_bytes=2 * (len(PLAN) + 32))
    left = tmp_path / ".x.plan.0123"
    left.write_bytes(PLAN)
    os.utime(left, (1000.0, 1000.0))
    store.keep("a", PLAN)
    store.keep("b", PLAN)
    assert list_keys(tmp_path) == {"a", "b"}


def test_a_plan_beyond_the_bound_is_not_kept_and_drives_out_no_other(tmp_path: Path) -> None:
    store = PlanStore(tmp_path, most_bytes=len(PLAN) + 32)
    store.keep("a", PLAN)
    store.keep("b", memoryview(bytes(2 * len(PLAN))))
    assert list_keys(tmp_path) == {"a"}


def test_a_folder_that_cannot_be_written_to_is_told_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.INFO, "sightline.runtime"):
        PlanStore(tmp_path / "file").keep("a", PLAN)
    assert "a compiled plan is not kept" in caplog.text


def test_the_folder_is_its_owners_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = open_plan_folder(tmp_path / "cache")
    assert folder == tmp_path / "cache" / "plans"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with caplog.at_level(logging.INFO, "sightline.runtime"):
        assert open_plan_folder(tmp_path / "cache") is None
    assert "only you may write to" in caplog.text


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
