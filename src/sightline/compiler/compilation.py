"""One compilation from the first candidate to the filled report; `compile` wraps it in folders and errors."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from sightline.compiler.autotune import (
    Objective,
    Timing,
    choose_settings,
    rank_timings,
    score_speed,
    time_candidates,
)
from sightline.compiler.candidates import (
    Candidate,
    Refusal,
    find_engines,
    make_float_candidates,
    make_int8_candidates,
    split_runnable,
)
from sightline.compiler.comparison import Comparison, Judged, compare_judged, predict_items
from sightline.compiler.flips import describe_flips, draw_flips
from sightline.compiler.gate import MIN_IMAGES, Check, GateResult, check_fp32, infer_samples, judge_candidate, make_reference
from sightline.compiler.graphs import check_opset, count_flops, count_operators, count_weights, find_opset, load_graph
from sightline.compiler.layers import count_precisions, find_refused_layers, profile_layers
from sightline.compiler.page import FlipPictures
from sightline.compiler.pictures import ChosenPictures, PreparedSamples, choose_pictures, draw_noise
from sightline.compiler.quantisers.table import FIRST_QUANTISERS, RESCUE_QUANTISERS
from sightline.compiler.report import CompileReport, Flip, GraphFacts, make_candidate_row
from sightline.compiler.stages import Stages
from sightline.compiler.sweep import compare_with_peak, sweep_candidate
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.host import describe_host, now_utc
from sightline.core.manifests import ModelManifest, Precision, compute_manifest_id
from sightline.data.versions import DatasetVersion
from sightline.metrics.agreement import Agreement

CHECK_SAMPLES = 32  # pictures that compare the engines with the reference, and that timing uses
TIMING_SECONDS = 1.0  # for one candidate with one setting, over all rounds
LOW_SCORE = 0.05  # of FP32 on the validation pictures, 0..1; from there down a lost point is lost among chance hits
FEW_PICTURES = 500  # below it an interval is often wider than a point


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; `precision` may be "auto"."""

    device: str
    precision: str
    max_drop: float
    objective: Objective
    calibration_images: int
    validation_images: int
    seed: int


class Compilation:
    """The state of one compilation. `run` fills it once.

    Attributes:
        chosen, chosen_timing: the candidate that passed, with its fastest setting; None when nothing passed.
    """

    def __init__(
        self,
        graph: Path,
        manifest: ModelManifest,
        version: DatasetVersion | None,
        request: Request,
        work: Path,
        stages: Stages,
    ) -> None:
        self.graph, self.manifest, self.version, self.request = graph, manifest, version, request
        self.chosen: Candidate | None = None
        self.chosen_timing: Timing | None = None
        self._work, self._stages = work, stages
        self._pictures: ChosenPictures | None = None
        self._candidates: list[Candidate] = []
        self._refusals: list[Refusal] = []
        self._timings: list[Timing] = []
        self._fp32_checks: dict[str, Check] = {}
        self._gates: dict[str, GateResult] = {}
        self._judged: dict[str, Judged] = {}
        self._compared: dict[str, tuple[Comparison, Agreement]] = {}
        self._baseline: Candidate | None = None

    def run(self, command: str) -> tuple[CompileReport, FlipPictures]:
        """All stages but writing. Args: command: reproduces it; kept in the report."""
        engines = find_engines(self.request.device)
        self._source = load_graph(self.graph)
        check_opset(self._source, self.graph.name)
        self._read_pictures()
        self._make_candidates(engines)
        self._check_engines()
        self._time(self._candidates)
        self._pass_gate()
        return self._report(command)

    def describe_calibration(self) -> dict[str, object]:
        """For the Artifact's manifest: what calibrated it."""
        if self.version is None or self._pictures is None or self.chosen is None:
            return {}
        facts: dict[str, object] = {"dataset_version": self.version.id, "seed": self.request.seed}
        facts |= {"split": self._pictures.calibration_split, "validation_split": self._pictures.validation_split}
        if self.chosen.facts is not None:
            facts["quantiser"] = msgspec.to_builtins(self.chosen.facts)
        return facts

    @property
    def _input_name(self) -> str:
        return self.manifest.input.name

    def _read_pictures(self) -> None:
        self._stages.begin("reading pictures")
        spec, request = self.manifest.input, self.request
        if self.version is None:
            self._samples: Sequence[np.ndarray] = draw_noise(spec, CHECK_SAMPLES, request.seed)
            self._check_samples = list(self._samples)
            return
        self._pictures = choose_pictures(self.version, request.calibration_images, request.validation_images, request.seed)
        self._check_labels(self._pictures)
        self._samples = PreparedSamples(self.version, self._pictures.calibration, spec)
        checked = [*self._pictures.calibration, *self._pictures.validation][:CHECK_SAMPLES]
        self._check_samples = list(PreparedSamples(self.version, checked, spec))

    def _check_labels(self, pictures: ChosenPictures) -> None:
        wanted = self.request.precision
        if wanted in ("int8", "bf16") and not any(item.annotations for item in pictures.validation):
            raise InvalidInput(
                f"{wanted.upper()} must prove its accuracy on labelled pictures, got {len(pictures.validation)} without "
                f"a label in the split {pictures.validation_split!r}; label some, or compile with precision fp32"
            )

    def _wants(self, precision: Precision) -> bool:
        return self.request.precision in ("auto", precision) and (precision != "int8" or self.version is not None)

    def _make_candidates(self, engines: Sequence[str]) -> None:
        self._stages.begin("quantising")
        floats, self._refusals = make_float_candidates(self.graph, self.manifest, engines, self._work)
        self._candidates = self._keep_runnable(floats)
        if not any(candidate.precision == "fp32" for candidate in self._candidates):
            reasons = " | ".join(refusal.reason for refusal in self._refusals)
            raise Unsupported(f"no engine of {self.request.device} runs {self.manifest.name!r} in FP32: {reasons}")
        if self._wants("int8"):
            self._add_int8(FIRST_QUANTISERS)

    def _add_int8(self, quantisers: Sequence[str]) -> list[Candidate]:
        """Quantise for every engine that runs the network in FP32; returns what was added."""
        engines = list(dict.fromkeys(candidate.engine for candidate in self._candidates))

        def tell(name: str) -> None:
            self._stages.update(quantisers.index(name) / len(quantisers), f"quantising with {name}")

        source = self._candidates[0].source
        made, refused = make_int8_candidates(quantisers, source, self.manifest, engines, self._samples, tell)
        self._refusals += refused
        runnable = self._keep_runnable(made)
        self._candidates += runnable
        return runnable

    def _keep_runnable(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        runnable, refused = split_runnable(candidates, self._input_name, self._check_samples[0])
        self._refusals += refused
        return runnable

    def _check_engines(self) -> None:
        self._stages.begin("checking engines")
        floats = {candidate.engine: candidate for candidate in self._candidates if candidate.precision == "fp32"}
        expected = infer_samples(make_reference(self._candidates[0]), self._input_name, self._check_samples)
        for place, (engine, candidate) in enumerate(floats.items(), start=1):
            actual = infer_samples(candidate, self._input_name, self._check_samples)
            self._fp32_checks[engine] = check_fp32(engine, expected, actual, self.manifest.decode)
            self._stages.update(place / len(floats))

    def _time(self, candidates: Sequence[Candidate]) -> None:
        self._stages.begin("timing candidates")
        self._timings += time_candidates(
            candidates,
            self._input_name,
            self._check_samples,
            choose_settings(),
            seconds=TIMING_SECONDS,
            on_turn=self._stages.update,
        )

    def _pass_gate(self) -> None:
        """Put candidates to the gate, fastest first, until one passes; then, when INT8 failed, try the rescue quantisers."""
        self._stages.begin("gate")
        ranked = self._rank()
        self._baseline = next(
            (one for one, _ in ranked if one.precision == "fp32" and self._fp32_checks[one.engine].passed), None
        )
        self._choose(ranked)
        failed = [one for one, _ in ranked if one.precision == "int8" and one.name in self._gates]
        if failed and (self.chosen is None or self.chosen.precision != "int8"):
            added = self._add_int8(RESCUE_QUANTISERS)
            self._time(added)
            self._stages.begin("gate")
            self._choose([pair for pair in self._rank() if pair[0] in added])

    def _rank(self) -> list[tuple[Candidate, Timing]]:
        by_name = {candidate.name: candidate for candidate in self._candidates}
        return [(by_name[timing.candidate], timing) for timing in rank_timings(self._timings, self.request.objective)]

    def _choose(self, ranked: Sequence[tuple[Candidate, Timing]]) -> None:
        """Take the first that passes, unless one chosen before is faster."""
        for candidate, timing in ranked:
            if not self._wants(candidate.precision) or self._is_slower(timing):
                continue
            self._gates[candidate.name] = gate = self._judge(candidate, timing)
            if gate.passed:
                self.chosen, self.chosen_timing = candidate, timing
                return

    def _is_slower(self, timing: Timing) -> bool:
        objective = self.request.objective
        return self.chosen_timing is not None and score_speed(timing, objective) <= score_speed(self.chosen_timing, objective)

    def _judge(self, candidate: Candidate, timing: Timing) -> GateResult:
        checks, limit = self._fp32_checks, self.request.max_drop
        rows = None
        if candidate.precision != "fp32" and checks[candidate.engine].passed:
            rows = profile_layers(candidate, self._source, self._input_name, self._check_samples)
        gate = judge_candidate(candidate, checks, rows, None, limit)
        if not gate.passed or candidate.precision == "fp32" or self._pictures is None or self._baseline is None:
            return gate
        comparison = self._compare(candidate, (timing.streams, timing.threads))
        return judge_candidate(candidate, checks, rows, comparison, limit)

    def _compare(self, candidate: Candidate, setting: tuple[int, int]) -> Comparison:
        assert self._pictures is not None
        assert self._baseline is not None
        for one in (self._baseline, candidate):
            if one.name not in self._judged:
                self._judged[one.name] = self._predict(one, setting)
        items = self._pictures.validation
        self._compared[candidate.name] = compare_judged(
            self.manifest, items, self._judged[self._baseline.name], self._judged[candidate.name], self.request.seed
        )
        return self._compared[candidate.name][0]

    def _predict(self, candidate: Candidate, setting: tuple[int, int]) -> Judged:
        assert self.version is not None
        assert self._pictures is not None
        return predict_items(candidate, setting, self.manifest, self.version, self._pictures.validation, self._stages.update)

    def _report(self, command: str) -> tuple[CompileReport, FlipPictures]:
        self._stages.begin("profiling")
        shown = self.chosen or next((one for one in self._candidates if one.name in self._compared), None)
        rows = [
            make_candidate_row(
                one, self._find_best(one), self._gates.get(one.name), one is self.chosen, self._wants(one.precision)
            )
            for one in self._candidates
        ]
        report = CompileReport(
            name=self.manifest.name,
            model_id=compute_manifest_id(self.manifest),
            task=self.manifest.task,
            categories=self.manifest.categories,
            created_at=now_utc(),
            passed=self.chosen is not None,
            verdict=self._say_verdict(),
            chosen=self.chosen.name if self.chosen else None,
            requested={
                "device": self.request.device,
                "precision": self.request.precision,
                "max_drop": self.request.max_drop,
                "objective": self.request.objective,
                "calibration_images": self.request.calibration_images,
                "validation_images": self.request.validation_images,
            },
            command=command,
            seed=self.request.seed,
            dataset_version=self.version.id if self.version else None,
            pictures=self._describe_pictures(),
            host=describe_host(),
            graph=self._describe_graph(),
            candidates=sorted(rows, key=lambda row: -(row.best.throughput if row.best else 0.0)),
            refusals=self._refusals,
            timings=self._timings,
            warnings=self._find_warnings(),
            seconds=self._stages.seconds,
        )
        report, pictures = self._add_comparison(report, shown)
        return self._add_speed(self._add_layers(report, shown)), pictures

    def _add_comparison(self, report: CompileReport, shown: Candidate | None) -> tuple[CompileReport, FlipPictures]:
        if shown is None or shown.name not in self._compared:
            return report, {}
        assert self._pictures is not None
        assert self._baseline is not None
        assert self.version is not None
        comparison, agreement = self._compared[shown.name]
        items, pair = self._pictures.validation, (self._judged[self._baseline.name], self._judged[shown.name])
        flips: list[Flip] = describe_flips(self.manifest, items, *pair, agreement.flipped)
        pictures = draw_flips(self.manifest, self.version, items, *pair, flips)
        changed = {"comparison": comparison, "flips": flips, "flip_count": len(agreement.flipped)}
        return msgspec.structs.replace(report, **changed), pictures

    def _add_layers(self, report: CompileReport, shown: Candidate | None) -> CompileReport:
        if shown is None:
            return report
        layers = profile_layers(shown, self._source, self._input_name, self._check_samples)
        refused = find_refused_layers(layers, load_graph(shown.source)) if shown.precision == "int8" else []
        return msgspec.structs.replace(report, layers=layers, precisions=count_precisions(layers), refused_layers=refused)

    def _add_speed(self, report: CompileReport) -> CompileReport:
        """Sweep and share of the peak of the chosen candidate."""
        if self.chosen is None or self.chosen_timing is None:
            return report
        self._stages.update(0.3)
        sweep = sweep_candidate(self.chosen, self._input_name, self._check_samples)
        self._stages.update(0.8)
        precisions = list(dict.fromkeys(one.precision for one in self._candidates if one.engine == self.chosen.engine))
        best = max([self.chosen_timing.throughput, *(row.throughput for row in sweep)])
        peak = compare_with_peak(self.chosen, precisions, best, report.graph.flops)
        return msgspec.structs.replace(report, sweep=sweep, peak=peak)

    def _find_best(self, candidate: Candidate) -> Timing | None:
        ranked = rank_timings([timing for timing in self._timings if timing.candidate == candidate.name], "throughput")
        return ranked[0] if ranked else None

    def _describe_graph(self) -> GraphFacts:
        return GraphFacts(
            nodes=len(self._source.graph.node),
            operators=count_operators(self._source),
            flops=count_flops(self._source, self.manifest.input),
            weights=count_weights(self._source),
            opset=find_opset(self._source),
            size_bytes=self.graph.stat().st_size,
        )

    def _describe_pictures(self) -> dict[str, object]:
        if self._pictures is None:
            return {"calibration": "none", "validation": "none", "checked_on": "seeded noise"}
        return {
            "calibration_images": len(self._pictures.calibration),
            "calibration_split": self._pictures.calibration_split,
            "validation_images": len(self._pictures.validation),
            "validation_split": self._pictures.validation_split,
        }

    def _say_verdict(self) -> str:
        failures = [f"{name}: {'; '.join(gate.failures)}" for name, gate in self._gates.items() if not gate.passed]
        if self.chosen is None or self.chosen_timing is None:
            wanted = "any precision" if self.request.precision == "auto" else self.request.precision
            reasons = failures or [f"{refusal.name}: {refusal.reason}" for refusal in self._refusals]
            remedy = f"; {self._baseline.name} is right, precision auto takes the fastest that is" if self._baseline else ""
            return f"no candidate of {wanted} passed: {' | '.join(reasons) or 'this machine runs none'}{remedy}"
        words = f"{self.chosen.name} is the fastest that passes: {self.chosen_timing.throughput:.1f} pictures/s"
        if self._baseline is not None and (baseline := self._find_best(self._baseline)) and self._baseline is not self.chosen:
            words += f", {self.chosen_timing.throughput / baseline.throughput:.2f}x {self._baseline.name}"
        if self.chosen.name in self._compared:
            found = self._compared[self.chosen.name][0]
            words += f"; {found.metric} {100 * found.change:+.2f} points ({100 * found.low:+.2f} to {100 * found.high:+.2f})"
        return words + (f". Tried first, but failed: {' | '.join(failures)}" if failures else "")

    def _has_learned(self, pictures: ChosenPictures) -> bool:
        """Whether the Model learned from pictures that judge it, as far as its manifest tells."""
        learned = set(self.manifest.recipe.get("train_splits", ()))
        learned |= {"train", "val"} if "trainval" in learned else set()
        same_version = self.version is not None and self.version.id == self.manifest.dataset_version
        return same_version and any(item.split in learned for item in pictures.validation)

    def _find_warnings(self) -> list[str]:
        warnings = []
        if self._pictures is None:
            warnings.append("Made without pictures: engines were compared on seeded noise, accuracy is not verified.")
        if self._pictures and self._has_learned(self._pictures):
            warnings.append(
                f"The Model learned from the split {self._pictures.validation_split!r} that the gate used: answers on learned "
                "pictures change less than on new ones."
            )
        if self._pictures and len(self._pictures.validation) < FEW_PICTURES:
            warnings.append(
                f"{len(self._pictures.validation)} validation pictures give a wide interval; a drop of 0.3 points needs 5,000."
            )
        if len(self._check_samples) < MIN_IMAGES:
            warnings.append(f"Engines were compared on {len(self._check_samples)} pictures; {MIN_IMAGES} are wanted.")
        if self._compared:
            found, _ = next(iter(self._compared.values()))  # FP32 scores the same in all of them
            if found.per_category and found.baseline <= max(LOW_SCORE, self.request.max_drop):
                warnings.append(
                    f"The FP32 model itself scores {found.metric} {found.baseline:.2%} on the validation pictures: a drop "
                    "cannot show, so passing proves little; train it further."
                )
        if self.chosen and self.chosen.name in self._compared:
            found = self._compared[self.chosen.name][0]
            if found.low < -self.request.max_drop:
                warnings.append(
                    f"The interval of the change reaches to {100 * found.low:+.2f} points, below the limit of "
                    f"{-100 * self.request.max_drop:+.2f}: these pictures cannot exclude a larger drop."
                )
        return warnings
