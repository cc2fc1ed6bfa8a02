import multiprocessing
import os
from pathlib import Path

import pytest

from sightline.core.temporary import lock_folder, temporary_folder

PREFIX = ".upload-"


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path, PREFIX) as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        assert folder.parent == tmp_path and folder.name.startswith(PREFIX)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    def die(folder: Path) -> None:
        with temporary_folder(folder, PREFIX) as made:
            (made / "half").touch()
            os._exit(9)

    with temporary_folder(tmp_path, PREFIX) as living:
        killed = multiprocessing.get_context("fork").Process(target=die, args=(tmp_path,))
        killed.start()
        killed.join()
        assert len(list(tmp_path.iterdir())) == 2
        with temporary_folder(tmp_path, PREFIX) as later:
            assert set(tmp_path.iterdir()) == {living, later}


def test_a_folder_is_locked_once(tmp_path: Path) -> None:
    lock = lock_folder(tmp_path)
    assert lock is not None and lock_folder(tmp_path) is None
    os.close(lock)
