"""The load generator's loop: one thread, a selector, non-blocking sockets, requests that were written before.

Requests fall due (see `arrivals`), wait in a backlog until a connection is free, and end with an answer or a broken
connection. Where this machine has no further connection to give they wait on, and the result says so: that is no fault of the
server. Latency runs from the moment a request was due, so waiting in the backlog counts. A request that was due within the
measured time counts, whenever it ends; it may end up to `drain_s` after it. In a closed loop one that was due before and is
open at the end counts too: its client had no other, and a server that hangs would have no failure.
"""

import errno
import select
import selectors
import time
from collections import deque
from collections.abc import Callable, Sequence

from sightline.bench.load.arrivals import Arrivals, ClosedLoop, OpenLoop
from sightline.bench.load.connections import Connection
from sightline.bench.load.records import BROKEN, REFUSED, GeneratorJob, GeneratorResult
from sightline.core.errors import InvalidInput

REST_S = 0.05  # a client that was refused or cut off tries again after this, so that its haste is not what is measured
LONGEST_WAIT_S = 0.1
SHORTAGES = frozenset((errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL))  # of files, of the system's files, of local ports
SAMPLE_CHARACTERS = 300
READ, BOTH = selectors.EVENT_READ, selectors.EVENT_READ | selectors.EVENT_WRITE


class LoadEngine:
    """Runs one job.

    Args:
        requests: ready to send, taken in turn.
        on_mark: told "measuring" when the measured time begins and "measured" when it ends.
    """

    def __init__(self, job: GeneratorJob, requests: Sequence[bytes], on_mark: Callable[[str], None]) -> None:
        self.job = job
        self.result = GeneratorResult()
        self._requests = [memoryview(request) for request in requests]
        self._next_request = job.first
        self._on_mark = on_mark
        self._selector = selectors.DefaultSelector()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._backlog: deque[float] = deque()
        self._is_open = job.rate_per_s is not None
        self._limit = job.clients if job.clients is not None else job.max_in_flight
        self._in_flight = 0
        self._is_measuring = False
        self._short_until = 0.0

    def run(self) -> GeneratorResult:
        """Make the load and wait for its end."""
        start = time.perf_counter()
        self._from, self._until = start + self.job.warm_up_s, start + self.job.warm_up_s + self.job.duration_s
        self._arrivals = self._make_arrivals(start)
        while True:
            now = time.perf_counter()
            if not self._is_measuring and now >= self._from:
                self._begin_measuring()
            if now >= self._until:
                break
            self._note_due(now)
            self._dispatch()
            self._wait(min(self._arrivals.next_at, self._from if not self._is_measuring else self._until))
        self._note_due(self._until)
        self._end_measuring()
        self._drain()
        self._give_up()
        return self.result

    def _make_arrivals(self, start: float) -> Arrivals:
        if self.job.rate_per_s is not None:
            return OpenLoop(self.job.rate_per_s, start, self.job.seed)
        assert self.job.clients is not None
        return ClosedLoop(self.job.clients, start)

    def _begin_measuring(self) -> None:
        self._is_measuring = True
        result = self.result
        result.sent_bytes = result.received_bytes = result.max_backlog = 0
        result.shortages.clear()
        self._on_mark("measuring")
        self._cpu_from, self._wall_from = time.process_time(), time.perf_counter()

    def _end_measuring(self) -> None:
        self.result.cpu_s = time.process_time() - self._cpu_from
        self.result.wall_s = time.perf_counter() - self._wall_from
        self._on_mark("measured")

    def _note_due(self, now: float) -> None:
        """Move what is due into the backlog."""
        while self._arrivals.next_at <= now:
            planned = self._arrivals.take()
            self._backlog.append(planned)
            if self._is_open and planned >= self._from:
                self.result.late_ms.append((now - planned) * 1e3)

    def _dispatch(self) -> None:
        """Send as much of the backlog as there are free connections."""
        while self._backlog and self._in_flight < self._limit:
            if not self._idle and time.perf_counter() < self._short_until:
                break
            self._send(self._backlog.popleft())
        self.result.max_backlog = max(self.result.max_backlog, len(self._backlog))

    def _send(self, planned: float) -> None:
        self._in_flight += 1
        begun = time.perf_counter()
        try:
            connection = self._idle.pop() if self._idle else self._open()
        except OSError as error:
            if error.errno in SHORTAGES:
                self._put_back(planned, error.errno)
            else:
                self._record(planned, begun, BROKEN)
            return
        request = self._requests[self._next_request]
        self._next_request = (self._next_request + 1) % len(self._requests)
        if self._is_open and planned >= self._from:
            self.result.waited_ms.append((begun - planned) * 1e3)
        try:
            self.result.sent_bytes += connection.begin(request, planned, begun)
        except OSError:
            self._take_early_answer(connection)
            return
        if connection.has_more():
            self._selector.modify(connection.sock, BOTH, connection)

    def _put_back(self, planned: float, number: int) -> None:
        """This machine has no further connection: let the request wait for one of those it has, or for a later try."""
        self._in_flight -= 1
        self._backlog.appendleft(planned)
        self._short_until = time.perf_counter() + REST_S
        self.result.shortages[number] = max(len(self._all), self.result.shortages.get(number, 0))

    def _open(self) -> Connection:
        connection = Connection(self.job.host, self.job.port)
        self.result.connections_opened += 1
        self._all.add(connection)
        self._selector.register(connection.sock, READ, connection)
        return connection

    def _wait(self, until: float) -> None:
        """Serve the sockets that are ready, or wait for one until a moment."""
        wait_s = min(max(until - time.perf_counter(), 0.0), LONGEST_WAIT_S)
        if wait_s and self._is_open:
            # epoll rounds its wait up to whole milliseconds; select takes microseconds, and the epoll itself can be waited for.
            # A closed loop has nothing to be on time for but answers.
            ready, _, _ = select.select([self._selector], [], [], wait_s)
            if not ready:
                return
            wait_s = 0.0
        for key, events in self._selector.select(wait_s):
            self._serve(key.data, events)

    def _serve(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE and connection.has_more():
            try:
                self.result.sent_bytes += connection.push()
            except OSError:
                self._take_early_answer(connection)
                return
            if not connection.has_more():
                self._selector.modify(connection.sock, READ, connection)
        if events & selectors.EVENT_READ:
            self._read(connection)

    def _read(self, connection: Connection) -> bool:
        """Read what came; False when the connection broke."""
        before = connection.reader.length
        try:
            is_whole = connection.pull()
        except (OSError, InvalidInput):
            self._lose(connection)
            return False
        self.result.received_bytes += connection.reader.length - before
        if is_whole and connection.is_busy:
            self._finish(connection)
        elif not connection.is_busy:
            self._lose(connection)  # bytes that nobody asked for
            return False
        return True

    def _take_early_answer(self, connection: Connection) -> None:
        """Sending failed; a server that refuses before it has read everything may have answered already."""
        while connection.is_busy and connection in self._all:
            before = connection.reader.length
            if not self._read(connection):
                return
            if connection.is_busy and connection.reader.length == before:
                self._lose(connection)

    def _finish(self, connection: Connection) -> None:
        connection.is_busy = False
        reader = connection.reader
        if not 200 <= reader.status < 300 and reader.status not in self.result.samples:
            self.result.samples[reader.status] = reader.sample.decode("utf-8", "replace")[:SAMPLE_CHARACTERS]
        if connection.is_reusable:
            self._idle.append(connection)
        else:
            self._close(connection)
        self._record(connection.planned, connection.begun, reader.status)

    def _lose(self, connection: Connection) -> None:
        """A connection broke; when it was idle that is the server's right and no failure."""
        was_busy, connection.is_busy = connection.is_busy, False
        if not was_busy and connection in self._idle:
            self._idle.remove(connection)
        self._close(connection)
        if was_busy:
            self._record(connection.planned, connection.begun, BROKEN)

    def _close(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        self._all.discard(connection)
        connection.close()

    def _record(self, planned: float, begun: float, status: int) -> None:
        """A request has ended."""
        now = time.perf_counter()
        self._in_flight -= 1
        self._arrivals.end_one(now + (REST_S if status == BROKEN or status in REFUSED else 0.0))
        result = self.result
        if self._from <= now < self._until:
            result.ended_in_time[status] = result.ended_in_time.get(status, 0) + 1
        if self._is_counted(planned, now):
            result.planned_s.append(max(0.0, planned - self._from))
            result.latency_ms.append((now - planned) * 1e3)
            result.status.append(status)
            if self._is_open and 200 <= status < 300:
                result.served_ms.append((now - begun) * 1e3)

    def _is_counted(self, planned: float, end: float) -> bool:
        """Whether a request was due in the measured time, or in a closed loop on its way for all of it."""
        return planned >= self._from or (end >= self._until and not self._is_open)

    def _drain(self) -> None:
        """Let everything that was due in time come to its end; nothing new falls due."""
        give_up_at = self._until + self.job.drain_s
        while self._in_flight or self._backlog:
            if time.perf_counter() >= give_up_at:
                return
            self._dispatch()
            self._wait(give_up_at)

    def _give_up(self) -> None:
        """Count what has no end, and close everything."""
        now = time.perf_counter()
        unsent = [planned for planned in self._backlog if self._is_counted(planned, now)]
        sent = [one for one in self._all if one.is_busy and self._is_counted(one.planned, now)]
        counted = [*unsent, *(connection.planned for connection in sent)]
        self.result.unfinished_s = [max(0.0, planned - self._from) for planned in counted]
        self.result.unfinished_ms = [(now - planned) * 1e3 for planned in counted]
        if self._is_open:
            self.result.waited_ms += [(now - planned) * 1e3 for planned in unsent]
            self.result.served_ms += [(now - connection.begun) * 1e3 for connection in sent]
        for connection in list(self._all):
            self._close(connection)
        self._selector.close()
