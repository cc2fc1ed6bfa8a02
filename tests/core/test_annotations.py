import msgspec
import pytest

from sightline.core.annotations import Annotation, MaskRle

MASK = MaskRle(height=2, width=2, counts="04")
RING = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("fields", "geometry"),
    [
        ({}, "image"),
        ({"box_xyxy": (0, 0, 1, 1)}, "box"),
        ({"box_xyxy": (0, 0, 1, 1), "polygons": (RING,)}, "polygons"),
        ({"box_xyxy": (0, 0, 1, 1), "polygons": (RING,), "mask": MASK}, "mask"),
    ],
)
def test_the_richest_geometry_wins(fields, geometry):
    assert Annotation(category="a", **fields).geometry == geometry


@pytest.mark.parametrize(("confidence", "certainty"), [(None, 1.0), (0.0, 0.0), (0.25, 0.25)])
def test_what_states_no_confidence_counts_as_sure(confidence, certainty):
    assert Annotation(category="a", confidence=confidence).certainty == certainty


def test_an_annotation_survives_json():
    annotation = Annotation(
        category="größe", box_xyxy=(0.5, 1, 2, 3), polygons=(RING,), mask=MASK, confidence=0.25, origin="model", is_crowd=True,
        attributes={"difficult": "1"},
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(annotation), type=Annotation) == annotation


def test_what_is_not_set_is_not_written():
    assert msgspec.json.encode(Annotation(category="a")) == b'{"category":"a"}'


def test_annotations_do_not_change_and_do_not_share_attributes():
    one, other = Annotation(category="a"), Annotation(category="a")
    with pytest.raises(AttributeError):
        one.category = "b"
    assert one.attributes is not other.attributes


def test_it_is_shown_with_what_it_has() -> None:
    seen = Annotation(category="dog", box_xyxy=(0.0, 1.0, 2.0, 3.0), confidence=0.5)
    assert repr(seen) == "Annotation(category='dog', box_xyxy=(0.0, 1.0, 2.0, 3.0), confidence=0.5)"
