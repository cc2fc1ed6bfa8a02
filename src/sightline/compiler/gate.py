"""The gate: what a candidate must prove before it may become an Artifact.

Each engine first has to compute the network, in the precision it came in, as the reference does. Then a candidate has to run
as it claims (an INT8 file whose layers silently run in FP32 is refused) and keep its accuracy, or without labels the answers of
FP32, on pictures that took no part in calibration, compared one by one with FP32.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing

import msgspec
import numpy as np

from sightline.compiler.candidates import Candidate
from sightline.compiler.comparison import CompiledComparison, ShownChange
from sightline.compiler.importing.packed_outputs import Part, find_part_error
from sightline.compiler.report.layers import count_precisions
from sightline.core.manifests import DecodeSpec, Precision
from sightline.core.percent import format_percent, format_points
from sightline.runtime.backend import LayerRow, Tensors
from sightline.runtime.output_error import INDEX_HEADS, find_index_error, find_output_error, find_rms_error, split_outputs

MAX_FP32_ERROR = 1e-3  # relative to the largest output of the picture
MIN_NAMED_SHARE = 0.5  # of the layers that do the arithmetic; below it an Artifact called INT8 or BF16 would be none
MIN_IMAGES = 16
ROUNDING = 1e-9  # of a change in floating point: 99 of 100 answers are a change of -0.01 and a little
RAW_ERROR_OF_DROP = 10  # 1 point of accuracy that may be lost stands for 10 % of root mean square error of raw tensors
MAX_INT8_ERROR = 0.1  # root mean square, relative: rounding of integer kernels, layer upon layer
MAX_INT8_CHANGED = 0.1  # of the answers of a network that came quantised, by that rounding; as many as its import allows


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the gate looked at.

    Attributes:
        name: of an engine "fp32 error", "int8 error" (the network came quantised) or "engine" (it does not run the network in
            its own precision); of a candidate "int8 layers" (or "int16", "bf16"), "accuracy", "shown" (of a detector: objects),
            "agreement", "unlabelled" or "tensors".
        passed: whether it holds.
        value, limit: what was measured and what is allowed; None where there is no limit. Of "shown" the better end of the
            interval of the change.
        text: one line for people, with the numbers.
    """

    name: str
    passed: bool
    value: float
    limit: float | None
    text: str


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of one candidate."""

    candidate: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True when every check holds."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> list[str]:
        """The lines of the checks that do not hold."""
        return [check.text for check in self.checks if not check.passed]


def infer_samples(candidate: Candidate, input_name: str, samples: Sequence[np.ndarray]) -> list[Tensors]:
    """Raw outputs of each sample, one picture at a time."""
    with closing(candidate.open(1, 1)) as session:
        return [session.infer({input_name: sample}) for sample in samples]


def infer_batch(candidate: Candidate, input_name: str, batch: np.ndarray) -> list[Tensors]:
    """Raw outputs of each picture, all inferred together."""
    with closing(candidate.open(1, 1)) as session:
        return split_outputs(session.infer({input_name: batch}), len(batch))


def check_fp32(
    engine: str, expected: Sequence[Tensors], actual: Sequence[Tensors], decode: DecodeSpec, parts: Sequence[Part] = ()
) -> Check:
    """Does the engine compute the FP32 network as the reference does?

    Args: expected, actual: outputs of each picture; decode: the Model's; parts: of outputs that pack several tensors.
    """
    pairs = list(zip(expected, actual, strict=True))
    error = max((find_output_error(one, other, decode) for one, other in pairs), default=float("inf"))
    of_parts = [find_part_error(parts, one, other) for one, other in pairs]
    part_error, part = max(of_parts, key=lambda found: found[0], default=(0.0, None))
    where = f" in {part.name}" if part is not None and part_error > error else ""
    error = max(error, part_error)
    return Check(
        name="fp32 error",
        passed=error < MAX_FP32_ERROR,
        value=error,
        limit=MAX_FP32_ERROR,
        text=f"{engine} FP32 against the reference on {len(expected)} pictures: largest relative error {error:.1e}{where}, "
        f"limit {MAX_FP32_ERROR:.0e}",
    )


def check_layers(rows: Sequence[LayerRow], precision: Precision) -> Check:
    """Do the layers that do the arithmetic really run in the precision that the candidate is called by?"""
    counts = count_precisions(rows)
    count, total = counts.get(precision, 0), sum(counts.values())
    share = count / total if total else 0.0
    return Check(
        name=f"{precision} layers",
        passed=share >= MIN_NAMED_SHARE,
        value=share,
        limit=MIN_NAMED_SHARE,
        text=f"{count} of {total} convolution and matrix layers run in {precision.upper()}, "
        f"at least {format_percent(MIN_NAMED_SHARE, 0)} must",
    )


def is_kept(change: float, max_drop: float) -> bool:
    """Whether a change is no larger a drop than `max_drop`; exactly that is allowed, however it was rounded."""
    return change >= -max_drop - ROUNDING


def say_points(found: CompiledComparison | ShownChange) -> str:
    """A change and its interval: `+0.30 points (95 % interval -1.46 to +1.99)`."""
    low, high = format_points(found.low), format_points(found.high)
    return f"{format_points(found.change)} points (95 % interval {low} to {high})"


def check_accuracy(comparison: CompiledComparison, max_drop: float) -> Check:
    """Is the accuracy kept? The limit is on the measured change; an interval that reaches below it is said.

    Without a single true label nothing changes, which proves nothing: that fails.
    """
    if comparison.evidence == "labels" and not comparison.per_category:
        text = "the validation pictures hold no label of the Model's task, so nothing tells what compiling costs; label some"
        return Check(name="accuracy", passed=False, value=0.0, limit=-max_drop, text=text)
    if comparison.evidence != "labels":
        return check_sameness(comparison, max_drop)
    change = comparison.change
    text = (
        f"{comparison.metric} {format_percent(comparison.baseline)} FP32, {format_percent(comparison.candidate)} compiled on "
        f"{comparison.images} pictures: change {say_points(comparison)}, limit {format_points(-max_drop)}"
    )
    passed = is_kept(change, max_drop)
    if passed and -max_drop > comparison.low:
        text += f"; {comparison.images} pictures cannot exclude a larger drop than the limit"
    return Check(name="accuracy", passed=passed, value=change, limit=-max_drop, text=text)


def is_beyond_doubt(shown: ShownChange, max_drop: float) -> bool:
    """Whether even the better end of the interval is a larger drop than `max_drop`."""
    return not is_kept(shown.high, max_drop)


def check_shown(shown: ShownChange, max_drop: float) -> Check:
    """Does a user still see the objects? mAP ranks them, and is blind to confidences that sink, or rise, together.

    At one threshold an object more or less decides, so on few pictures the measured F1 jumps by points. A loss fails when it is
    beyond doubt that it is larger than `max_drop`.
    """
    false = shown.baseline_shown - shown.baseline_right, shown.candidate_shown - shown.candidate_right
    text = (
        f"f1 of the objects shown (from confidence {shown.threshold:g}) {format_percent(shown.baseline)} FP32, "
        f"{format_percent(shown.candidate)} compiled: change {say_points(shown)}, whose better end may not lie below "
        f"{format_points(-max_drop)}; of {shown.objects} true objects FP32 shows {shown.baseline_right} and {false[0]} false "
        f"ones, compiled {shown.candidate_right} and {false[1]}"
    )
    return Check(name="shown", passed=not is_beyond_doubt(shown, max_drop), value=shown.high, limit=-max_drop, text=text)


def check_sameness(comparison: CompiledComparison, max_drop: float, baseline: str = "FP32") -> Check:
    """Without labels: do the answers stay those of FP32? At most `max_drop` of them may change.

    Where neither side shows anything, nothing was compared, which proves nothing: that fails.

    Args: baseline: for people, what was compared with.
    """
    if comparison.evidence == "tensors":
        return check_tensors(comparison, max_drop, baseline)
    if not comparison.answers:
        text = (
            f"neither {baseline} nor the compiled network shows anything on {comparison.images} pictures without labels, so "
            "nothing was compared; give pictures that show what the Model finds, or label some"
        )
        return Check(name="agreement", passed=False, value=0.0, limit=-max_drop, text=text)
    text = (
        f"no labels, so answers were compared with {baseline}'s: {comparison.metric} {format_percent(comparison.candidate)} on "
        f"{comparison.images} pictures (95 % interval {format_percent(1 + comparison.low)} to "
        f"{format_percent(1 + comparison.high)}), at least {format_percent(1 - max_drop)} must be"
    )
    passed = is_kept(comparison.change, max_drop)
    return Check(name="agreement", passed=passed, value=comparison.change, limit=-max_drop, text=text)


def check_unlabelled(
    comparison: CompiledComparison, unlabelled: CompiledComparison, max_drop: float, baseline: str = "FP32"
) -> Check:
    """Where labels judge some pictures: do the answers on the others stay, too?

    What changed there may all have been right. Together with what the labels show to be lost it must be no more than `max_drop`
    of the answers on all pictures; what the labels show to be gained makes up for nothing.

    Args: unlabelled: of `comparison`; baseline: for people, what was compared with.
    """
    answers = unlabelled.answers or 0
    changed = round(-unlabelled.change * answers)
    lost = max(0.0, -comparison.change) * comparison.labelled_answers
    share = (lost + changed) / max(1, answers + comparison.labelled_answers)
    text = (
        f"{unlabelled.images} of the pictures have no label, so answers were compared with {baseline}'s there: "
        f"{unlabelled.metric} {format_percent(unlabelled.candidate)} of {answers}; with what the labels show to be lost, up to "
        f"{format_percent(share)} of all answers may be, at most {format_percent(max_drop)} may"
    )
    passed = is_kept(-share, max_drop)
    remedy = "" if passed else "; label them, or leave them out"
    return Check(name="unlabelled", passed=passed, value=-share, limit=-max_drop, text=text + remedy)


def check_tensors(comparison: CompiledComparison, max_drop: float, baseline: str) -> Check:
    """Do tensors that nobody explained stay those of FP32?

    Nobody can tell what a difference costs: a relative error of ten times `max_drop` is let through, an infinite one never.
    """
    limit, images, error = RAW_ERROR_OF_DROP * max_drop, comparison.images, -comparison.change
    if not math.isfinite(error):
        text = (
            f"outputs nobody explained, and on more than 5 % of {images} pictures those of {baseline} or of the compiled "
            "network are not all finite numbers, so nothing tells that they are alike"
        )
        return Check(name="tensors", passed=False, value=error, limit=limit, text=text)
    packed = f"{comparison.part}, one of several tensors packed into this output, is off on {images} pictures together by"
    text = (
        "outputs nobody explained, so their relative error against FP32 counts: "
        f"{packed if comparison.part else f'95 % of {images} pictures stay below'} {format_percent(error)} "
        f"(95 % interval {format_percent(-comparison.high)} to {format_percent(-comparison.low)}), at most "
        f"{format_percent(limit)} may be; {comparison.agreement_name} {comparison.agreement:.4f}"
    )
    return Check(name="tensors", passed=error <= limit, value=error, limit=limit, text=text)


def check_quantised(engine: str, expected: Sequence[Tensors], actual: Sequence[Tensors], decode: DecodeSpec) -> Check:
    """Does the engine compute a network that came quantised as the reference does?

    Integer kernels may round otherwise than the reference's, once a layer; so the root mean square of the difference counts,
    over all pictures together: on a picture that a network is unsure of, one step of its scale is a large share of the output.
    Of class indices it is the share that differs.
    """
    pairs = list(zip(expected, actual, strict=True))
    names = list(expected[0]) if expected else []
    sides = [[np.concatenate([pair[side][name] for pair in pairs]) for side in (0, 1)] for name in names]
    is_index = decode.head in INDEX_HEADS
    find_error, measure = (
        (find_index_error, "share of classes that differ") if is_index else (find_rms_error, "root mean square error")
    )
    error = max((find_error(*pair) for pair in sides), default=float("inf"))
    return Check(
        name="int8 error",
        passed=error < MAX_INT8_ERROR,
        value=error,
        limit=MAX_INT8_ERROR,
        text=f"{engine} against the reference on {len(expected)} pictures, both INT8 as the network came: {measure} "
        f"{error:.1e} of the output, limit {MAX_INT8_ERROR:g}",
    )


def fail_numbers(reason: str, max_drop: float) -> Check:
    """The check of a candidate whose outputs are not numbers, in the words of `reason`."""
    return Check(name="accuracy", passed=False, value=-1.0, limit=-max_drop, text=reason)


def note_agreement(comparison: CompiledComparison) -> Check:
    """How alike the answers are; stated, without a limit of its own."""
    text = f"{comparison.agreement_name}: {format_percent(comparison.agreement)}"
    return Check(name="agreement", passed=True, value=comparison.agreement, limit=None, text=text)


def judge_candidate(
    candidate: Candidate,
    fp32_checks: Mapping[str, Check],
    rows: Sequence[LayerRow] | None,
    comparison: CompiledComparison | None,
    max_drop: float,
) -> GateResult:
    """All checks that apply to a candidate.

    Args:
        fp32_checks: of each engine that runs the network in its own precision; a device of fixed point has none.
        rows: its layers as they ran; needed for INT8 and BF16.
        comparison: with FP32 on the same pictures; None for FP32 itself, without pictures, or when an earlier check failed.
    """
    checks = [fp32_checks[candidate.engine]] if candidate.engine in fp32_checks else []
    if rows is not None and candidate.precision != "fp32":
        checks.append(check_layers(rows, candidate.precision))
    came_quantised = candidate.precision == "int8" and candidate.quantiser is None
    if comparison is not None and came_quantised and comparison.evidence == "tensors":
        checks.append(note_agreement(comparison))  # the same file in two engines: what rounding may do is checked above
    elif comparison is not None and came_quantised and comparison.evidence == "answers":
        checks.append(check_sameness(comparison, max(max_drop, MAX_INT8_CHANGED), "the reference"))
    elif comparison is not None:
        checks.append(check_accuracy(comparison, max_drop))
        checks += [check_shown(comparison.shown, max_drop)] if comparison.shown is not None and comparison.per_category else []
        checks += [note_agreement(comparison)] if comparison.evidence == "labels" else []
    if comparison is not None and comparison.unlabelled is not None:
        limit, baseline = (max(max_drop, MAX_INT8_CHANGED), "the reference") if came_quantised else (max_drop, "FP32")
        checks.append(check_unlabelled(comparison, comparison.unlabelled, limit, baseline))
    return GateResult(candidate=candidate.name, checks=tuple(checks))
