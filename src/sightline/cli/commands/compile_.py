"""`sightline compile`: a Model becomes an Artifact that is verified on real pictures and tuned for this machine."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.commands.import_network import is_plain_folder
from sightline.cli.options import JsonOption, SeedOption, WorkspaceOption, open_workspace, refuse_options
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal, format_count
from sightline.core.extras import check_packages

if TYPE_CHECKING:
    from sightline.compiler.compile import CompileResult
    from sightline.compiler.request import CompileRequest
    from sightline.core.workspace import Workspace
    from sightline.data.versions import DatasetVersion

CALIBRATION_IMAGES = 300
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|)")


def compile_command(
    model: Annotated[str, typer.Argument(help="Model: a name in the workspace, NAME@ID, or its folder.")],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Pictures to calibrate and verify on: a dataset version, or a folder of pictures."),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            "--calibrate",
            help="Number of calibration pictures (default 300), or another dataset version or folder to calibrate on.",
        ),
    ] = None,
    calibrate_random: Annotated[
        bool,
        typer.Option("--calibrate-random", help="Without pictures: calibrate INT8 on noise; the artifact is NOT verified."),
    ] = False,
    device: Annotated[
        str, typer.Option("--device", help="Device: cpu, cuda, fpga-emulator, or several, as in hetero:fpga-emulator,cpu.")
    ] = "cpu",
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="Precision: int8, int16, fp16, bf16 or fp32; auto takes the best that keeps its accuracy. By default int8, "
            "and auto on a device without it.",
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option("--max-drop", min=0.0, max=1.0, help="Largest loss of accuracy to accept: 0.01 is one point.")
    ] = 0.01,
    objective: Annotated[
        str, typer.Option("--objective", help="Tune for throughput, latency, or efficiency (least CPU time per picture).")
    ] = "throughput",
    slo_ms: Annotated[
        float | None, typer.Option("--slo-ms", min=0.01, help="Keep the 99th percentile of latency below this, milliseconds.")
    ] = None,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="Use symmetric INT8 and keep model.qdq.onnx, for TensorRT and QNN.")
    ] = False,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", help="Start no further quantiser after this time: 90s, 3min, 1h.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Time all candidates anew, even those timed on this machine before.")
    ] = False,
    calibration_images: Annotated[
        int | None,
        typer.Option("--calibration-images", min=1, help="Number of pictures to calibrate the quantisers on, by default 300."),
    ] = None,
    validation_images: Annotated[
        int, typer.Option("--validation-images", min=1, help="Pictures to verify on, at most.")
    ] = 5000,
    seed: SeedOption = 0,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the artifact in the workspace; by default the model's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder of the artifact; by default a place in the workspace.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantise, verify and tune a model for a device; a report shows the accuracy it cost and the speed it gained."""
    terminal, home = Terminal(as_json, workspace), open_workspace(workspace)
    folder = home.find("models", model)
    count = int(calibrate) if calibrate is not None and calibrate.isdecimal() else None
    refuse_contradictions(count, data, calibrate, calibrate_random, calibration_images, name, out)
    check_packages("compiling", ("onnx", "onnxslim"), "compile")
    from sightline.compiler.compile import compile_request

    request = make_request(
        device,
        precision,
        objective,
        slo_ms,
        max_drop=max_drop,
        calibration_images=calibration_images or (CALIBRATION_IMAGES if count is None else count),
        validation_images=validation_images,
        seed=seed,
        calibrate_random=calibrate_random,
        symmetric=symmetric,
        time_limit_s=parse_duration(time_limit) if time_limit is not None else None,
    )
    said = {"--data": calibrate if data is None else data, "--calibrate": calibrate}
    with TemporaryDirectory(prefix="sightline-pictures-") as temporary, show_progress() as on_progress:
        calibrate_on = None if count is not None else open_pictures(home, calibrate, Path(temporary) / "calibration", folder)
        result = compile_request(
            request,
            folder,
            out or home,
            name,
            calibration=open_pictures(home, data, Path(temporary) / "data", folder),
            calibrate_on=calibrate_on,
            tuning=None if fresh else home.root / "tuning",
            said={option: text for option, text in said.items() if text is not None and is_plain_folder(home, text)},
            on_progress=on_progress,
        )
    show_artifact(terminal, result, is_shelved=out is None)


def make_request(device: str, precision: Any, objective: Any, slo_ms: float | None, **options: Any) -> "CompileRequest":
    """What the compiler is asked for; it checks what the words mean. Raises: NotFound for an unknown device."""
    from sightline.compiler.request import CompileRequest, choose_precision
    from sightline.compiler.tuning.goals import Goal

    wanted = precision or choose_precision(device)
    return CompileRequest(device=device, precision=wanted, goal=Goal(objective, slo_ms), **options)


def refuse_contradictions(
    count: int | None,
    data: str | None,
    calibrate: str | None,
    calibrate_random: bool,
    calibration_images: int | None,
    name: str | None,
    out: Path | None,
) -> None:
    """Refuse options of which one would be ignored. Args: count: that `--calibrate` gives. Raises: InvalidInput."""
    if count is not None:
        refuse_options("--calibrate N", {"--calibration-images": calibration_images})
    if calibrate_random:
        refuse_options("--calibrate-random", {"--data": data, "--calibrate": calibrate if count is None else None})
    if out is not None:
        refuse_options("--out, whose folder has no name in the workspace", {"--name": name})


def open_pictures(home: "Workspace", reference: str | None, temporary: Path, model: Path) -> "DatasetVersion | None":
    """A dataset version, or a folder of plain pictures as one without labels. Raises: NotFound, InvalidInput."""
    from sightline.core.folders import read_manifest
    from sightline.core.manifests import ModelManifest
    from sightline.data.unlabelled import write_unlabelled
    from sightline.data.versions import open_version

    if reference is None:
        return None
    if is_plain_folder(home, reference):
        return write_unlabelled(Path(reference), temporary, read_manifest(model, ModelManifest).categories)
    return open_version(home.find("datasets", reference))


def parse_duration(text: str) -> float:
    """Seconds of "90s", "3min", "1h" or "90". Raises: InvalidInput."""
    from sightline.core.errors import InvalidInput

    match = DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise InvalidInput(f"expected a time such as 90s, 3min or 1h, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "min": 60, "h": 3600}[match[2]]


def show_artifact(terminal: Terminal, result: "CompileResult", is_shelved: bool) -> None:
    """What was made, and what it cost and gained."""
    from sightline.core.manifests import compute_manifest_id

    folder, manifest = result.folder, result.manifest
    identity = compute_manifest_id(manifest)
    name = folder.parent.name if is_shelved else manifest.name
    terminal.tell(result.report.verdict)
    terminal.say(
        f"artifact {name}@{identity[:8]}: {manifest.precision} on {manifest.device} by {manifest.engine}, "
        f"{format_count(manifest.streams, 'stream')} of {format_count(manifest.threads, 'thread')}"
        + (f", {manifest.batch} pictures a batch" if manifest.batch > 1 else "")
        + ("" if manifest.verified else ", NOT verified on real pictures")
    )
    for warning in result.report.warnings:
        terminal.tell(f"careful: {warning}", style="yellow")
    terminal.say(f"folder: {folder}")
    terminal.say(f"report: {folder / 'report.html'}")
    terminal.say_next(["deploy", name if is_shelved else folder, "--name", name])
    terminal.finish({"artifact": name, "id": identity, "folder": folder, "manifest": manifest, "report": result.report})
