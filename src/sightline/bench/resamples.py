"""What a Report keeps so that its accuracies can be compared with another's: its metrics on resamples of the pictures.

Two Reports of the same pictures, drawn with one seed, were scored on the same resamples. The change of a metric is read off
each of them, as by the paired bootstrap (Efron and Tibshirani 1993, §8): most of the luck of the draw cancels. Where a metric
is the share of pictures that are right, which those are is kept too, and matched pairs tell more than resamples do.
"""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.metrics.intervals import paired_proportion_change, summarise_changes, widen_changed
from sightline.metrics.task_metrics import ResampledMetrics, Weights

RESAMPLES_NAME = "resamples.npz"
PROPORTIONS = {"top1": "top1", "top5": "top5", "recall": "top1"}  # metric -> which answers are right
HEADER = ("draws", "images", "categories", "pictures")  # what is kept beside the arrays
METHOD = "paired bootstrap over pictures; of top1, top5 and the recall of a classifier matched pairs (Bonett and Price 2012)"
UNCHANGED = "unchanged"
# What reading another file raises; msgspec's errors are ValueErrors.
NO_RESAMPLES = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


class Resamples(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of a Report on resamples of its pictures.

    Attributes:
        draws: tells the resamples from others, hexadecimal.
        images: how many pictures were judged.
        categories: names of the columns of `found.per_category`.
        pictures: in the truth of how many pictures each of these occurs.
        found: the metrics, as float32 once they were kept.
    """

    draws: str
    images: int
    categories: tuple[str, ...]
    pictures: tuple[int, ...]
    found: ResampledMetrics

    def get(self, metric: str, category: str | None) -> np.ndarray | None:
        """`(B,)` of a metric, as a whole or of one category; None where it was not resampled."""
        if category is None:
            return self.found.values.get(metric)
        table = self.found.per_category.get(metric)
        return None if table is None or category not in self.categories else table[:, self.categories.index(category)]


class Change(NamedTuple):
    """The 95 % interval of a change, or why there is none."""

    interval: tuple[float, float] | None
    reason: str


def name_draws(weights: Weights) -> str:
    """A name of resamples that no others have."""
    return hashlib.sha256(np.ascontiguousarray(weights, "<i8").tobytes()).hexdigest()


def write_resamples(path: Path, resamples: Resamples) -> None:
    """Write a NumPy archive of plain arrays."""
    found = resamples.found
    arrays: dict[str, Any] = {f"values/{name}": values.astype(np.float32) for name, values in found.values.items()}
    arrays |= {f"per_category/{name}": values.astype(np.float32) for name, values in found.per_category.items()}
    arrays |= {f"right/{name}": right for name, right in found.right.items()}
    arrays |= {} if found.labels is None else {"labels": found.labels}
    header = msgspec.json.encode({name: getattr(resamples, name) for name in HEADER})
    with path.open("wb") as file:
        np.savez_compressed(file, header=np.frombuffer(header, np.uint8), **arrays)


def read_resamples(path: Path) -> Resamples:
    """Read an archive back. Raises: InvalidInput for anything else, of which nothing is executed."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        header = msgspec.json.decode(arrays.pop("header").tobytes(), type=dict[str, Any])
        parts: dict[str, dict[str, np.ndarray]] = {"values": {}, "per_category": {}, "right": {}}
        for name, array in arrays.items():
            kind, _, metric = name.partition("/")
            if metric:
                parts[kind][metric] = array
        resamples = msgspec.convert({**header, "found": ResampledMetrics(**parts, labels=arrays.get("labels"))}, Resamples)
        _check_shapes(resamples)
    except NO_RESAMPLES as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InvalidInput(f"expected {path} to hold resamples of this version, got: {reason}; measure again") from error
    return resamples


def _check_shapes(resamples: Resamples) -> None:
    """Raises: ValueError where arrays do not fit each other."""
    found, categories = resamples.found, len(resamples.categories)
    counts = {len(values) for values in (*found.values.values(), *found.per_category.values())}
    pictures = {side.shape for side in found.right.values()} | ({found.labels.shape} if found.labels is not None else set())
    fits = (
        len(counts) <= 1,
        len(pictures) <= 1,
        len(resamples.pictures) == categories,
        all(values.ndim == 1 for values in found.values.values()),
        all(table.ndim == 2 and table.shape[1] == categories for table in found.per_category.values()),
    )
    if not all(fits):
        raise ValueError("arrays that do not fit each other")


def find_change(a: Resamples | None, b: Resamples | None, metric: str, category: str | None, difference: float) -> Change:
    """How sure it is that a metric changed by `difference`, from a to b on the same pictures; or why nothing tells."""
    if a is None or b is None:
        return Change(None, "a Report keeps no resamples: it has one picture, or is of before they were kept; measure again")
    first, second = a.get(metric, category), b.get(metric, category)
    if first is None or second is None:
        return Change(None, "no resamples of it are kept")
    pairs = _pair_answers(a, b, metric, category)
    if pairs is not None and len(pairs[0]):
        change = paired_proportion_change(*pairs)
        return Change((change.low, change.high), "")
    if a.draws != b.draws:
        return Change(None, "the Reports drew their resamples with different seeds; measure both with one --seed")
    changes = second.astype(np.float64) - first
    if np.isnan(changes).all():
        return Change(None, "no resample holds anything to judge")
    change = summarise_changes(difference, changes)
    shown = a.images if category is None else a.pictures[a.categories.index(category)]
    change = widen_changed(change, shown)
    return Change(None, UNCHANGED) if change.is_empty else Change((change.low, change.high), "")


def _pair_answers(a: Resamples, b: Resamples, metric: str, category: str | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Which answers were right before and after, where the metric is the share of them; None elsewhere."""
    name = PROPORTIONS.get(metric)
    sides = [side.found.right.get(name) for side in (a, b)] if name else []
    labels = a.found.labels
    if not sides or sides[0] is None or sides[1] is None or labels is None:
        return None
    judged = labels >= 0 if category is None else labels == a.categories.index(category)
    return sides[0][judged], sides[1][judged]
