"""The results of a stream as numbered events: a bounded memory that any number of viewers read at their own pace.

A viewer is only a number, the last event it has seen. Nothing is kept for it, so a slow one costs nothing: it loses the oldest
events and is told how many. Whoever comes back names the number and goes on from there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One message to viewers. Attributes: number: from 1. kind: "frame" or "end". data: a JSON object."""

    number: int
    kind: str
    data: bytes


class EventLog:
    """The latest events.

    Args:
        most_events, most_bytes: what is kept; the oldest go first.
    """

    def __init__(self, most_events: int = 512, most_bytes: int = 8 << 20) -> None:
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._events: deque[Event] = deque()
        self._bytes = 0
        self.last_number = 0
        self.is_closed = False
        self._grown = asyncio.Event()

    def append(self, kind: str, data: bytes) -> Event:
        """Add an event and wake every viewer."""
        self.last_number += 1
        event = Event(self.last_number, kind, data)
        self._events.append(event)
        self._bytes += len(data)
        while len(self._events) > 1 and (len(self._events) > self._most_events or self._bytes > self._most_bytes):
            self._bytes -= len(self._events.popleft().data)
        self._wake()
        return event

    def clear(self) -> None:
        """Forget what is kept: nobody may read it any more."""
        self._events.clear()
        self._bytes = 0

    def close(self) -> None:
        """No more events come: viewers end once they have seen all."""
        self.is_closed = True
        self._wake()

    def read_after(self, number: int, most: int) -> tuple[list[Event], int]:
        """Events behind the one with this number, oldest first, and how many before them are lost.

        A number from the future (of a stream of an earlier server) counts as none.
        """
        if number > self.last_number:
            number = 0
        first = self._events[0].number if self._events else self.last_number + 1
        lost = max(0, first - number - 1)
        skip = max(0, number - first + 1)
        return [self._events[place] for place in range(skip, min(len(self._events), skip + most))], lost

    async def follow(self, number: int, keep_alive_s: float, most: int) -> AsyncGenerator[tuple[list[Event], int], None]:
        """Events behind `number` as they come, at most so many at once, with how many were lost before them.

        Gives ([], 0) when nothing came for a while.

        Ends after the last event of a closed log.
        """
        while True:
            grown = self._grown
            events, lost = self.read_after(number, most)
            if events:
                number = events[-1].number
                yield events, lost
            elif self.is_closed:
                return
            else:
                try:
                    await asyncio.wait_for(grown.wait(), keep_alive_s)
                except TimeoutError:
                    yield [], 0

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


def format_sse(events: list[Event], lost: int) -> bytes:
    """The events as server-sent events (WHATWG HTML §9.2); without any, a comment that keeps the connection alive."""
    if not events:
        return b": keep-alive\n\n"
    parts = [b"event: lost\ndata: %b\n\n" % format_lost(lost)] if lost else []
    parts += [b"id: %d\nevent: %b\ndata: %b\n\n" % (event.number, event.kind.encode(), event.data) for event in events]
    return b"".join(parts)


def format_lost(count: int) -> bytes:
    """The message that tells a slow viewer how many events it has lost."""
    return msgspec.json.encode({"type": "lost", "count": count})
