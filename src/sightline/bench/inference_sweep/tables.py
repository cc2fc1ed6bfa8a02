"""An inference sweep as a person reads it in a terminal: the "Final Stats", two tables with a line for each row."""

import math

from rich.console import Group, RenderableType
from rich.text import Text

from sightline.bench.inference_sweep.records import SweepContent, SweepRow
from sightline.bench.tables import make_table
from sightline.core.percent import format_percent

# Short, so that every number fits into a terminal of 80 characters.
TIME_HEADINGS = ("type", "batch", "total s", "mean", "min", "max", "range", "std", "median", "ms/pic.", "pic./s")
ANSWER_HEADINGS = ("type", "batch", "predictions", "pictures", "top-1 right", "top-5 right", "top-1", "top-5", "run s")


def build_sweep_table(content: SweepContent) -> RenderableType:
    """Final Stats: what ran where and when, times, answers, and notes."""
    times = make_table("inference time (ms of one iteration; pic.: a picture)", TIME_HEADINGS)
    answers = make_table("predictions", ANSWER_HEADINGS)
    previous = ""
    for row in content.rows:
        if previous and row.precision != previous:
            times.add_section()
            answers.add_section()
        previous = row.precision
        times.add_row(*format_times(row))
        answers.add_row(*format_answers(row))
    lines = [Text("Final Stats", style="bold"), *(Text(line, style="dim") for line in describe_sweep(content))]
    notes = [Text(f"note: {note}", style="yellow") for note in content.notes]
    return Group(*lines, Text(), times, answers, *notes)


def format_times(row: SweepRow) -> list[str]:
    """Cells of the table of times."""
    spread = (row.ms.mean, row.ms.minimum, row.ms.maximum, row.range_ms, row.ms.std, row.ms.p50, row.picture_ms)
    numbers = [format_number(value) for value in (row.inference_s, *spread, row.pictures_per_s)]
    return [row.precision, str(row.batch_size), *numbers]


def format_answers(row: SweepRow) -> list[str]:
    """Cells of the table of predictions; ratios in percent."""
    counts = [format_count(value) for value in (row.predictions, row.pictures, row.correct_top1, row.correct_top5)]
    shares = [format_share(value) for value in (row.top1, row.top5)]
    return [row.precision, str(row.batch_size), *counts, *shares, f"{row.total_run_s:.1f}"]


def format_number(value: float) -> str:
    """Four digits that count, at most four of them behind the point, never an exponent: "1234", "12.35", "0.0123"."""
    digits = 3 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 4)}f}"


def format_share(value: float | None) -> str:
    """A share 0..1 in percent, a dash for None."""
    return "–" if value is None else format_percent(value)


def format_count(value: int | None) -> str:
    """A count, a dash for None."""
    return "–" if value is None else f"{value:,}"


def describe_sweep(content: SweepContent) -> list[str]:
    """What ran, where and when: a few lines."""
    subject, dataset, host = content.subject, content.dataset, content.host
    date, _, time = content.created_at.partition("T")
    threads = "1 thread" if subject.threads == 1 else f"{subject.threads} threads"
    lines = [
        f"{date} {time.partition('+')[0]} UTC · host {content.host_name} · {host.get('cpu')}, {host.get('cores')} cores"
        + (f", {host['gpu']}" if "gpu" in host else ""),
        f"{subject.kind} {content.name} · {subject.engine}, {threads}, one batch at a time · "
        f"input {subject.input_width}x{subject.input_height} {content.input.colour}",
        f"{content.plan.iterations} iterations a row · total run time {content.total_run_s:.1f} s · pictures: "
        f"{dataset.name}, {dataset.split}, {dataset.images:,} of {dataset.images_in_split:,}",
    ]
    if content.calibration is not None:
        made = content.calibration
        lines.append(f"int8 by {made.quantiser} ({made.package}) from {made.images:,} pictures of {made.source}")
    return lines
