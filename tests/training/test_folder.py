import shutil
from pathlib import Path

import pytest

from sightline.core.errors import Conflict
from sightline.training.folder import lock_training


def test_two_runs_do_not_meet_in_a_folder_and_an_empty_one_goes(tmp_path: Path) -> None:
    for _ in range(2):
        with lock_training(tmp_path / "a"):
            with pytest.raises(Conflict, match="another run trains in"), lock_training(tmp_path / "a"):
                pass
            with lock_training(tmp_path / "b"):
                pass
        assert list(tmp_path.iterdir()) == []


def test_what_was_put_there_stays_when_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_training(tmp_path / "a"):
        (tmp_path / "a" / "checkpoint").touch()
        raise ZeroDivisionError
    assert (tmp_path / "a" / "checkpoint").exists()


def test_a_run_that_takes_its_folder_away_leaves_the_next_one_s_alone(tmp_path: Path) -> None:
    with lock_training(tmp_path / "a"):
        shutil.rmtree(tmp_path / "a")
        next_run = lock_training(tmp_path / "a")
        next_run.__enter__()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".lock"]
    next_run.__exit__(None, None, None)
