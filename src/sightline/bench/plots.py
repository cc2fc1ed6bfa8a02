"""The plots of a Report. Each is drawn once and kept twice: PNG for people and other programs, SVG for the HTML page.

The idea that makes one drawing fit a light and a dark page: every colour below is replaced in the SVG by a CSS variable of the
page (`INK` by `var(--ink)`), and text stays text, so the page decides how the plot looks.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sightline.bench.records import STAGE_NAMES, LatencyResult, ReportContent, choose_category_metric, sort_categories
from sightline.core.categories import shorten
from sightline.core.percent import format_percent
from sightline.core.percentiles import FEW_MARK, has_percentile, mark_few

Content = TypeVar("Content")
INK, MUTED, GRID, PAPER = "#1c2330", "#667085", "#e3e7ee", "#ffffff"
SERIES = ("#2f6fed", "#e8743b", "#19a979", "#945ecf", "#c4417a", "#13a4b4", "#8a8d2b", "#5b6b8c")
CSS_NAMES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)
}
STYLE: Any = {  # matplotlib types the keys as one long Literal
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a category named "$" is a name, not a formula
    "svg.hashsalt": "sightline",
}
PLOT_WIDTH, PLOT_HEIGHT = 5.4, 3.2  # inches; the page shows them at about 90 pixels an inch
MAX_BARS = 40
DOTS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}  # where on a curve of shares
MAX_CONFUSION = 40
CELL_TEXT_LIMIT = 12  # categories up to which a confusion cell has room for its number


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A finished plot: `title` is what it shows, one phrase."""

    name: str
    title: str
    png: bytes
    svg: str


def draw_plots(content: ReportContent) -> list[Plot]:
    """All plots this Report has numbers for, in reading order."""
    plots = []
    accuracy = content.accuracy
    if accuracy.per_category:
        height = max(PLOT_HEIGHT, 0.8 + 0.26 * min(len(accuracy.per_category), MAX_BARS))
        plots.append(draw_plot("categories", "Accuracy by category", height, _plot_categories, content))
    if accuracy.curves:
        plots.append(draw_plot("precision_recall", "Precision over recall", PLOT_HEIGHT, _plot_curves, content))
    if accuracy.confusion and len(accuracy.confusion) <= MAX_CONFUSION:
        height = max(PLOT_HEIGHT, 1.0 + 0.3 * len(accuracy.confusion))
        plots.append(draw_plot("confusion", "Confusion matrix", height, _plot_confusion, content))
    if content.latency:
        plots.append(draw_plot("latency", "Latency of one call", PLOT_HEIGHT, _plot_latency, content))
    if content.throughput:
        plots.append(draw_plot("throughput", "Throughput", PLOT_HEIGHT, _plot_throughput, content))
    return plots


def draw_plot(name: str, title: str, height: float, plot: Callable[[Axes, Content], None], content: Content) -> Plot:
    """Draw one plot with `plot(axes, content)`; `height` in inches."""
    with rc_context(STYLE), warnings.catch_warnings():
        # A script the font lacks shows boxes in the PNG; the page's own fonts show it in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(PLOT_WIDTH, height), layout="constrained")
        plot(figure.add_subplot(), content)
        png, svg = io.BytesIO(), io.StringIO()
        figure.savefig(png, format="png", dpi=150)
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return Plot(name=name, title=title, png=png.getvalue(), svg=theme_svg(svg.getvalue()))


def theme_svg(svg: str) -> str:
    """The SVG element alone, its colours replaced by the page's CSS variables, its text in the page's font."""
    svg = svg[svg.index("<svg") :]
    for colour, variable in CSS_NAMES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("'DejaVu Sans'", "inherit")


def _plot_categories(axes: Axes, content: ReportContent) -> None:
    """Bars of the first metric, the worst category on top."""
    metric = choose_category_metric(content)
    rows = [(name, row) for name, row in sort_categories(content) if metric in row]
    shown = rows[:MAX_BARS][::-1]
    values = [row[metric] for _, row in shown]
    bars = axes.barh(range(len(shown)), values, color=SERIES[0], height=0.62)  # by place: two names may be shortened to one
    axes.set_yticks(range(len(shown)), [shorten(name) for name, _ in shown])
    axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=4, color=INK, fontsize=8)
    axes.set_xlim(0, 1.08)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(metric + (f" (the {MAX_BARS} worst of {len(rows)} categories)" if len(rows) > MAX_BARS else ""))


def _plot_curves(axes: Axes, content: ReportContent) -> None:
    """A curve for each of the worst categories, as many as there are colours."""
    order = {name: place for place, (name, _) in enumerate(sort_categories(content))}
    curves = sorted(content.accuracy.curves, key=lambda curve: order.get(curve.category, len(order)))
    left_out = len(curves) > len(SERIES)
    for index, curve in enumerate(curves[: len(SERIES)]):
        axes.plot(curve.recall, curve.precision, color=SERIES[index], linewidth=1.8, label=shorten(curve.category))
    recall = "recall" + (f" (the {len(SERIES)} worst of {len(curves)} categories)" if left_out else "")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel=recall, ylabel="precision at IoU 0.5 (boxes)")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)  # above: curves may be anywhere in the plot


def _plot_confusion(axes: Axes, content: ReportContent) -> None:
    """Each row's shares; an empty row stays empty."""
    counts = np.array(content.accuracy.confusion, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [shorten(name, 16) for name in content.accuracy.confusion_names]
    # Opacity instead of a colour map, so that the same drawing fits both themes.
    for row, column in np.argwhere(shares > 0):
        colour = SERIES[0] if row == column else SERIES[1]
        axes.fill_between(
            [column - 0.5, column + 0.5],
            row - 0.5,
            row + 0.5,
            color=colour,
            alpha=0.08 + 0.8 * shares[row, column],
            linewidth=0,
        )
    if len(names) <= CELL_TEXT_LIMIT:
        for row, column in np.argwhere(shares >= 0.005):
            axes.text(column, row, format_percent(shares[row, column], 0), ha="center", va="center", fontsize=8, color=INK)
    axes.set(
        xlim=(-0.5, len(names) - 0.5),
        ylim=(len(names) - 0.5, -0.5),
        xlabel="predicted (cells: share of the row)",
        ylabel="truth",
    )
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)


def _plot_latency(axes: Axes, content: ReportContent) -> None:
    """Share of the calls that took at most so long, one curve per stage and batch size; dots at p50, p90 and p99."""
    for index, result in enumerate(content.latency):
        samples = np.sort(result.samples_ms)
        colour = SERIES[index % len(SERIES)]
        axes.step(samples, np.arange(1, len(samples) + 1) / len(samples), where="post", color=colour, linewidth=1.8)
        marks = [(getattr(result.ms, name), share) for name, share in DOTS.items() if has_percentile(name, result.ms.count)]
        label = _name_latency(result) + mark_few("p99", result.ms.count)
        axes.plot(*np.reshape(marks, (-1, 2)).T, "o", color=colour, markersize=4, label=label)
    axes.set_xscale("log")
    ticks = _log_ticks(content.latency)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    dots = name_dots([result.ms.count for result in content.latency])
    axes.set(ylim=(0, 1.03), xlabel=f"milliseconds per call (log scale; {dots})", ylabel="share of calls done")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)  # above, as well


def name_dots(counts: Sequence[int]) -> str:
    """What the dots on curves of so many times each are: percentiles, but none that there are too few for."""
    few = f"; {FEW_MARK} too few for a p99" if any(mark_few("p99", count) for count in counts) else ""
    return f"dots: {', '.join(DOTS)}{few}"


def _log_ticks(latency: Sequence[LatencyResult]) -> list[float]:
    low = min(result.ms.minimum for result in latency)
    high = max(result.ms.maximum for result in latency)
    ladder = [factor * 10.0**power for power in range(-3, 6) for factor in (1, 2, 5)]
    inside = [tick for tick in ladder if low / 2 <= tick <= high * 2]
    return inside or [low]


def _plot_throughput(axes: Axes, content: ReportContent) -> None:
    """Bars by batch size, one colour per stream count; the whisker spans the repeats."""
    streams = sorted({point.streams for point in content.throughput})
    sizes = sorted({point.batch_size for point in content.throughput})
    width = 0.76 / len(streams)
    for lane, count in enumerate(streams):
        points = {point.batch_size: point for point in content.throughput if point.streams == count}
        for position, size in enumerate(sizes):
            if size not in points:
                continue
            point = points[size]
            x = position + (lane - (len(streams) - 1) / 2) * width
            spread = [[point.images_per_s - min(point.repeats)], [max(point.repeats) - point.images_per_s]]
            label = f"{count} stream{'s' if count > 1 else ''}" if size == min(points) else None
            axes.bar(x, point.images_per_s, width * 0.92, color=SERIES[lane % len(SERIES)], label=label)
            axes.errorbar(x, point.images_per_s, yerr=np.maximum(spread, 0), color=INK, linewidth=1, capsize=3)
            top = (x, max(point.repeats))
            axes.annotate(
                f"{point.images_per_s:.1f}", top, (0, 5), textcoords="offset points", ha="center", color=INK, fontsize=8
            )
    axes.set_xticks(range(len(sizes)), [f"batch {size}" for size in sizes])
    axes.margins(y=0.25)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("pictures per second")
    axes.legend(loc="upper left", fontsize=8, ncols=len(streams))


def _name_latency(result: LatencyResult) -> str:
    return f"{STAGE_NAMES[result.stage]}, batch {result.batch_size}"
