import os
from pathlib import Path

import pytest
from stream_fakes import count_open_files

from sightline.core.errors import InvalidInput, NotFound
from sightline.serving.streams.sources import open_file_source, parse_url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    videos = tmp_path / "videos"
    (videos / "gate").mkdir(parents=True)
    (videos / "a.mp4").write_bytes(b"a")
    (videos / "gate" / "b.mp4").write_bytes(b"b")
    (videos / "out").symlink_to(tmp_path)
    (videos / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    os.mkfifo(videos / "pipe.mp4")
    return videos


@pytest.mark.parametrize(("name", "content"), [("a.mp4", b"a"), ("gate/b.mp4", b"b")])
def test_files_below_the_folder_open(folder: Path, name: str, content: bytes) -> None:
    source = open_file_source(folder, name)
    assert os.read(source.descriptor, 10) == content
    source.close()


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "gate/../../secret.mp4", "/etc/passwd", "", ".", "gate//b.mp4", "a.mp4\0", "..\\secret.mp4"]
)
def test_names_that_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        open_file_source(folder, name)


@pytest.mark.parametrize("name", ["link.mp4", "out/secret.mp4", "pipe.mp4", "gate", "absent.mp4", "a.mp4/b", "x" * 5000])
def test_links_pipes_folders_and_absent_files_are_not_there(folder: Path, name: str) -> None:
    with pytest.raises(NotFound) as refusal:
        open_file_source(folder, name)
    assert str(folder) not in str(refusal.value)


def test_refusals_leave_no_file_open(folder: Path) -> None:
    before = count_open_files()
    for name in ("link.mp4", "gate", "out/secret.mp4", "absent.mp4", "pipe.mp4"):
        with pytest.raises(NotFound):
            open_file_source(folder, name)
    assert count_open_files() == before


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "concat:a|b", "rtsp://", "http://[", "ftp://a/b", "http://a b/", "http://a:x/", "a" * 3000]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        parse_url(url)


def test_passwords_and_queries_are_not_shown() -> None:
    source = parse_url("rtsp://user:pass@camera.example:8554/live?token=abc")
    assert source.name == "rtsp://camera.example:8554/live"
    assert source.url == "rtsp://user:pass@camera.example:8554/live?token=abc"
    assert source.protocols == "rtsp,rtp,tcp"


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1:9170[2606:4700:4700::1111]",
        "127.0.0.1[2606:4700:4700::1111]",
        "[2606:4700:4700::1111]127.0.0.1",
        "[2606:4700:4700::1111]:80:81",
        "user[a@camera",
        "127.0.0.1\\@camera",
        "cam%65ra",
        "k\u00e4mera",
        "camera:\u0662",
        "camera:",
    ],
)
def test_a_host_that_ffmpeg_reads_differently_is_refused(place: str) -> None:
    with pytest.raises(InvalidInput):
        parse_url(f"http://{place}/x")


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("HTTP://Camera.Example/A?b=[c]#d", "http://camera.example/A?b=[c]"),
        ("rtsp://camera?token=abc", "rtsp://camera?token=abc"),
        ("rtsp://user:p@ss@[2001:DB8::1]:554/x", "rtsp://user:p@ss@[2001:db8::1]:554/x"),
        ("rtsp://[fe80::1%eth0]/x", "rtsp://[fe80::1%eth0]/x"),
    ],
)
def test_the_decoder_gets_an_address_written_from_the_checked_parts(url: str, written: str) -> None:
    assert parse_url(url).url == written
