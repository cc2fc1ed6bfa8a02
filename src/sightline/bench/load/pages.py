"""A load measurement on disk: a folder of `load.json`, `load.html` (it needs nothing else) and plots."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from sightline.bench.load.plots import draw_load_plots
from sightline.bench.load.records import LoadContent
from sightline.bench.load.tables import (
    COST_HEADINGS,
    COUNT_HEADINGS,
    LATENCY_HEADINGS,
    count_failed,
    describe_load,
    explain_marks,
    format_cost,
    format_counts,
    format_latency,
    list_warnings,
)
from sightline.bench.pages import format_megabytes, load_templates, write_page
from sightline.bench.plots import Plot
from sightline.core.folders import new_folder

FACT_NAMES = {
    "model_id": "of Model",
    "artifact_id": "of Artifact",
    "failed_version": "version that failed",
    "detail": "why it failed",
    "is_resident": "in memory",
    "memory_bytes": "memory",
    "page_in_count": "times read back into memory",
    "last_page_in_s": "the last time took",
}


def save_load(content: LoadContent, target: Path) -> Path:
    """Write the folder whole or not at all; returns its page. Raises: Conflict when it exists."""
    with new_folder(target) as folder:
        plots = draw_load_plots(content)
        write_page(folder, "load", content, plots, render_load(content, plots))
    return target / "load.html"


def render_load(content: LoadContent, plots: Sequence[Plot]) -> str:
    """The page."""
    valid = [point for point in content.points if not point.generator_limited]
    closed = [point for point in valid if point.clients is not None]
    return (
        load_templates()
        .get_template("load.html")
        .render(
            content=content,
            plots=[(plot.title, Markup(plot.svg)) for plot in plots],  # drawn by us, escaped there
            best=max(closed, key=lambda point: point.answered_per_s, default=None),
            lone=next((point for point in closed if point.clients == 1), None),
            opened=[point for point in valid if point.clients is None and point.outcome is not None],
            failed=sum(count_failed(point) for point in content.points),
            planned=sum(point.planned for point in content.points),
            facts=describe_load(content),
            notes=[*content.notes, *list_warnings(content)],
            tables=[
                ("Latency, milliseconds", LATENCY_HEADINGS, [format_latency(point) for point in content.points]),
                ("Requests", COUNT_HEADINGS, [format_counts(point) for point in content.points]),
                ("Cost", COST_HEADINGS, [format_cost(point) for point in content.points]),
            ],
            model_facts=list_model_facts(content),
            marks=explain_marks(content),
        )
    )


def list_model_facts(content: LoadContent) -> list[tuple[str, str]]:
    """What the server says of the model, as far as it fits on a line; in words, as servers have names of fields."""
    shown = []
    for name, value in content.model_facts.items():
        text = describe_fact(name, value)
        if text and not (name == "platform" and value == content.model_facts.get("engine")):  # V2's word for the same
            shown.append((FACT_NAMES.get(name, name.replace("_", " ")), text))
    return shown


def describe_fact(name: str, value: object) -> str:
    """A fact as text; empty where it says nothing, or does not fit on a line."""
    if isinstance(value, list):
        if name in ("inputs", "outputs"):
            return ", ".join(describe_tensor(tensor) for tensor in value)
        return f"{len(value)}" if name == "categories" else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if name.endswith("_bytes"):
            return format_megabytes(int(value)) if value else ""
        return f"{value:g} s" if name.endswith("_s") else str(value)
    return value if isinstance(value, str) else ""


def describe_tensor(tensor: object) -> str:
    """A tensor of a server's metadata: `images FP32 [-1, 3, 224, 224]`."""
    if not isinstance(tensor, dict):
        return str(tensor)
    return f"{tensor.get('name')} {tensor.get('datatype')} {tensor.get('shape')}"
