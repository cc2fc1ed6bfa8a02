from pathlib import Path

import numpy as np
import pytest
from bench_fakes import SIZE

from sightline.bench.matching import match_objects
from sightline.bench.mistakes import (
    MISSED_RGB,
    RIGHT_RGB,
    WRONG_RGB,
    WorstPictures,
    draw_matches,
    judge_label,
    judge_label_maps,
    judge_labels,
    judge_objects,
    shrink_image,
)
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.data.versions import DatasetVersion
from sightline.imaging.files.reading import read_image


def label(category: str, confidence: float | None = None) -> Annotation:
    return Annotation(category=category, confidence=confidence)


def box(category: str, *corners: float, confidence: float | None = None) -> Annotation:
    return Annotation(category=category, box_xyxy=corners, confidence=confidence)  # type: ignore[arg-type]


def test_objects_are_judged_by_missed_things_and_the_confidence_of_wrong_ones() -> None:
    truth = [box("a", 0, 0, 10, 10), box("a", 30, 30, 40, 40)]
    predicted = [box("a", 0, 0, 10, 10, confidence=0.9), box("a", 60, 60, 70, 70, confidence=0.75)]
    assert judge_objects(match_objects(truth, predicted)) == (1.75, "1 missed, 1 wrong, 1 right")


def test_a_right_label_is_no_mistake_and_a_wrong_one_weighs_its_confidence() -> None:
    assert judge_label([label("cat")], [label("cat", 0.6)])[0] == 0
    severity, caption = judge_label([label("cat")], [label("cat", 0.2), label("dog", 0.7)])
    assert (severity, caption) == (0.7, "cat, taken for dog (0.70)")
    assert judge_label([label("cat")], []) == (1.0, "cat, no answer")
    assert judge_label([], [])[0] == 0


def test_several_labels_count_missed_and_wrong_ones() -> None:
    truth, predicted = [label("cat"), label("dog")], [label("dog", 0.9), label("cow", 0.9)]
    assert judge_labels(truth, predicted) == (2.0, "missed: cat; wrong: cow")


def test_label_maps_are_judged_on_labelled_pixels_only() -> None:
    truth = np.array([[0, 0], [1, 255]], np.uint8)
    severity, _ = judge_label_maps(truth, np.array([[0, 1], [1, 1]], np.uint8), ignored=255)
    assert severity == pytest.approx(1 / 3)
    assert judge_label_maps(np.full((2, 2), 255), np.zeros((2, 2)), ignored=255)[0] == 0


def test_right_wrong_and_missed_boxes_have_their_colours() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    truth = [box("a", 10, 40, 30, 60), box("a", 40, 40, 60, 60)]
    predicted = [box("a", 10, 40, 30, 60, confidence=0.9), box("a", 70, 40, 90, 60, confidence=0.8)]
    drawn = draw_matches(image, match_objects(truth, predicted), Categories(["a"]))
    assert (tuple(drawn[50, 10]), tuple(drawn[50, 40]), tuple(drawn[50, 70])) == (RIGHT_RGB, MISSED_RGB, WRONG_RGB)
    assert not image.any(), "the caller's picture is not drawn on"


def test_a_name_that_no_font_can_write_is_drawn_as_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.imaging.drawing.find_font", lambda text: None)
    image, categories = np.zeros((200, 300, 3), np.uint8), Categories(["a", "猫", "category 1"])

    def draw(name: str) -> np.ndarray:
        matches = match_objects([box(name, 10, 40, 90, 90)], [box(name, 150, 140, 250, 190, confidence=0.8)])
        return draw_matches(image, matches, categories)

    assert np.array_equal(draw("猫"), draw("category 1"))
    assert not np.array_equal(draw("猫"), draw("a"))


def test_large_pictures_are_shrunk_and_small_ones_are_not_enlarged() -> None:
    smaller, scale = shrink_image(np.zeros((1280, 320, 3), np.uint8))
    assert (smaller.shape, scale) == ((640, 160, 3), 0.5)
    assert shrink_image(np.zeros((10, 20, 3), np.uint8))[0].shape == (10, 20, 3)


def test_only_the_worst_pictures_are_kept_and_drawn_worst_first(squares_version: DatasetVersion, tmp_path: Path) -> None:
    worst = WorstPictures("detection", squares_version.categories, "background", limit=2)
    items = list(squares_version.items("test"))
    answers = [[], [*items[1].annotations], [items[2].annotations[0]], []]  # 2, 0, 1 and 2 missed
    for item, answer in zip(items, answers, strict=True):
        worst.offer(item, item.annotations, answer)
    mistakes = worst.draw(squares_version, tmp_path)
    assert [(mistake.file_name, mistake.severity) for mistake in mistakes] == [("0.png", 2.0), ("3.png", 2.0)]
    assert read_image(tmp_path / mistakes[0].picture).shape == (SIZE, SIZE, 3)


def test_pictures_without_mistakes_leave_no_folder(squares_version: DatasetVersion, tmp_path: Path) -> None:
    worst = WorstPictures("detection", squares_version.categories, "background", limit=2)
    for item in squares_version.items("test"):
        worst.offer(item, item.annotations, item.annotations)
    assert worst.draw(squares_version, tmp_path / "report") == ()
    assert not (tmp_path / "report").exists()
