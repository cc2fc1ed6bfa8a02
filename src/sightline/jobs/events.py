"""The progress of a job as a file of JSON lines: written by the job's process, followed by whoever wants to, bounded for ever.

An event has a sequence number that no later event of the job takes again, across restarts too, so that a reader who lost the
thread asks for what came after a number. Nobody waits for a reader: each follows the file at its own pace. A file that grew to
`MAX_LINES` is thinned, evenly over its time; validations, messages and the first event of a stage go last.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO

import msgspec

from sightline.core.folders import write_file_atomic
from sightline.core.progress import ProgressEvent

MAX_LINES, KEPT_LINES = 1000, 500  # a file of more than the first is thinned to the second
MIN_INTERVAL_S = 0.5  # between events that tell nothing new but numbers
MAX_MESSAGE = 2000  # characters
Shares = Mapping[str, tuple[float, float]]  # of a stage: the part of the job's progress that it goes through


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A ProgressEvent of a job.

    Attributes:
        sequence: 1, 2, ...; gaps where events were left out.
        at: seconds since 1970, UTC.
        progress: of the whole job, 0..1; it never goes back unless the job began again.
    """

    sequence: int
    at: float
    stage: str
    progress: float
    remaining_s: float | None = None
    metrics: dict[str, float] = {}
    message: str = ""


_EVENTS = msgspec.json.Decoder(JobEvent)


class ProgressWriter:
    """Takes a verb's events and writes those worth keeping; what repeats the way a killed run had come is left out.

    Args:
        path: of the file; a resumed job goes on with it.
        shares: where the stages of this kind of job lie in its progress; one that is not named goes from 0 to 1.
        begins_again: the job starts anew, so its progress does too.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path, shares: Shares, begins_again: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._path, self._shares, self._clock = path, shares, clock
        self._events = _mend(path)
        last = self._events[-1] if self._events else None
        self._sequence = last.sequence if last is not None else 0
        self._furthest = 0.0 if begins_again or last is None else last.progress
        self._stage, self._written_at = "", 0.0
        self._file: BinaryIO = path.open("ab", buffering=0)

    def __call__(self, event: ProgressEvent) -> None:
        """Take the next event of the verb."""
        progress = self._place(event)
        is_behind = progress < self._furthest and not event.message
        is_marked = bool(event.message) or event.stage != self._stage or "metric" in event.metrics or progress >= 1.0
        now = self._clock()
        if is_behind or not (is_marked or abs(now - self._written_at) >= MIN_INTERVAL_S):
            return
        self._furthest, self._stage, self._written_at = max(self._furthest, progress), event.stage, now
        self._sequence += 1
        self._write(
            JobEvent(
                sequence=self._sequence,
                at=round(now, 3),
                stage=event.stage,
                progress=self._furthest,
                remaining_s=event.remaining_s if event.remaining_s is None or math.isfinite(event.remaining_s) else None,
                metrics={name: value for name, value in event.metrics.items() if math.isfinite(value)},
                message=event.message[:MAX_MESSAGE],
            )
        )

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def _place(self, event: ProgressEvent) -> float:
        """Progress of the job, from that of a stage; a stage that does not say stands at its begin, or where the job is."""
        first, last = self._shares.get(event.stage, (0.0, 1.0))
        if event.progress is None:
            return max(self._furthest, first if event.stage in self._shares else 0.0)
        return first + (last - first) * min(1.0, max(0.0, event.progress))

    def _write(self, event: JobEvent) -> None:
        self._events.append(event)
        if len(self._events) <= MAX_LINES:
            self._file.write(msgspec.json.encode(event) + b"\n")
            return
        self._events = thin(self._events, KEPT_LINES)
        self._file.close()
        write_file_atomic(self._path, _encode_lines(self._events), durable=False)
        self._file = self._path.open("ab", buffering=0)


class ProgressTail:
    """Follows a job's progress file from any number on; each reader has one of its own.

    Args: after: the sequence number of the last event that the reader knows.
    """

    def __init__(self, path: Path, after: int = 0) -> None:
        self._path, self.after = path, after
        self._inode, self._offset = 0, 0

    def read(self) -> list[JobEvent]:
        """The events that came since the last call; none where there is no file yet."""
        try:
            with self._path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:  # thinned, so another file: what is known in it is passed over by its numbers
                    self._inode, self._offset = inode, 0
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        told, length = _decode(content)
        self._offset += length
        events = [event for event in told if event.sequence > self.after]
        if events:
            self.after = events[-1].sequence
        return events


def read_events(path: Path, limit: int = KEPT_LINES) -> list[JobEvent]:
    """All events of a job so far, thinned evenly to at most `limit`."""
    return thin(ProgressTail(path).read(), limit)


def thin(events: list[JobEvent], limit: int) -> list[JobEvent]:
    """At most `limit` events, spread evenly over their time, the first and the last among them.

    Validations, messages and first events of a stage are kept as long as they are fewer than half of the limit.
    """
    if len(events) <= limit:
        return events
    stages = [""] + [event.stage for event in events[:-1]]
    marked = [
        event
        for event, before in zip(events, stages, strict=True)
        if event.message or event.stage != before or "metric" in event.metrics
    ]
    kept = {event.sequence for event in _spread(marked, limit // 2)}
    kept |= {event.sequence for event in _spread(events, limit - len(kept))}
    return [event for event in events if event.sequence in kept]


def _spread(events: list[JobEvent], limit: int) -> Iterable[JobEvent]:
    """The last event in each of `limit - 1` equal parts of the time, and the first of all."""
    if len(events) <= limit or limit < 2:
        return events[:limit]
    gaps = (max(0.0, after.at - before.at) for before, after in pairwise(events))  # a clock may be set back
    elapsed = list(accumulate(gaps, initial=0.0))
    span = max(elapsed[-1], 1e-9)
    parts = {min(int(at / span * (limit - 1)), limit - 2): event for at, event in zip(elapsed, events, strict=True)}
    return (events[0], *parts.values())


def _mend(path: Path) -> list[JobEvent]:
    """The events of a file, from which half a line of a killed process, or what a power cut left, is cut off."""
    if not path.is_file():
        return []
    events, length = _decode(path.read_bytes())
    os.truncate(path, length)
    return events


def _decode(content: bytes) -> tuple[list[JobEvent], int]:
    """The events of the whole lines at the begin, up to one that is none; and how many bytes these lines have."""
    events, length = [], 0
    for line in content.splitlines(keepends=True):
        try:
            event = _EVENTS.decode(line) if line.endswith(b"\n") else None
        except msgspec.DecodeError:
            event = None
        if event is None:
            break
        events.append(event)
        length += len(line)
    return events, length


def _encode_lines(events: list[JobEvent]) -> bytes:
    return msgspec.json.Encoder().encode_lines(events)
