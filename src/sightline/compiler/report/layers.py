"""What an engine made of the graph: one row per fused layer with its source layers, its precision and its time."""

import time
from collections.abc import Sequence
from contextlib import closing

import msgspec
import numpy as np
import onnx

from sightline.compiler.candidates import Candidate
from sightline.compiler.graphs import SourceMap
from sightline.runtime.backend import LayerRow

PROFILED_INFERENCES = 50  # at most, and at least WARM_INFERENCES
PROFILED_SECONDS = 1.5
WARM_INFERENCES = 5
# Kinds that do the network's arithmetic, by the names of the engines: the layers that INT8 is for.
HEAVY_LAYERS = {
    "Convolution", "Deconvolution", "FullyConnected", "MatMul",  # OpenVINO
    "Conv", "ConvTranspose", "Gemm", "FusedConv", "FusedGemm", "FusedMatMul", "QLinearConv", "ConvInteger", "QGemm",
    "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QLinearConvTranspose", "NhwcFusedConv",
}  # fmt: skip


class RefusedLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer of an INT8 network that does not run in INT8, and why."""

    name: str
    kind: str
    precision: str
    reason: str


def profile_layers(
    candidate: Candidate, source: onnx.ModelProto, input_name: str, samples: Sequence[np.ndarray]
) -> list[LayerRow]:
    """Run some pictures one at a time on one thread and return the layers as they ran, with the source's node names.

    One thread, so that a layer's time is the work it costs and shares can be added.
    """
    with closing(candidate.open(1, 1, profile=True)) as session:
        started = time.monotonic()
        for index in range(PROFILED_INFERENCES):
            session.infer({input_name: samples[index % len(samples)]})
            if index >= WARM_INFERENCES and time.monotonic() - started > PROFILED_SECONDS:
                break
        return name_sources(session.layers(), source)


def name_sources(rows: Sequence[LayerRow], source: onnx.ModelProto) -> list[LayerRow]:
    """Replace each row's source layers by nodes of the source graph; each node is in one row at most."""
    sources = SourceMap(source, {row.name: row.source_layers for row in rows})
    return [msgspec.structs.replace(row, source_layers=sources.sources(row.name)) for row in rows]


def count_precisions(rows: Sequence[LayerRow]) -> dict[str, int]:
    """Number of arithmetic layers by the precision they run in."""
    counts: dict[str, int] = {}
    for row in rows:
        if row.kind in HEAVY_LAYERS:
            counts[row.precision] = counts.get(row.precision, 0) + 1
    return counts


def find_refused_layers(rows: Sequence[LayerRow], quantised: onnx.ModelProto) -> list[RefusedLayer]:
    """Arithmetic layers that an INT8 Artifact runs in another precision, with the reason."""
    wrapped = find_quantised_nodes(quantised)
    return [
        RefusedLayer(name=row.name, kind=row.kind, precision=row.precision, reason=_explain(row, wrapped))
        for row in rows
        if row.kind in HEAVY_LAYERS and row.precision != "int8"
    ]


def find_quantised_nodes(model: onnx.ModelProto) -> set[str]:
    """Names and output names of nodes whose first two inputs both come from a DequantizeLinear."""
    dequantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    nodes = [node for node in model.graph.node if len(node.input) >= 2 and set(node.input[:2]) <= dequantised]
    return {name for node in nodes for name in (node.name, node.output[0])}


def _explain(row: LayerRow, quantised_names: set[str]) -> str:
    if {row.name, *row.source_layers} & quantised_names:
        return f"quantised in the file, but the engine has no INT8 kernel for it here and ran {row.primitive or row.kind}"
    return "left in float by the quantiser"
