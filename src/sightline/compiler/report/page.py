"""`report.html`: one self-contained page from a CompileReport and the pictures that flipped; no script, nothing fetched."""

import base64
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from sightline.compiler.comparison import CategoryChange
from sightline.compiler.passes import PassRow
from sightline.compiler.report.charts import (
    MOST_CATEGORIES,
    draw_category_chart,
    draw_layer_chart,
    draw_sweep_chart,
    draw_timing_chart,
    find_colour,
    sort_by_change,
)
from sightline.compiler.report.records import CompileReport
from sightline.core.categories import shorten
from sightline.core.percent import format_percent, format_points
from sightline.metrics.agreement import CONFIDENCE_MARGIN, FLIPPED_PIXEL_SHARE
from sightline.metrics.task_metrics import PRIMARY_MEANINGS

TEMPLATE = "report.html"
FlipPictures = Mapping[int, tuple[bytes, bytes]]  # place of the flip -> JPEG of FP32's answer and of the compiled one


def render_page(report: CompileReport, flip_pictures: FlipPictures) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("sightline.compiler.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "points": format_points,
        "percent": format_percent,
        "bytes": format_bytes,
        "shorten": shorten,
        "colour": find_colour,
        "most_changed": sort_by_change,
        "interval": say_interval,
        "data_uri": lambda jpeg: "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"),
    }
    environment.tests |= {"idle": is_idle}
    template = environment.get_template(TEMPLATE)
    return template.render(
        report=report,
        charts=draw_charts(report),
        flip_pictures=flip_pictures,
        SHOWN=MOST_CATEGORIES,
        FLIPPED_PIXELS=FLIPPED_PIXEL_SHARE,
        MARGIN=CONFIDENCE_MARGIN,
        MEANINGS=PRIMARY_MEANINGS,
    )


def draw_charts(report: CompileReport) -> dict[str, Markup]:
    """Every plot there is data for, as SVG that a narrow page scrolls rather than shrinks."""
    charts = {"timings": draw_timing_chart(report.timings, report.chosen)} if report.timings else {}
    if any(row.time_us for row in report.layers):
        charts["layers"] = draw_layer_chart(report.layers)
    if report.sweep:
        charts["sweep"] = draw_sweep_chart(report.sweep)
    if report.comparison and any(has_changed(row) for row in report.comparison.per_category):
        charts["categories"] = draw_category_chart(report.comparison)
    return {name: Markup(f'<div class="scroll chart">{svg}</div>') for name, svg in charts.items()}


def say_interval(row: CategoryChange) -> str:
    """The interval of a category's change; "unchanged" where there is none."""
    if row.low is None or row.high is None:
        return "unchanged"
    return f"{format_points(row.low)} to {format_points(row.high)}"


def is_idle(row: PassRow) -> bool:
    """Whether a pass left the graph as large as it was and its outputs as they were."""
    sizes = (row.nodes_before, row.weights_before), (row.nodes_after, row.weights_after)
    return sizes[0] == sizes[1] and not row.max_error and row.dropped is None


def has_changed(row: CategoryChange) -> bool:
    """Whether a category's accuracy or its interval moved at all: points on zero are not worth a chart."""
    return row.low is not None and row.high is not None and (row.candidate != row.baseline or row.low != -row.high)


def format_bytes(size: int) -> str:
    """A size for people: 1.2 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
