"""The worst pictures of a measurement, drawn so that a person sees what went wrong.

Only the worst few are remembered while the version streams by. What "worst" means: for objects, the number missed plus the
summed confidence of the wrong ones; for a label, the confidence of the wrong answer; for several labels, how many are wrong;
for label maps, the share of labelled pixels that differ.
"""

import heapq
from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from sightline.bench.matching import Matches, match_objects
from sightline.bench.records import Mistake
from sightline.bench.subjects import BACKGROUND
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import Task, UnlabelledPixels
from sightline.core.percent import format_percent
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion
from sightline.imaging.drawing import draw_annotations, name_category
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import annotations_to_label_map
from sightline.imaging.plates import draw_plate, measure_plate, place_plates
from sightline.imaging.resizing import resize_image

MISTAKES_FOLDER = "mistakes"
DRAWN_SIDE = 640  # pixels of the longer side: small enough to carry a dozen inside report.html
MAX_NAMED = 20
RIGHT_RGB, WRONG_RGB, MISSED_RGB = (46, 160, 90), (225, 50, 60), (245, 165, 20)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One picture with what is in it and what was predicted at the threshold a user gets."""

    item: Item
    truth: tuple[Annotation, ...]
    predicted: tuple[Annotation, ...]
    caption: str


class WorstPictures:
    """Remembers the `limit` worst pictures offered; those without any mistake are never kept."""

    def __init__(self, task: Task, categories: Categories, unlabelled_pixels: UnlabelledPixels, limit: int) -> None:
        self._task, self._categories, self._limit = task, categories, limit
        self._ignores_unlabelled = unlabelled_pixels == "ignore"
        self._background = categories.index(BACKGROUND) if BACKGROUND in categories else len(categories)
        self._ignored = len(categories) + 1
        self._heap: list[tuple[float, int, Judged]] = []
        self._offered = 0

    def offer(self, item: Item, truth: Sequence[Annotation], predicted: Sequence[Annotation]) -> None:
        """Judge one picture; `predicted` at the threshold a user gets."""
        severity, caption = self._judge(item, truth, predicted)
        self._offered += 1
        if severity <= 0 or self._limit < 1:
            return
        judged = Judged(item=item, truth=tuple(truth), predicted=tuple(predicted), caption=caption)
        entry = (severity, -self._offered, judged)  # the earlier picture wins a tie
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def draw(self, version: DatasetVersion, folder: Path) -> tuple[Mistake, ...]:
        """Write the pictures below `folder/mistakes`, worst first, and describe them."""
        mistakes = []
        for number, (severity, _, judged) in enumerate(sorted(self._heap, reverse=True), 1):
            name = f"{MISTAKES_FOLDER}/{number:02d}.jpg"
            (folder / MISTAKES_FOLDER).mkdir(exist_ok=True)
            picture = self._draw_one(version.read_image(judged.item), judged)
            (folder / name).write_bytes(encode_image(picture, "jpeg", quality=85))
            mistakes.append(
                Mistake(
                    file_name=judged.item.file_name, picture=name, caption=judged.caption, severity=round(float(severity), 4)
                )
            )
        return tuple(mistakes)

    def _judge(self, item: Item, truth: Sequence[Annotation], predicted: Sequence[Annotation]) -> tuple[float, str]:
        if self._task in ("detection", "instance"):
            return judge_objects(match_objects(truth, predicted))
        if self._task == "semantic":
            rest = self._ignored if self._ignores_unlabelled else self._background
            true_map = annotations_to_label_map(truth, self._categories, item.height, item.width, unlabelled=rest)
            answer = annotations_to_label_map(predicted, self._categories, item.height, item.width, unlabelled=self._background)
            return judge_label_maps(true_map, answer, self._ignored)
        if self._task == "multilabel":
            return judge_labels(truth, predicted)
        return judge_label(truth, predicted)

    def _draw_one(self, image: np.ndarray, judged: Judged) -> np.ndarray:
        if self._task in ("detection", "instance"):
            return draw_matches(image, match_objects(judged.truth, judged.predicted), self._categories)
        if self._task == "semantic":
            panels = [draw_annotations(image, list(side), self._categories) for side in (judged.truth, judged.predicted)]
            return np.concatenate([shrink_image(panel)[0] for panel in panels], axis=1)  # truth left, prediction right
        return shrink_image(image)[0]


def judge_objects(matches: Matches) -> tuple[float, str]:
    """Severity and caption of one picture with objects."""
    severity = len(matches.missed) + sum(one.certainty for one in matches.wrong)
    return severity, f"{len(matches.missed)} missed, {len(matches.wrong)} wrong, {len(matches.right)} right"


def judge_label(truth: Sequence[Annotation], predicted: Sequence[Annotation]) -> tuple[float, str]:
    """Severity and caption of one picture with one label; no answer at all is as bad as a certain wrong one."""
    expected = truth[0].category if truth else "no label"
    if not predicted:
        return (1.0 if truth else 0.0), f"{expected}, no answer"
    best = max(predicted, key=lambda one: one.certainty)
    severity = 0.0 if best.category == expected or not truth else best.certainty
    return severity, f"{expected}, taken for {best.category} ({best.certainty:.2f})"


def judge_labels(truth: Sequence[Annotation], predicted: Sequence[Annotation]) -> tuple[float, str]:
    """Severity and caption of one picture with any number of labels."""
    expected, answered = {one.category for one in truth}, {one.category for one in predicted}
    missed, wrong = sorted(expected - answered), sorted(answered - expected)
    return float(len(missed) + len(wrong)), f"missed: {', '.join(missed) or 'none'}; wrong: {', '.join(wrong) or 'none'}"


def judge_label_maps(truth: np.ndarray, predicted: np.ndarray, ignored: int) -> tuple[float, str]:
    """Severity and caption of one picture by pixels: `(H, W)` maps; pixels that are `ignored` in `truth` do not count."""
    counted = truth != ignored
    total = int(counted.sum())
    share = float(((truth != predicted) & counted).sum()) / total if total else 0.0
    return share, f"{format_percent(share, 1)} of the labelled pixels differ; truth left, prediction right"


def draw_matches(image: np.ndarray, matches: Matches, categories: Categories) -> np.ndarray:
    """The picture, at most 640 pixels wide or high: right predictions green, wrong ones red, missed things amber."""
    drawn, scale = shrink_image(image)
    is_named = len(matches.wrong) + len(matches.missed) <= MAX_NAMED  # more names would hide the picture
    for annotations, colour, thickness in (
        (matches.right, RIGHT_RGB, 1),
        (matches.missed, MISSED_RGB, 2),
        (matches.wrong, WRONG_RGB, 2),
    ):
        for annotation in annotations:
            x0, y0, x1, y1 = (round(value * scale) for value in annotation.box_xyxy or (0, 0, 0, 0))
            cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, thickness)
    if is_named:
        _draw_names(drawn, matches, scale, categories)
    return drawn


def _draw_names(image: np.ndarray, matches: Matches, scale: float, categories: Categories) -> None:
    """Name what was missed and what is wrong, beside its box."""
    named = [(one, MISSED_RGB) for one in matches.missed] + [(one, WRONG_RGB) for one in matches.wrong]
    texts = [
        name_category(one.category, categories) + (f" {one.confidence:.2f}" if one.confidence is not None else "")
        for one, _ in named
    ]
    plates = [measure_plate(text, *image.shape[:2]) for text in texts]
    boxes = np.array([one.box_xyxy or (0, 0, 0, 0) for one, _ in named], np.float64).reshape(-1, 4) * scale
    corners = place_plates(plates, boxes, [False] * len(plates), *image.shape[:2])
    for plate, corner, (_, colour) in zip(plates, corners, named, strict=True):
        draw_plate(image, plate, corner, colour)


def shrink_image(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A copy whose longer side is at most 640 pixels, and the scale, 0..1."""
    height, width = image.shape[:2]
    scale = min(1.0, DRAWN_SIDE / max(height, width))
    if scale == 1.0:
        return image.copy(), 1.0
    smaller: np.ndarray = resize_image(image, max(1, round(width * scale)), max(1, round(height * scale)))
    return smaller, scale
