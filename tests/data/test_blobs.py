"""Blobs: the name is the hash, nothing half-written, verified when read."""

import hashlib
import os
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from sightline.core.errors import CorruptFile, InvalidInput, NotFound
from sightline.data.blobs import BlobQueue, BlobStore, _TemporaryBlob


def test_a_blob_lies_under_the_hash_of_its_bytes(tmp_path):
    store = BlobStore(tmp_path / "blobs")
    sha256 = store.put_bytes(b"picture")
    assert sha256 == hashlib.sha256(b"picture").hexdigest()
    assert (tmp_path / "blobs" / "sha256" / sha256[:2] / sha256).read_bytes() == b"picture"
    assert store.read(sha256) == b"picture"
    assert store.has(sha256)


def test_the_empty_blob_is_a_blob(tmp_path):
    store = BlobStore(tmp_path)
    assert store.read(store.put_bytes(b"")) == b""


def test_the_same_bytes_are_written_once(tmp_path):
    store = BlobStore(tmp_path)
    sha256 = store.put_bytes(b"x")
    path = tmp_path / "sha256" / sha256[:2] / sha256
    before = path.stat().st_ino
    source = tmp_path / "x.bin"
    source.write_bytes(b"x")
    assert store.put_file(source) == sha256
    assert path.stat().st_ino == before
    assert [p.name for p in (tmp_path / "sha256").rglob("*") if p.is_file()] == [sha256]


def test_a_file_larger_than_a_chunk_is_stored_whole(tmp_path):
    content = bytes(range(256)) * 12_345
    (tmp_path / "big").write_bytes(content)
    store = BlobStore(tmp_path / "blobs")
    assert store.read(store.put_file(tmp_path / "big")) == content


def test_changed_bytes_are_found_when_read(tmp_path):
    store = BlobStore(tmp_path)
    sha256 = store.put_bytes(b"good")
    path = tmp_path / "sha256" / sha256[:2] / sha256
    path.chmod(0o644)
    path.write_bytes(b"evil")
    with pytest.raises(CorruptFile, match=rf"{path} does not match its hash"):
        store.read(sha256)
    with pytest.raises(CorruptFile, match=rf"{path} does not match its hash"):
        store.copy_to(sha256, tmp_path / "out" / "copy")
    assert not (tmp_path / "out" / "copy").exists()
    assert store.read(sha256, verify=False) == b"evil"


def test_a_missing_blob_is_not_found(tmp_path):
    store = BlobStore(tmp_path)
    with pytest.raises(NotFound, match="is not in"):
        store.read("0" * 64)
    with pytest.raises(NotFound, match="is not in"):
        store.copy_to("0" * 64, tmp_path / "copy")


@pytest.mark.parametrize("name", ["", "abc", "../../../etc/passwd", "G" * 64, "A" * 64])
def test_what_is_no_hash_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match="64 lower-case hex digits"):
        BlobStore(tmp_path).has(name)


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    store = BlobStore(tmp_path)

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        store.put_bytes(b"picture")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_store_that_is_no_local_folder_works_the_same(tmp_path):
    store = BlobStore("memory://test-blobs")
    sha256 = store.put_bytes(b"picture")
    (tmp_path / "file").write_bytes(b"other")
    other = store.put_file(tmp_path / "file")
    assert store.read(sha256) == b"picture"
    assert store.read(other) == b"other"
    assert not store.has("0" * 64)
    store.copy_to(sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"picture"
    with pytest.raises(NotFound):
        store.read("0" * 64)


class BoundToItsProcess(MemoryFileSystem):
    """As remote ones are, whose connections belong to a thread that a fork leaves behind."""

    protocol = "bound"

    def __init__(self, **settings):
        super().__init__(**settings)
        self.process = os.getpid()

    def cat_file(self, path, **settings):
        if self.process != os.getpid():
            raise RuntimeError("This class is not fork-safe")
        return super().cat_file(path, **settings)


def test_a_forked_process_opens_its_own_connection():
    fsspec.register_implementation("bound", BoundToItsProcess, clobber=True)
    store = BlobStore("bound://blobs")
    sha256 = store.put_bytes(b"picture")
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if store.read(sha256) == b"picture" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_queue_has_stored_all_when_it_is_left(tmp_path):
    store = BlobStore(tmp_path)
    contents = [bytes([n]) * (n + 1) for n in range(200)]
    with BlobQueue(store, max_bytes=500) as queue:
        for content in contents:
            queue.put_bytes(content)
    assert all(store.has(hashlib.sha256(content).hexdigest()) for content in contents)


def test_a_queue_raises_what_a_write_met(tmp_path, monkeypatch):
    store = BlobStore(tmp_path)

    def fail(content):
        raise OSError("disk full")

    monkeypatch.setattr(store, "put_bytes", fail)
    with pytest.raises(OSError, match="disk full"), BlobQueue(store) as queue:
        queue.put_bytes(b"x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_keeps_nothing_of_a_blob(tmp_path):
    with pytest.raises(OSError, match="No space left"), _TemporaryBlob(tmp_path) as temporary:
        with Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), temporary.file.fileno())
        temporary.file.write(b"small enough to be held back until the file is closed")
        temporary.publish(tmp_path / "blob")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
