"""`sightline import`: labelled pictures become a DatasetVersion, with a report of every loss; a network becomes a Model.

With --add-to pictures join a dataset, as they do in the browser: with its edits, in its next version. What the source is says
which; options of the other kind are refused rather than ignored.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from sightline.cli.network_options import (
    ArchitectureOption,
    BackgroundOption,
    ColourOption,
    FrameworkOption,
    HeadOption,
    HeadParametersOption,
    HeightOption,
    MeanOption,
    OutputsOption,
    PicturesOption,
    PresetOption,
    ProbeOption,
    ResizeOption,
    ShrinkOption,
    StdOption,
    WeightsOption,
    WidthOption,
)
from sightline.cli.options import ConfidenceOption, JsonOption, SeedOption, WorkspaceOption, open_workspace
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal, format_count
from sightline.data.formats.table import FORMATS

if TYPE_CHECKING:
    from sightline.core.workspace import Workspace
    from sightline.data.conversion import ConversionReport
    from sightline.data.importing import Verify
    from sightline.data.versions import DatasetVersion


class PictureOptions(TypedDict):
    """Options of an import of pictures, as the verbs take them."""

    format: str
    split: str
    seed: int
    categories: list[str] | None
    verify: "Verify"
    format_options: dict[str, Any]


PICTURES = "Labelled pictures"  # the group of these options in the help
MOST_CATEGORIES = 10


def import_command(
    source: Annotated[
        Path, typer.Argument(help="Folder, file or archive with pictures and labels, or a network's file or folder.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the dataset or model; by default the source's.")] = None,
    add_to: Annotated[
        str | None,
        typer.Option(
            "--add-to",
            help="Name of a dataset to add the pictures to, in a new version; those that it has already are left out.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    format_name: Annotated[
        str,
        typer.Option("--format", help=f"Format of the labels: {', '.join(FORMATS)}; auto finds it.", rich_help_panel=PICTURES),
    ] = "auto",
    split: Annotated[
        str,
        typer.Option(
            "--split",
            help="given: keep the source's; 0.8/0.1/0.1: draw these shares; auto: keep the source's, else draw 0.8/0.1/0.1, or "
            "with --add-to in the shares of that dataset.",
            rich_help_panel=PICTURES,
        ),
    ] = "auto",
    seed: SeedOption = 0,
    lists: Annotated[
        list[str] | None,
        typer.Option(
            "--list", help="SPLIT=FILE: list of the pictures of one split; may be repeated.", rich_help_panel=PICTURES
        ),
    ] = None,
    reader_options: Annotated[
        list[str] | None,
        typer.Option(
            "--option", help="KEY=VALUE: an option of the format's reader; may be repeated.", rich_help_panel=PICTURES
        ),
    ] = None,
    categories: Annotated[
        Path | None,
        typer.Option(
            "--categories",
            help="File with one category per line: of pictures, keep only these, in this order, or label these where there are "
            "none; of a network, its classes.",
        ),
    ] = None,
    allow_header_only: Annotated[
        bool,
        typer.Option(
            "--trust-pictures",
            help="Read only the headers of pictures: faster, but finds fewer broken ones.",
            rich_help_panel=PICTURES,
        ),
    ] = False,
    framework: FrameworkOption = "auto",
    weights: WeightsOption = None,
    architecture: ArchitectureOption = None,
    preset: PresetOption = None,
    probe: ProbeOption = None,
    pictures: PicturesOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    colour: ColourOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    resize: ResizeOption = None,
    shrink: ShrinkOption = None,
    head: HeadOption = None,
    head_parameters: HeadParametersOption = None,
    outputs: OutputsOption = None,
    background: BackgroundOption = False,
    confidence: ConfidenceOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import pictures and labels, or a network trained elsewhere; says what was kept, changed and dropped, and why."""
    from sightline.cli.commands.import_network import NetworkArguments, import_network_file, is_network
    from sightline.core.errors import InvalidInput

    terminal = Terminal(as_json, workspace)
    asked = NetworkArguments(
        framework=framework,
        weights=weights,
        architecture=architecture,
        preset=preset,
        probe=probe,
        pictures=pictures,
        width=width,
        height=height,
        colour=colour,
        mean=mean,
        std=std,
        resize=resize,
        shrink=shrink,
        head=head,
        head_parameters=head_parameters,
        outputs=outputs,
        background=background,
        confidence=confidence,
    )
    if is_network(source, asked):
        refuse_picture_options(
            {
                "--add-to": add_to,
                "--format": format_name != "auto",
                "--split": split != "auto",
                "--list": lists,
                "--option": reader_options,
                "--trust-pictures": allow_header_only,
            }
        )
        names = read_names(categories) if categories is not None else None
        import_network_file(terminal, open_workspace(workspace), source, name or make_name(source), names, asked, seed)
        return
    options: PictureOptions = {
        "format": format_name,
        "split": split,
        "seed": seed,
        "categories": read_names(categories) if categories is not None else None,
        "verify": "header" if allow_header_only else "decode",
        "format_options": make_format_options(lists or [], reader_options or []),
    }
    if add_to is None:
        import_pictures(terminal, open_workspace(workspace), source, name or make_name(source), options)
    elif name is not None:
        raise InvalidInput("expected --name or --add-to, got both; --add-to names the dataset that there is")
    else:
        add_to_dataset(terminal, open_workspace(workspace), source, add_to, options)


def refuse_picture_options(options: dict[str, Any]) -> None:
    """Refuse what only pictures have. Raises: InvalidInput naming the options that were given."""
    from sightline.core.errors import InvalidInput

    given = [name for name, value in options.items() if value]
    if given:
        raise InvalidInput(f"expected options of a network, got {', '.join(given)}, which only pictures have; leave them out")


def import_pictures(terminal: Terminal, workspace: "Workspace", source: Path, name: str, options: PictureOptions) -> None:
    """Import a dataset and say what came of it."""
    from sightline.data.importing import import_dataset

    with show_progress() as on_progress:
        version, report = import_dataset(source, workspace, name, **options, on_progress=on_progress)
    show_version(terminal, name, version, report)


def add_to_dataset(terminal: Terminal, workspace: "Workspace", source: Path, name: str, options: PictureOptions) -> None:
    """Add pictures to a dataset and say what came of it; a server that runs shows them at its next request."""
    from contextlib import closing

    from sightline.cli.commands.up import find_user
    from sightline.core.workspace import Workspace, check_name
    from sightline.store.adding import add_pictures
    from sightline.store.database import DATABASE_NAME, open_database
    from sightline.store.datasets import DatasetStore

    home = Workspace(workspace.root, takes_paths=False)
    home.find("datasets", check_name(name))  # before a database is made where there is none
    with closing(open_database(home.root / DATABASE_NAME)) as database:
        dataset = DatasetStore(home, database).open(name)
        summary = dataset.summarise()
        if summary.newer_version is not None:
            terminal.note(
                f"the version {summary.newer_version[:8]}, made outside, is left: {summary.unfrozen_edits} edits of "
                f"{name!r} were made on {summary.base_id[:8]}, to which the pictures are added"
            )
        with show_progress() as on_progress:
            added = add_pictures(dataset, source, find_user(), **options, on_progress=on_progress)
    terminal.say(f"{format_count(len(added.positions), 'picture')} added to {name}")
    show_version(terminal, name, added.version, added.report, added=len(added.positions))


def show_version(terminal: Terminal, name: str, version: "DatasetVersion", report: "ConversionReport", **facts: object) -> None:
    """The report, and what was made; `name` finds it, where a Sightline zip says another."""
    for line in report.lines():
        terminal.tell(line)
    manifest = version.manifest
    terminal.say(describe_labels(version))
    splits = ", ".join(f"{split} {count:,}" for split, count in version.splits.items())
    terminal.say(f"dataset {name}@{version.id[:8]}: {manifest.item_count:,} pictures ({splits})")
    terminal.say(f"folder: {version.folder}")
    terminal.say_next(["show", name], *([] if has_labels(version) else [["up"]]))
    terminal.finish(
        {
            "dataset": name,
            "id": version.id,
            "folder": version.folder,
            "items": manifest.item_count,
            "splits": version.splits,
            "categories": list(manifest.categories),
            "report": report.to_dict(),
            **facts,
        }
    )


def describe_labels(version: "DatasetVersion") -> str:
    """As what the files were read, and the commonest categories with how many annotations each has."""
    counts = sorted(version.manifest.annotation_counts.items(), key=lambda pair: -pair[1])
    named = ", ".join(f"{category} {count:,}" for category, count in counts[:MOST_CATEGORIES])
    further = f" and {len(counts) - MOST_CATEGORIES:,} further" if len(counts) > MOST_CATEGORIES else ""
    form = version.manifest.source.get("format")
    what = f"{f'read as {form}; ' if form else ''}categories: {named or 'none'}{further}"
    return what if has_labels(version) else f"{what}; no picture has a label yet"


def has_labels(version: "DatasetVersion") -> bool:
    """Whether any picture has a label."""
    return any(version.manifest.annotation_counts.values())


def make_name(source: Path) -> str:
    """A dataset name from a path: `My Parts.tar.gz` -> `My-Parts`. Characters that names may not hold become '-'."""
    stem = source.resolve().name
    if source.is_file():
        stem = stem.split(".", 1)[0]
    kept = "".join(
        character if character.isascii() and (character.isalnum() or character in "._-") else "-" for character in stem
    )
    return kept.strip("-._")[:100] or "dataset"


def make_format_options(lists: list[str], options: list[str]) -> dict[str, Any]:
    """Options for the reader: `KEY=VALUE` pairs, and `lists` from `SPLIT=FILE` pairs. Raises: InvalidInput."""
    made: dict[str, Any] = dict(split_pair(entry, "--option KEY=VALUE") for entry in options)
    if lists:
        made["lists"] = dict(split_pair(entry, "--list SPLIT=FILE, such as train=train.txt") for entry in lists)
    return made


def split_pair(entry: str, expected: str) -> tuple[str, str]:
    """`a=b` as ("a", "b"). Raises: InvalidInput saying what was expected."""
    from sightline.core.errors import InvalidInput

    key, equals, value = entry.partition("=")
    if not key or not equals or not value:
        raise InvalidInput(f"expected {expected}, got {entry!r}")
    return key, value


def read_names(path: Path) -> list[str]:
    """Category names, one per line; empty lines and lines that begin with '#' are left out. Raises: NotFound, InvalidInput."""
    from sightline.core.errors import InvalidInput, NotFound

    if not path.is_file():
        raise NotFound(f"no category file {path}")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"expected {path} to be text in UTF-8, got something else; save it as UTF-8") from error
    return [line for line in lines if line and not line.startswith("#")]
