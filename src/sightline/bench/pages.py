"""Reports and comparisons as HTML: one file each with its style, plots and pictures inside, in the reader's theme."""

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sightline.bench.comparing import ReportComparison
from sightline.bench.plots import CELL_TEXT_LIMIT, Plot
from sightline.bench.records import STAGE_NAMES, ReportContent, format_metric, list_category_metrics, sort_categories
from sightline.bench.subjects import BACKGROUND
from sightline.bench.tables import describe_interval, describe_resources, explain_intervals, format_interval, format_signed
from sightline.core.folders import write_file_atomic
from sightline.core.percent import format_percent
from sightline.core.percentiles import FEW_MARK, FEW_MEANING, mark_few
from sightline.metrics.task_metrics import OTHER_MEANINGS, PRIMARY_MEANINGS

MAX_CONFUSED = 12
TEMPLATES = Path(__file__).resolve().parent / "templates"


def render_report(content: ReportContent, plots: list[Plot], folder: Path) -> str:
    """The page of one Report; `folder` holds the pictures its mistakes name."""
    pictures = {mistake.picture: embed_picture(folder / mistake.picture) for mistake in content.mistakes}
    return (
        load_templates()
        .get_template("report.html")
        .render(
            content=content,
            plots={plot.name: (plot.title, Markup(plot.svg)) for plot in plots},  # drawn by us, escaped there
            pictures=pictures,
            categories=sort_categories(content),
            category_metrics=list_category_metrics(content),
            confused=list_confused(content),
            interval=describe_interval(content).partition(": ")[2],
            meaning=describe_metrics(content),
            resources=describe_resources(content),
            best=max(content.throughput, key=lambda point: point.images_per_s, default=None),
            stage_names=STAGE_NAMES,
        )
    )


def describe_metrics(content: ReportContent) -> str:
    """What the primary metric is, and others whose names do not tell it."""
    others = (text for name, text in OTHER_MEANINGS.items() if name in content.accuracy.values)
    return " ".join([PRIMARY_MEANINGS.get(content.accuracy.primary_name, ""), *others])


def list_confused(content: ReportContent) -> list[tuple[str, str, int, float]]:
    """What is taken for what most often, where the matrix has no room for numbers: truth, answer, count, share of the truth."""
    names, rows = content.accuracy.confusion_names, content.accuracy.confusion or []
    if len(names) <= CELL_TEXT_LIMIT:
        return []
    found = [
        (names[truth], names[answer], count, count / sum(row))
        for truth, row in enumerate(rows)
        for answer, count in enumerate(row)
        if count and truth != answer and BACKGROUND not in (names[truth], names[answer])  # missed or made up, not confused
    ]
    return sorted(found, key=lambda pair: -pair[2])[:MAX_CONFUSED]


def render_comparison(comparison: ReportComparison, a: ReportContent, b: ReportContent) -> str:
    """The page of two Reports side by side."""
    groups = dict.fromkeys(number.group for number in comparison.numbers)
    by_group = {group: [number for number in comparison.numbers if number.group == group] for group in groups}
    return (
        load_templates()
        .get_template("comparison.html")
        .render(comparison=comparison, a=a, b=b, groups=by_group, explanations=explain_intervals(comparison))
    )


def write_page(folder: Path, stem: str, content: msgspec.Struct, plots: Sequence[Plot], page: str) -> None:
    """What the folder of every measurement holds: `STEM.json`, `STEM.html` and the plots as PNG."""
    write_file_atomic(folder / f"{stem}.json", msgspec.json.format(msgspec.json.encode(content), indent=2))
    for plot in plots:
        write_file_atomic(folder / "plots" / f"{plot.name}.png", plot.png)
    write_file_atomic(folder / f"{stem}.html", page.encode())


def embed_picture(path: Path) -> str:
    """A JPEG file as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def format_number(value: float | None, digits: int = 2) -> str:
    """A number as text, a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def format_megabytes(size_bytes: int | None) -> str:
    """Bytes as megabytes, a dash for None."""
    return "–" if size_bytes is None else f"{size_bytes / 1e6:,.0f} MB"


@cache
def load_templates() -> Environment:
    """The templates beside this file, with our filters."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"few_mark": FEW_MARK, "few_meaning": FEW_MEANING}
    environment.filters |= {
        "number": format_number,
        "megabytes": format_megabytes,
        "metric": format_metric,
        "percent": format_percent,
        "interval": format_interval,
        "signed": format_signed,
        "few": lambda spread, name: mark_few(name, spread.count),
    }
    return environment
