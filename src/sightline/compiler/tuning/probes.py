"""The machine's own peak: the best rate that dense layers reach here, engine and precision by precision.

A data sheet says little about a shared virtual machine, and a single probe is often below what a network reaches: here the best
shape is another one for each precision, and a shape that is best in a quiet moment is last in a busy one. So the peak is the
maximum over several shapes (matrix products, 1 x 1 and 3 x 3 convolutions of different widths, batch 1 and 8), which take short
turns one after the other, so that a busy moment does not fall on all turns of one shape. Depthwise convolutions are left out:
they wait for memory.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.manifests import Precision
from sightline.runtime.backend import Session, SessionOptions
from sightline.runtime.backends.table import load_backend, make_backend

REPETITIONS = 4
REPETITION_SECONDS = 0.03
LAYERS = 4  # of one shape in a row: in a network, too, results go from one layer to the next
GPU_LAYERS = 256  # with the same weights: the way to the device and back must be short beside them


class ProbeShape(NamedTuple):
    """Dense layers from `channels` to `channels` over `batch` squares of `side`; matrix products when it has no kernel."""

    kernel: int | None
    channels: int
    side: int
    batch: int = 1
    layers: int = LAYERS

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of one layer."""
        size = (self.channels, self.channels)
        return size if self.kernel is None else (*size, self.kernel, self.kernel)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the graph's input: (rows, channels) or NCHW."""
        if self.kernel is None:
            return self.batch * self.side * self.side, self.channels
        return self.batch, self.channels, self.side, self.side

    @property
    def flops(self) -> int:
        """Operations of all layers: two for each multiply-add."""
        return self.layers * 2 * self.batch * self.side * self.side * int(np.prod(self.weight_shape))


SHAPES = {
    "gemm": ProbeShape(None, 256, 28),
    "gemm 1024": ProbeShape(None, 1024, 16),
    "conv1x1": ProbeShape(1, 256, 28),
    "conv1x1 512": ProbeShape(1, 512, 14),
    "conv3x3": ProbeShape(3, 256, 14),
    "conv3x3 64": ProbeShape(3, 64, 56),
    "conv3x3 128": ProbeShape(3, 128, 28),
    "conv3x3 batch 8": ProbeShape(3, 128, 14, 8),
}
PROBES = tuple(SHAPES)
GPU_SHAPES = {
    "gemm 2048": ProbeShape(None, 2048, 32, 2, GPU_LAYERS),
    "gemm 4096": ProbeShape(None, 4096, 32, 2, GPU_LAYERS),
    "conv3x3 256 batch 16": ProbeShape(3, 256, 28, 16, GPU_LAYERS),
    "conv3x3 512 batch 32": ProbeShape(3, 512, 14, 32, GPU_LAYERS),
}
PROBED_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16", "int8")


class Peak(NamedTuple):
    """A rate in GFLOP/s (GOP/s in INT8), and the probe that reached it."""

    gflops: float
    probe: str


def list_probes(engine: str) -> tuple[str, ...]:
    """Names of the probes for an engine's device."""
    return PROBES if make_backend(engine).device != "cuda" else tuple(GPU_SHAPES)


def measure_peaks(engine: str, precisions: Sequence[Precision], threads: int) -> dict[str, Peak]:
    """Best sustained rate by precision and the probe that reached it; takes one to two seconds each.

    Args:
        engine: name of a back end.
        precisions: some of `PROBED_PRECISIONS`.
        threads: in one stream.
    """
    with tempfile.TemporaryDirectory(prefix="sightline-probe-") as folder:
        return {precision: _measure_precision(engine, precision, threads, Path(folder)) for precision in precisions}


def _measure_precision(engine: str, precision: Precision, threads: int, folder: Path) -> Peak:
    probes = list_probes(engine)
    rates = dict.fromkeys(probes, 0.0)
    with ExitStack() as stack:
        opened: dict[str, tuple[Session, dict[str, np.ndarray], int]] = {}
        for probe in probes:
            graph = folder / f"{probe}.{precision}.onnx"
            shape, flops = write_probe(graph, probe, quantised=precision == "int8")
            session = load_backend(engine).open(graph, SessionOptions(precision, 1, threads))
            inputs = {"x": np.random.default_rng(0).random(shape, np.float32)}
            stack.enter_context(closing(session)).infer(inputs)
            opened[probe] = session, inputs, flops
        for _ in range(REPETITIONS):
            for probe, (session, inputs, flops) in opened.items():
                rates[probe] = max(rates[probe], _measure_rate(session, inputs, flops))
    best = max(rates, key=lambda probe: rates[probe])
    return Peak(rates[best], best)


def _measure_rate(session: Session, inputs: dict[str, np.ndarray], flops: int) -> float:
    """GFLOP/s over one turn, after an inference that brings the weights back into the caches."""
    session.infer(inputs)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < REPETITION_SECONDS:
        session.infer(inputs)
        count += 1
    return flops * count / (time.perf_counter() - started) / 1e9


def write_probe(path: Path, probe: str, quantised: bool) -> tuple[tuple[int, ...], int]:
    """Write a graph of four equal dense layers; returns the input's shape and the operations of one inference."""
    shape = {**SHAPES, **GPU_SHAPES}[probe]
    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}
    name = "x"
    for layer in range(shape.layers):
        if quantised:
            name = _quantise_tensor(nodes, weights, name, layer)
        if layer < LAYERS:
            fan_in = np.prod(shape.weight_shape[1:])
            values = rng.normal(0, 1 / np.sqrt(fan_in), shape.weight_shape).astype(np.float32)
            weight_name = _add_weight(nodes, weights, values, layer, quantised)
        out = "y" if layer == shape.layers - 1 else f"layer{layer}"
        nodes.append(_make_layer(shape, name, weight_name, out))
        name = out
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape.input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return shape.input_shape, shape.flops


def _make_layer(shape: ProbeShape, name: str, weight_name: str, out: str) -> onnx.NodeProto:
    if shape.kernel is None:
        return helper.make_node("MatMul", [name, weight_name], [out])
    kernel_shape, pads = [shape.kernel] * 2, [shape.kernel // 2] * 4
    return helper.make_node("Conv", [name, weight_name], [out], kernel_shape=kernel_shape, pads=pads)


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
