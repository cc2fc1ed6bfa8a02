"""Two Reports side by side: every number both hold, with difference and ratio, and a word wherever comparing would mislead.

Accuracies compare only on the same pictures; speeds only on the same machine, those of a remote subject at the same server.
Where that does not hold the numbers still stand side by side, but without difference and ratio. A difference counts as better
or worse only where chance does not explain it, as far as the Reports tell: of an accuracy where its paired 95 % interval leaves
out 0 (`resamples`), of a latency by parts of its calls, of a throughput by its repeats; of memory, CPU time and energy, which
are measured once, nothing tells. What has no interval says why.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from sightline.bench.records import (
    COUNT_METRIC,
    SPREAD_PERCENTILES,
    DatasetFacts,
    LatencyResult,
    ReportContent,
    ThroughputPoint,
)
from sightline.bench.resamples import METHOD, UNCHANGED, Change, Resamples, find_change
from sightline.core.percentiles import has_percentile

Group = Literal["accuracy", "latency", "throughput", "memory", "energy"]
Interval = tuple[float, float]
GPU = "gpu"  # stands in the host of a Report whose subject ran on one
HOST_FIELDS = {"cpu": "CPU", "cores": "number of cores", "memory_bytes": "memory", "system": "system", GPU: "GPU"}
THRESHOLD_METRIC = "best_confidence"  # stands among the metrics, but more of it is not better
LATENCY_PARTS = 5  # of the calls, as they came: a percentile differs between them by chance, and as the machine drifts
BUSY_CORES = 0.3  # other programs' share from which a speed is doubtful
NO_PAIRS = {  # of speeds, between two Reports
    "latency": "the range over the fifths of its calls stands for it",
    "throughput": "the range of its repeats stands for it",
}
MEASURED_ONCE = "it was measured once"


class ComparedNumber(msgspec.Struct, frozen=True, kw_only=True):
    """One number of both Reports.

    Attributes:
        better: which direction is better.
        a_interval, b_interval: (lowest, highest) that chance explains; None where the Report does not tell. Of a latency those
            of its percentile in each fifth of the calls, of a throughput those of its repeats.
        difference, ratio: b - a and b / a; None where comparing would mislead or a is 0.
        difference_interval: of an accuracy the paired 95 % interval of `difference`; None where there is none.
        no_interval: why there is none, in words: "unchanged" where no resample of the pictures changes anything.
        is_of_few: a percentile that a side read from too few calls to have it.
    """

    group: Group
    name: str
    unit: str
    better: Literal["higher", "lower"]
    a: float | None
    b: float | None
    difference: float | None
    ratio: float | None
    a_interval: Interval | None = None
    b_interval: Interval | None = None
    difference_interval: Interval | None = None
    no_interval: str = ""
    is_of_few: bool = False

    @property
    def verdict(self) -> Literal["better", "worse", "unclear", "same", "unknown"]:
        """Whether b is better than a; "unclear" where chance may explain the difference."""
        if self.difference is None:
            return "unknown"
        if self.difference == 0:
            return "same"
        if self.difference_interval is not None:
            if _is_inside(0.0, self.difference_interval):
                return "unclear"
        elif self.a_interval is None or self.b_interval is None:
            return "unclear"  # measured once: nothing says what chance does
        elif _is_inside(self.b, self.a_interval) or _is_inside(self.a, self.b_interval):
            return "unclear"
        return "better" if (self.difference > 0) == (self.better == "higher") else "worse"


class ReportComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two Reports side by side.

    Attributes:
        a, b: name and kind of what each measured.
        same_pictures, same_host: what decides whether accuracies and speeds may be compared; a server is a host of its own.
        warnings: what differs or disturbs, one sentence each.
        method: how the intervals of the differences were found.
    """

    a: str
    b: str
    same_pictures: bool
    same_host: bool
    warnings: tuple[str, ...]
    numbers: tuple[ComparedNumber, ...]
    method: str = METHOD

    def count_intervals(self) -> int:
        """How many differences have an interval: by chance alone one of twenty of them leaves out 0."""
        return sum(number.difference_interval is not None for number in self.numbers)

    def group_reasons(self) -> dict[str, list[str]]:
        """Why numbers have no interval, those that are compared and not just unchanged: reason -> their names."""
        groups: dict[str, list[str]] = {}
        for number in self.numbers:
            if number.no_interval not in ("", UNCHANGED) and number.difference is not None:
                named = number.name if number.group == "accuracy" else _name_kind(number)
                groups.setdefault(number.no_interval, []).append(named)
        return {reason: list(dict.fromkeys(names)) for reason, names in groups.items()}


def _find_host_differences(a: ReportContent, b: ReportContent) -> list[str]:
    """Facts of the host that differ. A GPU and the CPU beside it are of one host; two kinds of GPU are not."""
    hosts = a.host, b.host
    return [
        field
        for field in HOST_FIELDS
        if hosts[0].get(field) != hosts[1].get(field) and (field != GPU or all(field in host for host in hosts))
    ]


def compare_reports(
    a: ReportContent, b: ReportContent, resamples: tuple[Resamples | None, Resamples | None] = (None, None)
) -> ReportComparison:
    """Compare two Reports. Numbers that only one holds have None on the other side.

    Args: resamples: of both, from `Report.read_resamples`: without them accuracies have no interval of their difference.
    """
    same_pictures = _have_same_pictures(a, b)
    same_host = not _find_host_differences(a, b) and _server_of(a) == _server_of(b)
    is_fair = {"accuracy": same_pictures and a.subject.task == b.subject.task}
    left, right = _flatten(a), _flatten(b)
    intervals = _find_intervals(a), _find_intervals(b)
    numbers = [
        _compare(
            key, left.get(key), right.get(key), [known.get(key[:2]) for known in intervals], is_fair.get(key[0], same_host)
        )
        for key in dict.fromkeys((*left, *right))
    ]
    few = _list_few(a) | _list_few(b)
    numbers = [msgspec.structs.replace(number, is_of_few=(number.group, number.name) in few) for number in numbers]
    of_categories = _list_category_metrics(a) | _list_category_metrics(b)
    names = [_name_subject(content) for content in (a, b)]
    if names[0] == names[1]:
        names = [f"{_name_subject(content)}, {content.created_at}" for content in (a, b)]
    return ReportComparison(
        a=names[0],
        b=names[1],
        same_pictures=same_pictures,
        same_host=same_host,
        warnings=tuple(_find_warnings(a, b)),
        numbers=tuple(_add_interval(number, of_categories.get(number.name), resamples) for number in numbers),
    )


def _list_category_metrics(content: ReportContent) -> dict[str, tuple[str, str]]:
    """The metric and the category that the name of a number stands for."""
    rows = content.accuracy.per_category.items()
    return {_name_category_metric(category, metric): (metric, category) for category, row in rows for metric in row}


def _name_kind(number: ComparedNumber) -> str:
    """`latency` or `CPU of latency`: of speeds, whose many points are alike."""
    return f"CPU of {number.group}" if ": CPU" in number.name else number.group


def _name_category_metric(category: str, metric: str) -> str:
    return f"{category}: {metric}"


def _add_interval(
    number: ComparedNumber, of_category: tuple[str, str] | None, resamples: tuple[Resamples | None, Resamples | None]
) -> ComparedNumber:
    """How sure a difference is, or why that is not told. Args: of_category: metric and category, where it is one's."""
    if number.difference is None:
        change = Change(None, "not compared")
    elif number.group != "accuracy":
        is_ranged = number.a_interval is not None and number.b_interval is not None
        change = Change(None, NO_PAIRS[number.group] if is_ranged else MEASURED_ONCE)
    else:
        metric, category = of_category or (number.name, None)
        change = find_change(*resamples, metric, category, number.difference)
    return msgspec.structs.replace(number, difference_interval=change.interval, no_interval=change.reason)


_Key = tuple[Group, str, str, Literal["higher", "lower"]]


def _compare(key: _Key, a: float | None, b: float | None, intervals: Sequence[Interval | None], fair: bool) -> ComparedNumber:
    group, name, unit, better = key
    return ComparedNumber(
        group=group,
        name=name,
        unit=unit,
        better=better,
        a=a,
        b=b,
        difference=b - a if fair and a is not None and b is not None else None,
        ratio=b / a if fair and a and b is not None else None,
        a_interval=intervals[0],
        b_interval=intervals[1],
    )


def _flatten(content: ReportContent) -> dict[_Key, float | None]:
    """Every comparable number, None where the Report says it is not known."""
    numbers: dict[_Key, float | None] = {}
    for name, value in content.accuracy.values.items():
        if name == THRESHOLD_METRIC:
            continue
        numbers["accuracy", name, "", "higher"] = value
    for category, metrics in content.accuracy.per_category.items():
        for name, value in metrics.items():
            if name == COUNT_METRIC:
                continue
            numbers["accuracy", _name_category_metric(category, name), "", "higher"] = value
    for result in content.latency:
        label = _name_latency(result)
        for quantile in SPREAD_PERCENTILES:
            numbers["latency", f"{label}: {quantile}", "ms", "lower"] = getattr(result.ms, quantile)
        numbers["latency", f"{label}: CPU", "ms", "lower"] = result.cpu_ms
    for point in content.throughput:
        label = _name_point(point)
        numbers["throughput", label, "img/s", "higher"] = point.images_per_s
        numbers["throughput", f"{label}: CPU per picture", "ms", "lower"] = point.cpu_ms_per_image
    memory = content.memory
    numbers["memory", "after measuring", "MB", "lower"] = memory.after_bytes / 1e6 if memory else None
    opening = memory.opening_bytes if memory else None
    numbers["memory", "to open it", "MB", "lower"] = opening / 1e6 if opening is not None else None
    numbers["energy", "per picture", "J", "lower"] = content.energy.joules_per_image
    return numbers


def _list_few(content: ReportContent) -> set[tuple[Group, str]]:
    """Percentiles that were read from too few calls to be ones, by group and name of the number."""
    return {
        ("latency", f"{_name_latency(result)}: {name}")
        for result in content.latency
        for name in SPREAD_PERCENTILES
        if not has_percentile(name, result.ms.count)
    }


def _find_intervals(content: ReportContent) -> dict[tuple[Group, str], Interval]:
    """What chance explains, by group and name of the number."""
    accuracy = content.accuracy
    found: dict[tuple[Group, str], Interval] = {
        ("throughput", _name_point(point)): (min(point.repeats), max(point.repeats))
        for point in content.throughput
        if len(point.repeats) > 1
    }
    found |= {
        ("latency", f"{_name_latency(result)}: p{percent}"): _find_range(result.samples_ms, percent)
        for result in content.latency
        if len(result.samples_ms) >= 2 * LATENCY_PARTS
        for percent in (50, 90, 99)
    }
    if accuracy.primary_low is not None and accuracy.primary_high is not None:
        found["accuracy", accuracy.primary_name] = accuracy.primary_low, accuracy.primary_high
    return found


def _is_inside(value: float | None, interval: Interval) -> bool:
    return value is not None and interval[0] <= value <= interval[1]


def _find_range(samples_ms: Sequence[float], percent: int) -> Interval:
    """The lowest and the highest of a percentile in parts of the calls, one part after the other."""
    values = [float(np.percentile(part, percent)) for part in np.array_split(np.array(samples_ms), LATENCY_PARTS)]
    return min(values), max(values)


def _name_latency(result: LatencyResult) -> str:
    return f"{result.stage.replace('_', ' ')}, batch {result.batch_size}"


def _name_point(point: ThroughputPoint) -> str:
    return f"batch {point.batch_size}, {point.streams} stream{'s' if point.streams > 1 else ''}"


def _have_same_pictures(a: ReportContent, b: ReportContent) -> bool:
    """Whether two accuracies speak of the same pictures: of those that were drawn the truth decides which are judged."""
    if a.dataset is None or b.dataset is None:
        return (a.name, a.created_at) == (b.name, b.created_at)
    # An older Report tells only how many were judged.
    is_told = a.dataset.drawn is not None and b.dataset.drawn is not None
    return _picture_key(a, a.dataset, is_told) == _picture_key(b, b.dataset, is_told)


def _picture_key(content: ReportContent, facts: DatasetFacts, is_told: bool) -> tuple[Any, ...]:
    """What must be equal. Args: is_told: both Reports tell how many were drawn."""
    drawn = facts.images if facts.drawn is None else facts.drawn
    is_part = drawn < facts.images_in_split
    return facts.version, facts.split, drawn if is_told else facts.images, content.seed if is_part else None


def _server_of(content: ReportContent) -> str | None:
    """Where the subject ran, if not in the process that measured it: the host of the Report is the client's."""
    return None if content.subject.url is None else content.subject.url.rstrip("/")


def _find_warnings(a: ReportContent, b: ReportContent) -> Iterator[str]:
    if a.subject.task != b.subject.task:
        yield f"different tasks ({a.subject.task} and {b.subject.task}): accuracies are not compared"
    if not _have_same_pictures(a, b):
        yield f"different pictures ({_name_pictures(a)} and {_name_pictures(b)}): accuracies are not compared"
    for field in _find_host_differences(a, b):
        yield f"different {HOST_FIELDS[field]} ({a.host.get(field)} and {b.host.get(field)}): speeds are not compared"
    if (a.subject.url is None) != (b.subject.url is None):
        yield "one was measured over HTTP and the other in its process: speeds are not compared"
    elif _server_of(a) != _server_of(b):
        yield f"different servers ({a.subject.url} and {b.subject.url}), whose machines are not seen: speeds are not compared"
    if a.subject.precision != b.subject.precision:
        yield f"different precision ({a.subject.precision} and {b.subject.precision})"
    yield from _find_package_warnings(a, b)
    for name, content in (("first", a), ("second", b)):
        if (content.load.other_cores or 0.0) > BUSY_CORES:
            yield f"other programs kept {content.load.other_cores:.1f} cores busy while the {name} was measured"


def _find_package_warnings(a: ReportContent, b: ReportContent) -> Iterator[str]:
    left, right = (dict(content.host.get("packages") or {}) for content in (a, b))
    changed = [
        f"{name} {left.get(name, 'absent')} and {right.get(name, 'absent')}"
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]
    if changed:
        yield f"different package versions: {', '.join(changed)}"


def _name_subject(content: ReportContent) -> str:
    """`parts: artifact, openvino int8`: two Reports of one thing often have one name."""
    subject = content.subject
    engine = " ".join(part for part in (subject.engine, subject.precision) if part)
    return f"{content.name}: {subject.kind}" + (f", {engine}" if engine else "")


def _name_pictures(content: ReportContent) -> str:
    facts = content.dataset
    return "no dataset" if facts is None else f"{facts.name}@{facts.version[:8]} {facts.split}, {facts.images} pictures"
