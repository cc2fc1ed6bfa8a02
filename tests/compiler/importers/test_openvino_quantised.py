"""FakeQuantize and integer weights: exact pairs of QuantizeLinear and DequantizeLinear where a grid of 8-bit numbers allows."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino.opset13 as ops
import pytest
from import_checks import run_graph
from openvino_models import Node, constant, convert, list_kinds, make_model, numbers

from sightline.compiler.importers.openvino.graph import ConvertedModel
from sightline.compiler.importers.openvino.source import OpenvinoSource


def quantise(x: Node, low: Any, high: Any, levels: int, new_low: Any = None, new_high: Any = None) -> Node:
    limits = [low, high, low if new_low is None else new_low, high if new_high is None else new_high]
    return ops.fake_quantize(x, *(constant(limit) for limit in limits), levels)


QUANTISED = {
    "unsigned": lambda x: quantise(x, 0.0, 2.55, 256),
    "signed": lambda x: quantise(x, -1.28, 1.27, 256),
    "uneven": lambda x: quantise(x, -0.5, 2.05, 256),
    "narrow": lambda x: quantise(x, -1.27, 1.27, 255),
    "rescaled": lambda x: quantise(x, -1.28, 1.27, 256, -2.56, 2.54),
    "per_channel": lambda x: quantise(
        x, -1.28 * np.arange(1, 7).reshape(1, 6, 1, 1), 1.27 * np.arange(1, 7).reshape(1, 6, 1, 1), 256
    ),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_fake_quantize_on_a_grid_is_exact(name: str, tmp_path: Path) -> None:
    converted = convert(make_model(lambda x: ops.relu(QUANTISED[name](x))))
    assert converted.precision == "int8"
    assert {"QuantizeLinear", "DequantizeLinear"} <= set(list_kinds(converted))
    assert_quantised_same(converted, tmp_path)


@pytest.mark.parametrize("limits", [(-1.0, 1.01, 16), (0.1, 2.0, 256), (-1.003, 1.27, 256)])
def test_fake_quantize_off_the_grid_stays_float(limits: tuple[float, float, int], tmp_path: Path) -> None:
    converted = convert(make_model(lambda x: ops.relu(quantise(x, *limits))))
    assert converted.precision == "fp32" and "no 8-bit grid" in converted.notes[0]
    assert_quantised_same(converted, tmp_path)


def assert_quantised_same(converted: ConvertedModel, folder: Path) -> None:
    """The same step for all numbers but those that lie between two: 1 in 100."""
    batch = np.random.default_rng(1).normal(size=(2, 6, 9, 8)).astype(np.float32)
    expected = OpenvinoSource(converted, is_own_framework=True).run(batch)["out0"]
    got = run_graph(converted.graph, batch, folder)["out0"]
    assert (np.abs(got - expected) > 1e-4).mean() < 0.01
    assert len(np.unique(got)) > 5


@pytest.mark.parametrize("form", ["int8", "uint8", "fake"])
def test_integer_weights_stay_integers_behind_a_quantised_input(form: str, tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(-127, 128, (5, 6, 3, 3))
    scale = constant(np.linspace(0.01, 0.02, 5).reshape(5, 1, 1, 1))

    def build(x: Node) -> Node:
        if form == "fake":
            high = 127 * scale.data
            weights = ops.fake_quantize(constant(values * scale.data), *(constant(v) for v in (-high, high) * 2), 255)
        elif form == "int8":
            weights = ops.multiply(ops.convert(constant(values, np.int8), "f32"), scale)
        else:
            moved = ops.subtract(ops.convert(constant(values + 128, np.uint8), "f32"), constant(128.0))
            weights = ops.multiply(moved, scale)
        made = ops.convolution(quantise(x, -1.28, 1.27, 256), weights, [1, 1], [0, 0], [0, 0], [1, 1])
        return ops.add(made, constant(numbers(1, 5, 1, 1)))

    converted = convert(make_model(build))
    held = {tensor.name: tensor.data_type for tensor in converted.graph.graph.initializer}
    assert [held[name] for name in held if name.endswith("/weights_quantised")] == [onnx.TensorProto.INT8]
    assert [held[name] for name in held if name.endswith("/bias_quantised")] == [onnx.TensorProto.INT32]
    assert_quantised_outputs_close(converted, tmp_path)


def test_integer_weights_alone_are_widened(tmp_path: Path) -> None:
    def build(x: Node) -> Node:
        weights = ops.multiply(ops.convert(constant(numbers(5, 6, 3, 3) * 40, np.int8), "f32"), constant(0.02))
        return ops.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])

    converted = convert(make_model(build))
    assert converted.precision == "fp32" and list_kinds(converted) == ["Conv"]
    batch = np.random.default_rng(1).normal(size=(2, 6, 9, 8)).astype(np.float32)
    expected = OpenvinoSource(converted, is_own_framework=True).run(batch)["out0"]
    got = run_graph(converted.graph, batch, tmp_path)["out0"]
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


def test_weights_with_a_zero_point_become_float(tmp_path: Path) -> None:
    def build(x: Node) -> Node:
        moved = ops.subtract(ops.convert(constant(np.arange(270).reshape(5, 6, 3, 3) % 256, np.uint8), "f32"), constant(3.0))
        made = ops.convolution(
            quantise(x, -1.28, 1.27, 256), ops.multiply(moved, constant(0.01)), [1, 1], [0, 0], [0, 0], [1, 1]
        )
        return ops.relu(made)

    converted = convert(make_model(build))
    held = {tensor.name: tensor.data_type for tensor in converted.graph.graph.initializer}
    assert onnx.TensorProto.INT8 not in held.values()
    assert_quantised_outputs_close(converted, tmp_path)


def assert_quantised_outputs_close(converted: ConvertedModel, folder: Path) -> None:
    """Within one percent: OpenVINO runs such layers in integers."""
    batch = np.random.default_rng(1).normal(size=(2, 6, 9, 8)).astype(np.float32)
    expected = OpenvinoSource(converted, is_own_framework=True).run(batch)["out0"]
    got = run_graph(converted.graph, batch, folder)["out0"]
    assert np.abs(got - expected).max() < 0.01 * np.abs(expected).max()
