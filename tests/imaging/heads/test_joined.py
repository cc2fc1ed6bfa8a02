"""Detectors that give all of a place in one output: what each number means, and what is refused."""

import math

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.boxes import box_iou
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.resizing import letterbox_image, stretch_image

CATEGORIES = Categories(["a", "b", "c"])
PLACEMENT = stretch_image(np.zeros((50, 100, 3), np.uint8), 200, 100)[1]  # twice as large in the input


def decode(head: str, array: object, threshold: float = 0.25, most: int = 100, **parameters: object) -> list[Annotation]:
    spec = DecodeSpec(head=head, outputs=("joined",), parameters=parameters, iou_threshold=0.5, max_detections=most)
    (found,) = decode_outputs(spec, {"joined": np.asarray([array], np.float32)}, [PLACEMENT], CATEGORIES, threshold)
    return found


def describe(annotations: list[Annotation]) -> list[tuple[str, float, tuple[float, ...]]]:
    return [(one.category, round(one.confidence or 0, 4), tuple(np.round(one.box_xyxy or (), 3))) for one in annotations]


def test_each_column_is_a_box_and_the_probabilities_of_its_classes() -> None:
    columns = [[60, 40, 80, 40, 0.1, 0.8, 0.3], [150, 80, 20, 20, 0.7, 0.0, 0.2], [10, 10, 4, 4, 0.1, 0.1, 0.1]]
    assert describe(decode("joined_boxes", np.transpose(columns))) == [
        ("b", 0.8, (10, 10, 50, 30)),
        ("a", 0.7, (70, 35, 80, 45)),
        ("c", 0.3, (10, 10, 50, 30)),
    ]


def test_an_objectness_bounds_every_class() -> None:
    rows = [[60, 40, 80, 40, 0.5, 0.1, 0.8, 0.6], [150, 80, 20, 20, 0.2, 0.9, 0.9, 0.9]]
    found = decode("joined_boxes", rows, axis=2, objectness=True)
    assert describe(found) == [("b", 0.4, (10, 10, 50, 30)), ("c", 0.3, (10, 10, 50, 30))]
    assert decode("joined_boxes", rows, axis=2, objectness=True, threshold=0.9) == []


@pytest.mark.parametrize(
    ("parameters", "box"),
    [
        ({"order": "xyxy"}, (20, 20, 100, 60)),
        ({"order": "yxyx"}, (20, 20, 60, 100)),
        ({"normalised": True}, (0.3, 0.4, 0.4, 0.4)),
    ],
)
def test_boxes_come_in_other_orders_and_in_shares_of_the_input(parameters: dict[str, object], box: tuple[float, ...]) -> None:
    (found,) = decode("joined_boxes", np.transpose([[*box, 0.9, 0, 0]]), **parameters)
    assert found.box_xyxy == pytest.approx((10, 10, 50, 30), abs=1e-4)


def test_it_finds_what_a_loop_over_all_places_finds() -> None:
    """Every place and class one by one: above the threshold, best first, unless a better box of its class overlaps it."""
    rng = np.random.default_rng(0)
    columns = np.concatenate(
        [
            rng.uniform(20, 180, (200, 1)),
            rng.uniform(20, 80, (200, 1)),
            rng.uniform(10, 60, (200, 2)),
            rng.random((200, 3)) ** 4,
        ],
        axis=1,
    ).astype(np.float32)
    pairs = sorted(
        ((float(row[4 + label]), label, row[:4]) for row in columns for label in range(3) if row[4 + label] >= 0.25),
        key=lambda pair: -pair[0],
    )
    kept: list[tuple[float, int, np.ndarray]] = []
    for score, label, (x, y, width, height) in pairs:
        box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)
        if all(label != other or box_iou(box[None], before[None])[0, 0] <= 0.5 for _, other, before in kept):
            kept.append((score, label, box))
    found = decode("joined_boxes", columns.T, most=300)
    assert len(found) == len(kept) > 20
    for one, (score, label, box) in zip(found, kept, strict=True):
        assert (one.category, one.confidence) == (CATEGORIES[label], pytest.approx(score))
        assert one.box_xyxy == pytest.approx(np.clip(box / 2, 0, (100, 50, 100, 50)), abs=1e-3)


def test_what_the_graph_has_chosen_is_not_suppressed() -> None:
    rows = [[20, 20, 100, 60, 0.4, 1], [20, 20, 100, 60, 0.9, 1], [140, 70, 160, 90, 0.7, 0], [0, 0, 0, 0, 0, 0]]
    assert describe(decode("final_boxes", rows)) == [
        ("b", 0.9, (10, 10, 50, 30)),
        ("a", 0.7, (70, 35, 80, 45)),
        ("b", 0.4, (10, 10, 50, 30)),
    ]
    assert len(decode("final_boxes", rows, most=2)) == 2
    assert decode("final_boxes", rows, threshold=0.0)[-1].confidence == pytest.approx(0.4)  # rows that only fill up are none


def test_letterboxed_pictures_get_their_boxes_back() -> None:
    _, placement = letterbox_image(np.zeros((30, 60, 3), np.uint8), 120, 120)
    spec = DecodeSpec(head="joined_boxes", outputs=("joined",))
    array = np.transpose([[60, 60, 40, 20, 0.9, 0, 0]]).astype(np.float32)
    ((found,),) = decode_outputs(spec, {"joined": array[None]}, [placement], CATEGORIES)
    assert found.box_xyxy == pytest.approx((20, 10, 40, 20), abs=1e-3)


@pytest.mark.parametrize(
    ("head", "shape", "parameters", "said"),
    [
        ("joined_boxes", (8, 5), {}, r"expected one output \(N, 7, P\) for 3 categories"),
        ("joined_boxes", (5, 7), {"axis": 2, "objectness": True}, r"\(N, P, 8\)"),
        ("joined_boxes", (7, 5), {"axis": 3}, "axis to be 1 or 2, got 3"),
        ("joined_boxes", (7, 5), {"order": "xywh"}, "expected order to be one of"),
        ("final_boxes", (5, 7), {}, r"\(N, K, 6\)"),
    ],
)
def test_what_does_not_fit_is_refused(head: str, shape: tuple[int, int], parameters: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        decode(head, np.ones(shape), **parameters)


def test_a_class_that_no_category_names_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"classes 0\.\.2, got 7\.\.7"):
        decode("final_boxes", [[0, 0, 9, 9, 0.9, 7]])


def test_numbers_that_are_none_are_refused() -> None:
    for head, shape in (("joined_boxes", (7, 3)), ("final_boxes", (3, 6))):
        with pytest.raises(InvalidInput, match="got NaN"):
            decode(head, np.full(shape, math.nan))
