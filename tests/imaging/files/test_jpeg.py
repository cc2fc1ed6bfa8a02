"""The fast header reader against Pillow, on pictures made here and on damaged ones."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import UnreadableImage
from sightline.imaging.files import reading
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.jpeg import JpegHeader, check_scans, count_scans, read_jpeg_header
from sightline.imaging.files.reading import decode_image

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def make_jpeg(mode: str = "RGB", size: tuple[int, int] = (40, 30), orientation: int | None = None, **options: object) -> bytes:
    target = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(target, "JPEG", exif=exif, **options)
    return target.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"comment": b"x" * 400}])
def test_size_and_components_are_those_of_the_frame(options: dict[str, object]) -> None:
    has_scans = "progressive" in options
    assert read_jpeg_header(make_jpeg(**options)) == JpegHeader(40, 30, 3, 1, has_scans)
    assert read_jpeg_header(make_jpeg("L", **options)) == JpegHeader(40, 30, 1, 1, has_scans)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_decodes_as_pillow_turns_it(orientation: int) -> None:
    from PIL import ImageOps

    content = make_jpeg(orientation=orientation, size=(64, 32), quality=95)
    assert read_jpeg_header(content) == JpegHeader(64, 32, 3, orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    decoded = decode_image(content)
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 4  # two decoders' rounding


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", make_jpeg("CMYK"), make_jpeg()[:60]])
def test_what_is_unusual_or_cut_is_left_to_others(content: bytes) -> None:
    assert read_jpeg_header(content) is None


def test_what_it_reads_out_of_damaged_headers_is_what_pillow_reads() -> None:
    rng = random.Random(0)
    content = make_jpeg(orientation=6)
    header_end = content.index(b"\xff\xda")
    agreed = 0
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 2))):
            damaged[rng.randrange(2, header_end)] = rng.randrange(256)
        ours = read_jpeg_header(bytes(damaged))
        if ours is None:
            continue
        try:
            theirs = probe_image(bytes(damaged))
        except UnreadableImage:
            continue  # tables are checked by whoever decodes
        turned = (ours.height, ours.width) if ours.orientation >= 5 else (ours.width, ours.height)
        assert (*turned, ours.orientation) == (theirs.width, theirs.height, theirs.orientation)
        agreed += 1
    assert agreed > 1000


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_real_pictures_are_read_as_pillow_reads_them() -> None:
    files = sorted((SHARED / "classification" / "imagenet-sample").rglob("*.[jJ][pP]*"))[:100]
    assert len(files) == 100
    for file in files:
        content = file.read_bytes()
        ours, theirs = read_jpeg_header(content), probe_image(content)
        if ours is not None:
            assert sorted((ours.width, ours.height)) == sorted((theirs.width, theirs.height))
            assert ours.orientation == theirs.orientation


def repeat_last_scan(content: bytes, times: int, between: bytes = b"") -> bytes:
    scan = content[content.rfind(b"\xff\xda") : -2]
    return content[:-2] + (between + scan) * times + content[-2:]


def test_scans_are_counted_and_nothing_else() -> None:
    thumbnail = b"\xff\xe1\x00\x0c" + b"\xff\xda\xff\xd9" * 2 + b"\xff\xd9"  # a segment that holds what looks like scans
    progressive = make_jpeg(progressive=True)
    assert count_scans(make_jpeg(), "it") == 1
    assert count_scans(progressive, "it") == 10  # libjpeg's script for colour pictures, jcparam.c
    assert count_scans(progressive[:2] + thumbnail + progressive[2:], "it") == 10
    assert count_scans(repeat_last_scan(progressive, 3, between=thumbnail), "it") == 13
    assert count_scans(progressive + progressive[2:], "it") == 10  # what follows the end is not decoded
    assert count_scans(repeat_last_scan(progressive, 5000), "it") == 101
    assert count_scans(b"", "it") == count_scans(b"\xff\xd8\xff", "it") == 0


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("read", [decode_image, probe_image])
def test_more_scans_than_any_encoder_makes_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch, mode: str, read: Callable[[bytes], object]
) -> None:
    content = make_jpeg(mode, progressive=True)
    read(repeat_last_scan(content, 50))
    monkeypatch.setattr(reading.cv2, "imdecode", lambda *_: pytest.fail("OpenCV was asked"))
    with pytest.raises(UnreadableImage, match="at most 100 scans for a JPEG of 40 x 30, got more than 100"):
        read(repeat_last_scan(content, 200))


def test_scans_that_are_not_progressive_are_counted_too() -> None:
    content = make_jpeg()
    scan = content.index(b"\xff\xda")
    gray = content[: scan + 2] + b"\x00\x08\x01\x01\x00\x00\x3f\x00"  # of one component of three
    header = read_jpeg_header(gray + content[scan + 14 :])
    assert header is not None and header.has_scans


def test_a_large_picture_may_have_fewer_scans() -> None:
    check_scans(20, 7000, 7000, "it")
    check_scans(20, 30_000, 30_000, "it")  # whoever allows such pictures gets them progressive too
    check_scans(100, 3000, 3000, "it")
    with pytest.raises(UnreadableImage, match="at most 20 scans for a JPEG of 7000 x 7000, got 21"):
        check_scans(21, 7000, 7000, "it")


@pytest.mark.parametrize("filling", [b"\xff" * 70_000, b"\xff\xe0\x00\x02" + b"\x00" * 70_000, b"\xff\xfe\x00\x02" * 20_000])
def test_a_header_without_end_is_refused_before_pillow_reads_it(filling: bytes) -> None:
    content = make_jpeg()
    for read in (decode_image, probe_image):
        with pytest.raises(UnreadableImage, match="at most"):
            read(content[:2] + filling + content[2:])


def change_frame(marker: int, precision: int) -> bytes:
    """A JPEG whose frame header says another kind; behind metadata with a thumbnail that is an ordinary one."""
    content, thumbnail = make_jpeg(), make_jpeg(size=(8, 8))
    frame = content.index(b"\xff\xc0")
    metadata = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    changed = bytes((0xFF, marker)) + content[frame + 2 : frame + 4] + bytes((precision,))
    return content[:2] + metadata + content[2:frame] + changed + content[frame + 5 :]


@pytest.mark.parametrize("read", [decode_image, probe_image])
@pytest.mark.parametrize(
    ("marker", "precision", "says"),
    [
        (0xC1, 12, "got a JPEG of 12 bits, which is not supported; save it with 8 bits"),
        (0xC2, 12, "got a JPEG of 12 bits"),
        (0xC9, 12, "got a JPEG of 12 bits"),
        (0xC3, 8, "got a lossless one, which is not supported; save it as PNG"),
        (0xC3, 16, "got a lossless one"),
        (0xCB, 8, "got a lossless one"),
        (0xDE, 8, "got a hierarchical one"),
        (0xF7, 8, "got a JPEG-LS one"),
        (0xC1, 7, "got a damaged one"),
    ],
)
def test_kinds_that_are_sound_but_not_read_are_told_as_such(
    read: Callable[[bytes], object], marker: int, precision: int, says: str
) -> None:
    with pytest.raises(UnreadableImage, match=says):
        read(change_frame(marker, precision))


def test_eight_bits_of_the_extended_kind_are_read_and_twelve_of_a_real_file_are_told() -> None:
    assert decode_image(change_frame(0xC1, 8)).shape == (30, 40, 3)
    path = SHARED / "unusual-images" / "libjpeg-turbo" / "monkey12.jpg"
    if not path.is_file():
        pytest.skip("no shared data")
    with pytest.raises(UnreadableImage, match="got a JPEG of 12 bits"):
        decode_image(path.read_bytes())
