from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sightline.compiler.graphs import save_graph
from sightline.compiler.quantisers.convolutions import average_patch, count_places, list_convolutions
from sightline.compiler.quantisers.equalising import balance, equalise
from sightline.compiler.quantisers.mixed import MixedQuantiser, MixedWideQuantiser, find_fewest
from sightline.compiler.quantisers.plans import Plan, make_plan
from sightline.compiler.quantisers.qdq import write_qdq
from sightline.compiler.quantisers.quantiser import Guide
from sightline.compiler.quantisers.ranges import TensorStatistics, choose_clipped, choose_whole, collect_statistics, make_range
from sightline.compiler.quantisers.rounding import round_weights
from sightline.core.errors import Exhausted, InvalidInput, Unsupported
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

SIDE = 12
SHAPES = {"w0": (8, 3, 3, 3), "b0": (8,), "w1": (8, 1, 3, 3), "w2": (4, 8, 1, 1)}


def make_network(spread: float = 1.0, alike: str = "Relu") -> onnx.ModelProto:
    """Dense, depthwise, 1 x 1, as mobile networks are made. The first layer's channels differ in size by up to `spread`."""
    rng = np.random.default_rng(3)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    sizes = np.geomspace(1, spread, 8).astype(np.float32)
    weights["w0"] *= sizes[:, None, None, None]
    weights["b0"] *= sizes
    weights["w1"] /= sizes[:, None, None, None]
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"], "first", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node(alike, ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w1"], ["c"], "depthwise", kernel_shape=[3, 3], pads=[0, 1, 0, 1], group=8),
        helper.make_node("LeakyRelu", ["c"], ["d"], "leaky", alpha=0.1),
        helper.make_node("Conv", ["d", "w2"], ["y"], "last", kernel_shape=[1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "mobile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, None, None])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_samples(count: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32) for _ in range(count)]


def run(model: onnx.ModelProto, samples: Sequence[np.ndarray], folder: Path) -> np.ndarray:
    save_graph(model, folder / "run.onnx")
    session = load_backend("reference").open(folder / "run.onnx", SessionOptions())
    found = [session.infer({"x": sample})["y"] for sample in samples]
    session.close()
    return np.concatenate(found)


def find_noise(model: onnx.ModelProto, changed: onnx.ModelProto, folder: Path) -> float:
    """Mean square of the change over that of the output."""
    exact, found = run(model, make_samples(), folder), run(changed, make_samples(), folder)
    return float(np.square(found - exact).mean() / np.square(exact).mean())


def plan_whole(model: onnx.ModelProto) -> Plan:
    seen, convolutions = look(model), list_convolutions(model)
    equalised = equalise(model, seen)
    ranges = {name: choose_whole(one) for name, one in seen.items()}
    return make_plan(equalised, "x", make_samples(), convolutions, ranges)


def look(model: onnx.ModelProto) -> dict[str, TensorStatistics]:
    return collect_statistics(model, "x", make_samples(), [one.source for one in list_convolutions(model)])


def test_convolutions_are_listed_with_what_they_read() -> None:
    first, depthwise, last = list_convolutions(make_network())
    assert (first.source, first.bias, first.strides, first.groups, first.weight_count) == ("x", "b0", (2, 2), 1, 216)
    assert (depthwise.source, depthwise.bias, depthwise.pads, depthwise.groups) == ("b", "", (0, 1, 0, 1), 8)
    assert last.kernel == (1, 1)


def test_a_convolution_whose_weights_another_shares_is_left_out() -> None:
    model = make_network()
    model.graph.node.append(helper.make_node("Conv", ["d", "w2"], ["z"], "twin", kernel_shape=[1, 1]))
    assert [one.name for one in list_convolutions(model)] == ["first", "depthwise"]


def test_places_and_mean_patch_are_those_of_a_slow_loop() -> None:
    first = list_convolutions(make_network())[0]
    image = make_samples(1)[0]
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = [padded[0, :, y : y + 3, x : x + 3] for y in range(0, SIDE, 2) for x in range(0, SIDE, 2)]
    assert count_places(first, SIDE, SIDE) == (6, 6)
    np.testing.assert_allclose(average_patch(image, first), np.mean(patches, axis=0), atol=1e-6)


def test_a_range_steps_over_a_rare_extreme_but_not_over_what_is_common() -> None:
    rng = np.random.default_rng(0)
    common = np.abs(rng.normal(size=(4, 50000))).astype(np.float32)
    seen = TensorStatistics(np.zeros(4), np.full(4, 9.0), np.minimum(common, 3), (1, 1))  # 9 came once, no sample held it
    assert choose_whole(seen).scale == pytest.approx(9 / 255)
    assert 2.9 / 255 < choose_clipped(seen).scale < 3.7 / 255


def test_a_range_holds_zero_exactly() -> None:
    found = make_range(-1.0, 2.0)
    assert found.zero_point == 85  # 255 / 3
    np.testing.assert_array_equal(found.round_trip(np.zeros(2)), [0, 0])
    assert make_range(0.0, 0.0).scale == 1.0


def test_rounding_puts_the_mean_shift_into_the_bias() -> None:
    weights = np.array([[[[1.0]], [[0.3]]]], np.float32)  # (1, 2, 1, 1): scale 1 / 127, stored 127 and 38
    plain, rounded = np.array([[[2.0]], [[5.0]]]), np.array([[[2.5]], [[5.0]]])
    found = round_weights(weights, plain, rounded, groups=1)
    assert found.stored.ravel().tolist() == [127, 38]
    assert found.bias_change[0] == pytest.approx((2 + 0.3 * 5) - (2.5 + 38 / 127 * 5))


def test_an_empty_filter_rounds_to_zeros() -> None:
    found = round_weights(np.zeros((2, 1, 3, 3), np.float32), np.ones((2, 3, 3)), np.ones((2, 3, 3)), groups=2)
    assert (found.stored == 0).all()
    assert found.scales.tolist() == [1.0, 1.0]


def test_channels_that_only_a_depthwise_convolution_reads_become_equal() -> None:
    values = np.array([[1.0, -2.0], [8.0, 4.0]], np.float32)
    factors = balance(TensorStatistics(values.min(1), values.max(1), values, (1, 2)), [np.ones((2, 1, 3, 3))], [2])
    np.testing.assert_allclose(factors, [0.5, 2.0], rtol=1e-3)  # 2 : 8 around their geometric mean 4


def test_a_dead_channel_is_left_alone() -> None:
    values = np.array([[0.0, 0.0], [8.0, 4.0]], np.float32)
    factors = balance(TensorStatistics(values.min(1), values.max(1), values, (1, 2)), [np.ones((4, 2, 1, 1))], [1])
    assert factors.tolist() == pytest.approx([1.0, 1.0])


def test_an_equalised_network_computes_the_same(tmp_path: Path) -> None:
    model = make_network(spread=100)
    assert find_noise(model, equalise(model, look(model)), tmp_path) < 1e-10


def test_equalising_lowers_the_noise_of_a_network_of_uneven_channels(tmp_path: Path) -> None:
    model = make_network(spread=100)
    names = ["first", "depthwise", "last"]
    equalised = write_qdq(plan_whole(model), names)
    uneven = make_network(spread=100, alike="Softplus")  # lets no factor pass
    plain = write_qdq(plan_whole(uneven), names)
    assert find_noise(model, equalised, tmp_path) < 1e-3
    assert find_noise(uneven, plain, tmp_path) > 4 * find_noise(model, equalised, tmp_path)


def test_what_stays_in_float_reads_the_float_tensor(tmp_path: Path) -> None:
    model = make_network()
    plan = plan_whole(model)
    written = write_qdq(plan, ["depthwise"])
    by_name = {node.name: node for node in written.graph.node}
    assert by_name["first"].input[0] == "x"
    assert by_name["last"].input[0] == "d"
    assert by_name["depthwise"].input[0] == "b_rounded"
    assert {tensor.name for tensor in written.graph.initializer if tensor.data_type == TensorProto.INT8} >= {"w1_int8"}
    assert "w1" not in {tensor.name for tensor in written.graph.initializer}
    assert find_noise(plan.model, write_qdq(plan, []), tmp_path) == 0


@pytest.mark.parametrize(("least", "found"), [(0, 0), (3, 3), (7, 7), (9, 7)])
def test_the_fewest_that_are_good_are_found_by_halving(least: int, found: int) -> None:
    assert find_fewest(7, lambda count: count >= least) == found


def count_kept(outputs: Iterable[tuple[int, Mapping[str, np.ndarray]]], exact: np.ndarray, noise: float) -> float:
    found = np.concatenate([tensors["y"] for _, tensors in outputs])
    return float(np.square(found - exact).mean() <= noise * np.square(exact).mean())


@pytest.mark.parametrize(("noise", "floats"), [(1e-1, 0), (1e-12, 1)])
def test_as_few_layers_stay_in_float_as_the_guide_asks_for(noise: float, floats: int, tmp_path: Path) -> None:
    save_graph(make_network(), tmp_path / "model.onnx")
    exact = run(make_network(), make_samples(), tmp_path)
    batches = [np.concatenate(make_samples())]
    guide = Guide(batches, lambda outputs: count_kept(outputs, exact, noise), 0.01, lambda: False)
    facts = MixedQuantiser().quantise(tmp_path / "model.onnx", tmp_path / "out.onnx", "x", make_samples(), guide)
    assert len(facts.settings["float_layers"]) == floats  # type: ignore[arg-type]  # one of three is half, rounded down
    assert facts.settings["int8_convolutions"] == f"{3 - floats} of 3"
    kept = [node for node in onnx.load(tmp_path / "out.onnx").graph.node if node.op_type == "Conv"]
    assert sum(node.input[0].endswith("_rounded") for node in kept) == 3 - floats


def test_the_wide_one_leaves_a_third_in_float_whatever_the_guide_says(tmp_path: Path) -> None:
    save_graph(make_network(), tmp_path / "model.onnx")
    guide = Guide([np.concatenate(make_samples())], lambda outputs: float(len(list(outputs))), 0.01, lambda: False)
    facts = MixedWideQuantiser().quantise(tmp_path / "model.onnx", tmp_path / "out.onnx", "x", make_samples(), guide)
    assert facts.settings["int8_convolutions"] == "2 of 3"


def test_when_time_is_over_it_says_so(tmp_path: Path) -> None:
    save_graph(make_network(), tmp_path / "model.onnx")
    guide = Guide([np.concatenate(make_samples())], lambda outputs: float(len(list(outputs))), 0.01, lambda: True)
    with pytest.raises(Exhausted, match="raise the time limit"):
        MixedQuantiser().quantise(tmp_path / "model.onnx", tmp_path / "out.onnx", "x", make_samples(), guide)


def test_both_engines_run_it(tmp_path: Path) -> None:
    model = make_network()
    save_graph(model, tmp_path / "model.onnx")
    guide = Guide([np.concatenate(make_samples(4))], lambda outputs: float(len(list(outputs)) > 0), 0.01, lambda: False)
    MixedQuantiser().quantise(tmp_path / "model.onnx", tmp_path / "out.onnx", "x", make_samples(), guide)
    exact = run(model, make_samples(), tmp_path)
    for engine in ("openvino", "onnxruntime"):
        session = load_backend(engine).open(tmp_path / "out.onnx", SessionOptions("int8"))
        found = np.concatenate([session.infer({"x": sample})["y"] for sample in make_samples()])
        session.close()
        assert np.abs(found - exact).mean() < 0.05 * np.abs(exact).mean()


def test_without_a_guide_or_a_convolution_it_is_refused_in_words(tmp_path: Path) -> None:
    save_graph(make_network(), tmp_path / "model.onnx")
    with pytest.raises(InvalidInput, match="got none; give pictures"):
        MixedQuantiser().quantise(tmp_path / "model.onnx", tmp_path / "out.onnx", "x", make_samples())
    model = make_network()
    del model.graph.node[2:]
    del model.graph.node[0]
    model.graph.node[0].input[0], model.graph.node[0].output[0] = "x", "y"
    save_graph(model, tmp_path / "none.onnx")
    guide = Guide([], lambda outputs: 1.0, 0.01, lambda: False)
    with pytest.raises(Unsupported, match="no convolution"):
        MixedQuantiser().quantise(tmp_path / "none.onnx", tmp_path / "out.onnx", "x", make_samples(), guide)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(Unsupported, match="not finite"):
        make_range(0.0, float("nan"))


def test_names_that_a_network_has_are_left_alone() -> None:
    model = make_network()
    taken = ["b_scale", "b_rounded", "w1_int8", "w1_bias", "w1_scale"]
    model.graph.initializer.extend(numpy_helper.from_array(np.array([7.0], np.float32), name) for name in taken)
    model.graph.node.append(helper.make_node("Sum", taken, ["sum"], "b_quantise"))
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1]))
    written = write_qdq(plan_whole(model), ["depthwise"])
    onnx.checker.check_model(written, full_check=True)
    (depthwise,) = (node for node in written.graph.node if node.name == "depthwise")
    assert not set(depthwise.input) & {*taken, "b", "w1"}


def test_a_constant_that_only_a_branch_reads_is_kept(tmp_path: Path) -> None:
    model = make_network()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1.0], np.float32), "offset"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    branch = helper.make_graph(
        [helper.make_node("Identity", ["offset"], ["kept"], "keep")],
        "branch",
        [],
        [helper.make_tensor_value_info("kept", TensorProto.FLOAT, [1])],
    )
    model.graph.node.append(helper.make_node("If", ["always"], ["added"], "if", then_branch=branch, else_branch=branch))
    model.graph.output.append(helper.make_tensor_value_info("added", TensorProto.FLOAT, [1]))
    written = write_qdq(plan_whole(model), ["first", "depthwise", "last"])
    assert "offset" in {tensor.name for tensor in written.graph.initializer}
    assert not {"w0", "w1", "w2"} & {tensor.name for tensor in written.graph.initializer}
    run(written, make_samples(1), tmp_path)
