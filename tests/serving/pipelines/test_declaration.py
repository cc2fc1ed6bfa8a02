"""pipeline.json: what is read, and one clear line for what cannot be."""

import json
from typing import Any

import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.pipelines.declaration import parse_pipeline

FIND = {"name": "find", "model": "detector", "confidence": 0.5}
CROP = {"name": "dogs", "of": "find", "crop": {"categories": ["dog"], "margin": 0.1, "max_crops": 8}}
SORT = {"name": "breed", "of": "dogs", "model": "breeds"}


def parse(*steps: dict[str, Any], **rest: Any) -> Any:
    return parse_pipeline(json.dumps({"steps": steps, **rest}).encode())


def test_detector_crop_classifier_is_three_lines_and_answers_with_the_detections() -> None:
    pipeline = parse(FIND, CROP, SORT)
    assert [step.name for step in pipeline.steps] == ["find", "dogs", "breed"]
    assert pipeline.answers == ("find",)


def test_the_last_step_answers_unless_another_is_named() -> None:
    assert parse({"name": "a", "model": "x"}, {"name": "b", "of": "a", "model": "y"}).answers == ("b",)
    assert parse({"name": "a", "model": "x"}, {"name": "b", "model": "y"}, answer=["b", "a"]).answers == ("b", "a")
    assert parse({"name": "a", "model": "x"}, {"name": "b", "of": "a", "model": "y"}, answer="b").answers == ("b",)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "1 to 32 steps"),
        ([FIND, FIND], "unique step names"),
        ([{"name": "a b", "model": "x"}], "unique step names"),
        ([{"name": "a"}], "either 'model' or 'crop', got neither"),
        ([FIND, {**CROP, "model": "x"}], "either 'model' or 'crop', got both"),
        ([FIND, {**CROP, "of": "fnid"}, SORT], "'dogs' is of 'fnid', which is no step; there is find, dogs, breed"),
        ([CROP, FIND, SORT], "'dogs' is of 'find', which comes later"),
        ([{"name": "a", "of": "b", "model": "x"}, {"name": "b", "of": "a", "model": "y"}], "a -> b -> a are a cycle"),
        ([{"name": "a", "of": "a", "model": "x"}], "a -> a are a cycle"),
        ([FIND, {"name": "c", "crop": {}}], "a crop needs 'of'"),
        ([FIND, {**CROP, "confidence": 0.5}, SORT], "'confidence' belongs to a step with a model"),
        ([FIND, {**CROP, "crop": {"margin": -0.1}}, SORT], "margin from 0 to 2"),
        ([FIND, {**CROP, "crop": {"max_crops": 65}}, SORT], "max_crops from 1 to 64"),
        ([FIND, {**CROP, "crop": {"max_crop": 3}}, SORT], "max_crop"),
        ([{**FIND, "confidence": 1.5}], "confidence from 0 to 1"),
        ([{**FIND, "model": "../detector"}], "name of a model"),
        ([{**FIND, "version": 0}], "version from 1"),
        ([FIND, CROP, {"name": "d", "of": "dogs", "crop": {}}, {**SORT, "of": "d"}], "'dogs', which is a crop itself"),
        ([FIND, CROP], "'dogs' is used by no step"),
        ([FIND, {"name": "faces", "model": "faces"}], "'find' is used by no step and no answer"),
        ([FIND, CROP, SORT, {"name": "more", "of": "breed", "model": "x"}], "'breed', which sorts crops; a chain ends there"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(*steps)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [("sort", "no step"), ("dogs", "of crops"), ("breed", "of crops"), (["find", "find"], "each once")],
)
def test_answers_that_cannot_be_given_are_refused(answer: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse(FIND, CROP, SORT, answer=answer)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"steps": 3}', b"\xff\xfe", b'{"steps": [], "x": 1}'])
def test_what_is_no_declaration_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_pipeline(content)
