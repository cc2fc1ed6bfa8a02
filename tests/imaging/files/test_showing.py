import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import ImageTooLarge, InvalidInput, UnreadableImage
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.reading import decode_image
from sightline.imaging.files.showing import decode_reduced, make_showable, make_thumbnail

ORIENTATION = 0x0112


def paint(width: int = 48, height: int = 32) -> np.ndarray:
    """Four colours, one in each corner, so that every turn is told from the others."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (250, 0, 0)
    image[: height // 2, width // 2 :] = (0, 250, 0)
    image[height // 2 :, : width // 2] = (0, 0, 250)
    image[height // 2 :, width // 2 :] = (250, 250, 0)
    return image


def save(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def show(content: bytes) -> np.ndarray:
    """What somebody else's decoder makes of it, that heeds neither orientation nor anything like it."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


PICTURE = Image.fromarray(paint())
PLAIN = {
    "jpeg": save(PICTURE, "JPEG", quality=95),
    "progressive jpeg": save(PICTURE, "JPEG", quality=95, progressive=True),
    "gray jpeg": save(PICTURE.convert("L"), "JPEG"),
    "png": save(PICTURE, "PNG"),
    "palette png": save(PICTURE.convert("P"), "PNG"),
    "one-bit png": save(PICTURE.convert("1"), "PNG"),
    "webp": save(PICTURE, "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_file_goes_out_as_it_is(name: str) -> None:
    shown = make_showable(PLAIN[name])
    assert shown.content == PLAIN[name] and shown.media_type == f"image/{name.split()[-1]}"


def turn(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def make_deep_png() -> bytes:
    return bytes(cv2.imencode(".png", paint()[:, :, ::-1].astype(np.uint16) * 257)[1])


def make_animation(format: str) -> bytes:
    other = Image.fromarray(255 - paint())
    return save(PICTURE, format, save_all=True, append_images=[other], duration=100)


OTHERS = {
    "jpeg of inks": save(PICTURE.convert("CMYK"), "JPEG", quality=95),
    "16-bit png": make_deep_png(),
    "transparent png": save(Image.fromarray(np.dstack([paint(), np.full((32, 48), 128, np.uint8)])), "PNG"),
    "png with a transparent colour": save(PICTURE.convert("P"), "PNG", transparency=0),
    "transparent webp": save(Image.fromarray(np.dstack([paint(), np.full((32, 48), 128, np.uint8)])), "WEBP", lossless=True),
    "turned png": save(PICTURE, "PNG", exif=turn(6)),
    "turned webp": save(PICTURE, "WEBP", lossless=True, exif=turn(8)),
    "animated png": make_animation("PNG"),
    "animated webp": make_animation("WEBP"),
    "gif": save(PICTURE, "GIF"),
    "bmp": save(PICTURE, "BMP"),
    "tiff": save(PICTURE, "TIFF"),
    "ppm": save(PICTURE, "PPM"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_file_becomes_one_that_shows_the_pixels_that_we_decode(name: str) -> None:
    shown = make_showable(OTHERS[name])
    header = probe_image(shown.content)
    assert (header.orientation, header.is_deep, header.is_animated) == (1, False, False)
    assert shown.media_type == f"image/{header.format}" == ("image/jpeg" if "jpeg" in name else "image/png")
    expected = decode_image(OTHERS[name])
    difference = np.abs(show(shown.content).astype(int) - expected)
    assert difference.mean() < 5 if header.format == "jpeg" else difference.max() == 0  # without loss


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_jpeg_is_shown_upright(shared_data: Path, orientation: int) -> None:
    folder = shared_data / "unusual-images" / "exif-orientation"
    upright, turned = (folder / f"Landscape_{number}.jpg" for number in (1, orientation))
    assert make_showable(upright.read_bytes()).content == upright.read_bytes()
    shown = show(make_showable(turned.read_bytes()).content)
    expected = show(upright.read_bytes())
    assert shown.shape == expected.shape and np.abs(shown.astype(int) - expected).mean() < 6  # their authors' JPEGs differ
    small = show(make_thumbnail(turned.read_bytes(), 128).content)
    assert small.shape == show(make_thumbnail(upright.read_bytes(), 128).content).shape


def test_unusual_pictures_are_shown_or_refused_in_one_line(shared_data: Path) -> None:
    folder = shared_data / "unusual-images" / "libjpeg-turbo"
    for name in ("monkey16.png", "monkey16.pgm", "testimgari.jpg", "testimgint.jpg"):
        content = (folder / name).read_bytes()
        shown = make_showable(content)
        assert np.abs(show(shown.content).astype(int) - decode_image(content)).max() <= 3, name
    with pytest.raises(UnreadableImage, match="12 bits"):
        make_thumbnail((folder / "monkey12.jpg").read_bytes(), 64)


def test_malformed_files_are_refused_or_shown_and_nothing_else(shared_data: Path) -> None:
    files = [path for path in (shared_data / "malformed").rglob("*") if path.suffix in (".jpg", ".png")]
    assert len(files) > 50
    for path in files:
        content = path.read_bytes()
        for make in (make_showable, lambda content: make_thumbnail(content, 64)):
            try:
                shown = make(content)
            except (UnreadableImage, ImageTooLarge) as error:
                assert str(error).count("\n") == 0
            else:
                assert shown.media_type in ("image/jpeg", "image/png", "image/webp")


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [
        (640, 480, 256, (256, 192)),
        (480, 640, 256, (192, 256)),
        (100, 50, 256, (100, 50)),
        (2000, 3, 32, (32, 1)),
        (32, 32, 32, (32, 32)),
    ],
)
def test_a_thumbnail_keeps_the_shape_and_does_not_grow(width: int, height: int, size: int, expected: tuple[int, int]) -> None:
    for format in ("JPEG", "PNG"):
        shown = make_thumbnail(save(Image.fromarray(paint(width, height)), format), size)
        assert shown.media_type == "image/jpeg"
        assert Image.open(io.BytesIO(shown.content)).size == expected


def test_a_thumbnail_made_of_less_than_all_pixels_looks_the_same(shared_data: Path) -> None:
    content = (shared_data / "unusual-images" / "exif-orientation" / "Landscape_6.jpg").read_bytes()
    reduced = decode_reduced(content, 200, None, "picture")
    whole = decode_image(content)
    assert reduced is not None and reduced.size < whole.size / 3 and max(reduced.shape) >= 200
    small, expected = (cv2.resize(image, (200, 133), interpolation=cv2.INTER_AREA) for image in (reduced, whole))
    assert np.abs(small.astype(int) - expected).mean() < 4


def test_odd_sizes_are_reduced_to_what_the_decoder_makes_of_them() -> None:
    for width, height in ((257, 515), (1025, 33), (999, 1001)):
        content = save(Image.fromarray(paint(width, height)), "JPEG")
        reduced = decode_reduced(content, 32, None, "picture")
        assert reduced is not None and max(reduced.shape) < max(width, height) / 4


@pytest.mark.parametrize("size", [0, 31, 1025, -5])
def test_a_thumbnail_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(InvalidInput, match="32 to 1024"):
        make_thumbnail(PLAIN["png"], size)


def test_what_is_too_large_is_not_decoded() -> None:
    for content in (OTHERS["bmp"], PLAIN["jpeg"]):
        with pytest.raises(ImageTooLarge):
            make_thumbnail(content, 32, max_pixels=100)
    large = save(Image.fromarray(paint(800, 600)), "JPEG")
    with pytest.raises(ImageTooLarge):
        make_thumbnail(large, 32, max_pixels=1000)
    with pytest.raises(ImageTooLarge):
        make_showable(OTHERS["bmp"], max_pixels=100)
