"""Render ProgressEvents on stderr: a live bar with numbers and time left on a terminal, sparse plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from sightline.cli.terminal import format_duration, format_value, make_console
from sightline.core.progress import OnProgress, ProgressEvent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

CURVE_WIDTH = 16  # characters of a curve
CURVE_MARKS = "▁▂▃▄▅▆▇█"
CURVE_METRICS = ("loss", "metric")
PLAIN_LINES = 10  # without a terminal, so many lines per stage


@contextmanager
def show_progress() -> Iterator[OnProgress]:
    """Give a listener that shows every event while the block runs."""
    console = make_console(to_stderr=True)
    if not console.is_terminal:
        yield PlainProgress(console)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[numbers]}"))
    with Progress(*columns, console=console) as bars:
        yield LiveProgress(bars)


class LiveProgress:
    """One bar per stage."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._curves: dict[str, Curve] = {}

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        if event.message:
            self._bars.console.print(event.message, markup=False, highlight=False)
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._bars.add_task(escape(event.stage), total=None, numbers="")
        self._bars.update(
            self._tasks[event.stage],
            total=None if event.progress is None else 1.0,
            completed=event.progress or 0.0,
            numbers=escape(format_numbers(event)) + self._draw_curves(event),
        )

    def _draw_curves(self, event: ProgressEvent) -> str:
        """The course so far of `loss` and `metric`, where an event tells them."""
        if event.progress is None:
            return ""
        drawn = ""
        for name in CURVE_METRICS:
            if name in event.metrics:
                curve = self._curves.setdefault(name, Curve())
                curve.add(event.progress, event.metrics[name])
                drawn += f"  {name} {curve.draw()}"
        return drawn


class Curve:
    """A number over progress 0..1 as one line of bars: the mean of each of `CURVE_WIDTH` equal parts of the way."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[float, int]] = {}

    def add(self, progress: float, value: float) -> None:
        """Take a value."""
        part = min(int(progress * CURVE_WIDTH), CURVE_WIDTH - 1)
        total, count = self._sums.get(part, (0.0, 0))
        self._sums[part] = (total + value, count + 1)

    def draw(self) -> str:
        """The bars of the parts that have values, from the lowest mark to the highest."""
        means = [total / count for _, (total, count) in sorted(self._sums.items())]
        low, high = min(means, default=0.0), max(means, default=0.0)
        step = (high - low) / (len(CURVE_MARKS) - 1)
        return "".join(CURVE_MARKS[round((mean - low) / step) if step > 0 else 0] for mean in means)


class PlainProgress:
    """A line per tenth of each stage and per message; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next: dict[str, int] = {}  # number of the line of a stage that is due next

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event, or leave it out when little has changed."""
        if event.message:
            self._print(f"{event.stage}: {event.message}")
        line = int((event.progress or 0.0) * PLAIN_LINES + 1e-9)
        if line < self._next.get(event.stage, 0):
            return
        self._next[event.stage] = line + 1
        percent = "" if event.progress is None else f" {event.progress:.0%}"
        self._print(f"{event.stage}{percent}  {format_numbers(event)}".rstrip())

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def format_numbers(event: ProgressEvent) -> str:
    """The event's metrics and the time left: `loss 0.42  mAP 0.61  3 min 20 s left`."""
    parts = [f"{name} {format_value(value)}" for name, value in event.metrics.items()]
    if event.remaining_s is not None and (event.progress or 0.0) < 1.0:
        parts.append(f"{format_duration(event.remaining_s)} left")
    return "  ".join(parts)
