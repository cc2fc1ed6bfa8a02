"""`sightline import NETWORK`: a network trained elsewhere becomes a Model that is proven to compute the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal, make_table
from sightline.core.percent import format_percent

if TYPE_CHECKING:
    from sightline.compiler.importers.importer import ImportOptions, StatedInput
    from sightline.compiler.importing.import_network import ImportResult, Meaning
    from sightline.core.workspace import Workspace
    from sightline.data.versions import DatasetVersion

COLOURS = ("RGB", "BGR", "GRAY")
RESIZES = ("letterbox", "stretch", "centre_crop")
SHRINKS = ("area", "bilinear")


class NetworkArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The options only a network has, as they were typed; a default means "not said"."""

    framework: str = "auto"
    weights: Path | None = None
    architecture: str | None = None
    preset: str | None = None
    probe: str | None = None
    pictures: str | None = None
    width: int | None = None
    height: int | None = None
    colour: str | None = None
    mean: str | None = None
    std: str | None = None
    resize: str | None = None
    shrink: str | None = None
    head: str | None = None
    head_parameters: str | None = None
    outputs: str | None = None
    background: bool = False
    confidence: float | None = None


def is_network(source: Path, asked: NetworkArguments) -> bool:
    """Whether the source is a network. Raises: InvalidInput when options of a network were given for something else."""
    from sightline.compiler.importers.table import find_importer
    from sightline.core.errors import InvalidInput

    if asked.framework != "auto" or find_importer(source) is not None:
        return True
    if asked != NetworkArguments() and source.exists():
        raise InvalidInput(f"expected a network for these options, got {source}, which looks like none; name its --framework")
    return False


def import_network_file(
    terminal: Terminal, home: "Workspace", source: Path, name: str, names: list[str] | None, asked: NetworkArguments, seed: int
) -> None:
    """Import a network into the workspace and say what came of it."""
    from sightline.compiler.importing.import_network import import_network

    probe = _open_version(home, asked.probe)
    pictures: DatasetVersion | Path | None = None
    if asked.pictures is not None:
        pictures = Path(asked.pictures) if is_plain_folder(home, asked.pictures) else _open_version(home, asked.pictures)
    with show_progress() as on_progress:
        result = import_network(
            source,
            home,
            name,
            framework=asked.framework,
            options=make_options(asked),
            meaning=make_meaning(asked, names),
            probe=probe,
            pictures=pictures,
            seed=seed,
            on_progress=on_progress,
        )
    show_model(terminal, result)


def is_plain_folder(home: "Workspace", text: str) -> bool:
    """A folder of pictures rather than a dataset version; what is a dataset's name too means the dataset, as elsewhere."""
    from sightline.core.folders import MANIFEST_NAME

    return Path(text).is_dir() and not (Path(text) / MANIFEST_NAME).is_file() and text not in home.names("datasets")


def make_options(asked: NetworkArguments) -> "ImportOptions":
    """What the importer is told."""
    from sightline.compiler.importers.importer import ImportOptions

    return ImportOptions(
        weights=asked.weights,
        architecture=asked.architecture,
        outputs=tuple(part.strip() for part in asked.outputs.split(",")) if asked.outputs else (),
        width=asked.width,
        height=asked.height,
        channels={"GRAY": 1, "RGB": 3, "BGR": 3}.get(asked.colour or ""),
    )


def make_meaning(asked: NetworkArguments, names: list[str] | None) -> "Meaning":
    """What the user says of inputs and outputs. Raises: InvalidInput."""
    from sightline.compiler.importing.import_network import Meaning

    return Meaning(
        stated=_make_stated(asked),
        preset=asked.preset,
        categories=tuple(names) if names is not None else None,
        background=asked.background,
        head=asked.head,
        head_parameters=read_parameters(asked.head_parameters),
        confidence=asked.confidence,
    )


def read_parameters(text: str | None) -> dict[str, Any]:
    """A JSON object, typed or in a file. Raises: InvalidInput."""
    from sightline.core.errors import InvalidInput

    if text is None:
        return {}
    content = text.encode() if text.lstrip().startswith("{") else Path(text).read_bytes()
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"expected --head-parameters as a JSON object or a file that holds one, got {text[:60]!r}: {error}"
        ) from error


def show_model(terminal: Terminal, result: "ImportResult") -> None:
    """What was made, how it was checked, and how pictures are fed."""
    from sightline.compiler.importing.input_specs import describe_spec
    from sightline.compiler.importing.verification import describe_verification
    from sightline.core.manifests import compute_manifest_id

    manifest = result.manifest
    identity = compute_manifest_id(manifest)
    if result.probe:
        rows: list[list[object]] = [[row.preset, describe_spec(row.input), format_percent(row.score)] for row in result.probe]
        terminal.show(make_table(["Way of feeding", "Input", result.probe[0].metric], rows))
    for note in result.notes:
        terminal.note(note)
    terminal.tell(describe_verification(result.verification))
    kept = ", kept in INT8 as it came" if manifest.precision == "int8" else ""
    terminal.say(
        f"model {manifest.name}@{identity[:8]}: {manifest.task} of {len(manifest.categories)} categories, "
        f"{manifest.parameter_count:,} parameters, fed {describe_spec(manifest.input)}{kept}"
    )
    terminal.say(f"folder: {result.folder}")
    terminal.say_next(["compile", manifest.name, "--data", "DATASET"])
    terminal.finish(
        {
            "model": manifest.name,
            "id": identity,
            "folder": result.folder,
            "manifest": manifest,
            "verification": result.verification,
            "probe": result.probe,
            "notes": result.notes,
        }
    )


def _make_stated(asked: NetworkArguments) -> "StatedInput":
    from sightline.compiler.importers.importer import StatedInput
    from sightline.compiler.importing.input_specs import parse_numbers

    return StatedInput(
        colour=_check_choice("--colour", asked.colour, COLOURS),  # type: ignore[arg-type]
        mean=parse_numbers(asked.mean, "--mean") if asked.mean else None,
        std=parse_numbers(asked.std, "--std") if asked.std else None,
        shrink=_check_choice("--shrink", asked.shrink, SHRINKS),  # type: ignore[arg-type]
        resize=_check_choice("--resize", asked.resize, RESIZES),  # type: ignore[arg-type]
    )


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    from sightline.core.errors import InvalidInput

    if value is not None and value not in choices:
        raise InvalidInput(f"expected {option} {', '.join(choices)}, got {value!r}")
    return value


def _open_version(home: "Workspace", reference: str | None) -> "DatasetVersion | None":
    from sightline.data.versions import open_version

    return open_version(home.find("datasets", reference)) if reference is not None else None
