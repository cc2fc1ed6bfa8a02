"""Objects as boxes or masks: COCO's mAP family through `faster-coco-eval`, and our own matching for resamples and confusion."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_mask

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.imaging.masks import count_mask_pixels, draw_annotation, encode_mask, find_annotation_box
from sightline.metrics.confusion import CONFIDENCE, ObjectConfusion
from sightline.metrics.matching import (
    IOU_THRESHOLDS,
    CategoryMatches,
    ImageMatches,
    compute_average_precision,
    compute_average_recall,
    join_matches,
    match_image,
)
from sightline.metrics.shown import ShownObjects
from sightline.metrics.task_metrics import (
    Doubles,
    Resampled,
    ResampledMetrics,
    TaskMetrics,
    Weights,
    mean_or_nan,
    ratio,
    read_certainty,
    score_counts,
)
from sightline.metrics.thresholds import find_best_confidence, resample_best_f1

CocoObject = dict[str, Any]
_Pair = tuple[int, list[CocoObject], list[CocoObject]]  # a picture, the predictions in it of one category, its true objects
AREAS = ("all", "small", "medium", "large")  # COCO: below 32², 32²..96², above 96² px²
AREA_RANGES = ((0.0, math.inf), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, math.inf))  # px², both ends belong to it
IOU_50, IOU_75 = 0, 5  # places in COCO's thresholds 0.50, 0.55, ..., 0.95
RECALL_COUNTS = (1, 10, 100)  # COCO: of the surest so many of a picture


class DetectionEvaluator:
    """Judges predicted objects by mean average precision.

    Annotations without box, polygons or mask name no object and are passed over. Areas are those of the boxes ("box") or of the
    masks ("mask", where a polygon is drawn and a bare box is its whole rectangle).

    Args: threshold: precision, recall, F1 and the confusion count predictions at or above it: the one of the Model. All but
        the confusion match within a category: an object that is also found as another is found.
    Attributes: shown: the objects at or above it, judged as a user meets them.
    """

    primary_name = "map"

    def __init__(self, categories: Categories, geometry: Literal["box", "mask"] = "box", threshold: float = CONFIDENCE) -> None:
        self.categories = categories
        self.category_names = categories.names
        self._geometry = geometry
        self._truth: list[list[CocoObject]] = []  # per picture
        self._predicted: list[list[CocoObject]] = []
        self._sizes: list[tuple[int, int]] = []
        self._confusion = ObjectConfusion(len(categories), threshold)
        self.shown = ShownObjects(len(categories), threshold)
        self._matches: dict[int, list[CategoryMatches]] = {}  # by the place of the size in AREAS

    @property
    def images(self) -> int:
        """How many pictures were added."""
        return len(self._sizes)

    @property
    def judged(self) -> int:
        """All of them: a picture without annotations is one on which there is nothing."""
        return self.images

    def add(self, truth: Sequence[Annotation], predicted: Sequence[Annotation], width: int, height: int) -> None:
        """Judge one picture.

        Raises: NotFound for an unknown category; InvalidInput for a confidence of NaN, and where masks are judged for one of
            another size.
        """
        image_id = self.images + 1
        objects = [self._describe(annotation, image_id, width, height) for annotation in truth if _has_place(annotation)]
        answers = [self._describe(annotation, image_id, width, height) for annotation in predicted if _has_place(annotation)]
        self._sizes.append((width, height))
        self._truth.append(objects)
        self._predicted.append(answers)
        self._matches = {}
        crowd, labels = _read(objects, "iscrowd", bool), _read(objects, "category_id", np.int64)
        answer_labels, confidences = _read(answers, "category_id", np.int64), _read(answers, "score", np.float64)
        overlap = self._overlap(answers, objects)
        self._confusion.add(labels, crowd, answer_labels, confidences, overlap)
        self.shown.add(labels, crowd, answer_labels, confidences, overlap)

    def compute(self) -> TaskMetrics:
        """mAP, mAP50, mAP75, by size, recall, best F1; per category AP, AP50 and, of what is shown, precision, recall, F1."""
        counts = self.shown.count_categories().T.tolist()
        per_category = {
            name: score_counts(right, truth, shown) for name, (right, shown, truth) in zip(self.categories, counts, strict=True)
        }
        values = {"map": 0.0, "map50": 0.0, "map75": 0.0}
        if any(not truth["iscrowd"] for objects in self._truth for truth in objects):
            evaluation = self._run_coco()
            precision, recall = evaluation["precision"], evaluation["recall"]  # (T, R, C, A, M), (T, C, A, M); -1: no truth
            values |= _summarise(precision, recall)
            for index, name in enumerate(self.categories):
                for metric, chosen in (("ap", precision[:, :, index, 0, -1]), ("ap50", precision[IOU_50, :, index, 0, -1])):
                    if (chosen > -1).any():
                        per_category[name][metric] = float(chosen.mean())
            best = find_best_confidence(self.match())
            if best is not None:
                values["best_confidence"], values["best_f1"] = best
        ordered = ("ap", "ap50", "precision", "recall", "f1", "truth")
        return TaskMetrics(
            primary_name=self.primary_name,
            values=values,
            per_category={name: {key: row[key] for key in ordered if key in row} for name, row in per_category.items()},
            confusion=self._confusion.counts.tolist(),
            images=self.images,
        )

    def resample(self, weights: Weights) -> Resampled:
        """mAP, and AP per category, under picture weights `(B, N)`; for equal weights exactly COCO's."""
        precisions = self._resample_precisions(weights).mean(axis=2)
        return Resampled(mean_or_nan(precisions), precisions)

    def resample_all(self, weights: Weights) -> ResampledMetrics:
        """All metrics of `compute` under picture weights `(B, N)`."""
        self._match_sizes(range(len(AREAS)))
        precisions = self._resample_precisions(weights)
        values = {"map": mean_or_nan(precisions.mean(axis=2))}
        values |= {name: mean_or_nan(precisions[:, :, place]) for name, place in (("map50", IOU_50), ("map75", IOU_75))}
        values |= {f"ar{most}": self._resample_recall(weights, most) for most in RECALL_COUNTS}
        for place, area in enumerate(AREAS):
            if place:
                values[f"map_{area}"] = mean_or_nan(self._resample_precisions(weights, place).mean(axis=2))
                values[f"ar_{area}"] = self._resample_recall(weights, RECALL_COUNTS[-1], place)
        values["best_f1"] = resample_best_f1(self.match(), weights)
        scores = {"ap": precisions.mean(axis=2), "ap50": precisions[:, :, IOU_50], **self.shown.resample_scores(weights)}
        return ResampledMetrics(values, scores)

    def count_pictures(self) -> Weights:
        """`(C,)` in the truth of how many pictures each category occurs."""
        return np.array([(matches.truth > 0).sum() for matches in self.match()], np.int64)

    def _resample_precisions(self, weights: Weights, area: int = 0) -> Doubles:
        """`(B, C, T)` average precision of each category at each IoU threshold. Args: area: place of the size in AREAS."""
        found = [compute_average_precision(matches, weights) for matches in self.match(area)]
        return np.stack(found, axis=1) if found else np.empty((len(weights), 0, len(IOU_THRESHOLDS)))

    def _resample_recall(self, weights: Weights, most: int, area: int = 0) -> Doubles:
        """`(B,)` average recall of the `most` surest of each picture, the mean over the categories."""
        recalls = [compute_average_recall(matches, weights, most) for matches in self.match(area)]
        return mean_or_nan(np.array(recalls).reshape(len(recalls), len(weights)).T)

    def match(self, area: int = 0) -> list[CategoryMatches]:
        """Matches of each category, in the order of the categories; kept until another picture is added.

        Args: area: place in AREAS of the size of the objects that count.
        """
        self._match_sizes([area])
        return self._matches[area]

    def _match_sizes(self, areas: Iterable[int]) -> None:
        """Match for those of the sizes that were not matched yet; overlaps are measured once for all of them."""
        left = [area for area in areas if area not in self._matches]
        if not left:
            return
        pairs: list[list[_Pair]] = [[] for _ in self.category_names]
        for image, (objects, answers) in enumerate(zip(self._truth, self._predicted, strict=True)):
            mine, said = _group(objects), _group(answers)
            for index in mine.keys() | said.keys():
                pairs[index].append((image, said.get(index, []), mine.get(index, [])))
        found = [self._match_category(of_category, [AREA_RANGES[area] for area in left]) for of_category in pairs]
        for place, area in enumerate(left):
            self._matches[area] = [by_size[place] for by_size in found]

    def _match_category(self, pairs: list[_Pair], ranges: list[tuple[float, float]]) -> list[CategoryMatches]:
        """Match one category for each range of sizes, px²; pictures without a pair have nothing of it, true or said."""
        matches: list[list[ImageMatches]] = [[] for _ in ranges]
        for _, said, mine in pairs:
            overlap = self._overlap(said, mine)
            scores, crowd = _read(said, "score", np.float64), _read(mine, "iscrowd", bool)
            true_areas, areas = (_read(side, "area", np.float64) for side in (mine, said))
            for sizes, found in zip(ranges, matches, strict=True):
                found.append(match_image(overlap, scores, crowd, _is_outside(true_areas, sizes), _is_outside(areas, sizes)))
        pictures = [image for image, _, _ in pairs]
        return [join_matches(found, pictures) for found in matches]

    def _describe(self, annotation: Annotation, image_id: int, width: int, height: int) -> CocoObject:
        """A COCO annotation, true or predicted; `category_id` is the category's index.

        A mask comes without its box: beside one, `COCO.loadRes` would take the box's area for the mask's.
        """
        described: CocoObject = {
            "image_id": image_id,
            "category_id": self.categories.index(annotation.category),
            "iscrowd": int(annotation.is_crowd),
            "score": read_certainty(annotation),
        }
        if self._geometry == "mask":
            if annotation.mask is not None and (annotation.mask.width, annotation.mask.height) != (width, height):
                raise InvalidInput(
                    f"expected a mask of {width} x {height} for {annotation.category!r}, got {annotation.mask.width} x "
                    f"{annotation.mask.height}; give that of the picture"
                )
            rle = annotation.mask or encode_mask(draw_annotation(annotation, height, width))
            described["segmentation"] = {"size": [rle.height, rle.width], "counts": rle.counts}
            described["area"] = count_mask_pixels(rle)
        else:
            x_min, y_min, x_max, y_max = find_annotation_box(annotation) or (0.0, 0.0, 0.0, 0.0)
            described["bbox"] = [x_min, y_min, x_max - x_min, y_max - y_min]
            described["area"] = (x_max - x_min) * (y_max - y_min)
        return described

    def _overlap(self, answers: list[CocoObject], objects: list[CocoObject]) -> Doubles:
        """`(D, G)` IoU of predictions with true objects; with a crowd: the share of the prediction that lies in it."""
        if not answers or not objects:
            return np.zeros((len(answers), len(objects)))
        key = "bbox" if self._geometry == "box" else "segmentation"
        crowd = [truth["iscrowd"] for truth in objects]
        overlap = coco_mask.iou([answer[key] for answer in answers], [truth[key] for truth in objects], crowd)
        return np.asarray(overlap, np.float64).reshape(len(answers), len(objects))

    def _run_coco(self) -> dict[str, Any]:
        """`faster-coco-eval` over everything added. It logs to a silent function instead of the terminal."""
        images = [{"id": index + 1, "width": width, "height": height} for index, (width, height) in enumerate(self._sizes)]
        categories = [{"id": index, "name": name} for index, name in enumerate(self.categories)]
        truth = [dict(one) for objects in self._truth for one in objects]
        answers = [dict(one) for answers in self._predicted for one in answers]
        for listed in (truth, answers):
            for number, one in enumerate(listed, start=1):  # ids begin at 1: COCO takes 0 for "not matched"
                one["id"] = number
        dataset = {"images": images, "categories": categories, "annotations": truth}
        coco_truth = COCO(dataset, print_function=_stay_silent)
        evaluation = COCOeval_faster(
            coco_truth,
            coco_truth.loadRes(answers),
            iouType="bbox" if self._geometry == "box" else "segm",
            print_function=_stay_silent,
            rle_iou_max_workers=1,
        )
        evaluation.evaluate()
        evaluation.accumulate()
        result: dict[str, Any] = evaluation.eval
        return result


def _summarise(precision: Doubles, recall: Doubles) -> dict[str, float]:
    """COCO's summary numbers by name from its tables; those without truth (small objects, say) are left out."""
    chosen = {
        "map": precision[:, :, :, 0, -1],
        "map50": precision[IOU_50, :, :, 0, -1],
        "map75": precision[IOU_75, :, :, 0, -1],
        **{f"map_{area}": precision[:, :, :, index, -1] for index, area in enumerate(AREAS) if index},
        **{f"ar{count}": recall[:, :, 0, index] for index, count in enumerate(RECALL_COUNTS)},
        **{f"ar_{area}": recall[:, :, index, -1] for index, area in enumerate(AREAS) if index},
    }
    known = {name: table[table > -1] for name, table in chosen.items()}
    return {name: ratio(float(table.sum()), len(table)) for name, table in known.items() if len(table)}


def _has_place(annotation: Annotation) -> bool:
    return annotation.geometry != "image"


def _group(objects: list[CocoObject]) -> dict[int, list[CocoObject]]:
    """Objects by category, in their order."""
    groups: dict[int, list[CocoObject]] = {}
    for one in objects:
        groups.setdefault(one["category_id"], []).append(one)
    return groups


def _read(objects: list[CocoObject], key: str, dtype: Any) -> np.ndarray[Any, Any]:
    return np.array([one[key] for one in objects], dtype)


def _is_outside(areas: Doubles, sizes: tuple[float, float]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray((areas < sizes[0]) | (areas > sizes[1]))


def _stay_silent(*_: object) -> None:
    """Where `faster-coco-eval` writes its progress."""
