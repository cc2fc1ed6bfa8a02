import numpy as np
import pytest

from sightline.core.manifests import DecodeSpec
from sightline.runtime.output_error import find_largest_error, find_output_error, find_rms_error, split_outputs

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


def test_a_batch_is_split_into_its_pictures_and_what_has_fewer_rows_leaves_none() -> None:
    outputs = {"rows": np.arange(6.0).reshape(3, 2), "found": np.ones((2, 4)), "sum": np.array(3.0)}
    split = split_outputs(outputs, 3)
    assert [one["rows"].tolist() for one in split] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert [(one["found"].shape, one["sum"].shape) for one in split][1:] == [((1, 4), (0,)), ((0, 4), (0,))]
    assert split_outputs(outputs, 1) == [outputs]


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_equal_to_itself_alone(value: float) -> None:
    numbers, odd = np.array([[4.0, 1.0]], np.float32), np.array([[4.0, value]], np.float32)
    assert find_largest_error(numbers, odd) == find_largest_error(odd, numbers) == np.inf
    assert find_largest_error(odd, odd) == 0
    assert find_largest_error(odd, odd + np.float32(1)) == 0.25  # 5 for 4: what is no number has no say in the scale
    assert find_largest_error(np.array([np.inf, np.nan]), np.array([-np.inf, np.nan])) == np.inf


def test_the_largest_error_of_nothing_of_zeros_and_of_other_shapes() -> None:
    assert find_largest_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert find_largest_error(np.zeros((1, 3)), np.zeros((1, 3))) == 0
    assert find_largest_error(np.zeros((1, 3)), np.full((1, 3), 1e-6)) > 1000
    assert find_largest_error(np.zeros((1, 3)), np.zeros((1, 4))) == np.inf


def test_nothing_differs_from_nothing_and_zeros_have_no_scale() -> None:
    assert find_output_error({"a": np.zeros((0, 3))}, {"a": np.zeros((0, 3))}, PLAIN) == 0
    assert find_output_error({"a": np.zeros((1, 3))}, {"a": np.full((1, 3), 0.5)}, PLAIN) == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_root_mean_square_is_infinite_where_either_side_is_not_finite(value: float) -> None:
    numbers, odd = np.array([3.0, 4.0]), np.array([3.0, value])
    assert find_rms_error(numbers, odd) == find_rms_error(odd, numbers) == find_rms_error(odd, odd) == np.inf
    assert find_rms_error(numbers, np.array([3.0, 4.5])) == pytest.approx(0.1)  # 0.5 of 5, by hand


CHOSEN = DecodeSpec(head="final_boxes", outputs=("rows",), confidence_threshold=0.25)
ROWS = np.array([[[0, 0, 40, 40, 0.9, 1], [10, 10, 200, 90, 0.5, 0], [0, 0, 8, 8, 0.01, 2]]], np.float64)


def chosen_error(actual: np.ndarray) -> float:
    return find_output_error({"rows": ROWS}, {"rows": actual}, CHOSEN)


def test_chosen_objects_are_compared_whatever_their_rank() -> None:
    assert chosen_error(ROWS[:, ::-1]) == 0
    moved = ROWS + np.array([2, 0, 0, 0, 0.003, 0])
    assert chosen_error(moved[:, [1, 0, 2]]) == pytest.approx(0.01)  # 2 of 200 pixels
    assert chosen_error(np.where(ROWS[..., 4:5] < 0.1, 7.0, ROWS)) == 1  # an object that the other run has not


def test_a_chosen_object_that_is_gone_or_of_another_class_is_a_whole_error() -> None:
    assert chosen_error(ROWS * [[[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]]]) == pytest.approx(0.5)
    assert chosen_error(ROWS + np.array([0, 0, 0, 0, 0, 1])) == 1
    assert chosen_error(ROWS * np.nan) == np.inf


def test_of_chosen_objects_the_faint_ones_do_not_count() -> None:
    others = ROWS.copy()
    others[0, 2] = [90, 90, 99, 99, 0.02, 0]
    assert chosen_error(others) == 0
    faint = DecodeSpec(head="final_boxes", outputs=("rows",), confidence_threshold=0.01)
    assert find_output_error({"rows": ROWS}, {"rows": others}, faint) == 1


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
