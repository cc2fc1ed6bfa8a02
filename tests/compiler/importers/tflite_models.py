"""Small .tflite files made in a test, through the object classes of LiteRT's own copy of the schema."""

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
KINDS = {
    np.dtype(np.float32): "FLOAT32",
    np.dtype(np.float16): "FLOAT16",
    np.dtype(np.int32): "INT32",
    np.dtype(np.int64): "INT64",
    np.dtype(np.int8): "INT8",
    np.dtype(np.uint8): "UINT8",
    np.dtype(np.int16): "INT16",
}
Scale = tuple[Any, Any, int]  # scales, zero points, axis


class TinyFile:
    """A file of one subgraph; tensors are named by the numbers that its methods return."""

    def __init__(self, shape: tuple[int, ...] = (1, 6, 8, 3), kind: type = np.float32, scale: Scale | None = None) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers, self.graph.tensors, self.graph.operators = [schema.BufferT()], [], []
        self.model.metadata, self.graph.name = [], "main"
        self.input = self.add_tensor("picture", shape, kind, scale)
        self.graph.inputs = [self.input]

    def add_tensor(self, name: str, shape: tuple[int, ...], kind: Any = np.float32, scale: Scale | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
        tensor.type = getattr(schema.TensorType, KINDS[np.dtype(kind)])
        if scale is not None:
            record = schema.QuantizationParametersT()
            record.scale, record.zeroPoint = list(np.atleast_1d(scale[0])), list(np.atleast_1d(scale[1]))
            record.quantizedDimension = scale[2]
            tensor.quantization = record
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values: Any, kind: Any = None, scale: Scale | None = None) -> int:
        array = np.asarray(values, kind)
        index = self.add_tensor(f"constant_{len(self.graph.tensors)}", array.shape, array.dtype, scale)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def add(
        self,
        kind: str,
        inputs: list[int],
        shape: tuple[int, ...] | list[tuple[int, ...]],
        options: str | None = None,
        output: Any = np.float32,
        scale: Scale | None = None,
        **fields: Any,
    ) -> Any:
        """An operator; `options` names its table of options, whose `fields` are spelt as in the schema's object classes."""
        code = schema.OperatorCodeT()
        builtin = getattr(schema.BuiltinOperator, kind)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), fields.pop("version", 1)
        self.model.operatorCodes.append(code)
        shapes = shape if isinstance(shape, list) else [shape]
        number = len(self.graph.operators)
        outputs = [self.add_tensor(f"layer_{number}_{i}", one, output, scale) for i, one in enumerate(shapes)]
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes) - 1, inputs, outputs
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in fields.items():
                assert hasattr(operator.builtinOptions, name), f"{options} has no {name}"
                setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)
        return outputs if isinstance(shape, list) else outputs[0]

    def write(self, path: Path, *outputs: int) -> Path:
        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path
