"""The engine in this process, against servers that answer as each test writes."""

import errno
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scripted_server import HANG_UP, Asked, serve_script, write_answer

from sightline.bench.load import engine
from sightline.bench.load.connections import Connection
from sightline.bench.load.engine import LoadEngine
from sightline.bench.load.records import GeneratorJob, GeneratorResult

BODY = b"p" * 5000
LONGEST_STEP_S = 0.05


class PatientClock:
    """The time of the engine and of the servers here; while this machine does something else, it all but stands still."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._read_s = time.perf_counter()

    def perf_counter(self) -> float:
        """Seconds; read by the engine's thread only, and more often than its longest step."""
        read_s = time.perf_counter()
        self.now_s += min(read_s - self._read_s, LONGEST_STEP_S)
        self._read_s = read_s
        return self.now_s

    def process_time(self) -> float:
        return time.process_time()

    def wait(self, seconds: float) -> None:
        """Let the time of a slow server pass: by the engine's readings, and by the machine's clock too."""
        end_s = self.now_s + seconds
        threading.Event().wait(seconds)
        while self.now_s < end_s:
            threading.Event().wait(0.002)


CLOCK = PatientClock()


@pytest.fixture(autouse=True)
def patient_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "time", CLOCK)
    monkeypatch.setattr(engine, "LONGEST_WAIT_S", LONGEST_STEP_S / 4)


def run(server: Any, body: bytes = BODY, bodies: int = 1, **job: Any) -> GeneratorResult:
    settings = {"duration_s": 0.3, "warm_up_s": 0.05, "drain_s": 5.0, "max_in_flight": 64, "seed": 1} | job
    requests = [
        b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (index, len(body)) + body for index in range(bodies)
    ]
    sizes = tuple(map(len, requests))
    marks: list[str] = []
    job_ = GeneratorJob(host="127.0.0.1", port=server.port, pack="", sizes=sizes, result="", **settings)
    result = LoadEngine(job_, requests, marks.append).run()
    assert marks == ["measuring", "measured"]
    return result


def answer_slowly(asked: Asked) -> bytes:
    CLOCK.wait(0.02)
    return write_answer()


def run_unanswered(**job: Any) -> GeneratorResult:
    """Of a server that answers nothing before the run is over."""
    gate = threading.Event()

    def hold(asked: Asked) -> bytes:
        gate.wait(30)
        return write_answer()

    with serve_script(hold) as server:
        result = run(server, **job)
        gate.set()
    return result


def test_a_closed_loop_keeps_its_connections_and_sees_the_server_s_delay() -> None:
    begun_s = CLOCK.now_s
    with serve_script(answer_slowly) as server:
        result = run(server, clients=4)
    assert result.connections_opened == server.connections == 4
    assert set(result.status) == {200}
    assert min(result.latency_ms) >= 20.0
    assert len(result.latency_ms) >= 4
    assert sum(result.latency_ms) <= 4 * (CLOCK.now_s - begun_s) * 1e3  # each of the four waited for one answer at a time
    assert all(asked.body == BODY for asked in server.asked)


def test_requests_are_sent_in_turn() -> None:
    with serve_script(lambda _: write_answer()) as server:
        run(server, clients=1, bodies=3)
    paths = [asked.path for asked in server.asked]
    assert paths[:7] == ["/0", "/1", "/2", "/0", "/1", "/2", "/0"]


def test_an_open_loop_offers_its_rate_whatever_the_server_does() -> None:
    with serve_script(answer_slowly) as server:
        result = run(server, rate_per_s=300.0, duration_s=0.6)
    planned = len(result.planned_s)
    assert 180 - 5 * 180**0.5 < planned < 180 + 5 * 180**0.5  # a Poisson count: variance is its mean
    assert min(result.latency_ms) >= 20.0
    assert len(result.late_ms) == planned


def longest_silence(result: GeneratorResult) -> tuple[float, float]:
    """The longest time in which no request of a run ended, from and to, in seconds of its clock."""
    ends = np.sort(np.array(result.planned_s) + np.array(result.latency_ms) / 1e3)
    last = int(np.argmax(np.diff(ends)))
    return float(ends[last]), float(ends[last + 1])


def test_a_stall_is_in_the_latency_of_every_request_that_was_due_meanwhile() -> None:
    """No coordinated omission: what a closed loop sees as one slow answer, an open loop sees as often as users would."""
    stall_s = 0.4
    ends: list[float] = []
    asked_at: list[float] = []
    lock = threading.Lock()

    def stall_once(asked: Asked) -> bytes:
        with lock:
            asked_at.append(CLOCK.now_s)
            if asked.number == 20:
                ends.append(asked_at[-1] + stall_s)
            end = ends[0] if ends else 0.0
        CLOCK.wait(max(0.0, end - CLOCK.now_s))
        return write_answer()

    with serve_script(stall_once) as server:
        result = run(server, rate_per_s=200.0, duration_s=1.0, warm_up_s=0.0, max_in_flight=4)
    assert len(result.status) == len(result.planned_s) and set(result.status) == {200}
    begin, end = longest_silence(result)
    assert end - begin > stall_s * 0.8
    planned, latency_s = np.array(result.planned_s), np.array(result.latency_ms) / 1e3
    meanwhile = (planned > begin) & (planned < end)
    assert meanwhile.sum() > 0.6 * 200 * (end - begin)
    assert (planned + latency_s)[meanwhile].min() >= end - 1e-9
    assert result.max_backlog >= meanwhile.sum() - 2 * 4  # each of the connections took one at the begin, and one at the end

    ends.clear()
    asked_at.clear()
    with serve_script(stall_once) as server:
        closed = run(server, clients=1, duration_s=1.0, warm_up_s=0.0)
    assert max(closed.latency_ms) >= stall_s * 1e3
    assert sum(at < ends[0] for at in asked_at) == 20 + 1  # nothing was sent after the one that stalled


def test_refusals_are_counted_by_status_and_the_loop_goes_on() -> None:
    with serve_script(lambda asked: write_answer(503 if asked.number % 3 == 0 else 200, b"queue is full")) as server:
        result = run(server, clients=2)
    refused = result.status.count(503)
    assert refused == pytest.approx(len(result.status) / 3, abs=3)
    assert result.samples == {503: "queue is full"}
    assert refused <= 2 * (0.3 / 0.05 + 2)  # a client that was refused does not come back at once
    assert result.connections_opened == 2


def test_broken_connections_are_counted_and_opened_anew() -> None:
    with serve_script(lambda asked: HANG_UP if asked.on_connection == 2 else write_answer()) as server:
        result = run(server, clients=2, duration_s=0.5)
    broken = result.status.count(0)
    assert broken >= 4
    # Two answers a connection, then it breaks.
    assert result.status.count(200) == pytest.approx(2 * broken, abs=6)
    assert result.connections_opened == server.connections >= broken


def test_an_answer_that_is_cut_off_is_broken() -> None:
    with serve_script(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf") as server:
        result = run(server, clients=1)
    assert set(result.status) == {0}
    assert len(result.status) <= 0.3 / 0.05 + 2  # a client rests before it tries again


def test_chunked_answers_and_answers_that_end_the_connection() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with serve_script(lambda asked: chunked) as server:
        result = run(server, clients=2)
    assert set(result.status) == {200} and result.connections_opened == 2
    with serve_script(lambda asked: write_answer(Connection="close")) as server:
        result = run(server, clients=2)
    assert set(result.status) == {200} and result.connections_opened >= len(result.status) > 4


def test_a_large_request_leaves_whole_over_several_sendings() -> None:
    body = bytes(range(256)) * 40_000  # 10 MB
    with serve_script(lambda asked: write_answer()) as server:
        result = run(server, body=body, clients=2, duration_s=0.2)
    assert set(result.status) == {200}
    assert all(asked.body == body for asked in server.asked)


def test_a_server_that_never_answers_leaves_requests_unfinished_with_the_time_they_waited() -> None:
    result = run_unanswered(rate_per_s=100.0, warm_up_s=0.0, drain_s=0.1, max_in_flight=8)
    assert result.status == [] and len(result.unfinished_s) > 8
    for planned_s, waited_ms in zip(result.unfinished_s, result.unfinished_ms, strict=True):
        assert waited_ms == pytest.approx((0.3 + 0.1 - planned_s) * 1e3, abs=300)


def test_waiting_and_serving_are_told_apart() -> None:
    with serve_script(answer_slowly) as server:
        result = run(server, rate_per_s=200.0, warm_up_s=0.0, max_in_flight=1)
    assert len(result.waited_ms) == len(result.served_ms) == len(result.latency_ms) == len(result.late_ms)
    # One at a time of 20 ms each: what was due last waits for all that came before it, and is served as the first was.
    assert max(result.waited_ms) > 10 * 20.0 and min(result.served_ms) >= 20.0
    assert max(result.latency_ms) > max(result.waited_ms) and np.median(result.served_ms) < 200.0
    for latency, parts in zip(sorted(result.latency_ms), sorted(np.add(result.waited_ms, result.served_ms)), strict=True):
        assert parts == pytest.approx(latency)


def test_what_was_never_sent_waited_and_was_not_served() -> None:
    result = run_unanswered(rate_per_s=100.0, warm_up_s=0.0, drain_s=0.1, max_in_flight=8)
    assert len(result.served_ms) == 8 and len(result.waited_ms) == len(result.unfinished_ms) > 8
    assert sum(result.waited_ms) + sum(result.served_ms) == pytest.approx(sum(result.unfinished_ms), rel=0.01)


def test_a_closed_loop_and_refusals_have_no_such_times() -> None:
    with serve_script(lambda _: write_answer()) as server:
        closed = run(server, clients=2)
    assert closed.waited_ms == closed.served_ms == closed.late_ms == []
    with serve_script(lambda _: write_answer(503)) as server:
        refused = run(server, rate_per_s=100.0)
    assert refused.served_ms == [] and len(refused.waited_ms) == len(refused.status)


def test_a_server_that_hangs_in_the_warm_up_leaves_every_client_of_a_closed_loop_unfinished() -> None:
    result = run_unanswered(clients=3, drain_s=0.1)
    assert result.status == [] and result.ended_in_time == {}
    assert result.unfinished_s == [0.0, 0.0, 0.0]
    assert min(result.unfinished_ms) >= (0.05 + 0.3 + 0.1) * 1e3


def test_a_closed_loop_counts_an_answer_that_took_longer_than_the_measured_time() -> None:
    def answer_late(asked: Asked) -> bytes:
        CLOCK.wait(0.6)
        return write_answer()

    with serve_script(answer_late) as server:
        result = run(server, clients=2)
    assert (result.status, result.planned_s, result.ended_in_time) == ([200, 200], [0.0, 0.0], {})
    assert min(result.latency_ms) >= 600.0


def test_a_closed_loop_leaves_out_what_began_in_the_warm_up_and_ended_in_time() -> None:
    with serve_script(answer_slowly) as server:
        result = run(server, clients=2, duration_s=0.6)
    assert min(result.planned_s) > 0.0 and len(server.asked) > len(result.status) + len(result.unfinished_s)


def test_nobody_at_the_port_is_all_broken_and_no_busy_loop() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        result = run(SimpleNamespace(port=nobody.getsockname()[1]), clients=2)
    assert set(result.status) == {0} and len(result.status) <= 2 * (0.3 / 0.05 + 2)


def refuse_connections(monkeypatch: pytest.MonkeyPatch, number: int, is_refused: Callable[[int], bool]) -> None:
    """Let this machine have no connection for the generator. Args: is_refused: told how many were asked for before."""
    asked = iter(range(1_000_000))

    def connect(host: str, port: int) -> Connection:
        if is_refused(next(asked)):
            raise OSError(number, "scripted")
        return Connection(host, port)

    monkeypatch.setattr(engine, "Connection", connect)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL])
def test_too_few_connections_of_this_machine_are_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    refuse_connections(monkeypatch, number, lambda asked: asked >= 2)
    with serve_script(lambda _: write_answer()) as server:
        result = run(server, clients=5)
    assert set(result.status) == {200} and result.unfinished_s == []  # the others' requests waited for the two
    assert result.connections_opened == server.connections == 2
    assert result.shortages == {number: 2}


def test_a_connection_that_could_not_be_had_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_connections(monkeypatch, errno.EADDRNOTAVAIL, lambda asked: asked == 0)
    with serve_script(lambda _: write_answer()) as server:
        result = run(server, clients=1, warm_up_s=0.0)
    assert set(result.status) == {200} and result.shortages == {errno.EADDRNOTAVAIL: 0}


def test_no_connection_at_all_leaves_requests_unfinished_and_no_busy_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    refuse_connections(monkeypatch, errno.EMFILE, lambda number: not asked.append(number))
    with serve_script(lambda _: write_answer()) as server:
        result = run(server, clients=3, warm_up_s=0.0, drain_s=0.1)
    assert result.status == [] and len(result.unfinished_s) == 3 and result.shortages == {errno.EMFILE: 0}
    assert len(asked) <= 0.4 / 0.05 + 2
