"""What a browser is told about the pages of another site that may ask: whom the answer is for, and what such a page may send.

The protocol is CORS (Fetch Standard, "HTTP-CORS protocol"): before a request that a plain form could not send, a browser asks
with OPTIONS, without a key, whether it may; and no page reads an answer that does not name its origin. Only listed origins are
ever named, never "*", and never with credentials: a key travels in a header of its own, not in a cookie.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address

from starlette.responses import Response

from sightline.core.errors import InvalidInput

PREFLIGHT_MARK = b"access-control-request-method"  # the header that makes an OPTIONS request such a question
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Encoding, Content-Type, Inference-Header-Content-Length, "
    "Last-Event-ID, X-API-Key, X-Request-Id",
    "Access-Control-Max-Age": "7200",
}
ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,9}))?")
OWN_PORTS = {"http": 80, "https": 443}
LARGEST_PORT = 65535
READABLE_HEADERS = b"x-request-id, retry-after, inference-header-content-length"


def read_origins(origins: Iterable[str]) -> frozenset[bytes]:
    """Listed origins, such as "https://lab.example:8080", as browsers send them.

    In lower case, as they are compared, without a scheme's own port, and IPv6 addresses as short as can be.

    Raises: InvalidInput for what no browser sends.
    """
    return frozenset(_read_origin(origin) for origin in origins)


def _read_origin(text: str) -> bytes:
    try:
        return _spell_origin(text.lower().rstrip("/")).encode()
    except ValueError as error:
        raise InvalidInput(
            f"expected --allow-origin https://NAME or https://NAME:PORT, got {text[:200]!r}; leave out the path"
        ) from error


def _spell_origin(text: str) -> str:
    """The spelling of browsers. Raises: ValueError for what is no origin."""
    found = ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("not SCHEME://HOST:PORT")
    scheme, host, digits = found.groups()
    if host.startswith("["):
        host = f"[{IPv6Address(host[1:-1])}]"
    port = None if digits is None else int(digits)
    if port is not None and port > LARGEST_PORT:
        raise ValueError("no such port")
    return f"{scheme}://{host}" if port is None or port == OWN_PORTS.get(scheme) else f"{scheme}://{host}:{port}"


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
