"""The sync client's connections, with a deadline on a whole exchange: a server that dribbles cannot hold a caller for ever.

httpx bounds each step, so that a byte before each bound goes on for as long as the server likes. Here every step takes what is
left until the deadline. The event loop of the async client can end a whole exchange by itself and needs none of this.
"""

import ssl
from collections.abc import Callable, Iterable
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


class TimeLeft(float):
    """Seconds until a deadline: as a number those when it was made, by `read` those left now.

    A float, because httpx hands nothing else on to its connections.
    """

    _clock: Callable[[], float]
    _ends_at_s: float

    def __new__(cls, seconds: float, clock: Callable[[], float]) -> "TimeLeft":
        """A deadline so many seconds from now."""
        made = super().__new__(cls, seconds)
        made._clock, made._ends_at_s = clock, clock() + seconds
        return made

    def read(self) -> float:
        """Seconds that are left, below 0 once the deadline has passed."""
        return self._ends_at_s - self._clock()


class DeadlineTransport(httpx.BaseTransport):
    """Connections for `httpx.Client`; where a request's time-out is a `TimeLeft`, its answer is whole by then, or it fails.

    Raises, from `handle_request`: httpx.TransportError.
    """

    def __init__(self, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=KEPT_ALIVE_S,
            network_backend=DeadlineBackend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and read the whole answer."""
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
        try:
            answer = self._pool.handle_request(asked)
            try:
                content = answer.read()
            finally:
                answer.close()
        except tuple(ERRORS) as error:
            raise ERRORS[type(error)](str(error)) from error
        return httpx.Response(answer.status, headers=answer.headers, content=content, extensions=answer.extensions)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class DeadlineBackend(httpcore.SyncBackend):
    """Opens TCP connections as httpcore does."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection whose every step ends at the deadline."""
        left_s = read_left(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(super().connect_tcp(host, port, left_s, local_address, socket_options))


class DeadlineStream(httpcore.NetworkStream):
    """A connection; each step on its socket takes what is left at that moment."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come."""
        return self._stream.read(max_bytes, read_left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it. Not by the stream's own `write`, which gives the whole time to each part that the system takes."""
        sock, rest = self._stream.get_extra_info("socket"), memoryview(buffer)
        while rest:
            try:
                sock.settimeout(read_left(timeout, httpcore.WriteTimeout))
                rest = rest[sock.send(rest) :]
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from error
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted from here on."""
        left_s = read_left(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left_s))

    def get_extra_info(self, info: str) -> Any:
        """What the stream below knows."""
        return self._stream.get_extra_info(info)


def read_left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """Seconds that a step may take now. Raises: the error once there are none."""
    if not isinstance(timeout, TimeLeft):
        return timeout
    left_s = timeout.read()
    if left_s <= 0:
        raise error("the deadline has passed")
    return left_s
