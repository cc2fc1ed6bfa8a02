"""Compile for several devices: place the layers, cut the graph, and make each part's file for the engine of its device."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx

from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.placing.fpga import FixedPrecision, convert_network, prepare_graph
from sightline.compiler.placing.placement import place_layers, split_graph
from sightline.core.errors import Unsupported
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.hetero import SUFFIX, HeteroNetwork, Segment, write_hetero
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import Device

CPU_ENGINE = "onnxruntime"  # of the segments on the CPU: it opens ONNX files
Sample = dict[str, np.ndarray]  # tensor name -> array, one picture


def convert_hetero(
    source: Path,
    folder: Path,
    devices: Sequence[Device],
    samples: Sequence[np.ndarray],
    precision: FixedPrecision,
) -> Path:
    """Write a network as segments on several devices.

    Args:
        source: float graph with one input, simplified.
        folder: where to write; made when absent.
        devices: first choice first, the CPU last.
        samples: inputs of one picture each, that choose the fixed-point types.
        precision: of the segments on the emulator; the CPU computes in FP32.

    Returns: the `.hetero.json` that the back end `hetero` opens, with the files of its segments beside it.
    Raises: Unsupported when nothing is left for the first device, or a layer runs nowhere; InvalidInput.
    """
    model = prepare_graph(load_graph(source))
    placements = place_layers(model, devices)
    if all(placement.device != devices[0].name for placement in placements):
        rows = [f"{row.layer} ({row.operator}): {row.reason}" for placement in placements for row in placement.rows]
        raise Unsupported(f"no layer is left for {devices[0].name}: {'; '.join(rows)}; compile for {devices[-1].name}")
    folder.mkdir(parents=True, exist_ok=True)
    name = model.graph.input[0].name
    tensors: list[Sample] = [{name: sample} for sample in samples]
    segments = []
    for place, (placement, part) in enumerate(zip(placements, split_graph(model, placements), strict=True)):
        path = folder / f"part{place}.onnx"
        save_graph(part, path)
        tensors = _add_results(path, tensors)
        segments.append(_make_segment(path, part, placement.device, tensors, precision))
    network = HeteroNetwork(inputs=(name,), outputs=tuple(value.name for value in model.graph.output), segments=tuple(segments))
    listed = folder / f"{source.stem}{SUFFIX}"
    write_hetero(network, listed)
    return listed


def _add_results(part: Path, tensors: Sequence[Sample]) -> list[Sample]:
    """Each sample with what a part of the float network makes of it."""
    with closing(load_backend("reference").open(part, SessionOptions())) as session:
        return [{**one, **session.infer({name: one[name] for name in session.input_names})} for one in tensors]


def _make_segment(
    path: Path, part: onnx.ModelProto, device: str, tensors: Sequence[Sample], precision: FixedPrecision
) -> Segment:
    """The file of one part; on the emulator the float part is converted and removed."""
    inputs = tuple(value.name for value in part.graph.input)
    outputs = tuple(value.name for value in part.graph.output)
    if device != "fpga-emulator":
        return Segment(file=path.name, device=device, engine=CPU_ENGINE, precision="fp32", inputs=inputs, outputs=outputs)
    samples = [{name: one[name] for name in inputs} for one in tensors]
    made = convert_network(path, path.parent, samples, precision)
    path.unlink()
    return Segment(file=made.name, device=device, engine="hls4ml", precision=precision, inputs=inputs, outputs=outputs)
