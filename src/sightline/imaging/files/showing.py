"""A stored picture as a browser shows it: upright, 8 bits, RGB, the same pixels that `decode_image` gives to everybody else.

A file goes out as it is where a browser shows the same by itself: a JPEG, PNG or WebP that lies upright, has at most 8 bits a
channel, neither inks nor transparency, and one frame. Embedded colour profiles stay with it: a browser heeds them, our decoder
does not. Of all others the decoded pixels are encoded again: a JPEG as JPEG of quality 95, the rest without loss as PNG.

Thumbnails are JPEG. A plain JPEG is decoded at an eighth, a quarter or half of its size where that is still large enough.
"""

from typing import Literal

import cv2
import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.imaging.files.headers import ImageHeader, check_pixel_limit, open_picture, quiet_pillow
from sightline.imaging.files.jpeg import check_scans, count_scans, read_jpeg_header
from sightline.imaging.files.reading import FILE_ENDS, TAIL_BYTES, UInt8Image, decode_image, encode_image, turn_upright
from sightline.imaging.resizing import resize_image

MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
SHOWN_MODES = ("RGB", "L", "P", "1")  # Pillow's
SMALLEST_THUMBNAIL, LARGEST_THUMBNAIL = 32, 1024
THUMBNAIL_QUALITY = 85
REDUCED_DECODING = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


class ShownPicture(msgspec.Struct, frozen=True):
    """An encoded picture and its media type."""

    content: bytes
    media_type: str


def make_showable(content: bytes, max_pixels: int | None = None, name: str = "image") -> ShownPicture:
    """A picture of any format that we decode, as every browser shows it.

    Args:
        content: the stored file.
        max_pixels: largest picture to decode, pixels; None takes the settings' limit.
        name: what messages call it.

    Raises: UnreadableImage, ImageTooLarge.
    """
    with quiet_pillow():
        picture, header = open_picture(content, name)
        is_shown = picture.mode in SHOWN_MODES and "transparency" not in picture.info
    if is_shown and is_plain(header):
        return ShownPicture(content, MEDIA_TYPES[header.format])
    pixels = decode_image(content, max_pixels, name)
    kept_format: Literal["jpeg", "png"] = "jpeg" if header.format == "jpeg" else "png"
    return ShownPicture(encode_image(pixels, kept_format), MEDIA_TYPES[kept_format])


def is_plain(header: ImageHeader) -> bool:
    """Whether a browser knows the format, and nothing in the header asks for more than showing the pixels as they are."""
    return header.format in MEDIA_TYPES and header.orientation == 1 and not header.is_deep and not header.is_animated


def make_thumbnail(content: bytes, size: int, max_pixels: int | None = None, name: str = "image") -> ShownPicture:
    """A JPEG whose longest side is `size` pixels, 32..1024, or the picture's own where that is shorter.

    Args: as of `make_showable`.

    Raises: UnreadableImage, ImageTooLarge, InvalidInput for another size.
    """
    if not SMALLEST_THUMBNAIL <= size <= LARGEST_THUMBNAIL:
        raise InvalidInput(f"expected a size of {SMALLEST_THUMBNAIL} to {LARGEST_THUMBNAIL} pixels, got {size}")
    reduced = decode_reduced(content, size, max_pixels, name)
    pixels = decode_image(content, max_pixels, name) if reduced is None else reduced
    height, width = pixels.shape[:2]
    scale = min(1.0, size / max(height, width))
    small = resize_image(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
    return ShownPicture(encode_image(small, "jpeg", THUMBNAIL_QUALITY), MEDIA_TYPES["jpeg"])


def decode_reduced(content: bytes, size: int, max_pixels: int | None, name: str) -> UInt8Image | None:
    """A whole plain JPEG, upright, decoded to less than its size but at least `size`; None where that gains nothing."""
    plain = read_jpeg_header(content)
    if plain is None or FILE_ENDS["jpeg"] not in content[-TAIL_BYTES:]:
        return None
    longest = max(plain.width, plain.height)
    fitting = next(((factor, flag) for factor, flag in REDUCED_DECODING if longest >= factor * size), None)
    if fitting is None:
        return None
    factor, flag = fitting
    if max_pixels is not None:
        check_pixel_limit(plain.width, plain.height, max_pixels, name)
    if plain.has_scans:
        check_scans(count_scans(content, name), plain.width, plain.height, name)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None or decoded.shape[:2] != (-(-plain.height // factor), -(-plain.width // factor)):
        return None
    return turn_upright(np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8), plain.orientation)
