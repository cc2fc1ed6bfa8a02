"""A table for terminals of any width, which cuts nothing."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

ENDLESS_WIDTH = 100_000  # characters


class FittingTable(Table):
    """One space between columns where more do not fit; give columns `overflow="fold"`, and cells go on in the next line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        is_dense = Measurement.get(console, options.update(max_width=ENDLESS_WIDTH), self).maximum > options.max_width
        if is_dense:
            self.padding, self.show_edge = 0, False
        yield from super().__rich_console__(console, options)
        if is_dense:
            yield Text()  # the edge was an empty line
