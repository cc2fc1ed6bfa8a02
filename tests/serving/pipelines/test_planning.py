"""What does not fit between steps and models is told when a pipeline is opened."""

import json
from typing import Any

import pytest
from pipeline_fakes import FakeHost, FakeModel, floats, make_breeds, make_detector, make_facts, open_pipeline

from sightline.core.errors import Exhausted, InvalidInput, NotFound, SightlineError
from sightline.core.manifests import InputSpec
from sightline.serving.inference.calls import TensorFacts

FIND = {"name": "find", "model": "detector"}
CROP = {"name": "dogs", "of": "find", "crop": {"categories": ["dog"]}}
SORT = {"name": "breed", "of": "dogs", "model": "breeds"}
SPEC = {"name": "x", "width": 8, "height": 8}
RAW = {"name": "a", "model": "raw"}
HEAD = {"head": "softmax", "outputs": ["features"]}
DECODED = {"name": "a", "model": "raw", "input": SPEC, "decode": HEAD, "categories": ["d", "b", "c"]}


def make_raw(name: str = "raw", **changes: Any) -> FakeModel:
    return FakeModel(
        make_facts(name, **{"inputs": [floats("x", 3, 8, 8)], "outputs": [floats("features", 3)], **changes}), lambda _: {}
    )


def open_steps(*steps: dict[str, Any], **rest: Any) -> Any:
    models = (
        make_detector(),
        make_breeds(),
        make_raw(),
        make_raw("next", inputs=[floats("features", 3)], outputs=[floats("logits", 3)]),
        make_raw("wide", inputs=[floats("features", 4)]),
        make_raw("two", inputs=[floats("a", 3), floats("b", 3)], outputs=[floats("out", 3)]),
    )
    return open_pipeline(json.dumps({"steps": steps, **rest}).encode(), *models)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{**FIND, "model": "detecter"}], "step 'find': no model 'detecter'"),
        ([{**FIND, "model": "zoo"}], "step 'find': a pipeline cannot run itself"),
        ([FIND, {**CROP, "crop": {"categories": ["wolf"]}}, SORT], "step 'dogs': category 'wolf' is not one that 'find' finds"),
        ([FIND, CROP, {**SORT, "model": "detector"}], "step 'breed': expected a model that sorts pictures"),
        ([FIND, CROP, {**SORT, "model": "raw"}], "step 'breed': expected a model that sorts pictures"),
        ([{**FIND, "model": "breeds"}, CROP, SORT], "step 'dogs': expected crops of a step that finds boxes"),
        ([{**FIND, "input": SPEC}], "has its own input spec"),
        ([{**FIND, "decode": HEAD, "categories": ["a"]}], "is of detection already"),
        ([{**FIND, "categories": ["a"]}], "'categories' belong to a 'decode'"),
        ([{"name": "a", "model": "raw", "input": {**SPEC, "name": "y"}}], "'input' names 'y'"),
        ([{"name": "a", "model": "raw", "confidence": 0.5}], "'confidence' needs a model that annotates"),
        ([{"name": "a", "model": "raw", "input": SPEC, "decode": HEAD}], "'decode' needs 'categories'"),
        ([{"name": "a", "model": "raw", "input": SPEC, "decode": {**HEAD, "head": "sotfmax"}}], "decode head of softmax"),
        ([{"name": "a", "model": "raw", "input": SPEC, "decode": {**HEAD, "outputs": ["f"]}}], "names the outputs ['f']"),
        ([{"name": "a", "model": "raw", "input": SPEC, "decode": {**HEAD, "head": "picture"}}], '"range": [0, 1]'),
        ([{**DECODED, "categories": ["d", "b"]}], "step 'a': the head softmax does not fit the graph"),
        ([{**DECODED, "decode": {**HEAD, "head": "yolo"}}], "step 'a': the head yolo does not fit the graph: expected anchors"),
        ([{**DECODED, "decode": {**HEAD, "parameters": {"bogus": 1}}}], "decode.parameters: expected only top"),
        ([{**DECODED, "decode": {**HEAD, "confidence_threshold": 7}}], "decode.confidence_threshold: expected 0 to 1, got 7"),
        ([{"name": "a", "model": "raw"}, {"name": "b", "of": "a", "model": "wide"}], "do not follow each other"),
        ([{"name": "a", "model": "raw"}, {"name": "b", "of": "a", "model": "two"}], "nothing goes into the input 'a'"),
        ([{"name": "a", "model": "raw"}, {"name": "b", "of": "a", "model": "next", "tensors": {"z": "q"}}], "the input 'z'"),
        ([RAW, {"name": "b", "of": "a", "model": "next", "tensors": {"features": "q"}}], "input 'features'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_names_the_step_in_one_line(steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises((InvalidInput, NotFound)) as caught:
        open_steps(*steps)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_steps_that_take_pictures_and_steps_that_take_tensors_cannot_share_a_request() -> None:
    with pytest.raises(InvalidInput, match="all take pictures, or one that takes tensors"):
        open_steps(FIND, {"name": "a", "model": "raw"}, answer=["find", "a"])


def test_an_answer_joins_only_what_annotates() -> None:
    with pytest.raises(InvalidInput, match="step 'a': expected a model that annotates in a joined answer, got raw"):
        open_steps(FIND, {"name": "a", "model": "raw", "input": SPEC}, answer=["find", "a"])


def test_one_output_may_go_into_two_inputs_when_it_is_said() -> None:
    steps = [
        {"name": "a", "model": "raw"},
        {"name": "b", "of": "a", "model": "two", "tensors": {"a": "features", "b": "features"}},
    ]
    model = open_steps(*steps)
    assert [tensor.name for tensor in model.facts.inputs] == ["x"]
    assert [tensor.name for tensor in model.facts.outputs] == ["out"]


def test_a_free_size_fits_any_size() -> None:
    models = (make_raw(outputs=[floats("features", -1)]), make_raw("next", inputs=[floats("features", 3)]))
    open_pipeline(b'{"steps": [{"name": "a", "model": "raw"}, {"name": "b", "of": "a", "model": "next"}]}', *models)


def test_a_head_that_fits_is_taken_and_outputs_of_free_sizes_are_left_to_requests() -> None:
    assert open_steps(DECODED).facts.decode.head == "softmax"
    free = make_raw(outputs=[floats("features", -1)])
    open_pipeline(json.dumps({"steps": [{**DECODED, "categories": ["d", "b"]}]}).encode(), free)
    fixed = make_raw(outputs=[TensorFacts(name="features", datatype="FP32", shape=(4, 3))])  # a batch of four
    open_pipeline(json.dumps({"steps": [DECODED]}).encode(), fixed)


def test_a_pipeline_of_a_pipeline_that_cannot_answer_is_refused_for_what_it_is() -> None:
    class Failed(FakeHost):
        def acquire(self, name: str, version: str = "") -> Any:
            raise Exhausted(f"model {name!r} cannot answer: version 1: it is broken")

        def is_pipeline(self, name: str) -> bool:
            return name == "inner"

    with pytest.raises(InvalidInput, match="step 'a': 'inner' is a pipeline itself; write its steps here"):
        open_pipeline(b'{"steps": [{"name": "a", "model": "inner"}]}', host=Failed())
    with pytest.raises(Exhausted, match="step 'a': model 'other' cannot answer"):
        open_pipeline(b'{"steps": [{"name": "a", "model": "other"}]}', host=Failed())


def test_a_pipeline_of_a_pipeline_is_refused() -> None:
    host = FakeHost(make_detector())
    inner = open_pipeline(b'{"steps": [{"name": "find", "model": "detector"}]}', host=host)
    host.models["inner"] = inner
    with pytest.raises(SightlineError, match="step 'a': 'inner' is a pipeline itself; write its steps here"):
        open_pipeline(b'{"steps": [{"name": "a", "model": "inner"}]}', host=host)
    assert host.held == []


def test_one_step_is_the_model_itself_with_another_confidence() -> None:
    model = open_pipeline(b'{"steps": [{"name": "find", "model": "detector", "confidence": 0.75}]}', make_detector())
    assert model.facts.decode is not None
    assert (model.facts.decode.head, model.facts.decode.confidence_threshold) == ("scored_boxes", 0.75)
    assert model.facts.input == InputSpec(width=64, height=64)
