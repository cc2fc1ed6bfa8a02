"""The server's socket and its life: bind, announce, serve until a signal, end cleanly."""

import asyncio
import gc
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.lifespan.on import LifespanOn

from sightline.core.errors import Conflict, InvalidInput
from sightline.core.host import count_cores
from sightline.core.open_files import allow_more_files
from sightline.serving.http.connections.connection import make_connector
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import Gate
from sightline.serving.http.connections.tls_listener import TlsListener
from sightline.serving.http.connections.websocket import MAX_MESSAGE_BYTES
from sightline.serving.http.guard import Guard
from sightline.serving.http.named_hosts import is_address
from sightline.serving.process.garbage import spare_lasting_objects
from sightline.serving.process.heap import limit_arenas, return_large_blocks
from sightline.serving.process.signals import serve_until_signal

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
LISTEN_BACKLOG = 1024
SHUTDOWN_GRACE_S = 5
OnEnd = Callable[[], Awaitable[None]]


def open_listener(host: str, port: int, allow_remote: bool = False) -> socket.socket:
    """Bind the server's socket; port 0 picks a free one.

    Raises: Conflict when the port is taken; InvalidInput for an address that is not this machine's, or that other machines
        reach while `allow_remote` is False.
    """
    if not allow_remote and not is_loopback(host):
        raise InvalidInput(
            f"{host} is reachable from other machines and no API keys are set; use 127.0.0.1, or --keys FILE, "
            "or --allow-remote if the network is yours"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror):
            raise InvalidInput(f"{host!r} is no address of this machine; use 127.0.0.1") from error
        raise Conflict(f"cannot listen on {host} port {port}: {error.strerror}; --port 0 picks a free port") from error
    listener.listen(LISTEN_BACKLOG)
    return listener


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach the address."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def format_url(listener: socket.socket, scheme: str = "http") -> str:
    """URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def run_server(
    app: Guard,
    listener: socket.socket,
    edge: Edge,
    on_ready: Callable[[], None],
    tls: ssl.SSLContext | None = None,
    on_end: OnEnd | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP (which `nohup` has ignored), let running requests end, and return.

    The application answers from the first moment on, while its start still goes on: only so are clients told that its models
    are being loaded, and signals heeded meanwhile.

    Args:
        edge: limits of the connections.
        on_ready: called once, when the application has started.
        tls: None serves without encryption.
        on_end: awaited when the server begins to end, while connections are still open.

    Raises: what the start of the application ended with, once all that had begun has ended again.
    """

    def begin() -> None:
        spare_lasting_objects()
        on_ready()

    gc.enable()  # the command line has it off until here
    server = make_server(app, edge, begin, tls, on_end)
    edge.spare_files(allow_more_files())
    return_large_blocks()
    limit_arenas(count_cores())
    serve_until_signal(server, listener)
    if server.config.start_error is not None:
        raise server.config.start_error from None


def make_server(
    app: Guard,
    edge: Edge,
    on_ready: Callable[[], None],
    tls: ssl.SSLContext | None = None,
    on_end: OnEnd | None = None,
) -> "_Server":
    """The inference server; tests run it in a thread."""
    return make_gated_server(app, app.admit, edge, on_ready, tls, on_end)


def make_gated_server(
    app: ASGIApp,
    gate: Gate,
    edge: Edge,
    on_ready: Callable[[], None],
    tls: ssl.SSLContext | None = None,
    on_end: OnEnd | None = None,
) -> "_Server":
    """uvicorn's loop around our connections, for any application. Args: gate: asked once a request's head is parsed."""
    config = _Config(
        app,
        http=make_connector(edge, gate),
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # else whoever is on this machine may say that it is another
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # else a few bytes become a large message before its size is known
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )
    return _Server(config, edge, on_ready, tls, on_end)


class _Config(uvicorn.Config):
    """uvicorn's configuration. Attributes: start_error: what the start ended with."""

    start_error: Exception | None = None

    def load(self) -> None:
        super().load()
        self.lifespan_class = _Lifespan


class _Lifespan(LifespanOn):
    """uvicorn's, which would wait for the start, and log a traceback when it fails: here the caller learns the error."""

    async def startup(self) -> None:
        self._main = asyncio.create_task(self.main(), name="lifespan")
        await self.receive_queue.put({"type": "lifespan.startup"})

    async def wait_started(self) -> bool:
        """Wait for the end of the application's start. Returns: whether it has started."""
        await self.startup_event.wait()
        return not (self.startup_failed or self.error_occurred)

    async def send(self, message: Any) -> None:
        error = sys.exception()  # the application tells of its failure while it handles it
        if message["type"] == "lifespan.startup.failed" and isinstance(error, Exception):
            assert isinstance(self.config, _Config)
            self.config.start_error = error
            message = {"type": message["type"], "message": ""}
        await super().send(message)


class _Server(uvicorn.Server):
    """Says when it is up and when it is about to end; when its grace is over, nobody stays connected."""

    config: _Config

    def __init__(
        self, config: _Config, edge: Edge, on_ready: Callable[[], None], tls: ssl.SSLContext | None, on_end: OnEnd | None
    ) -> None:
        super().__init__(config)
        self._edge, self._on_ready, self._tls, self._on_end = edge, on_ready, tls, on_end
        self._becoming_ready: asyncio.Task[None] | None = None
        self._tls_listeners: list[TlsListener] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets if self._tls is None else [])
        if self.started:
            self._listen_for_tls(sockets or [])
            self._becoming_ready = asyncio.create_task(self._become_ready(), name="becoming ready")

    async def _become_ready(self) -> None:
        assert isinstance(self.lifespan, _Lifespan)
        if not await self.lifespan.wait_started():
            self.should_exit = True
        elif not self.should_exit:
            self._on_ready()

    def _listen_for_tls(self, sockets: list[socket.socket]) -> None:
        if self._tls is None:
            return
        make_connection = partial(
            cast(Any, self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self._tls_listeners = [TlsListener(listener, self._tls, self._edge, make_connection) for listener in sockets]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._on_end is not None:
            await self._on_end()
        for listener in self._tls_listeners:
            listener.close()
        await super().shutdown(sockets)
        self._edge.close()
        await asyncio.sleep(0)  # in which the transports tell their connections
