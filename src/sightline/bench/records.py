"""What a Report says, as typed records: `report.json` is `ReportContent` and nothing else, so a later version can read it back.

Nothing is guessed: what could not be measured is None, and the reason stands beside it or in `notes`.
"""

import math
from typing import Any, Literal

import msgspec

from sightline.core.manifests import Task

Stage = Literal["end_to_end", "network"]
Feeding = Literal["stream", "calls"]
COUNT_METRIC = "truth"  # of a category: how many true labels, objects or pixels
STAGE_NAMES: dict[Stage, str] = {"end_to_end": "end to end", "network": "network alone"}


class SubjectFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured.

    Attributes:
        kind: "model", "artifact", "deployment", or the class name of any other predictor.
        name, id: of its manifest; None for a predictor without one.
        engine, device, precision: where and how the network runs, as far as the subject says; None when it does not.
        input_width, input_height: size of the network's input, pixels.
        confidence_threshold: what a user gets by default; the accuracy is measured at a lower one, see `Accuracy`.
        url: of a remote subject; its memory and CPU seconds are not ours to see.
    """

    kind: str
    task: Task
    categories: tuple[str, ...]
    name: str | None = None
    id: str | None = None
    model_id: str | None = None
    network: str | None = None
    engine: str | None = None
    device: str | None = None
    precision: str | None = None
    streams: int | None = None
    threads: int | None = None
    input_width: int | None = None
    input_height: int | None = None
    confidence_threshold: float | None = None
    url: str | None = None


class DatasetFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pictures: `images` of the `images_in_split` pictures of `split`.

    Attributes:
        images: that were judged; those that no person looked at are left out.
        drawn: how many were drawn, with the Report's seed where they are fewer than the split has; None where that is not told.
    """

    name: str
    version: str
    split: str
    images: int
    images_in_split: int
    drawn: int | None = None


class PrecisionRecall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One category's precision over recall at IoU 0.5, at most 101 points, recall rising; both 0..1."""

    category: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Task metrics on the pictures, all 0..1.

    Attributes:
        primary_name, primary: the one number of this task, higher is better.
        primary_low, primary_high: its 95 % interval: of top1 Wilson's, of all others over resamples of the pictures (percentile
            bootstrap, Efron 1979), widened by the rule of three where no resample differs; None for fewer than two pictures.
        values: every metric by name.
        per_category: metrics of each category by name.
        confusion: rows truth, columns predicted, named by `confusion_names`; None where the task has none.
        curves: precision over recall at IoU 0.5, for tasks that find objects.
        confidence_threshold: predictions below it were not counted; None when all were.
        shown_threshold: precision, recall, F1 and the confusion of objects and of several labels count predictions from it on,
            as a user sees them; None where no confidence decides, where a server does not say it, and in Reports of before it
            was told.
    """

    primary_name: str
    primary: float
    primary_low: float | None = None
    primary_high: float | None = None
    values: dict[str, float]
    per_category: dict[str, dict[str, float]]
    confusion: list[list[int]] | None = None
    confusion_names: tuple[str, ...] = ()
    curves: tuple[PrecisionRecall, ...] = ()
    confidence_threshold: float | None = None
    shown_threshold: float | None = None


class Mistake(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the worst pictures.

    Attributes:
        picture: path of the drawn picture inside the Report's folder.
        severity: what the pictures are ordered by, higher is worse; its meaning is the task's (see `bench.mistakes`).
    """

    file_name: str
    picture: str
    caption: str
    severity: float


SPREAD_PERCENTILES = ("p50", "p90", "p99")


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a quantity scatters over `count` samples; `std` is the sample standard deviation, 0 for a single sample."""

    count: int
    mean: float
    std: float
    minimum: float
    p50: float
    p90: float
    p99: float
    maximum: float


class LatencyResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time of one call with `batch_size` pictures, one call at a time.

    Attributes:
        stage: "end_to_end" from encoded pictures to annotations, decoding included; "network" for the network alone.
        ms: milliseconds per call (not per picture).
        cpu_ms: mean CPU milliseconds of all threads of this process per call; None for a remote subject.
        samples_ms: the samples themselves, in the order they were taken; at most 2000 of them, evenly thinned.
    """

    stage: Stage
    batch_size: int
    ms: Spread
    cpu_ms: float | None
    samples_ms: tuple[float, ...]


class ThroughputPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pictures per second from encoded pictures to annotations, with `streams` inferences in flight.

    Attributes:
        batch_size: pictures of an inference, and of a call where callers feed it.
        threads: per stream; None when the subject does not let us choose.
        feeding: "stream" through `predict_stream`, "calls" for `streams` callers of `predict`.
        images_per_s: median over the repeats, which are interleaved with those of the other points.
        repeats: each repeat's pictures per second.
        cpu_ms_per_image: CPU milliseconds of all threads of this process; None for a remote subject.
        joules_per_image: energy of the whole CPU package, idle part included; None when its counters are not readable.
    """

    batch_size: int
    streams: int
    threads: int | None
    feeding: Feeding
    images_per_s: float
    repeats: tuple[float, ...]
    cpu_ms_per_image: float | None
    joules_per_image: float | None


class MemoryResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memory of this process; all bytes.

    Attributes:
        kind: "pss" (shared pages counted by share) or "rss" where the system does not tell the former.
        before_bytes, after_bytes: before the first and after the last prediction.
        peak_rss_bytes: highest resident size of the process so far, so it includes what ran before; None when not told.
        opening_bytes: growth by opening the subject once more and one prediction; None when it could not be opened again.
    """

    kind: Literal["pss", "rss"]
    before_bytes: int
    after_bytes: int
    peak_rss_bytes: int | None
    opening_bytes: int | None


class EnergyResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Energy per picture at the fastest throughput point, or why it is not known.

    Attributes:
        joules_per_image, power_w: of the whole CPU package, idle part and other programs included.
        source: the counters that were read.
        reason: why the numbers are None; empty when they are not.
    """

    joules_per_image: float | None = None
    power_w: float | None = None
    source: str | None = None
    reason: str = ""


class LoadResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What else the machine did meanwhile, so that a disturbed measurement can be told from a quiet one.

    Attributes:
        average_before, average_after: 1-minute load averages.
        other_cores: cores that other programs kept busy on average while speed was measured; None when not told.
    """

    average_before: float
    average_after: float
    other_cores: float | None


class SpeedPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How speed was measured: settings of the sweep."""

    batch_sizes: tuple[int, ...]
    streams: tuple[int, ...]
    point_s: float
    repeats: int
    pictures: int


class ReportContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything `report.json` holds."""

    format_version: int = 1
    name: str
    subject: SubjectFacts
    dataset: DatasetFacts | None
    seed: int | None
    host: dict[str, Any]
    created_at: str
    plan: SpeedPlan
    accuracy: Accuracy
    mistakes: tuple[Mistake, ...] = ()
    latency: tuple[LatencyResult, ...]
    throughput: tuple[ThroughputPoint, ...]
    memory: MemoryResult | None
    energy: EnergyResult
    load: LoadResult
    notes: tuple[str, ...] = ()


def choose_category_metric(content: ReportContent) -> str:
    """The metric categories are ordered and drawn by: the primary one's namesake, else one that they have."""
    known = {name for row in content.accuracy.per_category.values() for name in row}
    primary = content.accuracy.primary_name
    for name in (primary, primary.removeprefix("m"), "f1", "recall"):
        if name in known:
            return name
    return min(known - {COUNT_METRIC}, default=COUNT_METRIC)


def sort_categories(content: ReportContent) -> list[tuple[str, dict[str, float]]]:
    """Categories with their metrics, the worst first, those without truth last; empty where there are none."""
    if not content.accuracy.per_category:
        return []
    metric = choose_category_metric(content)
    return sorted(content.accuracy.per_category.items(), key=lambda row: row[1].get(metric, math.inf))


def list_category_metrics(content: ReportContent) -> list[str]:
    """Names of all metrics that categories have, in the order of the fullest row."""
    rows = sorted(content.accuracy.per_category.values(), key=len, reverse=True)
    return list(dict.fromkeys(name for row in rows for name in row))


def format_metric(value: float | None, name: str = "") -> str:
    """A metric as text, a dash when there is none; "truth" is a count."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if name == COUNT_METRIC else f"{value:.4f}"
