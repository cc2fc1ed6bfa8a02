"""CVAT's shapes, each against numbers worked by hand."""

from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cvat.shapes import parse_shape, parse_shapes
from sightline.imaging.masks import compute_ring_area, decode_mask

SIZE = (6, 4)


def parse(text: str, track: Element | None = None) -> tuple[Annotation | None, ConversionReport]:
    report = ConversionReport()
    return parse_shape(fromstring(text), track, SIZE, report, "a.png"), report


def reasons(report: ConversionReport, outcome: str) -> dict[str, int]:
    return {finding.reason: finding.count for finding in report.findings() if finding.outcome == outcome}


def test_a_box_with_all_that_cvat_says_of_it() -> None:
    found, report = parse(
        '<box label="car" source="manual" occluded="1" xtl="1.00" ytl="0.50" xbr="4.25" ybr="3" z_order="2" group_id="7">'
        '<attribute name="colour">dark\nred </attribute><attribute name="parked">false</attribute></box>'
    )
    assert found == Annotation(
        category="car",
        box_xyxy=(1.0, 0.5, 4.25, 3.0),
        attributes={"occluded": "1", "group_id": "7", "colour": "dark\nred", "parked": "false"},
    )
    assert report.is_clean


def test_a_label_has_an_attribute_of_its_own_that_is_called_occluded() -> None:
    found, _ = parse(
        '<box label="a" occluded="1" xtl="1" ytl="1" xbr="2" ybr="2"><attribute name="occluded">half</attribute></box>'
    )
    assert found is not None
    assert found.attributes == {"occluded": "half"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('source="auto" score="0.75"', ("model", 0.75)),
        ('source="auto"', ("model", None)),
        ('source="auto" score="nan"', ("model", None)),
        ('source="semi-auto" score="0.5"', ("human", None)),
        ('source="manual" score="1"', ("human", None)),
        ("", ("human", None)),
    ],
)
def test_who_made_a_shape(source: str, expected: tuple[str, float | None]) -> None:
    found, _ = parse(f'<tag label="day" {source}/>')
    assert found == Annotation(category="day", origin=expected[0], confidence=expected[1])  # type: ignore[arg-type]


def test_a_box_is_turned_clockwise_about_its_centre() -> None:
    # 4 wide and 2 high about (3, 2): a quarter turn takes its top left corner (1, 1) to the top right, (4, 0)
    found, report = parse('<box label="a" xtl="1" ytl="1" xbr="5" ybr="3" rotation="90.00"/>')
    assert found is not None
    assert found.polygons is not None
    assert found.polygons[0] == pytest.approx((4, 0, 4, 4, 2, 4, 2, 0))
    assert reasons(report, "changed") == {"rotated box becomes a polygon of its four corners": 1}
    found, _ = parse('<box label="a" xtl="1" ytl="1" xbr="5" ybr="3" rotation="30"/>')
    assert found is not None
    assert found.polygons is not None
    root3 = 3**0.5  # (-2, -1) turned by 30 degrees: x cos - y sin = -root3 + 0.5, x sin + y cos = -1 - root3 / 2
    assert found.polygons[0][:2] == pytest.approx((3 - root3 + 0.5, 2 - 1 - root3 / 2))


@pytest.mark.parametrize("turn", ["0.00", "360", "-720.001"])
def test_a_box_turned_by_whole_turns_is_a_box(turn: str) -> None:
    found, report = parse(f'<box label="a" xtl="1" ytl="1" xbr="5" ybr="3" rotation="{turn}"/>')
    assert found == Annotation(category="a", box_xyxy=(1.0, 1.0, 5.0, 3.0))
    assert report.is_clean


def test_an_ellipse_is_a_polygon_of_nearly_its_area() -> None:
    found, report = parse('<ellipse label="a" cx="3" cy="2" rx="3" ry="1" rotation="90"/>')
    assert found is not None
    assert found.polygons is not None
    ring = found.polygons[0]
    assert len(ring) == 2 * 72
    assert compute_ring_area(ring) == pytest.approx(np.pi * 3, rel=0.002)
    assert (min(ring[::2]), max(ring[::2]), min(ring[1::2]), max(ring[1::2])) == pytest.approx((2, 4, -1, 5))
    assert reasons(report, "changed") == {"ellipse becomes a polygon of 72 corners": 1}


def test_a_mask_is_runs_along_the_rows_of_its_box() -> None:
    found, report = parse('<mask label="a" rle="1, 2, 2, 1" left="2" top="1" width="3" height="2"/>')
    assert found is not None
    assert found.mask is not None
    assert decode_mask(found.mask).astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert report.is_clean


def test_a_mask_over_the_edge_is_clipped_and_told() -> None:
    found, report = parse('<mask label="a" rle="0, 6" left="-1" top="3" width="3" height="2"/>')
    assert found is not None
    assert found.mask is not None
    assert np.argwhere(decode_mask(found.mask)).tolist() == [[3, 0], [3, 1]]
    assert reasons(report, "changed") == {"mask reaches over the edge of the picture, clipped": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<mask label="a" rle="1, 2" left="2" top="1" width="3" height="2"/>', "mask whose runs do not fill its box"),
        ('<mask label="a" rle="7, -1" left="2" top="1" width="3" height="2"/>', "mask whose runs do not fill its box"),
        ('<mask label="a" rle="1.5, 4.5" left="2" top="1" width="3" height="2"/>', "mask whose runs do not fill its box"),
        ('<mask label="a" rle="nan" left="2" top="1" width="3" height="2"/>', "mask whose runs do not fill its box"),
        ('<mask label="a" rle="9e18" left="0" top="0" width="3000000000" height="3000000000"/>',
         "mask whose runs do not fill its box"),
        ('<mask label="a" rle="" left="2" top="1" width="3" height="2"/>', "mask that is not as CVAT writes it"),
        ('<mask label="a" rle="6" left="inf" top="1" width="3" height="2"/>', "mask that is not as CVAT writes it"),
        ('<mask label="a" rle="6" top="1" width="3" height="2"/>', "mask that is not as CVAT writes it"),
        ('<polygon label="a" points="1,2;3"/>', "points that are not x,y;x,y"),
        ('<polygon label="a" points="1,2;3,x;4,5"/>', "points that are not x,y;x,y"),
        ('<polygon label="a"/>', "points that are not x,y;x,y"),
        ('<box label=" " xtl="1" ytl="1" xbr="2" ybr="2"/>', "shape without a label"),
        ('<points label="a" points="1,2"/>', "points are not kept"),
        ('<polyline label="a" points="1,2;3,4"/>', "polylines are not kept"),
        ('<cuboid label="a" xtl1="1"/>', "cuboids are not kept"),
        ('<skeleton label="a"/>', "skeletons are not kept"),
        ('<circle label="a"/>', "shape of a kind that is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_counted(text: str, reason: str) -> None:
    found, report = parse(text)
    assert found is None
    assert reasons(report, "dropped") == {reason: 1}


def test_a_mask_needs_the_size_of_its_picture() -> None:
    report = ConversionReport()
    mask = fromstring('<mask label="a" rle="0, 1" left="0" top="0" width="1" height="1"/>')
    assert parse_shape(mask, None, None, report, "a.png") is None
    assert reasons(report, "dropped") == {"mask in a picture whose size is not stated": 1}
    assert parse_shape(mask, None, (1 << 20, 1 << 20), report, "a.png") is None
    assert report.count("annotation", "dropped", "mask in a picture with more pixels than the limit") == 1


def test_shapes_come_in_the_order_of_painting() -> None:
    image = fromstring(
        '<image><tag label="t"/><box label="over" xtl="0" ytl="0" xbr="2" ybr="2" z_order="3"/>'
        '<box label="under" xtl="0" ytl="0" xbr="2" ybr="2" z_order="-1"/>'
        '<box label="first" xtl="0" ytl="0" xbr="2" ybr="2" z_order="0"/></image>'
    )
    found = parse_shapes(image, SIZE, ConversionReport(), "a.png")
    assert [one.category for one in found] == ["t", "under", "first", "over"]


def test_parts_that_say_so_are_one_polygon_and_those_of_a_group_are_not() -> None:
    ring = "0,0;4,0;4,4"
    image = fromstring(
        f'<image><polygon label="a" points="{ring}" group_id="3" part_of="3"/>'
        f'<polygon label="b" points="{ring}" group_id="3" part_of="3"/>'
        f'<polygon label="a" points="{ring}" group_id="3" part_of="3"/>'
        f'<polygon label="a" points="{ring}" group_id="3"/></image>'
    )
    found = parse_shapes(image, SIZE, ConversionReport(), "a.png")
    assert [(one.category, len(one.polygons or ()), one.attributes) for one in found] == [
        ("a", 2, {}), ("b", 1, {}), ("a", 1, {"group_id": "3"}),
    ]  # fmt: skip


def test_a_shape_of_a_track_has_the_label_source_and_number_of_its_track() -> None:
    track = fromstring('<track id="4" label="car" source="auto" group_id="2"/>')
    found, _ = parse('<box frame="3" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="2" ybr="2"/>', track)
    assert found == Annotation(
        category="car", box_xyxy=(1.0, 1.0, 2.0, 2.0), origin="model", attributes={"group_id": "2", "track_id": "4"}
    )
