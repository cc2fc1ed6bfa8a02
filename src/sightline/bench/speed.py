"""Latency and throughput of a subject, from encoded pictures in memory to annotations; disks are not measured.

Latency asks "how long does one caller wait": one call at a time, end to end and, where the subject lets us, the network alone,
in alternation so that both see the same machine. Throughput asks "how many pictures a second": `streams` inferences in flight.
"""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
import numpy as np

from sightline.bench.energy import EnergyMeter
from sightline.bench.records import Feeding, LatencyResult, Stage, ThroughputPoint
from sightline.bench.subjects import OpenVariant, RunsRaw, Streams, Subject, predict_contents
from sightline.bench.timing import Stopwatch, Stretch, compute_spread, measure_in_turn, thin_samples
from sightline.core.errors import InvalidInput
from sightline.imaging.files.reading import decode_image
from sightline.imaging.preprocessing import prepare_batch

WARM_UP_CALLS = 3
MIN_LATENCY_SAMPLES = 10
LATENCY_ROUNDS = 10  # all stages and batch sizes take turns this often


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A subject opened for so many streams: what the points of that stream count are measured on."""

    subject: Subject
    streams: int
    threads: int | None
    is_remote: bool


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the sweep."""

    batch_size: int
    streams: int


def measure_latency(
    subject: Subject, contents: Sequence[bytes], batch_sizes: Sequence[int], seconds: float, is_remote: bool
) -> list[LatencyResult]:
    """Time single calls for about `seconds` per batch size and stage; at least 10 samples each.

    Args:
        contents: encoded pictures, used in turn.
        batch_sizes: pictures per call.
    """
    batches = {size: _cycle_batches(contents, size) for size in batch_sizes}
    stages: tuple[Stage, ...] = ("end_to_end", "network") if isinstance(subject, RunsRaw) else ("end_to_end",)
    keys = [(stage, size) for size in batch_sizes for stage in stages]
    calls: dict[tuple[Stage, int], list[Stretch]] = {key: [] for key in keys}
    for stage, size in keys:
        for _ in range(WARM_UP_CALLS):
            _time_call(subject, stage, next(batches[size]))
    for done in itertools.count():
        if done >= LATENCY_ROUNDS and min(len(calls[key]) for key in keys) >= MIN_LATENCY_SAMPLES:
            break
        for stage, size in keys:
            watch = Stopwatch()
            while watch.wall_s < seconds / LATENCY_ROUNDS:
                calls[stage, size].append(_time_call(subject, stage, next(batches[size])))
    return [_make_latency(stage, size, calls[stage, size], is_remote) for stage, size in keys]


def _time_call(subject: Subject, stage: Stage, batch: Sequence[bytes]) -> Stretch:
    if stage == "end_to_end":
        watch = Stopwatch()
        predict_contents(subject, batch)
        return watch.read(1)
    runner = cast(RunsRaw, subject)
    tensor, _ = prepare_batch([decode_image(content) for content in batch], runner.input)
    watch = Stopwatch()
    runner.predict_raw(tensor)
    return watch.read(1)


def _make_latency(stage: Stage, batch_size: int, calls: Sequence[Stretch], is_remote: bool) -> LatencyResult:
    samples = [call.wall_s * 1e3 for call in calls]
    return LatencyResult(
        stage=stage,
        batch_size=batch_size,
        ms=compute_spread(samples),
        cpu_ms=None if is_remote else float(np.mean([call.cpu_s * 1e3 for call in calls])),
        samples_ms=thin_samples(samples),
    )


def open_lanes(
    subject: Subject, streams: Sequence[int], cores: int, open_variant: OpenVariant | None, is_remote: bool
) -> tuple[list[Lane], list[str]]:
    """A lane for each stream count that can be had, and a note for each that cannot.

    A variant gets `cores // streams` threads for each stream. A remote subject needs no variant: its streams are callers.
    """
    lanes, notes = [], []
    own = getattr(subject, "streams", None) or 1
    for count in streams:
        if open_variant is not None:
            threads = max(1, cores // count)
            lanes.append(Lane(subject=open_variant(count, threads), streams=count, threads=threads, is_remote=is_remote))
        elif is_remote or count == own:
            lanes.append(Lane(subject=subject, streams=count, threads=None, is_remote=is_remote))
        else:
            notes.append(
                f"throughput with {count} streams was not measured: the subject cannot be opened for another stream count"
            )
    if not lanes:  # what the subject offers as it is
        lanes.append(Lane(subject=subject, streams=own, threads=None, is_remote=is_remote))
    return lanes, notes


def measure_throughput(
    lanes: Sequence[Lane],
    contents: Sequence[bytes],
    batch_sizes: Sequence[int],
    seconds: float,
    repeats: int,
    rng: np.random.Generator,
    meter: EnergyMeter,
) -> list[ThroughputPoint]:
    """Measure every (batch size, streams) for about `seconds`, in `repeats` interleaved parts."""
    by_streams = {lane.streams: lane for lane in lanes}
    points = [Point(batch_size=size, streams=streams) for streams in by_streams for size in batch_sizes]
    joules: dict[Point, list[float | None]] = {point: [] for point in points}

    def measure(point: Point, part_s: float) -> Stretch:
        return _run_point(by_streams[point.streams], contents, point.batch_size, part_s)

    def measure_with_energy(point: Point) -> Stretch:
        meter.start()
        stretch = measure(point, seconds / repeats)
        joules[point].append(meter.stop())
        return stretch

    for point in points:
        measure(point, min(0.5, seconds / repeats))
    stretches = measure_in_turn(points, measure_with_energy, repeats, rng)
    return [_make_point(by_streams[point.streams], point, stretches[point], joules[point]) for point in points]


def _run_point(lane: Lane, contents: Sequence[bytes], batch_size: int, seconds: float) -> Stretch:
    if choose_feeding(lane, batch_size) == "stream":
        return _run_stream(lane.subject, contents, seconds)
    return _run_callers(lane, contents, batch_size, seconds)


def choose_feeding(lane: Lane, batch_size: int) -> Feeding:
    """Single pictures go through the subject's own stream where it has one of single pictures; batches come from callers."""
    streams_singly = isinstance(lane.subject, Streams) and getattr(lane.subject, "batch", 1) == 1
    return "stream" if batch_size == 1 and streams_singly and not lane.is_remote else "calls"


def _run_stream(subject: Subject, contents: Sequence[bytes], seconds: float) -> Stretch:
    """Feed pictures for `seconds`, then wait for those in flight: all that were begun count, and so does their time."""
    watch = Stopwatch()

    def feed() -> Iterator[bytes]:
        return itertools.takewhile(lambda _: watch.wall_s < seconds, itertools.cycle(contents))

    done = sum(1 for _ in cast(Streams, subject).predict_stream(feed()))
    return watch.read(done)


def _run_callers(lane: Lane, contents: Sequence[bytes], batch_size: int, seconds: float) -> Stretch:
    """`streams` callers, each with one call of `batch_size` pictures at a time."""
    done = [0] * lane.streams
    errors: list[BaseException] = []
    end = time.perf_counter() + seconds

    def call(index: int) -> None:
        batches = _cycle_batches(contents, batch_size, start=index)
        try:
            while time.perf_counter() < end or not done[index]:
                predict_contents(lane.subject, next(batches))
                done[index] += batch_size
        except BaseException as error:  # noqa: BLE001 - carried to the thread that started us, which raises it
            errors.append(error)

    watch = Stopwatch()
    if lane.streams == 1:
        call(0)
    else:
        threads = [threading.Thread(target=call, args=(index,), name=f"caller-{index}") for index in range(lane.streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stretch = watch.read(sum(done))
    if errors:
        raise errors[0]
    return stretch


def _make_point(lane: Lane, point: Point, stretches: Sequence[Stretch], joules: Sequence[float | None]) -> ThroughputPoint:
    rates = [stretch.units / stretch.wall_s for stretch in stretches]
    images = sum(stretch.units for stretch in stretches)
    known = [part for part in joules if part is not None]
    return ThroughputPoint(
        batch_size=point.batch_size,
        streams=point.streams,
        threads=lane.threads,
        feeding=choose_feeding(lane, point.batch_size),
        images_per_s=float(np.median(rates)),
        repeats=tuple(round(rate, 3) for rate in rates),
        cpu_ms_per_image=None if lane.is_remote else sum(stretch.cpu_s for stretch in stretches) * 1e3 / images,
        joules_per_image=sum(known) / images if known and len(known) == len(joules) else None,
    )


def _cycle_batches(contents: Sequence[bytes], batch_size: int, start: int = 0) -> Iterator[list[bytes]]:
    """Batches of encoded pictures without end, going round. Raises: InvalidInput without pictures or batch size."""
    if not contents or batch_size < 1:
        raise InvalidInput(f"expected pictures and a batch size of 1 or more, got {len(contents)} and {batch_size}; check both")
    position = start * batch_size
    while True:
        yield [contents[(position + offset) % len(contents)] for offset in range(batch_size)]
        position += batch_size
