"""Reports and comparisons as terminal tables: rich renderables that the caller prints."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sightline.bench.accuracy import list_few
from sightline.bench.comparing import ComparedNumber, ReportComparison
from sightline.bench.records import (
    SPREAD_PERCENTILES,
    STAGE_NAMES,
    ReportContent,
    format_metric,
    list_category_metrics,
    sort_categories,
)
from sightline.bench.resamples import UNCHANGED
from sightline.core.fitting_table import FittingTable
from sightline.core.percentiles import FEW_MARK, FEW_MEANING, mark_few

MAX_CATEGORIES = 20
MANY_INTERVALS = 20  # of which one leaves out 0 by chance
VERDICT_STYLES = {"better": "green", "worse": "red", "unclear": "", "same": "dim", "unknown": "dim"}


def build_report_table(content: ReportContent) -> RenderableType:
    """The Report as a person reads it in a terminal."""
    parts: list[RenderableType] = [
        Text(f"{content.name}", style="bold"),
        Text(describe_subject_line(content), style="dim"),
        _build_accuracy(content),
        *([Text(describe_interval(content))] if describe_interval(content) else []),
        *([_build_categories(content)] if content.accuracy.per_category else []),
        _build_latency(content),
        _build_throughput(content),
        *(Text(line) for line in describe_resources(content)),
        *(Text(f"note: {note}", style="yellow") for note in content.notes),
    ]
    return Group(*parts)


def build_comparison_table(comparison: ReportComparison) -> RenderableType:
    """Two Reports side by side."""
    table = make_table(None, ("", "a", "b", "b - a", "95 %", "b / a"))
    group = ""
    for number in comparison.numbers:
        if number.group != group:
            group = number.group
            table.add_section()
            table.add_row(Text(group, style="bold"))
        table.add_row(*_format_row(number))
    warnings = [Text(f"careful: {warning}", style="yellow") for warning in comparison.warnings]
    sides = [Text(f"a: {comparison.a}", style="bold"), Text(f"b: {comparison.b}", style="bold")]
    return Group(*sides, table, *_list_intervals(comparison), *map(Text, explain_intervals(comparison)), *warnings)


def describe_subject_line(content: ReportContent) -> str:
    """What was measured, on what, where: one line."""
    subject, dataset = content.subject, content.dataset
    parts = [subject.kind, subject.task, subject.engine, subject.precision]
    if subject.input_width:
        parts.append(f"{subject.input_width}x{subject.input_height}")
    if dataset is not None:
        parts.append(
            f"{dataset.name}@{dataset.version[:8]} {dataset.split} ({dataset.images} of {dataset.images_in_split} pictures)"
        )
    parts += [str(content.host.get("cpu", "")), f"{content.host.get('cores')} cores", f"seed {content.seed}"]
    return " · ".join(str(part) for part in parts if part)


def describe_interval(content: ReportContent) -> str:
    """The 95 % interval of the primary metric as text, or nothing."""
    accuracy = content.accuracy
    if accuracy.primary_low is None or accuracy.primary_high is None:
        return ""
    return f"{accuracy.primary_name}: 95 % between {accuracy.primary_low:.3f} and {accuracy.primary_high:.3f}"


def describe_resources(content: ReportContent) -> list[str]:
    """Memory, energy and load, a line each; what is not known says why."""
    memory, energy, load = content.memory, content.energy, content.load
    lines = []
    if memory is None:
        lines.append("memory: not known, the subject runs in another process")
    else:
        opening = f", opening it takes {memory.opening_bytes / 1e6:.0f} MB" if memory.opening_bytes is not None else ""
        before, after = memory.before_bytes / 1e6, memory.after_bytes / 1e6
        lines.append(f"memory ({memory.kind.upper()}): {before:.0f} MB before, {after:.0f} MB after{opening}")
    if energy.joules_per_image is None:
        lines.append(f"energy: not known, {energy.reason}")
    else:
        lines.append(f"energy: {energy.joules_per_image:.3f} J per picture, {energy.power_w:.1f} W ({energy.source})")
    other = "" if load.other_cores is None else f"; other programs kept {load.other_cores:.1f} cores busy"
    lines.append(f"load average {load.average_before:.1f} before, {load.average_after:.1f} after{other}")
    return lines


def explain_intervals(comparison: ReportComparison) -> list[str]:
    """What the intervals of the differences are, and what has none and why; one sentence each."""
    lines = []
    if count := comparison.count_intervals():
        chance = f", of {count} about {round(count / 20)} by chance alone" if count >= MANY_INTERVALS else ""
        lines.append(f"95 %: interval of b - a ({comparison.method}); what it leaves out chance hardly explains{chance}")
    lines += [f"no interval of {list_few(names)}: {reason}" for reason, names in comparison.group_reasons().items()]
    return lines + [FEW_MEANING] * any(number.is_of_few for number in comparison.numbers)


def format_interval(number: ComparedNumber) -> str:
    """The interval of a difference, or "unchanged"; a dash where `explain_intervals` tells why there is none."""
    if number.difference_interval is not None:
        low, high = number.difference_interval
        return f"{format_signed(low, 4)} to {format_signed(high, 4)}"
    return UNCHANGED if number.no_interval == UNCHANGED else "–"


def format_signed(change: float, digits: int) -> str:
    """`+0.0120`; what rounds to nothing is `+0.0000`, not a loss of it."""
    return f"{round(change, digits) + 0.0:+.{digits}f}"  # -0.0 + 0.0 is 0.0


def make_table(title: str | None, headings: Sequence[str]) -> Table:
    """A table of names in the first column and numbers in the others, none of them ever cut."""
    table = FittingTable(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", overflow="fold")
    return table


def format_ms(value: float | None) -> str:
    """Milliseconds with three digits that count, a dash for None."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _build_accuracy(content: ReportContent) -> Table:
    table = make_table("accuracy", ("", "value"))
    for name, value in content.accuracy.values.items():
        style = "bold" if name == content.accuracy.primary_name else ""
        table.add_row(Text(name, style=style), Text(f"{value:.4f}", style=style))
    return table


def _build_categories(content: ReportContent) -> Table:
    """The worst categories first."""
    rows = sort_categories(content)
    metrics = list_category_metrics(content)
    table = make_table("accuracy by category", ("", *metrics))
    for category, row in rows[:MAX_CATEGORIES]:
        table.add_row(Text(category), *(format_metric(row.get(name), name) for name in metrics))
    if len(rows) > MAX_CATEGORIES:
        table.caption = f"{len(rows) - MAX_CATEGORIES} better ones are left out"
    return table


def _build_latency(content: ReportContent) -> Table:
    table = make_table("latency of one call, ms", ("", "batch", "p50", "p90", "p99", "mean", "std", "CPU", "calls"))
    for result in content.latency:
        ms = result.ms
        shares = [format_ms(getattr(ms, name)) + mark_few(name, ms.count) for name in SPREAD_PERCENTILES]
        numbers = [format_ms(value) for value in (ms.mean, ms.std, result.cpu_ms)]
        table.add_row(STAGE_NAMES[result.stage], str(result.batch_size), *shares, *numbers, str(ms.count))
    if any(mark_few(name, result.ms.count) for result in content.latency for name in SPREAD_PERCENTILES):
        table.caption = FEW_MEANING
    return table


def _build_throughput(content: ReportContent) -> Table:
    knows_energy = any(point.joules_per_image is not None for point in content.throughput)
    headings = ["batch", "streams", "threads\neach", "pictures/s", "repeats", "CPU ms\n/picture"]
    table = make_table("throughput, end to end", [*headings, *(["J\n/picture"] if knows_energy else [])])
    for point in content.throughput:
        energy = f"{point.joules_per_image:.3f}" if point.joules_per_image is not None else "–"
        table.add_row(
            str(point.batch_size),
            str(point.streams),
            str(point.threads or "–"),
            f"{point.images_per_s:.1f}",
            f"{min(point.repeats):.1f}–{max(point.repeats):.1f}",
            format_ms(point.cpu_ms_per_image),
            *([energy] if knows_energy else []),
        )
    return table


def _list_intervals(comparison: ReportComparison) -> list[Text]:
    """What chance explains of the primary accuracy."""
    return [
        Text(
            f"{number.name}: 95 % between {number.a_interval[0]:.4f} and {number.a_interval[1]:.4f} (a), "
            f"{number.b_interval[0]:.4f} and {number.b_interval[1]:.4f} (b)"
        )
        for number in comparison.numbers
        if number.group == "accuracy" and number.a_interval is not None and number.b_interval is not None
    ]


def _format_row(number: ComparedNumber) -> tuple[Text | str, ...]:
    digits = 4 if number.group == "accuracy" else 2
    style = VERDICT_STYLES[number.verdict]

    def show(value: float | None, pattern: str) -> str:
        return "–" if value is None else format(value, pattern)

    name = Text(f"  {number.name}{FEW_MARK * number.is_of_few}" + (f" ({number.unit})" if number.unit else ""))
    return (
        name,
        show(number.a, f".{digits}f"),
        show(number.b, f".{digits}f"),
        Text("–" if number.difference is None else format_signed(number.difference, digits), style=style),
        Text(format_interval(number), style=style),
        Text(show(number.ratio, ".3f"), style=style),
    )
