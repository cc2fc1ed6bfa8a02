"""One compilation, stage by stage, from the Model's graph to the candidate that passed; `compile` adds folders and errors.

The ladder: every engine in FP32 and BF16, then INT8 by the first quantisers, timed together; the gate takes the fastest that
passes. When no INT8 candidate passes, the rescue quantisers are tried one after the other, while there is time.
"""

import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from sightline.compiler.candidates import (
    REFERENCE,
    Candidate,
    CandidateRefusal,
    make_int8_candidates,
    make_plain_candidates,
    split_runnable,
)
from sightline.compiler.comparison import CompiledComparison, compare_judged, predict_items
from sightline.compiler.gate import (
    Check,
    GateResult,
    check_fp32,
    check_quantised,
    fail_numbers,
    infer_batch,
    infer_samples,
    judge_candidate,
)
from sightline.compiler.graphs import check_opset, save_graph
from sightline.compiler.guides import make_answer_guide, make_guide
from sightline.compiler.importing.packed_outputs import find_parts
from sightline.compiler.passes import simplify_graph
from sightline.compiler.pictures import PreparedSamples, choose_pictures, draw_noise
from sightline.compiler.placing.candidates import make_placed_candidate, plan_places
from sightline.compiler.placing.fpga import FixedPrecision
from sightline.compiler.quantisers.quantiser import Guide
from sightline.compiler.quantisers.table import FIRST_QUANTISERS, RESCUE_QUANTISERS, SYMMETRIC_QUANTISERS, load_quantiser
from sightline.compiler.report.findings import Findings
from sightline.compiler.report.layers import profile_layers
from sightline.compiler.stages import Stages
from sightline.compiler.tuning.autotune import Setting, choose_batches, choose_settings, make_batches, time_candidates
from sightline.compiler.tuning.cache import find_race, keep_race, make_race_key
from sightline.compiler.tuning.goals import Timing
from sightline.core.errors import Exhausted, SightlineError, Unsupported
from sightline.core.host import now_utc
from sightline.core.settings import read_settings
from sightline.data.truth import has_human_label
from sightline.imaging.heads.decoding import NotANumber
from sightline.runtime.backend import Tensors
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import DEVICES, Device, parse_devices
from sightline.runtime.output_error import CHOSEN_HEADS, INDEX_HEADS, RANKED_HEADS

CHECK_SAMPLES = 32  # pictures that the engines are compared on, and that timing uses
EMULATED_PICTURES = 200  # validation pictures on an emulated device, which takes up to half a second for each
PLACED_PRECISIONS: tuple[FixedPrecision, ...] = ("int8", "int16")  # of an accelerator, tried in this order
CPU = "cpu"
TIMING_SECONDS = 1.0  # for one candidate with one setting, over all rounds


class Compilation:
    """Fills `found` once.

    Args:
        found: what is given.
        work: folder for files on the way.
        stages: told the progress.
        tuning: folder of kept timings; None times anew.

    Attributes:
        check_samples: prepared pictures that compare the engines with the reference, and that timing uses.
    """

    def __init__(
        self,
        found: Findings,
        work: Path,
        stages: Stages,
        tuning: Path | None = None,
    ) -> None:
        self.found = found
        self._work, self._stages, self._tuning = work, stages, tuning
        self._started = time.monotonic()
        self._samples: Sequence[np.ndarray] = ()  # calibration inputs
        self.check_samples: list[np.ndarray] = []

    def run(self) -> None:
        """All stages up to the choice."""
        found = self.found
        found.devices = parse_devices(found.request.device)
        check_opset(found.graph, found.graph_file.name)
        self._read_pictures()
        self._find_parts()
        self._make_plain(found.devices[0] if self._is_raced else DEVICES[CPU])
        if self._is_raced:
            self._quantise_first()
            self._check_engines()
            self._time(found.candidates)
            self._pass_gate()
        else:
            self._check_engines()
            self._place()

    @property
    def _input_name(self) -> str:
        return self.found.manifest.input.name

    @property
    def _is_raced(self) -> bool:
        """Whether it is for one device whose engines run all layers and can be timed."""
        devices = self.found.devices
        return len(devices) == 1 and devices[0].operators is None and devices[0].has_speed

    @property
    def _is_quantised_already(self) -> bool:
        return self.found.manifest.precision == "int8"

    def _is_late(self) -> bool:
        limit = self.found.request.time_limit_s
        return limit is not None and time.monotonic() - self._started > limit

    def _read_pictures(self) -> None:
        self._stages.begin("reading pictures")
        found, request = self.found, self.found.request
        spec = found.manifest.input
        if found.version is None:
            self._samples = draw_noise(spec, CHECK_SAMPLES, request.seed)
            self.check_samples = list(self._samples)
            return
        validation = request.validation_images if all(one.has_speed for one in found.devices) else EMULATED_PICTURES
        found.pictures = choose_pictures(
            found.version,
            request.calibration_images,
            min(validation, request.validation_images),
            request.seed,
            found.calibration_version,
        )
        found.is_labelled = any(item.annotations for item in found.pictures.validation)
        self._samples = PreparedSamples(found.calibration_version or found.version, found.pictures.calibration, spec)
        checked = [*self._samples[:CHECK_SAMPLES]]
        if len(checked) < CHECK_SAMPLES:
            checked += PreparedSamples(found.version, found.pictures.validation[: CHECK_SAMPLES - len(checked)], spec)
        self.check_samples = checked

    def _find_parts(self) -> None:
        """Outputs that pack several tensors are compared part by part, where they are compared as numbers.

        A network that came quantised is left out: what its rounding did to the scores is not our doing.
        """
        found = self.found
        if not self._is_quantised_already and found.manifest.decode.head not in RANKED_HEADS | CHOSEN_HEADS | INDEX_HEADS:
            found.parts = find_parts(found.graph, {self._input_name: self.check_samples[0]})

    def _make_plain(self, device: Device) -> None:
        """The candidates that need no quantiser; each graph pass is told."""
        self._stages.begin("simplifying")
        found = self.found
        found.simplified, found.passes = simplify_graph(found.graph)
        source = self._work / ("int8.onnx" if self._is_quantised_already else "fp32.onnx")
        save_graph(found.simplified, source)
        candidates, found.refusals = make_plain_candidates(source, found.manifest, device.engines)
        found.candidates = self._keep_runnable(candidates)
        if not any(candidate.precision == found.manifest.precision for candidate in found.candidates):
            reasons = " | ".join(refusal.reason for refusal in found.refusals)
            precision = found.manifest.precision.upper()
            raise Unsupported(f"no engine of {device.name} runs {found.manifest.name!r} in {precision}: {reasons}")

    def _quantise_first(self) -> None:
        self._stages.begin("quantising")
        request = self.found.request
        can_calibrate = self.found.version is not None or request.calibrate_random
        if self._is_quantised_already or not request.wants("int8") or not can_calibrate or not self._runs_int8():
            return
        quantisers = SYMMETRIC_QUANTISERS if request.symmetric else FIRST_QUANTISERS
        for place, quantiser in enumerate(quantisers):
            self._stages.update(place / len(quantisers), f"quantising with {quantiser}")
            self._add_int8(quantiser)

    def _runs_int8(self) -> bool:
        return any("int8" in load_backend(engine).precisions for engine in self.found.devices[0].engines)

    def _add_int8(self, quantiser: str) -> list[Candidate]:
        """Quantise for every engine that runs the unquantised network; returns the candidates that were added."""
        found = self.found
        if self._is_late():
            found.refusals.append(
                CandidateRefusal(name=f"quantiser {quantiser}", reason="the time limit was reached before it began")
            )
            return []
        engines = list(dict.fromkeys(candidate.engine for candidate in found.candidates))
        source = found.candidates[0].source
        guide = self._make_guide(quantiser)
        made, refused = make_int8_candidates(quantiser, source, found.manifest, engines, self._samples, guide)
        found.refusals += refused
        runnable = self._keep_runnable(made)
        found.candidates += runnable
        return runnable

    def _has_labels_to_guide(self) -> bool:
        """A quantiser is guided by calibration pictures, never by those that judge it."""
        found, pictures = self.found, self.found.pictures
        version = found.calibration_version or found.version
        if pictures is None or version is None or not set(version.categories) <= set(found.manifest.categories):
            return False
        return any(has_human_label(item) for item in pictures.calibration)

    def _can_try(self, quantiser: str) -> bool:
        """Whether there is what it looks at: labels, or pictures to compare with FP32 on."""
        guided_by = find_guidance(quantiser)
        return self._has_labels_to_guide() if guided_by == "labels" else not guided_by or self.found.pictures is not None

    def _make_guide(self, quantiser: str) -> Guide | None:
        """By labels where the gate judges by labels, else by FP32's answers."""
        found = self.found
        if find_guidance(quantiser) is None or found.pictures is None or found.version is None:
            return None
        version, items = found.calibration_version or found.version, found.pictures.calibration
        facts = (found.manifest, version, items, found.request.max_drop, self._is_late)
        if found.is_labelled and self._has_labels_to_guide():
            return make_guide(*facts)
        exact = found.baseline or self._make_reference()
        with closing(exact.open(1, read_settings().threads)) as session:
            return make_answer_guide(*facts, lambda batch: session.infer({self._input_name: batch}), found.parts)

    def _keep_runnable(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        runnable, refused = split_runnable(candidates, self._input_name, self.check_samples[0])
        self.found.refusals += refused
        return runnable

    def _check_engines(self) -> None:
        """Compare each engine, in the network's own precision, with the reference on the graph as it was before any pass."""
        self._stages.begin("checking engines")
        found = self.found
        own = {one.engine: one for one in found.candidates if one.precision == found.manifest.precision and not one.quantiser}
        expected = infer_samples(self._make_reference(), self._input_name, self.check_samples)
        for place, (engine, candidate) in enumerate(own.items(), start=1):
            actual = infer_samples(candidate, self._input_name, self.check_samples)
            found.engine_checks[engine] = check = self._check_engine(engine, expected, actual)
            if check.passed:
                self._check_batch(candidate, expected)
            self._stages.update(place / len(own))
        for engine in sorted({one.engine for one in found.candidates} - set(own)):
            text = (
                f"{engine} does not run the network in {found.manifest.precision.upper()}, so nothing shows that it computes it"
            )
            found.engine_checks[engine] = Check(name="engine", passed=False, value=float("inf"), limit=None, text=text)

    def _check_engine(self, engine: str, expected: Sequence[Tensors], actual: Sequence[Tensors]) -> Check:
        decode = self.found.manifest.decode
        if self._is_quantised_already:
            return check_quantised(engine, expected, actual, decode)
        return check_fp32(engine, expected, actual, decode, self.found.parts)

    def _check_batch(self, candidate: Candidate, expected: Sequence[Tensors]) -> None:
        """Compare a full batch with the same pictures run alone in the reference; an engine that differs gets no batches.

        The largest batch that there is memory for is taken.
        """
        found = self.found
        for batch in sorted(choose_batches(found.request.goal, found.devices[0]), reverse=True):
            if batch == 1 or not self._is_raced:
                return
            (first, *_) = make_batches(self.check_samples, batch)
            with suppress(Exhausted):
                together = infer_batch(candidate, self._input_name, first)
                break
        alone = [expected[place % len(expected)] for place in range(batch)]
        check = self._check_engine(f"{candidate.engine} in batches of {batch},", alone, together)
        if not check.passed:
            found.alone.add(candidate.engine)
            found.refusals.append(CandidateRefusal(name=f"{candidate.name}, batches of {batch}", reason=check.text))

    def _keep_right(self, timings: Sequence[Timing]) -> list[Timing]:
        """Without the timings of batches in engines that compute batches wrong."""
        alone = {one.name for one in self.found.candidates if one.engine in self.found.alone}
        return [timing for timing in timings if timing.batch == 1 or timing.candidate not in alone]

    def _make_reference(self) -> Candidate:
        found = self.found
        return Candidate(REFERENCE, found.manifest.precision, None, found.graph_file, found.graph_file)

    def _time(self, candidates: Sequence[Candidate]) -> None:
        """Time candidates, unless the same ones were timed here before."""
        self._stages.begin("timing candidates")
        found, goal = self.found, self.found.request.goal
        device = found.devices[0]
        settings = choose_settings(batches=choose_batches(goal, device), on_cores=device.on_cores)
        key = make_race_key(candidates, settings, TIMING_SECONDS, goal) if self._tuning else ""
        if self._tuning and (kept := find_race(self._tuning, key)):
            found.add_race(candidates, self._keep_right(kept[0]), kept[1])
            return
        timings = time_candidates(
            candidates, self._input_name, self.check_samples, settings, TIMING_SECONDS, goal, on_turn=self._stages.update
        )
        found.add_race(candidates, self._keep_right(timings), None)
        timed = {(timing.candidate, timing.batch) for timing in timings}
        found.refusals += [
            CandidateRefusal(name=f"{one.name}, batches of {batch}", reason="the memory of the device does not suffice")
            for one in candidates
            for batch in dict.fromkeys(setting.batch for setting in settings)
            if (one.name, batch) not in timed
        ]
        if self._tuning:
            keep_race(self._tuning, key, timings, now_utc())

    def _place(self) -> None:
        """The network on its devices: the coarsest precision that passes.

        It is compared with FP32 on the CPU, in the reference where no engine computes that rightly. Nothing is timed: what
        emulates a device says what its numbers will be, not how fast.
        """
        found = self.found
        self._stages.begin("quantising")
        assert found.simplified is not None
        found.placements = plan_places(found.simplified, found.devices)
        found.baseline = next((one for one in found.candidates if self._is_right_fp32(one)), self._make_reference())
        source = found.candidates[0].source
        found.candidates = [one for one in found.candidates if one is found.baseline]
        for precision in PLACED_PRECISIONS:
            if not found.request.wants(precision):
                continue
            self._stages.begin("quantising", f"fixed point, {precision}")
            made, refused = make_placed_candidate(source, found.devices, precision, self._samples)
            found.refusals += [refused] if refused else []
            for candidate in self._keep_runnable([made] if made else []):
                found.candidates.append(candidate)
                self._stages.begin("gate")
                found.gates[candidate.name] = gate = self._judge(candidate, Setting(1, 1))
                if gate.passed:
                    found.chosen = candidate
                    return

    def _is_right_fp32(self, candidate: Candidate) -> bool:
        checks = self.found.engine_checks
        return candidate.precision == "fp32" and candidate.engine in checks and checks[candidate.engine].passed

    def _pass_gate(self) -> None:
        """Put candidates to the gate, fastest first, until one passes; then, when INT8 failed, try the rescue quantisers."""
        self._stages.begin("gate")
        found, ranked = self.found, self.found.rank()
        found.baseline = self._choose_baseline(ranked)
        self._choose(ranked)
        if self._is_quantised_already or found.request.symmetric:
            return
        for quantiser in RESCUE_QUANTISERS:
            if not self._is_int8_missed() or not self._can_try(quantiser):
                continue
            self._stages.begin("quantising", f"quantising with {quantiser}")
            added = self._add_int8(quantiser)
            if added:
                self._race_again(added)
            self._stages.begin("gate")
            self._choose([pair for pair in found.rank() if pair[0] in added])

    def _race_again(self, added: Sequence[Candidate]) -> None:
        """Time what was added together with FP32 and what was chosen before: speeds of two races are not compared."""
        found = self.found
        before = {one.name: one for one in (found.chosen, found.baseline) if one is not None}
        self._time([*added, *before.values()])
        if found.chosen is not None and found.chosen_timing is not None:
            found.chosen_timing = found.find_best(found.chosen, found.chosen_timing.batch)  # the one that the gate judged

    def _choose_baseline(self, ranked: Sequence[tuple[Candidate, Timing]]) -> Candidate | None:
        """What the others are compared with: the fastest right FP32, or the reference of a network that came quantised."""
        if self._is_quantised_already:
            return self._make_reference()
        checks = self.found.engine_checks
        return next((one for one, _ in ranked if one.precision == "fp32" and checks[one.engine].passed), None)

    def _is_int8_missed(self) -> bool:
        """Whether INT8 was put to the gate and none of it passed."""
        found = self.found
        failed = any(one.precision == "int8" and one.name in found.gates for one in found.candidates)
        return failed and (found.chosen is None or found.chosen.precision != "int8")

    def _choose(self, ranked: Sequence[tuple[Candidate, Timing]]) -> None:
        """Take the first that passes, unless one chosen before is faster."""
        found = self.found
        for candidate, timing in ranked:
            if not found.request.wants(candidate.precision) or self._is_slower(timing):
                continue
            found.gates[candidate.name] = gate = self._judge(candidate, Setting(timing.streams, timing.threads, timing.batch))
            if gate.passed:
                found.chosen, found.chosen_timing = candidate, timing
                return

    def _is_slower(self, timing: Timing) -> bool:
        goal, chosen = self.found.request.goal, self.found.chosen_timing
        return chosen is not None and goal.score(timing) <= goal.score(chosen)

    def _judge(self, candidate: Candidate, setting: Setting) -> GateResult:
        found, limit = self.found, self.found.request.max_drop
        rows = None
        check = found.engine_checks.get(candidate.engine)
        if candidate.precision != "fp32" and (check is None or check.passed):
            profiled = profile_layers(candidate, found.graph, self._input_name, self.check_samples)
            rows = [row for row in profiled if row.device in (None, found.devices[0].name)]  # the CPU takes what it lacks
        gate = judge_candidate(candidate, found.engine_checks, rows, None, limit)
        if not gate.passed or candidate.precision == "fp32" or found.pictures is None or found.baseline is None:
            return gate
        self._predict(found.baseline, setting._replace(batch=1))  # each picture alone, as the engines were checked
        try:
            self._predict(candidate, setting)  # as it would run
        except NotANumber as error:
            return GateResult(candidate=gate.candidate, checks=(*gate.checks, fail_numbers(str(error), limit)))
        comparison = self._compare(candidate)
        return judge_candidate(candidate, found.engine_checks, rows, comparison, limit)

    def _predict(self, candidate: Candidate, setting: Setting) -> None:
        """Run a candidate over the validation pictures, once. Raises: NotANumber."""
        found = self.found
        assert found.pictures is not None
        assert found.version is not None
        if candidate.name not in found.judged:
            facts = (found.manifest, found.version, found.pictures.validation, self._stages.update)
            found.judged[candidate.name] = predict_items(candidate, setting, *facts)

    def _compare(self, candidate: Candidate) -> CompiledComparison:
        found = self.found
        assert found.pictures is not None
        assert found.baseline is not None
        pair = found.judged[found.baseline.name], found.judged[candidate.name]
        items = found.pictures.validation
        found.compared[candidate.name] = compare_judged(found.manifest, items, *pair, found.request.seed, found.parts)
        found.judged[candidate.name] = replace(pair[1], tensors=[])  # gigabytes; nothing else reads them
        return found.compared[candidate.name][0]


def find_guidance(quantiser: str) -> str | None:
    """What a quantiser is guided by; nothing where it is not installed."""
    try:
        return load_quantiser(quantiser).guided_by
    except SightlineError:
        return None
