"""Graphs whose first axis is no batch, and graphs whose outputs have not one row for each of the inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from pipeline_graphs import make_source, open_and_warm, save

from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.serving.inference.calls import Call
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.scheduling.work import QueueSettings, Work

ENGINES = ["openvino", "onnxruntime"]


def write_total(path: Path) -> Path:
    """`y` `(1, 3)`, the sum of the rows of `x` `(N, 3)`."""
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)]
    return save(path, nodes, {"x": ["N", 3]}, {"y": [1, 3]}, axes=np.array([0]))


def write_sum(path: Path) -> Path:
    """`y` = `a` `(2, 3)` + `b` `(1, 3)`."""
    return save(path, [helper.make_node("Add", ["a", "b"], ["y"])], {"a": [2, 3], "b": [1, 3]}, {"y": [2, 3]})


def write_twice(path: Path) -> Path:
    """`y`, what is in `x` `(N, 3)`, twice: as many rows as a detector has findings, to whoever does not know better."""
    return save(path, [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)], {"x": ["N", 3]}, {"y": ["M", 3]})


def open_model(graph: Path, engine: str, **source: Any) -> ServedModel:
    return open_and_warm(make_source("m", graph, engine=engine, **source))


def make_work(model: ServedModel, x: np.ndarray) -> Work:
    call = Call(model="m", write_answer=lambda facts, inferred: inferred.outputs["y"], tensors={"x": x})
    return Work(model, call, lambda work: None, rows=model.check(call))


def write_findings(path: Path) -> Path:
    """`y` `(M, 2)`, the places of zeros in `x` + (0, 1) of `(N, 2)`: as many as rows, by chance, where `x` is zeros."""
    nodes = [
        helper.make_node("Add", ["x", "step"], ["moved"]),
        helper.make_node("Equal", ["moved", "zero"], ["hit"]),
        helper.make_node("NonZero", ["hit"], ["places"]),
        helper.make_node("Transpose", ["places"], ["found"], perm=[1, 0]),
        helper.make_node("Cast", ["found"], ["y"], to=TensorProto.FLOAT),
    ]
    step, zero = np.array([0, 1], np.float32), np.array(0, np.float32)
    return save(path, nodes, {"x": ["N", 2]}, {"y": ["M", 2]}, step=step, zero=zero)


def count_up(rows: int) -> np.ndarray:
    return np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sum_over_the_first_axis_has_all_of_it(tmp_path: Path, engine: str) -> None:
    model = open_model(write_total(tmp_path / "model.onnx"), engine)
    assert (model.facts.is_batched, model.facts.max_batch) == (False, 1)
    for rows in (1, 3, 100):
        for alone in (False, True):
            work = make_work(model, count_up(rows))
            model.execute([work], alone)
            assert work.rows == 1
            np.testing.assert_array_equal(work.result, count_up(rows).sum(axis=0, keepdims=True))
    model.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_inputs_of_different_first_axes_are_answered(tmp_path: Path, engine: str) -> None:
    model = open_model(write_sum(tmp_path / "model.onnx"), engine)
    tensors = {"a": count_up(2), "b": count_up(1)}
    np.testing.assert_array_equal(model.run_tensors(tensors)["y"], count_up(2) + count_up(1))
    model.close()


def test_a_graph_that_is_said_to_have_no_batch_gets_requests_whole(tmp_path: Path) -> None:
    graph = save(tmp_path / "model.onnx", [helper.make_node("Neg", ["x"], ["y"])], {"x": ["N", 3]}, {"y": ["N", 3]})
    model = open_model(graph, "onnxruntime", is_batched=False)
    np.testing.assert_array_equal(model.run_tensors({"x": count_up(100)})["y"], -count_up(100))
    model.close()
    with pytest.raises(InvalidInput, match="expected 1 to 64 rows"):
        batched = open_model(graph, "onnxruntime")
        make_work(batched, count_up(100))


def test_requests_that_cannot_gather_are_not_said_to(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no batch axis in common \(x \[-1, 3\], y \[1, 3\]\); leave out dynamic_batching"):
        open_model(write_total(tmp_path / "model.onnx"), "onnxruntime", queue=QueueSettings(max_batch=4))


@pytest.mark.parametrize("engine", ENGINES)
def test_findings_of_gathered_requests_are_not_mixed(tmp_path: Path, engine: str) -> None:
    model = open_model(write_twice(tmp_path / "model.onnx"), engine, queue=QueueSettings(max_batch=4), batch=4)
    works = [make_work(model, count_up(1) + place) for place in range(4)]
    model.execute(works, alone=False)
    for place, work in enumerate(works):
        assert work.error is None
        np.testing.assert_array_equal(work.result, np.concatenate([count_up(1) + place] * 2))
    model.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_findings_that_are_by_chance_as_many_as_the_rows_are_not_mixed(tmp_path: Path, engine: str) -> None:
    model = open_model(write_findings(tmp_path / "model.onnx"), engine, queue=QueueSettings(max_batch=2), batch=2)
    works = [make_work(model, np.array([x], np.float32)) for x in ((0, -1), (5, 5))]  # two findings for two rows
    model.execute(works, alone=False)
    assert [work.error for work in works] == [None, None]
    assert [work.result.tolist() for work in works] == [[[0, 0], [0, 1]], []]
    model.close()


def test_warming_up_finds_that_outputs_are_not_by_rows(tmp_path: Path) -> None:
    model = open_model(write_twice(tmp_path / "model.onnx"), "onnxruntime", queue=QueueSettings(max_batch=4), batch=4)
    works = [make_work(model, count_up(1)) for _ in range(4)]
    inferred: list[int] = []
    model._infer = lambda inputs, alone: inferred.append(len(inputs["x"])) or {"y": inputs["x"]}  # type: ignore[method-assign,func-returns-value]
    model.execute(works, alone=False)
    assert inferred == [1, 1, 1, 1]  # and not four, in vain, before
    model.close()


def test_outputs_that_nobody_looks_at_may_have_any_shape(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("ReduceSum", ["x", "axes"], ["priors"], keepdims=1)]
    graph = save(tmp_path / "model.onnx", nodes, {"x": ["N", 3]}, {"y": ["N", 3], "priors": ["M", 3]}, axes=np.array([0]))
    decode = DecodeSpec(head="softmax", outputs=("y",))
    model = open_model(graph, "onnxruntime", decode=decode)
    np.testing.assert_array_equal(model.run_tensors({"x": count_up(3)})["y"], -count_up(3))
    model.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_findings_of_several_rows_are_refused_where_requests_gather(tmp_path: Path, engine: str) -> None:
    model = open_model(write_twice(tmp_path / "model.onnx"), engine, queue=QueueSettings(max_batch=4), batch=4)
    work = make_work(model, count_up(2))
    model.execute([work], alone=False)
    assert isinstance(work.error, InvalidInput)
    assert "output 'y' of m has the shape [2, 3] for 1 rows" in str(work.error)
    assert "send one row at a time" in str(work.error)
    model.close()


def centre(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0, keepdims=True)


def write_centred(path: Path) -> Path:
    """`y` = `x` `(N, 3)` minus the mean of its rows: a first axis that looks like a batch and is none."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return save(path, nodes, {"x": ["N", 3]}, {"y": ["N", 3]})


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_of_which_nothing_is_said_gets_each_request_whole(tmp_path: Path, engine: str, alone: bool) -> None:
    for name, write, expect in (("c", write_centred, centre), ("t", write_twice, lambda x: np.concatenate([x, x]))):
        model = open_model(write(tmp_path / name / "model.onnx"), engine)
        for rows in (1, 3, 64):
            work = make_work(model, count_up(rows) ** 2)
            model.execute([work], alone)
            assert (work.error, work.rows) == (None, rows)
            np.testing.assert_allclose(work.result, expect(count_up(rows) ** 2), rtol=1e-5)
        model.close()


def test_rows_that_a_pipeline_hands_on_are_inferred_each_for_itself(tmp_path: Path) -> None:
    model = open_model(write_centred(tmp_path / "model.onnx"), "onnxruntime")
    np.testing.assert_array_equal(model.run_tensors({"x": count_up(3)})["y"], np.zeros((3, 3)))
    model.close()


def test_a_graph_whose_requests_gather_has_independent_rows_by_its_configuration(tmp_path: Path) -> None:
    model = open_model(write_centred(tmp_path / "model.onnx"), "onnxruntime", queue=QueueSettings(max_batch=4), batch=4)
    work = make_work(model, count_up(3))
    model.execute([work], alone=True)
    np.testing.assert_array_equal(work.result, np.zeros((3, 3)))  # in the numbers that the engine is prepared for: 1 and 4
    model.close()
