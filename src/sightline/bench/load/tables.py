"""A load measurement as a terminal table, and the cells that the page shows too."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sightline.bench.load.records import LoadContent, LoadPoint

HEADINGS = (
    "load",
    "answers/s",
    "p50",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "max",
    "mean",
    "refused",
    "failed",
    "server cores",
    "MB",
    "own cores",
)
MARK = " !"


def build_load_table(content: LoadContent) -> RenderableType:
    """The measurement as a person reads it in a terminal."""
    table = Table(box=SIMPLE_HEAD)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "load" else "right", no_wrap=heading == "load")
    for point in content.points:
        table.add_row(*format_point(point), style="yellow" if point.generator_limited else "")
    lines = [Text(content.name, style="bold"), *(Text(line, style="dim") for line in describe_load(content))]
    careful = [Text(f"note: {note}", style="yellow") for note in content.notes]
    return Group(*lines, table, *careful, *(Text(line, style="yellow") for line in list_warnings(content)))


def format_point(point: LoadPoint) -> list[str]:
    """A row, as text, under `HEADINGS`; latencies in milliseconds."""
    latency, server = point.outcome, point.server
    names = ("p50", "p90", "p95", "p99", "p999", "maximum", "mean")
    return [
        point.label + (MARK if point.generator_limited else ""),
        f"{point.answered_per_s:.1f}",
        *(format_ms(getattr(latency, name) if latency is not None else None) for name in names),
        format_count(point.refused),
        format_count(count_failed(point)),
        f"{server.cores:.2f}" if server is not None else "–",
        f"{server.memory_after_bytes / 1e6:.0f}" if server is not None else "–",
        f"{point.generator.cores:.2f}",
    ]


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
    known = [str(facts[key]) for key in ("task", "engine", "precision", "device", "platform") if facts.get(key)]
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
        if point.broken:
            lines.append(f"{point.label}: {point.broken} connections broke before their answer was whole")
        if point.unfinished:
            lines.append(
                f"{point.label}: {point.unfinished} requests had no answer after the drain; latencies are lower bounds"
            )
        lines += [f"{point.label}: HTTP {status}, for example: {text}" for status, text in point.error_samples.items()]
    return lines


def format_ms(value: float | None) -> str:
    """Milliseconds with three digits that count, a dash for None."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def format_count(count: int) -> str:
    """A count, a dash for none."""
    return f"{count:,}" if count else "–"
