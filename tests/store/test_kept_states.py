import pytest

from sightline.core.annotations import Annotation
from sightline.data.editing import LabelState, number_labels
from sightline.store import kept_states
from sightline.store.kept_states import KeptStates


def make_state(count: int) -> LabelState:
    return LabelState(labels=number_labels([Annotation(category="1", box_xyxy=(0, 0, 1, 1))] * count))


def test_a_state_is_found_at_its_own_revision_alone() -> None:
    kept = KeptStates()
    kept.put(3, 7, make_state(2))
    assert kept.find(3, 7) == make_state(2)
    assert kept.find(3, 8) is None and kept.find(4, 7) is None
    kept.clear()
    assert kept.find(3, 7) is None


def test_those_that_were_not_asked_for_longest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_states, "KEPT_STATES", 2)
    kept = KeptStates()
    kept.put(0, 0, make_state(1))
    kept.put(1, 0, make_state(1))
    assert kept.find(0, 0) is not None
    kept.put(2, 0, make_state(1))
    assert [kept.find(position, 0) is None for position in range(3)] == [False, True, False]


def test_labels_are_bounded_but_for_those_of_the_picture_that_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_states, "KEPT_LABELS", 2)
    kept = KeptStates()
    bounds = []
    for position, count in enumerate([1, 1, 2, 1, 0, 1]):
        kept.put(position, 0, make_state(count))
        bounds.append(kept.count_labels())
    assert bounds == [1, 2, 2, 1, 1, 2]
    kept.put(9, 0, make_state(3))
    assert kept.count_labels() == 3 and kept.find(9, 0) is not None
