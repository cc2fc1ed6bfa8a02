import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from sightline.core.errors import ImageTooLarge, InvalidInput, NotFound, UnreadableImage
from sightline.imaging.files import reading
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.reading import (
    decode_image,
    decode_label_map,
    encode_image,
    read_image,
    read_label_map,
    turn_upright,
)


def save(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def picture(rng) -> np.ndarray:
    """A 48 x 64 picture with smooth colours, so that JPEG keeps it well."""
    return cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), (0, 0), 4)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_same_pixels(picture, format):
    np.testing.assert_array_equal(decode_image(save(Image.fromarray(picture), format)), picture)


def test_lossless_webp_gives_the_same_pixels(picture):
    np.testing.assert_array_equal(decode_image(save(Image.fromarray(picture), "WEBP", lossless=True)), picture)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 98}, {"optimize": True}])
def test_jpeg_is_decoded_as_pillow_does(picture, options):
    content = save(Image.fromarray(picture), "JPEG", **options)
    np.testing.assert_array_equal(decode_image(content), np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "PPM"])
def test_gray_becomes_three_equal_channels(picture, format):
    image = decode_image(save(Image.fromarray(picture[:, :, 0]), format))
    assert image.shape == picture.shape
    assert (image == image[:, :, :1]).all()


def test_a_bilevel_picture_becomes_black_and_white(picture):
    bits = picture[:, :, 0] > 128
    for format in ("PNG", "TIFF", "PPM"):
        image = decode_image(save(Image.fromarray(bits), format))
        np.testing.assert_array_equal(image[:, :, 1], bits * np.uint8(255))


def test_sixteen_bits_keep_their_high_byte():
    values = np.array([[0, 255, 256, 32768, 65280, 65535]], np.uint16)
    expected = np.array([[0, 0, 1, 128, 255, 255]], np.uint8)  # value // 256, by hand
    for content in (
        save(Image.fromarray(values), "PNG"),
        save(Image.fromarray(values), "TIFF"),
        b"P5 6 1 65535\n" + values.astype(">u2").tobytes(),
        bytes(cv2.imencode(".png", np.repeat(values[:, :, None], 3, axis=2))[1]),
        bytes(cv2.imencode(".tiff", np.repeat(values[:, :, None], 3, axis=2))[1]),
    ):
        np.testing.assert_array_equal(decode_image(content)[:, :, 0], expected)


def test_transparency_is_laid_on_white():
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 128]]], np.uint8)
    expected = [[200, 100, 0], [255, 255, 255], [227, 177, 127]]  # 128/255 of the colour + 127/255 of white, by hand
    for content in (save(Image.fromarray(rgba), "PNG"), save(Image.fromarray(rgba), "WEBP", lossless=True, exact=True)):
        np.testing.assert_allclose(decode_image(content)[0], expected, atol=1)


def test_a_transparent_palette_entry_becomes_white():
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for format in ("PNG", "GIF"):
        decoded = decode_image(save(image, format, transparency=1))
        assert decoded[0].tolist() == [[10, 20, 30], [255, 255, 255], [70, 80, 90]]


@pytest.mark.parametrize(
    ("mode", "transparency"),
    [("RGBA", None), ("LA", None), ("RGB", (1, 2, 3)), ("L", 3), ("P", 3), ("P", None), ("1", None), ("CMYK", None)],
)
def test_a_large_picture_is_converted_in_bands_that_do_not_show(monkeypatch, rng, mode, transparency):
    image = Image.fromarray(rng.integers(0, 256, (23, 17, 4), dtype=np.uint8))
    image = (image.convert("RGB") if mode in ("1", "P") else image).convert(mode)
    content = save(
        image, "TIFF" if mode == "CMYK" else "PNG", **({} if transparency is None else {"transparency": transparency})
    )
    whole = decode_image(content)
    monkeypatch.setattr(reading, "BAND_PIXELS", 40)
    np.testing.assert_array_equal(decode_image(content), whole)


def test_cmyk_is_converted_by_inks(picture):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0], inks[8:, :, 3] = 255, 128  # full cyan above, half black below
    content = save(Image.frombytes("CMYK", (16, 16), inks.tobytes()), "JPEG", quality=100)
    image = decode_image(content)
    np.testing.assert_allclose(image[:8], np.broadcast_to([0, 255, 255], (8, 16, 3)), atol=3)
    np.testing.assert_allclose(image[8:], np.broadcast_to([127, 127, 127], (8, 16, 3)), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_once(picture, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(picture[:, :40])  # 48 x 40: not square, so that exchanged sides show
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(format, {})
    content = save(stored, format, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    np.testing.assert_array_equal(decode_image(content), expected)
    header = probe_image(content)
    assert (header.height, header.width) == expected.shape[:2]
    assert header.orientation == orientation
    assert header.format == format.lower()


def test_orientation_of_a_png_is_found_behind_its_pixels(picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = save(Image.fromarray(picture), "PNG", exif=exif)
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    moved = content[:start] + content[end:-12] + content[start:end] + content[-12:]  # before IEND, after IDAT
    assert probe_image(moved).orientation == 6
    np.testing.assert_array_equal(decode_image(moved), decode_image(content))


def test_a_broken_exif_block_does_not_spoil_the_picture(picture):
    content = save(Image.fromarray(picture), "JPEG")
    block = b"Exif\0\0MM\0*\xff\xff\xff\xff"
    spoilt = content[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + content[2:]
    np.testing.assert_array_equal(decode_image(spoilt), decode_image(content))


def test_turning_follows_the_exif_table():
    stored = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)
    assert turn_upright(stored, 6).tolist() == [[5, 3, 1], [6, 4, 2]]  # a quarter turn clockwise, by hand
    assert turn_upright(stored, 8).tolist() == [[2, 4, 6], [1, 3, 5]]
    assert turn_upright(stored, 3).tolist() == [[6, 5], [4, 3], [2, 1]]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.98])
def test_a_truncated_file_is_refused(picture, format, share):
    content = save(Image.fromarray(picture), format)
    with pytest.raises(UnreadableImage, match=r"part\.bin"):
        decode_image(content[: int(len(content) * share)], name="part.bin")


def test_a_jpeg_without_its_end_marker_is_refused(picture):
    content = save(Image.fromarray(picture), "JPEG")
    with pytest.raises(UnreadableImage):
        decode_image(content[:-40])


def test_bytes_behind_a_whole_picture_do_no_harm(picture):
    for format in ("JPEG", "PNG"):
        content = save(Image.fromarray(picture), format)
        np.testing.assert_array_equal(decode_image(content + bytes(5000)), decode_image(content))


@pytest.mark.parametrize(
    "content", [b"", b"x", b"hello, this is no picture", b"%PDF-1.7 ...", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(UnreadableImage, match=r"^expected .*, got "):
        decode_image(content)


def test_dicom_is_named(picture):
    with pytest.raises(UnreadableImage, match="DICOM"):
        decode_image(bytes(128) + b"DICM" + bytes(20))


def test_pictures_without_a_fixed_range_are_refused():
    for values in (np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)):
        with pytest.raises(UnreadableImage, match=r"got mode [FI]: .*no fixed range"):
            decode_image(save(Image.fromarray(values), "TIFF"))


def test_the_limit_is_checked_before_decoding():
    header = b"P5 40000 40000 255\n"  # 1.6 gigapixels, and not one of them in the file
    with pytest.raises(ImageTooLarge, match="1,600,000,000"):
        decode_image(header)
    assert probe_image(header).width == 40000


def test_the_limit_is_inclusive(picture):
    content = save(Image.fromarray(picture), "PNG")
    assert decode_image(content, max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(ImageTooLarge):
        decode_image(content, max_pixels=48 * 64 - 1)


def test_without_a_limit_that_of_the_settings_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(save(Image.new("L", (7100, 7100)), "PNG"))  # 50,410,000 pixels
    with pytest.raises(ImageTooLarge, match="at most 50,000,000 pixels"):
        read_image(path)
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "50410000")
    assert read_image(path).shape == (7100, 7100, 3)
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "1000")
    for read in (read_image, read_label_map):
        with pytest.raises(ImageTooLarge, match="at most 1,000 pixels"):
            read(path)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        read_image(tmp_path / "nowhere.jpg")


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(UnreadableImage, match="could not read"):
        read_image(tmp_path)


def test_the_first_frame_of_an_animation_is_read(picture):
    frames = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    for format, options in (("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        content = save(frames[0], format, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decode_image(content), picture)


def test_a_label_map_keeps_its_indices(tmp_path):
    labels = np.array([[0, 1, 2], [15, 3, 0]], np.uint8)
    indexed = Image.fromarray(labels).convert("P")
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255] + [7] * (3 * 253))
    for name, image, options in (
        ("palette.png", indexed, {}),
        ("palette4.png", indexed, {"bits": 4}),
        ("gray.png", Image.fromarray(labels), {}),
        ("gray.tif", Image.fromarray(labels), {}),
        ("wide.png", Image.fromarray(labels.astype(np.uint16) + 300), {}),
    ):
        image.save(tmp_path / name, **options)
        expected = labels.astype(np.uint16) + 300 if name == "wide.png" else labels
        values = read_label_map(tmp_path / name)
        assert np.array_equal(decode_label_map((tmp_path / name).read_bytes()), values)
        np.testing.assert_array_equal(values, expected)
        assert values.dtype == expected.dtype


@pytest.mark.parametrize(
    ("bits", "row", "expected"), [(2, b"\x1b", [0, 1, 2, 3]), (4, b"\x0f\x81", [0, 15, 8, 1]), (1, b"\xa0", [1, 0, 1, 0])]
)
def test_gray_values_of_few_bits_are_not_stretched(tmp_path, bits, row, expected):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)  # width, height, bit depth, gray, deflate, filters, not interlaced
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    (tmp_path / "few.png").write_bytes(content)
    assert read_label_map(tmp_path / "few.png").tolist() == [expected]


@pytest.mark.parametrize("largest", [1, 2, 11, 20, 254, 255, 256, 4095, 65534, 65535])
def test_a_pgm_keeps_its_class_numbers_whatever_it_calls_white(tmp_path, largest):
    values = sorted({value % (largest + 1) for value in (0, 1, 2, 3, 10, 11, 77, 127, 128, 254, 255, 300, 4095, 65534, 65535)})
    header = f"P5\n{len(values)} 1\n{largest}\n".encode()
    stored = np.array([values], ">u2" if largest > 255 else "u1")
    (tmp_path / "map.pgm").write_bytes(header + stored.tobytes())
    found = read_label_map(tmp_path / "map.pgm")
    assert found.dtype == (np.uint16 if largest > 255 else np.uint8)
    assert found.tolist() == [values]


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_a_tiff_of_few_bits_keeps_its_class_numbers(tmp_path, bits, white_is_zero):
    values = list(range(2**bits))
    packed = int("".join(format(value, f"0{bits}b") for value in values), 2).to_bytes(len(values) * bits // 8, "big")
    tags = {
        256: len(values),
        257: 1,
        258: bits,
        259: 1,
        262: 0 if white_is_zero else 1,
        273: 8,
        277: 1,
        278: 1,
        279: len(packed),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "map.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory)
    assert read_label_map(tmp_path / "map.tif").tolist() == [values[::-1] if white_is_zero else values]


def test_a_colour_ppm_of_16_bit_is_deep():
    def probe(largest: int) -> bool:
        return probe_image(b"P6\n1 1\n%d\n" % largest + bytes(6)).is_deep

    assert [probe(largest) for largest in (100, 255, 4095, 65535)] == [False, False, True, True]


def test_a_colour_picture_is_no_label_map(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "colour.png")
    with pytest.raises(UnreadableImage, match="read_image"):
        read_label_map(tmp_path / "colour.png")


def test_png_encoding_is_lossless_and_jpeg_is_close(picture):
    np.testing.assert_array_equal(decode_image(encode_image(picture, "png")), picture)
    assert np.abs(decode_image(encode_image(picture, "jpeg")).astype(int) - picture).mean() < 3
    np.testing.assert_array_equal(decode_image(encode_image(picture[:, :, 0], "png"))[:, :, 2], picture[:, :, 0])


@pytest.mark.parametrize("image", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_only_rgb_and_gray_are_encoded(image):
    with pytest.raises(InvalidInput, match="uint8"):
        encode_image(image)


def test_an_unknown_encoding_is_refused(picture):
    with pytest.raises(InvalidInput, match="'gif'"):
        encode_image(picture, "gif")


def test_reading_in_threads_leaves_the_warning_filters_alone(picture):
    content = save(Image.fromarray(picture), "WEBP", lossless=True)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode_image(content) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_the_nine_orientations_show_one_landscape(shared_data):
    folder = shared_data / "unusual-images" / "exif-orientation"
    upright = read_image(folder / "Landscape_1.jpg").astype(int)
    for orientation in (0, *range(2, 9)):
        other = read_image(folder / f"Landscape_{orientation}.jpg").astype(int)
        assert other.shape == upright.shape == (1200, 1800, 3)
        assert np.abs(other - upright).mean() < 4  # JPEG loss; a wrong turn gives more than 40


def test_the_same_monkey_in_png_and_pgm_with_16_bits(shared_data):
    folder = shared_data / "unusual-images" / "libjpeg-turbo"
    gray = read_image(folder / "monkey16.pgm")
    raw = np.frombuffer((folder / "monkey16.pgm").read_bytes()[-227 * 149 * 2 :], ">u2").reshape(227, 149)
    np.testing.assert_array_equal(gray[:, :, 0], raw // 256)
    colour = read_image(folder / "monkey16.png")
    independent = cv2.imread(str(folder / "monkey16.png"), cv2.IMREAD_UNCHANGED)[:, :, ::-1] // 256
    np.testing.assert_array_equal(colour, independent)
    # The PGM is the PNG's luminance: ITU-R 601.
    luminance = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luminance - gray[:, :, 0]).mean() < 12


def test_arithmetic_and_huffman_coded_jpeg_show_the_same_picture(shared_data):
    folder = shared_data / "unusual-images" / "libjpeg-turbo"
    arithmetic, huffman = read_image(folder / "testimgari.jpg"), read_image(folder / "testimgint.jpg")
    assert np.abs(arithmetic.astype(int) - huffman).mean() < 1


def test_real_pictures_are_decoded_as_pillow_does(shared_data):
    paths = sorted(Path(shared_data / "classification" / "imagenet-sample").rglob("*.[jJ]*"))[:12]
    assert paths
    for path in paths:
        expected = np.asarray(Image.open(path).convert("RGB"))
        assert np.abs(read_image(path).astype(int) - expected).max() <= 2, path
