"""An inference sweep on disk: a folder of `sweep.json`, `sweep.csv`, `sweep.html` (it needs nothing else) and plots."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
from markupsafe import Markup

from sightline.bench.inference_sweep.plots import draw_sweep_plots
from sightline.bench.inference_sweep.records import SweepContent, SweepRow, choose_widest_rows, flatten_row
from sightline.bench.inference_sweep.tables import (
    ANSWER_HEADINGS,
    TIME_HEADINGS,
    describe_sweep,
    format_answers,
    format_times,
)
from sightline.bench.pages import load_templates
from sightline.bench.plots import Plot
from sightline.core.folders import new_folder, write_file_atomic

CONTENT_NAME, TABLE_NAME, PAGE_NAME = "sweep.json", "sweep.csv", "sweep.html"
PLOTS_FOLDER = "plots"


def save_sweep(content: SweepContent, target: Path) -> Path:
    """Write the folder whole or not at all; returns its page. Raises: Conflict when it exists."""
    with new_folder(target) as folder:
        plots = draw_sweep_plots(content)
        write_file_atomic(folder / CONTENT_NAME, msgspec.json.format(msgspec.json.encode(content), indent=2))
        write_file_atomic(folder / TABLE_NAME, render_csv(content).encode())
        for plot in plots:
            write_file_atomic(folder / PLOTS_FOLDER / f"{plot.name}.png", plot.png)
        write_file_atomic(folder / PAGE_NAME, render_sweep(content, plots).encode())
    return target / PAGE_NAME


def render_csv(content: SweepContent) -> str:
    """A line for each row, headed by the names of its statistics; a cell without a value is empty."""
    lines = [flatten_row(content, row) for row in content.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def render_sweep(content: SweepContent, plots: Sequence[Plot]) -> str:
    """The page."""
    best = [find_best(content.rows, precision) for precision in content.plan.precisions]
    return (
        load_templates()
        .get_template("sweep.html")
        .render(
            content=content,
            plots=[(plot.title, Markup(plot.svg)) for plot in plots],  # drawn by us, escaped there
            best=best,
            widest=choose_widest_rows(content),
            facts=describe_sweep(content),
            tables=[
                (TIME_HEADINGS, [format_times(row) for row in content.rows]),
                (ANSWER_HEADINGS, [format_answers(row) for row in content.rows]),
            ],
        )
    )


def find_best(rows: Sequence[SweepRow], precision: str) -> SweepRow:
    """The row of a precision with the most pictures a second."""
    return max((row for row in rows if row.precision == precision), key=lambda row: row.median_pictures_per_s)
