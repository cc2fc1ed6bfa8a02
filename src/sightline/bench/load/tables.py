"""A load measurement as a terminal table, and the cells that the page shows too."""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from sightline.bench.load.records import LatencyMs, LoadContent, LoadPoint
from sightline.bench.tables import format_ms, make_table
from sightline.core.percentiles import FEW_MARK, FEW_MEANING, mark_few

LATENCY_HEADINGS = ("load", "answers/s", "p50", "p90", "p95", "p99", "p99.9", "max", "mean", "refused", "failed")
COST_HEADINGS = ("load", "server cores", "CPU s", "MB start", "MB end", "own cores", "µs each", "late p99", "others' cores")
COUNT_HEADINGS = (
    "load",
    "planned",
    "statuses",
    "refusal p50 / p99",
    "broken",
    "unfinished",
    "backlog",
    "connections",
    "MB sent",
    "MB received",
)
MARK = " !"


def build_load_table(content: LoadContent) -> RenderableType:
    """The measurement as a person reads it in a terminal."""
    careful = [f"note: {note}" for note in content.notes] + list_warnings(content)
    return Group(
        Text(content.name, style="bold"),
        *(Text(line, style="dim") for line in describe_load(content)),
        _build_table("latency, ms", LATENCY_HEADINGS, format_latency, content),
        _build_table("cost", COST_HEADINGS, format_cost, content),
        *(Text(line, style="dim") for line in explain_marks(content)),
        *(Text(line, style="yellow") for line in careful),
    )


def _build_table(
    title: str, headings: Sequence[str], write_row: Callable[[LoadPoint], list[str]], content: LoadContent
) -> RenderableType:
    table = make_table(title, headings)
    table.columns[0].no_wrap = True
    for point in content.points:
        table.add_row(*write_row(point), style="yellow" if point.generator_limited else "")
    return table


def format_latency(point: LoadPoint) -> list[str]:
    """A row under `LATENCY_HEADINGS`."""
    latency = point.outcome
    names = ("p50", "p90", "p95", "p99", "p999", "maximum", "mean")
    return [
        mark_label(point),
        f"{point.answered_per_s:.1f}",
        *(format_latency_of(latency, name) for name in names),
        format_count(point.refused),
        format_count(count_failed(point)),
    ]


def format_latency_of(latency: LatencyMs | None, name: str) -> str:
    """Milliseconds of a percentile, marked where it is of too few; of the mean or the maximum."""
    if latency is None or (value := getattr(latency, name)) is None:
        return format_ms(None)
    return format_ms(value) + mark_few(name, latency.count)


def format_cost(point: LoadPoint) -> list[str]:
    """A row under `COST_HEADINGS`."""
    server, generator = point.server, point.generator
    costs = ["–"] * 4
    if server is not None:
        memory = (server.memory_before_bytes / 1e6, server.memory_after_bytes / 1e6)
        costs = [f"{server.cores:.2f}", f"{server.cpu_s:.2f}", *(f"{size:.1f}" for size in memory)]
    return [
        mark_label(point),
        *costs,
        f"{generator.cores:.2f}",
        f"{generator.us_per_request:.0f}" if generator.us_per_request is not None else "–",
        format_ms(generator.late_p99_ms) + mark_few("p99", point.planned) * (generator.late_p99_ms is not None),
        f"{point.other_cores:.2f}" if point.other_cores is not None else "–",
    ]


def format_counts(point: LoadPoint) -> list[str]:
    """A row under `COUNT_HEADINGS`."""
    refusal = point.refusal
    return [
        mark_label(point),
        f"{point.planned:,}",
        ", ".join(f"{status}: {count:,}" for status, count in point.statuses.items()) or "–",
        f"{format_latency_of(refusal, 'p50')} / {format_latency_of(refusal, 'p99')}" if refusal is not None else "–",
        *(format_count(count) for count in (point.broken, point.unfinished, point.max_backlog)),
        f"{point.connections_opened:,}",
        f"{point.sent_bytes / 1e6:,.1f}",
        f"{point.received_bytes / 1e6:,.1f}",
    ]


def explain_marks(content: LoadContent) -> list[str]:
    """What the mark behind percentiles means, if there is one."""
    cells = [cell for point in content.points for cell in (*format_latency(point), *format_cost(point), *format_counts(point))]
    return [FEW_MEANING] if any(cell.endswith(FEW_MARK) for cell in cells) else []


def mark_label(point: LoadPoint) -> str:
    """The load, marked when the generator was its limit."""
    return point.label + (MARK if point.generator_limited else "")


def count_failed(point: LoadPoint) -> int:
    """Requests that got neither an answer nor a refusal: other statuses, broken connections, none at all."""
    answered = point.answered.count if point.answered is not None else 0
    return point.planned - answered - point.refused


def describe_load(content: LoadContent) -> list[str]:
    """What was measured, how, where: a line each."""
    server, data, plan = content.server or {}, content.data, content.plan
    name = " ".join(str(server[key]) for key in ("name", "version") if server.get(key)) or "server unknown"
    facts = content.model_facts
    pictures = f"{data.pictures} of {data.available} pictures of {data.source}" + (
        f"@{data.version[:8]}" if data.version else ""
    )
    named = ("task", "engine", "precision", "device", "platform")
    known = dict.fromkeys(str(facts[key]) for key in named if facts.get(key))  # the platform is often the engine
    return [
        " · ".join([content.url, name, f"protocol {content.protocol}", *known]),
        f"{pictures}, mean {data.mean_bytes / 1e3:.1f} kB · {plan.duration_s:g} s a point after {plan.warm_up_s:g} s"
        f" · seed {content.seed}",
        f"{content.host.get('cpu')} · {content.host.get('cores')} cores · {content.created_at}",
    ]


def list_warnings(content: LoadContent) -> list[str]:
    """What went wrong at which point."""
    lines = []
    for point in content.points:
        lines += [f"{point.label}: {reason}" for reason in point.generator.limited_by]
        if is_too_short(point):
            lines.append(
                f"{point.label}: no request both began and ended in the {point.duration_s:g} s measured; make the points longer"
            )
        if point.broken:
            lines.append(f"{point.label}: {point.broken} connections broke before their answer was whole")
        if point.unfinished:
            lines.append(
                f"{point.label}: {point.unfinished} requests had no answer after the drain; latencies are lower bounds"
            )
        lines += [f"{point.label}: HTTP {status}, for example: {text}" for status, text in point.error_samples.items()]
    return lines


def is_too_short(point: LoadPoint) -> bool:
    """Whether even the quickest answer to a closed loop took longer than the measured time."""
    return point.clients is not None and bool(point.quantiles_ms) and point.quantiles_ms[0] > point.duration_s * 1e3


def format_count(count: int) -> str:
    """A count, a dash for none."""
    return f"{count:,}" if count else "–"
