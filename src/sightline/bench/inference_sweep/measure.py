"""The sweep of `measure --iterations`: latency, throughput, top-1 and top-5 over batch sizes and precisions.

The twin of the tool of "Deep learning inferencing with TensorRT" (IBM Cloud, 2018): of each iteration only copy-in, run and
copy-out are timed, on batches prepared before, and every prediction of these iterations is judged.
"""

import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sightline.bench.accuracy import merge_categories
from sightline.bench.inference_sweep.networks import (
    Manifest,
    check_network,
    make_networks,
    needs_calibration,
    settle_precisions,
)
from sightline.bench.inference_sweep.pictures import (
    CalibrationPictures,
    SweepPictures,
    choose_calibration,
    choose_sweep_split,
)
from sightline.bench.inference_sweep.records import SweepContent, SweepPlan
from sightline.bench.inference_sweep.timing import TURN_WARM_UPS, WARM_UPS, Judge, measure_rows
from sightline.bench.process import LoadWatch
from sightline.bench.records import DatasetFacts, LoadResult, SubjectFacts
from sightline.bench.subjects import name_subject
from sightline.bench.timing import Stopwatch
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.host import describe_host, now_utc
from sightline.core.manifests import ArtifactManifest, InputSpec, ModelManifest, Precision, compute_manifest_id
from sightline.core.progress import OnProgress, ProgressEvent, ignore_progress
from sightline.data.versions import DatasetVersion
from sightline.runtime.backends.table import describe_devices, load_backend
from sightline.runtime.predictor import read_runnable_manifest

QUIET_SHARE = 0.1  # of the cores: what other programs may take before times are called disturbed
DEFAULT_CALIBRATION_BATCHES = 10  # of 50 pictures: about 500 suffice, says the source document


@dataclass(frozen=True)
class SweepRequest:
    """What to measure.

    Attributes:
        batch_sizes: each 1 or more, each once.
        iterations: batches of each point.
        precisions: empty takes FP32 of a Model, an Artifact's own.
        engine: None takes OpenVINO for a Model, an Artifact's own.
        split: None takes test or validation where there is one, "all" every picture.
        mean_rgb: replaces the mean of the input spec: red, green, blue (or one gray value), pixel values 0..255.
        class_names: of the network's classes, in order, in place of the manifest's.
        calibration_batches, first_calibration_batch: of 50 pictures each, to quantise a Model.
    """

    batch_sizes: Sequence[int]
    iterations: int
    precisions: Sequence[Precision] = ()
    engine: str | None = None
    split: str | None = None
    mean_rgb: Sequence[float] | None = None
    class_names: Sequence[str] | None = None
    calibration_batches: int = DEFAULT_CALIBRATION_BATCHES
    first_calibration_batch: int = 0


def sweep_inference(
    folder: Path,
    version: DatasetVersion,
    request: SweepRequest,
    *,
    threads: int,
    calibration: DatasetVersion | None = None,
    notes: Sequence[str] = (),
    on_progress: OnProgress = ignore_progress,
) -> SweepContent:
    """Measure a Model or Artifact.

    Args:
        folder: of the Model or Artifact.
        version: pictures with their labels.
        request: what to measure.
        threads: of the one inference that runs at a time.
        calibration: pictures to quantise a Model with; by default those of `version`.
        notes: to be kept in the result.

    Raises: Unsupported for a precision that the network or the machine lacks; InvalidInput, NotFound, CorruptFile.
    """
    watch, clock, created_at = LoadWatch(), Stopwatch(), now_utc()
    setting = settle(folder, version, request, threads)
    manifest = setting.manifest
    pictures, judge = SweepPictures(version, setting.split, setting.spec), Judge(manifest, setting.categories)
    chosen = _choose_calibration(setting, version, calibration, request)
    told = [*notes, *_tell(judge, setting, version, pictures, request, chosen)]
    with tempfile.TemporaryDirectory(prefix="sightline-sweep-") as work:
        on_progress(ProgressEvent(stage="quantising" if chosen else "opening"))
        networks, facts = make_networks(
            folder,
            manifest,
            setting.engine,
            precisions=setting.precisions,
            threads=threads,
            calibration=chosen,
            work=Path(work),
        )
        check_network(networks[0], manifest, next(pictures.iterate_blocks(1, 1)).batches[0].inputs)
        on_done = make_counter(sum(request.batch_sizes) * request.iterations * len(networks), on_progress)
        rows = measure_rows(
            networks,
            pictures,
            judge,
            input_name=setting.spec.name,
            batch_sizes=request.batch_sizes,
            iterations=request.iterations,
            on_done=on_done,
        )
    host, load = {**describe_host(), **describe_devices([setting.engine])}, watch.close()
    told += _tell_load(load, int(str(host["cores"])))
    return SweepContent(
        name=setting.name,
        subject=_describe_subject(setting),
        dataset=DatasetFacts(
            name=version.name,
            version=version.id,
            split=setting.split or "all",
            images=max(row.pictures for row in rows),
            images_in_split=len(pictures),
        ),
        input=setting.spec,
        plan=_describe_plan(setting, request),
        calibration=facts,
        host=host,
        host_name=socket.gethostname(),
        created_at=created_at,
        total_run_s=clock.wall_s,
        rows=tuple(rows),
        load=load,
        notes=tuple(told),
    )


@dataclass(frozen=True)
class SweepSetting:
    """A request with nothing left open: what runs, how pictures are fed, which pictures."""

    name: str
    manifest: Manifest
    engine: str
    precisions: tuple[Precision, ...]
    threads: int
    spec: InputSpec
    categories: Categories
    split: str | None


def settle(folder: Path, version: DatasetVersion, request: SweepRequest, threads: int) -> SweepSetting:
    """Check a request against network, machine and pictures. Raises: as `sweep_inference`."""
    check_request(request)
    manifest = read_runnable_manifest(folder)
    engine, precisions = settle_precisions(manifest, request.engine, request.precisions)
    return SweepSetting(
        name=name_subject(folder, manifest),
        manifest=manifest,
        engine=engine,
        precisions=precisions,
        threads=threads,
        spec=replace_mean(manifest.input, request.mean_rgb),
        categories=settle_class_names(manifest, request.class_names),
        split=choose_sweep_split(version, request.split),
    )


def check_request(request: SweepRequest) -> None:
    """Find what cannot work before any work. Raises: InvalidInput."""
    sizes = request.batch_sizes
    if not sizes or min(sizes) < 1 or len(set(sizes)) != len(sizes):
        raise InvalidInput(f"expected batch sizes of 1 or more, each once, got {tuple(sizes)}; give for example (1, 5, 10)")
    if len(set(request.precisions)) != len(request.precisions):
        raise InvalidInput(f"expected each precision once, got {', '.join(request.precisions)}; leave the second out")
    if request.iterations < 1 or request.calibration_batches < 1 or request.first_calibration_batch < 0:
        raise InvalidInput(
            "expected 1 iteration and 1 calibration batch or more, and a first calibration batch of 0 or more, "
            f"got {request.iterations}, {request.calibration_batches} and {request.first_calibration_batch}; raise them"
        )


def replace_mean(spec: InputSpec, mean_rgb: Sequence[float] | None) -> InputSpec:
    """The input spec with another mean, put into the order of its channels.

    Raises: InvalidInput when there is not one value a channel.
    """
    if mean_rgb is None:
        return spec
    count = len(spec.mean)
    values = tuple(float(value) for value in mean_rgb)
    if len(values) == 1:
        values *= count
    if len(values) != count:
        raise InvalidInput(f"expected a mean of {count} values for {spec.colour}, got {len(values)}; give one a channel")
    return msgspec.structs.replace(spec, mean=values[::-1] if spec.colour == "BGR" else values)


def settle_class_names(manifest: Manifest, class_names: Sequence[str] | None) -> Categories:
    """Names of the network's classes. Raises: InvalidInput when other names are given, but not one a class."""
    if class_names is None:
        return Categories(manifest.categories)
    if len(class_names) != len(manifest.categories):
        raise InvalidInput(
            f"expected {len(manifest.categories)} names for the classes of {manifest.name}, got {len(class_names)}; "
            "give a name a class, in order"
        )
    return Categories(class_names)


def make_counter(total: int, on_progress: OnProgress) -> Callable[[int, int], None]:
    """A listener for `measure_rows` that tells progress and time left, by predictions."""
    done, started = 0, time.monotonic()

    def count(batch_size: int, predictions: int) -> None:
        nonlocal done
        done += predictions
        left_s = (time.monotonic() - started) * (total - done) / done
        on_progress(ProgressEvent(stage="measuring", progress=done / total, remaining_s=left_s, metrics={"batch": batch_size}))

    return count


def _choose_calibration(
    setting: SweepSetting, version: DatasetVersion, other: DatasetVersion | None, request: SweepRequest
) -> CalibrationPictures | None:
    if not needs_calibration(setting.manifest, setting.precisions):
        return None
    batches, first = request.calibration_batches, request.first_calibration_batch
    return choose_calibration(other or version, (version, setting.split), setting.spec, batches, first)


def _tell(
    judge: Judge,
    setting: SweepSetting,
    version: DatasetVersion,
    pictures: SweepPictures,
    request: SweepRequest,
    calibration: CalibrationPictures | None,
) -> list[str]:
    """What a reader should know, a line each. Raises: InvalidInput when network and pictures have no category in common."""
    notes = []
    if judge.is_able:
        notes += merge_categories(setting.categories.names, version.categories)[1]
        if not judge.has_top5:
            notes.append(f"top-5 is left out: the network knows {len(setting.categories)} categories")
    else:
        notes.append("top-1 and top-5 are of classification; `measure` without --iterations judges this network's task")
    most = max(request.batch_sizes) * request.iterations
    if most > len(pictures):
        notes.append(f"{most:,} predictions at most over {len(pictures):,} pictures: these are gone through again and again")
    if calibration is not None and calibration.are_measured:
        notes.append("INT8 was calibrated with pictures that are measured too: its accuracy may look too good")
    return notes


def _tell_load(load: LoadResult, cores: int) -> list[str]:
    if load.other_cores is None or load.other_cores < QUIET_SHARE * cores:
        return []
    return [
        f"other programs kept {load.other_cores:.1f} of {cores} cores busy: times are too long; the shortest suffer least, "
        "a quiet machine is better"
    ]


def _describe_plan(setting: SweepSetting, request: SweepRequest) -> SweepPlan:
    return SweepPlan(
        precisions=setting.precisions,
        batch_sizes=tuple(request.batch_sizes),
        iterations=request.iterations,
        warm_ups=WARM_UPS,
        turn_warm_ups=TURN_WARM_UPS,
    )


def _describe_subject(setting: SweepSetting) -> SubjectFacts:
    manifest = setting.manifest
    return SubjectFacts(
        kind="model" if isinstance(manifest, ModelManifest) else "artifact",
        task=manifest.task,
        categories=setting.categories.names,
        name=setting.name,
        id=compute_manifest_id(manifest),
        model_id=manifest.model_id if isinstance(manifest, ArtifactManifest) else None,
        network=manifest.network if isinstance(manifest, ModelManifest) else None,
        engine=setting.engine,
        device=load_backend(setting.engine).device,
        precision=setting.precisions[0] if len(setting.precisions) == 1 else None,
        streams=1,
        threads=setting.threads,
        input_width=manifest.input.width,
        input_height=manifest.input.height,
    )
