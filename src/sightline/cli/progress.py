"""Render ProgressEvents on stderr: a live bar with numbers and time left on a terminal, sparse plain lines elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.markup import escape
from rich.measure import Measurement
from rich.text import Text

from sightline.cli.terminal import format_duration, format_value, make_console
from sightline.core.percent import format_percent
from sightline.core.progress import OnProgress, ProgressEvent

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

CURVE_WIDTH = 16  # characters of a curve
CURVE_MARKS = "▁▂▃▄▅▆▇█"
CURVE_METRICS = ("loss", "metric")
LAST_METRICS = ("learning_rate",)  # the first that is left out where the terminal is narrow
GAP = "  "
BAR_SHARE = 5  # a bar takes so much less than the terminal's width
PLAIN_LINES = 10  # without a terminal, so many lines per stage


@contextmanager
def show_progress() -> Iterator[OnProgress]:
    """Give a listener that shows every event while the block runs."""
    console = make_console(to_stderr=True)
    if not console.is_terminal:
        yield PlainProgress(console)
        return
    with make_bars(console) as bars:
        live = LiveProgress(bars)
        try:
            yield live
        finally:
            live.stop()


def make_bars(console: Console) -> "Progress":
    """Name, bar, percent and time left, which keep their place, then as many numbers as there is room for."""
    from rich.progress import BarColumn, Progress, RenderableColumn, TaskProgressColumn, TextColumn
    from rich.table import Column

    class NumbersColumn(RenderableColumn):
        def render(self, task: "Task") -> "FittingParts":
            return FittingParts(task.fields["numbers"])

    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=max(4, console.width // BAR_SHARE)),
        TaskProgressColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        NumbersColumn(table_column=Column(no_wrap=True, ratio=1)),
        console=console,
        expand=True,
    )


class FittingParts:
    """Texts in a row, each whole or left out: the first ones that fit into the room there is."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        line = ""
        for part in self._parts:
            longer = f"{line}{GAP}{part}" if line else part
            if cell_len(longer) > options.max_width:
                break
            line = longer
        yield Text(line, no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)


class LiveProgress:
    """One bar, of the stage that spoke last: what went before is done, or waits."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._name_width = 0  # of the longest stage so far, so that the bar keeps its place
        self._curves: dict[str, Curve] = {}

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        if event.message:
            self._bars.console.print(event.message, markup=False, highlight=False)
        if self._task is None:
            self._task = self._bars.add_task("", total=None, left="", numbers=())
        self._name_width = max(self._name_width, cell_len(event.stage))
        self._bars.update(
            self._task,
            description=escape(set_cell_size(event.stage, self._name_width)),
            total=None if event.progress is None else 1.0,
            completed=event.progress or 0.0,
            left=format_left(event),
            numbers=self._sort_numbers(event),
        )

    def stop(self) -> None:
        """What stays on the screen says no time left: nothing goes on."""
        if self._task is not None:
            self._bars.update(self._task, left="")

    def _sort_numbers(self, event: ProgressEvent) -> list[str]:
        """Numbers and curves, the least wanted last."""
        first = {name: value for name, value in event.metrics.items() if name not in LAST_METRICS}
        last = {name: value for name, value in event.metrics.items() if name in LAST_METRICS}
        return [*list_numbers(first), *self._draw_curves(event), *list_numbers(last)]

    def _draw_curves(self, event: ProgressEvent) -> list[str]:
        """The course so far of `loss` and `metric`, where an event tells them."""
        if event.progress is None:
            return []
        drawn = []
        for name in CURVE_METRICS:
            if name in event.metrics:
                curve = self._curves.setdefault(name, Curve())
                curve.add(event.progress, event.metrics[name])
                drawn.append(f"{name} {curve.draw()}")
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
        percent = "" if event.progress is None else f" {format_percent(event.progress, 0)}"
        self._print(f"{event.stage}{percent}  {format_numbers(event)}".rstrip())

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def format_numbers(event: ProgressEvent) -> str:
    """The event's metrics and the time left: `loss 0.42  mAP 0.61  3 min 20 s left`."""
    return GAP.join(part for part in (*list_numbers(event.metrics), format_left(event)) if part)


def list_numbers(metrics: Mapping[str, float]) -> list[str]:
    """Each with its name."""
    return [f"{name} {format_value(value)}" for name, value in metrics.items()]


def format_left(event: ProgressEvent) -> str:
    """The time left: `3 min 20 s left`; empty where it is not known or all is done."""
    if event.remaining_s is None or (event.progress or 0.0) >= 1.0:
        return ""
    return f"{format_duration(event.remaining_s)} left"
