"""The three plots of an inference sweep: latency and throughput over the batch size, and accuracy, by precision."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from sightline.bench.inference_sweep.records import SweepContent, SweepRow, choose_widest_rows
from sightline.bench.plots import INK, PLOT_HEIGHT, SERIES, Plot, draw_plot
from sightline.core.percent import format_percent
from sightline.metrics.intervals import Z_95


def draw_sweep_plots(content: SweepContent) -> list[Plot]:
    """Latency, throughput and, for classification, accuracy."""
    plots = [
        draw_plot("latency", "Latency of one batch", PLOT_HEIGHT, _plot_latency, content),
        draw_plot("throughput", "Throughput", PLOT_HEIGHT, _plot_throughput, content),
    ]
    if any(row.top1 is not None for row in content.rows):
        plots.append(draw_plot("accuracy", "Accuracy", PLOT_HEIGHT, _plot_accuracy, content))
    return plots


def compute_wilson_interval(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    Args:
        share: seen, 0..1.
        count: pictures it was seen on, at least 1.
    """
    z2 = Z_95 * Z_95
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def _plot_latency(axes: Axes, content: SweepContent) -> None:
    """Median milliseconds of an iteration; the band is from the shortest one to the 90th percentile."""
    for colour, rows in _by_precision(content):
        sizes = [row.batch_size for row in rows]
        axes.fill_between(sizes, [row.ms.minimum for row in rows], [row.ms.p90 for row in rows], color=colour, alpha=0.16, lw=0)
        axes.plot(sizes, [row.ms.p50 for row in rows], "o-", color=colour, linewidth=1.8, markersize=4, label=rows[0].precision)
    axes.set_ylabel("ms a batch (median; band: shortest to p90)")
    _finish(axes, content)


def _plot_throughput(axes: Axes, content: SweepContent) -> None:
    """Pictures a second by the median iteration."""
    for colour, rows in _by_precision(content):
        sizes, rates = [row.batch_size for row in rows], [row.median_pictures_per_s for row in rows]
        axes.plot(sizes, rates, "o-", color=colour, linewidth=1.8, markersize=4, label=rows[0].precision)
    axes.set_ylabel("pictures per second (by the median)")
    _finish(axes, content)


def _plot_accuracy(axes: Axes, content: SweepContent) -> None:
    """Top-1 and top-5 of each precision with 95 % intervals, at the batch size that saw the most pictures."""
    widest = choose_widest_rows(content)
    kinds = ["top-1", "top-5"] if any(row.top5 is not None for row in widest.values()) else ["top-1"]
    width = 0.8 / len(widest)
    for lane, (precision, row) in enumerate(widest.items()):
        for place, share in enumerate((row.top1, row.top5)):
            if share is None:
                continue
            x = place + (lane - (len(widest) - 1) / 2) * width
            low, high = compute_wilson_interval(share, max(1, row.labelled_pictures))
            label = precision if place == 0 else None
            axes.bar(x, share * 100, width * 0.92, color=SERIES[lane % len(SERIES)], label=label)
            axes.errorbar(x, share * 100, yerr=[[(share - low) * 100], [(high - share) * 100]], color=INK, lw=1, capsize=3)
            top = (x, high * 100)
            axes.annotate(format_percent(share, 1), top, (0, 4), textcoords="offset points", ha="center", color=INK, fontsize=8)
    pictures = {row.labelled_pictures for row in widest.values()}
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(ylim=(0, 124), ylabel=f"% right of {max(pictures):,} labelled pictures (whisker: 95 %)", yticks=range(0, 101, 20))
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper left", fontsize=8, ncols=len(widest))


def _by_precision(content: SweepContent) -> list[tuple[str, Sequence[SweepRow]]]:
    """A colour and the rows of each precision, by batch size."""
    ordered = sorted(content.rows, key=lambda row: row.batch_size)
    return [
        (SERIES[lane % len(SERIES)], [row for row in ordered if row.precision == precision])
        for lane, precision in enumerate(content.plan.precisions)
    ]


def _finish(axes: Axes, content: SweepContent) -> None:
    """Batch sizes below, everything from zero."""
    sizes = sorted(content.plan.batch_sizes)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlim(0, sizes[-1] * 1.05 + 0.5)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.18)
    axes.set_xlabel("batch size")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8)  # above: lines may be anywhere in the plot
