"""`sightline measure`: accuracy, latency, throughput, memory and energy, as a Report; a sweep; or two Reports side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.commands.measure_load import LoadArguments, run_load
from sightline.cli.commands.measure_sweep import SweepArguments, run_sweep
from sightline.cli.options import (
    ApiKeyOption,
    CaFileOption,
    ClientCertificateOption,
    ClientKeyOption,
    JsonOption,
    SeedOption,
    UrlOption,
    WorkspaceOption,
    list_given,
    open_workspace,
    parse_counts,
    read_api_key,
    refuse_options,
)
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.bench.reports import Report
    from sightline.core.workspace import Workspace

REPORT, LOAD, SWEEP = "Report", "Load", "Sweep"  # groups of options in the help
REPORT_BATCHES, SWEEP_BATCHES = "1,8", "1,5,10,25,50"


def measure_command(
    subject: Annotated[
        str | None,
        typer.Argument(
            help="Deployment, artifact or model: a name, NAME@ID, or a folder; with --iterations also a network's file."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Dataset version: NAME, NAME@ID, or its folder; with --iterations any folder or LMDB too, "
            "with --clients or --rate a picture or a folder of them.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Split to measure on, by default test; all means every picture."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch", help="Batch sizes to measure, separated by commas; by default 1,8, with --iterations 1,5,10,25,50."
        ),
    ] = None,
    streams: Annotated[
        str | None,
        typer.Option("--streams", help="Numbers of inferences in flight to measure, by default 1,2.", rich_help_panel=REPORT),
    ] = None,
    max_images: Annotated[
        int | None,
        typer.Option(
            "--max-images",
            min=1,
            help="Measure accuracy on this many pictures only, drawn with the seed.",
            rich_help_panel=REPORT,
        ),
    ] = None,
    point_s: Annotated[
        float | None,
        typer.Option(
            "--point-s",
            min=0.1,
            help="Seconds for each batch size and number of streams, by default 3.",
            rich_help_panel=REPORT,
        ),
    ] = None,
    seed: SeedOption = 0,
    url: UrlOption = None,
    api_key_env: ApiKeyOption = None,
    ca_file: CaFileOption = None,
    client_certificate: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    clients: Annotated[
        str | None,
        typer.Option(
            "--clients",
            help="Numbers of clients to ask the server at --url with, in turn, such as 1,4,16,64.",
            rich_help_panel=LOAD,
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            "--rate",
            help="Requests per second, or 80% of what the best --clients reached; may be repeated.",
            rich_help_panel=LOAD,
        ),
    ] = None,
    duration_s: Annotated[
        float | None,
        typer.Option(
            "--duration-s", min=0.1, help="Seconds for each number of clients or rate, by default 8.", rich_help_panel=LOAD
        ),
    ] = None,
    warm_up_s: Annotated[
        float | None,
        typer.Option(
            "--warm-up-s", min=0.0, help="Seconds of load before each measurement, by default 1.5.", rich_help_panel=LOAD
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", help="Protocol to ask with: predict (the default), or v2 for binary tensors.", rich_help_panel=LOAD
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Processes that make the load, by default 1.", rich_help_panel=LOAD)
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            "--max-in-flight", min=1, help="With --rate: most requests in flight at once, by default 256.", rich_help_panel=LOAD
        ),
    ] = None,
    server_pid: Annotated[
        int | None,
        typer.Option(
            "--server-pid",
            min=1,
            help="Process id of the server; by default that of the process listening at --url.",
            rich_help_panel=LOAD,
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations", min=1, help="Number of batches at every batch size, by default 20.", rich_help_panel=SWEEP
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype", help="Precisions, such as fp32,bf16,int8; by default fp32, or an artifact's own.", rich_help_panel=SWEEP
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="Engine: openvino, onnxruntime or reference; by default openvino, or an artifact's own.",
            rich_help_panel=SWEEP,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="File with one name per line, in the order of the network's classes.", rich_help_panel=SWEEP
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean",
            help="Mean to subtract instead of the network's own: R,G,B, or a mean.npy or mean.binaryproto.",
            rich_help_panel=SWEEP,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", help="For a network's file: how to feed pictures if the file does not say.", rich_help_panel=SWEEP
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Also write the rows to this new CSV file.", rich_help_panel=SWEEP)
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            "--calibrate", help="Pictures to calibrate a model's INT8 with; by default those of --data.", rich_help_panel=SWEEP
        ),
    ] = None,
    calibration_batches: Annotated[
        int | None,
        typer.Option(
            "--calibration-batches",
            min=1,
            help="Number of calibration batches of 50 pictures, by default 10.",
            rich_help_panel=SWEEP,
        ),
    ] = None,
    first_calibration_batch: Annotated[
        int | None,
        typer.Option(
            "--first-calibration-batch", min=0, help="First batch to calibrate with, by default 0.", rich_help_panel=SWEEP
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Show no progress, only the Final Stats.", rich_help_panel=SWEEP)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="New folder for the report, sweep or load, or page of --compare; by default a place in the workspace."
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", help="Two reports (names, NAME@ID, or folders) to show side by side instead."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a deployment, artifact or model: a report, a sweep, a server under load, or two reports compared.

    By default it makes a report: accuracy, latency, throughput, memory and energy, from encoded pictures to answers.

    With --iterations or --dtype it makes a sweep: the time of the network alone, in which a prepared batch is copied in, run
    and copied out. It prints the Final Stats (total, mean, min, max, range, std, median, pictures/s, top-1, top-5) for every
    batch size and precision.

    With --clients or --rate it puts the server at --url under load: answers per second and latency percentiles, for so many
    clients (closed loop), or for requests that arrive at a rate whether or not answers come (open loop).

    With --compare it shows two reports side by side.
    """
    from sightline.core.errors import InvalidInput

    terminal, home = Terminal(as_json), open_workspace(workspace)
    of_report = {"--streams": streams, "--max-images": max_images, "--point-s": point_s}
    of_tls = {"--ca-file": ca_file, "--client-certificate": client_certificate, "--client-key": client_key}
    of_server = {"--url": url, "--api-key-env": api_key_env} | of_tls
    of_sweep = SweepArguments(
        iterations=iterations,
        dtype=dtype,
        engine=engine,
        labels=labels,
        mean=mean,
        preset=preset,
        csv=csv,
        calibrate=calibrate,
        calibration_batches=calibration_batches,
        first_calibration_batch=first_calibration_batch,
        quiet=quiet,
    )
    of_load = LoadArguments(
        clients=clients,
        rate=tuple(rate or ()),
        duration_s=duration_s,
        warm_up_s=warm_up_s,
        protocol=protocol,
        processes=processes,
        max_in_flight=max_in_flight,
        server_pid=server_pid,
    )
    if compare is not None:
        of_any = {"a subject": subject, "--data": data, "--split": split, "--batch": batch, "--seed": seed}
        refuse_options("--compare", of_any | of_report | of_server | list_given(of_sweep) | list_given(of_load))
        compare_reports_of(terminal, home, compare, out)
    elif subject is None or data is None:
        raise InvalidInput("expected a subject and --data VERSION, or --compare REPORT REPORT; see: sightline measure --help")
    elif of_load.wants_load:
        refuse_options("load (--clients, --rate)", of_report | list_given(of_sweep) | of_tls | {"--batch": batch})
        run_load(
            terminal,
            home,
            model=subject,
            url=url,
            data=data,
            split=split,
            api_key=read_api_key(api_key_env),
            seed=seed,
            asked=of_load,
            out=out,
        )
    elif of_sweep.wants_sweep:
        refuse_options("a sweep (--iterations, --dtype)", of_report | of_server | list_given(of_load) | {"--seed": seed})
        run_sweep(
            terminal,
            home,
            network=subject,
            data=data,
            split=split,
            batch_sizes=parse_counts(batch or SWEEP_BATCHES, "--batch"),
            asked=of_sweep,
            out=out,
        )
    else:
        refuse_options("a report; --iterations or --dtype make it a sweep", list_given(of_sweep))
        refuse_options("a report; --clients or --rate put load on a server", list_given(of_load))
        report = measure_subject(
            home,
            subject,
            url,
            data,
            {
                "api_key": read_api_key(api_key_env),
                "ca_file": ca_file,
                "client_certificate": client_certificate,
                "client_key": client_key,
            },
            split=None if split == "all" else split or "test",
            batch_sizes=parse_counts(batch or REPORT_BATCHES, "--batch"),
            streams=parse_counts(streams or "1,2", "--streams"),
            seed=seed,
            out=out or home,
            max_images=max_images,
            point_s=point_s or 3.0,
        )
        show_report(terminal, report)


def measure_subject(
    home: "Workspace", subject: str, url: str | None, data: str, access: dict[str, Any], **options: Any
) -> "Report":
    """Open what a name stands for, here or at a server, and measure it.

    Args:
        access: key and PEM files for the server, as `open_subject` takes them.
        options: of `measure_predictor`.
    """
    from sightline.bench.measure import measure_predictor
    from sightline.data.versions import open_version
    from sightline.serving.loading import find_subject, open_subject

    version = open_version(home.find("datasets", data))
    folder = find_subject(subject, home) if url is None else None
    with open_subject(subject, home, url, **access) as predictor, show_progress() as on_progress:
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
    comparison = compare_reports(first.content, second.content, (first.read_resamples(), second.read_resamples()))
    page = (
        out
        or workspace.root / "comparisons" / f"{first.manifest.name}-{first.id[:8]}-{second.manifest.name}-{second.id[:8]}.html"
    )
    write_file_atomic(page, render_comparison(comparison, first.content, second.content).encode())
    terminal.show(build_comparison_table(comparison))
    terminal.say(f"page: {page}")
    terminal.finish({"comparison": comparison, "page": page})
