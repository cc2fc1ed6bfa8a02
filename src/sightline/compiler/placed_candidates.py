"""Candidates for another device than the CPU, or for several: layers the device declares run on it, the others behind it.

An accelerator computes in fixed point, so its types are chosen from real pictures, segment by segment: what a segment reads is
what the float network computes up to there.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from sightline.compiler.candidates import Candidate, Refusal
from sightline.compiler.fpga import FixedPrecision, convert_network, prepare_graph
from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.placement import Placement, place_layers, split_graph
from sightline.compiler.quantisers.quantiser import QuantiserFacts
from sightline.core.errors import InvalidInput, MissingPackage, Unsupported
from sightline.core.manifests import ModelManifest
from sightline.runtime.backend import SessionOptions, Tensors
from sightline.runtime.backends.hetero import SUFFIX, HeteroNetwork, Segment, write_hetero
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import Device, check_supported

QUANTISER = "fixed-point"
CPU_ENGINE = "onnxruntime"  # for the segments of a split network: it takes the part of a graph as it is
CALIBRATED = 64  # pictures; each is run through the network with every tensor kept


def plan_places(model: onnx.ModelProto, devices: Sequence[Device]) -> list[Placement]:
    """Where every layer runs.

    Raises: Unsupported with all reasons when a single device does not take the whole network, or no device takes a layer.
    """
    prepared = prepare_graph(model)
    if len(devices) == 1:
        check_supported(prepared, devices[0])
    return place_layers(prepared, devices)


def make_placed_candidate(
    source: Path,
    manifest: ModelManifest,
    devices: Sequence[Device],
    placements: Sequence[Placement],
    precision: FixedPrecision,
    samples: Sequence[np.ndarray],
) -> tuple[Candidate | None, Refusal | None]:
    """The network on its devices at a precision, or why not."""
    used = samples[:CALIBRATED]
    folder = source.parent / f"{precision}.{QUANTISER}"
    try:
        if len(devices) == 1:
            graph, engine = convert_network(source, folder, used, precision), "hls4ml"
        else:
            graph, engine = write_segments(source, folder, placements, used, precision, manifest), "hetero"
    except (InvalidInput, MissingPackage, Unsupported) as error:
        return None, Refusal(name=f"{devices[0].name} {precision}", reason=str(error))
    facts = QuantiserFacts(
        quantiser=QUANTISER,
        package="hls4ml",
        settings={"devices": [device.name for device in devices], "scales": "powers of two"},
        images=len(used),
    )
    return Candidate(engine, precision, QUANTISER, graph, source, facts), None


def write_segments(
    source: Path,
    folder: Path,
    placements: Sequence[Placement],
    samples: Sequence[np.ndarray],
    precision: FixedPrecision,
    manifest: ModelManifest,
) -> Path:
    """Write each part for its device and the list that joins them; returns the list. Raises: as `convert_network`."""
    folder.mkdir(parents=True, exist_ok=True)
    model = prepare_graph(load_graph(source))
    parts = split_graph(model, placements)
    boundaries = record_boundaries(model, parts, manifest.input.name, samples)
    segments = []
    for place, (placement, part) in enumerate(zip(placements, parts, strict=True)):
        inputs = tuple(value.name for value in part.graph.input)
        file = folder / f"part{place}.onnx"
        save_graph(part, file)
        engine, kept = CPU_ENGINE, "fp32"
        if placement.device != "cpu":
            given = [{name: tensors[name] for name in inputs} for tensors in boundaries]
            file, engine, kept = convert_network(file, folder, given, precision), "hls4ml", precision
        segments.append(
            Segment(
                file=file.name,
                device=placement.device,
                engine=engine,
                precision=kept,  # type: ignore[arg-type]
                inputs=inputs,
                outputs=tuple(value.name for value in part.graph.output),
            )
        )
    graph = folder / f"model{SUFFIX}"
    outputs = tuple(value.name for value in model.graph.output)
    write_hetero(HeteroNetwork(inputs=(manifest.input.name,), outputs=outputs, segments=tuple(segments)), graph)
    return graph


def record_boundaries(
    model: onnx.ModelProto, parts: Sequence[onnx.ModelProto], input_name: str, samples: Sequence[np.ndarray]
) -> list[Tensors]:
    """For each sample, every tensor that a part reads, as the float network computes it."""
    names = dict.fromkeys(value.name for part in parts for value in part.graph.input if value.name != input_name)
    return [
        {input_name: sample, **tensors}
        for sample, tensors in zip(samples, _run(model, list(names), input_name, samples), strict=True)
    ]


def _run(model: onnx.ModelProto, names: Sequence[str], input_name: str, samples: Sequence[np.ndarray]) -> Iterator[Tensors]:
    if not names:
        yield from ({} for _ in samples)
        return
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    with TemporaryDirectory(prefix="sightline-boundaries-") as folder:
        path = Path(folder) / "tapped.onnx"
        save_graph(tapped, path)
        options = SessionOptions("fp32", 1, len(os.sched_getaffinity(0)))
        with closing(load_backend(CPU_ENGINE).open(path, options)) as session:
            for sample in samples:
                yield session.infer({input_name: sample})
