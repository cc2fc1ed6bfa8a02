"""Exchange: one request and its answer on a connection, as an ASGI application sees them.

The body is handed over whole, in one message, as soon as all of it is there: pictures cannot be decoded by halves, and one
wake-up a request is all the event loop pays. Only bodies beyond WHOLE_BYTES (uploaded videos) come in pieces, and no more is
read from the client than the application takes. What was handed over stays counted until the answer is complete, or until an
application that has said `let_go_of_pieces` asks for the next piece. Small answers leave in one write, head and body together.
"""

import asyncio
import logging
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Scope

from sightline.serving.http.connections.rules import Gate
from sightline.serving.http.problems import INTERNAL_ERROR
from sightline.serving.http.refusals import STATUS_LINES, Refusal

JOINED_BYTES = 64 * 1024  # larger bodies are written by themselves rather than copied behind their head
TLS_PIECE_BYTES = 64 * 1024  # of an answer: a transport of TLS encrypts what it is given at once, and then counts it no more
WHOLE_BYTES = 16 * 1024 * 1024
SMALL_PART_BYTES = 4096  # of a body: smaller ones are joined as they come, for each would be an object of more than its bytes
BODILESS = frozenset((204, 304))
LETS_GO = "lets_go_of_pieces"
NOBODY_WAITS = "nobody_waits"

logger = logging.getLogger("sightline.serving")


class ClientGone(OSError):  # noqa: N818 - no error of ours
    """The client hung up: there is nobody to send to."""


def let_go_of_pieces(scope: Scope) -> None:
    """Say that the reader of this request's body keeps nothing of a piece once it asks for the next one."""
    scope.setdefault("state", {})[LETS_GO] = True


def is_ended_by_server(scope: Scope) -> bool:
    """Whether this request is cancelled because the server ends: its client still waits, and is answered 503."""
    return NOBODY_WAITS not in scope["state"]


class Connection(Protocol):
    """What an exchange asks of the connection it came on."""

    is_write_paused: bool

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes."""

    def read_on(self) -> None:
        """The client may send more of the body."""

    def uncount(self, size_bytes: int) -> None:
        """So many bytes of the body are held no more."""

    async def wait_writable(self) -> None:
        """Return when the client has read on, or has gone."""

    def default_header_lines(self) -> list[bytes]:
        """Headers that stand in every answer."""

    def can_go_on(self, exchange: "Exchange") -> bool:
        """Whether the connection can be kept after this answer."""

    def finish(self, exchange: "Exchange") -> None:
        """The answer is complete."""

    def refuse_current(self, refusal: Refusal, exchange: "Exchange") -> None:
        """Send a refusal in place of the answer, and end the connection."""

    def abort(self) -> None:
        """End the connection now."""


class Exchange:
    """One request and its answer. Used on the event loop only.

    Args:
        connection: it came on.
        scope: ASGI's facts of it.
        length: bytes of the body as announced; None when it comes in chunks.
        expects_continue: the client waits for "100 Continue".
        keep_alive: the connection may go on afterwards.

    Attributes:
        received_bytes: of the body so far.
        is_whole: the body is complete. is_answered: the answer is complete. is_dropped: nobody waits for it any more.
    """

    __slots__ = (
        "_body_is_given", "_connection", "_given_bytes", "_head", "_held_bytes", "_is_chunked", "_left_bytes", "_parts",
        "_waiter", "expects_continue", "has_started", "is_answered", "is_dropped", "is_whole", "keep_alive", "length",
        "received_bytes", "scope", "task",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, scope: Scope, length: int | None, expects_continue: bool, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.scope = scope
        self.length = length
        self.expects_continue = expects_continue
        self.keep_alive = keep_alive
        self.received_bytes = 0
        self.is_whole = self.is_answered = self.is_dropped = self.has_started = False
        self.task: asyncio.Task[None] | None = None
        self._parts: list[bytes | bytearray] = []
        self._held_bytes = self._given_bytes = 0  # what is counted, and how much of that the application has in pieces
        self._body_is_given = False
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None  # written with the first part of the body
        self._is_chunked = False
        self._left_bytes: int | None = None

    # What the connection tells it

    def add_body(self, body: bytes) -> int:
        """A part of the body came. Returns: how much of it is held; nothing once nobody will read it any more."""
        self.received_bytes += len(body)
        if self.is_answered:
            return 0
        self._keep_part(body)
        self._held_bytes += len(body)
        if self.is_full:
            self._wake()
        return len(body)

    def _keep_part(self, part: bytes) -> None:
        """Keep it as it came if it is the first, or large: the parts of most bodies are copied once, when they are joined."""
        if not self._parts or len(part) >= SMALL_PART_BYTES:
            self._parts.append(part)
        elif isinstance(last := self._parts[-1], bytearray):
            last += part
        else:
            self._parts.append(bytearray(part))

    @property
    def is_full(self) -> bool:
        """Whether so much of the body waits for the application that no more is to be read."""
        return self._held_bytes - self._given_bytes >= WHOLE_BYTES

    def release_body(self) -> int:
        """Let go of the body, also of what the application has of it. Returns: how many bytes were held."""
        held_bytes, self._held_bytes, self._given_bytes = self._held_bytes, 0, 0
        self._parts.clear()
        return held_bytes

    def end_body(self) -> None:
        """The body is complete."""
        self.is_whole = True
        self._wake()

    def note_status(self, status: int) -> bool:
        """Put a status into the guard's record of the request, unless the head of an answer has left.

        Returns: whether the guard reports the request.
        """
        record = self.scope["state"].get("record")
        if record is not None and not self.has_started:
            record.status = status
        return record is not None or self.is_answered  # at the gate, which has reported it

    def drop(self) -> None:
        """Nobody waits for the answer: end the application's task."""
        self.is_dropped = True
        self.scope["state"][NOBODY_WAITS] = True
        if self.task is not None and not self.is_answered:
            self.task.cancel()
        self._wake()

    def answer_at_gate(self, gate: Gate) -> bool:
        """Send what the gate answers. Returns: False when it let the request through to the application."""
        try:
            refused = gate(self.scope)
            if refused is None:
                return False
            self._send_head(refused.status_code, refused.raw_headers)
            self._send_body(bytes(refused.body), more_body=False)
        except Exception:
            logger.exception("internal error at the gate: %s", self._describe())
            self._break_off(500, INTERNAL_ERROR)
        return True

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.is_answered and not self.is_dropped:
                raise RuntimeError("the application returned without a complete answer")
        except asyncio.CancelledError:
            self._break_off(503, "the server is stopping; send the request again elsewhere or later")
        except ClientGone:
            pass
        except Exception:  # the border of the process: the log gets the traceback, the client one line
            logger.exception("internal error at %s", self._describe())
            self._break_off(500, INTERNAL_ERROR)

    def _describe(self) -> str:
        return f"{self.scope['method']} {self.scope['path'][:200]}"

    def _break_off(self, status: int, detail: str) -> None:
        if self.is_dropped or self.is_answered:
            return
        self.is_answered = True
        if self.has_started:
            self._connection.abort()
        else:
            self._connection.refuse_current(Refusal(status, detail), self)

    # What the application calls

    async def receive(self) -> Message:
        """ASGI: the whole body, then, when the client hangs up or the answer is complete, the end."""
        if not self._body_is_given and not self.is_answered:  # what comes of a body after the answer is thrown away
            if self.expects_continue and not self.is_whole and not self.received_bytes and not self.is_dropped:
                self.expects_continue = False
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self._given_bytes and LETS_GO in self.scope["state"]:
                self._connection.uncount(self._given_bytes)
                self._held_bytes -= self._given_bytes
                self._given_bytes = 0
            while not (self.is_whole or self.is_full or self.is_dropped or self.is_answered):
                await self._wait()
            if not self.is_dropped and not self.is_answered:
                return self._take_body()
        while not self.is_answered and not self.is_dropped:
            await self._wait()
        return {"type": "http.disconnect"}

    def _take_body(self) -> Message:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._body_is_given = self.is_whole
        self._parts.clear()  # it stays counted
        if not self.is_whole:
            self._given_bytes = self._held_bytes
            self._connection.read_on()
        return {"type": "http.request", "body": body, "more_body": not self.is_whole}

    async def send(self, message: Message) -> None:
        """ASGI: the answer's head, then parts of its body. Raises: ClientGone."""
        if self.is_dropped:
            raise ClientGone("the client hung up")
        kind = message["type"]
        if (kind == "http.response.start") != (self._head is None):
            raise RuntimeError(f"expected one http.response.start, then http.response.body, got {kind}")
        if self._head is None:
            self._send_head(message["status"], message.get("headers", ()))
            return
        self._send_body(message.get("body", b""), message.get("more_body", False))
        if self._connection.is_write_paused and not self.is_answered:
            await self._connection.wait_writable()

    def _send_head(self, status: int, headers: Any) -> None:
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status]
        for name, value in headers:
            if name == b"content-length":
                self._left_bytes = int(value)
            elif name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            elif name == b"transfer-encoding":
                continue
            lines.append(name + b": " + value)
        has_body = status not in BODILESS and self.scope["method"] != "HEAD"
        if has_body and self._left_bytes is None:
            if self.scope["http_version"] == "1.1":
                self._is_chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:
                self.keep_alive = False
        if not has_body:
            self._left_bytes = 0
        if not self.keep_alive or not self._connection.can_go_on(self):
            self.keep_alive = False
            lines.append(b"connection: close")
        lines += self._connection.default_header_lines()
        head = b"\r\n".join(lines)
        if head.count(b"\r") + 1 != len(lines) or head.count(b"\n") + 1 != len(lines) or b"\0" in head:
            raise RuntimeError("a header of the answer holds a line break")
        self._head = head + b"\r\n\r\n"
        if self._is_chunked:  # a stream's first event may be long in coming
            self._start(b"")

    def _start(self, body: bytes) -> None:
        assert self._head is not None
        self.has_started = True
        if len(body) <= JOINED_BYTES:
            self._connection.write(self._head + body)
        else:
            self._connection.write(self._head)
            self._write_large(body)
        self._head = b""

    def _write_large(self, body: bytes) -> None:
        """Write a body so that what its client has not read is known: over TLS in pieces, of which the later ones wait."""
        if self.scope["scheme"] != "https" or len(body) <= TLS_PIECE_BYTES:
            self._connection.write(body)
            return
        view = memoryview(body)
        for first in range(0, len(body), TLS_PIECE_BYTES):
            self._connection.write(view[first : first + TLS_PIECE_BYTES])

    def _send_body(self, body: bytes, more_body: bool) -> None:
        if self.is_answered:
            raise RuntimeError("expected nothing after the answer's end")
        if self._left_bytes is not None:
            body = b"" if self.scope["method"] == "HEAD" else body
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (not more_body and self._left_bytes):
                self._connection.abort()
                raise RuntimeError("the answer's body does not have the announced Content-Length")
        if self._is_chunked:
            body = (b"%x\r\n" % len(body) + body + b"\r\n") if body else b""
            body += b"" if more_body else b"0\r\n\r\n"
        if not self.has_started:
            self._start(body)
        elif body:
            self._write_large(body)
        if not more_body:
            self.is_answered = True
            self._wake()
            self._connection.finish(self)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
