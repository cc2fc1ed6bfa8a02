"""Decode pictures of unknown origin into upright RGB arrays, or say in one line why not.

The header is read first and its size held against the limit; only then are pixels decoded. What every picture becomes:

- EXIF orientation is applied, once. Embedded colour profiles are not: pixel values are taken as sRGB.
- 16-bit values keep their high byte (`value // 256`: the full range 0..65535 becomes 0..255, the same for every picture; only
  of a colour PPM `value / 257`, rounded). PGM and PPM whose header calls another value white are scaled by that first. So
  the 12 bits of a camera become 0..15, almost black: an import tells of such pictures; scale them first.
- Gray becomes three equal channels; palettes are looked up; CMYK and YCCK become RGB by (1 - ink)(1 - black), no profile.
- Transparency is laid on white, as a browser shows it on an empty page.
- The first frame of an animation and the first page of a TIFF stand for the whole file; an import tells of the other pages.
- 32-bit and floating-point pictures are refused: no fixed range says what their values look like. So is JPEG of 12 bits a
  sample, lossless or hierarchical JPEG, and JPEG-LS, which the decoders do not read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image, PngImagePlugin, PpmImagePlugin, TiffImagePlugin
from PIL.ImageFile import ImageFile

from sightline.core.errors import InvalidInput, NotFound, UnreadableImage
from sightline.core.settings import read_settings
from sightline.imaging.files.headers import (
    DECODER_ERRORS,
    check_pixel_limit,
    describe_failure,
    find_largest_sample,
    open_picture,
    quiet_pillow,
)
from sightline.imaging.files.jpeg import check_scans, count_scans, read_jpeg_header
from sightline.imaging.files.png import has_whole_chunks, is_quickly_inflated
from sightline.imaging.files.tiff import BITS_TAG

UInt8Image = np.ndarray[Any, np.dtype[np.uint8]]
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
FILE_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND"}  # what a whole file holds in its last bytes
TAIL_BYTES = 64
BAND_PIXELS = 1_000_000
_pixel_limit: ContextVar[int | None] = ContextVar("pixel_limit", default=None)


@contextmanager
def limit_pixels(max_pixels: int) -> Iterator[None]:
    """Decode no picture of more pixels within, where a call names no limit: so masks that a format reads keep to the import's.

    It holds for this thread.
    """
    token = _pixel_limit.set(max_pixels)
    try:
        yield
    finally:
        _pixel_limit.reset(token)


def find_pixel_limit() -> int:
    """Pixels of the largest picture that is decoded where a call names no limit."""
    return _pixel_limit.get() or read_settings().max_image_pixels


def read_image(path: str | Path, max_pixels: int | None = None) -> UInt8Image:
    """Decode a file.

    Args:
        path: the file.
        max_pixels: largest picture to decode, pixels; None takes that of `limit_pixels`, or else of the settings.

    Returns:
        `(H, W, 3)` uint8 RGB, upright, contiguous.

    Raises:
        NotFound: no such file.
        UnreadableImage: not a whole picture of a format we decode.
        ImageTooLarge: more pixels than `max_pixels`.
    """
    return decode_image(_read_file(Path(path)), max_pixels, name=str(path))


def decode_image(content: bytes, max_pixels: int | None = None, name: str = "image") -> UInt8Image:
    """Decode bytes; `name` is what messages call them. Returns and raises as `read_image`, but for NotFound."""
    max_pixels = max_pixels or find_pixel_limit()
    plain = read_jpeg_header(content)
    if plain is not None and FILE_ENDS["jpeg"] in content[-TAIL_BYTES:]:
        check_pixel_limit(plain.width, plain.height, max_pixels, name)
        if plain.has_scans:
            check_scans(count_scans(content, name), plain.width, plain.height, name)
        if (decoded := _decode_with_opencv(content, plain.width, plain.height)) is not None:
            return turn_upright(decoded, plain.orientation)
    with quiet_pillow():
        picture, header = open_picture(content, name)
        check_pixel_limit(header.width, header.height, max_pixels, name)
        try:
            fast = _decode_fast(content, picture, header.format)
            pixels = _convert_to_rgb(picture, name) if fast is None else fast
        except DECODER_ERRORS as error:
            raise UnreadableImage(describe_failure(name, header.format, error)) from error
    if header.format == "tiff":  # Pillow has turned it
        return pixels
    return turn_upright(pixels, header.orientation)


def read_label_map(path: str | Path) -> np.ndarray[Any, Any]:
    """Decode a picture of class numbers without looking up its palette or stretching its grays.

    Args:
        path: the file; the rest is as for `decode_label_map`.

    Raises: NotFound: no such file.
    """
    return decode_label_map(_read_file(Path(path)), str(path))


def decode_label_map(content: bytes, name: str = "image") -> np.ndarray[Any, Any]:
    """Decode a picture of class numbers without looking up its palette or stretching its grays.

    The largest it decodes is that of `limit_pixels`, or else of the settings.

    Args:
        content: a palette or gray picture of 1, 2, 4, 8 or 16 bit, in a lossless format.

    Returns:
        `(H, W)` uint8, or uint16 for 16 bit: palette indices or gray values as stored; where a file stores white as 0 (PBM,
        some TIFFs), black is 0.

    Raises:
        UnreadableImage, ImageTooLarge: as `read_image`; UnreadableImage also for colour pictures.
    """
    with quiet_pillow():
        picture, header = open_picture(content, name)
        check_pixel_limit(header.width, header.height, find_pixel_limit(), name)
        is_wide = picture.mode in SIXTEEN_BIT_MODES or _is_wide_pgm(picture)
        if picture.mode not in ("1", "L", "P") and not is_wide:
            raise UnreadableImage(
                f"expected {name} to be a label map (palette or gray), got {picture.mode}; read colour masks with read_image"
            )
        try:
            step = _find_gray_step(picture, content)
            values = np.asarray(picture)
        except DECODER_ERRORS as error:
            raise UnreadableImage(describe_failure(name, header.format, error)) from error
    if step != 1:
        values = np.rint(values / step)
    return values.astype(np.uint16 if is_wide else np.uint8)


def encode_image(image: UInt8Image, format: Literal["jpeg", "png"] = "jpeg", quality: int = 95) -> bytes:
    """Encode a `(H, W, 3)` RGB or `(H, W)` gray uint8 picture; `quality` 1..100 is JPEG's. Raises: InvalidInput."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise InvalidInput(f"expected a uint8 picture (H, W, 3) or (H, W), got {image.dtype} {image.shape}; convert it first")
    if format == "jpeg":
        suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    elif format == "png":
        suffix, options = ".png", []
    else:
        raise InvalidInput(f"expected format 'jpeg' or 'png', got {format!r}; choose one of these")
    ordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    written, encoded = cv2.imencode(suffix, ordered, options)
    if not written:
        raise InvalidInput(f"expected a picture that {format} can hold, got {image.shape}; make it smaller")
    return bytes(encoded)


def turn_upright(image: UInt8Image, orientation: int) -> UInt8Image:
    """Apply an EXIF orientation (Exif 2.32, tag 0x0112) to an array as stored. Returns a contiguous array."""
    if orientation == 1:
        return image
    turned = np.asarray(cv2.transpose(image), np.uint8) if orientation >= 5 else image  # 5..8: rows and columns are exchanged
    # What is left after the exchange: mirror left-right (2, 6), both (3, 7), top-bottom (4, 8).
    flip = {2: 1, 6: 1, 3: -1, 7: -1, 4: 0, 8: 0}.get(orientation)
    return turned if flip is None else np.asarray(cv2.flip(turned, flip), np.uint8)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"expected a picture at {path}, got nothing there; check the path") from error
    except OSError as error:
        raise UnreadableImage(f"expected a picture at {path}, could not read it ({error.strerror}); check the path") from error


def _decode_fast(content: bytes, picture: ImageFile, kind: str) -> UInt8Image | None:
    """Decode plain JPEG and PNG with OpenCV, about 1.7 times as fast as Pillow; None where Pillow must look."""
    if picture.mode not in ("RGB", "L") or "transparency" in picture.info:
        return None
    # OpenCV invents the missing rows of a cut file, or writes to stderr about it; Pillow raises.
    if kind not in FILE_ENDS or FILE_ENDS[kind] not in content[-TAIL_BYTES:]:
        return None
    if kind == "png" and not (has_whole_chunks(content) and is_quickly_inflated(content)):
        return None
    return _decode_with_opencv(content, *picture.size)


def _decode_with_opencv(content: bytes, width: int, height: int) -> UInt8Image | None:
    """`(H, W, 3)` RGB as stored, not turned; None when OpenCV cannot decode it to the size that its header states."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    return np.asarray(decoded, np.uint8) if decoded is not None and decoded.shape[:2] == (height, width) else None


def _convert_to_rgb(picture: ImageFile, name: str) -> UInt8Image:
    """Decode with Pillow and convert whatever it is to `(H, W, 3)` uint8 RGB. Raises: UnreadableImage for 32-bit values."""
    mode, image = picture.mode, picture
    if mode in SIXTEEN_BIT_MODES or _is_wide_pgm(picture):
        high = (np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(high[:, :, None], 3, axis=2)
    if mode in ("I", "F"):
        raise UnreadableImage(
            f"expected {name} with 8 or 16 bits a channel, got mode {mode}: 32-bit values have no fixed range; convert it first"
        )
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, BAND_PIXELS // width)  # at once, since Pillow makes a copy in each step: five of a whole picture took 1 GB
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        pixels[top : top + rows] = np.asarray(_lay_on_white(band))
    return pixels


def _lay_on_white(image: Image.Image) -> Image.Image:
    """As RGB, what shows through being white."""
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return image.convert("RGB")
    coloured = image.convert("RGBA")
    white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, coloured).convert("RGB")


def _is_wide_pgm(picture: ImageFile) -> bool:
    """Whether it is a PGM of more than 8 bits, which Pillow scales to 0..65535."""
    return picture.mode == "I" and isinstance(picture, PpmImagePlugin.PpmImageFile)


def _find_gray_step(picture: ImageFile, content: bytes) -> float:
    """How far apart Pillow spreads neighbouring values of a gray picture, not yet decoded, to fill the range of its mode."""
    if picture.mode == "L" and isinstance(picture, PngImagePlugin.PngImageFile):
        bit_depth = content[24]  # signature 8, length 4, "IHDR" 4, width 4, height 4, bit depth 1
    elif picture.mode == "L" and isinstance(picture, TiffImagePlugin.TiffImageFile):
        bit_depth = picture.tag_v2.get(BITS_TAG, (8,))[0]
    elif picture.mode in ("L", "I") and isinstance(picture, PpmImagePlugin.PpmImageFile):
        return (65535 if picture.mode == "I" else 255) / find_largest_sample(picture)
    else:
        return 1
    return {2: 85, 4: 17}.get(bit_depth, 1)
