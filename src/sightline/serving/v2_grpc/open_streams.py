"""Open streams: the answers of each in their order and the room that it takes, and which one ends when another needs a place.

A client may keep a stream open between its bursts for as long as there are places. When they are taken, the stream that has
been silent longest gives way, if that is long.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sightline.serving.http.refusals import Refusal
from sightline.serving.v2_grpc.places import Places
from sightline.serving.v2_grpc.unread import Unread

MAX_UNANSWERED = 64  # messages of one stream that are worked on; the next is read when an answer is sent
SILENT_S = 300.0  # without a message, and with nothing in work or unsent: then a stream may have to give way


class OpenStream:
    """What is in work and unsent of one stream.

    Args:
        most_bytes: from so many on, messages in work and answers that are not sent, `wait_for_room` waits.
        unread: counts the answers.

    Attributes:
        answers: in their order; None is the end.
        refusal: why it was ended here; None: it was not.
    """

    def __init__(self, most_bytes: int, unread: Unread) -> None:
        self.answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(MAX_UNANSWERED)
        self.unread = unread
        self.refusal: Refusal | None = None
        self._most_bytes = most_bytes
        self._bytes = self._messages = 0
        self._has_changed = asyncio.Event()
        self._time = asyncio.get_running_loop().time
        self._silent_since_s = self._time()

    @property
    def silence_s(self) -> float:
        """How long nothing has come and nothing was in work or unsent; 0 while something is."""
        return 0.0 if self._messages else self._time() - self._silent_since_s

    def begin(self, message_bytes: int) -> None:
        """A message has come."""
        self._messages += 1
        self._change(message_bytes)

    def answer(self, message_bytes: int, answer_bytes: int) -> None:
        """Its answer takes its place."""
        self.unread.add(answer_bytes)
        self._change(answer_bytes - message_bytes)

    def end(self, answer_bytes: int) -> None:
        """The answer is sent."""
        self._messages -= 1
        self._silent_since_s = self._time()
        self._change(-answer_bytes)

    async def wait_for_room(self) -> None:
        """Return when there is room for another message."""
        while self._bytes >= self._most_bytes:
            self._has_changed.clear()
            await self._has_changed.wait()

    def give_way(self) -> None:
        """End, where it is silent: nothing is among the answers then."""
        self.refusal = Refusal(503, f"nothing came for {SILENT_S:g} s, and another stream needs the place; open it again", 1)
        self.answers.put_nowait(None)

    def _change(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        self._has_changed.set()


class OpenStreams:
    """All open streams. Args: count: at once, half of them of one caller."""

    def __init__(self, count: int) -> None:
        self._places = Places(count, "streams are open; end one, or open this one later")
        self._open: dict[OpenStream, str] = {}

    @contextmanager
    def keep(self, stream: OpenStream, whose: str) -> Iterator[None]:
        """A place for a stream meanwhile; a silent one may lose its own for it. Args: whose: see `Places`. Raises: Refusal."""
        try:
            self._places.enter(whose)
        except Refusal as refusal:
            if not self._end_silent(whose if refusal.status == 429 else None):
                raise
            self._places.enter(whose)
        self._open[stream] = whose
        try:
            yield
        finally:
            self._leave(stream)

    def _end_silent(self, whose: str | None) -> bool:
        """End the stream that has been silent longest. Args: whose: only of this caller. Returns: whether there was one."""
        silent = [one for one, owner in self._open.items() if whose in (None, owner) and one.silence_s >= SILENT_S]
        if not silent:
            return False
        longest = max(silent, key=lambda one: one.silence_s)
        self._leave(longest)
        longest.give_way()
        return True

    def _leave(self, stream: OpenStream) -> None:
        whose = self._open.pop(stream, None)
        if whose is not None:
            self._places.leave(whose)
