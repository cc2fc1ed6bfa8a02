"""The plots of a load measurement: answers and latency over clients, latency distributions, latency over time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from sightline.bench.load.records import QUANTILES, LoadContent, LoadPoint
from sightline.bench.plots import DOTS, INK, MUTED, PLOT_HEIGHT, SERIES, Plot, draw_plot, name_dots
from sightline.core.percentiles import has_percentile, mark_few


def draw_load_plots(content: LoadContent) -> list[Plot]:
    """All plots there are numbers for, in reading order."""
    plots = []
    closed, opened = split_points(content)
    if closed:
        plots.append(draw_plot("throughput", "Answers a second over clients", PLOT_HEIGHT, _plot_throughput, closed))
    if any(point.answered for point in closed):
        plots.append(draw_plot("latency_clients", "Latency over clients", PLOT_HEIGHT, _plot_latency_clients, closed))
    with_answers = [point for point in content.points if point.quantiles_ms]
    if with_answers:
        plots.append(
            draw_plot("latency_distribution", "How latencies are distributed", PLOT_HEIGHT, _plot_distribution, with_answers)
        )
    for number, point in enumerate(opened, 1):
        if point.quantiles_ms:
            title = f"Latency over time at {point.label}"
            plots.append(draw_plot(f"latency_time_{number}", title, PLOT_HEIGHT, _plot_timeline, point))
    return plots


def split_points(content: LoadContent) -> tuple[list[LoadPoint], list[LoadPoint]]:
    """Closed loops by their clients, and open loops in their order."""
    closed = sorted((point for point in content.points if point.clients is not None), key=lambda point: point.clients or 0)
    return closed, [point for point in content.points if point.clients is None]


def _plot_throughput(axes: Axes, closed: Sequence[LoadPoint]) -> None:
    """Bars, pale where the generator was the limit; refusals are told above them, as there may be a hundred times as many."""
    for place, point in enumerate(closed):
        axes.bar(place, point.answered_per_s, 0.62, color=SERIES[0], alpha=0.25 if point.generator_limited else 1.0)
        shown = f"{point.answered_per_s:.0f}" if point.answered_per_s >= 100 else f"{point.answered_per_s:.1f}"
        at = (place, point.answered_per_s)
        axes.annotate(shown, at, (0, 4), textcoords="offset points", ha="center", color=INK, fontsize=8)
        if point.refused:
            refused = f"+ {point.refused / point.duration_s:.0f} refused"
            axes.annotate(refused, at, (0, 15), textcoords="offset points", ha="center", color=SERIES[1], fontsize=8)
    axes.set_xticks(range(len(closed)), [str(point.clients) for point in closed])
    axes.set_xlim(-0.6, len(closed) - 0.4)
    axes.margins(y=0.25)
    axes.grid(axis="x", visible=False)
    axes.set(xlabel="clients", ylabel="answers per second")
    if any(point.generator_limited for point in closed):
        axes.bar(0, 0, color=SERIES[0], alpha=0.25, label="not valid: the generator was the limit")
        axes.legend(loc="upper left", fontsize=8)


def _plot_latency_clients(axes: Axes, closed: Sequence[LoadPoint]) -> None:
    shown = [(place, point.answered) for place, point in enumerate(closed) if point.answered is not None]
    for colour, name in zip(SERIES, DOTS, strict=False):
        axes.plot([place for place, _ in shown], [getattr(latency, name) for _, latency in shown], color=colour, linewidth=1.8)
        known = [(place, getattr(latency, name)) for place, latency in shown if has_percentile(name, latency.count)]
        axes.plot(*np.reshape(known, (-1, 2)).T, "o", color=colour, markersize=4, label=name)
    axes.set_yscale("log")
    set_log_ticks(axes.yaxis, [getattr(latency, name) for _, latency in shown for name in DOTS])
    axes.set_xticks(range(len(closed)), [str(point.clients) for point in closed])
    axes.set_xlim(-0.3, len(closed) - 0.7)
    few = " (without a dot: read from too few answers)" if any(mark_few("p99", latency.count) for _, latency in shown) else ""
    axes.set(xlabel=f"clients{few}", ylabel="milliseconds (log scale)")
    axes.legend(loc="upper left", fontsize=8)


def _plot_distribution(axes: Axes, points: Sequence[LoadPoint]) -> None:
    """Share of the answers that came within so long, a curve a point; dots at p50, p90 and p99."""
    for index, point in enumerate(points):
        colour = SERIES[index % len(SERIES)]
        axes.plot(point.quantiles_ms, QUANTILES, color=colour, linewidth=1.8)
        count = 0 if point.outcome is None else point.outcome.count
        shares = [share for name, share in DOTS.items() if has_percentile(name, count)]
        marks = [point.quantiles_ms[QUANTILES.index(share)] for share in shares]
        axes.plot(marks, shares, "o", color=colour, markersize=4, label=point.label + mark_few("p99", count))
    axes.set_xscale("log")
    set_log_ticks(axes.xaxis, [ms for point in points for ms in (point.quantiles_ms[0], point.quantiles_ms[-1])])
    dots = name_dots([point.outcome.count for point in points if point.outcome is not None])
    axes.set(ylim=(0, 1.03), xlabel=f"milliseconds (log scale; {dots})", ylabel="share of answers")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)  # beside the axes: the slowest curve ends at their edge


def _plot_timeline(axes: Axes, point: LoadPoint) -> None:
    """Median and slowest of the requests planned in each stretch of the measured time."""
    part_s = point.duration_s / len(point.timeline)
    for colour, name, label in ((SERIES[1], "max_ms", "slowest"), (SERIES[0], "p50_ms", "median")):
        shown = [(moment.at_s + part_s / 2, getattr(moment, name)) for moment in point.timeline if moment.planned]
        axes.plot([at for at, _ in shown], [ms for _, ms in shown], "-", color=colour, linewidth=1.6, label=label)
    latency = point.outcome
    if latency is not None:
        label = "p99 of all" if has_percentile("p99", latency.count) else f"p99 of all, too few for one: {latency.count}"
        axes.axhline(latency.p99, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=label)
    axes.set_xlim(0, point.duration_s)
    axes.set_ylim(0, 1.25 * max(moment.max_ms or 0.0 for moment in point.timeline))  # room for the legend
    axes.set(xlabel="seconds; each request at the moment it was due", ylabel="milliseconds")
    axes.legend(loc="upper left", fontsize=8, ncols=3)


def set_log_ticks(axis: object, values: Sequence[float]) -> None:
    """Ticks at 1, 2, 5, 10, ... around the values, written out; thinned to 1, 10, 100, ... over more than three decades."""
    low, high = min(values), max(values)
    factors = (1, 2, 5) if high / low <= 1e3 else (1,)
    ladder = [factor * 10.0**power for power in range(-3, 7) for factor in factors]
    below = max((tick for tick in ladder if tick <= low), default=ladder[0])
    above = min((tick for tick in ladder if tick >= high), default=ladder[-1])
    ticks = [tick for tick in ladder if below <= tick <= above]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])  # type: ignore[attr-defined]
    axis.set_ticks([], minor=True)  # type: ignore[attr-defined]
