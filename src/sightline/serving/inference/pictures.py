"""The pictures of one request, decoded one after another; together they may cost what a few of the largest cost.

A row of a request may be a picture of the largest size that is decoded. Sixteen of them, 20 kB when compressed, took 2.7 GB and
14 s. So what their headers say is added up before the first is decoded, whoever can do with one at a time gets one at a time,
and a caller who has gone is noticed between two of them.
"""

from collections.abc import Iterator

import numpy as np

from sightline.core.errors import ImageTooLarge, UnreadableImage
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.jpeg import read_jpeg_header
from sightline.imaging.files.reading import decode_image
from sightline.serving.inference.calls import Call, Upload
from sightline.serving.scheduling.work import Work

FULL_PICTURES = 4  # of the largest size in one request


def decode_pictures(work: Work, max_pixels: int) -> Iterator[np.ndarray]:
    """The pictures of a request as `uint8 (H, W, 3)` RGB, decoded as they are asked for; ends early when the caller has gone.

    Args:
        work: its payload is a Call with pictures.
        max_pixels: of one picture, and a quarter of those of all.

    Raises: UnreadableImage, ImageTooLarge naming the picture; ImageTooLarge for all together, before any is decoded.
    """
    call: Call = work.payload
    check_total(call, max_pixels)
    yield from call.images
    for upload in call.pictures:
        if work.is_cancelled:
            return
        yield decode_upload(upload, max_pixels)


def check_total(call: Call, max_pixels: int) -> None:
    """Refuse encoded pictures with too many pixels together. Raises: ImageTooLarge; UnreadableImage for a broken header."""
    if len(call.pictures) <= FULL_PICTURES:  # each is held against the limit by itself
        return
    total, most = sum(map(count_pixels, call.pictures)), FULL_PICTURES * max_pixels
    if total > most:
        raise ImageTooLarge(
            f"expected at most {most:,} pixels in the pictures of one request, their headers say {total:,} in "
            f"{len(call.pictures)} pictures; send several requests"
        )


def count_pixels(upload: Upload) -> int:
    """Pixels of a picture, as its header says. Raises: UnreadableImage."""
    content = read_content(upload)
    plain = read_jpeg_header(content)
    header = probe_image(content, upload.name) if plain is None else plain
    return header.width * header.height


def decode_upload(upload: Upload, max_pixels: int) -> np.ndarray:
    """An uploaded picture as `uint8 (H, W, 3)` RGB. Raises: UnreadableImage, ImageTooLarge naming it."""
    return decode_image(read_content(upload), max_pixels, upload.name)


def read_content(upload: Upload) -> bytes:
    """The bytes of a picture. Raises: UnreadableImage when there are none."""
    if not upload.content:
        raise UnreadableImage(f"{upload.name} is empty; send the bytes of a picture")
    return bytes(upload.content)
