import numpy as np
import pytest

from sightline.core.manifests import DecodeSpec
from sightline.runtime.output_error import find_output_error

PLAIN = DecodeSpec(head="softmax", outputs=("logits",))
RANKED = DecodeSpec(head="region_boxes", outputs=("proposals", "logits", "deltas"))


def make_proposals(rng: np.random.Generator, count: int = 50) -> dict[str, np.ndarray]:
    corners = rng.uniform(0, 200, (2, count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 90, (2, count, 2))], -1)
    return {"proposals": boxes, "logits": rng.normal(size=(2, count, 3)), "deltas": rng.normal(size=(2, count, 12))}


def test_the_error_is_relative_to_the_largest_value_of_its_output() -> None:
    expected = {"a": np.array([[10.0, -20.0]]), "b": np.array([[1.0, 0.0]])}
    actual = {"a": np.array([[10.0, -19.0]]), "b": np.array([[1.0, 0.1]])}
    assert find_output_error(expected, actual, PLAIN) == pytest.approx(0.1)  # 1 of 20 is 0.05, 0.1 of 1 is 0.1


def test_of_class_indices_the_places_that_differ_are_counted() -> None:
    decode = DecodeSpec(head="label_map", outputs=("map",))
    expected, actual = np.full((1, 4, 4), 15.0), np.full((1, 4, 4), 15.0)
    actual[0, 0, :2] = (14.0, 0.0)  # how far the numbers lie apart means nothing
    assert find_output_error({"map": expected}, {"map": actual}, decode) == 2 / 16
    assert find_output_error({"map": expected}, {"map": actual[:, 1:]}, decode) == np.inf
    assert find_output_error({"map": expected[:0]}, {"map": actual[:0]}, decode) == 0


def test_other_shapes_and_what_is_no_number_are_infinitely_wrong() -> None:
    assert find_output_error({"a": np.ones((1, 2))}, {"a": np.ones((1, 3))}, PLAIN) == np.inf
    assert find_output_error({"a": np.ones((1, 2))}, {"a": np.array([[1, np.nan]])}, PLAIN) == np.inf


def test_nothing_differs_from_nothing_and_zeros_have_no_scale() -> None:
    assert find_output_error({"a": np.zeros((0, 3))}, {"a": np.zeros((0, 3))}, PLAIN) == 0
    assert find_output_error({"a": np.zeros((1, 3))}, {"a": np.full((1, 3), 0.5)}, PLAIN) == 0.5


def test_proposals_in_another_order_are_the_same(rng: np.random.Generator) -> None:
    expected = make_proposals(rng)
    order = np.arange(50)
    order[[7, 8]] = 8, 7
    swapped = {name: value[:, order] for name, value in expected.items()}
    assert find_output_error(expected, swapped, RANKED) == 0
    assert find_output_error(expected, swapped, PLAIN) > 0.1


def test_a_proposal_at_the_cut_may_differ_and_one_above_it_may_not(rng: np.random.Generator) -> None:
    expected = make_proposals(rng)
    for place, is_same in ((49, True), (20, False)):
        changed = {name: value.copy() for name, value in expected.items()}
        changed["proposals"][1, place] += 40
        assert (find_output_error(expected, changed, RANKED) < 1e-3) == is_same


def test_a_wrong_value_of_a_proposal_is_seen_whatever_its_rank(rng: np.random.Generator) -> None:
    expected = make_proposals(rng)
    order = rng.permutation(50)
    changed = {name: value[:, order].copy() for name, value in expected.items()}
    changed["logits"][0, int(np.flatnonzero(order == 3)[0])] += 1
    assert find_output_error(expected, changed, RANKED) > 0.1
