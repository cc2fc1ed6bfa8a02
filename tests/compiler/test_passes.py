"""Graph passes make a graph smaller, keep its names, and never its wrong answers."""

from pathlib import Path

import numpy as np
import onnx
import onnxslim
import pytest
from onnx import numpy_helper

from sightline.compiler.graphs import count_operators
from sightline.compiler.importers.onnx.forms import open_unoptimised
from sightline.compiler.passes import PassRow, simplify_graph
from sightline.core.errors import InvalidInput
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

PLAIN = """<ir_version: 8, opset_import: ["" : 17]>
net (float[batch, 3, 8, 8] x) => (float[batch, 4] scores, float[batch, 4, 8, 8] map) {
    [conv1] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
    [norm1] n = BatchNormalization <epsilon = 0.001> (c, s, b, m, v)
    [relu1] r = Relu (n)
    [drop1] d = Dropout (r)
    [same1] i = Identity (d)
    [unused] u = Sigmoid (i)
    [lrn1] l = LRN <size = 3, alpha = 0.0002, beta = 0.75, bias = 2.0> (i)
    [scale] k = Mul (one, two)
    [conv2] map = Conv <kernel_shape = [1, 1]> (l, v2)
    [pool] p = GlobalAveragePool (map)
    [times] t = Mul (p, k)
    [shape] sh = Shape (t)
    [first] f = Gather (sh, zero)
    [open] o = Unsqueeze (f, zeros)
    [join] j = Concat <axis = 0> (o, minus)
    [flat] scores = Reshape (t, j)
}"""


def make_plain() -> onnx.ModelProto:
    rng = np.random.default_rng(5)
    weights = {
        "w": rng.standard_normal((4, 3, 3, 3)),
        "v2": rng.standard_normal((4, 4, 1, 1)),
        **{name: rng.standard_normal(4) for name in "sbm"},
        "v": rng.uniform(0.5, 2, 4),
        "one": np.array(1.5),
        "two": np.array(2.0),
    }
    integers = {"zero": np.array(0), "zeros": np.array([0]), "minus": np.array([-1])}
    return make_graph(PLAIN, {name: values.astype(np.float32) for name, values in weights.items()} | integers)


def make_graph(text: str, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in weights.items())
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, batch: np.ndarray) -> list[np.ndarray]:
    return open_unoptimised(model).run(None, {model.graph.input[0].name: batch})


def find_row(rows: list[PassRow], name: str) -> PassRow:
    return next(row for row in rows if row.name == name)


def test_graph_is_smaller_and_answers_the_same_for_any_batch() -> None:
    model = make_plain()
    before = model.SerializeToString()
    simple, rows = simplify_graph(model)
    assert model.SerializeToString() == before
    counts = count_operators(simple)
    assert {"BatchNormalization", "Dropout", "Identity", "Sigmoid", "Shape", "Gather"} & set(counts) == set()
    assert counts["LRN"] == 1
    assert counts["Conv"] == 2
    assert rows[0].nodes_before == len(model.graph.node)
    assert rows[-1].nodes_after == len(simple.graph.node)
    assert all(row.dropped is None for row in rows)
    for size in (1, 5):
        batch = np.random.default_rng(size).standard_normal((size, 3, 8, 8), dtype=np.float32)
        for expected, got in zip(run(model, batch), run(simple, batch), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_is_folded_by_its_formula() -> None:
    """Kernel times s / sqrt(v + epsilon), bias b - m * that: Ioffe and Szegedy 2015, section 3.1."""
    model = make_plain()
    simple, _ = simplify_graph(model)
    own = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = {tensor.name: numpy_helper.to_array(tensor) for tensor in simple.graph.initializer}
    conv = next(node for node in simple.graph.node if node.name == "conv1")
    factor = own["s"] / np.sqrt(own["v"] + 1e-3)
    np.testing.assert_allclose(made[conv.input[1]], own["w"] * factor[:, None, None, None], rtol=1e-5)
    np.testing.assert_allclose(made[conv.input[2]], own["b"] - own["m"] * factor, rtol=1e-4, atol=1e-6)


def test_names_ends_opset_and_free_batch_are_kept() -> None:
    model = make_plain()
    simple, _ = simplify_graph(model)
    assert {node.name for node in simple.graph.node} <= {node.name for node in model.graph.node}
    assert {"conv1", "relu1", "lrn1", "conv2", "pool"} <= {node.name for node in simple.graph.node}
    assert [value.name for value in simple.graph.output] == ["scores", "map"]
    assert simple.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert simple.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert simple.opset_import[0].version == 17
    assert simple.ir_version <= 10


def test_padding_with_zero_before_a_max_pool_stays_outside_of_it(tmp_path: Path) -> None:
    """tiny-YOLOv2's stride-1 pool behind LeakyReLU: MaxPool pads with -inf, so folding the Pad of zeros in changes the answer.

    ONNX Runtime's own fusion of the two does so (onnxruntime issue 24737).
    """
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[batch, 3, 13, 13] x) => (float[batch, 8, 13, 13] y) {
        [conv] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
        [leaky] l = LeakyRelu <alpha = 0.1> (c)
        [pad] p = Pad (l, sides, nought)
        [pool] m = MaxPool <kernel_shape = [2, 2], strides = [1, 1]> (p)
        [last] y = Conv <kernel_shape = [1, 1]> (m, v)
    }"""
    rng = np.random.default_rng(1)
    weights = {
        "w": rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "v": rng.standard_normal((8, 8, 1, 1)).astype(np.float32),
        "sides": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        "nought": np.array(0, np.float32),
    }
    model = make_graph(text, weights)
    batch = rng.standard_normal((2, 3, 13, 13), dtype=np.float32) - 1  # mostly negative sums: zeros win at the edge
    simple, rows = simplify_graph(model)
    assert all(row.dropped is None for row in rows)
    assert [node.name for node in simple.graph.node if node.op_type in ("Pad", "MaxPool")] == ["pad", "pool"]
    values = numpy_leaky_pool(model, batch)
    np.testing.assert_allclose(run(simple, batch)[0], values, rtol=1e-4, atol=1e-4)
    onnx.save(simple, tmp_path / "simple.onnx")
    for engine in ("onnxruntime", "openvino"):
        session = load_backend(engine).open(tmp_path / "simple.onnx", SessionOptions())
        np.testing.assert_allclose(session.infer({"x": batch})["y"], values, rtol=1e-3, atol=1e-3)
        session.close()


def numpy_leaky_pool(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    """The same by slow loops: convolution, leaky ReLU, a row and column of zeros, maximum of 2 x 2, 1 x 1 convolution."""
    weights = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer}
    padded = np.pad(batch.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    conv = np.zeros((len(batch), 8, 13, 13))
    for row in range(13):
        for column in range(13):
            window = padded[:, :, row : row + 3, column : column + 3]
            conv[:, :, row, column] = np.einsum("nchw,ochw->no", window, weights["w"])
    leaky = np.pad(np.where(conv > 0, conv, 0.1 * conv), ((0, 0), (0, 0), (0, 1), (0, 1)))
    corners = [leaky[:, :, y : y + 13, x : x + 13] for y in (0, 1) for x in (0, 1)]
    return np.einsum("nchw,oc->nohw", np.max(corners, axis=0), weights["v"][:, :, 0, 0])


def test_equal_constants_are_shared_but_no_layers_weights() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[batch, 3, 8, 8] x) => (float[batch, 3, 8, 8] y) {
        [conv1] c = Conv <kernel_shape = [1, 1]> (x, w1, b1)
        [add1] a = Add (c, k1)
        [relu1] r = Relu (a)
        [conv2] d = Conv <kernel_shape = [1, 1]> (r, w2, b2)
        [clip2] e = Relu (d)
        [add2] y = Add (e, k2)
    }"""
    kernel, bias = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), np.ones(3, np.float32)
    offset = np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8)
    model = make_graph(text, {"w1": kernel, "w2": kernel, "b1": bias, "b2": bias, "k1": offset, "k2": offset})
    simple, rows = simplify_graph(model)
    inputs = {node.name: list(node.input) for node in simple.graph.node}
    assert inputs["add1"][1] == inputs["add2"][1]
    assert not {*inputs["conv1"][1:]} & {*inputs["conv2"][1:]}
    assert find_row(rows, "duplicate constants").weights_after == 5


def test_quantised_graph_keeps_its_pairs_and_loses_dead_nodes_only() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[batch, 3, 8, 8] x) => (float[batch, 3, 8, 8] y) {
        [q1] q = QuantizeLinear (x, scale, zero)
        [d1] d = DequantizeLinear (q, scale, zero)
        [dw] w = DequantizeLinear (wq, scale, szero)
        [conv] c = Conv <kernel_shape = [1, 1]> (d, w)
        [dead] u = Sigmoid (c)
        [q2] r = QuantizeLinear (c, scale, zero)
        [d2] y = DequantizeLinear (r, scale, zero)
    }"""
    weights = {"scale": np.float32(0.05), "zero": np.uint8(128), "szero": np.int8(0)}
    wq = np.random.default_rng(0).integers(-128, 128, (3, 3, 1, 1)).astype(np.int8)
    model = make_graph(text, {name: np.asarray(values) for name, values in weights.items()} | {"wq": wq})
    simple, rows = simplify_graph(model)
    assert [node.name for node in simple.graph.node] == ["q1", "d1", "dw", "conv", "q2", "d2"]
    assert [(row.nodes_before, row.nodes_after, row.dropped) for row in rows] == [(7, 6, None)]


def break_weights(model: onnx.ModelProto, **_: object) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.01, "w"))
    model.graph.node[0].doc_string = "touched"
    return model


def lose_numbers(model: onnx.ModelProto, **_: object) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == "v2":
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(tensor), np.nan), "v2"))
    model.graph.node[0].doc_string = "touched"
    return model


def break_graph(model: onnx.ModelProto, **_: object) -> onnx.ModelProto:
    model.graph.node[0].input[0] = "nowhere"
    return model


def break_batch(model: onnx.ModelProto, **_: object) -> onnx.ModelProto:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    model.graph.node[0].doc_string = "touched"
    return model


@pytest.mark.parametrize(
    ("rewrite", "reason"),
    [
        (break_weights, "changed the outputs by"),
        (lose_numbers, "changed the outputs by inf"),
        (break_graph, "nowhere"),
        (break_batch, "changed the graph's inputs"),
    ],
)
def test_pass_that_goes_wrong_is_dropped_and_said_so(rewrite: object, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxslim, "slim", rewrite)
    model = make_plain()
    simple, rows = simplify_graph(model)
    slim_rows = [row for row in rows if row.name != "duplicate constants"]
    assert all(row.dropped and reason in row.dropped for row in slim_rows)
    assert all(row.nodes_after == row.nodes_before for row in slim_rows)
    left = count_operators(model)
    del left["Sigmoid"]  # the last pass, which is ours, drops it
    assert count_operators(simple) == left
    batch = np.random.default_rng(2).standard_normal((2, 3, 8, 8), dtype=np.float32)
    np.testing.assert_array_equal(run(simple, batch)[0], run(model, batch)[0])


def test_graph_that_does_not_run_is_refused() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[batch, 3, 8, 8] x) => (float[batch, 7] y) {
        y = Reshape (x, seven)
    }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 7]), "seven"))
    with pytest.raises(InvalidInput, match="does not run on a batch of noise"):
        simplify_graph(model)
