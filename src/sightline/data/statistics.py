"""Statistics of a version in one pass and bounded memory: counts by split and category, box sizes, picture sizes.

Percentiles come from histograms with bins 2 % wide, so a million boxes cost no more than ten and the error is at most 1 %.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

import msgspec
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from sightline.core.annotations import Annotation
from sightline.core.categories import shorten
from sightline.core.folders import explain_disk_errors, write_file_atomic
from sightline.data.items import Item
from sightline.data.truth import find_viewer
from sightline.data.versions import UNSPLIT, DatasetVersion, sort_splits
from sightline.imaging.fonts import FontFile, find_font, find_usual_font

PERCENTILES = (5, 25, 50, 75, 95)
BIN_RATIO = 1.02
SMALLEST_PX = 0.01
MAX_PICTURE_SIZES = 1000  # different sizes that are told apart; the rest count as "other"
MAX_BARS = 40
ABOVE: Any = {"loc": "lower left", "bbox_to_anchor": (0, 1), "fontsize": "small", "frameon": False, "ncols": 3}  # of the axes


class SizePercentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Width and height of boxes at the 5th, 25th, 50th, 75th and 95th percentile, pixels."""

    count: int
    width: tuple[float, ...]
    height: tuple[float, ...]


class SplitStatistics(msgspec.Struct, kw_only=True):
    """Counts of one split: images, images without an annotation, annotations and images by category.

    Attributes:
        model_images, unseen_images: that a model alone looked at to label them, and that nobody did: no truth.
        model_annotations: so many of all annotations are a model's.
    """

    images: int = 0
    empty_images: int = 0
    model_images: int = 0
    unseen_images: int = 0
    model_annotations: int = 0
    annotations: dict[str, int] = {}
    images_with: dict[str, int] = {}


class DatasetStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a version holds.

    Attributes:
        splits: counts by split; images without one under "unsplit".
        box_sizes: by category, of annotations that have a box.
        picture_sizes: images by "width x height", most frequent first.
        geometries: annotations by their richest geometry.
    """

    name: str
    version: str
    splits: dict[str, SplitStatistics]
    box_sizes: dict[str, SizePercentiles]
    picture_sizes: dict[str, int]
    geometries: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready builtins."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result


def compute_statistics(version: DatasetVersion, split: str | Sequence[str] | None = None) -> DatasetStatistics:
    """Count what a version (or some of its splits) holds, streaming."""
    splits: dict[str, SplitStatistics] = {}
    sizes = {name: (_SizeHistogram(), _SizeHistogram()) for name in version.categories}
    pictures: Counter[str] = Counter()
    geometries: Counter[str] = Counter()
    for item in version.items(split):
        _count_item(splits.setdefault(item.split or UNSPLIT, SplitStatistics()), item)
        size = f"{item.width} x {item.height}"
        pictures[size if size in pictures or len(pictures) < MAX_PICTURE_SIZES else "other"] += 1
        for annotation in item.annotations:
            geometries[annotation.geometry] += 1
            _measure_box(sizes[annotation.category], annotation)
    return DatasetStatistics(
        name=version.name,
        version=version.id,
        splits={name: splits[name] for name in sort_splits(splits)},
        box_sizes={
            name: SizePercentiles(count=widths.count, width=widths.percentiles(), height=heights.percentiles())
            for name, (widths, heights) in sizes.items()
            if widths.count
        },
        picture_sizes=dict(sorted(pictures.items(), key=lambda pair: (-pair[1], pair[0]))),
        geometries=dict(sorted(geometries.items())),
    )


def draw_statistics(statistics: DatasetStatistics, path: Path, categories: Sequence[str]) -> None:
    """Write a PNG: annotations by category and split, and box sizes by category (at most 40 categories).

    Args: categories: of the version, in order: one whose name no font can write is called by its number.

    Raises: Exhausted when the disk is full; InvalidInput for a path that cannot be written.
    """
    fonts = [find_font(name) for name in categories]
    labels = {
        name: name if font is not None else f"category {number}"
        for number, (name, font) in enumerate(zip(categories, fonts, strict=True))
    }
    found = {font for font in fonts if font is not None and font != find_usual_font()}
    families = ["DejaVu Sans", *sorted(map(_add_family, found))]
    with rc_context({"text.parse_math": False, "font.family": families}), catch_warnings():  # a category may be called "$"
        filterwarnings("ignore", message="Glyph .* missing from font")  # matplotlib takes but one face of a file
        plot = BytesIO()
        build_figure(statistics, labels).savefig(plot, format="png", dpi=110)
    with explain_disk_errors(path):
        write_file_atomic(path, plot.getvalue())


def _add_family(font: FontFile) -> str:
    """Name by which matplotlib knows a font from now on."""
    fontManager.addfont(font.path)
    return FontProperties(fname=font.path).get_name()


def build_figure(statistics: DatasetStatistics, labels: Mapping[str, str]) -> Figure:
    """The plot; without the sizes where no annotation has a box. Args: labels: of the categories."""
    totals: Counter[str] = Counter()
    for part in statistics.splits.values():
        totals.update(part.annotations)
    names = [name for name, _ in totals.most_common(MAX_BARS)][::-1]
    panels = 2 if statistics.box_sizes else 1
    figure = Figure(figsize=(11 if panels == 2 else 8, 1.6 + 0.28 * max(len(names), 4)), layout="constrained")
    FigureCanvasAgg(figure)
    left_out = f": the {MAX_BARS} most frequent of {len(totals)} categories" if len(totals) > MAX_BARS else ""
    figure.suptitle(f"{shorten(statistics.name, 60)}{left_out}")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    _draw_counts(axes[0], statistics, names)
    axes[0].set_yticks(range(len(names)), [shorten(labels[name]) for name in names])
    if statistics.box_sizes:
        _draw_box_sizes(axes[1], statistics, names)
    return figure


def _draw_counts(axes: Axes, statistics: DatasetStatistics, names: Sequence[str]) -> None:
    left = np.zeros(len(names))
    for split, part in statistics.splits.items():
        values = np.array([part.annotations.get(name, 0) for name in names], float)
        axes.barh(range(len(names)), values, left=left, label=f"{split} ({part.images:,} images)")
        left += values
    axes.set(xlabel="annotations", xlim=(0, None if left.any() else 1), ylim=(-0.6, max(len(names), 1) - 0.4))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if statistics.splits:
        axes.legend(**ABOVE)


def _draw_box_sizes(axes: Axes, statistics: DatasetStatistics, names: Sequence[str]) -> None:
    for row, name in enumerate(names):
        size = statistics.box_sizes.get(name)
        for offset, sides, colour in () if size is None else ((0.16, size.width, "C0"), (-0.16, size.height, "C1")):
            axes.plot((sides[0], sides[-1]), (row + offset,) * 2, color=colour, linewidth=2)
            axes.plot(sides[2], row + offset, "o", color=colour, markersize=5)
    axes.plot([], [], "C0o-", label="width")
    axes.plot([], [], "C1o-", label="height")
    axes.legend(**ABOVE)
    axes.set(xlabel="box size, pixels (5th, 50th, 95th percentile)", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()


def _count_item(part: SplitStatistics, item: Item) -> None:
    part.images += 1
    part.empty_images += not item.annotations
    viewer = find_viewer(item.annotations, item.seen_by)
    part.model_images += viewer == "model"
    part.unseen_images += viewer == "nobody"
    for annotation in item.annotations:
        part.model_annotations += annotation.origin == "model"
        part.annotations[annotation.category] = part.annotations.get(annotation.category, 0) + 1
    for name in {annotation.category for annotation in item.annotations}:
        part.images_with[name] = part.images_with.get(name, 0) + 1


def _measure_box(histograms: "tuple[_SizeHistogram, _SizeHistogram]", annotation: Annotation) -> None:
    if annotation.box_xyxy is not None:
        x0, y0, x1, y1 = annotation.box_xyxy
        histograms[0].add(x1 - x0)
        histograms[1].add(y1 - y0)


class _SizeHistogram:
    """Sizes in bins whose edges grow by 2 %."""

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()
        self._smallest, self._largest = math.inf, 0.0
        self.count = 0

    def add(self, size_px: float) -> None:
        self._bins[round(math.log(max(size_px, SMALLEST_PX), BIN_RATIO))] += 1
        self._smallest, self._largest = min(self._smallest, size_px), max(self._largest, size_px)
        self.count += 1

    def percentiles(self) -> tuple[float, ...]:
        """Sizes at `PERCENTILES`: the middle of the bin that holds the nearest rank, but no size beyond those there are."""
        found = []
        bins = sorted(self._bins.items())
        for percent in PERCENTILES:
            rank, seen = max(1, math.ceil(self.count * percent / 100)), 0
            for number, count in bins:
                seen += count
                if seen >= rank:
                    found.append(round(min(max(BIN_RATIO**number, self._smallest), self._largest), 2))
                    break
        return tuple(found)
