"""Graphs of one node, computed by an operator in PyTorch and by the reference."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.cuda.operators.operator import Node
from sightline.runtime.backends.cuda.operators.table import find_operator
from sightline.runtime.backends.table import load_backend

RNG = np.random.default_rng(11)
Array = np.ndarray | None  # None: an input left out


class OneDevice(TorchDispatchMode):
    """Refuses what would have a number of the host's memory copied to the device, which waits for it."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device for tensor in tensors}
        assert len(devices) <= 1, f"{function} has operands or results on {devices}"
        return result


def start_numbers() -> None:
    RNG.bit_generator.state = np.random.default_rng(11).bit_generator.state


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values: int, dtype: type = np.int64) -> np.ndarray:
    return np.array(values, dtype)


def make_model(kind: str, arrays: Sequence[Array], outputs: int, opset: int, attributes: dict[str, Any]) -> onnx.ModelProto:
    names = ["" if array is None else f"input{place}" for place, array in enumerate(arrays)]
    graph = helper.make_graph(
        [helper.make_node(kind, names, [f"output{place}" for place in range(outputs)], name="tested", **attributes)],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
            if array is not None
        ],
        [onnx.ValueInfoProto(name=f"output{place}") for place in range(outputs)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def read_node(model: onnx.ModelProto) -> Node:
    proto = model.graph.node[0]
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute}
    attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
    for name, value in attributes.items():
        if isinstance(value, onnx.TensorProto):
            attributes[name] = torch.from_numpy(numpy_helper.to_array(value).copy())
    opset = model.opset_import[0].version
    return Node(proto.name, proto.op_type, tuple(proto.input), tuple(proto.output), attributes, opset)


def run_operator(node: Node, arrays: Sequence[Array]) -> tuple[torch.Tensor, ...]:
    operands = [None if array is None else torch.from_numpy(array.copy()) for array in arrays]
    return _as_tuple(find_operator(node).run(node, *operands))


def run_node(kind: str, *arrays: Array, outputs: int = 1, opset: int = 17, **attributes: Any) -> list[np.ndarray]:
    """What PyTorch computes."""
    node = read_node(make_model(kind, arrays, outputs, opset, attributes))
    return [result.numpy() for result in run_operator(node, arrays)]


def check_node(
    kind: str,
    *arrays: Array,
    outputs: int = 1,
    opset: int = 17,
    judge: str = "reference",
    tolerance: float = 1e-5,
    **attributes: Any,
) -> list[np.ndarray]:
    """Hold an operator against ONNX Runtime without optimisation, or against onnx's own evaluator; returns what it gives.

    It must also leave its operands alone, and run on tensors that hold no numbers: a GPU's may not be asked for theirs either.
    Where there is a GPU, it must run there, captured in a CUDA graph.
    """
    model = make_model(kind, arrays, outputs, opset, attributes)
    node = read_node(model)
    operands = [None if array is None else torch.from_numpy(array.copy()) for array in arrays]
    results = _as_tuple(find_operator(node).run(node, *operands))
    expected = _judge(model, arrays, judge)
    assert len(results) == len(expected)
    for result, right in zip(results, expected, strict=True):
        right = np.asarray(right)
        assert tuple(result.shape) == right.shape
        assert result.numpy().dtype == right.dtype
        slack = tolerance if result.is_floating_point() else 0
        greatest = np.abs(right, where=np.isfinite(right), out=np.zeros(right.shape)).max(initial=0) if slack else 0
        np.testing.assert_allclose(result.numpy(), right, rtol=slack, atol=slack * min(greatest, 1))
    for operand, array in zip(operands, arrays, strict=True):
        if operand is not None and array is not None:
            np.testing.assert_array_equal(operand.numpy(), array)
    _check_asks_no_numbers(node, operands, results)
    if torch.cuda.is_available():
        _check_captured(node, operands, results)
    return [result.numpy() for result in results]


def _judge(model: onnx.ModelProto, arrays: Sequence[Array], judge: str) -> list[np.ndarray]:
    inputs = {f"input{place}": array for place, array in enumerate(arrays) if array is not None}
    if judge == "onnx":
        return ReferenceEvaluator(model).run(None, inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        onnx.save(model, path)
        session = load_backend(judge).open(path, SessionOptions())
        try:
            return list(session.infer(inputs).values())
        finally:
            session.close()


def _check_asks_no_numbers(node: Node, operands: Sequence[torch.Tensor | None], results: Sequence[torch.Tensor]) -> None:
    operator = find_operator(node)
    bare = [
        operand.to("meta") if operand is not None and place not in operator.parameters else operand
        for place, operand in enumerate(operands)
    ]
    with OneDevice():
        shapes = [tuple(result.shape) for result in _as_tuple(operator.run(node, *bare))]
    assert shapes == [tuple(result.shape) for result in results]


def _check_captured(node: Node, operands: Sequence[torch.Tensor | None], results: Sequence[torch.Tensor]) -> None:
    operator = find_operator(node)
    placed = [
        operand.cuda() if operand is not None and place not in operator.parameters else operand
        for place, operand in enumerate(operands)
    ]
    graph = torch.cuda.CUDAGraph()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False), torch.no_grad():
        operator.run(node, *placed)  # libraries make their plans the first time, which no capture takes
        torch.cuda.synchronize()
        with warnings.catch_warnings(action="ignore"), torch.cuda.graph(graph):  # one without a kernel, as of views, is told
            captured = _as_tuple(operator.run(node, *placed))
    graph.replay()
    torch.cuda.synchronize()
    for value, expected in zip(captured, results, strict=True):
        torch.testing.assert_close(value.cpu(), expected, rtol=1e-4, atol=1e-4, equal_nan=True)


def _as_tuple(results: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return results if isinstance(results, tuple) else (results,)
