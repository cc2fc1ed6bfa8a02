"""Where a command writes: results for people or one JSON object on stdout, everything else on stderr."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.text import Text

from sightline.core.fitting_table import ENDLESS_WIDTH, FittingTable


def make_console(to_stderr: bool) -> Console:
    """A console that wraps at the terminal's width, and not in a pipe or log file, whose readers want rows and paths whole."""
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else ENDLESS_WIDTH, highlight=False, emoji=False)


class Terminal:
    """Output of one command.

    Args:
        as_json: `finish` prints its result as one JSON line on stdout, and what people read goes to stderr.
        workspace: as --workspace names it, None where that was left out.
    """

    def __init__(self, as_json: bool, workspace: Path | None = None) -> None:
        self.as_json = as_json
        self.workspace = workspace
        self.console = make_console(to_stderr=as_json)

    def say(self, line: str) -> None:
        """One line for people, as it is: brackets are no markup, long paths are not wrapped."""
        from sightline.data.conversion import replace_surrogates

        self.console.print(replace_surrogates(line), markup=False, soft_wrap=True)

    def tell(self, sentence: str, style: str = "") -> None:
        """A sentence for people, wrapped between words; brackets are no markup."""
        from sightline.data.conversion import replace_surrogates

        self.console.print(replace_surrogates(sentence), markup=False, style=style)

    def say_next(self, *commands: Sequence[str | Path]) -> None:
        """The commands that usually follow, to be copied into a shell; they work in the workspace that this one worked in."""
        place = () if self.workspace is None else ("--workspace", self.workspace)
        lines = (shlex.join(map(str, ("sightline", *command, *place))) for command in commands)
        self.say(f"next: {'   or   '.join(lines)}")

    def show(self, renderable: RenderableType) -> None:
        """A table or panel for people."""
        self.console.print(renderable)

    def note(self, line: str) -> None:
        """A line that is no result, on stderr."""
        sys.stderr.write(line + "\n")

    def finish(self, result: dict[str, Any]) -> None:
        """The result for programs; printed with --json only."""
        if self.as_json:
            write_json_line(result)


def write_json_line(content: dict[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    from sightline.data.conversion import replace_surrogates

    sys.stdout.write(replace_surrogates(json.dumps(content, default=encode_value, ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def encode_value(value: object) -> object:
    """What JSON has no form for: paths as text, records as objects."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "__struct_fields__"):
        import msgspec

        return msgspec.to_builtins(value)
    raise TypeError(f"expected something JSON can hold, got {type(value).__name__}")


def make_table(headings: list[str], rows: list[list[object]], title: str | None = None) -> RenderableType:
    """A plain table; numbers are aligned to the right, None is shown as a dash."""
    table = FittingTable(box=SIMPLE_HEAD)
    for column, heading in enumerate(headings):
        numeric = any(isinstance(row[column], (int, float)) for row in rows)
        table.add_column(escape(heading), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(format_value(value)) for value in row))
    # A line of its own: a table's title would be wrapped at the width of the table.
    return table if title is None else Group(Text(title, style="bold"), table)


def format_value(value: object) -> str:
    """A cell: floats with four significant digits, None as a dash."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_count(count: int, noun: str) -> str:
    """A number and its noun: `1 stream`, `2 streams`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """A duration as people read it: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_size(size_bytes: float) -> str:
    """A size as people read it, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"
