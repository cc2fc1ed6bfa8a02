"""Clean-up of annotations, worked by hand on a picture of 100 x 50 pixels, and of attributes."""

import math

import numpy as np
import pytest

from sightline.core.annotations import Annotation, MaskRle
from sightline.core.categories import Categories
from sightline.data.cleaning import clean_annotations, clean_attributes, clip_ring, turn_annotations
from sightline.data.conversion import ConversionReport
from sightline.imaging.files.reading import turn_upright
from sightline.imaging.masks import decode_mask, encode_mask

CATS = Categories(["cat"])


def clean(**fields):
    report = ConversionReport()
    kept = clean_annotations([Annotation(**{"category": "cat"} | fields)], 100, 50, CATS, report, "a.jpg")
    findings = [(finding.outcome, finding.reason) for finding in report.findings()]
    return (kept[0] if kept else None), findings


def test_attributes_are_kept_within_the_limits_of_an_edit_and_others_told():
    good = {"größe in mm": "", "k" * 100: "two\nlines", "v": "v" * 10_000}
    bad = {"": "x", "k" * 101: "x", "a\nb": "x", "long": "v" * 10_001}
    report = ConversionReport()
    assert clean_attributes({**bad, **good, "half": "\ud800"}, report, "a.jpg") == good | {"half": "\N{REPLACEMENT CHARACTER}"}
    assert report.count("attribute", "dropped", "its name is no line of 1 to 100 characters") == 3
    assert report.count("attribute", "dropped", "its value has more than 10000 characters") == 1
    many = {str(number): "" for number in range(203)}
    assert list(clean_attributes(many, report, "a.jpg")) == list(many)[:200]
    assert report.count("attribute", "dropped", "its picture has more than 200") == 3
    assert report.dropped("attribute") == 7


def test_a_box_inside_stays_the_very_same():
    annotation, findings = clean(box_xyxy=(0.0, 0.0, 100.0, 50.0))
    assert annotation.box_xyxy == (0.0, 0.0, 100.0, 50.0)
    assert findings == []


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 9, 9, 9), (9, 5, 5, 9), (5, 5, 5, 5)])
def test_a_box_without_area_is_dropped(box):
    assert clean(box_xyxy=box) == (None, [("dropped", "box without area")])


@pytest.mark.parametrize("box", [(-9, 5, 0, 9), (100, 5, 120, 9), (5, 50, 9, 60), (5, -9, 9, -1)])
def test_a_box_outside_is_dropped(box):
    assert clean(box_xyxy=box) == (None, [("dropped", "box outside the picture")])


def test_a_box_over_the_edge_is_clipped_and_counted():
    annotation, findings = clean(box_xyxy=(-5.0, 10.0, 120.0, 60.0))
    assert annotation.box_xyxy == (0.0, 10.0, 100.0, 50.0)
    assert findings == [("changed", "box reaches over the edge of the picture, clipped")]


def test_a_hair_over_the_edge_is_rounding():
    annotation, findings = clean(box_xyxy=(-0.004, 10.0, 100.009, 20.0))
    assert annotation.box_xyxy == (0.0, 10.0, 100.0, 20.0)
    assert findings == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_dropped(value):
    assert clean(box_xyxy=(1.0, 1.0, value, 5.0))[0] is None
    assert clean(polygons=((1.0, 1.0, value, 5.0, 3.0, 9.0),)) == (None, [("dropped", "coordinate that is not a number")])
    assert clean(box_xyxy=(1.0, 1.0, 2.0, 5.0), confidence=math.nan)[0] is None


def test_an_unknown_category_is_dropped():
    assert clean(category="dog", box_xyxy=(1, 1, 2, 2)) == (None, [("dropped", "unknown category")])


def test_a_label_of_the_whole_image_stays():
    annotation, findings = clean()
    assert annotation == Annotation(category="cat")
    assert findings == []


def test_polygons_get_their_bounds():
    annotation, findings = clean(polygons=((10.0, 10.0, 20.0, 12.0, 15.0, 30.0),))
    assert annotation.box_xyxy == (10.0, 10.0, 20.0, 30.0)
    assert findings == []


def test_a_polygon_over_the_edge_is_cut_along_the_edge():
    # A square from 90 to 110: the right half lies outside.
    annotation, findings = clean(polygons=((90.0, 10.0, 110.0, 10.0, 110.0, 20.0, 90.0, 20.0),))
    ring = annotation.polygons[0]
    assert {(ring[n], ring[n + 1]) for n in range(0, len(ring), 2)} == {(90, 10), (100, 10), (100, 20), (90, 20)}
    assert findings == [("changed", "polygon reaches over the edge of the picture, clipped")]


def test_parts_without_area_are_removed_and_told():
    good, line, short = (10.0, 10.0, 20.0, 10.0, 15.0, 20.0), (1.0, 1.0, 5.0, 5.0, 9.0, 9.0), (1.0, 2.0, 3.0, 4.0)
    annotation, findings = clean(polygons=(good, line, short))
    assert annotation.polygons == (good,)
    assert findings == [("changed", "a part of the polygon has no area, removed")]
    assert clean(polygons=(line, short)) == (None, [("dropped", "polygon without area")])


def test_a_bad_box_beside_a_good_polygon_is_drawn_anew():
    annotation, findings = clean(polygons=((10.0, 10.0, 20.0, 10.0, 15.0, 20.0),), box_xyxy=(0.0, 0.0, 0.0, 0.0))
    assert annotation.box_xyxy == (10.0, 10.0, 20.0, 20.0)
    assert findings == [("changed", "box without area, drawn anew around its outline")]


BOX = (5.0, 5.0, 25.0, 20.0)
EMPTY = encode_mask(np.zeros((50, 100), bool))


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        ({"polygons": ((5.0, 5.0, 25.0, 20.0),)}, "polygon without area"),  # two corners, as some converters write
        ({"polygons": ((1.0, 1.0, math.nan, 5.0, 3.0, 9.0),)}, "coordinate that is not a number"),
        ({"polygons": ((-9.0, -9.0, -5.0, -9.0, -5.0, -5.0),)}, "polygon outside the picture"),
        ({"mask": EMPTY}, "mask without a pixel"),
        ({"mask": MaskRle(height=50, width=90, counts=EMPTY.counts)}, "mask of another size than its picture"),
        ({"mask": MaskRle(height=50, width=100, counts="zzzz~\x01")}, "mask that cannot be decoded"),
    ],
)
def test_a_bad_outline_does_not_cost_a_good_box(outline, reason):
    annotation, findings = clean(box_xyxy=BOX, **outline)
    assert annotation == Annotation(category="cat", box_xyxy=BOX)
    assert findings == [("changed", f"{reason}, its box is kept")]
    assert clean(box_xyxy=(9.0, 9.0, 9.0, 9.0), **outline) == (None, [("dropped", reason)])  # both bad
    assert clean(**outline) == (None, [("dropped", reason)])


def test_what_was_done_to_an_outline_that_is_left_out_is_not_told():
    over = ((90.0, 10.0, 110.0, 10.0, 110.0, 20.0),)
    annotation, findings = clean(box_xyxy=BOX, polygons=over, mask=EMPTY)
    assert annotation == Annotation(category="cat", box_xyxy=BOX)
    assert findings == [("changed", "mask without a pixel, its box is kept")]


def test_masks_are_checked():
    pixels = np.zeros((50, 100), bool)
    empty = encode_mask(pixels)
    pixels[10:20, 30:60] = True
    annotation, findings = clean(mask=encode_mask(pixels))
    assert annotation.box_xyxy == (30, 10, 60, 20)
    assert findings == []
    assert clean(mask=empty) == (None, [("dropped", "mask without a pixel")])
    assert clean(mask=encode_mask(pixels[:, :90])) == (None, [("dropped", "mask of another size than its picture")])
    assert clean(mask=MaskRle(height=50, width=100, counts="zzzz~\x01"))[1] == [("dropped", "mask that cannot be decoded")]


def test_clipping_keeps_the_area_inside_of_a_diamond():
    # Diamond of half-diagonal 10 around the corner (0, 0): a quarter of its area 200 lies inside.
    ring = clip_ring((-10.0, 0.0, 0.0, -10.0, 10.0, 0.0, 0.0, 10.0), 100, 50)
    xs, ys = np.array(ring[::2]), np.array(ring[1::2])
    assert abs(np.sum(xs * np.roll(ys, -1) - ys * np.roll(xs, -1))) / 2 == pytest.approx(50)
    assert clip_ring((-9.0, 0.0, -5.0, 0.0, -7.0, 9.0), 100, 50) == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_turn_exactly_as_the_picture_does(orientation):
    stored = np.zeros((20, 30), np.uint8)
    stored[3:9, 5:16] = 1
    label = Annotation(
        category="cat",
        box_xyxy=(5.0, 3.0, 16.0, 9.0),
        polygons=((5.0, 3.0, 16.0, 3.0, 16.0, 9.0, 5.0, 9.0),),
        mask=encode_mask(stored.astype(bool)),
    )
    (turned,) = turn_annotations([label], orientation, 30, 20)
    upright = turn_upright(stored, orientation)
    rows, columns = np.nonzero(upright)
    bounds = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert turned.box_xyxy == bounds
    ring = turned.polygons[0]
    assert (min(ring[::2]), min(ring[1::2]), max(ring[::2]), max(ring[1::2])) == bounds
    assert np.array_equal(decode_mask(turned.mask), upright.astype(bool))


@pytest.mark.parametrize("confidence", [-0.1, 1.5, 87])
def test_a_confidence_beyond_0_to_1_is_dropped_whatever_it_speaks_of(confidence):
    told = [("dropped", "confidence that is not 0 to 1")]
    assert clean(confidence=confidence) == (None, told)
    assert clean(confidence=confidence, box_xyxy=(1.0, 1.0, 5.0, 5.0)) == (None, told)


def test_turning_leaves_a_mask_that_cannot_be_decoded_to_the_cleaning():
    broken = Annotation(category="cat", mask=MaskRle(height=30, width=40, counts="zzz~~"))
    turned = turn_annotations([broken], 6, 40, 30)
    report = ConversionReport()
    assert clean_annotations(turned, 30, 40, Categories(["cat"]), report, "a.jpg") == ()
    assert report.dropped("annotation") == 1
