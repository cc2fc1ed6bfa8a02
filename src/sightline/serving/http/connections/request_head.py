"""Read the head of a request strictly: whatever two programs could read differently is refused before anybody acts on it.

Request smuggling lives on such differences: a proxy in front sees one request where the server sees two. The parser
(llhttp) already refuses bare LF, folded headers, NUL, spaces before a colon, repeated or odd lengths and a length beside
chunks; here follows what it lets pass: other transfer codings, HTTP/1.0 with chunks, other versions, missing or differing
hosts, upgrades, escaped control characters and escaped slashes (RFC 9112 §3.2, §6.1, §11.2; RFC 9110 §7.2, §7.8).
"""

import re
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from sightline.serving.http.refusals import Refusal

Headers = list[tuple[bytes, bytes]]

SPECIAL = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"))
HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
ESCAPED_SLASH = re.compile(r"%2f|%5c", re.IGNORECASE)  # "a%2fb" is one name to some programs, "a" with "b" in it to others
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
REFUSED_METHODS = frozenset((b"TRACE", b"CONNECT"))


class RequestHead(msgspec.Struct, frozen=True):
    """What a head says, once it is found sound.

    Attributes:
        path: percent-decoded; raw_path, query: as they came.
        length: bytes of the body as announced; None when it comes in chunks.
        expects_continue: the client waits for "100 Continue" before it sends the body.
        is_websocket: it asks to become a WebSocket.
    """

    path: str
    raw_path: bytes
    query: bytes
    length: int | None
    expects_continue: bool
    is_websocket: bool


def read_head(method: bytes, version: str, target: bytes, headers: Headers, websocket_prefix: str | None) -> RequestHead:
    """Check a head and take it apart.

    Args:
        method, version, target: of the request line; version is "1.1" or "1.0".
        headers: names in lower case.
        websocket_prefix: only paths below it may become WebSockets; None: no path may.

    Raises: Refusal with the status and one line for the client.
    """
    if version not in ("1.1", "1.0"):
        raise Refusal(400, "expected HTTP/1.1 or HTTP/1.0; send the request in one of them")
    if method in REFUSED_METHODS:
        raise Refusal(400, f"{method.decode()} is not served; this is no proxy")
    special = _pick_special(headers)
    host = _check_host(special.get(b"host"), version)
    path_bytes = _find_path(target, host)
    raw_path, _, query = path_bytes.partition(b"?")
    path = raw_path.decode("ascii")
    if "%" in path:
        if ESCAPED_SLASH.search(path):
            raise Refusal(400, "expected a path without escaped slashes (%2F, %5C); correct the URL: no name has one")
        path = unquote(path)
        if CONTROL.search(path):
            raise Refusal(400, "expected a path without control characters; correct the URL")
    length = _read_length(special, version)
    expects_continue = _read_expectation(special.get(b"expect"))
    is_websocket = _read_upgrade(special.get(b"upgrade"), path, method, websocket_prefix)
    if is_websocket and length != 0:
        raise Refusal(400, "expected a WebSocket request without a body, got one that announces a body; leave it out")
    return RequestHead(path, raw_path, query, length, expects_continue, is_websocket)


def _pick_special(headers: Headers) -> dict[bytes, bytes]:
    special: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in SPECIAL:
            if name in special:
                raise Refusal(400, f"expected one {name.decode()} header, got several; send it once")
            special[name] = value
    return special


@lru_cache(maxsize=64)
def _check_host(host: bytes | None, version: str) -> bytes | None:
    if host is None:
        if version == "1.1":
            raise Refusal(400, "expected a Host header; HTTP/1.1 needs one")
        return None
    if not HOST.fullmatch(host):
        raise Refusal(400, "expected a Host header like name:port, got something else; correct it")
    return host.lower()


def _find_path(target: bytes, host: bytes | None) -> bytes:
    """The path and query of the request target; an absolute URL must name the Host it is sent to."""
    if b"#" in target:
        raise Refusal(400, "expected a request target without a fragment; leave out what follows '#'")
    if target.startswith(b"/"):
        return target
    scheme, _, rest = target.partition(b"://")
    if scheme.lower() not in (b"http", b"https") or not rest:
        raise Refusal(400, "expected a request target that begins with '/'; correct the URL")
    authority, slash, path = rest.partition(b"/")
    bare, mark, query = authority.partition(b"?")
    if bare.lower() != host:
        raise Refusal(400, "expected the URL's host to equal the Host header; send the request to one server only")
    return slash + path if slash else b"/" + mark + query


def _read_length(special: dict[bytes, bytes], version: str) -> int | None:
    coding, length = special.get(b"transfer-encoding"), special.get(b"content-length")
    if coding is None:
        if length is None:
            return 0
        if not length.isdigit():
            raise Refusal(400, "expected a Content-Length of digits; correct it")
        return int(length)
    if length is not None:
        raise Refusal(400, "expected Content-Length or Transfer-Encoding, got both; send one")
    if version == "1.0":
        raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding; use HTTP/1.1 or a Content-Length")
    if coding.lower() != b"chunked":
        raise Refusal(400, "expected Transfer-Encoding: chunked and no other; send the body plain")
    return None


def _read_expectation(expect: bytes | None) -> bool:
    if expect is None:
        return False
    if expect.lower() != b"100-continue":
        raise Refusal(417, "expected Expect: 100-continue and no other; leave it out")
    return True


def _read_upgrade(upgrade: bytes | None, path: str, method: bytes, websocket_prefix: str | None) -> bool:
    if upgrade is None or upgrade.lower() != b"websocket":
        return False  # to anything else it is not followed
    if method != b"GET" or websocket_prefix is None or not path.startswith(websocket_prefix):
        raise Refusal(400, "this path speaks HTTP/1.1 only; send the request without Upgrade")
    return True
