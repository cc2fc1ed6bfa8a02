"""Bytes to requests: llhttp (through httptools) with bounds on heads, and with one kind of error, the Refusal.

A header reaches a callback only when its line has ended, and it may never end: so the bytes of an unfinished head are counted
as well, where it is certain that they are a head's, and so are those in a body that reach nobody: trailers, lines of chunks.
Chunks are counted, for each costs the event loop the same, be it of one byte.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import httptools
import msgspec

from sightline.serving.http.connections.request_head import Headers, RequestHead, read_head
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.problems import INTERNAL_ERROR
from sightline.serving.http.refusals import Refusal
from sightline.serving.http.request_body import make_too_large

FREE_CHUNKS = 1024  # of a body, however small
MIN_CHUNK_BYTES = 256  # on average, of a body of more

logger = logging.getLogger("sightline.serving")


class ParsedRequest(msgspec.Struct, frozen=True):
    """A request whose head is complete and sound. Attributes: keep_alive: its client may send another one behind it."""

    method: bytes
    version: str
    target: bytes
    headers: Headers
    head: RequestHead
    keep_alive: bool


class RequestTaker(Protocol):
    """Who is told of requests as they come."""

    def begin_request(self) -> None:
        """The first byte of a request came."""

    def take_request(self, request: ParsedRequest) -> None:
        """Its head is complete. Raises: Refusal."""

    def take_body(self, body: bytes) -> None:
        """A part of its body came. Raises: Refusal."""

    def end_request(self) -> None:
        """Its body is complete."""


class RequestParser:
    """Parses the requests of one connection.

    Args:
        limits: of heads and announced bodies.
        websocket_prefix: only paths below it may become WebSockets.
        taker: is told of requests.

    Attributes:
        is_in_head: a request has begun whose head is not complete.
    """

    def __init__(self, limits: ConnectionLimits, websocket_prefix: str | None, taker: RequestTaker) -> None:
        self._limits = limits
        self._websocket_prefix = websocket_prefix
        self._taker = taker
        self._parser = httptools.HttpRequestParser(self)
        # What follows a last request is ignored by the connection rather than an error, so that the last one is answered.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._error: Refusal | None = None  # raised in a callback; httptools raises another error in its place
        self._begin_head()
        self.is_in_head = False
        self._is_in_body = self._is_websocket = False
        self._begun = 0  # requests that began in the bytes just parsed
        self._was_body = False  # whether these held some of a body
        self._chunks = self._body_bytes = 0  # of the body that is being read
        self._unparsed_bytes = 0  # left of the body of a request whose upgrade is not followed

    def feed(self, data: bytes) -> bytes | None:
        """Parse what came. Returns: what follows the head of a request that becomes a WebSocket, else None.

        Raises: Refusal; nothing more can be parsed then.
        """
        was_in_body = self._is_in_body
        self._begun, self._was_body = 0, False
        if (rest := self._parse(self._take_unparsed(data))) is not None:
            return rest
        is_head_only = self.is_in_head and not was_in_body and self._begun <= 1
        if is_head_only or (self._is_in_body and was_in_body and not self._was_body):
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > self._limits.max_header_bytes:
                raise self._too_many_headers()
        return None

    def _parse(self, data: bytes) -> bytes | None:
        """An upgrade to anything but a WebSocket is not followed (RFC 9110 §7.8): Java's client asks for h2c by itself.

        httptools takes the body of such a request for the other protocol, and stands behind the head: the body is counted here.
        """
        rest = data
        while rest:
            try:
                self._parser.feed_data(rest)
                return None
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                if self._is_websocket:
                    return rest
                rest = self._take_unparsed(rest)
            except httptools.HttpParserError as error:
                raise self._error or describe_parser_error(error) from None
        return None

    def _take_unparsed(self, data: bytes) -> bytes:
        """Take what is of a body that httptools does not parse. Returns: what follows. Raises: Refusal."""
        if not self._unparsed_bytes:
            return data
        body, rest = data[: self._unparsed_bytes], data[self._unparsed_bytes :]
        if body:
            self._unparsed_bytes -= len(body)
            self.on_body(body)
            if not self._unparsed_bytes:
                self.on_message_complete()
        return rest

    def describe_request(self) -> tuple[str, str]:
        """Method and path of the request that is being read, without its query; empty where they have not come yet."""
        if not self._target:
            return "", ""
        return self._parser.get_method().decode("ascii"), self._target.partition(b"?")[0].decode("latin-1")

    @property
    def headers(self) -> Headers:
        """Headers of the request that is being read, as far as they have come; names in lower case."""
        return self._headers

    # What httptools calls

    def on_message_begin(self) -> None:
        """First byte of a request."""
        self._begun += 1
        self._begin_head()
        self._taker.begin_request()

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; behind a body in chunks a trailer, which is counted and not used."""
        if self.is_in_head:
            self._headers.append((name.lower(), value))
        self._head_bytes += len(name) + len(value) + 4
        if len(self._headers) > self._limits.max_headers or self._head_bytes > self._limits.max_header_bytes:
            self._error = self._too_many_headers()
            raise self._error

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self.is_in_head = False
        self._is_in_body = True
        self._unfinished_bytes = self._chunks = self._body_bytes = 0
        self._remember_refusal(self._finish_head)

    def on_chunk_header(self) -> None:
        """A chunk of a body begins."""
        self._chunks += 1
        if self._chunks > FREE_CHUNKS + self._body_bytes // MIN_CHUNK_BYTES:
            self._error = Refusal(
                400, f"expected chunks of {MIN_CHUNK_BYTES} bytes on average beyond the first {FREE_CHUNKS}; send larger ones"
            )
            raise self._error

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._was_body, self._unfinished_bytes = True, 0
        self._body_bytes += len(body)
        self._remember_refusal(self._taker.take_body, body)

    def on_message_complete(self) -> None:
        """The body is complete, or begins to be read here."""
        if self._unparsed_bytes:
            return
        self._is_in_body = False
        self._taker.end_request()

    def _finish_head(self) -> None:
        if len(self._target) > self._limits.max_header_bytes:
            raise Refusal(414, f"expected a URL of at most {self._limits.max_header_bytes} bytes; shorten it")
        method, version = self._parser.get_method(), self._parser.get_http_version()
        head = read_head(method, version, self._target, self._headers, self._websocket_prefix)
        if head.length is not None and head.length > self._limits.max_body_bytes:
            raise make_too_large(self._limits.max_body_bytes)
        self._is_websocket, is_upgrade = head.is_websocket, self._parser.should_upgrade()
        if head.is_websocket and not is_upgrade:
            raise Refusal(400, "expected a WebSocket request with Connection: Upgrade, or one without Upgrade")
        if is_upgrade and head.length is None:
            raise Refusal(400, "expected a Content-Length beside Upgrade, got a body in chunks; leave Upgrade out")
        self._unparsed_bytes = head.length or 0 if is_upgrade else 0
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        self._taker.take_request(ParsedRequest(method, version, self._target, self._headers, head, keep_alive))

    def _remember_refusal(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Refusal as refusal:
            self._error = refusal
            raise

    def _begin_head(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._head_bytes = self._unfinished_bytes = 0
        self.is_in_head = True

    def _too_many_headers(self) -> Refusal:
        limits = self._limits
        most = f"{limits.max_headers} headers of {limits.max_header_bytes} bytes together"
        return Refusal(431, f"expected at most {most}; send fewer")


def describe_parser_error(error: httptools.HttpParserError) -> Refusal:
    """400 with the parser's own words; 500 for a defect in a callback, whose traceback goes to the log."""
    if isinstance(error, httptools.HttpParserCallbackError):
        logger.error("a defect while reading a request", exc_info=error)
        return Refusal(500, INTERNAL_ERROR)
    return Refusal(400, f"this is no sound HTTP/1.1 request: {str(error)[:100]}")
