"""The fast header reader against Pillow, on pictures made here and on damaged ones."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import UnreadableImage
from sightline.imaging.headers import probe_image
from sightline.imaging.jpeg_headers import JpegHeader, read_jpeg_header
from sightline.imaging.reading import decode_image

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


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
    assert read_jpeg_header(make_jpeg(**options)) == JpegHeader(40, 30, 3, 1)
    assert read_jpeg_header(make_jpeg("L", **options)) == JpegHeader(40, 30, 1, 1)


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
