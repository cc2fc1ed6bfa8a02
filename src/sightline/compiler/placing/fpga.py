"""Compile for the FPGA emulator: bring a graph into the few forms the device has, choose fixed-point types from real pictures,
and write the network's files: types, graph, and the HLS project for the vendor's tools.

`convert_network` is the whole path; what the device cannot take is refused before anything is calibrated, with all reasons.
"""

import hashlib
import math
import tempfile
from collections.abc import Sequence
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from sightline.compiler.graphs import expose_tensors, load_graph, save_graph
from sightline.compiler.importers.onnx.forms import drop_dead_nodes, drop_dropout, store_constant_nodes
from sightline.compiler.placing.fixed_point import TypeChooser
from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.hls4ml.build import write_project
from sightline.runtime.backends.hls4ml.layers import make_plan
from sightline.runtime.backends.hls4ml.network import SUFFIX, FixedNetwork, FixedPoint, IoType, Port, write_network
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import DEVICES, GraphFacts, check_supported
from sightline.runtime.graph_files import PROJECT_SUFFIX

FixedPrecision = Literal["int8", "int16"]
WIDTHS: dict[FixedPrecision, int] = {"int8": 8, "int16": 16}
KEPT_VALUES = 4096  # of each tensor, from each calibration picture at most KEPT_VALUES / pictures
MAX_PARTITIONED = 4096  # elements of an array that Vitis HLS turns into registers; beyond it tensors must be streamed
MAX_STREAM_READERS = 7  # of one tensor, the network's output among them: hls4ml copies a stream no more often
MAX_PARALLEL_COPIES = 5_000  # numbers that a convolution's windows hold together: hls4ml writes a line of C++ for each


def convert_network(
    source: Path, folder: Path, samples: Sequence[np.ndarray] | Sequence[dict[str, np.ndarray]], precision: FixedPrecision
) -> Path:
    """Write the fixed-point twin of an ONNX file.

    Args:
        source: float graph, simplified.
        folder: where to write; made when absent.
        samples: inputs of one picture each, `(1, C, H, W)`, or dictionaries of them by name; at least one.
        precision: "int8" or "int16".

    Returns: the `.fpga.json` that the back end `hls4ml` opens. Its graph and the folder `.hls`, the project for the vendor's
        tools, lie beside it under the same name.
    Raises: Unsupported with every reason, InvalidInput, MissingPackage.
    """
    load_backend("hls4ml")  # says what is missing before any work
    model = prepare_graph(load_graph(source))
    check_supported(model, DEVICES["fpga-emulator"])
    check_streams(model)
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / f"{source.stem}.fpga.onnx"
    save_graph(model, graph)
    network = calibrate_fixed_point(model, graph, samples, precision)
    path = folder / f"{source.stem}{SUFFIX}"
    write_network(network, path)
    write_project(network, make_plan(network, model), folder / f"{source.stem}{PROJECT_SUFFIX}")
    return path


def check_streams(model: onnx.ModelProto) -> None:
    """Raises: Unsupported for a network that is streamed and reads one tensor too often."""
    facts = GraphFacts(model)
    counts = {name: len(readers) + (name in facts.outputs) for name, readers in facts.readers.items()}
    crowded = [f"{name} {counts[name]} times" for name in counts.keys() - facts.constants if counts[name] > MAX_STREAM_READERS]
    if crowded and choose_io_type(facts) == "io_stream":
        raise Unsupported(
            f"expected a network that reads each tensor at most {MAX_STREAM_READERS} times, as streams can be copied, got "
            f"{', '.join(sorted(crowded))}; compile for cpu"
        )


def prepare_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in the device's forms: no layers that do nothing, constants stored, pictures flattened by Flatten only."""
    copy = deepcopy(model)
    store_constant_nodes(copy)
    drop_dropout(copy)
    facts = GraphFacts(copy)
    for node in copy.graph.node:
        shapes = facts.shape(node.input[0]) if node.input else None, facts.shape(node.output[0])
        if node.op_type in ("Reshape", "Squeeze") and _is_flattening(*shapes):
            _replace(node, "Flatten")
        elif node.op_type == "ReduceMean" and _is_global_mean(*shapes):
            _replace(node, "GlobalAveragePool")
    drop_dead_nodes(copy)
    return copy


def _replace(node: onnx.NodeProto, kind: str) -> None:
    """Make a node one of another kind that reads the first input only and has no attributes."""
    node.op_type = kind
    del node.attribute[:], node.input[1:]


def _is_flattening(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> bool:
    """Whether `(N, ...)` becomes `(N, product)`."""
    return before is not None and after is not None and len(after) == 2 and math.prod(before[1:]) == after[1]


def _is_global_mean(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> bool:
    """Whether `(N, C, H, W)` becomes `(N, C, 1, 1)`."""
    return before is not None and len(before) == 4 and after == (0, before[1], 1, 1)


def calibrate_fixed_point(
    model: onnx.ModelProto,
    graph: Path,
    samples: Sequence[np.ndarray] | Sequence[dict[str, np.ndarray]],
    precision: FixedPrecision,
) -> FixedNetwork:
    """Choose the types of every layer from what the network computes on real pictures.

    Args:
        model: prepared graph; `graph` is its file.
        samples: inputs of one picture each.
        precision: "int8" or "int16".
    """
    if len(samples) == 0:
        raise InvalidInput("fixed-point types are chosen from pictures, got none; pass a dataset version")
    values = record_values(model, samples)
    chooser = TypeChooser(model, values, WIDTHS[precision])
    facts = GraphFacts(model)
    for name in facts.inputs:
        chooser.choose_input(name)
    layers = tuple(chooser.choose_layer(node) for node in facts.nodes)
    return FixedNetwork(
        graph_file=graph.name,
        graph_sha256=hashlib.sha256(graph.read_bytes()).hexdigest(),
        precision=precision,
        io_type=choose_io_type(facts),
        inputs=_list_ports(facts, facts.inputs, chooser.types),
        outputs=_list_ports(facts, facts.outputs, chooser.types),
        layers=layers,
        calibration_images=len(samples),
    )


def _list_ports(facts: GraphFacts, names: Sequence[str], types: dict[str, FixedPoint]) -> tuple[Port, ...]:
    return tuple(Port(name=name, shape=(facts.shape(name) or ())[1:], type=types[name]) for name in names)


def choose_io_type(facts: GraphFacts) -> IoType:
    """Parallel wires for a tiny network, whose tensors fit into registers; streams of pixels for any other."""
    tensors = {name for node in facts.nodes for name in (*node.input, *node.output) if name}
    sizes = [math.prod((facts.shape(name) or ())[0 if name in facts.constants else 1 :]) for name in tensors]
    copies = [_count_window_numbers(node, facts) for node in facts.nodes if node.op_type == "Conv"]
    is_tiny = max(sizes, default=0) <= MAX_PARTITIONED and sum(copies) <= MAX_PARALLEL_COPIES
    return "io_parallel" if is_tiny else "io_stream"


def _count_window_numbers(node: onnx.NodeProto, facts: GraphFacts) -> int:
    out = facts.shape(node.output[0]) or ()
    kernel: tuple[int, ...] = facts.constants[node.input[1]][1:]
    return math.prod(out[2:]) * math.prod(kernel)


def record_values(
    model: onnx.ModelProto, samples: Sequence[np.ndarray] | Sequence[dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Some values of every tensor on each sample, evenly spread, and always its smallest and largest.

    Returns: `(K,)` float32 by the tensor's name.
    """
    facts = GraphFacts(model)
    names = list(dict.fromkeys([*facts.inputs, *(node.output[0] for node in facts.nodes)]))
    kept: dict[str, list[np.ndarray]] = {name: [] for name in names}
    share = max(KEPT_VALUES // len(samples), 16)
    with tempfile.TemporaryDirectory(prefix="sightline-fpga-") as folder:
        path = Path(folder) / "all-tensors.onnx"
        save_graph(expose_tensors(model, names, keep_outputs=True), path)
        with closing(load_backend("reference").open(path, SessionOptions())) as session:
            for sample in samples:
                inputs = sample if isinstance(sample, dict) else {facts.inputs[0]: sample}
                for name, value in {**inputs, **session.infer(inputs)}.items():
                    kept[name].append(_pick_values(value, share))
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def _pick_values(value: np.ndarray, count: int) -> np.ndarray:
    flat = value.reshape(-1)
    stride = max(flat.size // count, 1)
    return np.concatenate([flat[::stride], [flat.min(), flat.max()]])
