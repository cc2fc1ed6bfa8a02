"""What engines compute with fewer bits than the graph says is refused where it would come out wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save_model
from pipeline_graphs import make_source, open_and_warm

from sightline.core.errors import InvalidInput
from sightline.serving.inference.calls import Call
from sightline.serving.scheduling.work import Work


def ask(folder: Path, engine: str, values: np.ndarray) -> Any:
    """What a graph that adds zero answers; raises its error."""
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "zero"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, ["N", 2])],
        [helper.make_tensor_value_info("y", kind, ["N", 2])],
        [helper.make_tensor("zero", kind, [], [0])],
    )
    assert kind in (TensorProto.INT64, TensorProto.UINT64, TensorProto.DOUBLE, TensorProto.UINT32)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
    model = open_and_warm(make_source("m", folder / "model.onnx", engine=engine))
    call = Call(model="m", write_answer=lambda facts, inferred: inferred.outputs["y"], tensors={"x": values})
    work = Work(model, call, lambda work: None, rows=model.check(call))
    model.execute([work], alone=False)
    model.close()
    if work.error is not None:
        raise work.error
    return work.result


WIDE = [
    np.array([[1, 2**31]], np.int64),
    np.array([[1, -(2**31) - 1]], np.int64),
    np.array([[1, 2**31]], np.uint64),
    np.array([[1, 1e300]], np.float64),
    np.array([[1, -np.inf]], np.float64),
]


@pytest.mark.parametrize("values", WIDE, ids=str)
def test_values_that_openvino_would_change_are_refused_and_onnx_runtime_takes_them(values: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"expected {values.dtype.name} input 'x' within .*serve the graph with onnxruntime"):
        ask(tmp_path, "openvino", values)
    np.testing.assert_array_equal(ask(tmp_path, "onnxruntime", values), values)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-(2**31), 2**31 - 1]], np.int64),
        np.array([[0, 2**31 - 1]], np.uint64),
        np.array([[0, 2**32 - 1]], np.uint32),
        np.array([[np.nan, 2.0**127], [-1.5, 0]], np.float64),
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_values_that_fit_come_out_as_they_went_in(values: np.ndarray, engine: str, tmp_path: Path) -> None:
    answered = ask(tmp_path, engine, values)
    assert answered.dtype == values.dtype
    np.testing.assert_array_equal(answered, values)
