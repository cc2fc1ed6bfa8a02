"""The sync client's connections, with a deadline on a whole exchange: a server that dribbles cannot hold a caller for ever.

httpx bounds each step, so that a byte before each bound goes on for as long as the server likes. Here every step takes what is
left until the deadline, and a caller that leaves can end it from another thread. The event loop of the async client can end a
whole exchange by itself and needs none of this.
"""

import select
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import httpcore
import httpx

KEPT_ALIVE_S = 5.0
# httpcore's errors and httpx's have the same names; a caller knows httpx's.
ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
}


class Recall:
    """Ends exchanges whose answers nobody wants any more, from another thread: what waits is woken, and no step begins."""

    def __init__(self) -> None:
        self._called = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def call(self) -> None:
        """End them now."""
        self._called.set()
        with self._lock:
            for sock in self._sockets:
                with suppress(OSError):  # not connected any more
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which changes what its thread reads from

    def wait(self, seconds: float) -> bool:
        """Sleep so long, or until the call."""
        return self._called.wait(seconds)

    @contextmanager
    def watch(self, sock: socket.socket) -> Iterator[bool]:
        """Wake what waits on this socket in the block; false when it was called already."""
        with self._lock:
            self._sockets.add(sock)
        try:
            yield not self._called.is_set()
        finally:
            with self._lock:
                self._sockets.discard(sock)


class TimeLeft(float):
    """Seconds until a deadline: as a number those when it was made, by `read` those left now.

    A float, because httpx hands nothing else on to its connections.
    """

    recall: Recall | None
    _clock: Callable[[], float]
    _ends_at_s: float

    def __new__(cls, seconds: float, clock: Callable[[], float], recall: Recall | None = None) -> "TimeLeft":
        """A deadline so many seconds from now. Args: recall: may end the exchange before."""
        made = super().__new__(cls, seconds)
        made._clock, made._ends_at_s, made.recall = clock, clock() + seconds, recall
        return made

    def read(self) -> float:
        """Seconds that are left, below 0 once the deadline has passed."""
        return self._ends_at_s - self._clock()


class DeadlineTransport(httpx.BaseTransport):
    """Connections for `httpx.Client`; where a request's time-out is a `TimeLeft`, its answer is whole by then, or it fails.

    Raises, from `handle_request`: httpx.TransportError.
    """

    def __init__(self, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._backend = DeadlineBackend()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=KEPT_ALIVE_S,
            network_backend=self._backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and read the whole answer; without a deadline its body is left to whoever reads it."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        with translate_errors():
            answer = self._pool.handle_request(asked)
            if not isinstance(request.extensions["timeout"]["read"], TimeLeft):
                return httpx.Response(
                    answer.status, headers=answer.headers, stream=OpenBody(answer), extensions=answer.extensions
                )
            try:
                content = answer.read()
            finally:
                answer.close()
        return httpx.Response(answer.status, headers=answer.headers, content=content, extensions=answer.extensions)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def abandon(self) -> None:
        """Close this process's descriptors of connections that are another process's since a fork, and stay open there.

        Not by the pool, whose lock a thread of that process may have held.
        """
        for stream in list(self._backend.streams):
            stream.close()


class OpenBody(httpx.SyncByteStream):
    """A body that is read as it comes."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with translate_errors():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        """Give the connection back, or close it before its end."""
        self._answer.close()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raises: httpx's error for httpcore's."""
    try:
        yield
    except tuple(ERRORS) as error:
        raise ERRORS[type(error)](str(error)) from error


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens TCP connections.

    Attributes:
        streams: those that are open, and maybe some that are not.
    """

    def __init__(self) -> None:
        self.streams: weakref.WeakSet[DeadlineStream] = weakref.WeakSet()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of a name that takes it; its every step ends at the deadline."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure = httpcore.ConnectError(f"{host} has no address")
        for family, _, _, _, address in found:
            try:
                stream = DeadlineStream.connect(family, address, timeout)
            except httpcore.ConnectError as error:
                failure = error
            else:
                self.streams.add(stream)
                return stream
        raise failure


class DeadlineStream(httpcore.NetworkStream):
    """A connection; each step on its socket takes what is left at that moment."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    def connect(cls, family: int, address: Any, timeout: float | None) -> "DeadlineStream":
        """A new connection."""
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # a family that this system does not have
            raise httpcore.ConnectError(str(error)) from error
        try:
            with take_step(sock, timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come."""
        with take_step(self._sock, timeout, httpcore.ReadTimeout, httpcore.ReadError):
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it. Not by `sendall`, which would hide how much the system takes, and when."""
        rest = memoryview(buffer)
        while rest:
            with take_step(self._sock, timeout, httpcore.WriteTimeout, httpcore.WriteError):
                rest = rest[self._sock.send(rest) :]

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted from here on."""
        errors = httpcore.ConnectTimeout, httpcore.ConnectError
        try:
            with take_step(self._sock, timeout, *errors):
                # Another object for the same connection, so that the handshake is a step of its own.
                self._sock = sock = ssl_context.wrap_socket(
                    self._sock, server_hostname=server_hostname, do_handshake_on_connect=False
                )
            with take_step(sock, timeout, *errors):
                sock.do_handshake()
        except BaseException:
            self.close()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks: the socket, its TLS, and whether an idle connection has something to read, such as its end."""
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        if info == "is_readable":
            return has_arrived(self._sock)
        return self._sock if info == "socket" else None


@contextmanager
def take_step(
    sock: socket.socket,
    timeout: float | None,
    late: type[httpcore.TimeoutException],
    failed: type[httpcore.NetworkError],
) -> Iterator[None]:
    """One step on a socket, which ends at the deadline. Raises: late, also when it is recalled; failed."""
    recall = timeout.recall if isinstance(timeout, TimeLeft) else None
    try:
        with nullcontext(True) if recall is None else recall.watch(sock) as is_wanted:
            if not is_wanted:
                raise late("its caller has left")
            sock.settimeout(read_left(timeout, late))
            yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error


def has_arrived(sock: socket.socket) -> bool:
    """Whether something can be read now, be it the end."""
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def read_left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """Seconds that a step may take now. Raises: the error once there are none."""
    if not isinstance(timeout, TimeLeft):
        return timeout
    left_s = timeout.read()
    if left_s <= 0:
        raise error("the deadline has passed")
    return left_s
