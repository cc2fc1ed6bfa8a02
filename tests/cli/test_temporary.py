import os
import tempfile
from pathlib import Path

import pytest

from sightline.cli.temporary import PREFIX, lock_folder, temporary_place


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /tmp."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_temporary_files_lie_in_a_place_that_goes_at_the_end(root: Path) -> None:
    with temporary_place():
        left = Path(tempfile.mkdtemp(prefix="sightline-compile-"))
        assert left.parent.parent == root and left.parent.name.startswith(PREFIX)
    assert list(root.iterdir()) == [] and tempfile.gettempdir() == str(root)
    with pytest.raises(KeyboardInterrupt), temporary_place():
        raise KeyboardInterrupt
    assert list(root.iterdir()) == []


def test_what_a_killed_run_left_goes_and_what_a_running_one_has_stays(root: Path) -> None:
    killed, running, others = root / f"{PREFIX}killed", root / f"{PREFIX}running", root / "sightline-else"
    for folder in (killed, running, others):
        folder.mkdir()
        (folder / "model.onnx").touch()
    lock = lock_folder(running)
    assert lock is not None
    with temporary_place():
        assert not killed.exists() and (running / "model.onnx").exists() and (others / "model.onnx").exists()
    os.close(lock)
    with temporary_place():
        assert not running.exists()


def test_what_is_no_folder_of_ours_is_left_alone(root: Path) -> None:
    (root / "kept").mkdir()
    (root / "kept" / "file").touch()
    (root / f"{PREFIX}link").symlink_to(root / "kept")
    (root / f"{PREFIX}file").touch()
    with temporary_place():
        pass
    assert (root / f"{PREFIX}link" / "file").exists() and (root / f"{PREFIX}file").exists()


def test_without_a_place_to_make_one_the_run_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(root / "absent"))
    with temporary_place():
        assert tempfile.gettempdir() == str(root / "absent")
