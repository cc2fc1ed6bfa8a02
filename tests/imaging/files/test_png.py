import struct
import zlib

import cv2
import numpy as np
import pytest

from sightline.core.errors import UnreadableImage
from sightline.imaging.files import reading
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.png import MAX_CHUNKS, MAX_UNTRUSTED_BYTES, check_chunks, has_whole_chunks, walk_chunks
from sightline.imaging.files.reading import decode_image

IMAGE = np.full((20, 40, 3), 200, np.uint8)
PNG = bytes(cv2.imencode(".png", IMAGE)[1])
DATA = PNG.index(b"IDAT") - 4  # where the length of the pixels' chunk stands


def make_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def state_length(length: int) -> bytes:
    return PNG[:DATA] + struct.pack(">I", length) + PNG[DATA + 4 :]


def test_chunks_are_found_up_to_the_end_and_not_beyond() -> None:
    assert [kind for kind, _ in walk_chunks(PNG)] == [b"IHDR", b"IDAT", b"IEND"]
    assert [kind for kind, _ in walk_chunks(PNG + make_chunk(b"teXt"))][-1] == b"IEND"
    assert list(walk_chunks(b"")) == list(walk_chunks(PNG[:19])) == []
    assert has_whole_chunks(PNG)
    assert not any(has_whole_chunks(PNG[:size]) for size in range(len(PNG)))


@pytest.mark.parametrize("length", [0x1000_0000, 0xA600_0040, 0xFFFF_FFFF])
def test_a_length_beyond_the_file_is_kept_from_opencv(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """It would make room for as much."""
    content = state_length(length)
    assert not has_whole_chunks(content)
    monkeypatch.setattr(reading.cv2, "imdecode", lambda *_: pytest.fail("OpenCV was asked"))
    try:
        np.testing.assert_array_equal(decode_image(content), IMAGE)  # Pillow stops where the pixels do
    except UnreadableImage as error:
        assert "\n" not in str(error)


def test_more_chunks_than_any_picture_has_are_refused_before_they_are_read() -> None:
    most = PNG[:DATA] + make_chunk(b"abCd") * (MAX_CHUNKS - 3) + PNG[DATA:]
    check_chunks(most, "it")
    assert probe_image(most).width == 40
    for read in (decode_image, probe_image):
        with pytest.raises(UnreadableImage, match="65,536 PNG chunks"):
            read(PNG[:DATA] + make_chunk(b"abCd") * MAX_CHUNKS + PNG[DATA:])


def make_png(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG[:8] + make_chunk(b"IHDR", header) + make_chunk(b"IDAT", data) + make_chunk(b"IEND")


def test_more_data_than_a_picture_can_need_is_refused() -> None:
    bomb = make_png(20, 20, zlib.compress(bytes(1 << 27)))  # 130 kB that become 128 MB
    for read in (decode_image, probe_image):
        with pytest.raises(
            UnreadableImage, match="at most 70,416 bytes of compressed pixels in image, a PNG of 20 x 20, got 130,"
        ):
            read(bomb)  # 4 x 20 x 61 + 65,536
    assert not decode_image(make_png(20, 20, zlib.compress(bytes(20 * 61), 0))).any()


def test_what_may_inflate_without_end_is_kept_from_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (500, 1 + 3 * 400), np.uint8)
    rows[:, 0] = 0  # no filter
    content = make_png(400, 500, zlib.compress(rows.tobytes() + bytes(1 << 20)))
    assert len(content) > MAX_UNTRUSTED_BYTES
    monkeypatch.setattr(reading.cv2, "imdecode", lambda *_: pytest.fail("OpenCV was asked"))
    np.testing.assert_array_equal(decode_image(content), rows[:, 1:].reshape(500, 400, 3))
