"""An inference sweep on disk: a folder of `sweep.json`, `sweep.csv`, `sweep.html` (it needs nothing else) and plots."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

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
from sightline.bench.pages import load_templates, write_page
from sightline.bench.plots import Plot
from sightline.core.folders import new_folder, write_file_atomic


def save_sweep(content: SweepContent, target: Path) -> Path:
    """Write the folder whole or not at all; returns its page. Raises: Conflict when it exists."""
    with new_folder(target) as folder:
        plots = draw_sweep_plots(content)
        write_page(folder, "sweep", content, plots, render_sweep(content, plots))
        write_file_atomic(folder / "sweep.csv", render_csv(content).encode())
    return target / "sweep.html"


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
