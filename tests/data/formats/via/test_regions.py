import json

import msgspec
import pytest

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.data.conversion import ConversionReport
from sightline.data.formats.via.regions import UnusableRegion, choose_attribute, decode_region, parse_region, read_values


def parse(shape: object, facts: object = None, attribute: str | None = "kind") -> tuple[list[Annotation], ConversionReport]:
    raw = msgspec.Raw(json.dumps({"shape_attributes": shape, "region_attributes": facts or {"kind": "cat"}}).encode())
    region = decode_region(raw)
    assert region is not None
    report = ConversionReport()
    return list(parse_region(region, attribute, report, "a.png")), report


def test_rectangles_and_polygons_are_kept_as_they_are() -> None:
    (box,), report = parse({"name": "rect", "x": 1, "y": 2.5, "width": 3, "height": 4})
    assert box == Annotation(category="cat", box_xyxy=(1, 2.5, 4, 6.5))
    (polygon,), _ = parse({"name": "polygon", "all_points_x": [1, 9, 4], "all_points_y": [1, 2.5, 8]})
    assert polygon == Annotation(category="cat", polygons=((1, 1, 9, 2.5, 4, 8),))
    assert report.is_clean


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "circle", "cx": 5, "cy": 6, "r": 3},
        {"name": "ellipse", "cx": 5, "cy": 6, "rx": 3, "ry": 3},
        {"name": "ellipse", "cx": 5, "cy": 6, "rx": 3, "ry": 3, "theta": 0.0},
    ],
)
def test_circles_and_ellipses_become_polygons_and_are_told(shape: object) -> None:
    (annotation,), report = parse(shape)
    assert annotation.polygons is not None
    assert annotation.polygons[0][:2] == (8, 6)
    assert report.changed("annotation") == 1


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "point", "cx": 1, "cy": 2},
        {"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 2]},
        {"name": "blob"},
        {"name": ["rect"]},
        {},
        {"name": "rect", "x": 1, "y": 2, "width": None, "height": 4},
        {"name": "rect", "x": True, "y": 2, "width": 3, "height": 4},
        {"name": "circle", "cx": "5", "cy": 6, "r": 3},
        {"name": "circle", "cx": 5, "cy": 6, "r": 1e300},
        {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]},
        {"name": "polygon", "all_points_x": [1, 2, None], "all_points_y": [1, 2, 3]},
        {"name": "polygon", "all_points_x": "123", "all_points_y": "123"},
    ],
)
def test_what_cannot_be_kept_says_why(shape: object) -> None:
    with pytest.raises(UnusableRegion):
        parse(shape)


@pytest.mark.parametrize("raw", [b"3", b"[]", b'{"region_attributes": {}}', b'{"shape_attributes": []}', b"null"])
def test_what_is_no_region_is_none(raw: bytes) -> None:
    assert decode_region(msgspec.Raw(raw)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("cat", ["cat"]),
        (" a\nb ", ["a b"]),
        (7, ["7"]),
        ({"cat": True, "dog": False, "cow": True}, ["cat", "cow"]),
        ("", []),
        (None, []),
        (True, []),
        ([1], []),
    ],
)
def test_an_attribute_says_a_text_an_option_or_what_is_ticked(value: object, expected: list[str]) -> None:
    assert read_values(value) == expected


def test_a_region_of_several_classes_is_an_annotation_of_each_and_other_attributes_stay() -> None:
    facts = {"kind": {"cat": True, "old": True}, "colour": "red", "seen": {"left": True, "right": True}, "empty": ""}
    annotations, _ = parse({"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}, facts)
    assert [annotation.category for annotation in annotations] == ["cat", "old"]
    assert annotations[0].attributes == {"colour": "red", "seen": "left, right"}
    with pytest.raises(UnusableRegion, match="without a class"):
        parse({"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}, {"colour": "red"})
    (annotation,), _ = parse({"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}, {"colour": "red"}, attribute=None)
    assert annotation.category == "object"


@pytest.mark.parametrize(
    ("used", "wanted", "expected"),
    [
        ([], None, None),
        (["colour"], None, "colour"),
        (["colour", "Label"], None, "Label"),
        (["type", "colour"], "colour", "colour"),
    ],
)
def test_the_attribute_of_the_class_is_found(used: list[str], wanted: str | None, expected: str | None) -> None:
    assert choose_attribute(used, wanted) == expected


@pytest.mark.parametrize(
    ("used", "wanted", "message"),
    [
        (["name", "type"], None, "got name, type; choose one by the option attribute"),
        (["colour", "age"], None, "got colour, age"),
        (["colour"], "label", r"that regions have \(colour\), got 'label'"),
        ([], "label", r"\(none\)"),
    ],
)
def test_where_several_may_be_meant_one_must_be_named(used: list[str], wanted: str | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        choose_attribute(used, wanted)
