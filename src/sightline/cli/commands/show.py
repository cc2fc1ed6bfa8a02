"""`sightline show`: what the workspace holds, what a dataset version is made of, or one manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal, make_table

if TYPE_CHECKING:
    from sightline.core.workspace import Workspace
    from sightline.data.statistics import DatasetStatistics

SHOWN_ID = 8  # digits, as many as NAME@ID needs
MAX_SIZES = 10  # of the pictures, the most frequent; --json has all


def show_command(
    reference: Annotated[
        str | None,
        typer.Argument(
            help="Dataset version (NAME, NAME@ID or folder): its statistics. "
            "Folder of a model, artifact, deployment or report: its manifest."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw the statistics of the dataset version into this new PNG.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what the workspace holds, show the statistics of a dataset version, or print a manifest."""
    from sightline.core.errors import InvalidInput

    terminal, home = Terminal(as_json), open_workspace(workspace)
    if reference is not None:
        show_one(terminal, home, reference, plot)
    else:
        if plot is not None:
            raise InvalidInput("--plot draws a dataset version, got none; name one")
        show_workspace(terminal, home)


def show_one(terminal: Terminal, home: "Workspace", reference: str, plot: Path | None) -> None:
    """Statistics of a dataset version, the manifest of any other folder of ours."""
    from sightline.core.errors import InvalidInput
    from sightline.core.folders import MANIFEST_NAME, read_kind

    folder = Path(reference)
    if not (folder / MANIFEST_NAME).is_file():
        folder = home.find("datasets", reference)
    kind = read_kind(folder)
    if kind == "dataset_version":
        show_version(terminal, folder, plot)
    elif plot is not None:
        raise InvalidInput(f"expected a dataset version to draw with --plot, got the {kind} {folder}; leave --plot out")
    else:
        show_manifest(terminal, folder)


def show_workspace(terminal: Terminal, home: "Workspace") -> None:
    """All names on all shelves."""
    content = list_workspace(home)
    rows: list[list[object]] = []
    for noun, entries in content.items():
        for entry in entries:
            newest = entry["id"] and entry["id"][: None if noun == "deployments" else SHOWN_ID]  # the folder has it whole
            rows.append([noun, entry["name"], newest, entry["folder"] or entry["detail"]])
    if rows:
        terminal.show(make_table(["", "Name", "Newest", "Folder"], rows, title=f"workspace {home.root}"))
    else:
        terminal.say(f"the workspace {home.root} is empty; begin with: sightline sample parts, or sightline import FOLDER")
    terminal.finish({"workspace": home.root, **content})


def list_workspace(workspace: "Workspace") -> dict[str, list[dict[str, Any]]]:
    """Names on each shelf with the id and folder of the newest; deployments with their version."""
    from sightline.core.errors import SightlineError
    from sightline.core.workspace import Shelf
    from sightline.serving.deployments import find_deployment, list_names

    content: dict[str, list[dict[str, Any]]] = {}
    for shelf in get_args(Shelf):
        content[shelf] = []
        for name in workspace.names(shelf):
            try:
                folder = workspace.find(shelf, name)
                content[shelf].append({"name": name, "id": folder.name, "folder": str(folder)})
            except SightlineError as error:
                content[shelf].append({"name": name, "id": None, "folder": None, "detail": str(error)})
    content["deployments"] = []
    for name in list_names(workspace.deployments):
        try:
            found = find_deployment(workspace.deployments, name)
            entry: dict[str, Any] = {"name": name, "id": f"version {found.manifest.version}", "folder": str(found.folder)}
        except (SightlineError, OSError) as error:
            entry = {"name": name, "id": None, "folder": None, "detail": str(error)}
        content["deployments"].append(entry)
    return content


def show_version(terminal: Terminal, folder: Path, plot: Path | None) -> None:
    """Count what a version holds; tell it as tables and, when wanted, as a plot."""
    from sightline.core.errors import Conflict, InvalidInput
    from sightline.core.folders import MANIFEST_NAME
    from sightline.data.statistics import compute_statistics, draw_statistics
    from sightline.data.versions import open_version

    if plot is not None and plot.suffix.lower() != ".png":
        raise InvalidInput(f"expected a name that ends in .png for --plot, got {str(plot)!r}; rename it")
    if plot is not None and plot.exists():
        raise Conflict(f"{plot} exists already; choose another name or remove it")
    version = open_version(folder)
    statistics = compute_statistics(version)
    show_counts(terminal, statistics, version.categories.names)
    show_sizes(terminal, statistics)
    if plot is not None:
        draw_statistics(statistics, plot, version.categories.names)
        terminal.say(f"plot: {plot}")
    terminal.say(f"manifest: {folder / MANIFEST_NAME}")
    manifest = read_manifest_object(folder)
    terminal.finish({"folder": folder, "manifest": manifest, "statistics": statistics, "plot": plot})


def show_counts(terminal: Terminal, statistics: "DatasetStatistics", categories: Sequence[str]) -> None:
    """Pictures by split, and annotations by category and split."""
    splits = statistics.splits
    headings = ["Split", "Pictures", "without annotation"]
    rows: list[list[object]] = [[name, part.images, part.empty_images] for name, part in splits.items()]
    if any(part.model_images or part.unseen_images for part in splits.values()):
        headings += ["only a model looked", "nobody looked"]
        for row, part in zip(rows, splits.values(), strict=True):
            row += [part.model_images, part.unseen_images]
    title = f"dataset {statistics.name}@{statistics.version[:SHOWN_ID]}"
    terminal.show(make_table(headings, rows, title=title))
    counts: list[list[object]] = []
    for name in categories:
        by_split = [part.annotations.get(name, 0) for part in splits.values()]
        counts.append([name, *by_split, sum(by_split)])
    if counts:
        terminal.show(make_table(["Category", *splits, "all"], counts, title="annotations"))
    if statistics.geometries:
        shapes = ", ".join(f"{count:,} {geometry}" for geometry, count in statistics.geometries.items())
        terminal.say(f"annotations by shape: {shapes}")
    if by_models := sum(part.model_annotations for part in splits.values()):
        terminal.say(f"{by_models:,} of them are a model's, not of people")


def show_sizes(terminal: Terminal, statistics: "DatasetStatistics") -> None:
    """Percentiles of box sizes by category, and the most frequent picture sizes."""
    from sightline.data.statistics import PERCENTILES

    boxes: list[list[object]] = [
        [name, size.count, *(f"{w:.0f} x {h:.0f}" for w, h in zip(size.width, size.height, strict=True))]
        for name, size in statistics.box_sizes.items()
    ]
    if boxes:
        headings = ["Category", "Boxes", *(f"{percent} %" for percent in PERCENTILES)]
        terminal.show(make_table(headings, boxes, title="box sizes: percentiles of width and of height, pixels"))
    sizes: list[list[object]] = [[size, count] for size, count in list(statistics.picture_sizes.items())[:MAX_SIZES]]
    if sizes:
        terminal.show(make_table(["Picture size", "Pictures"], sizes))
    if (more := len(statistics.picture_sizes) - MAX_SIZES) > 0:
        terminal.say(f"and {more:,} more picture sizes; --json has them")


def show_manifest(terminal: Terminal, folder: Path) -> None:
    """Print the manifest of any folder of ours."""
    import json

    manifest = read_manifest_object(folder)
    terminal.say(json.dumps(manifest, indent=2, ensure_ascii=False))
    terminal.finish({"folder": folder, "manifest": manifest})


def read_manifest_object(folder: Path) -> dict[str, Any]:
    """The manifest as it lies in the file."""
    import json

    from sightline.core.folders import MANIFEST_NAME

    manifest: dict[str, Any] = json.loads((folder / MANIFEST_NAME).read_bytes())
    return manifest
