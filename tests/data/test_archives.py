"""Evil archives, made by hand: nothing leaves the folder, nothing but plain files is written, bombs are stopped."""

import io
import tarfile
import zipfile

import pytest

from sightline.core.errors import InvalidInput, SightlineError, UnreadableDataset
from sightline.data.archives import ArchiveLimits, extract_archive, is_archive


def make_zip(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_good_zip_and_a_good_tar_are_unpacked(tmp_path):
    make_zip(tmp_path / "good.zip", [("a/b.txt", "1"), ("c ü.txt", "2")])
    extract_archive(tmp_path / "good.zip", tmp_path / "zip")
    with tarfile.open(tmp_path / "good.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "zip", "top")
    extract_archive(tmp_path / "good.tar.gz", tmp_path / "tar")
    assert files_below(tmp_path / "zip") == ["a/b.txt", "c ü.txt"]
    assert files_below(tmp_path / "tar") == ["top/a/b.txt", "top/c ü.txt"]
    assert (tmp_path / "tar" / "top" / "a" / "b.txt").read_text() == "1"


def make_unflagged_zip(path, name: bytes, content):
    """A zip whose one entry has this name in bytes and no flag that it is UTF-8, as macOS packs it."""
    make_zip(path, [("x" * len(name), content)])
    path.write_bytes(path.read_bytes().replace(b"x" * len(name), name))
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grün/straße.txt".encode(), "grün/straße.txt"),
        ("gru\u0308n.txt".encode(), "gru\u0308n.txt"),
        ("猫.txt".encode(), "猫.txt"),
        ("grün.txt".encode("cp437"), "grün.txt"),
        (b"plain.txt", "plain.txt"),
    ],
)
def test_names_in_a_zip_are_utf8_where_they_can_be_else_code_page_437(tmp_path, name, expected):
    path = make_unflagged_zip(tmp_path / "mac.zip", name, "1")
    extract_archive(path, tmp_path / "out")
    assert files_below(tmp_path / "out") == [expected]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil", "C:/evil", "\\\\host\\evil"])
def test_a_zip_entry_that_leads_out_is_refused_before_anything_is_written(tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "good")
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        archive.writestr(info, "evil")
    with pytest.raises(InvalidInput, match="leads out of its folder"):
        extract_archive(path, tmp_path / "out")
    assert files_below(tmp_path) == ["evil.zip"]


def test_a_tar_entry_that_leads_out_is_refused(tmp_path):
    for name in ("../evil", "/evil"):
        with tarfile.open(tmp_path / "evil.tar", "w") as archive:
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"evil"))
        with pytest.raises(InvalidInput, match="leads out of its folder"):
            extract_archive(tmp_path / "evil.tar", tmp_path / "out")
    assert files_below(tmp_path) == ["evil.tar"]


def test_links_and_devices_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16  # S_IFLNK
    make_zip(tmp_path / "link.zip", [(link, "/etc/passwd")])
    with pytest.raises(InvalidInput, match="link or device"):
        extract_archive(tmp_path / "link.zip", tmp_path / "out")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        with tarfile.open(tmp_path / "link.tar", "w") as archive:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        with pytest.raises(InvalidInput, match="link or device"):
            extract_archive(tmp_path / "link.tar", tmp_path / "out")


def test_a_bomb_is_stopped_by_ratio_size_and_count(tmp_path):
    path = make_zip(tmp_path / "bomb.zip", [("zeros", bytes(5_000_000))], zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidInput, match="decompression bomb"):
        extract_archive(path, tmp_path / "1", ArchiveLimits(free_bytes=100_000))
    with pytest.raises(InvalidInput, match="decompression bomb"):
        extract_archive(path, tmp_path / "2", ArchiveLimits(max_bytes=1_000_000))
    extract_archive(path, tmp_path / "3")
    many = make_zip(tmp_path / "many.zip", [(f"{n}", "") for n in range(11)])
    with pytest.raises(InvalidInput, match="more than 10 entries"):
        extract_archive(many, tmp_path / "4", ArchiveLimits(max_entries=10))


def test_a_zip_that_lies_about_its_sizes_is_stopped_by_what_comes_out(tmp_path):
    path = make_zip(tmp_path / "liar.zip", [("zeros", bytes(3_000_000))], zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")  # uncompressed size in the central directory
    path.write_bytes(content)
    with pytest.raises(SightlineError):
        extract_archive(path, tmp_path / "out", ArchiveLimits(free_bytes=100_000))
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*")) <= 100_000


def test_an_entry_that_stands_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        make_zip(tmp_path / "twice.zip", [("a", "1"), ("a", "2")])
    with pytest.raises(InvalidInput, match="twice"):
        extract_archive(tmp_path / "twice.zip", tmp_path / "out")


def test_an_encrypted_zip_is_refused(tmp_path):
    path = make_zip(tmp_path / "secret.zip", [("a", "1")])
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="encrypted"):
        extract_archive(path, tmp_path / "out")


def test_what_is_no_archive_is_unreadable(tmp_path):
    for content in (b"", b"not a zip", b"PK\x03\x04" + bytes(40)):
        (tmp_path / "x.zip").write_bytes(content)
        assert is_archive(tmp_path / "x.zip")
        with pytest.raises(UnreadableDataset, match="whole zip or tar"):
            extract_archive(tmp_path / "x.zip", tmp_path / "out")


def test_the_fuzzers_zips_are_unpacked_or_refused_in_one_line(shared_data, tmp_path):
    paths = [path for path in sorted((shared_data / "malformed").rglob("*")) if path.suffix == ".zip" or "zip" in path.name]
    assert len(paths) >= 40
    for number, path in enumerate(paths):
        if not path.is_file():
            continue
        try:
            extract_archive(path, tmp_path / str(number), ArchiveLimits(free_bytes=1 << 20))
        except SightlineError as error:
            assert "\n" not in str(error)
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_a_file_that_is_also_a_folder_and_a_name_too_long_are_refused_in_one_line(tmp_path):
    clash = make_zip(tmp_path / "clash.zip", [("a", "1"), ("a/b", "2")])
    with pytest.raises(InvalidInput, match="'a/b' twice"):
        extract_archive(clash, tmp_path / "1")
    long = make_zip(tmp_path / "long.zip", [("x" * 300, "1")])
    with pytest.raises(InvalidInput, match="name too long"):
        extract_archive(long, tmp_path / "2")
    (tmp_path / "none.zip").write_bytes(b"hello")
    with pytest.raises(UnreadableDataset, match="another or a cut file"):
        extract_archive(tmp_path / "none.zip", tmp_path / "3")
