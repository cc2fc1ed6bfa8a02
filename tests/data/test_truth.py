import msgspec

from sightline.core.annotations import Annotation
from sightline.data.items import Item, Viewer
from sightline.data.truth import KnownItems, find_truth, find_viewer, has_human_label, note_viewer

SAID = Annotation(category="cat")
GUESSED = Annotation(category="dog", confidence=0.9, origin="model")


def make(*annotations: Annotation, seen_by: Viewer | None = None) -> Item:
    return Item(blob="a", file_name="a.png", width=1, height=1, seen_by=seen_by, annotations=annotations)


def test_what_people_said_is_truth_and_what_a_model_said_beside_it_is_not() -> None:
    assert find_truth(make(SAID)) == make(SAID)
    assert find_truth(make(GUESSED, SAID, GUESSED)) == make(SAID)
    imported = msgspec.structs.replace(GUESSED, origin="human")  # a person's, with a confidence of the source format
    assert find_truth(make(imported)) == make(imported)


def test_of_a_picture_that_a_model_alone_annotated_nothing_is_known() -> None:
    assert find_truth(make(GUESSED)) is None
    assert not has_human_label(make(GUESSED))


def test_a_picture_that_no_person_looked_at_is_no_truth_and_one_that_people_found_empty_is() -> None:
    assert find_truth(make(seen_by="model")) is None
    assert find_truth(make(seen_by="nobody")) is None
    assert find_truth(make(seen_by="human")) == make(seen_by="human")
    assert find_truth(make(GUESSED, seen_by="human")) == make(seen_by="human")  # a model's proposals where people saw nothing


def test_a_person_who_labelled_something_has_looked_whatever_else_is_said() -> None:
    for viewer in (None, "human", "model", "nobody"):
        assert find_viewer((GUESSED, SAID), viewer) == "human"
    assert [find_viewer((GUESSED,), viewer) for viewer in (None, "model", "nobody")] == ["model"] * 3
    assert [find_viewer((), viewer) for viewer in (None, "human", "model", "nobody")] == [None, "human", "model", "nobody"]


def test_what_the_annotations_tell_is_not_said_twice() -> None:
    assert [note_viewer("human", said) for said in ((SAID,), (GUESSED,), ())] == [None, "human", "human"]
    assert [note_viewer("model", said) for said in ((GUESSED,), ())] == [None, "model"]
    assert (note_viewer("nobody", ()), note_viewer(None, ())) == ("nobody", None)


def test_a_picture_in_which_nothing_is_labelled_may_be_one_that_people_found_empty() -> None:
    assert find_truth(make()) == make()
    assert not has_human_label(make())


def test_those_that_are_left_out_are_counted() -> None:
    known = KnownItems([make(SAID), make(GUESSED), make(), make(SAID, GUESSED), make(GUESSED), make(seen_by="model")])
    assert list(known) == [make(SAID), make(), make(SAID)]
    assert known.left_out == 3
    assert (list(KnownItems([])), KnownItems([]).left_out) == ([], 0)
