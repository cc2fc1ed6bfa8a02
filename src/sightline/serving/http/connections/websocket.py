"""What a connection becomes when its client asks for a WebSocket: uvicorn's protocol, and where it needs help.

Uvicorn's protocol waits for ever when the library beneath it does not take the head of the request, and calls a denial with
an answer of its own a defect of the application. It would keep every empty part of a message, and every answer to a ping that
the client does not read. The connection around it still counts it and watches its deadlines.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from sightline.serving.http.connections.request_parser import ParsedRequest
from sightline.serving.http.refusals import Refusal

SWITCHING_PROTOCOLS = 101
LAST_WORDS_S = 1.0  # in which the application closes a WebSocket by itself when the server ends
MAX_MESSAGE_BYTES = 1024  # clients send acknowledgements, numbers of 18 digits at most


class WebSocket(WebSocketsSansIOProtocol):
    """One WebSocket. The server's own list of connections does not hold it: whoever made it tells it when the server ends."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        state = ServerState()
        state.tasks, state.default_headers = server_state.tasks, server_state.default_headers
        super().__init__(config, state, app_state, loop)
        self._owed_pong: list[bytes] = []  # to the last ping of a client that does not read

    def begin(self, transport: asyncio.Transport, request: ParsedRequest, rest: bytes) -> None:
        """Start with a request and what came behind its head. Raises: Refusal when the library does not take the head."""
        lines = [b"GET " + request.target + b" HTTP/1.1", *(name + b": " + value for name, value in request.headers)]
        self.connection_made(transport)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)
        if not self.handshake_initiated:  # its own answer is written, and would never be sent
            answer = b"".join(self.conn.data_to_send())
            status = int(answer[9:12]) if answer else 400
            raise Refusal(status, "the head of the WebSocket request is too long or not sound; send fewer or shorter headers")

    @property
    def refused_status(self) -> int | None:
        """Status under which the library has turned the handshake down; None when it has not."""
        status = self.response.status_code
        return None if status == SWITCHING_PROTOCOLS else int(status)

    def handle_cont(self, event: Frame) -> None:
        """A further part of a message; an empty one is nothing to keep."""
        if event.data or event.fin:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer, or remember the answer: the last ping alone needs one (RFC 6455 §5.5.3)."""
        if self.writable.is_set() or self.conn.close_rcvd is not None:
            super().handle_ping()
        else:
            self._owed_pong = self.conn.data_to_send()[-1:] or self._owed_pong

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        owed_pong, self._owed_pong = self._owed_pong, []
        if owed_pong and not self.transport.is_closing():
            self.transport.write(b"".join(owed_pong))

    def shutdown(self) -> None:
        """The server ends. The application knows of it and says its last words first; then whatever is open is closed."""
        if self.handshake_complete and not self.transport.is_closing():
            self.loop.call_later(LAST_WORDS_S, self._end)
        else:
            super().shutdown()

    def _end(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    async def send(self, message: Any) -> None:
        """ASGI: what the application sends."""
        await super().send(message)
        if self.close_sent and self.initial_response is not None:
            self.handshake_complete = True  # denied with an answer: that ends the handshake as well
