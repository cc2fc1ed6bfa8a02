"""`report.json`: all that a compilation found out, so that an Artifact carries its own proof; `page` makes `report.html`.

JSON has no infinities, and errors may be infinite: since format 2 such numbers are the texts "Infinity", "-Infinity" and "NaN",
which Python's `float` and JavaScript's `Number` read. Since format 3 a category that no resample of the pictures
changes has null for both ends of its interval; before, both were 0.
"""

import math
from typing import Any

import msgspec

from sightline.compiler.candidates import Candidate, CandidateRefusal
from sightline.compiler.comparison import CompiledComparison
from sightline.compiler.gate import GateResult
from sightline.compiler.passes import PassRow
from sightline.compiler.placing.placement import LayerPlace
from sightline.compiler.quantisers.quantiser import QuantiserFacts
from sightline.compiler.report.layers import RefusedLayer
from sightline.compiler.tuning.goals import Timing
from sightline.core.errors import InvalidInput
from sightline.runtime.backend import LayerRow

FORMAT_VERSION = 3
NON_FINITE = ("Infinity", "-Infinity", "NaN")
# Format 1 wrote null for infinities. Of the fields that are never null otherwise these could hold one, always of this sign.
LOST_INFINITIES = {"value": math.inf, "change": -math.inf, "candidate": -math.inf}


class CandidateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate: what it is, how fast, and what the gate said.

    Attributes:
        gate: None when it was not put to the gate, because another had passed before or its precision was not asked for.
        best: its fastest setting.
    """

    name: str
    engine: str
    precision: str
    quantiser: QuantiserFacts | None
    size_bytes: int
    best: Timing | None
    gate: GateResult | None
    verdict: str


class SpeedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Speed of the chosen candidate at one batch size and setting. `latency_ms` is of a whole batch with one stream."""

    batch: int
    streams: int
    threads: int
    throughput: float
    latency_ms: float | None
    cpu_ms: float


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A picture whose answer changed, in words.

    Attributes:
        file_name: of the picture.
        truth, baseline, candidate: its labels, FP32's answer and the compiled one.
        place: among the validation pictures.
        changed_share: of a segmentation's pixels that either answer shows, the share that changed, 0..1; None for other tasks.
    """

    file_name: str
    truth: str
    baseline: str
    candidate: str
    place: int
    changed_share: float | None = None


class GraphSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The network as it came: nodes by operator, before and after the graph passes; work, weights."""

    nodes: int
    operators: dict[str, int]
    simplified: dict[str, int] = {}
    flops: int
    weights: int
    opset: int
    size_bytes: int


class PeakFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How near the network comes to what the machine can do.

    Attributes:
        gflops: best rates measured here, GFLOP/s by precision.
        reached_gflops: of the network at the chosen setting.
        share: of the peak of its own precision, 0..1.
        method: how the peak was found, in words.
        is_own: no probe was as fast as the network itself: the peak is at least its best rate, the share at most `share`.
    """

    gflops: dict[str, float]
    reached_gflops: float
    share: float
    method: str
    is_own: bool = False


class CompileReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Fields that need a passing candidate are None or empty when none passed.

    Attributes:
        passed: whether an Artifact came out.
        verdict: one line: what was chosen and why, or what failed.
        requested: the arguments of the compilation.
        command: reproduces it.
        pictures: which pictures calibrated and which checked.
        passes: what each graph pass changed.
        compared: the candidate whose comparison, flips and layers these are: the chosen one, or the first that was compared.
        flips: the pictures to look at: of a segmentation those that changed most, else the surest of those that flipped.
        flip_count: how many flipped.
        timed_at: when, if the timings come from an earlier compilation of the same files.
        places: where each layer runs, when several devices share the network or another than the CPU takes it.
        unsupported_layers: layers the first device does not run, and why; others run them, or nothing was made.
        refused_layers: layers of an INT8 Artifact that run in another precision, and why.
        warnings: what a careful reader should know.
    """

    format_version: int = FORMAT_VERSION
    name: str
    model_id: str
    task: str
    categories: tuple[str, ...]
    created_at: str
    passed: bool
    verdict: str
    chosen: str | None
    requested: dict[str, Any]
    command: str
    seed: int
    dataset_version: str | None
    pictures: dict[str, Any]
    host: dict[str, Any]
    graph: GraphSummary
    passes: list[PassRow] = []
    candidates: list[CandidateRow]
    refusals: list[CandidateRefusal]
    timings: list[Timing]
    timed_at: str | None = None
    compared: str | None = None
    comparison: CompiledComparison | None = None
    flips: list[Flip] = []
    flip_count: int = 0
    layers: list[LayerRow] = []
    precisions: dict[str, int] = {}
    places: list[LayerPlace] = []
    unsupported_layers: list[str] = []
    refused_layers: list[RefusedLayer] = []
    sweep: list[SpeedRow] = []
    peak: PeakFacts | None = None
    warnings: list[str] = []
    seconds: dict[str, float] = {}


def make_candidate_row(
    candidate: Candidate, best: Timing | None, gate: GateResult | None, chosen: bool, wanted: bool
) -> CandidateRow:
    """A row of the table of candidates. Args: wanted: its precision was asked for."""
    if gate is None:
        verdict = "not needed: another passed first" if wanted else "not asked for"
    elif gate.passed:
        verdict = "chosen" if chosen else "passed"
    else:
        verdict = "failed: " + "; ".join(gate.failures)
    return CandidateRow(
        name=candidate.name,
        engine=candidate.engine,
        precision=candidate.precision,
        quantiser=candidate.facts,
        size_bytes=candidate.size_bytes,
        best=best,
        gate=gate,
        verdict=verdict,
    )


def encode_report(report: CompileReport) -> bytes:
    """`report.json`, indented, strict JSON."""
    return msgspec.json.format(msgspec.json.encode(_spell_non_finite(msgspec.to_builtins(report))), indent=1)


def decode_report(content: bytes) -> CompileReport:
    """Read `report.json` back, also that of an older format. Raises: InvalidInput for anything else."""
    try:
        fields = msgspec.json.decode(content, type=dict[str, Any])
        written = fields.get("format_version", 1)
        if written not in range(1, FORMAT_VERSION + 1):
            line = f"expected a report.json of format 1 to {FORMAT_VERSION}, got {written}"
            raise InvalidInput(f"{line}; read it with the Sightline that wrote it")
        if written == 1:
            fields = _restore_infinities(fields)
        fields["format_version"] = FORMAT_VERSION
        # Not strict: a text where a number belongs is read as that number.
        report = msgspec.convert(fields, CompileReport, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"expected the report.json of a compilation, got something else: {error}; compile again") from error
    requested = {name: float(value) if value in NON_FINITE else value for name, value in report.requested.items()}
    return msgspec.structs.replace(report, requested=requested)


def _spell_non_finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _spell_non_finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_spell_non_finite(one) for one in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _restore_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: LOST_INFINITIES[name] if one is None and name in LOST_INFINITIES else _restore_infinities(one)
            for name, one in value.items()
        }
    return [_restore_infinities(one) for one in value] if isinstance(value, list) else value
