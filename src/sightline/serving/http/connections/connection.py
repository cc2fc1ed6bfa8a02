"""The server's end of a TCP connection: HTTP/1.1 under limits of size, time and number, for uvicorn's server loop.

    edge = Edge(ConnectionLimits(), websocket_prefix="/v2/streams")
    uvicorn.Config(app, http=make_connector(edge, gate), ...)

A connection is always in one phase, and the phase has a deadline that the edge's sweep looks at, so a request costs no timers.
A client that hangs up ends its request's task, and with it the work that waits in a queue. A request that breaks the rules is
answered here, before any application sees it, and the connection then ends.
"""

import asyncio
import logging
from collections import deque
from functools import partial
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.exchange import Exchange
from sightline.serving.http.connections.phase_clock import Phase, PhaseClock
from sightline.serving.http.connections.request_head import Headers
from sightline.serving.http.connections.request_parser import ParsedRequest, RequestParser
from sightline.serving.http.connections.rules import Gate
from sightline.serving.http.connections.tls_listener import Arrival
from sightline.serving.http.connections.websocket import WebSocket
from sightline.serving.http.problems import CLIENT_CLOSED_REQUEST
from sightline.serving.http.refusals import Refusal, write_refusal
from sightline.serving.http.request_body import make_too_large

ASGI = {"version": "3.0", "spec_version": "2.4"}
MAX_PIPELINED = 64  # requests that may stand behind the one being answered
LAST_BODY_S = 1.0  # for what a request lacks when the server begins to end
DISCARDED_BYTES = 1024 * 1024  # the rest of a refused request's body is read, to keep the connection, when no more is left

logger = logging.getLogger("sightline.serving")


def make_connector(edge: Edge, gate: Gate) -> type[asyncio.Protocol]:
    """What uvicorn's `Config(http=...)` takes: makes the connections of an edge."""
    return cast(type[asyncio.Protocol], partial(EdgeConnection, edge, gate))  # uvicorn only calls it


class EdgeConnection(asyncio.Protocol):
    """One connection. Requests are answered one after the other, in the order they came.

    Args:
        edge: its limits.
        gate: decides, once what came with the head of a request is parsed, whether the application is asked.
        config, server_state, app_state, _loop: of uvicorn's server.
        arrival: as what it was counted until its TLS handshake was over; None without one.

    Attributes:
        is_write_paused: the client reads slower than answers are written.
    """

    def __init__(
        self,
        edge: Edge,
        gate: Gate,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        arrival: Arrival | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.is_write_paused = False
        self._edge, self._gate, self._limits = edge, gate, edge.limits
        self._config, self._server_state, self._app_state = config, server_state, app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._arrival = arrival
        self._clock = PhaseClock(edge.limits, self._loop.time)
        self._parser = RequestParser(edge.limits, edge.websocket_prefix, self)
        self._websocket: WebSocket | None = None  # what the connection became
        self._upgrade: ParsedRequest | None = None  # what it is about to become
        self._incoming: Exchange | None = None  # whose body is being read
        # In order: the request being answered, those behind it, and a refusal as the last words.
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._last_words = b""
        self._is_deaf = False  # nothing more is parsed
        self._is_reading_paused = False
        self._writable: asyncio.Future[None] | None = None

    # What the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(cast(Any, self))
        client = get_remote_addr(self._transport)
        self._address = client[0] if client else ""
        self._scope = {
            "type": "http",
            "asgi": ASGI,
            "server": get_local_addr(self._transport),
            "client": client,
            "scheme": "https" if is_ssl(self._transport) else "http",
            "root_path": "",
        }
        if self._arrival is not None:
            self._arrival.end()
        refusal = self._edge.admit(self, self._address, self._loop)
        self._clock.enter("idle", self._limits.header_timeout_s)
        if refusal is not None:
            self._refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client hung up, or the connection was closed here."""
        self._server_state.connections.discard(cast(Any, self))
        self._edge.discharge(self, self._address)
        if self._websocket is not None:
            self._websocket.connection_lost(exc)
        self._is_deaf = True
        self._clock.stop()
        self._edge.count_unread(self, 0)
        if self._current is not None:
            self._current.note_status(CLIENT_CLOSED_REQUEST)
        self._forget_all()
        self._resume_writers()

    def eof_received(self) -> bool | None:
        """The client sends no more. It cannot be told from one that has gone, so the connection ends."""
        if self._websocket is not None:
            self._websocket.eof_received()
        return None

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        if self._websocket is not None:
            self._websocket.pause_writing()
            return
        self.is_write_paused = True
        self._count_unread()
        if self._clock.phase == "busy":
            self._clock.await_reader("busy")

    def resume_writing(self) -> None:
        """The client has read on."""
        if self._websocket is not None:
            self._websocket.resume_writing()
            return
        self._edge.count_unread(self, 0)
        if self._clock.phase == "busy":
            self._clock.enter("busy")
        self._resume_writers()
        if self._has_answered():
            self._advance()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._websocket is not None:
            self._websocket.data_received(data)
        elif not self._is_deaf:
            try:
                rest = self._parser.feed(data)
                if rest is not None and not self._is_deaf:
                    self._become_websocket(rest)
            except Refusal as refusal:
                if not self._is_deaf:  # else the connection ended while this was being parsed
                    self._refuse(refusal)

    # What the parser tells it

    def begin_request(self) -> None:
        """First byte of a request."""
        if self._current is None and not self._is_deaf:
            self._clock.enter("head", self._limits.header_timeout_s)

    def take_request(self, request: ParsedRequest) -> None:
        """The head is complete: start the application, or let the request wait for those before it. Raises: Refusal."""
        if self._is_deaf:
            return  # the connection ended while this was being parsed
        if request.head.is_websocket:
            if self._current is not None:
                raise Refusal(400, "a WebSocket request must wait for the answers before it")
            self._upgrade = request
            return
        last = self._waiting[-1] if self._waiting else self._current
        if last is not None and not last.keep_alive:
            return  # the client said that nothing would follow
        head = request.head
        scope = {
            **self._scope,
            "http_version": request.version,
            "method": request.method.decode("ascii"),
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "headers": request.headers,
            "state": self._app_state.copy(),
        }
        self._line_up(Exchange(self, scope, head.length, head.expects_continue, request.keep_alive))

    def take_body(self, body: bytes) -> None:
        """A part of the body came. Raises: Refusal."""
        exchange = self._incoming
        if exchange is None:
            return
        held_bytes = exchange.add_body(body)
        self._edge.buffered_bytes += held_bytes
        if exchange.received_bytes > self._limits.max_body_bytes:
            raise make_too_large(self._limits.max_body_bytes)
        if held_bytes and not self._edge.make_room():
            raise Refusal(503, "too many bodies are on their way; send the request again in a moment", 1)
        if exchange.is_full:
            self._pause_reading(True)
            self._clock.stop()  # it is the application that is slow
        elif exchange is self._current:
            self._clock.count_body(len(body))

    def end_request(self) -> None:
        """The body is complete."""
        exchange, self._incoming = self._incoming, None
        if exchange is None:
            return
        exchange.end_body()
        if exchange is self._current:
            if self.is_write_paused:
                self._await_reader("busy")
            else:
                self._clock.enter("busy")
            if exchange.is_answered:
                self._advance()

    def _line_up(self, exchange: Exchange) -> None:
        if self._current is None:
            self._incoming = exchange
            self._start(exchange)
            return
        if len(self._waiting) >= MAX_PIPELINED:
            raise Refusal(400, f"expected at most {MAX_PIPELINED} requests ahead of their answers; wait for answers")
        self._incoming = exchange
        self._waiting.append(exchange)
        self._pause_reading(True)

    # What an exchange calls

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes, unless the connection is closing."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def read_on(self) -> None:
        """The application has taken a piece of the current body: the client may send more."""
        self._pause_reading(False)
        self._clock.enter_body()

    def uncount(self, size_bytes: int) -> None:
        """The application has let go of a piece."""
        self._edge.buffered_bytes -= size_bytes

    async def wait_writable(self) -> None:
        """Return when the client has read on, or has gone."""
        if self.is_write_paused:
            if self._writable is None:
                self._writable = self._loop.create_future()
            await asyncio.shield(self._writable)

    def default_header_lines(self) -> list[bytes]:
        """Headers that stand in every answer."""
        return self._edge.header_lines(self._server_state.default_headers)

    def can_go_on(self, exchange: Exchange) -> bool:
        """Whether the connection can be kept: the body is there, or what is left of it is small enough to be read."""
        if exchange.is_whole:
            return True
        if exchange.length is None or exchange.expects_continue:
            return False
        return exchange.length - exchange.received_bytes <= DISCARDED_BYTES

    def finish(self, exchange: Exchange) -> None:
        """The answer is complete."""
        self._server_state.total_requests += 1
        self._edge.buffered_bytes -= exchange.release_body()
        if exchange.keep_alive:
            if exchange.is_whole:
                self._advance()
            else:
                self._pause_reading(False)  # what is left of the body is thrown away
            return
        self._current = None
        self._forget_all()
        if exchange.is_whole:
            self._close()
        else:
            self._linger()

    def refuse_current(self, refusal: Refusal, exchange: Exchange) -> None:
        """The application broke off before it answered: send this in its place and end the connection."""
        self._forget_all()
        self._last_words = self._write_refusal(refusal, exchange.scope["path"], exchange.scope["headers"])
        self._advance()

    def abort(self) -> None:
        """End the connection now; what is not sent is lost."""
        self._is_deaf = True
        self._edge.count_unread(self, 0)
        self._transport.abort()

    # The order of answers

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        if exchange.is_whole:
            self._clock.enter("busy")
        else:
            self._clock.enter_body()
        self._loop.call_soon(self._begin, exchange)  # not at once: what came with its head is parsed before

    def _begin(self, exchange: Exchange) -> None:
        """Answer a request at the gate, or let the application do it."""
        if exchange.is_dropped or exchange.answer_at_gate(self._gate):
            return
        task = self._loop.create_task(exchange.run(cast(Any, self._config.loaded_app)))
        exchange.task = task
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _has_answered(self) -> bool:
        """Whether the current request is done with, and only a client that reads too slowly keeps those behind it waiting."""
        return self._current is not None and self._current.is_answered and self._current.is_whole

    def _advance(self) -> None:
        if self.is_write_paused and self._current is not None:  # else answers to a client that reads none would pile up
            self._await_reader("busy")
            self._pause_reading(True)
            return
        before, self._current = self._current, None
        if before is not None and not before.keep_alive:  # the server began to end while the rest of its body came
            self._forget_all()
            self._close()
            return
        if self._waiting:
            self._start(self._waiting.popleft())
        elif self._last_words:
            self._is_deaf = True
            self.write(self._last_words)
            self._linger()
            return
        elif self._parser.is_in_head:
            self._clock.enter("head", self._limits.header_timeout_s)
        else:
            self._clock.enter("idle", self._limits.idle_timeout_s)
        self._pause_reading(bool(self._waiting))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer behind the answers that are still due, and end the connection."""
        self._is_deaf = True
        broken, self._incoming = self._incoming, None
        self._report_refusal(refusal.status, broken)
        self._last_words = self._write_refusal(refusal, self._parser.describe_request()[1], self._parser.headers)
        if broken is not None:
            self._forget(broken)
            if broken is not self._current:
                self._waiting.remove(broken)
            elif broken.has_started:
                self._current = None
                self._linger()
                return
            else:
                self._current = None
        if self._current is None:
            self._advance()

    def _write_refusal(self, refusal: Refusal, path: str, headers: Headers) -> bytes:
        return write_refusal(refusal, path, self._edge.list_origin_headers(headers))

    def _report_refusal(self, status: int, broken: Exchange | None = None) -> None:
        self._edge.refusals[status] += 1
        if broken is None or not broken.note_status(status):
            self._edge.report_refusal(status, self._address, *self._parser.describe_request())

    def _forget(self, exchange: Exchange) -> None:
        self._edge.buffered_bytes -= exchange.release_body()
        exchange.drop()

    def _forget_all(self) -> None:
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                self._forget(exchange)
        self._waiting.clear()
        self._current = self._incoming = None

    # Becoming a WebSocket

    def _become_websocket(self, rest: bytes) -> None:
        """Hand the connection on; this one goes on counting it, watches deadlines and passes everything on. Raises: Refusal."""
        request = self._upgrade
        assert request is not None
        self._clock.enter("websocket", self._limits.header_timeout_s)
        websocket = WebSocket(self._config, self._server_state, self._app_state, self._loop)
        websocket.begin(self._transport, request, rest)
        self._websocket = websocket
        if self.is_write_paused:  # since answers before it, or what it has just written
            websocket.pause_writing()
        if websocket.refused_status is not None:
            self._report_refusal(websocket.refused_status)

    def _is_websocket_well(self) -> bool:
        """Whether a WebSocket may go on: it is open, and then has pings of its own to find out who is gone."""
        return self._websocket is not None and self._websocket.handshake_complete and not self._transport.is_closing()

    # Phases and ends

    @property
    def deadline_s(self) -> float:
        """When `expire` is to be called, on the loop's clock."""
        return self._clock.deadline_s

    def expire(self) -> None:
        """The phase's deadline has passed."""
        if self._clock.phase == "head":
            seconds = self._limits.header_timeout_s
            self._refuse(Refusal(408, f"the headers were not complete after {seconds:g} s; send them faster"))
            return
        if self._clock.phase == "body":
            self._refuse(Refusal(408, "the body came too slowly; send it faster or smaller"))
            return
        if self._is_websocket_well():
            self._clock.enter("websocket", self._limits.write_timeout_s)
            return
        if self._clock.phase == "websocket" and self._transport.is_closing():
            self._await_reader("closing")
            return
        if self._clock.phase in ("idle", "lingering"):
            self._close()
            return
        unsent_bytes, read_bytes = self._count_unread()
        if not (unsent_bytes and self._clock.credit_reader(read_bytes)):
            self.abort()

    def shutdown(self) -> None:
        """The server stops: what is being answered is answered, the connection then ends."""
        if self._websocket is not None:
            try:
                self._websocket.shutdown()
            except Exception:  # the server asks one connection after the other: this one must not keep the rest open
                logger.exception("a WebSocket could not be ended in order and is cut off")
                self.abort()
        elif self._current is None or self._has_answered():
            self._forget_all()
            self._close()
        else:
            self._current.keep_alive = False
            if self._incoming is not None:
                self._loop.call_later(LAST_BODY_S, self._end_incomplete)

    def _end_incomplete(self) -> None:
        if self._incoming is not None:
            self._refuse(Refusal(503, "the server ended before the request was complete; send it again in a moment", 1))
        if self._clock.phase in ("lingering", "closing"):
            self._clock.hurry(LAST_BODY_S / 2)

    def _await_reader(self, phase: Phase) -> None:
        """The client has to read what is not sent yet, at the least rate."""
        self._count_unread()
        self._clock.await_reader(phase)

    def _count_unread(self) -> tuple[int, int]:
        """Count what is not sent yet. Returns: how much that is, and how much less than when it was counted before."""
        unsent_bytes = self._transport.get_write_buffer_size()
        return unsent_bytes, self._edge.count_unread(self, unsent_bytes) - unsent_bytes

    def _close(self) -> None:
        self._is_deaf = True
        self._await_reader("closing")
        self._transport.close()

    def _linger(self) -> None:
        """Close for writing and read on for a moment: closing with unread bytes would reset the client before it has read."""
        self._is_deaf = True
        if not self._transport.can_write_eof():
            self._close()
            return
        self._clock.enter("lingering", self._limits.linger_s)
        self._pause_reading(False)
        if not self._transport.is_closing():
            self._transport.write_eof()

    def _pause_reading(self, is_paused: bool) -> None:
        if is_paused != self._is_reading_paused and not self._transport.is_closing():
            self._is_reading_paused = is_paused
            if is_paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _resume_writers(self) -> None:
        self.is_write_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
