"""The machine's own peak: the best rate that dense layers reach here, engine and precision by precision.

A data sheet says little about a shared virtual machine, and a single probe is often below what a network reaches; so
the peak is the maximum over several shapes (matrix product, 1 x 1 and 3 x 3 convolution) and repetitions.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.manifests import Precision
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

REPETITIONS = 4
REPETITION_SECONDS = 0.06
CHANNELS, SIDE = 256, 28
PROBES = ("gemm", "conv1x1", "conv3x3")


def measure_peak_gflops(engine: str, precisions: Sequence[Precision], threads: int) -> dict[str, float]:
    """Best sustained rate by precision, GFLOP/s (GOP/s in INT8), with `threads` threads in one stream."""
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="sightline-probe-") as folder:
        for precision in precisions:
            rates = [_measure_probe(engine, precision, probe, threads, Path(folder)) for probe in PROBES]
            peaks[precision] = max(rates)
    return peaks


def _measure_probe(engine: str, precision: Precision, probe: str, threads: int, folder: Path) -> float:
    graph = folder / f"{probe}.{'int8' if precision == 'int8' else 'float'}.onnx"
    shape, flops = write_probe(graph, probe, quantised=precision == "int8")
    session = load_backend(engine).open(graph, SessionOptions(precision, 1, threads))
    inputs = {"x": np.random.default_rng(0).random(shape, np.float32)}
    session.infer(inputs)
    rates = []
    for _ in range(REPETITIONS):
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < REPETITION_SECONDS:
            session.infer(inputs)
            count += 1
        rates.append(flops * count / (time.perf_counter() - started) / 1e9)
    session.close()
    return max(rates)


def write_probe(path: Path, probe: str, quantised: bool) -> tuple[tuple[int, ...], int]:
    """Write a graph of four equal dense layers; returns the input's shape and the operations of one inference."""
    kernel = {"gemm": 0, "conv1x1": 1, "conv3x3": 3}[probe]
    shape = (1, CHANNELS, SIDE, SIDE) if kernel else (SIDE * SIDE, CHANNELS)
    weight_shape = (CHANNELS, CHANNELS, kernel, kernel) if kernel else (CHANNELS, CHANNELS)
    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}
    layers, name = 4, "x"
    for layer in range(layers):
        values = rng.normal(0, 1 / np.sqrt(np.prod(weight_shape[1:])), weight_shape).astype(np.float32)
        if quantised:
            name = _quantise_tensor(nodes, weights, name, layer)
        weight_name = _add_weight(nodes, weights, values, layer, quantised)
        out = "y" if layer == layers - 1 else f"layer{layer}"
        attributes = {"kernel_shape": [kernel, kernel], "pads": [kernel // 2] * 4} if kernel else {}
        nodes.append(helper.make_node("Conv" if kernel else "MatMul", [name, weight_name], [out], **attributes))
        name = out
    graph = helper.make_graph(
        nodes,
        probe,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return shape, layers * 2 * SIDE * SIDE * int(np.prod(weight_shape))


def _quantise_tensor(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], name: str, layer: int) -> str:
    scale, zero = f"scale{layer}", f"zero{layer}"
    weights |= {scale: np.array(8 / 255, np.float32), zero: np.array(128, np.uint8)}
    nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"]))
    nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [f"{name}_d"]))
    return f"{name}_d"


def _add_weight(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], values: np.ndarray, layer: int, quantised: bool
) -> str:
    name = f"weight{layer}"
    if not quantised:
        weights[name] = values
        return name
    scale = np.abs(values).max() / 127
    weights |= {f"{name}_i": np.round(values / scale).astype(np.int8), f"{name}_s": np.array(scale, np.float32)}
    weights[f"{name}_z"] = np.array(0, np.int8)
    nodes.append(helper.make_node("DequantizeLinear", [f"{name}_i", f"{name}_s", f"{name}_z"], [name]))
    return name
