"""`compile_model`: from a Model to the fastest Artifact that proves it is right on this machine.

make candidates -> check each engine in FP32 -> time them all -> gate them, fastest first -> keep the first that passes.
Everything that is found out goes into the report, also when nothing passes.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sightline.compiler.candidates import copy_files
from sightline.compiler.compilation import Compilation
from sightline.compiler.graphs import load_graph
from sightline.compiler.report.building import build_report, describe_calibration
from sightline.compiler.report.findings import Findings
from sightline.compiler.report.page import FlipPictures, render_page
from sightline.compiler.report.records import CompileReport, encode_report
from sightline.compiler.request import CompileRequest, WantedPrecision, check_request, choose_precision, describe_command
from sightline.compiler.stages import Stages
from sightline.compiler.tuning.goals import Goal, Objective
from sightline.core.errors import GateFailed, InvalidInput
from sightline.core.folders import explain_full_disk, hash_files, new_folder, read_manifest, verify_files, write_manifest
from sightline.core.host import describe_host, now_utc, read_cpu_facts
from sightline.core.manifests import ArtifactManifest, ModelManifest, compute_manifest_id
from sightline.core.progress import OnProgress, ignore_progress
from sightline.core.shelving import shelve, stage
from sightline.core.workspace import StrPath, Workspace, make_place
from sightline.data.versions import DatasetVersion, check_version
from sightline.runtime.backends.table import describe_devices
from sightline.runtime.predictor import MODEL_GRAPH

PORTABLE_GRAPH = "model.qdq.onnx"  # what another engine than those here can be given
STAGE_SHARES = {
    "checking the model": 1.0,
    "reading pictures": 3.0,
    "simplifying": 2.0,
    "quantising": 20.0,
    "checking engines": 4.0,
    "timing candidates": 15.0,
    "gate": 20.0,
    "profiling": 8.0,
    "writing": 2.0,
}


@dataclass(frozen=True)
class CompileResult:
    """A compiled Artifact.

    Attributes:
        folder, manifest: its folder, and its record: engine, precision, streams, threads and more.
        report: the findings: `verdict`, `comparison` with FP32, `candidates`, `layers`, `warnings` and more.
    """

    folder: Path
    manifest: ArtifactManifest
    report: CompileReport

    def __repr__(self) -> str:
        name, precision = self.manifest.name, self.manifest.precision
        return f"CompileResult({name!r}, {self.id[:12]}, {str(self.folder)!r}, precision={precision!r})"

    @property
    def id(self) -> str:
        """The Artifact's id, 64 hex digits."""
        return compute_manifest_id(self.manifest)


def compile_model(
    model: StrPath,
    out: StrPath | Workspace,
    calibration: DatasetVersion | None = None,
    device: str = "cpu",
    precision: WantedPrecision | None = None,
    max_drop: float = 0.01,
    objective: Objective = "throughput",
    calibration_images: int = 300,
    validation_images: int = 5000,
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
    *,
    name: str | None = None,
    calibrate_on: DatasetVersion | None = None,
    slo_ms: float | None = None,
    calibrate_random: bool = False,
    symmetric: bool = False,
    time_limit_s: float | None = None,
    tuning: StrPath | None = None,
) -> CompileResult:
    """Compile a Model folder into an Artifact folder.

    Args:
        model: folder of the Model, or its name if `out` is a Workspace; its files are verified.
        out: new folder of the Artifact, or a Workspace, which shelves it under its name and id.
        calibration: pictures. The training split calibrates; the validation split decides, by its labels or, if it has none, by
            the answers of FP32. Without pictures the Artifact is marked unverified, and INT8 needs `calibrate_random`.
        device: kind of device, or several, first choice first: "hetero:fpga-emulator,cpu".
        precision: "int8", "int16", "fp16", "bf16", "fp32", or "auto": the best of them that passes. None is "int8" where the
            device has it, else "auto".
        max_drop: largest loss of accuracy to accept, 0..1; 0.01 is one point.
        objective: "throughput", "latency" or "efficiency" (least processor time per picture).
        calibration_images, validation_images: how many pictures to use at most.
        seed: seed of the choice of pictures and of the bootstrap.
        on_progress: called with stage, progress and time left.
        name: name of the Artifact in a Workspace, by default the Model's; a folder takes none.
        calibrate_on: another version to calibrate on; `calibration` then only decides. Without it `calibration` does both.
        slo_ms: the 99th percentile of latency, with all streams busy, must stay below it.
        calibrate_random: without pictures, calibrate INT8 on noise; the Artifact is marked unverified.
        symmetric: symmetric int8 activations, as TensorRT and QNN demand; `model.qdq.onnx` is kept in the Artifact for them.
        time_limit_s: start no new quantiser after so many seconds.
        tuning: folder of kept timings: the same files in the same engines on the same CPU are not timed twice.

    Raises:
        GateFailed: nothing of the wanted precision passed; the report is in `<out>.failed`, or in `failed/NAME` of a Workspace.
        Exhausted: the disk is full.
        InvalidInput, NotFound, Unsupported, CorruptFile, Conflict: see the messages.
    """
    for given in (calibration, calibrate_on):
        if given is not None:
            check_version(given)
    request = CompileRequest(
        device=device,
        precision=precision or choose_precision(device),
        max_drop=max_drop,
        goal=Goal(objective, slo_ms),
        calibration_images=calibration_images,
        validation_images=validation_images,
        calibrate_random=calibrate_random and calibration is None and calibrate_on is None,
        symmetric=symmetric,
        time_limit_s=time_limit_s,
        seed=seed,
    )
    return compile_request(
        request,
        Path(model),
        make_place(out),
        name,
        calibration=calibration,
        calibrate_on=calibrate_on,
        tuning=None if tuning is None else Path(tuning),
        said={},
        on_progress=on_progress,
    )


def compile_request(
    request: CompileRequest,
    model: Path,
    out: Path | Workspace,
    name: str | None,
    *,
    calibration: DatasetVersion | None,
    calibrate_on: DatasetVersion | None,
    tuning: Path | None,
    said: Mapping[str, str],
    on_progress: OnProgress,
) -> CompileResult:
    """`compile_model` with what was asked for as one record.

    Args: said: by option (`--data`, `--calibrate`), how pictures were named that are no version of a workspace; for the
        report's command.
    """
    if isinstance(out, Workspace):
        model = out.find("models", model)
        said = said if name is None else {**said, "--name": name}
    compile_into = partial(_compile, request, model, calibration, calibrate_on, tuning, said, on_progress)
    if isinstance(out, Workspace):
        name = read_manifest(model, ModelManifest).name if name is None else name
        with stage(out, "artifacts", name) as staged:
            result = compile_into(staged, out.root / "failed" / name)
            return replace(result, folder=shelve(staged, out, "artifacts", result.manifest))
    if name is not None:
        raise InvalidInput(f"expected a Workspace for an Artifact with a name of its own, got the folder {out}; leave name out")
    return compile_into(out, out.parent / f"{out.name}.failed")


def _compile(
    request: CompileRequest,
    model: Path,
    calibration: DatasetVersion | None,
    calibrate_on: DatasetVersion | None,
    tuning: Path | None,
    said: Mapping[str, str],
    on_progress: OnProgress,
    out: Path,
    failed: Path,
) -> CompileResult:
    """Compile into the folder `out`. Raises: GateFailed, after writing its report to `failed`."""
    manifest = read_manifest(model, ModelManifest)
    if calibration is None:
        calibration, calibrate_on = calibrate_on, None
    check_request(request, manifest, calibration, out)
    stages = Stages(STAGE_SHARES, on_progress)
    stages.begin("checking the model")
    verify_files(model, manifest.files)
    graph_file = model / MODEL_GRAPH
    found = Findings(graph_file, load_graph(graph_file), manifest, request, calibration, calibrate_on)
    with explain_full_disk(out), tempfile.TemporaryDirectory(prefix="sightline-compile-") as work:
        compilation = Compilation(found, Path(work), stages, tuning)
        compilation.run()
        versions = (("--data", found.version), ("--calibrate", found.calibration_version))
        command = describe_command(model, versions, said, request)
        report, flip_pictures = build_report(found, command, compilation.check_samples, stages)
        stages.begin("writing")
        if not report.passed:
            with new_folder(failed, replace=True) as folder:
                write_report(folder, report, flip_pictures)
            raise GateFailed(f"{report.verdict}; the report is {failed / 'report.html'}")
        result = write_artifact(out, found, report, flip_pictures)
    stages.finish()
    return result


def write_report(folder: Path, report: CompileReport, flip_pictures: FlipPictures) -> None:
    """`report.json` and `report.html`."""
    (folder / "report.json").write_bytes(encode_report(report))
    (folder / "report.html").write_text(render_page(report, flip_pictures), encoding="utf-8")


def write_artifact(out: Path, found: Findings, report: CompileReport, flip_pictures: FlipPictures) -> CompileResult:
    """The Artifact folder, whole or not at all."""
    chosen, timing, model = found.chosen, found.chosen_timing, found.manifest
    assert chosen is not None
    streams, threads, batch = (timing.streams, timing.threads, timing.batch) if timing is not None else (1, 1, 1)
    with new_folder(out) as folder:
        graph_file = copy_files(chosen, folder)
        if found.request.symmetric:
            shutil.copyfile(chosen.source, folder / PORTABLE_GRAPH)
        write_report(folder, report, flip_pictures)
        manifest = ArtifactManifest(
            name=model.name,
            model_id=compute_manifest_id(model),
            task=model.task,
            categories=model.categories,
            input=model.input,
            decode=model.decode,
            device=found.request.device,
            engine=chosen.engine,
            precision=chosen.precision,
            graph_file=graph_file,
            streams=streams,
            threads=threads,
            batch=batch,
            tuned_on={**read_cpu_facts(), **describe_devices([chosen.engine])},
            calibration=describe_calibration(found),
            verified=found.version is not None,
            host=describe_host(),
            created_at=now_utc(),
            files=hash_files(folder),
        )
        write_manifest(folder, manifest)
    return CompileResult(out, manifest, report)
