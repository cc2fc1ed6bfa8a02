"""`sightline measure`: accuracy, latency, throughput, memory and energy, as a Report; or two Reports side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.options import JsonOption, SeedOption, UrlOption, WorkspaceOption, open_workspace, parse_counts
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.bench.reports import Report
    from sightline.core.workspace import Workspace


def measure_command(
    subject: Annotated[str | None, typer.Argument(help="Deployment, artifact or model: a name, NAME@ID, or a folder.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Dataset version: NAME, NAME@ID, or its folder.")] = None,
    split: Annotated[str, typer.Option("--split", help="Split to measure on; all takes every picture.")] = "test",
    batch: Annotated[str, typer.Option("--batch", help="Batch sizes to sweep, with commas.")] = "1,8",
    streams: Annotated[str, typer.Option("--streams", help="Numbers of inferences in flight to sweep, with commas.")] = "1,2",
    max_images: Annotated[
        int | None, typer.Option("--max-images", min=1, help="Measure accuracy on so many pictures, drawn with the seed.")
    ] = None,
    point_s: Annotated[float, typer.Option("--point-s", min=0.1, help="Seconds for each point of the sweep.")] = 3.0,
    seed: SeedOption = 0,
    url: UrlOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="New folder of the report, or new page of --compare; by default a place in the workspace."),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", help="Two reports (names, NAME@ID, or folders) to show side by side instead."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a deployment, artifact or model on a dataset version, or compare two reports."""
    from sightline.core.errors import InvalidInput

    terminal, home = Terminal(as_json), open_workspace(workspace)
    if compare is not None:
        compare_reports_of(terminal, home, compare, out)
        return
    if subject is None or data is None:
        raise InvalidInput("expected a subject and --data VERSION, or --compare REPORT REPORT; see: sightline measure --help")
    report = measure_subject(
        home,
        subject,
        url,
        data,
        split=None if split == "all" else split,
        batch_sizes=parse_counts(batch, "--batch"),
        streams=parse_counts(streams, "--streams"),
        seed=seed,
        out=out or home,
        max_images=max_images,
        point_s=point_s,
    )
    show_report(terminal, report)


def measure_subject(home: "Workspace", subject: str, url: str | None, data: str, **options: Any) -> "Report":
    """Open what a name stands for, here or at a server, and measure it. Args: options: of `measure_predictor`."""
    from sightline.bench.measure import measure_predictor
    from sightline.data.versions import open_version
    from sightline.serving.loading import find_subject, open_subject

    version = open_version(home.find("datasets", data))
    folder = find_subject(subject, home) if url is None else None
    with open_subject(subject, home, url) as predictor, show_progress() as on_progress:
        return measure_predictor(predictor, version, folder=folder, on_progress=on_progress, **options)


def show_report(terminal: Terminal, report: "Report") -> None:
    """The Report's tables, and where its page lies."""
    from sightline.bench.tables import build_report_table

    terminal.show(build_report_table(report.content))
    terminal.say(f"report: {report.page}")
    terminal.finish({"report": report.manifest.name, "id": report.id, "folder": report.folder, "content": report.content})


def compare_reports_of(terminal: Terminal, workspace: "Workspace", references: tuple[str, str], out: Path | None) -> None:
    """Show two Reports side by side, and write the page of it."""
    from sightline.bench.comparing import compare_reports
    from sightline.bench.pages import render_comparison
    from sightline.bench.reports import read_report
    from sightline.bench.tables import build_comparison_table
    from sightline.core.errors import Conflict
    from sightline.core.folders import write_file_atomic

    if out is not None and out.exists():
        raise Conflict(f"{out} exists already; choose another name or remove it")
    first, second = (read_report(workspace.find("reports", reference)) for reference in references)
    comparison = compare_reports(first.content, second.content)
    page = (
        out
        or workspace.root / "comparisons" / f"{first.manifest.name}-{first.id[:8]}-{second.manifest.name}-{second.id[:8]}.html"
    )
    write_file_atomic(page, render_comparison(comparison, first.content, second.content).encode())
    terminal.show(build_comparison_table(comparison))
    terminal.say(f"page: {page}")
    terminal.finish({"comparison": comparison, "page": page})
