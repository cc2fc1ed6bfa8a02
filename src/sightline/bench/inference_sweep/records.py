"""What an inference sweep says, as typed records: `sweep.json` is `SweepContent`, a `SweepRow` is one line of Final Stats.

A row is one precision at one batch size. Of its times only the engine's own count: from a prepared batch in memory to outputs
in memory (copy in, run, copy out).
"""

from typing import Any

import msgspec

from sightline.bench.records import DatasetFacts, LoadResult, Spread, SubjectFacts
from sightline.core.manifests import InputSpec, Precision


class SweepPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured: every precision at every batch size, `iterations` batches each.

    Attributes:
        warm_ups, turn_warm_ups: inferences that do not count, of a new session and each time it takes its next turn.
    """

    precisions: tuple[Precision, ...]
    batch_sizes: tuple[int, ...]
    iterations: int
    warm_ups: int
    turn_warm_ups: int


class CalibrationFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the INT8 network of a Model was made.

    Attributes:
        quantiser, package: what made it, with the version.
        images: calibration pictures used.
        source: where they came from, in words.
        batches, first_batch: so many calibration batches, from this one on.
    """

    quantiser: str
    package: str
    images: int
    source: str
    batches: int
    first_batch: int


class SweepRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One precision at one batch size.

    Attributes:
        started_at: ISO 8601, UTC.
        total_run_s: wall seconds that this row alone would have taken: open, warm up, prepare pictures, infer, judge.
        predictions: iterations x batch size.
        pictures: different ones among them; fewer than `predictions` when the set was gone through more than once.
        labelled: predictions of pictures with one true label; each pass over the set counts a picture once.
        correct_top1, correct_top5: of these; None for other tasks, and top-5 also when there are five categories or fewer.
        ms: milliseconds of one iteration (a batch, not a picture).
        iterations_ms: the iterations themselves, in order; at most 2000 of them, evenly thinned.
    """

    precision: Precision
    batch_size: int
    iterations: int
    started_at: str
    total_run_s: float
    predictions: int
    pictures: int
    labelled: int
    correct_top1: int | None
    correct_top5: int | None
    ms: Spread
    iterations_ms: tuple[float, ...]

    @property
    def inference_s(self) -> float:
        """Seconds of all iterations together."""
        return self.ms.mean * self.ms.count / 1e3

    @property
    def range_ms(self) -> float:
        """From the shortest to the longest iteration."""
        return self.ms.maximum - self.ms.minimum

    @property
    def picture_ms(self) -> float:
        """Inference time of one prediction, by the total."""
        return self.inference_s * 1e3 / self.predictions

    @property
    def pictures_per_s(self) -> float:
        """By the total time: a single disturbed iteration lowers it."""
        return self.predictions / self.inference_s

    @property
    def median_pictures_per_s(self) -> float:
        """By the median iteration: what the machine does when nothing disturbs it."""
        return self.batch_size / self.ms.p50 * 1e3

    @property
    def top1(self) -> float | None:
        """Share 0..1 of the labelled predictions."""
        return self._share(self.correct_top1)

    @property
    def top5(self) -> float | None:
        """Share 0..1 of the labelled predictions whose label is among the five most confident categories."""
        return self._share(self.correct_top5)

    @property
    def labelled_pictures(self) -> int:
        """Different pictures among `labelled`, as far as the passes over the set tell."""
        return round(self.labelled * self.pictures / self.predictions)

    def _share(self, correct: int | None) -> float | None:
        return None if correct is None or not self.labelled else correct / self.labelled


class SweepContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything `sweep.json` holds.

    Attributes:
        input: how pictures were fed, a changed mean included.
        calibration: of the INT8 network of a Model; None when none was made.
        host, host_name: the machine and its packages; its name in the network.
    """

    format_version: int = 1
    name: str
    subject: SubjectFacts
    dataset: DatasetFacts
    input: InputSpec
    plan: SweepPlan
    calibration: CalibrationFacts | None
    host: dict[str, Any]
    host_name: str
    created_at: str
    total_run_s: float
    rows: tuple[SweepRow, ...]
    load: LoadResult
    notes: tuple[str, ...] = ()


def flatten_row(content: SweepContent, row: SweepRow) -> dict[str, Any]:
    """A row as a line of the CSV: what it is of, when and where, and every statistic; None where there is none."""
    date, _, time = row.started_at.partition("T")
    return {
        "date": date,
        "time": time,
        "host": content.host_name,
        "network": content.subject.name,
        "engine": content.subject.engine,
        "data_type": row.precision,
        "batch_size": row.batch_size,
        "iterations": row.iterations,
        "total_run_s": round(row.total_run_s, 3),
        "predictions": row.predictions,
        "pictures": row.pictures,
        "labelled": row.labelled,
        "correct_top1": row.correct_top1,
        "correct_top5": row.correct_top5,
        "top1": row.top1,
        "top5": row.top5,
        "inference_s": round(row.inference_s, 6),
        "mean_ms": round(row.ms.mean, 4),
        "min_ms": round(row.ms.minimum, 4),
        "max_ms": round(row.ms.maximum, 4),
        "range_ms": round(row.range_ms, 4),
        "std_ms": round(row.ms.std, 4),
        "median_ms": round(row.ms.p50, 4),
        "picture_ms": round(row.picture_ms, 4),
        "pictures_per_s": round(row.pictures_per_s, 3),
        "median_pictures_per_s": round(row.median_pictures_per_s, 3),
    }


def choose_widest_rows(content: SweepContent) -> dict[Precision, SweepRow]:
    """For each precision the row with the most different pictures, which tells most of its accuracy."""
    widest: dict[Precision, SweepRow] = {}
    for row in content.rows:
        if row.precision not in widest or row.pictures > widest[row.precision].pictures:
            widest[row.precision] = row
    return widest
