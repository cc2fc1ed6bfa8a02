"""`compile_model`: from a Model to the fastest Artifact that proves it is right on this machine.

make candidates -> check each engine in FP32 -> time them all -> gate them, fastest first -> keep the first that passes.
Everything that is found out goes into the report, also when nothing passes.
"""

import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sightline.compiler.autotune import Objective
from sightline.compiler.candidates import copy_files
from sightline.compiler.compilation import Compilation, Request
from sightline.compiler.page import FlipPictures, render_page
from sightline.compiler.report import CompileReport, encode_report
from sightline.compiler.stages import Stages
from sightline.core.errors import Conflict, GateFailed, InvalidInput
from sightline.core.folders import hash_files, new_folder, read_manifest, verify_files, write_manifest
from sightline.core.host import describe_host, now_utc, read_cpu_facts
from sightline.core.manifests import ArtifactManifest, ModelManifest, compute_manifest_id
from sightline.core.progress import OnProgress, ignore_progress
from sightline.core.workspace import ID_LENGTH
from sightline.data.versions import DatasetVersion
from sightline.runtime.predictor import MODEL_GRAPH

WantedPrecision = Literal["auto", "int8", "bf16", "fp32"]
STAGE_SHARES = {
    "checking the model": 1.0,
    "reading pictures": 3.0,
    "quantising": 20.0,
    "checking engines": 4.0,
    "timing candidates": 15.0,
    "gate": 20.0,
    "profiling": 8.0,
    "writing": 2.0,
}


@dataclass(frozen=True)
class CompileResult:
    """A compiled Artifact: its folder, its manifest, and the report that lies in it."""

    folder: Path
    manifest: ArtifactManifest
    report: CompileReport


def compile_model(
    model: Path,
    out: Path,
    calibration: DatasetVersion | None = None,
    device: str = "cpu",
    precision: str = "int8",
    max_drop: float = 0.01,
    objective: str = "throughput",
    calibration_images: int = 300,
    validation_images: int = 5000,
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
) -> CompileResult:
    """Compile a Model folder into an Artifact folder.

    Args:
        model: Model folder; its files are verified.
        out: Artifact folder to make; must not exist.
        calibration: labelled pictures. Its training split calibrates, its validation split decides. Without it only FP32 and
            BF16 are possible, and the Artifact is marked unverified.
        device: kind of device.
        precision: "int8", "bf16", "fp32", or "auto": the fastest of them that passes.
        max_drop: accuracy that may be lost, 0..1; 0.01 is one point.
        objective: "throughput" or "latency".
        calibration_images, validation_images: how many at most.
        seed: of the choice of pictures and of the bootstrap.
        on_progress: told stage, progress and time left.

    Raises:
        GateFailed: nothing of the wanted precision passed; the report lies in `<out>.failed`.
        InvalidInput, NotFound, Unsupported, CorruptFile, Conflict: see the messages.
    """
    manifest = read_manifest(model, ModelManifest)
    request = Request(
        device=device,
        precision=_check_choice("precision", precision, get_args(WantedPrecision)),
        max_drop=max_drop,
        objective=_check_choice("objective", objective, get_args(Objective)),  # type: ignore[arg-type]
        calibration_images=calibration_images,
        validation_images=validation_images,
        seed=seed,
    )
    check_request(request, manifest, calibration, out)
    stages = Stages(STAGE_SHARES, on_progress)
    stages.begin("checking the model")
    verify_files(model, manifest.files)
    result = _run_compilation(model, out, manifest, calibration, request, stages)
    stages.finish()
    return result


def _run_compilation(
    model: Path, out: Path, manifest: ModelManifest, calibration: DatasetVersion | None, request: Request, stages: Stages
) -> CompileResult:
    """Compile in a temporary folder and write what came of it. Raises: GateFailed, after writing its report."""
    with tempfile.TemporaryDirectory(prefix="sightline-compile-") as work:
        compilation = Compilation(model / MODEL_GRAPH, manifest, calibration, request, Path(work), stages)
        report, flip_pictures = compilation.run(describe_command(model, calibration, request))
        stages.begin("writing")
        if report.passed:
            return write_artifact(out, manifest, compilation, report, flip_pictures)
        folder = write_failure(out, report, flip_pictures)
        raise GateFailed(f"{report.verdict}; the report is {folder / 'report.html'}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise InvalidInput(f"expected {name} {', '.join(choices)}, got {value!r}")
    return value


def check_request(request: Request, manifest: ModelManifest, calibration: DatasetVersion | None, out: Path) -> None:
    """Refuse what cannot work before any work. Raises: InvalidInput, Conflict."""
    if out.exists():
        raise Conflict(f"{out} exists already; choose another name or remove it")
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise Conflict(f"expected a folder that can be written, got {parent}; choose another place for {out.name}")
    if request.seed < 0:
        raise InvalidInput(f"expected a seed of 0 or more, got {request.seed}; choose another")
    if not 0 <= request.max_drop <= 1:
        raise InvalidInput(f"expected max_drop 0..1 (0.01 is one point), got {request.max_drop}")
    if request.calibration_images < 1 or request.validation_images < 1:
        raise InvalidInput("expected at least one calibration and one validation picture; raise the counts")
    if calibration is None and request.precision == "int8":
        raise InvalidInput(
            "INT8 needs labelled pictures to calibrate and to check its accuracy, got none; pass a data set version"
        )
    if calibration is not None and not set(calibration.categories) <= set(manifest.categories):
        unknown = sorted(set(calibration.categories) - set(manifest.categories))
        raise InvalidInput(f"expected a data set with the Model's categories, got {unknown} besides; choose its own data set")


def describe_command(model: Path, calibration: DatasetVersion | None, request: Request) -> str:
    """The command line that does the same again; folders by name and id, so it holds on another machine."""
    words = ["sightline", "compile", f"{model.parent.name}@{model.name}" if len(model.name) == ID_LENGTH else model.name]
    if calibration is not None:
        words += ["--data", f"{calibration.manifest.name}@{calibration.id[:ID_LENGTH]}"]
    words += ["--device", request.device, "--precision", request.precision, "--max-drop", f"{request.max_drop:g}"]
    words += ["--objective", request.objective, "--calibration-images", str(request.calibration_images)]
    return shlex.join([*words, "--seed", str(request.seed)])


def write_failure(out: Path, report: CompileReport, flip_pictures: FlipPictures) -> Path:
    """The report of a compilation that no candidate passed, beside where the Artifact would be; replaces an older one."""
    target = out.with_name(f"{out.name}.failed")
    with new_folder(target, replace=True) as folder:
        write_report(folder, report, flip_pictures)
    return target


def write_report(folder: Path, report: CompileReport, flip_pictures: FlipPictures) -> None:
    """`report.json` and `report.html`."""
    (folder / "report.json").write_bytes(encode_report(report))
    (folder / "report.html").write_text(render_page(report, flip_pictures), encoding="utf-8")


def write_artifact(
    out: Path, model: ModelManifest, compilation: "Compilation", report: CompileReport, flip_pictures: FlipPictures
) -> CompileResult:
    """The Artifact folder, whole or not at all."""
    chosen, timing = compilation.chosen, compilation.chosen_timing
    assert chosen is not None
    assert timing is not None
    with new_folder(out) as folder:
        graph_file = copy_files(chosen, folder)
        write_report(folder, report, flip_pictures)
        manifest = ArtifactManifest(
            name=model.name,
            model_id=compute_manifest_id(model),
            task=model.task,
            categories=model.categories,
            input=model.input,
            decode=model.decode,
            device=compilation.request.device,
            engine=chosen.engine,
            precision=chosen.precision,
            graph_file=graph_file,
            streams=timing.streams,
            threads=timing.threads,
            tuned_on=read_cpu_facts(),
            calibration=compilation.describe_calibration(),
            verified=compilation.version is not None,
            host=describe_host(),
            created_at=now_utc(),
            files=hash_files(folder),
        )
        write_manifest(folder, manifest)
    return CompileResult(out, manifest, report)
