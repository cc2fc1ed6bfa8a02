from pathlib import Path

import pytest
from sweep_fakes import make_pictures

from sightline.bench.load.pictures import read_pictures, read_some
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.workspace import Workspace


def test_a_folder_a_file_and_a_version_give_their_encoded_pictures(tmp_path: Path) -> None:
    home = Workspace(tmp_path / "workspace")
    (tmp_path / "set" / "below").mkdir(parents=True)
    files = {"a.jpg": b"aaaa", "below/b.png": b"bb", "notes.txt": b"no picture"}
    for name, content in files.items():
        (tmp_path / "set" / name).write_bytes(content)
    pictures, facts = read_pictures(str(tmp_path / "set"), home, None, seed=0)
    assert sorted(pictures) == [b"aaaa", b"bb"]
    assert (facts.source, facts.version, facts.pictures, facts.available) == ("set", None, 2, 2)
    assert (facts.mean_bytes, facts.largest_bytes) == (3, 4)
    assert read_pictures(str(tmp_path / "set" / "a.jpg"), home, None, seed=0)[0] == [b"aaaa"]

    version = make_pictures(tmp_path / "data", [("test", "red", "red"), ("train", "blue", "blue")])
    pictures, facts = read_pictures(str(version.folder), home, "test", seed=0)
    (item,) = version.items("test")
    assert pictures == [version.blobs.read(item.blob)]
    assert (facts.version, facts.split, facts.available) == (version.id, "test", 1)


def test_the_order_is_the_seed_s_and_a_large_set_is_sent_in_part() -> None:
    readers = [lambda number=number: b"%04d" % number for number in range(100)]
    first, again, other = (read_some(readers, seed, 1000) for seed in (1, 1, 2))
    assert first == again != other and sorted(first) == sorted(other) == [reader() for reader in readers]
    assert read_some(readers, 1, 40) == first[:10]
    assert len(read_some(readers, 1, 1)) == 1


def test_what_holds_no_picture_is_refused(tmp_path: Path) -> None:
    home = Workspace(tmp_path / "workspace")
    with pytest.raises(NotFound, match="a folder of pictures may be given"):
        read_pictures(str(tmp_path / "absent"), home, None, seed=0)
    with pytest.raises(InvalidInput, match="at least one picture"):
        read_pictures(str(tmp_path), home, None, seed=0)
    with pytest.raises(InvalidInput, match="`split`"):
        read_pictures(str(tmp_path), home, "test", seed=0)
