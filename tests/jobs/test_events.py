import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from sightline.core.progress import ProgressEvent
from sightline.jobs.events import KEPT_LINES, MAX_LINES, JobEvent, ProgressTail, ProgressWriter, Shares, read_events, thin

MakeWriter = Callable[..., ProgressWriter]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def make_writer() -> Iterator[MakeWriter]:
    """Opens writers that are closed at the end."""
    opened: list[ProgressWriter] = []

    def make(path: Path, shares: Shares | None = None, begins_again: bool = False, clock: Callable[[], float] | None = None):
        opened.append(ProgressWriter(path, shares or {}, begins_again, clock or Clock()))
        return opened[-1]

    yield make
    for writer in opened:
        writer.close()


def count(progress: float | None, stage: str = "training", **facts: object) -> ProgressEvent:
    return ProgressEvent(stage=stage, progress=progress, **facts)  # type: ignore[arg-type]


def test_what_is_written_is_read_back(tmp_path: Path, make_writer: MakeWriter) -> None:
    writer = make_writer(tmp_path / "events")
    writer(count(0.25, metrics={"loss": 2.0, "odd": float("nan")}, remaining_s=30.0, message="begun"))
    writer.close()
    assert read_events(tmp_path / "events") == [
        JobEvent(
            sequence=1, at=1001.0, stage="training", progress=0.25, remaining_s=30.0, metrics={"loss": 2.0}, message="begun"
        )
    ]


def test_numbers_that_follow_each_other_quickly_are_left_out_but_not_validations_messages_and_stages(
    tmp_path: Path, make_writer: MakeWriter
) -> None:
    times = iter([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    writer = make_writer(tmp_path / "events", clock=lambda: next(times))
    for number in range(1, 5):
        writer(count(number / 10))
    writer(count(0.45, metrics={"metric": 0.5}))
    writer(count(0.46, message="said"))
    writer(count(0.47, stage="validating"))
    assert [event.progress for event in read_events(tmp_path / "events")] == [0.1, 0.45, 0.46, 0.47]


def test_progress_of_stages_is_put_into_that_of_the_job_and_never_goes_back(tmp_path: Path, make_writer: MakeWriter) -> None:
    writer = make_writer(tmp_path / "events", shares={"accuracy": (0.0, 0.5), "latency": (0.5, 0.6), "report": (0.6, 1.0)})
    for stage, progress in [("accuracy", 0.5), ("accuracy", 1.0), ("latency", None), ("accuracy", 0.2), ("report", 1.0)]:
        writer(count(progress, stage))
    assert [event.progress for event in read_events(tmp_path / "events")] == [0.25, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("end", [b'{"sequence":6,"at":10', bytes(100), bytes(10) + b"\n"])  # of a kill, of power cuts
def test_a_run_that_goes_on_repeats_nothing_and_counts_on(tmp_path: Path, make_writer: MakeWriter, end: bytes) -> None:
    first = make_writer(tmp_path / "events")
    for step in range(1, 6):
        first(count(step / 10, metrics={"step": float(step)}))
    with (tmp_path / "events").open("ab") as file:
        file.write(end)
    second = make_writer(tmp_path / "events")
    second(count(0.3, stage="starting", message="goes on"))
    for step in range(4, 8):
        second(count(step / 10, metrics={"step": float(step)}))
    events = read_events(tmp_path / "events")
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [event.progress for event in events] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.6, 0.7]
    assert [event.metrics.get("step") for event in events] == [1, 2, 3, 4, 5, None, 5, 6, 7]


def test_a_run_that_begins_again_begins_at_nothing(tmp_path: Path, make_writer: MakeWriter) -> None:
    make_writer(tmp_path / "events")(count(0.5))
    make_writer(tmp_path / "events", begins_again=True)(count(0.1))
    assert [(event.sequence, event.progress) for event in read_events(tmp_path / "events")] == [(1, 0.5), (2, 0.1)]


def test_the_file_is_bounded_and_stays_even(tmp_path: Path, make_writer: MakeWriter) -> None:
    writer = make_writer(tmp_path / "events")
    tail, seen = ProgressTail(tmp_path / "events"), []
    total = 5 * MAX_LINES
    for step in range(1, total + 1):
        writer(count(step / total, metrics={"metric": 0.1} if step % 500 == 0 else {}))
        if step % 37 == 0:
            seen += tail.read()
    lines = (tmp_path / "events").read_bytes().splitlines()
    assert len(lines) <= MAX_LINES
    events = [msgspec.json.decode(line, type=JobEvent) for line in lines]
    assert events[0].sequence == 1 and events[-1].sequence == total
    gaps = [after.at - before.at for before, after in itertools.pairwise(events)]
    assert max(gaps) <= 3 * total / KEPT_LINES
    assert sum("metric" in event.metrics for event in events) == 10
    seen += tail.read()
    assert [event.sequence for event in seen] == sorted({event.sequence for event in seen})
    assert len(seen) > 0.9 * total  # who follows closely misses next to nothing


@pytest.mark.parametrize("limit", [10, 99, 500])
def test_thinned_events_are_as_many_as_asked_for_and_keep_both_ends(limit: int) -> None:
    drawn = random.Random(limit)
    at, events = 0.0, []
    for number in range(1, 1500):
        at += drawn.expovariate(1.0)
        metrics = {"metric": 1.0} if drawn.random() < 0.05 else {}
        events.append(JobEvent(sequence=number, at=at, stage="training", progress=number / 1500, metrics=metrics))
    kept = thin(events, limit)
    assert len(kept) <= limit
    assert [kept[0].sequence, kept[-1].sequence] == [1, 1499]
    assert [event.sequence for event in kept] == sorted(event.sequence for event in kept)


@pytest.mark.parametrize("back_at", [1, 700])
def test_a_clock_that_is_set_back_leaves_both_sides_of_that_and_no_more_than_asked_for(back_at: int) -> None:
    times = [1e9 + number - (1e6 if number >= back_at else 0) for number in range(1400)]
    kept = thin([JobEvent(sequence=n, at=at, stage="training", progress=0) for n, at in enumerate(times, 1)], 100)
    assert len(kept) <= 100
    later = sum(event.sequence > back_at for event in kept)
    assert later == pytest.approx(100 * (1400 - back_at) / 1400, abs=3)


def test_a_reader_gets_what_came_after_the_number_it_knows(tmp_path: Path, make_writer: MakeWriter) -> None:
    tail = ProgressTail(tmp_path / "events", after=2)
    assert tail.read() == []
    writer = make_writer(tmp_path / "events")
    for step in range(1, 5):
        writer(count(step / 10))
    assert [event.sequence for event in tail.read()] == [3, 4]
    assert tail.read() == []
    with (tmp_path / "events").open("ab") as file:
        file.write(b'{"sequence":5,"at":1,"stage":"a",')
        file.flush()
        assert tail.read() == []
        file.write(b'"progress":1.0}\n')
    assert [event.sequence for event in tail.read()] == [5]
