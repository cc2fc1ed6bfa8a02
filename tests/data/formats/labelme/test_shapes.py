import base64
import json
import math

import cv2
import msgspec
import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.labelme.shapes import find_categories, find_flags, parse_flags, parse_shapes
from sightline.imaging.masks import compute_ring_area, decode_mask

WIDTH, HEIGHT = 20, 10
TRIANGLE = [[1, 1], [9, 2.5], [4, 8]]
OTHER = [[11, 1], [19, 2], [14, 8]]


def make_raws(shapes: list[object]) -> list[msgspec.Raw]:
    return [msgspec.Raw(json.dumps(shape).encode()) for shape in shapes]


def parse(*shapes: object, checked: bool = False) -> tuple[list[Annotation], ConversionReport]:
    report = ConversionReport()
    return parse_shapes(make_raws(list(shapes)), lambda: (WIDTH, HEIGHT), checked, report, "a.png"), report


def encode(piece: list[list[int]]) -> str:
    done, content = cv2.imencode(".png", np.array(piece, np.uint8))
    assert done
    return base64.b64encode(content.tobytes()).decode()


@pytest.mark.parametrize("kind", [{"shape_type": "polygon"}, {"shape_type": None}, {}, {"shape_type": "rotation"}])
def test_a_polygon_is_one_ring_whatever_the_version_calls_it(kind: dict[str, object]) -> None:
    annotations, report = parse({"label": " cat ", "points": TRIANGLE, "line_color": None, **kind})
    assert annotations == [Annotation(category="cat", polygons=((1, 1, 9, 2.5, 4, 8),))]
    assert report.is_clean


@pytest.mark.parametrize("points", [[[9, 8], [1, 2]], [[1, 2], [9, 8]], [[1, 2], [9, 2], [9, 8], [1, 8]]])
def test_a_rectangle_is_a_box_drawn_from_any_corner_or_of_four(points: list[object]) -> None:
    annotations, report = parse({"label": "cat", "points": points, "shape_type": "rectangle"})
    assert annotations == [Annotation(category="cat", box_xyxy=(1, 2, 9, 8))]
    assert report.is_clean


@pytest.mark.parametrize("radius", [0.05, 1.0, 4.0, 300.0])
def test_a_circle_is_a_polygon_at_most_a_tenth_of_a_pixel_off(radius: float) -> None:
    annotations, report = parse({"label": "cat", "points": [[5, 6], [5, 6 + radius]], "shape_type": "circle"})
    assert annotations[0].polygons is not None
    ring = np.array(annotations[0].polygons[0]).reshape(-1, 2) - (5, 6)
    assert np.hypot(*ring.T) == pytest.approx(np.full(len(ring), radius))
    middles = (ring + np.roll(ring, -1, axis=0)) / 2
    assert radius - np.hypot(*middles.T).min() <= 0.1
    assert compute_ring_area(annotations[0].polygons[0]) > 0.9 * math.pi * radius**2
    assert report.changed("annotation") == 1


@pytest.mark.parametrize("last", [[5, 3], [6, 4], [99, 99]])  # the last pixel, one further as some versions wrote, nonsense
def test_a_mask_lies_at_its_first_point_with_the_size_of_its_piece(last: list[int]) -> None:
    piece = [[0, 1, 1], [1, 0, 1]]
    annotations, report = parse({"label": "cat", "points": [[3, 2], last], "shape_type": "mask", "mask": encode(piece)})
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[2:4, 3:6] = piece
    assert annotations[0].mask is not None
    assert np.array_equal(decode_mask(annotations[0].mask), expected)
    assert report.is_clean


@pytest.mark.parametrize("place", [(-1, -1), (18, 8), (-5, 0), (25, 25), (0, -2)])
def test_a_mask_over_the_edge_keeps_what_lies_within(place: tuple[int, int]) -> None:
    annotations, _ = parse({"label": "cat", "points": [place, place], "shape_type": "mask", "mask": encode([[255] * 3] * 3)})
    expected = [[place[0] <= x < place[0] + 3 and place[1] <= y < place[1] + 3 for x in range(WIDTH)] for y in range(HEIGHT)]
    assert annotations[0].mask is not None
    assert decode_mask(annotations[0].mask).tolist() == expected


def test_shapes_of_one_label_and_group_are_one_object() -> None:
    annotations, report = parse(
        {"label": "cat", "points": TRIANGLE, "group_id": 3},
        {"label": "dog", "points": TRIANGLE, "group_id": None},
        {"label": "cat", "points": [[0, 0], [2, 2]], "shape_type": "rectangle", "group_id": 3},
        {"label": "dog", "points": OTHER, "group_id": None},
    )
    assert annotations == [
        Annotation(category="cat", polygons=((1, 1, 9, 2.5, 4, 8), (0, 0, 2, 0, 2, 2, 0, 2))),
        Annotation(category="dog", polygons=((1, 1, 9, 2.5, 4, 8),)),
        Annotation(category="dog", polygons=((11, 1, 19, 2, 14, 8),)),
    ]
    assert report.is_clean


def test_a_group_with_a_mask_is_a_mask_of_all_its_parts() -> None:
    annotations, _ = parse(
        {"label": "cat", "points": [[0, 0], [0, 0]], "shape_type": "mask", "mask": encode([[1]]), "group_id": 1},
        {"label": "cat", "points": [[4, 4], [6, 6]], "shape_type": "rectangle", "group_id": 1},
        {"label": "cat", "points": [[4, 4]], "group_id": 1},
    )
    (annotation,) = annotations
    assert annotation.mask is not None
    assert np.argwhere(decode_mask(annotation.mask)).tolist() == [[0, 0], [4, 4], [4, 5], [5, 4], [5, 5]]


def test_a_group_that_joins_nothing_or_several_labels_stays_an_attribute() -> None:
    annotations, report = parse(
        {"label": "car", "points": TRIANGLE, "group_id": 7},
        {"label": "plate", "points": OTHER, "group_id": 7},
        {"label": "plate", "points": TRIANGLE, "group_id": 7},
        {"label": "car", "points": TRIANGLE, "group_id": 8},
        {"label": "car", "points": TRIANGLE, "group_id": ["?"]},
    )
    assert [annotation.attributes for annotation in annotations] == [{"group_id": group} for group in "778"] + [{}]
    assert report.is_clean


def test_flags_description_and_what_other_tools_say_are_kept_as_text() -> None:
    annotations, report = parse(
        {
            "label": "cat",
            "points": TRIANGLE,
            "flags": {"occluded": True, "blurred": False},
            "description": "by the door",
            "difficult": True,
            "attributes": {"colour": "red", "wet": False, "age": 3},
            "kie_linking": [[1, 2]],
        }
    )
    expected = {
        "occluded": "true",
        "description": "by the door",
        "difficult": "true",
        "colour": "red",
        "wet": "false",
        "age": "3",
    }
    assert annotations[0].attributes == expected
    assert report.dropped("attribute") == 1  # the links


@pytest.mark.parametrize(
    ("facts", "checked", "expected"),
    [
        ({}, False, (None, "human")),
        ({"score": None}, False, (None, "human")),
        ({"score": 0.25}, False, (0.25, "model")),
        ({"score": 0.25}, True, (None, "human")),
        ({"score": 1, "origin": "human"}, False, (1.0, "human")),
        ({"origin": "model"}, False, (None, "model")),
        ({"origin": "robot", "score": "high"}, False, (None, "human")),
    ],
)
def test_a_score_makes_a_shape_a_models_unless_a_person_checked(
    facts: dict[str, object], checked: bool, expected: tuple[object, str]
) -> None:
    ((annotation,), _) = parse({"label": "cat", "points": TRIANGLE, **facts}, checked=checked)
    assert (annotation.confidence, annotation.origin) == expected


def test_parts_that_say_different_things_are_told() -> None:
    annotations, report = parse(
        {"label": "cat", "points": TRIANGLE, "group_id": 3, "score": 0.5},
        {"label": "cat", "points": OTHER, "group_id": 3, "score": 0.75},
    )
    assert [annotation.confidence for annotation in annotations] == [0.5]
    assert report.changed("annotation") == 1


@pytest.mark.parametrize(
    "shape",
    [
        {"label": "nose", "points": [[1, 1]], "shape_type": "point"},
        {"label": "nose", "points": TRIANGLE, "shape_type": "points"},
        {"label": "edge", "points": [[1, 1], [2, 2]], "shape_type": "line"},
        {"label": "edge", "points": TRIANGLE, "shape_type": "linestrip"},
        {"label": "box", "points": TRIANGLE, "shape_type": "cuboid"},
        {"label": "a\nb", "points": TRIANGLE, "shape_type": "of\nno kind"},
        {"label": "__ignore__", "points": TRIANGLE},
        {"label": "_background_", "points": TRIANGLE},
        {"label": "", "points": TRIANGLE},
        {"points": TRIANGLE},
        {"label": None, "points": TRIANGLE},
        {"label": "cat", "points": [[1, None], [2, 3]]},
        {"label": "cat", "points": [[1, 2, 3]]},
        {"label": "cat", "points": "here"},
        {"label": "cat", "points": [[1, 2]], "shape_type": "rectangle"},
        {"label": "cat", "points": [[1, 2]], "shape_type": "circle"},
        {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "mask", "mask": None},
        {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "mask", "mask": "AAAA"},
        {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "mask", "mask": "ä"},
        {"label": "cat", "points": [], "shape_type": "mask", "mask": encode([[1]])},
        {"label": "cat", "points": TRIANGLE, "shape_type": 7},
        None,
        [],
        "cat",
    ],
)
def test_a_shape_that_cannot_be_kept_is_told_and_spoils_no_other(shape: object) -> None:
    annotations, report = parse(shape, {"label": "dog", "points": TRIANGLE})
    assert [annotation.category for annotation in annotations] == ["dog"]
    assert report.dropped("annotation") == 1
    assert all("\n" not in line for line in report.lines())


def test_only_shapes_that_outline_objects_name_categories() -> None:
    shapes = [
        {"label": "cat", "points": TRIANGLE},
        {"label": 7, "points": TRIANGLE},
        {"label": "nose", "points": [[1, 1]], "shape_type": "point"},
        {"label": "__ignore__", "points": TRIANGLE},
        3,
    ]
    assert list(find_categories(make_raws(shapes))) == ["cat", "7"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"cat": True, "dog": False, "": True, "cow": "yes"}, ["cat"]), ({}, []), (None, []), ("", []), (["cat"], [])],
)
def test_flags_that_are_set_are_classes_of_the_picture(flags: object, expected: list[str]) -> None:
    assert find_flags(flags) == expected
    report = ConversionReport()
    assert parse_flags(flags, report, "a.png") == [Annotation(category=name) for name in expected]
    assert report.is_clean


def test_a_flag_to_ignore_the_picture_is_no_class_and_is_told() -> None:
    report = ConversionReport()
    assert parse_flags({"__ignore__": True, "_background_": False, "cat": True}, report, "a.png") == [
        Annotation(category="cat")
    ]
    assert report.dropped("annotation") == 1
