from pathlib import Path

import msgspec
import pytest
from report_fakes import make_report, make_shown

from sightline.compiler.comparison import CategoryChange, CompiledComparison
from sightline.compiler.gate import Check, GateResult
from sightline.compiler.report.building import _say_few, warn_of_noise, warn_of_reach, warn_of_unseen
from sightline.compiler.tuning.goals import Timing
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest

QUIET = Timing(
    candidate="openvino int8 nncf",
    streams=2,
    threads=1,
    throughput=91.0,
    latency_ms=None,
    cpu_ms=9.0,
    throughput_range=(88.0, 93.0),
    noise=0.02,
)


def test_rounds_that_differ_by_more_than_the_race_allows_for_are_told() -> None:
    assert warn_of_noise(None) == []  # an emulated device is not timed
    assert warn_of_noise(QUIET) == []
    (warning,) = warn_of_noise(msgspec.structs.replace(QUIET, noise=0.24, throughput_range=(45.0, 104.2)))
    assert "45.0 to 104.2 pictures/s" in warning
    assert "--fresh" in warning


def test_a_99th_percentile_of_few_inferences_is_told_with_their_number() -> None:
    few, enough = (_say_few(msgspec.structs.replace(QUIET, p99_ms=9.0, p99_count=count)) for count in (99, 100))
    assert (few, enough) == (" (of 99 inferences, too few for a p99)", "")


def make_comparison(scores: dict[str, float], baseline: float) -> CompiledComparison:
    comparison = make_report(0.1, -0.1).comparison
    assert comparison is not None
    rows = tuple(
        CategoryChange(category=name, baseline=one, candidate=one, low=None, high=None) for name, one in scores.items()
    )
    fields = {"evidence": "labels", "category_metric": "IoU", "baseline": baseline, "agreement": 1.0, "per_category": rows}
    return msgspec.structs.replace(comparison, **fields)


def test_categories_that_fp32_does_not_know_are_told_unless_it_knows_none(model: Path) -> None:
    manifest = read_manifest(model, ModelManifest)
    known = make_comparison({"bars": 0.9, "blobs": 0.05, "plain": 0.0}, 0.3)
    (warning,) = warn_of_unseen(manifest, known, 0.01)
    assert warning.startswith("FP32 scores IoU 5 % or less on 2 of the Model's 3 categories (blobs, plain): what compiling")
    assert warn_of_unseen(manifest, make_comparison({"bars": 0.9, "blobs": 0.06, "plain": 0.5}, 0.3), 0.01) == []
    assert warn_of_unseen(manifest, make_comparison({"bars": 0.05, "blobs": 0.0, "plain": 0.0}, 0.02), 0.01) == []


def test_a_drop_of_what_is_shown_that_chance_may_explain_is_told_and_so_are_many_other_objects(model: Path) -> None:
    manifest = read_manifest(model, ModelManifest)
    shown = make_shown(-0.03, -0.07, 0.01)
    scores = {"bars": 0.9, "blobs": 0.9, "plain": 0.9}
    comparison = msgspec.structs.replace(make_comparison(scores, 0.9), shown=shown)
    (warning,) = warn_of_unseen(manifest, comparison, 0.01)
    assert "-3.00 points (-7.00 to +1.00), beyond the limit of -1.00" in warning
    assert warn_of_unseen(manifest, comparison, 0.03) == []
    (warning,) = warn_of_unseen(manifest, msgspec.structs.replace(comparison, agreement=0.79), 0.03)
    assert warning.startswith("Only 79 % of the objects shown at confidence 0.35 are found by both")


@pytest.mark.parametrize(
    ("name", "limit", "low", "words"),
    [
        ("accuracy", -0.01, -0.03, "reaches to -3.00 points, below the limit of -1.00"),
        ("accuracy", -0.01, -0.01, None),
        ("agreement", -0.1, -0.03, None),  # a network that came quantised: a tenth of the answers may change
        ("tensors", 0.1, -0.03, None),  # ten times the drop
        ("tensors", 0.1, -0.12, "reaches to -12.00 points, below the limit of -10.00"),
        ("agreement", None, -0.5, None),  # stated only
    ],
)
def test_an_interval_is_warned_of_where_it_reaches_beyond_the_limit_of_the_gate(
    name: str, limit: float | None, low: float, words: str | None
) -> None:
    comparison = msgspec.structs.replace(make_comparison({}, 0.9), low=low)
    gate = GateResult(candidate="int8", checks=(Check(name=name, passed=True, value=0.0, limit=limit, text=""),))
    assert [words in warning if words else False for warning in warn_of_reach(comparison, gate)] == ([True] if words else [])
