"""Write the reference pages beside this file from the code itself: settings, commands, errors, formats, networks, back ends.

`make docs` runs it; a test fails when a page differs from what it writes.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import typer

from sightline.core import errors
from sightline.core.settings import Settings

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by docs/reference/generate.py (make docs); edit the code, not this page. -->\n"


def render_table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def render_settings() -> str:
    """Every setting with its environment variable, type, default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "cores this process may use" if field.default_factory else f"`{field.default}`"
        kind = getattr(field.annotation, "__name__", str(field.annotation))
        rows.append([f"`SIGHTLINE_{name.upper()}`", kind, default, field.description or ""])
    return (
        "# Settings\n\nRead from the environment once, at the start.\n\n"
        + render_table(["Variable", "Type", "Default", "Meaning"], rows)
        + "\n"
    )


def walk_commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """The command and all below it, with the words that call them."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from walk_commands(children[name], f"{path} {name}")


def render_commands() -> str:
    """Every command with its arguments and options."""
    from sightline.cli.main import app

    parts = ["# Commands\n\nEvery command takes `--json`: one JSON object is then the last line on stdout.\n"]
    for path, command in walk_commands(typer.main.get_command(app), "sightline"):
        parts.append(f"## {path}\n\n{(command.help or '').strip()}\n")
        rows = []
        for parameter in command.params:
            names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
            is_argument = parameter.param_type_name == "argument"
            default = "required" if parameter.required else format_default(parameter.default)
            rows.append([names if not is_argument else f"`{parameter.human_readable_name}`", default, help_of(parameter)])
        parts.append(render_table(["Argument or option", "Default", "Meaning"], rows) + "\n")
    return "\n".join(parts)


def format_default(default: Any) -> str:
    """A default value as text; empty when there is none."""
    if default is None or callable(default) or default is False or default == ():
        return ""
    return f"`{default}`"


def help_of(parameter: Any) -> str:
    """Help text of an option or argument."""
    return (getattr(parameter, "help", None) or "").strip()


def render_errors() -> str:
    """Every error with its HTTP status and exit code."""
    rows = []
    for name, error in vars(errors).items():
        if not (isinstance(error, type) and issubclass(error, errors.SightlineError)) or error is errors.SightlineError:
            continue
        status = errors.find_by_head(errors.HTTP_STATUS, error("x"))
        code = errors.find_by_head(errors.EXIT_CODE, error("x"))
        rows.append([f"`{name}`", str(status), str(code), (error.__doc__ or "").splitlines()[0]])
    return "# Errors\n\n" + render_table(["Error", "HTTP status", "Exit code", "Meaning"], rows) + "\n"


def render_registry(title: str, module_name: str, table_name: str) -> str:
    """A table of names and the first line of what they stand for."""
    table = getattr(importlib.import_module(module_name), table_name)
    rows = []
    for name, target in table.items():
        module, _, attribute = target.partition(":")
        thing = getattr(importlib.import_module(module), attribute)
        rows.append([f"`{name}`", (thing.__doc__ or "").strip().splitlines()[0], f"`{module}`"])
    return f"# {title}\n\n" + render_table(["Name", "What it is", "Module"], rows) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": render_settings,
    "commands.md": render_commands,
    "errors.md": render_errors,
    "formats.md": lambda: render_registry("Dataset formats", "sightline.data.formats.table", "FORMATS"),
    "networks.md": lambda: render_registry("Networks", "sightline.models.table", "NETWORKS"),
    "backends.md": lambda: render_registry("Back ends", "sightline.runtime.backends.table", "BACKENDS"),
}


def render_page(name: str) -> str:
    """The text of one reference page."""
    return NOTE + "\n" + PAGES[name]()


def main() -> None:
    """Write every page."""
    for name in PAGES:
        (FOLDER / name).write_text(render_page(name))
        print(f"wrote {FOLDER / name}", file=sys.stderr)


if __name__ == "__main__":
    main()
