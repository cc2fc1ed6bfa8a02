"""One run at a time in a folder, though other runs end and take the folder away."""

from pathlib import Path

import pytest

from sightline.core.errors import Conflict
from sightline.core.folder_lock import LOCK_NAME, lock_folder


def test_a_second_run_is_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "run", "busy"), pytest.raises(Conflict, match="busy"), lock_folder(tmp_path / "run", "busy"):
        pass
    assert not (tmp_path / "run").exists()
    with lock_folder(tmp_path / "run", "busy"):
        (tmp_path / "run" / "made").touch()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [LOCK_NAME, "made"]


def test_a_folder_that_another_run_takes_away_at_once_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    mkdir = Path.mkdir

    def take_away(folder: Path, *arguments: object, **more: object) -> None:
        mkdir(folder, *arguments, **more)  # type: ignore[arg-type]
        made.append(folder)
        if len(made) == 1:
            folder.rmdir()

    monkeypatch.setattr(Path, "mkdir", take_away)
    with lock_folder(tmp_path / "run", "busy"):
        assert (tmp_path / "run" / LOCK_NAME).exists()
    assert len(made) == 2
