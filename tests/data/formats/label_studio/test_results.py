"""Results in percent become annotations in pixels, worked by hand."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from format_samples import read
from label_studio_samples import SIZE, annotated, choice, put, rectangle, region, task

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import NONE_KEPT
from sightline.data.formats.label_studio.brush import encode_brush
from sightline.data.importing import import_dataset
from sightline.imaging.files.reading import limit_pixels
from sightline.imaging.masks import decode_mask


def read_one(folder: Path, *results: Any) -> tuple[tuple[Annotation, ...], ConversionReport]:
    _, items, report = read("label_studio", put(folder, task(annotated(*results))))
    return tuple(items["1.png"].annotations), report


def test_percent_become_pixels(tmp_path: Path) -> None:
    (annotation,), report = read_one(tmp_path, rectangle())
    assert annotation == Annotation(category="cat", box_xyxy=(2.0, 2.0, 8.0, 6.0))  # 10 % of 20, 20 % of 10, ...
    assert report.is_clean


def test_a_rotated_box_turns_about_its_first_corner_in_pixels(tmp_path: Path) -> None:
    (annotation,), report = read_one(tmp_path, rectangle(x=50, y=10, width=20, height=20, rotation=30))
    cosine, sine = math.sqrt(3) / 2, 0.5  # 4 x 2 pixels at (10, 1): the corners by hand
    corners = (10, 1, 10 + 4 * cosine, 1 + 4 * sine, 10 + 4 * cosine - 2 * sine, 1 + 4 * sine + 2 * cosine)
    assert annotation.polygons is not None
    assert annotation.polygons[0] == pytest.approx((*corners, 10 - 2 * sine, 1 + 2 * cosine))
    assert report.count("annotation", "changed", "rotated box, kept as the polygon of its four corners") == 1


@pytest.mark.parametrize(
    ("angle", "box"), [(90, (6, 2, 8, 5)), (180, (5, 0, 8, 2)), (-90, (8, -1, 10, 2)), (360, (8, 2, 11, 4))]
)
def test_a_box_turned_by_quarters_stays_a_box(tmp_path: Path, angle: float, box: tuple[float, ...]) -> None:
    (annotation,), report = read_one(tmp_path, rectangle(x=40, y=20, width=15, height=20, rotation=angle))  # 3 x 2 at (8, 2)
    assert annotation.box_xyxy == pytest.approx(box)
    assert report.is_clean


def test_a_polygon(tmp_path: Path) -> None:
    points = [[0, 0], [100, 0], [50, 100]]
    (annotation,), report = read_one(tmp_path, region("polygonlabels", {"points": points, "polygonlabels": ["cat"]}))
    assert annotation.polygons == ((0, 0, 20, 0, 10, 10),)
    assert report.is_clean


def test_an_ellipse_becomes_a_polygon_of_its_area(tmp_path: Path) -> None:
    value = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 20, "rotation": 90, "ellipselabels": ["cat"]}
    (annotation,), report = read_one(tmp_path, region("ellipselabels", value))
    assert annotation.polygons is not None
    ring = np.array(annotation.polygons[0]).reshape(-1, 2)
    assert (ring.min(axis=0), ring.max(axis=0)) == (pytest.approx([8, 0]), pytest.approx([12, 10]))  # 5 x 2, turned
    assert cv2.contourArea(ring.astype(np.float32)) == pytest.approx(math.pi * 5 * 2, rel=0.01)
    assert report.changed("annotation") == 1


def test_a_brush(tmp_path: Path) -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 7:9] = mask[8, 19] = True
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": ["cat"]}
    (annotation,), report = read_one(tmp_path, region("brushlabels", value))
    assert annotation.mask is not None
    assert np.array_equal(decode_mask(annotation.mask), mask)
    assert report.is_clean


def test_labels_apart_from_their_shape(tmp_path: Path) -> None:
    bare = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    results = region("rectangle", bare), region("labels", {**bare, "labels": ["cat"]})
    annotations, report = read_one(tmp_path, *results)
    assert annotations == (Annotation(category="cat", box_xyxy=(2.0, 2.0, 8.0, 6.0)),)
    assert report.is_clean


def test_a_region_of_two_labels_becomes_two(tmp_path: Path) -> None:
    annotations, report = read_one(tmp_path, rectangle(rectanglelabels=["cat", "zebra"]))
    assert [annotation.category for annotation in annotations] == ["cat", "zebra"]
    assert report.count("annotation", "changed", "region with several labels becomes one annotation each") == 1


def test_what_is_said_of_a_region_becomes_its_attributes(tmp_path: Path) -> None:
    facts = region("choices", {"choices": ["sits"]}, "a"), region("textarea", {"text": ["old", "grey"]}, "a")
    (annotation,), report = read_one(tmp_path, rectangle(), *facts, region("rating", {"rating": 4}, "a"))
    assert annotation.attributes == {"choices": "sits", "textarea": "old\ngrey", "rating": "4"}
    assert report.is_clean


def test_what_cannot_be_held_is_counted_by_kind(tmp_path: Path) -> None:
    results = [
        region("keypointlabels", {"x": 1, "y": 1, "width": 1, "keypointlabels": ["eye"]}),
        region("textarea", {"text": ["a whole picture's"]}, "t"),
        region("labels", {"start": 1, "end": 5, "text": "word", "labels": ["noun"]}, "l"),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        rectangle(id="d", meta={"text": ["blurred"]}),
        rectangle(id="e", rectanglelabels=[]),
        "no object",
    ]
    annotations, report = read_one(tmp_path, *results)
    assert len(annotations) == 1
    reasons = {(finding.kind, finding.reason): finding.count for finding in report.findings()}
    assert reasons == {
        ("annotation", "result that is no object"): 1,
        ("annotation", "region without a label"): 1,
        ("attribute", "notes on regions are not kept"): 1,
        ("annotation", "keypointlabels is not kept"): 1,
        ("annotation", "textarea is not kept"): 1,
        ("annotation", "labels is not kept"): 1,
        ("attribute", "relations are not kept"): 1,
    }


def test_a_region_that_a_person_took_over_is_a_persons(tmp_path: Path) -> None:
    (annotation,), _ = read_one(tmp_path, rectangle(score=0.23, origin="prediction"))
    assert (annotation.origin, annotation.confidence) == ("human", None)


def test_sizes_that_predictions_leave_out_are_the_pictures(tmp_path: Path) -> None:
    bare = {key: value for key, value in rectangle().items() if key not in SIZE}
    (annotation,), _ = read_one(tmp_path, bare)
    assert annotation.box_xyxy == (2.0, 2.0, 8.0, 6.0)


BAD = [
    rectangle(x="left"),
    rectangle(x=math.nan),
    rectangle(width=10**400),
    rectangle(width=math.inf),
    rectangle(rotation=math.nan),
    rectangle(width=0),
    rectangle(x=200),
    region("polygonlabels", {"points": [[1, 2], [3]], "polygonlabels": ["cat"]}),
    region("polygonlabels", {"points": 5, "polygonlabels": ["cat"]}),
    region("polygonlabels", {"points": [[1, 1], [2, 2]], "polygonlabels": ["cat"]}),
    region("ellipselabels", {"x": 1, "y": 1, "radiusX": None, "radiusY": 1, "ellipselabels": ["cat"]}),
    region("brushlabels", {"format": "rle", "rle": [1, 2, 3], "brushlabels": ["cat"]}),
    region("brushlabels", {"format": "rle", "rle": [1, 2, 300], "brushlabels": ["cat"]}),
    region("brushlabels", {"format": "rle", "rle": "abc", "brushlabels": ["cat"]}),
    region("brushlabels", {"format": "rle", "rle": encode_brush(np.ones((5, 5), bool)), "brushlabels": ["cat"]}),
    region("brushlabels", {"format": "rle", "rle": encode_brush(np.zeros((10, 20), bool)), "brushlabels": ["cat"]}),
    {"type": "rectanglelabels", "value": None},
    {"type": ["list"], "value": {"x": 1}},
    choice(),
    {**choice(), "value": {"choices": None}},
    {},
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_damaged_result_is_dropped_and_told(tmp_path: Path, bad: dict[str, Any]) -> None:
    source = put(tmp_path / "set", task(annotated(bad, rectangle(id="good"))))
    version, report = import_dataset(source, tmp_path / "version", "x", blobs=tmp_path / "blobs")
    (item,) = version.items()
    assert (len(item.annotations), report.dropped("annotation")) == (1, 1), report.lines()


def test_regions_of_one_id_are_as_many_as_there_are(tmp_path: Path) -> None:
    annotations, report = read_one(tmp_path, rectangle("cat"), rectangle("dog", x=50))
    assert [annotation.category for annotation in annotations] == ["cat", "dog"]
    assert report.is_clean


def test_labels_of_a_key_point_are_no_box(tmp_path: Path) -> None:
    point = {"x": 10, "y": 20, "width": 1}
    results = region("keypoint", point), region("labels", {**point, "labels": ["eye"]})
    annotations, report = read_one(tmp_path, *results)
    assert annotations == ()
    assert report.count("annotation", "dropped", "keypoint is not kept") == 1


def test_a_region_that_belongs_to_another_is_told_and_stays_its_own(tmp_path: Path) -> None:
    shape = {"points": [[0, 0], [100, 0], [50, 100]], "polygonlabels": ["cat"]}
    results = region("polygonlabels", shape, "b"), region("polygonlabels", shape, "d", parentID="b")
    annotations, report = read_one(tmp_path, *results)
    assert len(annotations) == 2
    assert report.count("attribute", "dropped", "which region a region belongs to is not kept") == 1


def test_a_larger_brush_than_the_limit_is_not_decoded(tmp_path: Path) -> None:
    value = {"format": "rle", "rle": encode_brush(np.ones((10, 20), bool)), "brushlabels": ["cat"]}
    with limit_pixels(199):
        annotations, report = read_one(tmp_path, region("brushlabels", value))
    assert annotations == ()
    assert report.count("annotation", "dropped", "mask with more pixels than the limit") == 1


@pytest.mark.parametrize(
    "result",
    [
        region("keypointlabels", {"x": 1, "y": 1, "width": 1, "keypointlabels": ["eye"]}),
        region("brushlabels", {"format": "rle", "rle": [1, 2], "brushlabels": ["cat"]}),
        region("rectangle", {"x": 1, "y": 1, "width": 5, "height": 5}),
        region("bitmasklabels", {"imageDataURL": "data:image/png;base64,AA==", "bitmasklabels": ["cat"]}),
        region("taxonomy", {"taxonomy": [["animal", "cat"]]}),
    ],
)
def test_a_picture_of_which_nothing_that_was_drawn_is_kept_is_not_an_empty_one(tmp_path: Path, result: dict[str, Any]) -> None:
    _, items, report = read("label_studio", put(tmp_path, task(annotated(result))))
    assert (items["1.png"].annotations, items["1.png"].seen_by, items["1.png"].warning) == ((), "nobody", NONE_KEPT)
    assert report.dropped("annotation") == 1


def test_a_remark_on_a_picture_with_nothing_drawn_leaves_it_empty(tmp_path: Path) -> None:
    _, items, _ = read("label_studio", put(tmp_path, task(annotated(region("textarea", {"text": ["nothing here"]})))))
    assert (items["1.png"].annotations, items["1.png"].seen_by, items["1.png"].warning) == ((), "human", None)


def test_a_label_that_is_named_twice_is_one_object(tmp_path: Path) -> None:
    _, items, report = read("label_studio", put(tmp_path, task(annotated(rectangle(rectanglelabels=["cat", "cat"])))))
    assert len(items["1.png"].annotations) == 1
    assert report.is_clean
