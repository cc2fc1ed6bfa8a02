"""The pictures whose answer compiling changed: described in words and drawn side by side."""

from collections.abc import Sequence

import numpy as np

from sightline.compiler.comparison import Judged
from sightline.compiler.report.records import Flip
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import ModelManifest
from sightline.core.percent import format_percent
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion
from sightline.imaging.drawing import draw_annotations
from sightline.imaging.files.reading import encode_image
from sightline.imaging.resizing import resize_image
from sightline.metrics.agreement import Agreement

MOST_FLIPS = 12
LARGEST_SIDE = 320  # pixels of a drawn picture: a page with twelve pairs stays below a megabyte
SMALLEST_SIDE = 128  # smaller pictures are enlarged, so that one can see what they show
MOST_NAMES = 4


def describe_flips(
    manifest: ModelManifest, items: Sequence[Item], baseline: Judged, candidate: Judged, agreement: Agreement
) -> list[Flip]:
    """Words for at most twelve flips, the surest answers that changed first.

    Of a segmentation, the pictures that changed most, whether they count as flipped or not: where a thin category is lost, few
    pixels of each picture change.
    """
    shares = measure_changes(agreement) if manifest.task == "semantic" else {}
    if shares:
        ordered = sorted(shares, key=lambda place: -shares[place])[:MOST_FLIPS]
    else:
        ordered = sorted(agreement.flipped, key=lambda place: -_find_confidence(baseline.predictions[place]))[:MOST_FLIPS]
    return [
        Flip(
            file_name=items[place].file_name,
            truth=describe_annotations(items[place].annotations, manifest),
            baseline=describe_annotations(baseline.predictions[place], manifest),
            candidate=describe_annotations(candidate.predictions[place], manifest),
            place=place,
            changed_share=shares.get(place),
        )
        for place in ordered
    ]


def measure_changes(agreement: Agreement) -> dict[int, float]:
    """By place of the pictures of which something changed: the share of what is shown that did, 0..1."""
    return {place: (shown - same) / shown for place, (same, shown) in enumerate(agreement.parts) if same < shown}


def draw_flips(
    manifest: ModelManifest,
    version: DatasetVersion,
    items: Sequence[Item],
    baseline: Judged,
    candidate: Judged,
    flips: Sequence[Flip],
) -> dict[int, tuple[bytes, bytes]]:
    """JPEGs of FP32's and the compiled answer, by the flip's place: two pictures may have one file name."""
    categories = Categories(manifest.categories)
    pictures = {}
    for flip in flips:
        image = version.read_image(items[flip.place])
        first, second = (
            encode_image(fit_picture(_draw(image, judged.predictions[flip.place], manifest, categories)), "jpeg", 85)
            for judged in (baseline, candidate)
        )
        pictures[flip.place] = (first, second)
    return pictures


def _draw(image: np.ndarray, predicted: Sequence[Annotation], manifest: ModelManifest, categories: Categories) -> np.ndarray:
    """Boxes and masks are drawn; the label of a whole picture stands in words below it."""
    shown = [one for one in select_shown(predicted, manifest) if one.geometry != "image"]
    return draw_annotations(image, shown, categories) if shown else image


def fit_picture(image: np.ndarray) -> np.ndarray:
    """Shrink a large picture and enlarge a tiny one, keeping its aspect."""
    height, width = image.shape[:2]
    scale = LARGEST_SIDE / max(height, width)
    if max(height, width) < SMALLEST_SIDE:
        scale = SMALLEST_SIDE / max(height, width)
    elif scale > 1:
        return image
    return resize_image(image, max(1, round(width * scale)), max(1, round(height * scale)))


def select_shown(annotations: Sequence[Annotation], manifest: ModelManifest) -> list[Annotation]:
    """What a user would see: above the Model's own threshold; of a classification only the best."""
    if manifest.task == "classification":
        return list(annotations[:1])
    threshold = manifest.decode.confidence_threshold
    return [one for one in annotations if one.certainty >= threshold]


def describe_annotations(annotations: Sequence[Annotation], manifest: ModelManifest) -> str:
    """ "cat 93 %" or "2 plate, 1 cell", of what would be shown."""
    shown = select_shown(annotations, manifest)
    if not shown:
        return "nothing"
    if manifest.task in ("classification", "multilabel"):
        return ", ".join(
            one.category if one.confidence is None else f"{one.category} {format_percent(one.confidence, 0)}" for one in shown
        )
    counts: dict[str, int] = {}
    for one in shown:
        counts[one.category] = counts.get(one.category, 0) + 1
    names = [f"{count} {name}" if manifest.task != "semantic" else name for name, count in counts.items()]
    return ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")


def _find_confidence(annotations: Sequence[Annotation]) -> float:
    return max((one.certainty for one in annotations), default=0.0)
