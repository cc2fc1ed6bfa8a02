"""Which nodes become one, and that the network answers as before."""

from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import node, weight, write_graph

from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.cuda.fusing import list_sources
from sightline.runtime.backends.cuda.session import TorchSession
from sightline.runtime.backends.table import load_backend

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
WEIGHTS = {"w": weight(3, 3, 3, 3), "b": weight(3), "v": weight(3, 1, 3, 3)}
SIXTH = {"alpha": 1 / 6}

# Nodes behind `images` up to `out`, and the kinds of the steps that they become.
CASES = {
    "conv and relu": ([node("Conv", ["images", "w", "b"], "a", **CONV), node("Relu", ["a"], "out")], ["FusedConv"]),
    "no bias": ([node("Conv", ["images", "w"], "a", **CONV), node("Relu", ["a"], "out")], ["FusedConv"]),
    "residual": (
        [node("Conv", ["images", "w", "b"], "a", **CONV), node("Add", ["images", "a"], "s"), node("Relu", ["s"], "out")],
        ["FusedConv"],
    ),
    "a sum of two convolutions takes one of them": (
        [
            node("Conv", ["images", "w", "b"], "a", **CONV),
            node("Conv", ["images", "w"], "c", **CONV),
            node("Add", ["a", "c"], "s"),
            node("Relu", ["s"], "out"),
        ],
        ["Conv", "FusedConv"],
    ),
    "a sum that broadcasts": (
        [
            node("Conv", ["images", "w", "b"], "a", **CONV),
            node("GlobalAveragePool", ["images"], "m"),
            node("Add", ["a", "m"], "s"),
            node("Relu", ["s"], "out"),
        ],
        ["GlobalAveragePool", "FusedConv"],
    ),
    "pads on one side only": (
        [node("Conv", ["images", "w"], "a", kernel_shape=[3, 3], pads=[0, 0, 2, 2]), node("Relu", ["a"], "out")],
        ["FusedConv"],
    ),
    "depthwise": ([node("Conv", ["images", "v"], "a", group=3, **CONV), node("Relu", ["a"], "out")], ["Conv", "Relu"]),
    "read by another": (
        [node("Conv", ["images", "w"], "a", **CONV), node("Relu", ["a"], "r"), node("Sub", ["r", "a"], "out")],
        ["Conv", "Relu", "Sub"],
    ),
    "added to itself": (
        [node("Conv", ["images", "w"], "a", **CONV), node("Add", ["a", "a"], "s"), node("Relu", ["s"], "out")],
        ["Conv", "Add", "Relu"],
    ),
    "silu": ([node("Sigmoid", ["images"], "g"), node("Mul", ["images", "g"], "out")], ["Silu"]),
    "silu, turned": ([node("Sigmoid", ["images"], "g"), node("Mul", ["g", "images"], "out")], ["Silu"]),
    "hard swish": ([node("HardSigmoid", ["images"], "g", **SIXTH), node("Mul", ["images", "g"], "out")], ["HardSwish"]),
    "another slope": ([node("HardSigmoid", ["images"], "g"), node("Mul", ["images", "g"], "out")], ["HardSigmoid", "Mul"]),
    "another middle": (
        [node("HardSigmoid", ["images"], "g", alpha=1 / 6, beta=0.4), node("Mul", ["images", "g"], "out")],
        ["HardSigmoid", "Mul"],
    ),
    "a gate of another tensor": (
        [node("Relu", ["images"], "r"), node("Sigmoid", ["r"], "g"), node("Mul", ["images", "g"], "out")],
        ["Relu", "Sigmoid", "Mul"],
    ),
    "a gate that is read twice": (
        [node("Sigmoid", ["images"], "g"), node("Mul", ["images", "g"], "p"), node("Add", ["p", "g"], "out")],
        ["Sigmoid", "Mul", "Add"],
    ),
}


def open_case(name: str, path: Path, device: str, precision: str = "fp32", outputs: tuple[str, ...] = ("out",)) -> TorchSession:
    nodes, _ = CASES[name]
    used = {operand for one in nodes for operand in one.input}
    weights = {key: value for key, value in WEIGHTS.items() if key in used}
    graph = write_graph(path, nodes, weights, dict.fromkeys(outputs, 4))
    return TorchSession(graph, SessionOptions(precision=precision, profile=True), torch.device(device))  # type: ignore[arg-type]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASES)
def test_fused_nodes_answer_as_the_reference(name: str, device: str, tmp_path: Path, rng: np.random.Generator) -> None:
    inputs = {"images": rng.normal(size=(2, 3, 16, 16)).astype(np.float32)}
    for precision, bound in (("fp32", 1e-5), ("fp16", 4e-3), ("bf16", 3e-2)):
        session = open_case(name, tmp_path / "graph.onnx", device, precision)
        expected = load_backend("reference").open(tmp_path / "graph.onnx", SessionOptions()).infer(inputs)["out"]
        out = session.infer(inputs)["out"]
        assert out.shape == expected.shape
        assert np.abs(out - expected).max() / np.abs(expected).max() < bound, precision
        assert [row.kind for row in session.layers()] == CASES[name][1]


def test_a_fused_step_names_all_its_sources(tmp_path: Path, rng: np.random.Generator) -> None:
    session = open_case("residual", tmp_path / "graph.onnx", "cpu")
    session.infer({"images": rng.normal(size=(1, 3, 16, 16)).astype(np.float32)})
    (row,) = session.layers()
    assert (row.name, row.source_layers) == ("a_Conv", ("a_Conv", "s_Add", "out_Relu"))
    assert row.primitive == "torch FusedConv"


@pytest.mark.parametrize(("name", "inner"), [("conv and relu", "a"), ("residual", "a"), ("residual", "s"), ("silu", "g")])
def test_nothing_is_fused_across_an_output(name: str, inner: str, tmp_path: Path, rng: np.random.Generator) -> None:
    session = open_case(name, tmp_path / "graph.onnx", "cpu", outputs=("out", inner))
    session.infer({"images": rng.normal(size=(1, 3, 16, 16)).astype(np.float32)})
    assert [row.kind for row in session.layers()] == [one.op_type for one in CASES[name][0]]


def test_a_plain_node_is_its_own_source() -> None:
    from sightline.runtime.backends.cuda.operators.operator import Node

    assert list_sources(Node("n", "Relu", ("x",), ("y",), {}, 17)) == ("n",)
