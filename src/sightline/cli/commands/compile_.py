"""`sightline compile`: a Model becomes an Artifact that is verified on real pictures and tuned for this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.options import JsonOption, SeedOption, WorkspaceOption, open_workspace
from sightline.cli.progress import show_progress
from sightline.cli.staging import shelve, stage
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.compiler.compile import CompileResult


def compile_command(
    model: Annotated[str, typer.Argument(help="Model: a name in the workspace, NAME@ID, or its folder.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Dataset version to calibrate and verify on: NAME, NAME@ID, or its folder.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Device to compile for.")] = "cpu",
    precision: Annotated[
        str, typer.Option("--precision", help="int8, bf16 or fp32; auto takes the fastest that keeps its accuracy.")
    ] = "int8",
    max_drop: Annotated[
        float, typer.Option("--max-drop", min=0.0, max=1.0, help="Accuracy that may be lost: 0.01 is one point.")
    ] = 0.01,
    objective: Annotated[str, typer.Option("--objective", help="Tune for throughput or latency.")] = "throughput",
    calibration_images: Annotated[
        int, typer.Option("--calibration-images", min=1, help="Pictures to calibrate the quantisers on.")
    ] = 300,
    seed: SeedOption = 0,
    name: Annotated[str | None, typer.Option("--name", help="Name of the artifact; by default the model's.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder of the artifact; by default a place in the workspace.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantise, verify and tune a model for a device; the report says what it cost in accuracy and gained in speed."""
    from sightline.compiler.compile import compile_model
    from sightline.core.folders import read_manifest
    from sightline.core.manifests import ModelManifest
    from sightline.data.versions import open_version

    terminal, home = Terminal(as_json), open_workspace(workspace)
    folder = home.find("models", model)
    version = open_version(home.find("datasets", data)) if data is not None else None

    def make(target: Path) -> "CompileResult":
        with show_progress() as on_progress:
            return compile_model(
                folder,
                target,
                calibration=version,
                device=device,
                precision=precision,
                max_drop=max_drop,
                objective=objective,
                calibration_images=calibration_images,
                seed=seed,
                on_progress=on_progress,
            )

    if out is not None:
        result = make(out)
        show_artifact(terminal, result, result.folder)
        return
    with stage(home, "artifacts", name or read_manifest(folder, ModelManifest).name) as staged:
        result = make(staged)
        made = shelve(result.folder, home, "artifacts", result.manifest)
    show_artifact(terminal, result, made)


def show_artifact(terminal: Terminal, result: "CompileResult", folder: Path) -> None:
    """What was made, and what it cost and gained."""
    from sightline.core.manifests import compute_manifest_id

    manifest = result.manifest
    identity = compute_manifest_id(manifest)
    terminal.say(result.report.verdict)
    terminal.say(
        f"artifact {manifest.name}@{identity[:8]}: {manifest.precision} on {manifest.device} by {manifest.engine}, "
        f"{manifest.streams} streams of {manifest.threads} threads"
        + ("" if manifest.verified else ", NOT verified on real pictures")
    )
    terminal.say(f"folder: {folder}   report: {folder / 'report.html'}")
    terminal.say(f"next: sightline deploy {manifest.name} --name {manifest.name}")
    terminal.finish(
        {"artifact": manifest.name, "id": identity, "folder": folder, "manifest": manifest, "report": result.report}
    )
