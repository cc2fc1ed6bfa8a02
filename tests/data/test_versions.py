"""Versions: written whole or not at all, ids that depend on content only, splits, places."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, CorruptFile, InvalidInput, NotFound
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import VersionWriter, open_version
from sightline.imaging.files.reading import encode_image

CATS = Categories(["cat", "dog"])


def make(target, splits=("train", "train", "val", None), blobs=None, **options):
    with VersionWriter(target, "pets", CATS, blobs, **options) as writer:
        for number, split in enumerate(splits):
            pixels = np.full((6, 8, 3), number * 10, np.uint8)
            blob = writer.blobs.put_bytes(encode_image(pixels, "png"))
            annotations = (Annotation(category="cat", box_xyxy=(0.0, 0.0, 4.0, 4.0)),) * (number % 2)
            item = Item(blob=blob, file_name=f"{number}.png", width=8, height=6, split=split, annotations=annotations)
            writer.add(item)
        return writer.close()


def test_a_version_in_a_workspace_is_found_by_its_name(tmp_path):
    workspace = Workspace(tmp_path)
    version = make(workspace)
    opened = open_version(workspace.find("datasets", "pets"))
    assert opened.id == version.id
    assert opened.categories == CATS
    assert opened.splits == {"train": 2, "unsplit": 1, "val": 1}
    assert opened.manifest.annotation_counts == {"cat": 2, "dog": 0}
    assert [item.file_name for item in opened.items()] == ["0.png", "1.png", "2.png", "3.png"]
    assert opened.read_image(next(opened.items("val"))).tolist() == np.full((6, 8, 3), 20).tolist()
    opened.verify()


def test_a_version_goes_by_the_name_a_workspace_has_for_it_and_elsewhere_by_its_own(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    shelved = make(workspace).folder
    other = shutil.copytree(shelved, tmp_path / "datasets" / "animals" / shelved.name)
    outside = shutil.copytree(shelved, tmp_path / "outside" / "animals" / shelved.name)
    unlike = shutil.copytree(shelved, tmp_path / "datasets" / "animals" / "newest")
    names = {folder: open_version(folder, workspace.blobs).name for folder in (shelved, other, outside, unlike)}
    assert names == {shelved: "pets", other: "animals", outside: "pets", unlike: "pets"}
    monkeypatch.chdir(other)
    assert repr(open_version(".")).startswith("DatasetVersion('animals', ")
    assert open_version(".").manifest.name == "pets"


def test_the_same_content_has_the_same_id_anywhere(tmp_path):
    first = make(Workspace(tmp_path / "one"))
    second = make(Workspace(tmp_path / "deep" / "two"))
    other = make(Workspace(tmp_path / "three"), splits=("train", "train", "val", "test"))
    assert first.id == second.id != other.id


def test_making_the_same_version_twice_keeps_one(tmp_path):
    workspace = Workspace(tmp_path)
    assert make(workspace).folder == make(workspace).folder
    assert len(workspace.list("datasets", "pets")) == 1
    assert not list((tmp_path / "datasets" / "pets").glob(".new-*"))


def test_the_files_of_a_version_are_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    told, sync, rename = [], os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda descriptor: (told.append(os.fstat(descriptor).st_ino), sync(descriptor))[1])
    monkeypatch.setattr(Path, "rename", lambda self, target: (told.append("renamed"), rename(self, target))[1])
    version = make(Workspace(tmp_path))
    synced = told[: told.index("renamed")]
    for path in (version.folder, version.folder / "items.parquet", version.folder / "manifest.json"):
        assert path.stat().st_ino in synced, path


@pytest.mark.parametrize("damage", ["items.parquet is empty", "items.parquet is gone", "manifest.json is empty"])
def test_a_damaged_version_is_replaced_when_it_is_made_again(tmp_path, damage):
    name, _, state = damage.partition(" is ")
    version = make(Workspace(tmp_path))
    (version.folder / name).unlink()
    if state == "empty":
        (version.folder / name).touch()
    again = make(Workspace(tmp_path))
    assert again.folder == version.folder
    opened = open_version(Workspace(tmp_path).find("datasets", "pets"))
    opened.verify()
    assert (opened.id, len(list(opened.items()))) == (version.id, 4)
    assert sorted(path.name for path in version.folder.parent.iterdir()) == sorted(["latest", version.folder.name])


def test_of_two_equal_versions_made_at_once_the_second_takes_what_is_there(tmp_path, monkeypatch):
    first = make(Workspace(tmp_path))
    with monkeypatch.context() as patched:  # as if the first had come between the second's look and its rename
        patched.setattr(Path, "exists", lambda self: False)
        second = make(Workspace(tmp_path))
    assert second.folder == first.folder
    assert not list(first.folder.parent.glob(".new-*"))


def test_counts_and_items_by_split(tmp_path):
    version = make(Workspace(tmp_path))
    assert version.count() == 4
    assert version.count("train") == len(list(version.items("train"))) == len(version.load_items("train")) == 2
    assert version.count(["train", "val"]) == 3
    assert [item.file_name for item in version.items("trainval")] == ["0.png", "1.png", "2.png"]
    with pytest.raises(NotFound, match="no split 'test'"):
        version.items("test")
    with pytest.raises(NotFound, match="unsplit"):
        version.count("unsplit")


def test_a_moved_workspace_still_finds_its_blobs(tmp_path):
    make(Workspace(tmp_path / "before"))
    shutil.move(tmp_path / "before", tmp_path / "after")
    version = open_version(Workspace(tmp_path / "after").find("datasets", "pets"))
    assert version.read_image(next(version.items())).shape == (6, 8, 3)


def test_a_workspace_behind_a_link_keeps_its_blobs_when_it_is_moved(tmp_path):
    (tmp_path / "disk" / "before").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "before")
    version = make(Workspace(tmp_path / "link"))
    assert '"../../../blobs"' in (version.folder / "location.json").read_text()
    shutil.move(tmp_path / "disk" / "before", tmp_path / "after")
    version = open_version(Workspace(tmp_path / "after").find("datasets", "pets"))
    assert version.read_image(next(version.items())).shape == (6, 8, 3)


@pytest.mark.parametrize("linked", ["blobs", "datasets"])
def test_a_linked_part_of_a_workspace_is_found(tmp_path, linked):
    (tmp_path / "disk").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / linked).symlink_to(tmp_path / "disk")
    make(Workspace(tmp_path / "w"))
    version = open_version(Workspace(tmp_path / "w").find("datasets", "pets"))
    assert version.read_image(next(version.items())).shape == (6, 8, 3)


def test_a_version_says_where_its_pictures_lie_from_its_first_moment(tmp_path, monkeypatch):
    seen, rename = [], Path.rename

    def look(self, target):
        seen.append((self / "location.json").is_file())
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", look)
    make(Workspace(tmp_path))
    assert seen == [True]


def test_a_plain_folder_needs_a_blob_store_and_a_free_place(tmp_path):
    with pytest.raises(InvalidInput, match="place for the pictures"):
        VersionWriter(tmp_path / "v", "pets", CATS)
    blobs = BlobStore(tmp_path / "blobs")
    version = make(tmp_path / "v", blobs=blobs)
    assert open_version(tmp_path / "v").blobs.local_folder == (tmp_path / "blobs").resolve()
    with pytest.raises(Conflict, match="exists already"):
        make(tmp_path / "v", blobs=blobs)
    assert open_version(tmp_path / "v", blobs).id == version.id


def test_an_error_while_writing_leaves_no_version(tmp_path):
    workspace = Workspace(tmp_path)
    unknown = Item(blob="0" * 64, file_name="x", width=1, height=1, annotations=(Annotation(category="cow"),))
    with pytest.raises(InvalidInput, match="'cow' is not one of"), VersionWriter(workspace, "pets", CATS) as writer:
        writer.add(unknown)
    assert list((tmp_path / "datasets" / "pets").iterdir()) == []


@pytest.mark.parametrize("read", ["items", "load_items"])
def test_labels_that_the_disk_changed_are_not_read(tmp_path, read):
    version = make(Workspace(tmp_path))
    content = bytearray((version.folder / "items.parquet").read_bytes())
    content[len(content) // 3] ^= 1
    (version.folder / "items.parquet").chmod(0o644)
    (version.folder / "items.parquet").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"items\.parquet does not match"):
        getattr(open_version(version.folder), read)()
    make(Workspace(tmp_path))  # puts a whole one in its place
    assert len(list(getattr(open_version(version.folder), read)())) == 4


def test_an_empty_version_is_a_version(tmp_path):
    version = make(Workspace(tmp_path), splits=())
    assert version.count() == 0
    assert list(version.items()) == []
    assert version.splits == {}


def test_a_changed_file_is_found_and_a_foreign_folder_refused(tmp_path):
    version = make(Workspace(tmp_path / "w"))
    with (version.folder / "items.parquet").open("ab") as file:
        file.write(b"!")
    with pytest.raises(CorruptFile, match="does not match"):
        version.verify()
    (version.folder / "location.json").write_text("[]")
    with pytest.raises(InvalidInput, match=r"location\.json"):
        open_version(version.folder)
    (version.folder / "location.json").unlink()
    with pytest.raises(NotFound, match=r"location\.json"):
        open_version(version.folder)
    with pytest.raises(NotFound, match=r"got parts; of a name it is Workspace\.find\('datasets', name\)"):
        open_version("parts")


@pytest.mark.parametrize("split", ["../up", "a/b", "a\\b", "..", "", "two\nlines", "C:", "x" * 101])
def test_a_split_whose_name_could_lead_out_of_an_export_is_refused(tmp_path, split):
    with pytest.raises(InvalidInput, match="split"):
        make(Workspace(tmp_path), splits=(split,))
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_picture_above_the_usual_limit_that_was_let_in_can_be_read(tmp_path, monkeypatch):
    version = make(Workspace(tmp_path))
    item = next(version.items())
    monkeypatch.setattr("sightline.data.versions.DEFAULT_MAX_PIXELS", 1)
    assert version.read_image(item).shape == (item.height, item.width, 3)
