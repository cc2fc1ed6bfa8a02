"""Classification as Triton's extension writes it: the expected lines are sorted and written by hand."""

import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.v2 import answers
from sightline.serving.v2.answers import classify_output

LABELS = ("dark", "bright", "red")


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1), (2, 1, 1, 3), (2, 1, 3)])
def test_all_axes_behind_the_first_are_classes(shape: tuple[int, ...]) -> None:
    scores = np.array([[0.5, 2.0, -1.0], [3.0, 0.0, 3.0]], np.float32).reshape(shape)
    assert classify_output("scores", scores, 2, LABELS).tolist() == [
        [b"2.000000:1:bright", b"0.500000:0:dark"],
        [b"3.000000:0:dark", b"3.000000:2:red"],
    ]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (np.array([[0, 255, 7]], np.uint8), [b"255:1", b"7:2", b"0:0"]),
        (np.array([[-128, 127, 0]], np.int8), [b"127:1", b"0:2", b"-128:0"]),
        (np.array([[[5]], [[5]]], np.int64).reshape(1, 2, 1), [b"5:0", b"5:1"]),
        (np.array([[2**64 - 1, 0]], np.uint64), [b"18446744073709551615:0", b"0:1"]),
    ],
)
def test_integers_are_sorted_and_written_as_integers(scores: np.ndarray, expected: list[bytes]) -> None:
    assert classify_output("scores", scores, 9, ()).tolist() == [expected]


def test_labels_are_written_as_far_as_they_reach() -> None:
    scores = np.array([[1, 2, 3, 4]], np.uint8)
    assert classify_output("scores", scores, 4, ("a", "", "a")).tolist() == [[b"4:3", b"3:2:a", b"2:1", b"1:0:a"]]


def test_what_is_no_number_comes_last() -> None:
    assert classify_output("scores", np.array([[np.nan, 1, 2]], np.float16), 3, ()).tolist() == [
        [b"2.000000:2", b"1.000000:1", b"nan:0"]
    ]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0, 4)])
def test_nothing_has_no_classes(shape: tuple[int, ...]) -> None:
    assert classify_output("scores", np.zeros(shape, np.float32), 2, ()).size == 0


@pytest.mark.parametrize("scores", [np.zeros(3, np.float32), np.float32(1), np.array([["a"]], object), np.zeros((1, 2), bool)])
def test_what_is_no_list_of_scores_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="without classification"):
        classify_output("scores", np.asarray(scores), 1, ())


def test_so_many_classes_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_BYTES_ELEMENTS", 6)
    scores = np.zeros((2, 4), np.float32)
    assert classify_output("scores", scores, 3, ()).shape == (2, 3)
    with pytest.raises(InvalidInput, match="at most 6 classes"):
        classify_output("scores", scores, 4, ())
