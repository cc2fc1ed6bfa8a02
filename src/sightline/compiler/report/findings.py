"""What a compilation has found out so far: filled by `compilation`, read by `building`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from sightline.compiler.candidates import Candidate, CandidateRefusal
from sightline.compiler.comparison import CompiledComparison, Judged
from sightline.compiler.gate import Check, GateResult
from sightline.compiler.importing.packed_outputs import Part
from sightline.compiler.passes import PassRow
from sightline.compiler.pictures import ChosenPictures
from sightline.compiler.placing.placement import LayerPlacement
from sightline.compiler.request import CompileRequest
from sightline.compiler.tuning.goals import Timing, rank_timings
from sightline.core.manifests import ModelManifest
from sightline.data.versions import DatasetVersion
from sightline.metrics.agreement import Agreement
from sightline.runtime.devices import Device


@dataclass
class Findings:
    """The state of one compilation.

    Attributes:
        graph_file, graph: the Model's graph as it came.
        simplified: the graph all candidates are made from.
        manifest, version, calibration_version, request: what was given.
        pictures: which pictures do what; None without a version.
        is_labelled: whether the validation pictures carry labels.
        passes: what the graph passes changed.
        candidates, refusals: what can be run, and what cannot and why.
        timings: of all candidates, each from the last race it ran in.
        timed_at: by candidate, when its race was run; only of races of an earlier compilation.
        parts: of outputs that pack several tensors.
        engine_checks: by engine: does it compute the network as the reference does?
        alone: engines that compute something else for pictures that share an inference: they run each alone.
        gates, judged, compared: by candidate name.
        baseline: what the others are compared with.
        devices: that the network is placed on, first choice first.
        placements: which layers run where; empty on the CPU alone, which runs all.
        chosen, chosen_timing: the candidate that passed, with its best setting; None when nothing passed. A device without a
            speed of its own has no timing.
    """

    graph_file: Path
    graph: onnx.ModelProto
    manifest: ModelManifest
    request: CompileRequest
    version: DatasetVersion | None = None
    calibration_version: DatasetVersion | None = None
    simplified: onnx.ModelProto | None = None
    pictures: ChosenPictures | None = None
    is_labelled: bool = False
    passes: list[PassRow] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    refusals: list[CandidateRefusal] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    timed_at: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    engine_checks: dict[str, Check] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    gates: dict[str, GateResult] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    compared: dict[str, tuple[CompiledComparison, Agreement]] = field(default_factory=dict)
    baseline: Candidate | None = None
    devices: list[Device] = field(default_factory=list)
    placements: list[LayerPlacement] = field(default_factory=list)
    chosen: Candidate | None = None
    chosen_timing: Timing | None = None

    @property
    def shown(self) -> Candidate | None:
        """The candidate the report is about: the chosen one, or the first that was compared, which is the fastest."""
        first = next(iter(self.compared), None)
        return self.chosen or next((one for one in self.candidates if one.name == first), None)

    def add_race(self, candidates: Sequence[Candidate], timings: Sequence[Timing], timed_at: str | None) -> None:
        """Timings of candidates in place of those they had. Args: timed_at: when, if an earlier compilation ran the race."""
        names = {one.name for one in candidates}
        self.timings = [timing for timing in self.timings if timing.candidate not in names] + list(timings)
        self.timed_at = {name: when for name, when in self.timed_at.items() if name not in names}
        self.timed_at |= dict.fromkeys(names, timed_at) if timed_at is not None else {}

    def find_best(self, candidate: Candidate, batch: int | None = None) -> Timing | None:
        """A candidate's timing at its best setting for the goal. Args: batch: of settings with so many pictures only."""
        timed = [timing for timing in self.timings if timing.candidate == candidate.name and batch in (None, timing.batch)]
        ranked = rank_timings(timed, self.request.goal)
        return ranked[0] if ranked else None

    def rank(self) -> list[tuple[Candidate, Timing]]:
        """All candidates that were timed, the best for the goal first."""
        by_name = {candidate.name: candidate for candidate in self.candidates}
        return [(by_name[timing.candidate], timing) for timing in rank_timings(self.timings, self.request.goal)]
