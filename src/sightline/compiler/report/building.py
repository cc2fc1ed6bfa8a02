"""From the findings of a compilation to its report: the numbers that are read off, the words, and what to be careful about."""

from collections.abc import Sequence

import msgspec
import numpy as np

from sightline.compiler.comparison import CompiledComparison, ShownChange
from sightline.compiler.gate import MIN_IMAGES, GateResult, is_kept
from sightline.compiler.graphs import count_flops, count_operators, count_weights, find_opset, load_graph
from sightline.compiler.pictures import ChosenPictures
from sightline.compiler.placing.placement import list_places
from sightline.compiler.report.findings import Findings
from sightline.compiler.report.flips import describe_flips, draw_flips, select_shown
from sightline.compiler.report.layers import count_precisions, find_refused_layers, profile_layers
from sightline.compiler.report.page import FlipPictures
from sightline.compiler.report.records import CandidateRow, CompileReport, Flip, GraphSummary, make_candidate_row
from sightline.compiler.stages import Stages
from sightline.compiler.tuning.goals import MOST_NOISE, Timing
from sightline.compiler.tuning.sweep import compare_with_peak, sweep_candidate
from sightline.core.host import describe_host, now_utc
from sightline.core.manifests import ModelManifest, compute_manifest_id
from sightline.core.percent import format_percent, format_points
from sightline.core.percentiles import has_percentile
from sightline.runtime.backends.table import describe_devices

LOW_SCORE = 0.05  # of FP32 on the validation pictures, 0..1; from there down a lost point is lost among chance hits
FEW_PICTURES = 50  # whatever their interval: so few do not show all that a network will see
DECISIVE = ("accuracy", "agreement", "tensors")  # checks of the change itself; agreement beside accuracy has no limit
FEW_ALIKE = 0.8  # of the objects shown; others may be as right, but they are others


def build_report(
    found: Findings, command: str, samples: Sequence[np.ndarray], stages: Stages
) -> tuple[CompileReport, FlipPictures]:
    """The whole report, and the pictures that flipped.

    Args:
        command: reproduces the compilation.
        samples: prepared pictures for profile and sweep.
        stages: told the progress; gives the seconds of each stage.
    """
    stages.begin("profiling")
    manifest, request = found.manifest, found.request
    report = CompileReport(
        name=manifest.name,
        model_id=compute_manifest_id(manifest),
        task=manifest.task,
        categories=manifest.categories,
        created_at=now_utc(),
        passed=found.chosen is not None,
        verdict=say_verdict(found),
        chosen=found.chosen.name if found.chosen else None,
        requested=request.describe(),
        command=command,
        seed=request.seed,
        dataset_version=found.version.id if found.version else None,
        pictures=describe_pictures(found),
        host={**describe_host(), **describe_devices(one.engine for one in found.candidates)},
        graph=describe_graph(found),
        passes=found.passes,
        candidates=_make_rows(found),
        refusals=found.refusals,
        timings=found.timings,
        timed_at=_find_time(found),
        places=list_places(found.placements),
        unsupported_layers=list_unsupported_layers(found),
        warnings=find_warnings(found, len(samples)),
        seconds=stages.seconds,
    )
    report, pictures = add_comparison(found, report)
    return add_speed(found, add_layers(found, report, samples), samples, stages), pictures


def add_comparison(found: Findings, report: CompileReport) -> tuple[CompileReport, FlipPictures]:
    """What compiling changed, and which answers flipped."""
    shown = found.shown
    if shown is None or shown.name not in found.compared:
        return report, {}
    assert found.pictures is not None
    assert found.baseline is not None
    assert found.version is not None
    comparison, agreement = found.compared[shown.name]
    items, pair = found.pictures.validation, (found.judged[found.baseline.name], found.judged[shown.name])
    flips: list[Flip] = describe_flips(found.manifest, items, *pair, agreement)
    pictures = draw_flips(found.manifest, found.version, items, *pair, flips)
    changed = {"compared": shown.name, "comparison": comparison, "flips": flips, "flip_count": len(agreement.flipped)}
    return msgspec.structs.replace(report, **changed), pictures


def add_layers(found: Findings, report: CompileReport, samples: Sequence[np.ndarray]) -> CompileReport:
    """The layers as they ran."""
    if (shown := found.shown) is None:
        return report
    layers = profile_layers(shown, found.graph, found.manifest.input.name, samples)
    refused = find_refused_layers(layers, load_graph(shown.source)) if shown.precision == "int8" else []
    return msgspec.structs.replace(report, layers=layers, precisions=count_precisions(layers), refused_layers=refused)


def add_speed(found: Findings, report: CompileReport, samples: Sequence[np.ndarray], stages: Stages) -> CompileReport:
    """Sweep and share of the peak of the chosen candidate."""
    if found.chosen is None or found.chosen_timing is None:
        return report
    stages.update(0.3)
    sweep = sweep_candidate(found.chosen, found.manifest.input.name, samples)
    stages.update(0.8)
    precisions = list(dict.fromkeys(one.precision for one in found.candidates if one.engine == found.chosen.engine))
    swept = max(row.throughput for row in sweep)
    peak = compare_with_peak(found.chosen, precisions, found.chosen_timing.throughput, swept, report.graph.flops)
    return msgspec.structs.replace(report, sweep=sweep, peak=peak)


def list_unsupported_layers(found: Findings) -> list[str]:
    """Layers that do not run on the device of first choice, with where they run and why."""
    first = found.devices[0].name if found.devices else ""
    places = list_places(found.placements)
    return [f"{one.layer} ({one.operator}) on {one.device}: {one.reason}" for one in places if one.device != first]


def describe_graph(found: Findings) -> GraphSummary:
    """The network as it came."""
    return GraphSummary(
        nodes=len(found.graph.graph.node),
        operators=count_operators(found.graph),
        simplified=count_operators(found.simplified) if found.simplified is not None else {},
        flops=count_flops(found.graph, found.manifest.input),
        weights=count_weights(found.graph),
        opset=find_opset(found.graph),
        size_bytes=found.graph_file.stat().st_size,
    )


def describe_pictures(found: Findings) -> dict[str, object]:
    """Which pictures did what."""
    if found.pictures is None:
        random = {"calibration": "seeded noise"} if found.request.calibrate_random else {"calibration": "none"}
        return {**random, "validation": "none", "checked_on": "seeded noise"}
    facts: dict[str, object] = {
        "calibration_images": len(found.pictures.calibration),
        "calibration_split": found.pictures.calibration_split,
        "validation_images": len(found.pictures.validation),
        "validation_split": found.pictures.validation_split,
    }
    if found.pictures.labelled_by_models:
        facts["labelled_by_models_alone"] = found.pictures.labelled_by_models
    if found.is_labelled and (bare := _count_bare(found.pictures)):
        facts["validation_images_without_labels"] = bare
    return facts if found.is_labelled else {**facts, "labels": "none: answers were compared with FP32's"}


def describe_calibration(found: Findings) -> dict[str, object]:
    """For the Artifact's manifest: what calibrated it."""
    if found.chosen is None:
        return {}
    facts: dict[str, object] = {"seed": found.request.seed, **describe_pictures(found)}
    if found.version is not None:
        facts["dataset_version"] = found.version.id
    if found.calibration_version is not None:
        facts["calibration_version"] = found.calibration_version.id
    if found.chosen.facts is not None:
        facts["quantiser"] = msgspec.to_builtins(found.chosen.facts)
    return facts


def say_verdict(found: Findings) -> str:
    """One line: what was chosen and why, or what failed."""
    failures = [f"{name}: {'; '.join(gate.failures)}" for name, gate in found.gates.items() if not gate.passed]
    chosen, timing, baseline = found.chosen, found.chosen_timing, found.baseline
    if chosen is not None and timing is None:
        return _say_emulated(found, failures)
    if chosen is None or timing is None:
        wanted = "any precision" if found.request.precision == "auto" else found.request.precision
        reasons = failures or [f"{refusal.name}: {refusal.reason}" for refusal in found.refusals]
        is_compiled = baseline is not None and found.find_best(baseline) is not None
        remedy = f"; {baseline.name} is right, precision auto takes the fastest that is" if baseline and is_compiled else ""
        return f"no candidate of {wanted} passed: {' | '.join(reasons) or 'this machine runs none'}{remedy}"
    words = f"{chosen.name} is the best that passes: {timing.throughput:.1f} pictures/s"
    if timing.latency_ms is not None and found.request.goal.objective == "latency":
        words += f", {timing.latency_ms:.2f} ms alone"
    if found.request.goal.slo_ms is not None and timing.p99_ms is not None:
        words += f", p99 {timing.p99_ms:.1f} ms{_say_few(timing)} of at most {found.request.goal.slo_ms:g}"
    if baseline is not None and (plain := found.find_best(baseline)) and baseline is not chosen:
        words += f", {timing.throughput / plain.throughput:.2f}x {baseline.name}"
    if chosen.name in found.compared:
        change = found.compared[chosen.name][0]
        words += f"; {_say_change(change)}"
        if change.evidence == "labels" and change.low < -found.request.max_drop:
            words += ", so a larger drop than the limit is not excluded"
    return words + (f". Tried first, but failed: {' | '.join(failures)}" if failures else "")


def _say_few(timing: Timing) -> str:
    """How many inferences a 99th percentile was read from, where they are too few to have one."""
    return "" if has_percentile("p99", timing.p99_count) else f" (of {timing.p99_count} inferences, too few for a p99)"


def _say_change(comparison: CompiledComparison) -> str:
    """What decided, in points; of a detector also what a user is shown."""
    words = f"{comparison.metric} {_say_points(comparison)}"
    return words + (f", f1 of the objects shown {_say_points(comparison.shown)}" if comparison.shown else "")


def _say_points(change: CompiledComparison | ShownChange) -> str:
    return f"{format_points(change.change)} points ({format_points(change.low)} to {format_points(change.high)})"


def _say_emulated(found: Findings, failures: Sequence[str]) -> str:
    """The verdict for a device whose emulation says nothing about speed."""
    assert found.chosen is not None
    words = f"{found.chosen.name} passes on {found.request.device}"
    if found.chosen.name in found.compared:
        change = found.compared[found.chosen.name][0]
        words += f": {_say_change(change)}"
    words += "; emulation says what the numbers will be, not how fast"
    return words + (f". Tried first, but failed: {' | '.join(failures)}" if failures else "")


def find_warnings(found: Findings, sample_count: int) -> list[str]:
    """What a careful reader should know."""
    warnings = [*_warn_of_pictures(found), *_warn_of_scores(found)]
    if sample_count < MIN_IMAGES:
        warnings.append(f"Engines were compared on {sample_count} pictures; {MIN_IMAGES} are wanted.")
    if found.chosen_timing is not None and not found.request.goal.is_kept(found.chosen_timing):
        warnings.append(
            f"No setting keeps the 99th percentile below {found.request.goal.slo_ms:g} ms; this one comes nearest, with "
            f"{found.chosen_timing.p99_ms:.1f} ms{_say_few(found.chosen_timing)}."
        )
    warnings += warn_of_noise(found.chosen_timing)
    if is_slower_than_float(found):
        warnings.append("INT8 is slower than FP32 for this network on this machine; precision auto takes the faster one.")
    return warnings + _warn_of_old_races(found)


def warn_of_noise(timing: Timing | None) -> list[str]:
    """Rounds so unlike each other that the race may have had another winner on a quiet machine."""
    if timing is None or timing.noise <= MOST_NOISE:
        return []
    slowest, fastest = timing.throughput_range
    return [
        f"The rounds of the chosen setting ran at {slowest:.1f} to {fastest:.1f} pictures/s: other programs kept the machine "
        "busy, so all speeds here are doubtful, and which candidate is fastest; compile again with --fresh when it is quiet."
    ]


def is_slower_than_float(found: Findings) -> bool:
    """Whether the INT8 that was asked for loses against the network's own FP32."""
    if found.chosen is None or found.chosen_timing is None or found.chosen.precision != "int8" or found.baseline is None:
        return False
    plain, goal = found.find_best(found.baseline), found.request.goal  # of the same race as the chosen one
    return plain is not None and goal.score(plain) > goal.score(found.chosen_timing)


def has_learned(found: Findings, pictures: ChosenPictures) -> bool:
    """Whether the Model learned from pictures that judge it, as far as its manifest tells."""
    learned = set(found.manifest.recipe.get("train_splits", ()))
    learned |= {"train", "val"} if "trainval" in learned else set()
    same_version = found.version is not None and found.version.id == found.manifest.dataset_version
    return same_version and any(item.split in learned for item in pictures.validation)


def _warn_of_pictures(found: Findings) -> list[str]:
    pictures = found.pictures
    if pictures is None:
        calibrated = " and calibrated" if found.request.calibrate_random else ""
        return [f"Made without pictures: engines were compared{calibrated} on seeded noise, accuracy is not verified."]
    warnings = []
    if has_learned(found, pictures):
        warnings.append(
            f"The Model learned from the split {pictures.validation_split!r} that the gate used: answers on learned pictures "
            "change less than on new ones."
        )
    if pictures.labelled_by_models:
        taken, count = "were left out" if found.is_labelled else "count as unlabelled", pictures.labelled_by_models
        warnings.append(f"{count} validation pictures were looked at by a model alone, which is no truth: they {taken}.")
    if not found.is_labelled and found.compared:
        warnings.append("The pictures carry no labels: that answers stayed the same was checked, not that they are right.")
    warnings += _warn_of_bare_pictures(found, pictures)
    different = len({item.blob for item in pictures.validation})
    if different < len(pictures.validation):
        warnings.append(
            f"Only {different} of {len(pictures.validation)} validation pictures differ from each other: the interval takes "
            "each repetition for further evidence."
        )
    if different < FEW_PICTURES:
        warnings.append(f"Only {different} validation pictures judge, which do not show all that a network will see; add some.")
    return warnings


def _count_bare(pictures: ChosenPictures) -> int:
    return sum(not item.annotations for item in pictures.validation)


def _warn_of_bare_pictures(found: Findings, pictures: ChosenPictures) -> list[str]:
    """Where labels judge: what the pictures without any were good for."""
    if not found.is_labelled or found.shown is None or found.shown.name not in found.compared or found.baseline is None:
        return []
    bare = f"{_count_bare(pictures)} of {len(pictures.validation)} validation pictures carry no label"
    if (unlabelled := found.compared[found.shown.name][0].unlabelled) is not None:
        return [f"{bare}: on {unlabelled.images} of them that answers stayed the same was checked, not that they are right."]
    answers = found.judged[found.baseline.name].predictions
    pairs = zip(pictures.validation, answers, strict=False)  # raw tensors have no answers
    shown = sum(bool(select_shown(answer, found.manifest)) for item, answer in pairs if not item.annotations)
    if 2 * shown <= _count_bare(pictures):
        return []
    return [
        f"{bare} and count as pictures on which there is nothing, but FP32 shows something on {shown} of them: what is lost "
        "there the labels cannot show; label them, or leave them out."
    ]


def _warn_of_scores(found: Findings) -> list[str]:
    warnings = []
    if found.compared:
        first, _ = next(iter(found.compared.values()))  # FP32 scores the same in all of them
        if first.per_category and first.baseline <= max(LOW_SCORE, found.request.max_drop):
            warnings.append(
                f"The FP32 model itself scores {first.metric} {format_percent(first.baseline)} on the validation pictures: "
                "a drop cannot show, so passing proves little; train it further."
            )
    if found.chosen and found.chosen.name in found.compared:
        change = found.compared[found.chosen.name][0]
        warnings += warn_of_reach(change, found.gates[found.chosen.name])
        warnings += warn_of_unseen(found.manifest, change, found.request.max_drop)
    return warnings


def warn_of_reach(change: CompiledComparison, gate: GateResult) -> list[str]:
    """An interval that reaches beyond what the gate allowed, which of raw tensors is ten times `max_drop`."""
    limits = [-abs(check.limit) for check in gate.checks if check.name in DECISIVE and check.limit is not None]
    if not limits or change.low >= limits[0]:
        return []
    return [
        f"The interval of the change reaches to {format_points(change.low)} points, below the limit of "
        f"{format_points(limits[0])}: these {change.images} pictures cannot exclude a larger drop; four times as many halve "
        "the interval."
    ]


def warn_of_unseen(manifest: ModelManifest, change: CompiledComparison, max_drop: float) -> list[str]:
    """What the metric cannot see: categories that no picture shows or FP32 does not know, and other objects that are shown."""
    warnings = []
    seen = {one.category for one in change.per_category}
    if missing := [name for name in manifest.categories if name not in seen] if seen else []:
        warnings.append(
            f"No validation picture shows {_name_few(missing, manifest)}: what compiling costs them was not measured."
        )
    unknown = [one.category for one in change.per_category if one.baseline <= LOW_SCORE]
    if unknown and change.baseline > LOW_SCORE:  # else the whole Model is said to be so
        warnings.append(
            f"FP32 scores {change.category_metric} {format_percent(LOW_SCORE, 0)} or less on {_name_few(unknown, manifest)}: "
            "what compiling costs them cannot show."
        )
    if (shown := change.shown) is None:
        return warnings
    where = f"the objects shown at confidence {shown.threshold:g}"
    if not is_kept(shown.change, max_drop):
        warnings.append(
            f"The f1 of {where} changed by {_say_points(shown)}, beyond the limit of {format_points(-max_drop)}, though on "
            "these pictures chance may explain that; more of them would tell."
        )
    if change.agreement < FEW_ALIKE:
        warnings.append(
            f"Only {format_percent(change.agreement, 0)} of {where} are found by both, FP32 and compiled; others may be "
            "as right: look at the pictures that changed."
        )
    return warnings


def _name_few(names: Sequence[str], manifest: ModelManifest) -> str:
    few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} of the Model's {len(manifest.categories)} categories ({few})"


def _find_time(found: Findings) -> str | None:
    """When what was chosen was timed, if that was in an earlier compilation; of nothing chosen, the first race of one."""
    return found.timed_at.get(found.chosen.name) if found.chosen else next(iter(found.timed_at.values()), None)


def _warn_of_old_races(found: Findings) -> list[str]:
    names: dict[str, list[str]] = {}
    for one in found.candidates:
        if one.name in found.timed_at:
            names.setdefault(found.timed_at[one.name], []).append(one.name)
    timed = {timing.candidate for timing in found.timings}
    warnings = []
    for when, those in names.items():
        whose = "Timings" if timed <= set(those) else f"Timings of {', '.join(those)}"
        warnings.append(f"{whose} are those of {when}: the same files and engines were timed on such a machine then.")
    return warnings


def _make_rows(found: Findings) -> list[CandidateRow]:
    rows = [
        make_candidate_row(
            one, found.find_best(one), found.gates.get(one.name), one is found.chosen, found.request.wants(one.precision)
        )
        for one in found.candidates
    ]
    return sorted(rows, key=lambda row: -(row.best.throughput if row.best else 0.0))
