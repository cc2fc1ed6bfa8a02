"""Our own zip: the id survives, everything is checked, broken or forged files are refused."""

import errno
import os
import tempfile
import zipfile

import pytest
from msgspec.structs import replace

from sightline.core.errors import CorruptFile, Exhausted, ImageTooLarge, InvalidInput, SightlineError
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.exporting import export_version
from sightline.data.formats.sightline_zip import is_version_archive
from sightline.data.importing import import_dataset
from sightline.data.samples import generate_samples
from sightline.data.versions import VersionWriter, open_version


@pytest.fixture
def exported(tmp_path):
    version = generate_samples(Workspace(tmp_path / "w"), 6, task="semantic", width=160, height=120)
    report = export_version(version, tmp_path / "out" / "parts.zip", "sightline")
    assert report.is_clean
    assert report.kept["image"] == 6
    return version, tmp_path / "out" / "parts.zip"


def rewrite(source, target, change):
    """Copy a zip, each entry's bytes through `change(name, content)`; None leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_id_and_every_byte_survive(exported, tmp_path):
    version, path = exported
    again, report = import_dataset(path, Workspace(tmp_path / "again"), "other-name")
    assert again.id == version.id
    assert report.is_clean
    assert report.kept == {"image": 6, "annotation": sum(len(item.annotations) for item in version.items())}
    assert list(again.items()) == list(version.items())
    for name in ("manifest.json", "items.parquet"):
        assert (again.folder / name).read_bytes() == (version.folder / name).read_bytes()
    assert all(again.blobs.has(item.blob) for item in again.items())
    assert files_below(tmp_path / "out") == ["parts.zip"]


def test_equal_versions_give_equal_files(exported, tmp_path):
    version, path = exported
    export_version(version, tmp_path / "second.zip", "sightline")
    assert (tmp_path / "second.zip").read_bytes() == path.read_bytes()


def test_unpacked_it_is_a_version_that_opens_where_it_lies(exported, tmp_path):
    version, path = exported
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    opened = open_version(tmp_path / "unpacked")
    assert opened.id == version.id
    assert opened.read_image(next(opened.items())).shape == (120, 160, 3)
    again, _ = import_dataset(tmp_path / "unpacked", Workspace(tmp_path / "again"), "x", split="given")
    assert [item.annotations for item in again.items()] == [item.annotations for item in version.items()]


def test_a_new_split_or_fewer_categories_make_a_new_version(exported, tmp_path, monkeypatch):
    version, path = exported
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    again, report = import_dataset(path, Workspace(tmp_path / "again"), "x", split="0.5/0.5", categories=("part",))
    assert again.id != version.id
    assert again.splits == {"train": 3, "val": 3}
    assert again.categories.names == ("part",)
    assert report.count("annotation", "dropped", "unknown category") == report.dropped("annotation")
    assert files_below(tmp_path / "out") == ["parts.zip"]
    assert list((tmp_path / "temporary").iterdir()) == []  # nothing unpacked is left


@pytest.mark.parametrize("is_unpacked", [False, True])
def test_a_new_split_keeps_videos_together_and_who_looked(tmp_path, is_unpacked):
    version = generate_samples(Workspace(tmp_path / "w"), 20, task="detection", width=160, height=120)
    with VersionWriter(tmp_path / "video", "video", version.categories, version.blobs) as writer:
        for number, item in enumerate(version.items()):
            viewer = ("model", "nobody", "human", None)[number % 4]
            facts = {"source_video": f"line {number // 5}.mp4", "frame_pts": number * 512, "seen_by": viewer}
            writer.add(replace(item, **facts, annotations=()))
        frames = writer.close()
    export_version(frames, tmp_path / "video.zip", "sightline")
    source = tmp_path / "video.zip"
    if is_unpacked:
        source = tmp_path / "unpacked"
        with zipfile.ZipFile(tmp_path / "video.zip") as archive:
            archive.extractall(source)
    again, report = import_dataset(source, Workspace(tmp_path / "again"), "x", split="0.5/0.5")
    assert report.is_clean, report.lines()
    assert [replace(item, split=None) for item in again.items()] == [replace(item, split=None) for item in frames.items()]
    assert again.splits == {"train": 10, "val": 10}
    assert len({(item.source_video, item.split) for item in again.items()}) == 4


@pytest.mark.parametrize("part", ["blobs/", "items.parquet"])
def test_a_changed_byte_is_found_and_nothing_is_kept(exported, tmp_path, part):
    _, path = exported
    forged = rewrite(path, tmp_path / "forged.zip", lambda name, content: content[:-1] + b"!" if part in name else content)
    with pytest.raises(CorruptFile, match="does not match"):
        import_dataset(forged, Workspace(tmp_path / "again"), "x")
    assert not list((tmp_path / "again" / "datasets" / "x").iterdir())


def test_a_missing_picture_is_found(exported, tmp_path):
    _, path = exported
    forged = rewrite(path, tmp_path / "forged.zip", lambda name, content: None if "blobs/" in name else content)
    with pytest.raises(CorruptFile, match="lacks blobs/"):
        import_dataset(forged, Workspace(tmp_path / "again"), "x")


@pytest.mark.parametrize("manifest", [b"", b"{}", b'{"kind": "model"}', b"\xff"])
def test_a_foreign_manifest_is_refused_in_one_line(exported, tmp_path, manifest):
    _, path = exported
    forged = rewrite(path, tmp_path / "forged.zip", lambda name, content: manifest if name == "manifest.json" else content)
    with pytest.raises(SightlineError) as caught:
        import_dataset(forged, Workspace(tmp_path / "again"), "x")
    assert "\n" not in str(caught.value)


def test_a_cut_zip_is_no_archive_of_ours(exported, tmp_path):
    _, path = exported
    content = path.read_bytes()
    for share in (0.0, 0.3, 0.9, 0.999):
        (tmp_path / "cut.zip").write_bytes(content[: int(len(content) * share)])
        assert not is_version_archive(tmp_path / "cut.zip")
        with pytest.raises(SightlineError):
            import_dataset(tmp_path / "cut.zip", Workspace(tmp_path / "again"), "x")


def test_a_split_that_leads_out_is_refused_even_when_its_hash_is_right(tmp_path, monkeypatch):
    version = generate_samples(Workspace(tmp_path / "w"), 1, width=160, height=120)
    with monkeypatch.context() as patched:
        patched.setattr("sightline.data.versions.check_split", lambda split: None)
        with VersionWriter(Workspace(tmp_path / "evil"), "evil", version.categories, version.blobs) as writer:
            writer.add(replace(next(version.items()), split="../../evil"))
            evil = writer.close()
    export_version(evil, tmp_path / "evil.zip", "sightline")
    with pytest.raises(InvalidInput, match="split"):
        import_dataset(tmp_path / "evil.zip", Workspace(tmp_path / "victim"), "x")
    with pytest.raises(InvalidInput, match="below the dataset"):  # opened where it lies, it still cannot write outside
        export_version(evil, tmp_path / "deep" / "out", "yolo")
    assert not (tmp_path / "victim" / "datasets").exists() or not list((tmp_path / "victim").rglob("manifest.json"))


def test_a_picture_above_the_limit_is_refused_and_nothing_is_kept(exported, tmp_path):
    version, path = exported
    item = next(version.items())
    with pytest.raises(ImageTooLarge):
        import_dataset(path, Workspace(tmp_path / "again"), "x", max_pixels=item.width * item.height - 1)
    assert not list((tmp_path / "again").rglob("manifest.json"))
    again, _ = import_dataset(path, Workspace(tmp_path / "again"), "x", max_pixels=item.width * item.height)
    assert again.id == version.id


def test_a_full_disk_is_not_taken_for_a_damaged_zip(exported, tmp_path, monkeypatch):
    def fail(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(BlobStore, "put_bytes", fail)
    with pytest.raises(Exhausted, match="no room left"):
        import_dataset(exported[1], Workspace(tmp_path / "again"), "x")
    assert not list((tmp_path / "again" / "datasets" / "x").iterdir())
