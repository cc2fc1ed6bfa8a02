"""From what generators saw to a `LoadPoint`: percentiles, counts, a timeline, and whether the point counts."""

import errno
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from sightline.bench.load.records import (
    BROKEN,
    QUANTILES,
    REFUSED,
    GeneratorCost,
    GeneratorResult,
    LatencyMs,
    LoadPlan,
    LoadPoint,
    Moment,
    ServerCost,
)
from sightline.core.percent import format_percent
from sightline.core.percentiles import has_percentile

SHORTAGE_REMEDIES = {
    errno.EMFILE: "raise ulimit -Hn, or make load with more processes",
    errno.ENFILE: "raise fs.file-max of this machine, or load the server from several",
    errno.EADDRNOTAVAIL: "make load with fewer clients, or from several machines",
}
TIMELINE_PARTS = 60
MOST_CORE_SHARE = 0.7  # of its one core: above, a generator process has no time left to be on time
MOST_MACHINE_SHARE = 0.15  # of all cores, when the server runs on the same machine: that much is taken from it
# Lateness is in the latency, so it never flatters a server; it spoils a point where it is much of what was measured.
# So it is with waiting until fewer are in flight.
MOST_LATE_MS, MOST_LATE_SHARE = 2.0, 0.25  # whichever is more; the share is of the 99th percentile from sending to answer


def summarise_point(
    results: Sequence[GeneratorResult],
    plan: LoadPlan,
    *,
    clients: int | None,
    rate_per_s: float | None,
    server: ServerCost | None,
    other_cores: float | None,
    cores_shared: int | None,
) -> LoadPoint:
    """The numbers of one point.

    Args:
        other_cores: cores kept busy by others than the server and the generator; None when not known.
        cores_shared: cores of the machine when the server runs on it too, else None.
    """
    planned_s, latency_ms, status = (gather(results, name) for name in ("planned_s", "latency_ms", "status"))
    unfinished_s, unfinished_ms = (gather(results, name) for name in ("unfinished_s", "unfinished_ms"))
    is_answer, is_refusal = (status >= 200) & (status < 300), np.isin(status, REFUSED)
    answered = latency_ms[is_answer]
    outcome = np.concatenate([answered, unfinished_ms])
    outcome_s = np.concatenate([planned_s[is_answer], unfinished_s])
    planned = len(planned_s) + len(unfinished_s)
    in_time = sum((Counter(one.ended_in_time) for one in results), Counter[int]())
    generator = describe_generator(results, plan, cores_shared)
    return LoadPoint(
        clients=clients,
        rate_per_s=None if rate_per_s is None else round(rate_per_s, 3),
        offered_per_s=None if rate_per_s is None else round(planned / plan.duration_s, 3),
        duration_s=plan.duration_s,
        planned=planned,
        answered_per_s=round(sum(count for code, count in in_time.items() if 200 <= code < 300) / plan.duration_s, 3),
        statuses={str(code): count for code, count in sorted(Counter(status.astype(int).tolist()).items()) if code != BROKEN},
        refused=int(is_refusal.sum()),
        broken=int((status == BROKEN).sum()),
        unfinished=len(unfinished_s),
        answered=compute_latency(answered),
        outcome=compute_latency(outcome),
        refusal=compute_latency(latency_ms[is_refusal]),
        quantiles_ms=tuple(round(float(ms), 4) for ms in np.quantile(outcome, QUANTILES)) if len(outcome) else (),
        timeline=make_timeline(outcome_s, outcome, plan.duration_s),
        max_backlog=max(one.max_backlog for one in results),
        connections_opened=sum(one.connections_opened for one in results),
        sent_bytes=sum(one.sent_bytes for one in results),
        received_bytes=sum(one.received_bytes for one in results),
        generator=generator,
        generator_limited=bool(generator.limited_by),
        server=server,
        other_cores=other_cores,
        error_samples={str(code): text for one in results for code, text in one.samples.items()},
    )


def gather(results: Sequence[GeneratorResult], name: str) -> np.ndarray:
    """A list of every process, one after the other, `(N,)` float64."""
    return np.concatenate([np.asarray(getattr(one, name), np.float64) for one in results])


def compute_latency(samples_ms: np.ndarray) -> LatencyMs | None:
    """Mean and percentiles; None without samples. Args: samples_ms: `(N,)` float64."""
    if not len(samples_ms):
        return None
    p50, p90, p95, p99, p999 = (float(value) for value in np.percentile(samples_ms, [50, 90, 95, 99, 99.9]))
    return LatencyMs(
        count=len(samples_ms),
        mean=float(samples_ms.mean()),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        p999=p999 if has_percentile("p999", len(samples_ms)) else None,
        maximum=float(samples_ms.max()),
    )


def make_timeline(planned_s: np.ndarray, latency_ms: np.ndarray, duration_s: float) -> tuple[Moment, ...]:
    """Median and maximum of the requests planned in each of `TIMELINE_PARTS` equal parts of the measured time."""
    part_s = duration_s / TIMELINE_PARTS
    parts = np.minimum((planned_s / part_s).astype(int), TIMELINE_PARTS - 1)
    moments = []
    for part in range(TIMELINE_PARTS):
        inside = latency_ms[parts == part]
        moments.append(
            Moment(
                at_s=round(part * part_s, 4),
                planned=len(inside),
                p50_ms=round(float(np.median(inside)), 4) if len(inside) else None,
                max_ms=round(float(inside.max()), 4) if len(inside) else None,
            )
        )
    return tuple(moments)


def describe_generator(results: Sequence[GeneratorResult], plan: LoadPlan, cores_shared: int | None) -> GeneratorCost:
    """What making the load cost, and why the point may be the generator's own and not the server's."""
    cores = [one.cpu_s / one.wall_s for one in results]
    ended = sum(sum(one.ended_in_time.values()) for one in results)
    late_p99 = compute_p99(gather(results, "late_ms"))
    limits = []
    if max(cores) > MOST_CORE_SHARE:
        limits.append(
            f"a generator process used {format_percent(max(cores), 0)} of the one core it can use; make load with more "
            "processes"
        )
    if cores_shared is not None and sum(cores) > MOST_MACHINE_SHARE * cores_shared:
        limits.append(
            f"the generator used {sum(cores):.2f} of the {cores_shared} cores that the server needs too; load it from elsewhere"
        )
    limits += list_shortages(results) + list_delays(results, plan)
    return GeneratorCost(
        processes=len(results),
        cores=round(sum(cores), 4),
        us_per_request=round(sum(one.cpu_s for one in results) / ended * 1e6, 2) if ended else None,
        late_p99_ms=None if late_p99 is None else round(late_p99, 3),
        limited_by=tuple(limits),
    )


def list_shortages(results: Sequence[GeneratorResult]) -> list[str]:
    """Why generator processes had fewer connections than they were to have."""
    most: dict[int, int] = {}
    for result in results:
        for number, count in result.shortages.items():
            most[number] = max(count, most.get(number, 0))
    return [
        f"a generator process could have no more than {count} connections: {os.strerror(number)}; {SHORTAGE_REMEDIES[number]}"
        for number, count in sorted(most.items())
    ]


def list_delays(results: Sequence[GeneratorResult], plan: LoadPlan) -> list[str]:
    """Why requests of an open loop left later than they were due, where that is much beside what came after it."""
    late_p99, waited_p99, served_p99 = (
        compute_p99(gather(results, name)) or 0.0 for name in ("late_ms", "waited_ms", "served_ms")
    )
    bound_ms = max(MOST_LATE_MS, MOST_LATE_SHARE * served_p99)
    delays = []
    if late_p99 > bound_ms:
        delays.append(f"the generator was {late_p99:.1f} ms late at the 99th percentile; offer less, or leave it a core")
    # What waits while this machine has no further connection is told as that shortage.
    if waited_p99 - late_p99 > bound_ms and any(one.max_backlog and not one.shortages for one in results):
        delays.append(
            f"requests waited {waited_p99:.0f} ms at the 99th percentile because {plan.max_in_flight} were in flight; "
            "allow more (--max-in-flight), or offer less"
        )
    return delays


def compute_p99(samples_ms: np.ndarray) -> float | None:
    """The 99th percentile; None without samples. Args: samples_ms: `(N,)` float64."""
    return float(np.percentile(samples_ms, 99)) if len(samples_ms) else None
