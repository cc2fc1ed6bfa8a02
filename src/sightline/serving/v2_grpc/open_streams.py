"""One open stream: its answers in their order, and the room that its messages and answers take."""

import asyncio

from sightline.serving.v2_grpc.unread import Unread

MAX_UNANSWERED = 64  # messages of one stream that are worked on; the next is read when an answer is sent


class OpenStream:
    """What is in work and unsent of one stream.

    Args:
        most_bytes: from so many on, messages in work and answers that are not sent, `wait_for_room` waits.
        unread: counts the answers.

    Attributes:
        answers: in their order; None is the end.
    """

    def __init__(self, most_bytes: int, unread: Unread) -> None:
        self.answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(MAX_UNANSWERED)
        self.unread = unread
        self._most_bytes = most_bytes
        self._bytes = 0
        self._has_changed = asyncio.Event()

    def begin(self, message_bytes: int) -> None:
        """A message has come."""
        self._change(message_bytes)

    def answer(self, message_bytes: int, answer_bytes: int) -> None:
        """Its answer takes its place."""
        self.unread.add(answer_bytes)
        self._change(answer_bytes - message_bytes)

    def end(self, answer_bytes: int) -> None:
        """The answer is sent."""
        self._change(-answer_bytes)

    async def wait_for_room(self) -> None:
        """Return when there is room for another message."""
        while self._bytes >= self._most_bytes:
            self._has_changed.clear()
            await self._has_changed.wait()

    def _change(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        self._has_changed.set()
