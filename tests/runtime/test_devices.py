"""What a device declares decides, layer by layer, what is refused; every refusal names its reason."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from graphs import FLOAT_GRAPHS, Nodes, Weights, node, weight, write_graph

from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.runtime.backends.table import BACKENDS, make_backend
from sightline.runtime.devices import CHECKS, DEVICES, check_supported, find_device, find_unsupported, has_speed, parse_devices

FPGA = DEVICES["fpga-emulator"]
SAME = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}


def load(path: Path, nodes: Nodes, weights: Weights, outputs: dict[str, int]) -> onnx.ModelProto:
    return onnx.load(write_graph(path / "graph.onnx", nodes, weights, outputs))


def find_reason(path: Path, nodes: Nodes, weights: Weights, outputs: dict[str, int]) -> str:
    rows = find_unsupported(load(path, nodes, weights, outputs), FPGA)
    assert len(rows) == 1
    return rows[0][2]


@pytest.mark.parametrize("name", DEVICES)
def test_the_engines_of_a_device_serve_it_and_its_precisions_are_theirs(name: str) -> None:
    device = DEVICES[name]
    assert device.name == name
    for engine in device.engines:
        assert engine in BACKENDS
    if name != "reference":
        assert {make_backend(engine).device for engine in device.engines} == {name}


def test_every_named_check_exists() -> None:
    named = {check for rule in (FPGA.operators or {}).values() for check in rule.checks}
    assert named == set(CHECKS)


@pytest.mark.parametrize("graph_name", FLOAT_GRAPHS)
def test_the_cpu_takes_every_graph(graph_name: str, tmp_path: Path) -> None:
    assert find_unsupported(onnx.load(FLOAT_GRAPHS[graph_name](tmp_path / "graph.onnx")), DEVICES["cpu"]) == []


def test_a_plain_network_is_taken_whole(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["images", "w1", "b1"], "a", strides=[2, 2], **SAME),
        node("Relu", ["a"], "b"),
        node("Conv", ["b", "w2"], "c", group=4, **SAME),
        node("Add", ["b", "c"], "d"),
        node("MaxPool", ["d"], "e", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["e"], "f"),
        node("Gemm", ["f", "w3", "b3"], "logits", transB=1),
    ]
    weights = {"w1": weight(4, 3, 3, 3), "b1": weight(4), "w2": weight(4, 1, 3, 3), "w3": weight(10, 64), "b3": weight(10)}
    assert find_unsupported(load(tmp_path, nodes, weights, {"logits": 2}), FPGA) == []


def test_all_layers_that_do_not_fit_are_named_with_their_reasons(tmp_path: Path) -> None:
    rows = find_unsupported(onnx.load(FLOAT_GRAPHS["bilinear_softmax"](tmp_path / "graph.onnx")), FPGA)
    assert rows == [
        ("b_Resize", "Resize", "fpga-emulator has no operator Resize"),
        ("out_Softmax", "Softmax", "fpga-emulator has no operator Softmax"),
    ]
    with pytest.raises(Unsupported, match=r"2 layers .*b_Resize.*out_Softmax.*hetero:fpga-emulator,cpu"):
        check_supported(onnx.load(tmp_path / "graph.onnx"), FPGA)


@pytest.mark.parametrize(
    ("attributes", "shape", "reason"),
    [
        ({"dilations": [2, 2], "kernel_shape": [3, 3], "pads": [2, 2, 2, 2]}, (4, 3, 3, 3), "expected dilations 1, got"),
        ({"auto_pad": "SAME_UPPER", "kernel_shape": [3, 3]}, (4, 3, 3, 3), "expected auto_pad NOTSET or VALID"),
        ({"group": 3, **SAME}, (6, 1, 3, 3), "3 groups, 3 channels and 6 filters"),
        ({"kernel_shape": [1, 3], "strides": [2, 2]}, (4, 3, 1, 3), "to stride over rows, got 1x3 and stride 2"),
        ({"kernel_shape": [1, 1], "strides": [2, 2], "group": 3}, (3, 1, 1, 1), "to stride over rows, got 1x1 and stride 2"),
    ],
)
def test_convolutions_of_other_kinds_are_refused(
    attributes: dict[str, object], shape: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    assert reason in find_reason(tmp_path, [node("Conv", ["images", "w"], "a", **attributes)], {"w": weight(*shape)}, {"a": 4})


def test_convolutions_that_stride_in_ways_that_are_built_right_are_taken(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["images", "pointwise"], "a", kernel_shape=[1, 1], strides=[2, 2]),
        node("Conv", ["images", "row"], "b", kernel_shape=[1, 3], strides=[1, 2]),
        node("Conv", ["images", "column"], "c", kernel_shape=[3, 1], strides=[2, 2]),
    ]
    weights = {"pointwise": weight(4, 3, 1, 1), "row": weight(4, 3, 1, 3), "column": weight(4, 3, 3, 1)}
    assert find_unsupported(load(tmp_path, nodes, weights, {"a": 4, "b": 4, "c": 4}), FPGA) == []


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"kernel_shape": [2, 2]}, "windows that touch"),  # ONNX's default stride is 1
        ({"kernel_shape": [3, 3], "strides": [2, 2]}, "windows that touch"),
        ({"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}, "expected pads 0"),
        ({"kernel_shape": [3, 3], "strides": [3, 3], "ceil_mode": 1}, "expected ceil_mode 0"),
    ],
)
def test_pools_that_overlap_or_leave_the_picture_are_refused(
    attributes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    assert reason in find_reason(tmp_path, [node("MaxPool", ["images"], "a", **attributes)], {}, {"a": 4})


def test_weights_that_come_from_a_layer_are_refused(tmp_path: Path) -> None:
    nodes = [node("Flatten", ["images"], "f"), node("MatMul", ["f", "m"], "a"), node("Add", ["a", "b"], "out")]
    reason = find_reason(tmp_path, nodes, {"m": weight(768, 4), "b": weight(4)}, {"out": 2})
    assert "got the constant 'b'" in reason


def test_a_flattened_picture_that_no_matrix_reads_is_refused(tmp_path: Path) -> None:
    nodes = [node("Flatten", ["images"], "f"), node("Relu", ["f"], "out")]
    assert find_reason(tmp_path, nodes, {}, {"out": 2}) == "expected matrix products behind it, got Relu"


def test_a_bias_that_is_no_bias_for_each_output_is_refused(tmp_path: Path) -> None:
    nodes = [node("Flatten", ["images"], "f"), node("Gemm", ["f", "m", "b"], "out")]
    reason = find_reason(tmp_path, nodes, {"m": weight(768, 4), "b": np.zeros((1,), np.float32)}, {"out": 2})
    assert reason == "expected a bias for each output, got shape (1,)"


def test_an_operator_of_another_domain_is_refused_though_its_name_is_known(tmp_path: Path) -> None:
    model = load(tmp_path, [node("Relu", ["images"], "out")], {}, {"out": 4})
    model.graph.node[0].domain = "com.example"
    with pytest.raises(InvalidInput, match="No opset import"):
        find_unsupported(model, FPGA)
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    assert find_unsupported(model, FPGA)[0][2] == "fpga-emulator has no operator Relu"


def test_limits_are_those_of_the_whole_network(tmp_path: Path) -> None:
    model = load(tmp_path, [node("Conv", ["images", "w"], "a", **SAME)], {"w": weight(8, 3, 3, 3)}, {"a": 4})
    small = msgspec.structs.replace(FPGA, max_weights=215, max_multiplications=55_295)  # it has 216 weights, at 16 x 16 places
    assert [reason for _, kind, reason in find_unsupported(model, small) if kind == "network"] == [
        "216 weights, fpga-emulator takes 215",
        "55,296 multiplications, fpga-emulator takes 55,295",
    ]
    exact = msgspec.structs.replace(FPGA, max_weights=216, max_multiplications=55_296, max_tensor=2048)
    assert find_unsupported(model, exact) == []
    narrow = msgspec.structs.replace(FPGA, max_tensor=2047)
    assert "a tensor of 2,048 numbers" in find_unsupported(model, narrow)[0][2]


def test_sizes_that_are_known_only_when_it_runs_are_refused(tmp_path: Path) -> None:
    model = load(tmp_path, [node("Relu", ["images"], "out")], {}, {"out": 4})
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert find_unsupported(model, FPGA)[0][2] == "its sizes are not known before it runs"


def test_a_device_is_named_alone_or_in_a_list() -> None:
    assert find_device("cpu") is DEVICES["cpu"]
    assert [device.name for device in parse_devices("cpu")] == ["cpu"]
    assert [device.name for device in parse_devices("hetero:fpga-emulator, cpu")] == ["fpga-emulator", "cpu"]
    with pytest.raises(NotFound, match="cpu, cuda, fpga-emulator, reference"):
        parse_devices("hetero:fpga,cpu")
    for wrong in ("hetero:cpu", "hetero:cpu,cpu"):
        with pytest.raises(InvalidInput, match="different devices"):
            parse_devices(wrong)


def test_the_cpu_stands_last_and_an_emulated_device_has_no_speed() -> None:
    with pytest.raises(InvalidInput, match="the cpu last"):
        parse_devices("hetero:cpu,fpga-emulator")
    with pytest.raises(InvalidInput, match="the cpu last"):
        parse_devices("hetero:fpga-emulator,cuda")
    assert has_speed("cpu")
    assert not has_speed("fpga-emulator")
    assert not has_speed("hetero:fpga-emulator,cpu")
