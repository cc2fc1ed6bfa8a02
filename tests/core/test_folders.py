import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from sightline.core import folders
from sightline.core.errors import Conflict, CorruptFile, Exhausted, InvalidInput, NotFound
from sightline.core.folders import (
    MAX_SYNCED_FILES,
    compute_file_hash,
    explain_disk_errors,
    explain_full_disk,
    hash_files,
    new_folder,
    read_kind,
    read_manifest,
    verify_files,
    write_file_atomic,
    write_manifest,
)
from sightline.core.manifests import DeploymentManifest, ModelManifest, compute_manifest_id

MANIFEST = DeploymentManifest(name="a", version=1, artifact_id="0", created_at="now")


def list_tree(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_is_written_whole_and_replaces_the_old(tmp_path):
    target = tmp_path / "deep" / "file.bin"
    write_file_atomic(target, b"old")
    write_file_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    assert list_tree(tmp_path) == ["deep", "deep/file.bin"]


def test_a_file_written_is_readable_like_any_other(tmp_path):
    """mkstemp makes files that only their owner reads; a server of another user has to read them too."""
    write_file_atomic(tmp_path / "file", b"x")
    plain = tmp_path / "plain"
    plain.write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    target = tmp_path / "file.bin"
    write_file_atomic(target, b"old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_file_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert list_tree(tmp_path) == ["file.bin"]


def test_a_new_folder_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "made"
    with new_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert list_tree(tmp_path) == ["made", "made/a"]


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "made") as folder:
        (folder / "a").write_text("1")
        raise KeyboardInterrupt
    assert list_tree(tmp_path) == []


def test_an_existing_folder_is_kept_unless_it_is_to_be_replaced(tmp_path):
    target = tmp_path / "made"
    with new_folder(target) as folder:
        (folder / "old").write_text("1")
    with pytest.raises(Conflict, match="made"), new_folder(target):
        pass
    with pytest.raises(RuntimeError), new_folder(target, replace=True):
        raise RuntimeError
    assert list_tree(tmp_path) == ["made", "made/old"]
    with new_folder(target, replace=True) as folder:
        (folder / "new").write_text("2")
    assert list_tree(tmp_path) == ["made", "made/new"]


def test_a_replacement_that_cannot_be_put_in_place_gives_the_old_folder_back(tmp_path, monkeypatch):
    target, rename = tmp_path / "made", Path.rename
    with new_folder(target) as folder:
        (folder / "old").write_text("1")

    def refuse(self, destination):
        if destination == target and not self.name.endswith(".old"):
            raise OSError("no")
        return rename(self, destination)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"), new_folder(target, replace=True):
        pass
    assert list_tree(tmp_path) == ["made", "made/old"]


def record_syncs(monkeypatch) -> list[str]:
    """Names of what is synced or renamed from now on, in order."""
    told, sync, rename = [], os.fsync, Path.rename

    def tell_sync(descriptor):
        told.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def tell_rename(self, destination):
        told.append(f"-> {destination.name}")
        return rename(self, destination)

    monkeypatch.setattr(os, "fsync", tell_sync)
    monkeypatch.setattr(folders, "_sync_disk", lambda folder: told.append("all") is None)
    monkeypatch.setattr(Path, "rename", tell_rename)
    return told


def test_a_new_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    told = record_syncs(monkeypatch)
    with new_folder(tmp_path / "made") as folder:
        (folder / "sub").mkdir()
        for name in ("a", "sub/b"):
            (folder / name).write_text(name)
    assert sorted(told[:-1]) == sorted(["a", "b", "sub", folder.name])
    assert told[-1] == "-> made"
    told.clear()
    with new_folder(tmp_path / "many") as folder:
        for number in range(65):
            (folder / str(number)).touch()
    assert told == ["all", "-> many"]


@pytest.mark.parametrize("can_sync_disks", [True, False])
def test_a_folder_of_many_files_is_synced_as_a_whole_or_file_by_file(tmp_path, monkeypatch, can_sync_disks):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(descriptor) or fsync(descriptor))
    if not can_sync_disks:
        monkeypatch.setattr(folders, "_sync_disk", lambda folder: False)
    with new_folder(tmp_path / "many") as folder:
        for number in range(MAX_SYNCED_FILES + 1):
            (folder / f"{number}").write_text("x")
    assert len(synced) == (0 if can_sync_disks else MAX_SYNCED_FILES + 2)


def test_a_folder_that_another_process_finished_meanwhile_is_kept(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(Conflict, match="made"), new_folder(target) as folder:
        (folder / "mine").write_text("1")
        target.mkdir()
        (target / "theirs").write_text("2")
    assert list_tree(tmp_path) == ["made", "made/theirs"]


def test_the_hash_is_that_of_the_whole_file(tmp_path):
    content = os.urandom((1 << 20) + 17)  # more than one chunk
    (tmp_path / "file").write_bytes(content)
    found = compute_file_hash(tmp_path / "file")
    assert (found.sha256, found.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_manifest_names_the_files_beside_it(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("b")
    (tmp_path / "a").write_text("a")
    assert write_manifest(tmp_path, MANIFEST) == compute_manifest_id(MANIFEST)
    assert list(hash_files(tmp_path)) == ["a", "sub/b"]
    assert read_manifest(tmp_path, DeploymentManifest) == MANIFEST


def test_a_folder_without_or_with_another_manifest_is_refused(tmp_path):
    with pytest.raises(NotFound, match="Deployment"):
        read_manifest(tmp_path, DeploymentManifest)
    write_manifest(tmp_path, MANIFEST)
    with pytest.raises(InvalidInput, match="Model"):
        read_manifest(tmp_path, ModelManifest)


def test_a_changed_or_missing_file_is_found(tmp_path):
    (tmp_path / "a").write_text("a")
    files = hash_files(tmp_path)
    verify_files(tmp_path, files)
    (tmp_path / "a").write_text("b")
    with pytest.raises(CorruptFile, match="a does not match"):
        verify_files(tmp_path, files)
    (tmp_path / "a").unlink()
    with pytest.raises(NotFound, match="lacks a"):
        verify_files(tmp_path, files)


def test_the_kind_of_a_folder_is_what_its_manifest_says(tmp_path):
    with pytest.raises(NotFound, match=r"manifest\.json"):
        read_kind(tmp_path)
    write_manifest(tmp_path, MANIFEST)
    assert read_kind(tmp_path) == "deployment"
    for content in (b'{"kind": "\xff"}', b"[]", b"{}", b'{"kind": 3}', b"model"):
        (tmp_path / "manifest.json").write_bytes(content)
        with pytest.raises(InvalidInput, match="is no manifest"):
            read_kind(tmp_path)


def test_what_the_system_says_becomes_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"Not a directory at .*file/x"), explain_disk_errors(tmp_path / "out"):
        (tmp_path / "file" / "x").write_text("")
    with pytest.raises(Exhausted, match="no room left"), explain_disk_errors(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(Conflict, match="as it was"), explain_disk_errors(tmp_path / "out"):
        raise Conflict("as it was")


def test_of_a_full_disk_alone_all_else_goes_on_as_it_is(tmp_path):
    with pytest.raises(Exhausted, match=r"no room left .*out; .*TMPDIR"), explain_full_disk(tmp_path / "out"):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    with pytest.raises(FileNotFoundError), explain_full_disk(tmp_path / "out"):
        (tmp_path / "absent").read_bytes()
