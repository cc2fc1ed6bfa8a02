"""Quantisers that do something wrong on purpose, to see what the gate makes of it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sightline.compiler import compilation
from sightline.compiler.quantisers.ort import MinMaxQuantiser
from sightline.compiler.quantisers.quantiser import Guide, QuantiserFacts
from sightline.compiler.tuning.goals import Timing
from sightline.core.errors import InvalidInput


class BrokenQuantiser(MinMaxQuantiser):
    """Quantises, then makes every activation scale eight times too small, so that most values saturate."""

    name = "broken"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        facts = super().quantise(graph, out, input_name, samples)
        model = onnx.load(out)
        scales = {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        for tensor in model.graph.initializer:
            if tensor.name in scales:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / 8, tensor.name))
        onnx.save(model, out)
        return facts


class DimQuantiser(MinMaxQuantiser):
    """Quantises, then lowers every score alike: their order stays, but none is confident enough to be shown."""

    name = "dim"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        facts = super().quantise(graph, out, input_name, samples)
        model = onnx.load(out)
        last = next(node for node in model.graph.node if "scores" in node.output)
        last.output[0] = "bright"
        for kind, read, amount, made in (("Mul", "bright", 0.1, "dimmer"), ("Sub", "dimmer", 4.3, "scores")):
            model.graph.node.append(onnx.helper.make_node(kind, [read, kind], [made], made))
            model.graph.initializer.append(numpy_helper.from_array(np.array(amount, np.float32), kind))
        onnx.save(model, out)
        return facts


class ChannelQuantiser(MinMaxQuantiser):
    """Gives the first convolution's input a scale and zero point for each channel, which ONNX Runtime's kernel lacks."""

    name = "channel"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        facts = super().quantise(graph, out, input_name, samples)
        model = onnx.load(out)
        by_name = {tensor.name: tensor for tensor in model.graph.initializer}
        first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == input_name)
        for node in model.graph.node:
            if list(node.input[1:]) == list(first.input[1:]):
                node.attribute.append(onnx.helper.make_attribute("axis", 1))
        for name in first.input[1:]:
            value = np.repeat(numpy_helper.to_array(by_name[name]).reshape(1), 3)
            by_name[name].CopyFrom(numpy_helper.from_array(value, name))
        onnx.save(model, out)
        return facts


class OpenVinoUnreadableQuantiser(MinMaxQuantiser):
    """Adds an operator that ONNX Runtime has and OpenVINO has not."""

    name = "unreadable"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        facts = super().quantise(graph, out, input_name, samples)
        model = onnx.load(out)
        last = model.graph.node[-1]
        last.output[0] = "before"
        model.graph.node.append(onnx.helper.make_node("TransposeMatMul", ["before", "eye"], ["logits"], domain="com.microsoft"))
        model.graph.initializer.append(numpy_helper.from_array(np.eye(3, dtype=np.float32), "eye"))
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        onnx.save(model, out)
        return facts


class RefusingQuantiser(MinMaxQuantiser):
    """Raises what it is told to."""

    name = "refusing"
    error: Exception = InvalidInput("ONNX Runtime refuses this input")

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        raise self.error


class FakeQuantiser(MinMaxQuantiser):
    """Calls an FP32 copy INT8."""

    name = "fake"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        shutil.copyfile(graph, out)
        return QuantiserFacts(quantiser=self.name, package="none", settings={}, images=len(samples))


def use_quantiser(monkeypatch: pytest.MonkeyPatch, quantiser: type) -> None:
    """Make `quantiser` the only one."""
    only = {quantiser.name: f"{quantiser.__module__}:{quantiser.__name__}"}
    monkeypatch.setattr("sightline.compiler.quantisers.table.QUANTISERS", only)
    monkeypatch.setattr("sightline.compiler.compilation.FIRST_QUANTISERS", (quantiser.name,))
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ())


def prefer_engine(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Let this engine win every race, so that the gate looks at it first."""
    time_them = compilation.time_candidates

    def time_candidates(*arguments: Any, **options: Any) -> list[Timing]:
        timings = time_them(*arguments, **options)
        factors = [1e3 if timing.candidate.startswith(engine) else 1.0 for timing in timings]
        return [
            msgspec.structs.replace(timing, throughput=timing.throughput * factor)
            for timing, factor in zip(timings, factors, strict=True)
        ]

    monkeypatch.setattr(compilation, "time_candidates", time_candidates)
