"""Read a request's body up to a limit and undo its Content-Encoding; compress an answer for those who ask for it.

A body that arrives in one message, as all do behind our own edge, is not copied; the edge also sees to bodies that are late.
Decompression stops at the same limit as reading does, so a small bomb costs no more memory than a large honest body.
"""

import zlib
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from sightline.core.errors import InvalidInput

MAX_DIGITS = 18  # of a length that is a number to us
GZIP, ZLIB = zlib.MAX_WBITS | 16, zlib.MAX_WBITS  # "deflate" means the zlib format: RFC 9110 §8.4.1.2
WINDOWS = {"gzip": GZIP, "deflate": ZLIB}
COMPRESSION_LEVEL = 1  # tensors of floats hardly shrink more at 6, which takes several times as long


async def read_body(receive: Receive, max_bytes: int, announced: bytes = b"") -> bytes:
    """The whole body.

    Args:
        receive: of the ASGI application.
        max_bytes: largest body that is read.
        announced: the Content-Length header; more than the limit is refused before the first byte is read.

    Raises: HTTPException 413; ClientDisconnect when the client hung up.
    """
    if announced.isdigit() and (len(announced) > MAX_DIGITS or int(announced) > max_bytes):
        raise too_large(max_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return _check_size(message.get("body", b""), max_bytes)
    return b"".join(await _read_chunks(message, receive, max_bytes))


async def _read_chunks(message: Message, receive: Receive, max_bytes: int) -> list[bytes]:
    chunks, size_bytes = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks
        message = await receive()


def _check_size(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    return body


def too_large(max_bytes: int) -> HTTPException:
    """413."""
    return HTTPException(413, f"the body is larger than the limit of {max_bytes} bytes; send less at once")


def decompress_body(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo a Content-Encoding, which the client states.

    Args:
        encoding: "gzip" or "deflate".
        max_bytes: largest body when decompressed.

    Raises: HTTPException 413 or 415; InvalidInput for a body that is damaged or cut off.
    """
    if encoding not in WINDOWS:
        raise HTTPException(415, f"expected Content-Encoding gzip or deflate, got {encoding[:100]!r}; send the body as it is")
    decompressor = zlib.decompressobj(WINDOWS[encoding])
    try:
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is no {encoding}: {error}; compress it again") from error
    if len(content) > max_bytes:
        raise too_large(max_bytes)
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


def find_compressor(encoding: str) -> Callable[[bytes], bytes]:
    """The function that applies a coding of `choose_encoding`."""
    if not encoding:
        return bytes

    def compress(body: bytes) -> bytes:
        compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=WINDOWS[encoding])
        return compressor.compress(body) + compressor.flush()

    return compress
