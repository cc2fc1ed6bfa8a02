"""`sightline demo`: every verb once, on generated data: sample, train, compile, deploy, predict over HTTP, measure."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.options import JsonOption, SeedOption
from sightline.cli.progress import show_progress
from sightline.cli.server_process import serve_in_child
from sightline.cli.terminal import Terminal, format_duration, make_table
from sightline.core.extras import COMPILING_PACKAGES, TRAINING_PACKAGES, check_packages

if TYPE_CHECKING:
    from sightline.bench.records import Spread
    from sightline.bench.reports import Report
    from sightline.core.progress import ProgressEvent
    from sightline.core.workspace import Workspace
    from sightline.data.versions import DatasetVersion

NAME = "parts"
MARKER_NAME = ".sightline-demo"  # a folder with it was made by an earlier demo and may be replaced
CALIBRATION_IMAGES = 100
POINT_S = 1.5


def demo_command(
    folder: Annotated[
        Path, typer.Option("--folder", help="Folder for everything that the demo makes; an earlier demo's folder is replaced.")
    ] = Path("demo"),
    budget: Annotated[str, typer.Option("--budget", help="How long to train, such as 150cpu-s, 1min, 20epochs.")] = "150cpu-s",
    count: Annotated[int, typer.Option("--count", min=20, help="Number of pictures to generate.")] = 240,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Generate data, train, compile to INT8, deploy, predict over HTTP, measure; at most 4 minutes on 2 cores."""
    from sightline.core.workspace import Workspace

    terminal, started = Terminal(as_json), time.monotonic()
    check_packages("the demo", dict.fromkeys((*TRAINING_PACKAGES, *COMPILING_PACKAGES)), "train,compile")
    prepare_folder(folder)
    home = Workspace(folder / "workspace")
    seconds: dict[str, float] = {}
    with step(terminal, seconds, "1/6 sample: generate pictures of parts with defects"):
        version = generate(home, count, seed)
    with step(terminal, seconds, f"2/6 train: detection, fast, {budget}"):
        model = train(home, version, budget, seed)
    with step(terminal, seconds, "3/6 compile: INT8, verified on real pictures, tuned for this CPU"):
        artifact = compile_to_int8(home, model, version, seed)
    with step(terminal, seconds, "4/6 deploy and ask over HTTP"):
        answer = deploy_and_ask(home, artifact, version, folder)
    with step(terminal, seconds, "5/6 measure: FP32 model"):
        fp32 = measure(home, model, version, seed, "parts-fp32")
    with step(terminal, seconds, "6/6 measure: compiled artifact"):
        compiled = measure(home, artifact, version, seed, "parts-compiled")
    rows = compare(fp32, compiled, model, artifact)
    terminal.show(
        make_table(["", "FP32 model", "compiled", "ratio"], rows, title="FP32 model and compiled artifact side by side")
    )
    total_s = time.monotonic() - started
    places = {
        "pictures": answer["pictures"],
        "curves": model / "curves.png",
        "compile_report": artifact / "report.html",
        "fp32_report": fp32.page,
        "compiled_report": compiled.page,
        "workspace": home.root,
    }
    for what, place in places.items():
        terminal.say(f"{what.replace('_', ' ')}: {place}")
    terminal.say(f"took {format_duration(total_s)}; serve it: sightline serve {home.deployments}")
    terminal.finish({"seconds": seconds, "total_s": round(total_s, 1), "answer": answer, "table": rows, "places": places})


@contextmanager
def step(terminal: Terminal, seconds: dict[str, float], title: str) -> Iterator[None]:
    """Announce a step and note how long it took."""
    terminal.say(title)
    started = time.monotonic()
    yield
    seconds[title.split(":")[0]] = round(time.monotonic() - started, 1)
    terminal.say(f"    done in {format_duration(time.monotonic() - started)}")


def prepare_folder(folder: Path) -> None:
    """Make the folder, in place of an earlier demo's. Raises: Conflict when it holds something else."""
    from sightline.core.errors import Conflict

    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER_NAME).is_file():
        raise Conflict(f"{folder} holds something that no demo made; give another --folder")
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER_NAME).touch()


def generate(workspace: "Workspace", count: int, seed: int) -> "DatasetVersion":
    """The sample dataset."""
    from sightline.data.samples import generate_samples

    return generate_samples(workspace, count, seed, "detection", name=NAME)


def train(workspace: "Workspace", version: "DatasetVersion", budget: str, seed: int) -> Path:
    """The Model's folder. Ctrl-C ends the demo: nothing is kept of the training, for the steps that would follow."""
    from sightline.training.launcher import launch_training
    from sightline.training.recipe import make_recipe
    from sightline.training.relaying import STOPPING

    recipe = make_recipe("detection", "fast", budget=budget, seed=seed)
    with show_progress() as on_progress:

        def show_or_end(event: "ProgressEvent") -> None:
            if event.message == STOPPING:
                raise KeyboardInterrupt
            on_progress(event)

        return launch_training(version.folder, recipe, workspace, on_progress=show_or_end, name=NAME)


def compile_to_int8(workspace: "Workspace", model: Path, version: "DatasetVersion", seed: int) -> Path:
    """The Artifact's folder; INT8 unless that would cost more accuracy than the gate allows."""
    from sightline.compiler.compile import compile_model

    with show_progress() as on_progress:
        return compile_model(
            model,
            workspace,
            calibration=version,
            precision="auto",
            calibration_images=CALIBRATION_IMAGES,
            seed=seed,
            on_progress=on_progress,
            name=NAME,
        ).folder


def deploy_and_ask(workspace: "Workspace", artifact: Path, version: "DatasetVersion", folder: Path) -> dict[str, Any]:
    """Deploy, start a server, send it one test picture over HTTP, and keep the picture and the drawn answer."""
    from sightline.serving.client.predictor import RemotePredictor
    from sightline.serving.deployments import deploy_artifact

    deploy_artifact(artifact, NAME, workspace.deployments)
    item = next(item for item in version.items("test") if item.annotations)
    content = version.blobs.read(item.blob)
    pictures = folder / "pictures"
    pictures.mkdir()
    asked, drawn = pictures / f"asked{Path(item.file_name).suffix}", pictures / "answered.png"
    asked.write_bytes(content)
    with serve_in_child(workspace.deployments, folder / "server.log") as url, RemotePredictor(url, NAME) as remote:
        annotations = remote.predict(content)
        drawn.write_bytes(remote.draw(content))
    return {
        "request": f"POST {url}/predict/{NAME}",
        "picture": item.file_name,
        "true_annotations": len(item.annotations),
        "annotations": annotations,
        "pictures": pictures,
    }


def measure(workspace: "Workspace", subject: Path, version: "DatasetVersion", seed: int, name: str) -> "Report":
    """The Report of a Model or Artifact on the test split."""
    from sightline.bench.measure import measure_predictor
    from sightline.runtime.predictor import open_predictor

    with open_predictor(subject) as predictor, show_progress() as on_progress:
        return measure_predictor(
            predictor,
            version,
            split="test",
            batch_sizes=(1,),
            streams=(1, 2),
            seed=seed,
            out=workspace,
            name=name,
            folder=subject,
            point_s=POINT_S,
            on_progress=on_progress,
        )


def compare(fp32: "Report", compiled: "Report", model: Path, artifact: Path) -> list[list[object]]:
    """Rows of the table: accuracy, latency, throughput and size of both, and their ratio."""
    from sightline.core.folders import read_manifest
    from sightline.core.manifests import ArtifactManifest
    from sightline.core.percentiles import has_percentile
    from sightline.runtime.predictor import MODEL_GRAPH

    manifest = read_manifest(artifact, ArtifactManifest)
    spreads = [find_latency(report) for report in (fp32, compiled)]
    calls = min(spread.count for spread in spreads)
    few = "" if has_percentile("p99", calls) else f" (of {calls} calls)"
    pairs: list[tuple[str, list[float]]] = [
        (f"{fp32.content.accuracy.primary_name} on test", [r.content.accuracy.primary for r in (fp32, compiled)]),
        ("latency p50 of one picture, ms", [spread.p50 for spread in spreads]),
        (f"latency p99 of one picture, ms{few}", [spread.p99 for spread in spreads]),
        ("pictures/s, best", [max(point.images_per_s for point in r.content.throughput) for r in (fp32, compiled)]),
        ("graph, MB", [size_mb(model, MODEL_GRAPH), size_mb(artifact, manifest.graph_file)]),
    ]
    rows: list[list[object]] = [
        ["precision", "fp32", manifest.precision, None],
        ["engine", fp32.content.subject.engine, manifest.engine, None],
    ]
    return rows + [[name, a, b, b / a if a else None] for name, (a, b) in pairs]


def find_latency(report: "Report") -> "Spread":
    """From a picture's bytes to its annotations, one picture a call."""
    found = report.content.latency
    return next(result.ms for result in found if result.stage == "end_to_end" and result.batch_size == 1)


def size_mb(folder: Path, graph_file: str) -> float:
    """Size of a graph with the weights file that OpenVINO keeps beside it."""
    graph = folder / graph_file
    weights = graph.with_suffix(".bin")
    return (graph.stat().st_size + (weights.stat().st_size if weights.is_file() else 0)) / 1e6
