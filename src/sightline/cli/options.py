"""Options that several commands share, each written once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sightline.core.workspace import Workspace

SERVER = "Server"  # the group of these options in the help

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line of stdout; all other text goes to stderr.")
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", help="Folder of datasets, models, artifacts, deployments and reports; by default $SIGHTLINE_WORKSPACE."
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of everything random; the same seed gives the same result.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Ask the server at this URL instead of opening the deployment here.", rich_help_panel=SERVER),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-env", help="Environment variable that holds the API key for the server at --url.", rich_help_panel=SERVER
    ),
]
CaFileOption = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        help="PEM file of the authorities to trust for an https --url instead of the system's.",
        rich_help_panel=SERVER,
    ),
]
ClientCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--client-certificate",
        help="PEM file of a certificate to show to a server at --url that asks for one.",
        rich_help_panel=SERVER,
    ),
]
ClientKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--client-key",
        help="PEM file of that certificate's private key; by default in the file of --client-certificate.",
        rich_help_panel=SERVER,
    ),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option("--confidence", min=0.0, max=1.0, help="Drop predictions below this confidence; by default the model's own."),
]


def open_workspace(root: Path | None) -> "Workspace":
    """The workspace a command works in."""
    from sightline.core.settings import read_settings
    from sightline.core.workspace import Workspace

    return Workspace(root if root is not None else read_settings().workspace)


def parse_counts(text: str, option: str) -> tuple[int, ...]:
    """Read "1,8" as (1, 8). Raises: InvalidInput."""
    from sightline.core.errors import InvalidInput

    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise InvalidInput(f"expected {option} as numbers above 0 with commas, such as 1,8, got {text!r}")
    return counts


def read_api_key(variable: str | None) -> str | None:
    """The key in the variable of `--api-key-env`, if one was named. Raises: NotFound when it is not set."""
    from sightline.core.settings import read_secret

    return None if variable is None else read_secret(variable)


def list_given(arguments: Any) -> dict[str, bool]:
    """Which options were given, by name. Args: arguments: a record of them, whose defaults mean "not said"."""
    plain = type(arguments)()
    names = arguments.__struct_fields__
    return {f"--{name.replace('_', '-')}": getattr(arguments, name) != getattr(plain, name) for name in names}


def refuse_options(mode: str, options: dict[str, Any]) -> None:
    """Refuse what would be ignored. Raises: InvalidInput naming the options of the other mode that were given."""
    from sightline.core.errors import InvalidInput

    given = [name for name, value in options.items() if value]
    if given:
        raise InvalidInput(f"expected the options of {mode}, got {', '.join(given)} too; leave one out")
