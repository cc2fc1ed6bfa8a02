"""Layers go to the first device that declares them; parts are convex, as large as they can be, and fit together by name."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from graphs import FLOAT_GRAPHS, Nodes, Weights, node, weight, write_graph

from sightline.compiler.placing.placement import LayerPlacement, list_places, place_layers, split_graph
from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import DEVICES, Device, OperatorRule

FPGA, CPU = DEVICES["fpga-emulator"], DEVICES["cpu"]
SAME = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
CONV = {"w": weight(3, 3, 3, 3)}


def load(path: Path, nodes: Nodes, weights: Weights, outputs: dict[str, int]) -> onnx.ModelProto:
    return onnx.load(write_graph(path / "graph.onnx", nodes, weights, outputs))


def show(placements: list[LayerPlacement]) -> list[tuple[str, str]]:
    return [(part.device, " ".join(row.layer.split("_")[0] for row in part.rows)) for part in placements]


def run_parts(
    model: onnx.ModelProto, placements: list[LayerPlacement], images: np.ndarray, folder: Path
) -> dict[str, np.ndarray]:
    tensors = {"images": images}
    for place, part in enumerate(split_graph(model, placements)):
        path = folder / f"part{place}.onnx"
        onnx.checker.check_model(part, full_check=True)
        onnx.save(part, path)
        session = load_backend("reference").open(path, SessionOptions())
        tensors |= session.infer({name: tensors[name] for name in session.input_names})
    return tensors


def assert_parts_compute_the_whole(path: Path, placements: list[LayerPlacement], rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 3, 16, 16)).astype(np.float32)
    expected = load_backend("reference").open(path, SessionOptions()).infer({"images": images})
    tensors = run_parts(onnx.load(path), placements, images, path.parent)
    for name, value in expected.items():
        np.testing.assert_array_equal(tensors[name], value)


def test_a_network_that_fits_is_one_part(tmp_path: Path) -> None:
    model = load(tmp_path, [node("Conv", ["images", "w"], "a", **SAME), node("Relu", ["a"], "b")], CONV, {"b": 4})
    placements = place_layers(model, [FPGA, CPU])
    assert show(placements) == [("fpga-emulator", "a b")]
    assert [row.reason for row in list_places(placements)] == ["", ""]


def test_an_unsupported_tail_goes_to_the_cpu_and_says_why(tmp_path: Path, rng: np.random.Generator) -> None:
    path = FLOAT_GRAPHS["bilinear_softmax"](tmp_path / "graph.onnx")
    placements = place_layers(onnx.load(path), [FPGA, CPU])
    assert show(placements) == [("fpga-emulator", "a"), ("cpu", "b out")]
    assert [row.reason for row in list_places(placements)][1:] == [
        "fpga-emulator has no operator Resize",
        "fpga-emulator has no operator Softmax",
    ]
    assert_parts_compute_the_whole(path, placements, rng)


@pytest.mark.parametrize("graph_name", FLOAT_GRAPHS)
def test_parts_run_in_order_compute_the_whole(graph_name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    path = FLOAT_GRAPHS[graph_name](tmp_path / "graph.onnx")
    assert_parts_compute_the_whole(path, place_layers(onnx.load(path), [FPGA, CPU]), rng)


def test_a_branch_around_an_unsupported_layer_makes_no_cycle(tmp_path: Path, rng: np.random.Generator) -> None:
    """conv -> sigmoid (CPU) -> add <- conv: joining both convolutions with the sum would wait for itself."""
    nodes = [
        node("Conv", ["images", "w"], "a", **SAME),
        node("Sigmoid", ["a"], "s"),
        node("Conv", ["s", "w"], "b", **SAME),
        node("Add", ["a", "b"], "c"),
    ]
    model = load(tmp_path, nodes, CONV, {"c": 4})
    placements = place_layers(model, [FPGA, CPU])
    assert show(placements) == [("fpga-emulator", "a"), ("cpu", "s"), ("fpga-emulator", "b c")]
    assert_parts_compute_the_whole(tmp_path / "graph.onnx", placements, rng)


def test_a_late_layer_joins_an_early_part_where_no_path_runs_between(tmp_path: Path, rng: np.random.Generator) -> None:
    """images -> conv a; images -> sigmoid (CPU) -> conv b: neither needs the other, so one part behind the sigmoid has both."""
    nodes = [
        node("Conv", ["images", "w"], "a", **SAME),
        node("Sigmoid", ["images"], "s"),
        node("Conv", ["s", "w"], "b", **SAME),
        node("Add", ["a", "b"], "c"),
    ]
    model = load(tmp_path, nodes, CONV, {"c": 4})
    placements = place_layers(model, [FPGA, CPU])
    assert show(placements) == [("cpu", "s"), ("fpga-emulator", "a b c")]
    assert_parts_compute_the_whole(tmp_path / "graph.onnx", placements, rng)


def test_a_part_without_a_heavy_layer_goes_to_the_cpu(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["images", "w"], "a", **SAME),
        node("Sigmoid", ["a"], "s"),
        node("Relu", ["s"], "r"),
        node("MaxPool", ["r"], "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Softmax", ["m"], "out", axis=1),
    ]
    placements = place_layers(load(tmp_path, nodes, CONV, {"out": 4}), [FPGA, CPU])
    assert show(placements) == [("fpga-emulator", "a"), ("cpu", "s r m out")]
    assert list_places(placements)[2].reason == "no convolution or matrix product beside it on fpga-emulator"


def test_a_device_takes_layers_until_it_is_full(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["images", "w"], "a", **SAME),
        node("Conv", ["a", "w"], "b", **SAME),
        node("Conv", ["b", "w"], "c", **SAME),
        node("Relu", ["c"], "r"),
    ]
    small = msgspec.structs.replace(FPGA, max_weights=170)  # two of 81 each
    placements = place_layers(load(tmp_path, nodes, CONV, {"r": 4}), [small, CPU])
    assert show(placements) == [("fpga-emulator", "a b"), ("cpu", "c r")]
    assert list_places(placements)[2].reason == "fpga-emulator is full: 162 of 170 weights taken, 81 more wanted"


def test_three_devices_are_tried_in_their_order(tmp_path: Path) -> None:
    only_sigmoid = Device(
        name="lookup", engines=(), precisions=(), operators={"Sigmoid": OperatorRule(), "Conv": OperatorRule()}
    )
    nodes = [node("Conv", ["images", "w"], "a", **SAME), node("Sigmoid", ["a"], "s"), node("Softmax", ["s"], "out", axis=1)]
    model = load(tmp_path, nodes, CONV, {"out": 4})
    assert show(place_layers(model, [FPGA, only_sigmoid, CPU])) == [("fpga-emulator", "a"), ("cpu", "s out")]
    assert show(place_layers(model, [only_sigmoid, CPU])) == [("lookup", "a s"), ("cpu", "out")]


def test_a_layer_that_runs_nowhere_is_refused_with_every_reason(tmp_path: Path) -> None:
    model = onnx.load(FLOAT_GRAPHS["bilinear_softmax"](tmp_path / "graph.onnx"))
    with pytest.raises(Unsupported, match=r"2 layers run on none of fpga-emulator: b_Resize .*out_Softmax"):
        place_layers(model, [FPGA])
    with pytest.raises(InvalidInput, match="at least one device"):
        place_layers(model, [])


def test_a_graph_out_of_order_is_refused(tmp_path: Path) -> None:
    nodes = [node("Relu", ["images"], "a"), node("Relu", ["a"], "b")]
    model = load(tmp_path, nodes, {}, {"b": 4})
    model.graph.node.extend([model.graph.node[0]])
    del model.graph.node[0]
    with pytest.raises(InvalidInput, match="in the order they run"):
        place_layers(model, [CPU])


def test_a_tensor_that_leaves_a_part_and_the_network_is_an_output_of_both(tmp_path: Path, rng: np.random.Generator) -> None:
    nodes = [node("Conv", ["images", "w"], "a", **SAME), node("Softmax", ["a"], "out", axis=1)]
    model = load(tmp_path, nodes, CONV, {"a": 4, "out": 4})
    placements = place_layers(model, [FPGA, CPU])
    first, second = split_graph(model, placements)
    assert [value.name for value in first.graph.output] == ["a"]
    assert [value.name for value in second.graph.input] == ["a"]
    assert second.graph.initializer == []
    assert_parts_compute_the_whole(tmp_path / "graph.onnx", placements, rng)
