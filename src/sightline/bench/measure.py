"""The verb `measure`: accuracy, latency, throughput, memory and energy of anything with `predict(images)`, kept as a Report.

Accuracy comes first and warms everything up; then speed, on a few of the same pictures held in memory as encoded bytes, while
a watch notes how busy the machine was with other work.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from sightline.bench.accuracy import choose_items, measure_accuracy
from sightline.bench.energy import EnergyMeter
from sightline.bench.process import LoadWatch, MemoryReading, read_memory, read_peak_rss_bytes
from sightline.bench.records import (
    DatasetFacts,
    EnergyResult,
    LatencyResult,
    MemoryResult,
    ReportContent,
    SpeedPlan,
    SubjectFacts,
    ThroughputPoint,
)
from sightline.bench.reports import Report, save_report
from sightline.bench.speed import measure_latency, measure_throughput, open_lanes
from sightline.bench.subjects import OpenVariant, Subject, describe_subject, predict_contents
from sightline.core.errors import Conflict, InvalidInput, Unsupported
from sightline.core.host import describe_host, now_utc
from sightline.core.progress import OnProgress, ProgressEvent, ignore_progress
from sightline.core.settings import read_settings
from sightline.core.workspace import StrPath, Workspace, make_place
from sightline.data.truth import KnownItems
from sightline.data.versions import DatasetVersion, check_version
from sightline.runtime.backends.table import BACKENDS, describe_devices
from sightline.runtime.devices import has_speed
from sightline.runtime.predictor import Predictor, open_predictor

SPEED_PICTURES = 64  # encoded pictures held in memory for the speed part


class SpeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the speed part gives."""

    latency: list[LatencyResult]
    throughput: list[ThroughputPoint]
    energy: EnergyResult
    notes: list[str]


def measure_predictor(
    predictor: Subject,
    version: DatasetVersion,
    split: str | None = "test",
    batch_sizes: Sequence[int] = (1, 8),
    streams: Sequence[int] = (1, 2),
    seed: int = 0,
    *,
    out: StrPath | Workspace,
    name: str | None = None,
    folder: StrPath | None = None,
    open_variant: OpenVariant | None = None,
    max_images: int | None = None,
    point_s: float = 3.0,
    repeats: int = 3,
    worst_pictures: int = 12,
    on_progress: OnProgress = ignore_progress,
) -> Report:
    """Measure a predictor on a version and save the Report.

    Args:
        predictor: what `load` opens, a RemotePredictor, or anything of yours with attributes `task`, `categories` (names) and
            `precision` (such as "fp32") and a method `predict(images, confidence_threshold=None)` that gives for each `uint8
            (H, W, 3)` RGB array a list of annotations with a confidence, best first.
        version: pictures with their truth; those that no person looked at are left out, and the Report says how many.
        split: the split to measure on; None measures on all pictures.
        batch_sizes: numbers of pictures per call.
        streams: numbers of inferences in flight.
        seed: draws the pictures (with `max_images`) and the order of the points.
        out: new folder of the Report, or a Workspace, which shelves it under its name and id.
        name: name of the Report, by default the predictor's.
        folder: folder of the Model or Artifact that the predictor was opened from: its id goes into the Report, and it can be
            opened anew for each number of streams.
        open_variant: opens the predictor for (streams, threads); it replaces what `folder` allows.
        max_images: measure accuracy on so many pictures only, drawn with `seed`.
        point_s: seconds for each point (a batch size and a number of streams), over all repeats.
        repeats: interleaved repeats of each throughput point.
        worst_pictures: how many of the worst pictures to draw.

    Raises: Conflict when the folder exists; InvalidInput when the predictor does not state what a Report must hold (task,
        categories, precision), and for a split that is empty or that no person labelled; NotFound for an unknown split;
        Unsupported for an emulated device, which has no speed to measure.

    Example: `measure_predictor(predictor, version, out=workspace).content.accuracy.primary`.
    """
    check_version(version)
    out, folder = make_place(out), None if folder is None else Path(folder)
    _refuse_existing(out)
    _check_plan(batch_sizes, streams, point_s, repeats)
    subject = describe_subject(predictor, folder)
    _refuse_unknown_precision(subject)
    _refuse_emulation(subject)
    watch, before = LoadWatch(), read_memory()
    total = version.count(split)
    images = total if max_images is None else min(max_images, total)
    items = choose_items(version, split, max_images, seed)
    judged = measure_accuracy(predictor, version, items, images, worst_pictures, seed, on_progress)
    accuracy_load = watch.close()
    contents = _read_contents(version, split, max_images, seed)
    plan = SpeedPlan(
        batch_sizes=tuple(batch_sizes), streams=tuple(streams), point_s=point_s, repeats=repeats, pictures=len(contents)
    )
    folder = folder or (predictor.folder if isinstance(predictor, Predictor) else None)
    if open_variant is None and folder is not None:
        open_variant = _open_from(folder, subject.engine, len(batch_sizes))
    watch = LoadWatch()
    speed, opening_bytes = _measure_speed(predictor, subject, contents, plan, seed, open_variant, on_progress)
    load = msgspec.structs.replace(watch.close(), average_before=accuracy_load.average_before)
    memory = _describe_memory(before, read_memory(), opening_bytes)
    content = ReportContent(
        name=name or subject.name or subject.kind,
        subject=subject,
        dataset=DatasetFacts(
            name=version.name,
            version=version.id,
            split=split or "all",
            images=judged.images,
            images_in_split=total,
            drawn=images,
        ),
        seed=seed,
        host={**describe_host(), **_describe_device(subject)},
        created_at=now_utc(),
        plan=plan,
        accuracy=judged.accuracy,
        latency=tuple(speed.latency),
        throughput=tuple(speed.throughput),
        memory=None if subject.url else memory,
        energy=speed.energy,
        load=load,
        notes=(*judged.notes, *speed.notes, *_note_remote(subject)),
    )
    on_progress(ProgressEvent(stage="report", progress=1.0))
    return save_report(content, out, lambda target: judged.worst.draw(version, target), judged.resamples)


def _refuse_existing(out: Path | Workspace) -> None:
    """Fail before the measuring rather than after it. Raises: Conflict."""
    if isinstance(out, Path) and out.exists():
        raise Conflict(f"{out} exists already; choose another name or remove it")


def _refuse_emulation(subject: SubjectFacts) -> None:
    """Raises: Unsupported for an Artifact whose device is emulated: a Report holds speed, and there is none to state."""
    if subject.device is not None and not has_speed(subject.device):
        raise Unsupported(
            f"expected something that runs at its own speed, got {subject.name} on {subject.device}, which is emulated; its "
            "accuracy stands in the Artifact's report.html"
        )


def _describe_memory(before: MemoryReading, after: MemoryReading, opening_bytes: int | None) -> MemoryResult:
    return MemoryResult(
        kind=before.kind,
        before_bytes=before.size_bytes,
        after_bytes=after.size_bytes,
        peak_rss_bytes=read_peak_rss_bytes(),
        opening_bytes=opening_bytes,
    )


def _check_plan(batch_sizes: Sequence[int], streams: Sequence[int], point_s: float, repeats: int) -> None:
    for name, values in (("batch sizes", batch_sizes), ("streams", streams)):
        if not values or min(values) < 1 or len(set(values)) != len(values):
            raise InvalidInput(f"expected {name} of 1 or more, each once, got {tuple(values)}; give for example (1, 8)")
    if point_s <= 0 or repeats < 1:
        raise InvalidInput(f"expected some seconds per point and 1 repeat or more, got {point_s} s and {repeats}; give both")


def _describe_device(subject: SubjectFacts) -> dict[str, object]:
    """The GPU that it runs on, where it does."""
    return describe_devices([subject.engine]) if subject.engine in BACKENDS and subject.url is None else {}


def _refuse_unknown_precision(subject: SubjectFacts) -> None:
    """Fail before the measuring rather than after it."""
    if subject.precision is None:
        raise InvalidInput(
            f"expected a subject that states its precision, got {subject.kind} without; set its attribute `precision` "
            "or pass the folder it was opened from"
        )


def _read_contents(version: DatasetVersion, split: str | None, max_images: int | None, seed: int) -> list[bytes]:
    """Encoded pictures for the speed part: the first of those whose accuracy was measured."""
    chosen = itertools.islice(KnownItems(choose_items(version, split, max_images, seed)), SPEED_PICTURES)
    return [version.blobs.read(item.blob) for item in chosen]


def _open_from(folder: Path, engine: str | None, batch_sizes: int) -> OpenVariant:
    """Opens the subject with one picture an inference, whatever an Artifact was tuned for: batches are the callers'.

    Each batch size has plans of its own: for its pictures, which a large batch runs in two parts, and for a prepared tensor.
    """
    return lambda streams, threads: open_predictor(folder, engine, streams, threads, batch=1, fixed_shapes=3 * batch_sizes)


def _measure_speed(
    predictor: Subject,
    subject: SubjectFacts,
    contents: Sequence[bytes],
    plan: SpeedPlan,
    seed: int,
    open_variant: OpenVariant | None,
    on_progress: OnProgress,
) -> tuple[SpeedResult, int | None]:
    """Latency on the predictor opened once more as it is, then throughput on one opened for each stream count.

    Opened once more, because what it met before may have used up the plans of fixed shapes that its engine makes.
    """
    is_remote, meter, cores = subject.url is not None, EnergyMeter(), read_settings().threads
    on_progress(ProgressEvent(stage="latency", progress=None))
    alone = open_variant(subject.streams or 1, subject.threads or cores) if open_variant is not None else predictor
    with _closing([alone] if alone is not predictor else []):
        latency = measure_latency(alone, contents, plan.batch_sizes, plan.point_s, is_remote)
    opening_bytes = _measure_opening(open_variant, contents, cores)
    lanes, notes = open_lanes(predictor, plan.streams, cores, open_variant, is_remote)
    on_progress(ProgressEvent(stage="throughput", progress=None))
    with _closing([lane.subject for lane in lanes if lane.subject is not predictor]):
        rng = np.random.default_rng(seed)
        throughput = measure_throughput(lanes, contents, plan.batch_sizes, plan.point_s, plan.repeats, rng, meter)
    energy = _pick_energy(throughput, meter, is_remote)
    return SpeedResult(latency=latency, throughput=throughput, energy=energy, notes=notes), opening_bytes


def _measure_opening(open_variant: OpenVariant | None, contents: Sequence[bytes], cores: int) -> int | None:
    """Bytes the process grows by when the subject is opened once more with one stream and answers once."""
    if open_variant is None:
        return None
    before = read_memory().size_bytes
    variant = open_variant(1, cores)
    with _closing([variant]):
        predict_contents(variant, contents[:1])
        return max(0, read_memory().size_bytes - before)


@contextlib.contextmanager
def _closing(subjects: Sequence[Subject]) -> Iterator[None]:
    """Close what can be closed, also after an error."""
    try:
        yield
    finally:
        for subject in subjects:
            close = getattr(subject, "close", None)
            if close is not None:
                close()


def _pick_energy(points: Sequence[ThroughputPoint], meter: EnergyMeter, is_remote: bool) -> EnergyResult:
    """Energy at the fastest point."""
    if is_remote:
        return EnergyResult(reason="the subject runs elsewhere; read the energy on its own machine")
    best = max(points, key=lambda point: point.images_per_s)
    if best.joules_per_image is None:
        return EnergyResult(reason=meter.reason or "the energy counter wrapped round and does not state its range")
    return EnergyResult(
        joules_per_image=best.joules_per_image, power_w=best.joules_per_image * best.images_per_s, source=meter.source
    )


def _note_remote(subject: SubjectFacts) -> tuple[str, ...]:
    if subject.url is None:
        return ()
    return (
        f"measured from here over HTTP at {subject.url}: host and load are this client's; server memory and CPU are not seen",
    )
