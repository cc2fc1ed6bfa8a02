"""Compress an answer for those who ask for it."""

import zlib
from collections.abc import Callable

from sightline.serving.http.content_encoding import WINDOWS

COMPRESSION_LEVEL = 1  # tensors of floats hardly shrink more at 6, which takes several times as long


def choose_encoding(accepted: bytes) -> str:
    """The coding an answer gets for an Accept-Encoding header, "" for none.

    Only a header that names exactly one coding is a wish, as `tritonclient` states it; HTTP libraries send lists of all they
    can undo with every request, and compressing for them would cost more time than it saves.
    """
    encoding = accepted.decode("latin-1").strip().lower()
    return encoding if encoding in WINDOWS else ""


def find_compressor(encoding: str) -> Callable[[bytes], bytes]:
    """The function that applies a coding of `choose_encoding`."""
    if not encoding:
        return bytes

    def compress(body: bytes) -> bytes:
        compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=WINDOWS[encoding])
        return compressor.compress(body) + compressor.flush()

    return compress
