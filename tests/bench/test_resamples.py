"""What Reports keep to be compared: as it was written, and with the intervals of slow loops over repeated pictures."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.bench.accuracy import resample_metrics
from sightline.bench.resamples import Resamples, find_change, name_draws, read_resamples, write_resamples
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import Task
from sightline.metrics.evaluator import Evaluator, make_evaluator
from sightline.metrics.intervals import draw_weights

NAMES = "abcdef"


def judge(task: Task, truth: Sequence[str], answers: Sequence[str], times: Sequence[int] | None = None) -> Evaluator:
    """Args: truth, answers: of each picture, a letter a category; times: how often a picture counts, by default once."""
    evaluator = make_evaluator(task, Categories(NAMES))
    for true, said, often in zip(truth, answers, times or [1] * len(truth), strict=True):
        for _ in range(often):
            evaluator.add(
                [Annotation(category=name) for name in true],
                [Annotation(category=name, confidence=0.9) for name in said],
                10,
                10,
            )
    return evaluator


def keep(task: Task, truth: Sequence[str], answers: Sequence[str], folder: Path, seed: int = 0) -> Resamples:
    """Written and read back, as a Report's are."""
    resamples = resample_metrics(judge(task, truth, answers), seed)
    assert resamples is not None
    folder.mkdir()
    write_resamples(folder / "resamples.npz", resamples)
    found = read_resamples(folder / "resamples.npz")
    assert (found.draws, found.categories, list(found.found.values)) == (
        resamples.draws,
        resamples.categories,
        list(resamples.found.values),
    )
    for name, table in resamples.found.per_category.items():
        np.testing.assert_allclose(found.found.per_category[name], table, rtol=1e-6)
    return found


def test_the_interval_of_each_metric_is_that_of_counting_every_resample_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = ["".join(rng.choice(list("abc"), rng.integers(0, 3), replace=False)) for _ in range(12)]
    before, after = (["".join(rng.choice(list("abcd"), rng.integers(0, 3), replace=False)) for _ in truth] for _ in range(2))
    first, second = (keep("multilabel", truth, side, tmp_path / name) for side, name in ((before, "a"), (after, "b")))
    once = [judge("multilabel", truth, side).compute() for side in (before, after)]
    drawn = [
        [judge("multilabel", truth, side, row).compute() for side in (before, after)]
        for row in draw_weights(12, 1000, 0).tolist()
    ]
    for metric in ("f1", "micro_f1", "map"):
        changes = [two.values[metric] - one.values[metric] for one, two in drawn]
        change = find_change(first, second, metric, None, once[1].values[metric] - once[0].values[metric])
        assert change.interval == pytest.approx(tuple(np.percentile(changes, [2.5, 97.5])), abs=1e-6)
        assert change.reason == ""
    rows = [(one.per_category["a"], two.per_category["a"]) for one, two in drawn]
    changes = [two["ap"] - one["ap"] for one, two in rows if one["truth"]]
    change = find_change(first, second, "ap", "a", 0.5)
    assert change.interval == pytest.approx(tuple(np.percentile(changes, [2.5, 97.5])), abs=1e-6)


def test_of_a_classifier_matched_pairs_tell_whatever_the_seeds(tmp_path: Path) -> None:
    truth = ["a"] * 20 + ["b"] * 20 + [""] * 5
    first = keep("classification", truth, ["a"] * 20 + ["b"] * 25, tmp_path / "a")
    second = keep("classification", truth, ["a"] * 18 + ["f"] * 2 + ["b"] * 18 + ["a"] * 7, tmp_path / "b", seed=5)
    p_gained, p_lost = 1 / 42, 5 / 42  # one more gained (0 + 1) and lost (4 + 1) of 40 + 2, by hand
    half = 1.959964 * ((p_gained + p_lost - (p_gained - p_lost) ** 2) / 42) ** 0.5
    ends = (p_gained - p_lost - half, p_gained - p_lost + half)
    for metric in ("top1", "top5"):
        assert find_change(first, second, metric, None, -0.1).interval == pytest.approx(ends, abs=1e-6)
    half = 1.959964 * ((1 / 22 + 3 / 22 - (2 / 22) ** 2) / 22) ** 0.5
    assert find_change(first, second, "recall", "a", -0.1).interval == pytest.approx((-2 / 22 - half, -2 / 22 + half), abs=1e-6)
    change = find_change(first, second, "macro_f1", None, -0.1)
    assert (change.interval, change.reason[:44]) == (None, "the Reports drew their resamples with differ")


def test_what_has_no_interval_says_why(tmp_path: Path) -> None:
    truth = ["a"] * 9 + ["b"]
    first = keep("multilabel", truth, truth, tmp_path / "a")
    second = keep("multilabel", truth, ["a"] * 9 + [""], tmp_path / "b")
    assert find_change(first, first, "f1", None, 0.0) == (None, "unchanged")
    assert find_change(first, second, "f1", "a", 0.0) == (None, "unchanged")
    assert find_change(first, second, "f1", "b", -1.0) == ((-1.0, 0.0), "")  # lost in its only picture
    assert find_change(first, second, "map_small", None, 0.1) == (None, "no resamples of it are kept")
    for task, metric in (("multilabel", "f1"), ("classification", "top1")):
        nothing = keep(task, [""] * 9, ["a"] * 9, tmp_path / task)
        assert find_change(nothing, nothing, metric, None, 0.0) == (None, "no resample holds anything to judge")
    assert "keeps no resamples" in find_change(first, None, "f1", None, 0.1).reason
    assert resample_metrics(judge("multilabel", ["a"], ["a"]), 0) is None


def test_other_draws_have_other_names() -> None:
    names = {name_draws(draw_weights(*drawn)) for drawn in ((9, 100, 0), (9, 100, 1), (9, 99, 0), (10, 90, 0))}
    assert len(names) == 4
    assert name_draws(draw_weights(9, 100, 0)) in names


def spoil(path: Path, **changed: Any) -> None:
    """Write the archive again with other arrays; None leaves one out."""
    with np.load(path) as archive:
        arrays = {name: array for name, array in {**archive, **changed}.items() if array is not None}
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "changed",
    [
        {"header": None},
        {"header": np.frombuffer(b"{}", np.uint8)},
        {"header": np.frombuffer(b"no JSON", np.uint8)},
        {"other/f1": np.zeros(1000)},
        {"values/f1": np.zeros(999)},
        {"values/f1": np.float64(1)},
        {"values/f1": np.zeros((1000, 6))},
        {"per_category/f1": np.zeros((1000, 5))},
        {"labels": np.zeros(3, np.int64), "right/top1": np.zeros(4, bool)},
    ],
)
def test_another_archive_is_refused_in_one_line(changed: dict[str, Any], tmp_path: Path) -> None:
    keep("multilabel", ["a"] * 9, ["a"] * 9, tmp_path / "a")
    path = tmp_path / "a/resamples.npz"
    spoil(path, **changed)
    with pytest.raises(InvalidInput, match=r"measure again$"):
        read_resamples(path)


class Trap:
    """Leaves a mark when a pickle of it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def test_pickles_are_not_loaded_and_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    keep("multilabel", ["a"] * 9, ["a"] * 9, tmp_path / "a")
    path = tmp_path / "a/resamples.npz"
    whole = path.read_bytes()
    plain, pickled = io.BytesIO(), io.BytesIO()
    np.save(plain, np.zeros(3))
    np.save(pickled, np.array([Trap(tmp_path / "mark")], object), allow_pickle=True)
    spoil(path, **{"values/f1": np.array([Trap(tmp_path / "mark")], object)})
    broken = bytearray(whole)
    broken[len(whole) // 3] ^= 255
    contents = [path.read_bytes(), plain.getvalue(), pickled.getvalue(), bytes(broken), b"", b"PK\3\4"]
    for content in (*contents, *(whole[:cut] for cut in range(1, len(whole), len(whole) // 9))):
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"measure again$"):
            read_resamples(path)
    assert not (tmp_path / "mark").exists()
