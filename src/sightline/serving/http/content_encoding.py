"""The Content-Encoding of bodies: undone for requests, wherever one may come compressed, and applied for those who ask for it.

Decompression stops at the same limit as reading does, so a small bomb costs no more memory than a large honest body.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sightline.core.errors import InvalidInput
from sightline.serving.http.refusals import Refusal
from sightline.serving.http.request_body import Hold, make_too_large

GZIP, ZLIB = zlib.MAX_WBITS | 16, zlib.MAX_WBITS  # "deflate" means the zlib format: RFC 9110 §8.4.1.2
WINDOWS = {"gzip": GZIP, "deflate": ZLIB}
COMPRESSION_LEVEL = 1  # tensors of floats hardly shrink more at 6, which takes several times as long
DECOMPRESSIONS = 2  # at once, for what each takes is counted only when it is done


class Decompressor:
    """Decompresses bodies on threads, a few at once.

    Args:
        max_bytes: largest body when decompressed.
        hold: counts decompressed bodies.
    """

    def __init__(self, max_bytes: int, hold: Hold) -> None:
        self._max_bytes = max_bytes
        self._hold = hold
        self._places = asyncio.Semaphore(DECOMPRESSIONS)

    @asynccontextmanager
    async def undo(self, body: bytes, encoding: str) -> AsyncIterator[bytes]:
        """The body as it was before its client compressed it. Raises: Refusal, InvalidInput as `decompress_body`; Exhausted."""
        async with AsyncExitStack() as held:
            async with self._places:
                body = await asyncio.to_thread(decompress_body, body, encoding, self._max_bytes)
                held.enter_context(self._hold(len(body)))
            yield body


def read_encoding(header: bytes) -> str:
    """The coding that a Content-Encoding header names; "" for none."""
    encoding = header.decode("latin-1").strip().lower()
    return "" if encoding == "identity" else encoding


def decompress_body(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo a Content-Encoding, which the client states.

    Args:
        encoding: "gzip" or "deflate".
        max_bytes: largest body when decompressed.

    Raises: Refusal 413 or 415; InvalidInput for a body that is damaged or cut off.
    """
    if encoding not in WINDOWS:
        raise Refusal(415, f"expected Content-Encoding gzip or deflate, got {encoding[:100]!r}; send the body as it is")
    decompressor = zlib.decompressobj(WINDOWS[encoding])
    try:
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is no {encoding}: {error}; compress it again") from error
    if len(content) > max_bytes:
        raise make_too_large(max_bytes)
    if not decompressor.eof:
        raise InvalidInput(f"the {encoding} of the body is cut off; send all of it")
    if decompressor.unused_data:  # gzip may hold many members, but no client sends them, and each would copy the rest
        raise InvalidInput(f"{len(decompressor.unused_data)} bytes follow the {encoding} of the body; send nothing after it")
    return content


def choose_encoding(accepted: bytes) -> str:
    """The coding an answer gets for an Accept-Encoding header, "" for none.

    Only a header that names exactly one coding is a wish, as `tritonclient` states it; HTTP libraries send lists of all they
    can undo with every request, and compressing for them would cost more time than it saves.
    """
    encoding = accepted.decode("latin-1").strip().lower()
    return encoding if encoding in WINDOWS else ""


def compress_body(body: bytes, encoding: str) -> bytes:
    """Apply a coding of `choose_encoding`."""
    compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=WINDOWS[encoding])
    return compressor.compress(body) + compressor.flush()
