"""Which pieces of a Datumaro item become which annotation."""

import math
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import mask as coco_masks

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.datumaro.objects import find_shared_groups, read_objects
from sightline.imaging.masks import compute_ring_area, decode_mask

LABELS = {0: "cat", 1: "dog"}
RING = [1.0, 1.0, 5.0, 1.0, 5.0, 5.0]
OTHER = [11.0, 1.0, 15.0, 1.0, 15.0, 5.0]
PIXELS = np.zeros((10, 20), np.uint8)
PIXELS[2:7, 3:9] = 1
RLE = {"counts": coco_masks.encode(np.asfortranarray(PIXELS))["counts"].decode(), "size": [10, 20]}


def piece(kind: str, group: int = 0, label: Any = 0, **changes: Any) -> dict[str, Any]:
    shapes = {
        "bbox": {"bbox": [1.0, 2.0, 3.0, 4.0]},
        "polygon": {"points": RING},
        "mask": {"rle": RLE},
        "ellipse": {"points": [0.0, 0.0, 20.0, 10.0]},
        "rotated_bbox": {"points": [10.0, 5.0, 6.0, 2.0, 90.0]},
    }
    shape = shapes.get(kind, {})
    return {"id": 0, "type": kind, "attributes": {}, "group": group, "label_id": label, "z_order": 0, **shape, **changes}


def read(*records: Any) -> tuple[tuple[Annotation, ...], ConversionReport]:
    report = ConversionReport()
    return read_objects(list(records), LABELS, (20, 10), report, "1"), report


def describe(*records: Any) -> list[tuple[str, str, int, str | None]]:
    """Category, geometry, number of rings and group of each annotation."""
    return [(one.category, one.geometry, len(one.polygons or ()), one.attributes.get("group")) for one in read(*records)[0]]


def test_pieces_of_no_group_are_an_object_each() -> None:
    assert describe(*map(piece, ("polygon", "polygon", "bbox", "label", "mask"))) == [
        ("cat", "polygons", 1, None), ("cat", "polygons", 1, None), ("cat", "box", 0, None), ("cat", "image", 0, None),
        ("cat", "mask", 0, None),
    ]  # fmt: skip


def test_outline_box_mask_and_label_of_one_group_are_one_object() -> None:
    records = [piece(kind, 3) for kind in ("label", "bbox", "polygon", "mask")] + [piece("polygon", 3, points=OTHER)]
    ((one,), report) = read(*records)
    assert (one.box_xyxy, one.polygons) == ((1.0, 2.0, 4.0, 6.0), (tuple(RING), tuple(OTHER)))
    assert one.mask is not None
    assert np.array_equal(decode_mask(one.mask), PIXELS)
    assert one.attributes == {}
    assert report.is_clean


def test_a_piece_without_a_label_has_that_of_its_group() -> None:
    assert describe(piece("bbox", 5, None), piece("label", 5, 1)) == [("dog", "box", 0, None)]
    annotations, report = read(piece("bbox", 5, None), piece("label", 5, 1), piece("label", 5, 0), piece("bbox", 0, None))
    assert [one.geometry for one in annotations] == ["image", "image"]
    assert report.count("annotation", "dropped", "annotation without a label") == 2


def test_objects_that_share_a_group_keep_its_number() -> None:
    person = [piece("bbox", 7), piece("bbox", 7, 1), piece("polygon", 7, 1), piece("bbox")]
    assert describe(*person) == [("cat", "box", 0, "7"), ("dog", "polygons", 1, "7"), ("cat", "box", 0, None)]
    crowd = [piece("bbox", 7), piece("polygon"), piece("bbox", 7), piece("label", 7)]
    assert describe(*crowd) == [
        ("cat", "box", 0, "7"), ("cat", "polygons", 1, None), ("cat", "box", 0, "7"), ("cat", "image", 0, "7"),
    ]  # fmt: skip
    assert describe(piece("mask", 7), piece("mask", 7)) == [("cat", "mask", 0, "7")] * 2


def test_what_has_the_higher_z_order_lies_on_top() -> None:
    orders = [3, -1, None, 2.5, "x", 10**400, float("nan"), True]
    records = [piece("bbox", z_order=order, attributes={"n": number}) for number, order in enumerate(orders)]
    assert [one.attributes["n"] for one in read(*records)[0]] == ["1", "2", "4", "6", "7", "3", "0", "5"]


def test_turned_boxes_and_ellipses_become_polygons() -> None:
    (turned, cvat, plain, ellipse), report = read(
        piece("rotated_bbox"),
        piece("bbox", bbox=[7.0, 4.0, 6.0, 2.0], attributes={"rotation": 90.0, "occluded": False}),
        piece("bbox", attributes={"rotation": 0.0}),
        piece("ellipse"),
    )
    # 6 x 2 about (10, 5), its left upper corner (7, 4) a quarter turn with the clock: (11, 2).
    for one in (turned, cvat):
        assert one.polygons is not None
        assert one.polygons[0] == pytest.approx((11, 2, 11, 8, 9, 8, 9, 2))
        assert one.box_xyxy is None
    assert cvat.attributes == {"occluded": "false"}
    assert (plain.box_xyxy, plain.attributes) == ((1.0, 2.0, 4.0, 6.0), {})
    assert ellipse.polygons is not None
    assert compute_ring_area(ellipse.polygons[0]) == pytest.approx(math.pi * 10 * 5, rel=0.002)
    assert (report.changed("annotation"), report.dropped("annotation")) == (3, 0)


def test_attributes_become_text_confidence_and_crowd_mark() -> None:
    facts = {"score": 0.25, "is_crowd": True, "a": True, "b": 7, "c": 1.5, "d": "x", "e": None, "f": [1], "g\ud800": "\ud800"}
    ((one,), _) = read(piece("bbox", attributes=facts, object_id=4))
    assert (one.confidence, one.origin, one.is_crowd) == (0.25, "model", True)
    assert one.attributes == {
        "a": "true", "b": "7", "c": "1.5", "d": "x", "f": "[1]", "g\N{REPLACEMENT CHARACTER}": "\N{REPLACEMENT CHARACTER}",
        "object_id": "4",
    }  # fmt: skip
    ((one,), _) = read(piece("bbox", attributes={"score": 0.25}, origin="human"))
    assert (one.confidence, one.origin) == (0.25, "human")


@pytest.mark.parametrize("score", ["high", 7, -0.5, True, float("nan"), None])
def test_a_score_that_is_none_is_an_attribute(score: Any) -> None:
    ((one,), _) = read(piece("bbox", attributes={"score": score, "is_crowd": "no"}))
    assert (one.confidence, one.origin, one.is_crowd) == (None, "human", False)
    assert one.attributes.get("score") == (None if score is None else str(score).lower() if score is True else str(score))


@pytest.mark.parametrize(
    "record",
    [
        piece("bbox", bbox=[1, 2, 3]),
        piece("bbox", bbox="1,2,3,4"),
        piece("bbox", bbox=[1, 2, 3, "x"]),
        piece("bbox", bbox=[1, 2, 3, 10**400]),
        piece("polygon", points={"x": 1}),
        piece("ellipse", points=[1.0]),
        piece("rotated_bbox", points=[1.0, 2.0, 3.0, 4.0]),
        piece("mask", rle=None),
        piece("mask", rle={"counts": [1], "size": [10, 20]}),
        {"type": "polygon"},
        {"type": ["bbox"]},
        {"type": "tabular"},
        {},
        7,
        None,
    ],
)
def test_a_damaged_record_is_told_and_the_others_are_kept(record: Any) -> None:
    annotations, report = read(piece("bbox"), record, piece("label", label=1))
    assert [one.geometry for one in annotations] == ["box", "image"]
    assert report.dropped("annotation") == 1


@pytest.mark.parametrize("label", [9, -1, 1.0, "cat", [0], True])
def test_a_label_that_is_not_listed_is_unknown(label: Any) -> None:
    ((one,), _) = read(piece("bbox", label=label))
    assert one.category == f"id {label}"


def box(category: str, group: str) -> Annotation:
    return Annotation(category=category, box_xyxy=(0.0, 0.0, 1.0, 1.0), attributes={"group": group})


def outline(category: str, group: str) -> Annotation:
    return Annotation(category=category, polygons=(tuple(RING),), attributes={"group": group})


@pytest.mark.parametrize(
    ("annotations", "groups"),
    [
        ([box("cat", "5"), box("dog", "5")], [5, 5]),
        ([box("cat", "5"), box("cat", "5"), outline("dog", "5")], [5, 5, 5]),
        ([box("cat", "5")], [0]),  # alone it would be no group
        ([outline("cat", "5"), outline("cat", "5")], [0, 0]),  # would become one object
        ([box("cat", "5"), outline("cat", "5")], [0, 0]),
        ([box("cat", "05"), box("cat", "05")], [0, 0]),
        ([box("cat", "a"), box("cat", "")], [0, 0]),
        ([box("cat", "-5"), box("cat", "-5")], [0, 0]),
        ([], []),
    ],
)
def test_a_group_is_written_where_reading_finds_the_same_objects(annotations: list[Annotation], groups: list[int]) -> None:
    assert find_shared_groups(annotations) == groups
