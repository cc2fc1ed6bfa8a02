"""Blocks of bytes come back from the file as they went."""

import fcntl
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from sightline.training.swapping import spill_file
from sightline.training.swapping.spill_file import SpillFile


@pytest.mark.parametrize("has_cache", [False, True])
def test_blocks_of_any_size_come_back(has_cache: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_file, "CHUNK_BYTES", 64 << 10)
    if has_cache:  # file systems that cannot be read past it
        monkeypatch.delattr(os, "O_DIRECT")
    rng, file = np.random.default_rng(0), SpillFile(tmp_path)
    blocks = [rng.integers(0, 256, size, dtype=np.uint8) for size in (1, 4096, 65536, 65537, 300_001)]
    extents = [file.write(memoryview(block)) for block in blocks]
    for block, extent in zip(blocks, extents, strict=True):
        assert file.read(extent).tobytes() == block.tobytes()
    assert list(tmp_path.iterdir()) == []
    file.close()


def test_a_file_system_that_takes_the_flag_and_refuses_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite

    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse)
    file = SpillFile(tmp_path)
    extent = file.write(memoryview(np.full(10_000, 7, np.uint8)))
    assert set(file.read(extent).tolist()) == {7}
    file.close()


def test_a_kernel_without_huge_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999, raising=False)  # which it refuses as it does what it was built without
    file = SpillFile(tmp_path)
    extent = file.write(memoryview(np.full(10_000, 7, np.uint8)))
    assert set(file.read(extent).tolist()) == {7}
    file.close()


def test_a_place_that_is_forgotten_is_used_again(tmp_path: Path) -> None:
    file = SpillFile(tmp_path)
    for value in range(5):
        extent = file.write(memoryview(np.full(10_000, value, np.uint8)))
        assert set(file.read(extent).tolist()) == {value}
        file.free(extent)
    assert file.size_bytes == 12_288
    file.close()


def test_what_could_not_be_written_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SpillFile(tmp_path)

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(OSError, match="No space left"):
            file.write(memoryview(np.ones(10_000, np.uint8)))
    assert file.write(memoryview(np.ones(10_000, np.uint8))).offset == 0
    file.close()


def test_memory_is_used_again_only_when_nobody_has_it_any_more(tmp_path: Path) -> None:
    file = SpillFile(tmp_path)
    extents = [file.write(memoryview(np.full(10_000, value, np.uint8))) for value in range(3)]
    first, second = file.read(extents[0]), file.read(extents[1])
    assert first.ctypes.data != second.ctypes.data
    address = first.ctypes.data
    del first
    third = file.read(extents[2])
    assert third.ctypes.data == address and set(third.tolist()) == {2} and set(second.tolist()) == {1}
    del third
    file.drop_spare()
    assert not file._spare
    file.close()
