import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.serving.http.key_files import add_key, remove_key
from sightline.serving.http.keys import Authenticator, create_key, read_key_file


def test_a_new_file_is_for_its_owner_and_lets_the_key_in(tmp_path: Path) -> None:
    path = tmp_path / "below" / "keys.json"
    token, record = create_key("line")
    add_key(path, record)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    assert Authenticator(file=path).authenticate(token).name == "line"
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_stays_theirs(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, create_key("first")[1])
    os.chown(path, 12345, 23456)
    add_key(path, create_key("second")[1])
    remove_key(path, "first")
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (12345, 23456, 0o600)


def test_keys_are_added_behind_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"name": "old", "hash": create_key("old")[1].hash, "weight": 3}]}))
    path.chmod(0o644)
    add_key(path, create_key("new")[1])
    assert [(record.name, record.weight) for record in read_key_file(path)] == [("old", 3.0), ("new", 1.0)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="'new'"):
        add_key(path, create_key("new")[1])


def test_keys_are_removed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for name in ("a", "b"):
        add_key(path, create_key(name)[1])
    remove_key(path, "a")
    with pytest.raises(NotFound, match="there is b"):
        remove_key(path, "a")
    remove_key(path, "b")
    assert read_key_file(path) == ()
    with pytest.raises(NotFound, match="cannot read"):
        remove_key(tmp_path / "absent" / "keys.json", "a")


def test_writers_at_the_same_time_lose_no_key(tmp_path: Path) -> None:
    names = [f"key-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_key(tmp_path / "keys.json", create_key(name)[1]), names))
    assert sorted(record.name for record in read_key_file(tmp_path / "keys.json")) == sorted(names)


def test_files_that_are_not_ours_to_write_stay_as_they_are(tmp_path: Path) -> None:
    for name in ("keys.toml", "keys.json"):
        path = tmp_path / name
        path.write_text("# by hand\n")
        for change in (lambda path=path: add_key(path, create_key("a")[1]), lambda path=path: remove_key(path, "a")):
            with pytest.raises(InvalidInput):
                change()
        assert path.read_text() == "# by hand\n"
