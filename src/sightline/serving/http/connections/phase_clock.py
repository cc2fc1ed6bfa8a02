"""In which phase a connection is, and until when it may be: a deadline that the edge's sweep looks at, in place of timers."""

from collections.abc import Callable
from typing import Literal

from sightline.serving.http.connections.rules import ConnectionLimits

Phase = Literal["idle", "head", "body", "busy", "lingering", "closing", "websocket"]

FOREVER_S = float("inf")
CREDIT_GRACES = 3  # what came of a body faster than it had to lets the rest be so many graces late at most


class PhaseClock:
    """The phase of one connection.

    Args:
        limits: how long what may last.
        read_s: the loop's clock.

    Attributes:
        phase: what the connection waits for. deadline_s: when that is late, on the loop's clock.
    """

    __slots__ = ("_body_due_s", "_limits", "_read_s", "deadline_s", "phase")

    def __init__(self, limits: ConnectionLimits, read_s: Callable[[], float]) -> None:
        self._limits, self._read_s = limits, read_s
        self.phase: Phase = "idle"
        self.deadline_s = FOREVER_S
        self._body_due_s = 0.0

    def enter(self, phase: Phase, seconds: float = FOREVER_S) -> None:
        """Another phase begins, or the same anew, and may last so long."""
        self.phase = phase
        self.deadline_s = self._read_s() + seconds

    def stop(self) -> None:
        """The phase may last as long as it likes."""
        self.deadline_s = FOREVER_S

    def enter_body(self) -> None:
        """A body begins, or goes on after the application had kept it waiting."""
        self.enter("body", self._limits.body_grace_s)
        self._body_due_s = self.deadline_s

    def count_body(self, size_bytes: int) -> None:
        """So much of the body came."""
        now_s, grace_s = self._read_s(), self._limits.body_grace_s
        due_s = self._body_due_s + size_bytes / self._limits.min_body_bytes_per_s
        self._body_due_s = min(due_s, now_s + CREDIT_GRACES * grace_s)
        self.deadline_s = min(self._body_due_s, now_s + grace_s)

    def await_reader(self, phase: Phase) -> None:
        """The client has to read what is not sent yet, at the least rate."""
        self.enter(phase, self._limits.write_timeout_s)

    def credit_reader(self, read_bytes: int) -> bool:
        """At its deadline: what the client has read since buys it more time. Returns: whether it has any left."""
        now_s = self._read_s()
        due_s = min(self.deadline_s + read_bytes / self._limits.min_body_bytes_per_s, now_s + self._limits.write_timeout_s)
        if due_s > now_s:
            self.deadline_s = due_s
        return due_s > now_s

    def hurry(self, seconds: float) -> None:
        """The phase may last no longer than so long from now."""
        self.deadline_s = min(self.deadline_s, self._read_s() + seconds)
