"""Operations on a picture of 100 x 50 pixels; every expected state is written out by hand."""

import math

import msgspec
import numpy as np
import pytest

from sightline.core.annotations import Annotation, MaskRle
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.data import editing
from sightline.data.editing import (
    Label,
    LabelState,
    Operation,
    Put,
    Remove,
    Review,
    SetAttribute,
    apply_operations,
    check_operations,
    describe_operations,
    find_changes,
    name_state,
    number_labels,
)
from sightline.imaging.rle import encode_mask

CATEGORIES = Categories(["cat", "dog"])
CAT = Annotation(category="cat", box_xyxy=(1, 2, 3, 4))
DOG = Annotation(category="dog", box_xyxy=(5, 6, 7, 8))
GUESS = Annotation(category="dog", box_xyxy=(5, 6, 7, 8), confidence=0.5, origin="model")


def make(*annotations, seen_by=None):
    return LabelState(labels=number_labels(annotations), seen_by=seen_by)


def put(label_id="new", place=None, **fields):
    return Put(id=label_id, annotation=Annotation(**{"category": "cat"} | fields), place=place)


def check(*operations):
    return check_operations(operations, 100, 50, CATEGORIES)


def ids(state):
    return [label.id for label in state.labels]


def test_operations_are_read_from_the_json_that_the_web_app_sends():
    sent = (
        b'[{"kind":"put","id":"abcdefghij","annotation":{"category":"cat","box_xyxy":[1,2,3,4],"confidence":null},"place":null},'
        b'{"kind":"remove","id":"0"},{"kind":"review","seen_by":null},{"kind":"set","key":"line","value":"3"},'
        b'{"kind":"set","key":"day","value":null}]'
    )
    assert msgspec.json.decode(sent, type=list[Operation]) == [
        Put(id="abcdefghij", annotation=CAT),
        Remove(id="0"),
        Review(seen_by=None),
        SetAttribute(key="line", value="3"),
        SetAttribute(key="day", value=None),
    ]


def test_a_new_label_comes_last_or_where_it_is_told():
    state = make(CAT, DOG)
    assert ids(apply_operations(state, [Put(id="new", annotation=CAT)])) == ["0", "1", "new"]
    assert ids(apply_operations(state, [Put(id="new", annotation=CAT, place=1)])) == ["0", "new", "1"]
    assert ids(apply_operations(state, [Put(id="new", annotation=CAT, place=99)])) == ["0", "1", "new"]


def test_a_label_that_is_put_again_stays_where_it_was_or_moves():
    state = make(CAT, CAT, CAT)
    replaced = apply_operations(state, [Put(id="1", annotation=DOG)])
    assert ids(replaced) == ["0", "1", "2"]
    assert replaced.labels[1].annotation == DOG
    assert ids(apply_operations(state, [Put(id="0", annotation=DOG, place=2)])) == ["1", "2", "0"]


def test_a_label_may_be_removed_and_put_back_in_one_edit():
    state = make(CAT, DOG)
    after = apply_operations(state, [Remove(id="0"), Put(id="0", annotation=CAT, place=0), Remove(id="1")])
    assert after == make(CAT)


def test_a_label_that_is_not_there_cannot_be_removed():
    with pytest.raises(InvalidInput, match=r"operation 1: expected the id of a label of this picture, got '0'"):
        apply_operations(make(CAT), [Remove(id="0"), Remove(id="0")])


def test_a_picture_has_at_most_so_many_labels(monkeypatch):
    monkeypatch.setattr(editing, "MAX_LABELS", 2)
    apply_operations(make(CAT, CAT), [Put(id="new", annotation=CAT), Remove(id="0")])
    with pytest.raises(InvalidInput, match="expected at most 2 labels in one picture, got 3"):
        apply_operations(make(CAT, CAT), [Put(id="new", annotation=CAT)])


def test_attributes_are_set_changed_and_taken_away_and_nobody_has_looked():
    state = LabelState(seen_by="nobody", attributes={"b": "1", "c": "2"})
    operations = [
        SetAttribute(key="b", value="3"),
        SetAttribute(key="a", value=""),
        SetAttribute(key="c", value=None),
        SetAttribute(key="d", value=None),  # is not there: nothing to take away
    ]
    after = apply_operations(state, operations)
    assert after == LabelState(seen_by="nobody", attributes={"a": "", "b": "3"})
    assert list(after.attributes) == ["a", "b"]  # as a frozen version has them
    assert state.attributes == {"b": "1", "c": "2"}
    for state in (make(), make(CAT), make(GUESS), make(GUESS, seen_by="human")):
        after = apply_operations(state, [SetAttribute(key="a", value="1")])
        assert (after.labels, after.seen_by) == (state.labels, state.seen_by)


def test_a_picture_has_at_most_so_many_attributes(monkeypatch):
    monkeypatch.setattr(editing, "MAX_ATTRIBUTES", 2)
    three = LabelState(attributes={"a": "", "b": "", "c": ""})
    apply_operations(three, [SetAttribute(key="c", value="1")])  # it came with more
    apply_operations(LabelState(), [SetAttribute(key=key, value="" if key in "bc" else None) for key in "abc"])
    with pytest.raises(InvalidInput, match="expected at most 2 attributes in one picture, got 3"):
        apply_operations(LabelState(), [SetAttribute(key=key, value="") for key in "abc"])


def test_who_touches_a_persons_label_has_looked():
    for operation in (Put(id="new", annotation=CAT), Put(id="0", annotation=GUESS), Remove(id="0")):
        assert apply_operations(make(CAT, seen_by="nobody"), [operation]).viewer == "human"
    assert apply_operations(make(GUESS), [Put(id="0", annotation=DOG)]).viewer == "human"  # accepted
    assert apply_operations(make(CAT), [Remove(id="0")]) == LabelState(seen_by="human")  # nothing is there: a person's word


def test_who_only_touches_proposals_has_not():
    assert apply_operations(LabelState(seen_by="nobody"), [Put(id="new", annotation=GUESS)]).viewer == "model"
    assert apply_operations(make(GUESS, GUESS), [Remove(id="0")]).viewer == "model"
    assert apply_operations(make(GUESS), [Remove(id="0")]) == LabelState(seen_by="model")  # or it would count as empty
    assert apply_operations(make(CAT), [Put(id="new", annotation=GUESS)]).viewer == "human"  # as before
    assert apply_operations(LabelState(seen_by="human"), [Put(id="new", annotation=GUESS)]).viewer == "human"


def test_a_review_has_the_last_word():
    assert apply_operations(make(GUESS), [Review(seen_by="human")]).viewer == "human"
    assert (
        apply_operations(LabelState(), [Put(id="new", annotation=CAT), Remove(id="new"), Review(seen_by=None)]) == LabelState()
    )


def test_states_of_pictures():
    assert [name_state(viewer) for viewer in ("human", "model", "nobody", None)] == [
        "labelled", "proposed", "unlabelled", "unlabelled",
    ]  # fmt: skip


def test_what_reaches_over_the_edge_is_clipped():
    (box, ring) = check(put(box_xyxy=(-5, 10, 120, 60)), put(polygons=((-10.0, 0.0, 10.0, 0.0, 10.0, 10.0, -10.0, 10.0),)))
    assert box.annotation.box_xyxy == (0, 10, 100, 50)
    assert box.annotation.polygons is None
    assert ring.annotation.box_xyxy == (0, 0, 10, 10)
    assert min(ring.annotation.polygons[0]) == 0


def test_boxes_of_outlines_are_their_bounds():
    mask = np.zeros((50, 100), bool)
    mask[10:20, 30:50] = True
    for outline in ({"mask": encode_mask(mask)}, {"polygons": ((30.0, 10.0, 50.0, 10.0, 50.0, 20.0),)}):
        for claimed in (None, (0, 0, 100, 50), (9, 9, 1, 1), (math.nan, 0, 1, 1)):
            (cleaned,) = check(put(box_xyxy=claimed, **outline))
            assert cleaned.annotation.box_xyxy == (30, 10, 50, 20)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"category": "cow"}, "category 'cow' is not one of"),
        ({"box_xyxy": (9, 9, 1, 1)}, "box without area"),
        ({"box_xyxy": (100, 0, 120, 9)}, "box outside the picture"),
        ({"box_xyxy": (0, 0, math.inf, 9)}, "coordinate that is not a number"),
        ({"box_xyxy": (0, 0, math.nan, 9)}, "coordinate that is not a number"),
        ({"box_xyxy": (0, 0, 9)}, "does not fit"),
        ({"polygons": ()}, "polygon without area"),
        ({"polygons": ((0.0, 0.0, 9.0, 9.0),)}, "polygon without area"),
        ({"polygons": ((0.0, 0.0, 9.0, 9.0, 9.0),)}, "polygon without area"),
        ({"polygons": ((0.0, 0.0, 9.0, 0.0, 9.0, 9.0), (1.0, 1.0))}, "a part of the polygon has no area"),
        ({"polygons": ((0.0, 0.0, 9.0, 0.0, 9.0, math.nan),)}, "coordinate that is not a number"),
        ({"polygons": ((-9.0, 0.0, -1.0, 0.0, -1.0, 9.0),)}, "polygon outside the picture"),
        ({"box_xyxy": (1, 1, 9, 9), "polygons": ((0.0, 0.0, 9.0, 9.0),)}, "polygon without area"),
        ({"mask": encode_mask(np.ones((100, 50)))}, "mask of another size"),
        ({"mask": encode_mask(np.zeros((50, 100)))}, "mask without a pixel"),
        ({"mask": MaskRle(height=50, width=100, counts="nonsense\x00")}, "mask that cannot be decoded"),
        ({"mask": MaskRle(height=50, width=100, counts="")}, "mask that cannot be decoded"),
        ({"mask": MaskRle(height=50, width=100, counts="é")}, "mask that cannot be decoded"),
        (
            {"mask": encode_mask(np.ones((50, 100))), "polygons": ((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),)},
            "polygons or a mask, got both",
        ),
        ({"confidence": 1.5}, "confidence that is not 0 to 1"),
        ({"confidence": math.nan}, "coordinate that is not a number"),
        ({"attributes": {"a": "\ud800"}}, "which UTF-8 cannot write"),
    ],
)
def test_what_cannot_be_drawn_is_refused(fields, problem):
    with pytest.raises(InvalidInput, match=problem):
        check(put(**fields))


def test_the_label_of_a_whole_picture_names_no_place():
    assert check(put()) == (put(),)


@pytest.mark.parametrize("operation", [put(""), put("a b"), put("a" * 65), put("ä"), Remove(id="../a"), put(place=-1)])
def test_an_id_or_place_that_cannot_be_is_refused(operation):
    with pytest.raises(InvalidInput, match="operation 1: expected"):
        check(Review(seen_by=None), operation)


@pytest.mark.parametrize("key", ["", "a" * 101, "a\nb", "\ud800", 3])
def test_a_key_is_a_short_line(key):
    check(SetAttribute(key="größe in mm", value=""))
    with pytest.raises(InvalidInput, match="operation 0: expected a key of one line of 1 to 100 characters"):
        check(SetAttribute(key=key, value="1"))


@pytest.mark.parametrize("value", ["a" * 10_001, "\ud800", 3])
def test_a_value_is_a_short_text(value):
    check(SetAttribute(key="note", value="two\nlines" + "a" * 9_991))
    with pytest.raises(InvalidInput, match="operation 0: expected as 'note' a text of at most 10000 characters"):
        check(SetAttribute(key="note", value=value))


def test_an_edit_has_at_most_so_many_operations_and_bytes(monkeypatch):
    with pytest.raises(InvalidInput, match="expected at most 10000 operations in one edit, got 10001"):
        check(*[Remove(id="0")] * 10_001)
    check(*[Remove(id="0")] * 10_000)
    monkeypatch.setattr(editing, "MAX_EDIT_BYTES", 1 << 20)
    ring = (0.0, 0.0, *(9.0, 9.0) * 50_000, 9.0, 0.0)
    check(put(polygons=(ring,)))
    with pytest.raises(InvalidInput, match="expected at most 1 MiB of coordinates, masks and attributes"):
        check(put(polygons=(ring,)), put(polygons=(ring,)))
    monkeypatch.setattr(editing, "MAX_EDIT_BYTES", 8)
    check(SetAttribute(key="ab", value="cd"), SetAttribute(key="abcd", value=None))
    with pytest.raises(InvalidInput, match="send several edits"):
        check(SetAttribute(key="ab", value="cd"), SetAttribute(key="abcd", value="e"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (make(), make(CAT, DOG)),
        (make(CAT, DOG), make()),
        (make(CAT, DOG, seen_by="human"), make(DOG, CAT)),
        (
            LabelState(labels=tuple(Label(id=name, annotation=CAT) for name in "abcdef")),
            LabelState(labels=tuple(Label(id=name, annotation=DOG) for name in "fxbday")),
        ),
        (LabelState(attributes={"a": "1", "b": "2", "c": "3"}), LabelState(attributes={"b": "2", "c": "4", "d": ""})),
    ],
)
def test_changes_lead_from_one_state_to_the_other(before, after):
    assert apply_operations(before, find_changes(before, after)) == after


def test_nothing_but_the_viewer_is_said_where_labels_are_the_same():
    assert find_changes(make(GUESS), make(GUESS, seen_by="human")) == (Review(seen_by="human"),)


def test_who_looked_is_said_only_where_labels_do_not_tell():
    assert apply_operations(make(CAT), [Review(seen_by="human")]) == make(CAT)
    assert apply_operations(make(GUESS), [Review(seen_by="human")]) == make(GUESS, seen_by="human")


def test_the_history_tells_what_an_edit_did():
    operations = [
        Put(id="new1", annotation=CAT),
        Put(id="new2", annotation=CAT),
        Put(id="0", annotation=DOG),
        Remove(id="1"),
        Review(seen_by="human"),
    ]
    told = describe_operations(operations, make(CAT, DOG))
    assert told == "added 2 cat; changed 1 dog; removed 1 dog; reviewed by a person"
    many = [Put(id=str(number), annotation=Annotation(category=f"c{number}")) for number in range(8)]
    assert describe_operations(many, LabelState()) == "added 1 c0, 1 c1, 1 c2, 1 c3, 1 c4, 3 others"
    operations = [SetAttribute(key="day", value=None), SetAttribute(key="line", value="3"), Review(seen_by="human")]
    assert describe_operations(operations, make()) == "set attribute line; removed attribute day; reviewed by a person"
    many = [SetAttribute(key=str(number), value="") for number in range(8)]
    assert describe_operations(many, make()) == "set attributes 0, 1, 2, 3, 4, 3 others"


def test_what_is_right_stays_as_it_was_sent():
    reviews = [Review(seen_by=viewer) for viewer in ("human", "model", "nobody", None)]
    operations = (put(place=0), put(place=7), Remove(id="0"), *reviews)
    assert check(*operations) == operations


def test_only_those_who_can_look_have_looked():
    with pytest.raises(InvalidInput, match="operation 0: expected human, model, nobody or null, got 'cat'; say who looked"):
        check(Review(seen_by="cat"))


def test_an_edit_is_as_large_as_its_numbers_and_letters(monkeypatch):
    monkeypatch.setattr(editing, "MAX_EDIT_BYTES", 100 + 6 * 8 + 4)  # an annotation, six numbers, four letters
    triangle = (1.0, 1.0, 9.0, 1.0, 1.0, 9.0)
    assert len(check(put(polygons=(triangle,), attributes={"ab": "cd"}))) == 1
    with pytest.raises(InvalidInput, match="send several edits"):
        check(put(polygons=(triangle,), attributes={"ab": "cde"}))
