"""The reader of LMDB files against the library that writes them, and against files that were damaged."""

from pathlib import Path

import lmdb
import numpy as np
import pytest

from sightline.core.errors import UnreadableDataset
from sightline.data.formats.lmdb.pages import LmdbFile, is_lmdb_file
from sightline.data.formats.lmdb.writing import LmdbWriter

SIZES = (0, 5, 100, 1500, 2000, 4080, 5000, 20_000)  # of values: inside pages, and on pages of their own


def write(folder: Path, count: int, seed: int = 0) -> dict[bytes, bytes]:
    """A database written in several transactions, with entries changed and deleted, and what it holds."""
    rng = np.random.default_rng(seed)
    held: dict[bytes, bytes] = {}
    with lmdb.open(str(folder), map_size=1 << 28, lock=False) as environment:
        for _ in range(3):
            with environment.begin(write=True) as transaction:
                for _ in range(count // 3):
                    key = f"{rng.integers(10**6):08d}_{'x' * rng.integers(60)}".encode()
                    held[key] = rng.bytes(int(rng.choice(SIZES)))
                    transaction.put(key, held[key])
        with environment.begin(write=True) as transaction:
            for key in list(held)[::7]:
                transaction.delete(key)
                del held[key]
    return held


def read(path: Path) -> list[tuple[bytes, bytes]]:
    with LmdbFile(path) as file:
        return list(file.pairs())


@pytest.mark.parametrize("count", [0, 3, 1500])
def test_every_pair_is_read_in_the_order_of_the_keys(tmp_path: Path, count: int) -> None:
    held = write(tmp_path, count)
    with LmdbFile(tmp_path / "data.mdb") as file:
        assert file.entries == len(held)
        assert list(file.pairs()) == sorted(held.items())
    assert is_lmdb_file(tmp_path / "data.mdb")


def test_a_cut_file_is_refused_in_one_line(tmp_path: Path) -> None:
    held = write(tmp_path, 60)
    content = (tmp_path / "data.mdb").read_bytes()
    for size in range(0, len(content), 4096 + 7):
        (tmp_path / "cut.mdb").write_bytes(content[:size])
        try:
            assert read(tmp_path / "cut.mdb") == sorted(held.items())  # only free pages were cut
        except UnreadableDataset as error:
            assert "\n" not in str(error)
    (tmp_path / "cut.mdb").write_bytes(content[:9000])
    with pytest.raises(UnreadableDataset, match="it was cut"):
        read(tmp_path / "cut.mdb")


def test_flipped_bytes_are_refused_or_give_other_values_and_never_end_the_process(tmp_path: Path) -> None:
    held = write(tmp_path, 300)
    content = bytearray((tmp_path / "data.mdb").read_bytes())
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        heads = rng.integers(0, len(content) // 4096, 3) * 4096  # the heads of pages, where all numbers lie
        for place in (*(heads + rng.integers(0, 64, 3)), *rng.integers(0, len(content), 5)):
            damaged[place] = rng.integers(256)
        (tmp_path / "damaged.mdb").write_bytes(damaged)
        try:
            assert sum(len(value) for _, value in read(tmp_path / "damaged.mdb")) <= len(content)
        except UnreadableDataset as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 30
    assert read(tmp_path / "data.mdb") == sorted(held.items())


def test_a_tree_that_leads_back_into_itself_ends(tmp_path: Path) -> None:
    write(tmp_path, 1500)
    content = bytearray((tmp_path / "data.mdb").read_bytes())
    branches = [page for page in range(len(content) // 4096) if content[page * 4096 + 10] & 1]
    for page in branches:
        lower = int.from_bytes(content[page * 4096 + 12 : page * 4096 + 14], "little")
        for index in range(16, lower, 2):  # every child of every branch becomes the first branch
            node = page * 4096 + int.from_bytes(content[page * 4096 + index : page * 4096 + index + 2], "little")
            content[node : node + 4] = branches[0].to_bytes(4, "little")
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(UnreadableDataset, match=r"leads back into itself|says it is page"):
        read(tmp_path / "data.mdb")


def test_several_values_a_key_and_other_files_are_refused(tmp_path: Path) -> None:
    with (
        lmdb.open(str(tmp_path / "many"), max_dbs=2, lock=False) as environment,
        environment.begin(write=True, db=environment.open_db(b"inner")) as transaction,
    ):
        transaction.put(b"a", b"b")
    with pytest.raises(UnreadableDataset, match="named databases"):
        read(tmp_path / "many" / "data.mdb")
    for content in (b"", b"text", bytes(10_000)):
        (tmp_path / "other.mdb").write_bytes(content)
        assert not is_lmdb_file(tmp_path / "other.mdb")
        with pytest.raises(UnreadableDataset):
            read(tmp_path / "other.mdb")
    assert not is_lmdb_file(tmp_path) and not is_lmdb_file(tmp_path / "absent")


def test_the_writer_outgrows_its_first_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.data.formats.lmdb.writing.FIRST_SIZE_BYTES", 1 << 16)
    values = [bytes([index]) * 30_000 for index in range(40)]
    with LmdbWriter(tmp_path / "new") as writer:
        for index, value in enumerate(values):
            writer.put(f"{index:08d}".encode(), value)
    with lmdb.open(str(tmp_path / "new"), readonly=True, lock=False) as environment, environment.begin() as transaction:
        assert [value for _, value in transaction.cursor()] == values
