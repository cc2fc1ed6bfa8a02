"""Read a request's body up to a limit, whole or piece by piece; how slowly it may come is the edge's rule.

The connection bounds bodies before they get here, by the largest of all limits and only where the server is ours; each path has
a limit of its own. A body that arrives in one message, as all but uploaded videos do behind our edge, is not copied.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from sightline.serving.http.refusals import Refusal

MAX_DIGITS = 18  # of a length that is a number to us
SEND_LESS = "send less at once"

# Counts so many bytes while they are in use, and raises Exhausted where all together are too many: `Edge.hold`.
Hold = Callable[[int], AbstractContextManager[None]]


class BoundedBody:
    """A body that is being read.

    Args:
        receive: of the ASGI application.
        max_bytes: of the body.
        announced: the Content-Length header; more than the limit is refused before the first byte is read.
        remedy: what a client may do about a body that is too large.

    Attributes:
        is_complete: its last piece was read.

    Raises: Refusal 413.
    """

    __slots__ = ("_left_bytes", "_max_bytes", "_receive", "_remedy", "is_complete")

    def __init__(self, receive: Receive, max_bytes: int, announced: bytes = b"", remedy: str = SEND_LESS) -> None:
        self._receive = receive
        self._max_bytes = self._left_bytes = max_bytes
        self._remedy = remedy
        self.is_complete = False
        if announced.isdigit() and (len(announced) > MAX_DIGITS or int(announced) > max_bytes):
            raise make_too_large(max_bytes, remedy)

    async def read_piece(self) -> bytes:
        """The next piece, maybe empty; nothing here holds it then. Raises: Refusal 413; ClientDisconnect."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        self.is_complete = not message.get("more_body", False)
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise make_too_large(self._max_bytes, self._remedy)
        return piece

    async def read_whole(self) -> bytes:
        """All of it. Raises: Refusal 413; ClientDisconnect."""
        pieces = []
        while True:
            pieces.append(await self.read_piece())
            if self.is_complete:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def make_too_large(max_bytes: int, remedy: str = SEND_LESS) -> Refusal:
    """413 for a body beyond the limit, announced or not."""
    return Refusal(413, f"the body is larger than the limit of {max_bytes} bytes; {remedy}")
