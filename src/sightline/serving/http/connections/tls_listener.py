"""Accept TLS connections one by one, so that each of them counts from its first moment on.

An event loop's own server tells nobody of a TLS connection before its handshake is over, for which it leaves a minute: until
then no limit of connections would see it.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from sightline.serving.http.connections.edge import Edge

ACCEPTED_AT_ONCE = 64  # before the loop does something else
PAUSE_S = 1.0  # when there is no file for another connection

logger = logging.getLogger("sightline.serving")


class Arrival:
    """A connection whose handshake is not over, as the edge counts it. Attributes: deadline_s: the handshake has its own."""

    deadline_s = float("inf")

    def __init__(self, edge: Edge, address: str) -> None:
        self.task: asyncio.Task[None] | None = None
        self._edge, self._address = edge, address
        self._is_over = False

    def end(self) -> None:
        """Count it no more: it has gone, or is about to be counted as what it became."""
        if not self._is_over:
            self._is_over = True
            self._edge.discharge(self, self._address)

    def expire(self) -> None:
        """Never due."""

    def abort(self) -> None:
        """End it now."""
        if self.task is not None:
            self.task.cancel()


class TlsListener:
    """A listening socket whose connections begin with a TLS handshake. Used on the event loop only.

    Args:
        listener: bound and listening.
        context: of the server.
        edge: its limits of connections hold for handshakes too, each of which may take as long as a request's headers.
        make_connection: called with `arrival`, makes what speaks HTTP; that ends the arrival when the handshake is over.
    """

    def __init__(
        self, listener: socket.socket, context: ssl.SSLContext, edge: Edge, make_connection: Callable[..., asyncio.Protocol]
    ) -> None:
        self._listener, self._context, self._edge = listener, context, edge
        self._make_connection = make_connection
        self._loop = asyncio.get_running_loop()
        self._arrivals: set[Arrival] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Accept nothing more, and end the handshakes that go on; the socket is left to its owner."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        for arrival in self._arrivals:
            arrival.abort()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.error("no connection can be accepted for a moment: %s", error.strerror)
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(PAUSE_S, self._listen)
                return
            self._take(connection, address[0])

    def _take(self, connection: socket.socket, address: str) -> None:
        arrival = Arrival(self._edge, address)
        refusal = self._edge.admit(arrival, address, self._loop)
        if refusal is not None:  # to say why would cost a handshake
            arrival.end()
            self._edge.refusals[refusal.status] += 1
            self._edge.report_refusal(refusal.status, address, "", "")
            connection.close()
            return
        connection.setblocking(False)
        self._arrivals.add(arrival)
        arrival.task = self._loop.create_task(self._shake_hands(connection, arrival), name="handshake")

    async def _shake_hands(self, connection: socket.socket, arrival: Arrival) -> None:
        try:
            await self._loop.connect_accepted_socket(
                partial(self._make_connection, arrival=arrival),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._edge.limits.header_timeout_s,
            )
        except OSError:  # it spoke no TLS, had no certificate, was too slow, or has gone: nothing that we could mend
            pass
        finally:
            arrival.end()
            self._arrivals.discard(arrival)
