"""Real graphs with plain answers: a model that multiplies its input by a factor."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from repository_fakes import write_configuration


def write_factor(repository: Path, name: str, version: int, factor: float, engine: str = "onnxruntime") -> None:
    """A version that multiplies its input `(N, 4)` by a factor."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "factor",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.full(4, factor, np.float32), "factor")],
    )
    (repository / name).mkdir(parents=True, exist_ok=True)
    write_configuration(repository, name, {"backend": engine, "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]})
    temporary = repository / name / f".{version}"
    temporary.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, temporary / "model.onnx")
    temporary.rename(repository / name / str(version))


def write_factor_ir(repository: Path, name: str, version: int, factor: float) -> Path:
    """As `write_factor`, as OpenVINO's IR. Returns: its file."""
    import openvino

    write_factor(repository, name, version, factor, "openvino")
    onnx_file = repository / name / str(version) / "model.onnx"
    openvino.save_model(openvino.convert_model(onnx_file), onnx_file.with_suffix(".xml"), compress_to_fp16=False)
    onnx_file.unlink()
    return onnx_file.with_suffix(".xml")
