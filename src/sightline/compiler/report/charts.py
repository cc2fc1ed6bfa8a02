"""The report's plots, drawn by matplotlib as SVG that takes its text colour from the page, so they suit light and dark."""

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sightline.compiler.comparison import CategoryChange, CompiledComparison
from sightline.compiler.report.records import SpeedRow
from sightline.compiler.tuning.goals import Timing
from sightline.core.categories import shorten
from sightline.core.percent import format_percent
from sightline.runtime.backend import LayerRow

INK = "#010203"  # stands for the page's text colour: replaced by `currentColor`
COLOURS = {"int8": "#2f9e6e", "bf16": "#4c7fd0", "fp32": "#c98a2b", "fp16": "#8a63c7"}
OTHER_COLOUR = "#8b929c"
LINES = ("#2f9e6e", "#4c7fd0", "#c98a2b", "#8a63c7")
MOST_LAYERS = 24
MOST_CATEGORIES = 20
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sightline",
    "text.parse_math": False,  # a category may be called "$"
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
}


def find_colour(precision: str) -> str:
    """Colour of a precision."""
    return COLOURS.get(precision, OTHER_COLOUR)


def draw_layer_chart(layers: Sequence[LayerRow]) -> str:
    """The slowest layers as bars, coloured by precision."""
    slowest = sorted(layers, key=lambda row: -row.time_us)[:MOST_LAYERS][::-1]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 0.8 + 0.22 * len(slowest)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh(range(len(slowest)), [row.time_us for row in slowest], color=[find_colour(row.precision) for row in slowest])
        axes.set_yticks(range(len(slowest)), [name_layer(row) for row in slowest])
        axes.set_xlabel("µs for one picture alone")
        for place, row in enumerate(slowest):
            axes.text(row.time_us, place, f" {format_percent(row.share, 1)}", va="center", fontsize=7.5)
        axes.margins(x=0.09, y=0.01)
        return to_svg(figure, "Time of the slowest layers")


def name_layer(row: LayerRow) -> str:
    """The first source layer fused into it and how many more, or the engine's own name for what it invented."""
    first = row.source_layers[0] if row.source_layers else row.name
    more = f" + {len(row.source_layers) - 1}" if len(row.source_layers) > 1 else ""
    return f"{shorten(first, 30)}{more} · {row.kind}"


def draw_sweep_chart(sweep: Sequence[SpeedRow]) -> str:
    """Throughput, and latency of one stream, over the batch size."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        settings = sorted({(row.streams, row.threads) for row in sweep})
        for (streams, threads), colour in zip(settings, LINES * len(settings), strict=False):
            rows = [row for row in sweep if (row.streams, row.threads) == (streams, threads)]
            label = f"{streams} stream{'s' * (streams > 1)} × {threads} thread{'s' * (threads > 1)}"
            left.plot([row.batch for row in rows], [row.throughput for row in rows], "o-", color=colour, label=label, ms=4)
            single = [(row.batch, row.latency_ms) for row in rows if row.latency_ms is not None]
            if single:
                right.plot([row[0] for row in single], [row[1] for row in single], "o-", color=colour, ms=4)
        _finish_sweep_axes(left, "pictures / s", sweep)
        _finish_sweep_axes(right, "ms for a batch, alone", sweep)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False, fontsize=8)
        return to_svg(figure, "Throughput and latency over batch size")


def _finish_sweep_axes(axes: Axes, label: str, sweep: Sequence[SpeedRow]) -> None:
    batches = sorted({row.batch for row in sweep})
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.set_xlabel("batch size")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.2, color=INK, lw=0.5)


def draw_timing_chart(timings: Sequence[Timing], chosen: str | None) -> str:
    """Throughput of every candidate with every setting; lines span the slowest and the fastest round."""
    ordered = sorted(timings, key=lambda timing: timing.throughput)
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 0.7 + 0.24 * len(ordered)), layout="constrained")
        axes = figure.add_subplot()
        for place, timing in enumerate(ordered):
            colour = find_colour(timing.candidate.split(" ")[1])
            axes.barh(place, timing.throughput, color=colour, alpha=1.0 if timing.candidate == chosen else 0.55)
            axes.plot(timing.throughput_range, [place, place], color=INK, lw=1)
        labels = [f"{timing.candidate} · {timing.streams} × {timing.threads} × {timing.batch}" for timing in ordered]
        axes.set_yticks(range(len(ordered)), labels)
        axes.set_xlabel("pictures / s (streams × threads × batch; line: slowest to fastest round)")
        axes.margins(y=0.01)
        return to_svg(figure, "Speed of every candidate")


def draw_category_chart(comparison: CompiledComparison) -> str:
    """Change of the categories that changed most, with its interval, in points."""
    rows = sort_by_change(comparison.per_category)[:MOST_CATEGORIES][::-1]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 0.8 + 0.26 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, lw=0.6, alpha=0.6)
        for place, row in enumerate(rows):
            change = 100 * (row.candidate - row.baseline)
            if row.low is not None and row.high is not None:
                ends = [100 * row.low, 100 * row.high]
                axes.plot(ends, [place, place], color=LINES[1], lw=2, alpha=0.5, solid_capstyle="butt")
            axes.plot(change, place, "o", color=LINES[1], ms=5)
        axes.set_yticks(range(len(rows)), [shorten(row.category) for row in rows])
        axes.set_xlabel(f"change of {comparison.category_metric}, points, with its 95 % interval")
        axes.margins(y=0.05)
        return to_svg(figure, "Change of accuracy by category")


def sort_by_change(rows: Sequence[CategoryChange]) -> list[CategoryChange]:
    """Categories that changed most first; equal ones stay in their order."""
    return sorted(rows, key=lambda row: -abs(row.candidate - row.baseline))


def to_svg(figure: Figure, title: str) -> str:
    """The figure as an `<svg>` element without background, its ink in the page's text colour."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser draws the text, with fonts of its own
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL).replace(INK, "currentColor")
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)  # ids must be unique in the page
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
