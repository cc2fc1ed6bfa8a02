import msgspec

from sightline.core.annotations import Annotation
from sightline.data.items import Item
from sightline.data.truth import KnownItems, find_truth, has_human_label

SAID = Annotation(category="cat")
GUESSED = Annotation(category="dog", confidence=0.9, origin="model")


def make(*annotations: Annotation) -> Item:
    return Item(blob="a", file_name="a.png", width=1, height=1, annotations=annotations)


def test_what_people_said_is_truth_and_what_a_model_said_beside_it_is_not() -> None:
    assert find_truth(make(SAID)) == make(SAID)
    assert find_truth(make(GUESSED, SAID, GUESSED)) == make(SAID)
    imported = msgspec.structs.replace(GUESSED, origin="human")  # a person's, with a confidence of the source format
    assert find_truth(make(imported)) == make(imported)


def test_of_a_picture_that_a_model_alone_annotated_nothing_is_known() -> None:
    assert find_truth(make(GUESSED)) is None
    assert not has_human_label(make(GUESSED))


def test_a_picture_in_which_nothing_is_labelled_may_be_one_that_people_found_empty() -> None:
    assert find_truth(make()) == make()
    assert not has_human_label(make())


def test_those_that_are_left_out_are_counted() -> None:
    known = KnownItems([make(SAID), make(GUESSED), make(), make(SAID, GUESSED), make(GUESSED)])
    assert list(known) == [make(SAID), make(), make(SAID)]
    assert known.left_out == 2
    assert (list(KnownItems([])), KnownItems([]).left_out) == ([], 0)
