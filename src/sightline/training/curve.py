"""The curve of a training: `curve.jsonl`, one JSON object per logged step, and `curves.png`.

Lines are appended as they happen. A resumed run first cuts the file back to the step of its checkpoint, so no step stands
twice.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sightline.core.folders import write_file_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line.

    Attributes:
        step: optimiser steps taken, from 1.
        progress: of the budget, 0..1.
        loss: sum of the parts, mean over the steps since the last line.
        parts: the named parts of the loss, likewise.
        learning_rate: of this step.
        wall_s, cpu_s: spent so far, over all resumed parts.
        metric: primary metric of the validation after this step, 0..1, when there was one.
    """

    step: int
    progress: float
    loss: float
    parts: dict[str, float] = {}
    learning_rate: float
    wall_s: float
    cpu_s: float
    metric: float | None = None


class Curve:
    """An open `curve.jsonl`.

    Args:
        path: the file.
        last_step: lines of later steps are cut off first; 0 starts anew.
    """

    def __init__(self, path: Path, last_step: int = 0) -> None:
        kept = [point for point in read_curve(path) if point.step <= last_step] if path.exists() else []
        encoder = msgspec.json.Encoder()
        write_file_atomic(path, b"".join(encoder.encode(point) + b"\n" for point in kept))
        self._encoder = encoder
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> "Curve":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, point: CurvePoint) -> None:
        """Append a line with one write call."""
        self._file.write(self._encoder.encode(point) + b"\n")


def read_curve(path: Path) -> list[CurvePoint]:
    """All whole lines of a curve; what a killed process left half written at the end is passed over."""
    points = []
    for line in path.read_bytes().splitlines():
        try:
            points.append(msgspec.json.decode(line, type=CurvePoint))
        except msgspec.DecodeError:
            break
    return points


def draw_curves(points: list[CurvePoint], metric_name: str, path: Path) -> None:
    """Draw loss, metric and learning rate over progress as a PNG."""
    build_figure(points, metric_name).savefig(path, dpi=110)


def build_figure(points: list[CurvePoint], metric_name: str) -> "Figure":
    """The plot; the weights that were kept are marked with a star."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    percent = [100 * point.progress for point in points]
    losses.plot(percent, [point.loss for point in points], color="#3465a4", linewidth=1.2, label="loss")
    losses.set_ylabel("loss", color="#3465a4")
    validated = [point for point in points if point.metric is not None]
    if validated:
        metrics = losses.twinx()
        metrics.plot(
            [100 * p.progress for p in validated],
            [p.metric for p in validated],
            "o-",
            color="#cc7000",
            markersize=4,
            clip_on=False,
        )
        metrics.set_ylabel(f"{metric_name} (validation)", color="#cc7000")
        metrics.set_ylim(0, 1)
        best = max(reversed(validated), key=lambda point: point.metric or 0.0)  # of equals the last, as the loop keeps them
        metrics.plot(100 * best.progress, best.metric, "*", color="#cc7000", markersize=12, clip_on=False)
        losses.set_title(f"★ best {metric_name} {best.metric:.3f} after {best.step} steps, {best.cpu_s:.0f} CPU-s", fontsize=10)
    rates.plot(percent, [point.learning_rate for point in points], color="#4e9a06", linewidth=1.2)
    rates.set_ylabel("learning rate", color="#4e9a06")
    rates.set_xlabel("budget used, %")
    rates.set_xlim(0, 100)
    for axes in (losses, rates):
        axes.update_datalim([(0, 0)], updatex=False)  # with room above the highest value
        axes.autoscale_view(scalex=False)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines["top"].set_visible(False)
    return figure
