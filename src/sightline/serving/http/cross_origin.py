"""What a browser is told about the pages of another site that may ask: whom the answer is for, and what such a page may send.

The protocol is CORS (Fetch Standard, "HTTP-CORS protocol"): before a request that a plain form could not send, a browser asks
with OPTIONS, without a key, whether it may; and no page reads an answer that does not name its origin. Only listed origins are
ever named, never "*", and never with credentials: a key travels in a header of its own, not in a cookie.
"""

from collections.abc import Iterable

from starlette.responses import Response

PREFLIGHT_MARK = b"access-control-request-method"  # the header that makes an OPTIONS request such a question
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Encoding, Content-Type, Inference-Header-Content-Length, "
    "Last-Event-ID, X-API-Key, X-Request-Id",
    "Access-Control-Max-Age": "7200",
}
READABLE_HEADERS = b"x-request-id, retry-after, inference-header-content-length"


def read_origins(origins: Iterable[str]) -> frozenset[bytes]:
    """Listed origins, such as "https://lab.example:8080", as they are compared with what browsers send, in lower case."""
    return frozenset(origin.lower().rstrip("/").encode() for origin in origins)


def answer_preflight() -> Response:
    """What a page of a listed origin may send; whom the answer is for, `list_cross_origin_headers` adds."""
    return Response(status_code=204, headers=PREFLIGHT_HEADERS)


def list_cross_origin_headers(origin: bytes) -> list[tuple[bytes, bytes]]:
    """What lets a page of a listed origin read an answer. Args: origin: as the browser sent it."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", READABLE_HEADERS),
        (b"vary", b"Origin"),
        (b"cross-origin-resource-policy", b"cross-origin"),
    ]
