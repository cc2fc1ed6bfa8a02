from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy import SPEC

from sightline.compiler.graphs import (
    SourceMap,
    count_flops,
    count_operators,
    count_weights,
    expose_tensors,
    load_graph,
    save_graph,
)
from sightline.compiler.importers.onnx.forms import open_unoptimised
from sightline.core.errors import InvalidInput


def make_graph(opset: int = 17, ir_version: int = 8) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["a"], "conv", group=3),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("ConvTranspose", ["b", "t"], ["c"], "up", strides=[2, 2]),
        helper.make_node("Add", ["c", "one"], ["y"], "add"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 24, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.ones((6, 1, 3, 3), np.float32), "w"),
            numpy_helper.from_array(np.ones((6, 2, 2, 2), np.float32), "t"),
            numpy_helper.from_array(np.float32(1), "one"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def test_operations_are_counted_by_hand() -> None:
    # Conv: 22 x 22 x 6 outputs of 9 products. ConvTranspose: 22 x 22 x 6 inputs, each times 2 x 2 x 2 weights.
    assert count_flops(make_graph(), SPEC) == 2 * (22 * 22 * 6 * 9 + 22 * 22 * 6 * 8)


def test_weights_and_operators_are_counted() -> None:
    assert count_weights(make_graph()) == 6 * 9 + 6 * 8
    assert count_operators(make_graph()) == {"Add": 1, "Conv": 1, "ConvTranspose": 1, "Relu": 1}


def test_a_saved_graph_is_readable_by_old_engines(tmp_path: Path) -> None:
    save_graph(make_graph(ir_version=12), tmp_path / "graph.onnx")
    assert load_graph(tmp_path / "graph.onnx").ir_version == 10
    with pytest.raises(InvalidInput, match="opset <= 18, got 21"):
        save_graph(make_graph(opset=21), tmp_path / "new.onnx")


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no graph at all")
    with pytest.raises(InvalidInput, match="expected an ONNX file"):
        load_graph(tmp_path / "x.onnx")


def test_tensors_inside_are_computed_too() -> None:
    model = make_graph()
    before = model.SerializeToString()
    for keep_outputs, expected in ((True, ["y", "b", "a"]), (False, ["b", "y", "a"])):
        shown = expose_tensors(model, ["b", "images", "y", "b", "a"], keep_outputs)
        session = open_unoptimised(shown)
        found = dict(zip(expected, session.run(None, {"images": -np.ones((2, 3, 24, 24), np.float32)}), strict=True))
        assert [value.name for value in session.get_outputs()] == expected
        assert found["a"].shape == found["b"].shape == (2, 6, 22, 22)
        assert np.all(found["a"] == -9)  # nine pixels of -1, by hand
        assert not found["b"].any()
        assert np.all(found["y"] == 1)
    assert model.SerializeToString() == before


def test_tensors_that_are_no_floats_are_shown_as_they_are() -> None:
    model = make_graph()
    model.graph.node.append(helper.make_node("Shape", ["b"], ["sizes"]))
    session = open_unoptimised(expose_tensors(model, ["sizes"], keep_outputs=False))
    (sizes,) = session.run(None, {"images": np.ones((2, 3, 24, 24), np.float32)})
    assert sizes.tolist() == [2, 6, 22, 22]
    assert expose_tensors(model, [], keep_outputs=False).graph.output == []


def test_layers_named_after_their_first_node_take_what_follows() -> None:
    sources = SourceMap(make_graph(), {"reorder": (), "conv": (), "up/WithoutBiases": ()})
    assert sources.sources("conv") == ("conv", "relu")
    assert sources.sources("up/WithoutBiases") == ("up", "add")
    assert sources.sources("reorder") == ()


def test_layers_named_after_their_last_tensor_take_what_precedes() -> None:
    sources = SourceMap(make_graph(), {"b_nchwc": (), "y": ()})
    assert sources.sources("b_nchwc") == ("conv", "relu")
    assert sources.sources("y") == ("up", "add")


def test_what_the_engine_lists_itself_is_kept() -> None:
    assert SourceMap(make_graph(), {"x": ("conv", "relu", "made up"), "up": ()}).sources("x") == ("conv", "relu")
