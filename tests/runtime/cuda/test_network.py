"""What a graph becomes before it runs: which steps are left, in which type of floats, and what is known beforehand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from graphs import FLOAT_GRAPHS, node, weight, write_conv_chain, write_graph
from onnx import TensorProto, helper

from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.cuda.network import BoundNetwork, TorchNetwork
from sightline.runtime.backends.table import load_backend

CPU = torch.device("cpu")
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def bind(graph: Path, precision: str = "fp32", count: int = 1, size: int = 16) -> tuple[BoundNetwork, dict[str, torch.Tensor]]:
    network = TorchNetwork(graph, precision, CPU)  # type: ignore[arg-type]
    with torch.no_grad():
        return network.bind({"images": torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3))})


def list_kinds(network: BoundNetwork) -> list[str]:
    return [bound.step.node.kind for bound in network.steps]


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("graph_name", FLOAT_GRAPHS)
def test_half_precision_stays_close_to_the_reference(graph_name: str, precision: str, tmp_path: Path) -> None:
    graph = FLOAT_GRAPHS[graph_name](tmp_path / "graph.onnx")
    images = torch.rand(2, 3, 16, 16)
    expected = load_backend("reference").open(graph, SessionOptions()).infer({"images": images.numpy()})
    with torch.no_grad():
        outputs = TorchNetwork(graph, precision, CPU).bind({"images": images})[1]  # type: ignore[arg-type]
    for name, value in expected.items():
        assert outputs[name].dtype == torch.float32
        error = np.abs(outputs[name].numpy() - value).max() / np.abs(value).max()
        assert error < (3e-2 if precision == "bf16" else 4e-3)


@pytest.mark.parametrize("precision", HALVES)
def test_everything_behind_the_last_layer_with_weights_is_fp32(precision: str, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]),
        node("Sigmoid", ["a"], "b"),
        node("Conv", ["b", "v"], "c", kernel_shape=[1, 1]),
        node("Mul", ["c", "size"], "out"),
    ]
    weights = {"w": weight(4, 3, 1, 1), "v": weight(4, 4, 1, 1), "size": np.float32(640)}
    network, _ = bind(write_graph(tmp_path / "graph.onnx", nodes, weights, {"out": 4}), precision)
    half = HALVES[precision]
    assert [bound.step.dtype for bound in network.steps] == [half, half, half, torch.float32]


def test_operators_that_half_precision_would_overflow_and_what_leads_to_them_alone_are_fp32(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["images", "w"], "n", kernel_shape=[1, 1]),
        node("Neg", ["n"], "m"),
        node("Neg", ["m"], "a"),
        node("Exp", ["a"], "b"),
        node("Log", ["b"], "c"),
        node("Conv", ["c", "v"], "out", kernel_shape=[1, 1]),
    ]
    weights = {"w": 30 * np.ones((4, 3, 1, 1), np.float32), "v": weight(4, 4, 1, 1)}
    network, outputs = bind(write_graph(tmp_path / "graph.onnx", nodes, weights, {"out": 4}), "fp16")
    assert [bound.step.dtype for bound in network.steps] == [torch.float16, *[torch.float32] * 4, torch.float16]
    assert torch.isfinite(outputs["out"]).all()  # e to the 45 is beyond FP16


def write_layer_norm(path: Path) -> Path:
    """Normalised over the channels, written out as exporters do; the variance is above 65504."""
    nodes = [
        node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]),
        node("ReduceMean", ["a"], "mean", axes=[1]),
        node("Sub", ["a", "mean"], "centred"),
        node("Pow", ["centred", "two"], "squares"),
        node("ReduceMean", ["squares"], "variance", axes=[1]),
        node("Add", ["variance", "epsilon"], "b"),
        node("Sqrt", ["b"], "spread"),
        node("Div", ["centred", "spread"], "c"),
        node("Conv", ["c", "v"], "out", kernel_shape=[1, 1]),
    ]
    weights = {"w": 1000 * weight(4, 3, 1, 1), "v": weight(4, 4, 1, 1), "two": np.float32(2), "epsilon": np.float32(1e-12)}
    return write_graph(path, nodes, weights, {"out": 4})


def write_l2_normalisation(path: Path) -> Path:
    """`x / max(|x|, 1e-12)`, as PyTorch's `normalize` is exported, of vectors some of which are 0."""
    nodes = [
        node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]),
        node("Relu", ["a"], "b"),
        node("ReduceL2", ["b"], "norm", axes=[1]),
        node("Clip", ["norm", "least"], "c"),
        node("Div", ["b", "c"], "d"),
        node("Conv", ["d", "v"], "out", kernel_shape=[1, 1]),
    ]
    weights = {"w": -(weight(4, 3, 1, 1) ** 2), "v": weight(4, 4, 1, 1), "least": np.float32(1e-12)}
    return write_graph(path, nodes, weights, {"out": 4})


def write_far_places(path: Path) -> Path:
    """Rows of a table by their places, of which half precision knows each second or less."""
    nodes = [
        node("Mul", ["images", "count"], "a"),
        node("Cast", ["a"], "places", to=TensorProto.INT64),
        node("Gather", ["table", "places"], "rows"),
        node("MatMul", ["rows", "w"], "out"),
    ]
    weights = {"count": np.float32(4095), "table": weight(4096, 8), "w": weight(8, 4)}
    return write_graph(path, nodes, weights, {"out": 5})


def write_loose_bounds(path: Path) -> Path:
    """A bound that stands for none, and lies beyond FP16."""
    nodes = [
        node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]),
        node("Clip", ["a", "zero", "most"], "b"),
        node("Conv", ["b", "v"], "out", kernel_shape=[1, 1]),
    ]
    weights = {"w": weight(4, 3, 1, 1), "v": weight(4, 4, 1, 1), "zero": np.float32(0), "most": np.float32(3e38)}
    return write_graph(path, nodes, weights, {"out": 4})


def write_large_mean(path: Path) -> Path:
    """Three numbers that FP16 has, and their mean, but not their sum."""
    nodes = [
        node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]),
        node("Mean", ["a", "a", "a"], "b"),
        node("Conv", ["b", "v"], "out", kernel_shape=[1, 1]),
    ]
    weights = {"w": np.full((4, 3, 1, 1), 15000, np.float32), "v": 1e-3 * weight(4, 4, 1, 1)}
    return write_graph(path, nodes, weights, {"out": 4})


WIDE_GRAPHS = {
    write.__name__: write
    for write in (write_layer_norm, write_l2_normalisation, write_far_places, write_loose_bounds, write_large_mean)
}


@pytest.mark.parametrize("name", WIDE_GRAPHS)
def test_what_fp16_would_overflow_or_lose_between_layers_is_fp32(name: str, tmp_path: Path) -> None:
    graph = WIDE_GRAPHS[name](tmp_path / "graph.onnx")
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    expected = load_backend("reference").open(graph, SessionOptions()).infer({"images": images.numpy()})["out"]
    np.testing.assert_allclose(bind(graph, "fp16")[1]["out"], expected, atol=1e-2 * max(1e-3, np.abs(expected).max()))


def write_shape_arithmetic(path: Path) -> Path:
    """Flattens all but the batch, as exporters write it: the target of the Reshape follows from the input's shape."""
    nodes = [
        node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]),
        node("Shape", ["a"], "shape"),
        node("Gather", ["shape", "first"], "batch", axis=0),
        node("Concat", ["batch", "rest"], "target", axis=0),
        node("Reshape", ["a", "target"], "out"),
    ]
    weights = {"w": weight(4, 3, 1, 1), "first": np.array([0]), "rest": np.array([-1])}
    return write_graph(path, nodes, weights, {"out": 2})


@pytest.mark.parametrize("count", [1, 3])
def test_what_follows_from_shapes_is_computed_when_it_is_bound(count: int, tmp_path: Path) -> None:
    network, outputs = bind(write_shape_arithmetic(tmp_path / "graph.onnx"), count=count)
    assert list_kinds(network) == ["Conv", "Reshape"]
    assert outputs["out"].shape == (count, 4 * 16 * 16)


def test_a_tensor_whose_shape_is_asked_for_last_is_let_go(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]),
        node("GlobalAveragePool", ["a"], "b"),
        node("Shape", ["a"], "shape"),
        node("Expand", ["b", "shape"], "out"),
    ]
    network, _ = bind(write_graph(tmp_path / "graph.onnx", nodes, {"w": weight(4, 3, 1, 1)}, {"out": 4}))
    assert "a" in network.steps[1].dropped
    assert network.run({"images": torch.rand(1, 3, 16, 16)})["out"].shape == (1, 4, 16, 16)


def test_a_network_bound_for_one_shape_runs_again_and_again(tmp_path: Path) -> None:
    graph = write_conv_chain(tmp_path / "graph.onnx")
    reference = load_backend("reference").open(graph, SessionOptions())
    network, _ = bind(graph, count=2)
    for seed in range(3):
        images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            found = network.run({"images": images})["logits"].numpy()
        np.testing.assert_allclose(found, reference.infer({"images": images.numpy()})["logits"], rtol=1e-4, atol=1e-5)


def test_weights_that_are_stored_as_integers_are_computed_once(tmp_path: Path) -> None:
    nodes = [
        node("DequantizeLinear", ["stored", "scale", "zero"], "w"),
        node("Conv", ["images", "w"], "out", kernel_shape=[1, 1]),
    ]
    weights = {"stored": np.arange(12, dtype=np.int8).reshape(4, 3, 1, 1), "scale": np.float32(0.5), "zero": np.int8(2)}
    network, outputs = bind(write_graph(tmp_path / "graph.onnx", nodes, weights, {"out": 4}))
    assert list_kinds(network) == ["Conv"]
    assert outputs["out"].shape == (1, 4, 16, 16)


def test_an_output_that_depends_on_no_picture_is_there_each_time(tmp_path: Path) -> None:
    nodes = [node("Relu", ["images"], "out"), node("Identity", ["anchors"], "priors")]
    graph = write_graph(tmp_path / "graph.onnx", nodes, {"anchors": np.ones((1, 4), np.float32)}, {"out": 4, "priors": 2})
    network, outputs = bind(graph)
    again = network.run({"images": torch.rand(1, 3, 16, 16)})
    assert outputs["priors"].tolist() == again["priors"].tolist() == [[1, 1, 1, 1]]


def test_sizes_that_depend_on_the_picture_are_refused_and_named(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMax", ["images"], "most", keepdims=0),
        node("Cast", ["most"], "count", to=TensorProto.INT64),
        node("Reshape", ["count", "one"], "target"),
        node("Reshape", ["images", "target"], "out"),
    ]
    graph = write_graph(tmp_path / "graph.onnx", nodes, {"one": np.array([1])}, {"out": 1})
    with pytest.raises(Unsupported, match=r"input 1 of out_Reshape \(Reshape\) to be known before a picture is, got 'target'"):
        bind(graph)


def test_every_operator_that_is_not_offered_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["images"], ["a"], "first"), helper.make_node("Unique", ["images"], ["b"], "second")],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in ("a",)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "g.onnx")
    with pytest.raises(Unsupported, match=r"first.*; .*second"):
        TorchNetwork(tmp_path / "g.onnx", "fp32", CPU)


def test_operators_of_other_domains_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("FusedConv", ["images"], ["a"], domain="com.microsoft")],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [4])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "g.onnx")
    with pytest.raises(Unsupported, match=r"got com\.microsoft\.FusedConv"):
        TorchNetwork(tmp_path / "g.onnx", "fp32", CPU)


def save_graph(path: Path, nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], output: str) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])
    sparse = helper.make_sparse_tensor(
        onnx.numpy_helper.from_array(np.ones(1, np.float32), "sparse"),
        helper.make_tensor("i", TensorProto.INT64, [1], [0]),
        [4],
    )
    graph.sparse_initializer.append(sparse)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("name", "output"), [("absent", "a"), ("sparse", "a"), ("later", "a"), ("images", "absent")])
def test_a_tensor_that_nobody_gives_is_refused_by_name(name: str, output: str, tmp_path: Path) -> None:
    nodes = [node("Add", ["images", name], "a"), node("Relu", ["a"], "later")]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [4])
    graph = save_graph(tmp_path / "graph.onnx", nodes, [images], output)
    wrong = name if output == "a" else output
    with pytest.raises(InvalidInput, match=f"expected {wrong!r}, which .* from an input, a dense weight or an earlier node"):
        TorchNetwork(graph, "fp32", CPU)


def test_an_input_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    images = helper.make_tensor_sequence_value_info("images", TensorProto.FLOAT, None)
    graph = save_graph(tmp_path / "graph.onnx", [node("Relu", ["images"], "a")], [images], "a")
    with pytest.raises(Unsupported, match="expected tensors, got 'images'"):
        TorchNetwork(graph, "fp32", CPU)


def test_operands_that_pytorch_refuses_are_an_error_with_the_node(tmp_path: Path) -> None:
    nodes = [node("Conv", ["images", "w"], "a", kernel_shape=[1, 1]), node("Add", ["a", "wrong"], "out")]
    graph = write_graph(tmp_path / "graph.onnx", nodes[:1], {"w": weight(4, 3, 1, 1)}, {"a": 4})
    model = onnx.load(graph)
    model.graph.node.append(nodes[1])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 5, 1, 1), np.float32), "wrong"))
    model.graph.output[0].name = "out"
    onnx.save(model, graph)
    with pytest.raises(InvalidInput, match=r"cannot run out_Add \(Add\)"):
        bind(graph)
