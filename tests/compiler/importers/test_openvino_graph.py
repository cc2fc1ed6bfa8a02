"""Each group of operations: a small model of OpenVINO's opsets, its own run of it against a run of our ONNX graph."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino.opset1 as opset1
import openvino.opset8 as opset8
import openvino.opset13 as ops
import openvino.opset14 as opset14
import pytest
from import_checks import run_graph
from openvino.utils.node_factory import NodeFactory
from openvino_models import Node, constant, convert, list_kinds, make_model, numbers, whole

from sightline.compiler.importers.openvino.graph import ConvertedModel
from sightline.compiler.importers.openvino.source import OpenvinoSource
from sightline.core.errors import InvalidInput, NotFound, Unsupported


def assert_same(converted: ConvertedModel, folder: Path, limit: float = 1e-5) -> None:
    """The ONNX graph's outputs equal OpenVINO's for one picture and for three."""
    source = OpenvinoSource(converted, is_own_framework=True)
    picture = converted.picture
    for count in (1, 3):
        batch = np.random.default_rng(count).normal(size=(count, picture.channels, picture.height, picture.width))
        expected = source.run(batch.astype(np.float32))
        got = run_graph(converted.graph, batch.astype(np.float32), folder)
        assert set(got) == set(expected)
        for name, values in expected.items():
            assert got[name].shape == values.shape
            assert np.abs(got[name] - values).max() <= limit * max(np.abs(values).max(), 1e-6), name


def unary(name: str, *more: Any, **attributes: Any) -> Callable[[Node], Node]:
    return lambda x: getattr(ops, name)(x, *more, **attributes)


ELEMENTWISE = {
    "relu": unary("relu"),
    "clamp": unary("clamp", 0.0, 6.0),
    "sigmoid": unary("sigmoid"),
    "tanh": unary("tanh"),
    "elu": unary("elu", 0.7),
    "selu": lambda x: ops.selu(x, constant(1.6), constant(1.05)),
    "swish": lambda x: ops.swish(x),
    "swish_beta": lambda x: ops.swish(x, constant(1.7)),
    "hswish": unary("hswish"),
    "hsigmoid": unary("hsigmoid"),
    "hard_sigmoid": lambda x: ops.hard_sigmoid(x, constant(0.3), constant(0.4)),
    "mish": unary("mish"),
    "gelu_erf": unary("gelu", "erf"),
    "gelu_tanh": unary("gelu", "tanh"),
    "softplus": unary("softplus"),
    "softsign": unary("softsign"),
    "exp": unary("exp"),
    "abs": unary("absolute"),
    "negative": unary("negative"),
    "floor": unary("floor"),
    "ceiling": unary("ceiling"),
    "round": unary("round", "half_to_even"),
    "erf": unary("erf"),
    "sign": unary("sign"),
    "log_sqrt": lambda x: ops.log(ops.sqrt(ops.add(ops.absolute(x), constant(0.1)))),
    "prelu": lambda x: ops.prelu(x, constant(numbers(6))),
    "prelu_one": lambda x: ops.prelu(x, constant([0.1])),
    "add": lambda x: ops.add(x, constant(numbers(8))),
    "subtract_from": lambda x: ops.subtract(constant(1.0), x),
    "divide": lambda x: ops.divide(x, constant(numbers(6, 1, 1) ** 2 + 1)),
    "maximum_minimum": lambda x: ops.maximum(ops.minimum(x, constant(0.5)), constant(-0.5)),
    "power": lambda x: ops.power(ops.absolute(x), constant(1.5)),
    "squared_difference": lambda x: ops.squared_difference(x, constant(numbers(1, 6, 1, 1))),
    "mod": lambda x: ops.mod(x, constant(0.75)),
    "floor_mod": lambda x: ops.floor_mod(x, constant(0.75)),
    "select": lambda x: ops.select(ops.greater(x, constant(0.0)), x, ops.multiply(x, constant(0.1))),
    "compare": lambda x: ops.convert(ops.logical_and(ops.less_equal(x, constant(1.0)), ops.not_equal(x, constant(0.0))), "f32"),
    "not_or": lambda x: ops.convert(ops.logical_or(ops.logical_not(ops.less(x, constant(1.0))), ops.equal(x, x)), "f32"),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_numbers_one_by_one(name: str, tmp_path: Path) -> None:
    assert_same(convert(make_model(ELEMENTWISE[name])), tmp_path)


def conv(x: Node, out: int = 5, **changes: Any) -> Node:
    settings: dict[str, Any] = {"strides": [2, 1], "pads_begin": [1, 0], "pads_end": [2, 1], "dilations": [1, 2], **changes}
    return ops.convolution(x, constant(numbers(out, 6, 3, 2)), **settings)


LAYERS = {
    "conv": conv,
    "conv_same_upper": lambda x: conv(x, auto_pad="same_upper", dilations=[1, 1]),
    "conv_same_lower": lambda x: conv(x, auto_pad="same_lower", dilations=[1, 1]),
    "conv_valid": lambda x: conv(x, auto_pad="valid"),
    "group_conv": lambda x: ops.group_convolution(x, constant(numbers(3, 4, 2, 3, 3)), [1, 1], [1, 1], [1, 1], [1, 1]),
    "depthwise": lambda x: ops.group_convolution(x, constant(numbers(6, 1, 1, 3, 3)), [2, 2], [0, 0], [1, 1], [1, 1]),
    "deconv": lambda x: ops.convolution_backprop_data(
        x, constant(numbers(6, 4, 3, 3)), strides=[2, 2], pads_begin=[1, 0], pads_end=[0, 1], output_padding=[1, 0]
    ),
    "deconv_same": lambda x: ops.convolution_backprop_data(
        x, constant(numbers(6, 4, 3, 3)), strides=[2, 2], auto_pad="same_upper"
    ),
    "deconv_same_lower": lambda x: ops.convolution_backprop_data(
        x, constant(numbers(6, 4, 4, 3)), strides=[3, 2], auto_pad="same_lower"
    ),
    "deconv_to_shape": lambda x: ops.convolution_backprop_data(
        x, constant(numbers(6, 4, 3, 3)), strides=[2, 2], output_shape=whole(18, 16), auto_pad="same_upper"
    ),
    "group_deconv": lambda x: ops.group_convolution_backprop_data(
        x, constant(numbers(3, 2, 4, 3, 3)), strides=[2, 2], pads_begin=[1, 1], pads_end=[1, 1]
    ),
    "matmul": lambda x: ops.matmul(ops.reshape(x, whole(1, -1), False), constant(numbers(432, 7)), False, False),
    "matmul_transposed": lambda x: ops.matmul(ops.reshape(x, whole(0, -1), True), constant(numbers(7, 432)), False, True),
    "matmul_four_axes": lambda x: ops.matmul(x, constant(numbers(5, 8)), False, True),
    "matmul_both_computed": lambda x: ops.matmul(x, ops.relu(x), True, False),
    "lrn": lambda x: ops.lrn(x, whole(1), 1e-2, 0.75, 1.0, 5),
    "lrn_window": lambda x: ops.lrn(x, whole(2, 3), 1e-1, 0.75, 1.0, 3),
    "batch_norm": lambda x: ops.batch_norm_inference(
        ops.relu(x), constant(numbers(6)), constant(numbers(6)), constant(numbers(6)), constant(numbers(6) ** 2), 1e-3
    ),
    "batch_norm_1": lambda x: opset1.batch_norm_inference(
        ops.relu(x), constant(numbers(6)), constant(numbers(6)), constant(numbers(6)), constant(numbers(6) ** 2), 1e-3
    ),
    "mvn": lambda x: ops.mvn(x, whole(2, 3), True, 1e-3, "inside_sqrt"),
    "mvn_outside": lambda x: ops.mvn(x, whole(1, 2, 3), True, 1e-3, "outside_sqrt"),
    "mvn_mean": lambda x: ops.mvn(x, whole(2, 3), False, 1e-3, "inside_sqrt"),
    "normalize_l2": lambda x: ops.normalize_l2(x, whole(1), 1e-3, "add"),
    "normalize_l2_max": lambda x: ops.normalize_l2(x, whole(1), 1e-3, "max"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, tmp_path: Path) -> None:
    assert_same(convert(make_model(LAYERS[name])), tmp_path)


def pool(kind: str, **changes: Any) -> Callable[[Node], Node]:
    def build(x: Node) -> Node:
        settings: dict[str, Any] = {
            "strides": [2, 3], "pads_begin": [1, 0], "pads_end": [0, 1], "kernel_shape": [3, 2], "rounding_type": "floor",
            "auto_pad": "explicit", **changes,
        }  # fmt: skip
        if kind == "max8":
            return opset8.max_pool(x, dilations=settings.pop("dilations", [1, 1]), **settings).output(0)
        if kind == "max14":
            return opset14.max_pool(x, dilations=[1, 1], **settings).output(0)
        if kind == "max1":
            return opset1.max_pool(x, **settings)
        return (opset14 if kind == "average14" else opset1).avg_pool(
            x, exclude_pad=settings.pop("exclude_pad", False), **settings
        )

    return build


POOLS = {
    "max1": pool("max1"),
    "max1_ceil": pool("max1", rounding_type="ceil", kernel_shape=[3, 4], strides=[3, 3]),
    "max8_dilated": pool("max8", dilations=[2, 1]),
    "max14_ceil_torch": pool("max14", rounding_type="ceil_torch", kernel_shape=[3, 3]),
    "max_same": pool("max8", auto_pad="same_upper"),
    "max_same_lower": pool("max8", auto_pad="same_lower"),
    "max_valid": pool("max8", auto_pad="valid"),
    "average": pool("average1"),
    "average_excluded": pool("average1", exclude_pad=True),
    "average_ceil": pool("average1", rounding_type="ceil", kernel_shape=[3, 4], strides=[3, 3]),
    "average_ceil_no_padding": pool("average1", rounding_type="ceil", pads_begin=[0, 0], pads_end=[0, 0], kernel_shape=[2, 2]),
    "average_ceil_excluded": pool("average1", rounding_type="ceil", kernel_shape=[3, 4], strides=[3, 3], exclude_pad=True),
    "average_ceil_torch": pool("average14", rounding_type="ceil_torch", kernel_shape=[3, 4], strides=[3, 3]),
    "average_same": pool("average1", auto_pad="same_upper", exclude_pad=True),
    "mean_map": lambda x: ops.reduce_mean(x, whole(2, 3), True),
    "mean_map_flat": lambda x: ops.reduce_mean(x, whole(-1, -2), False),
    "mean_channels": lambda x: ops.reduce_mean(x, whole(1), True),
    "sum": lambda x: ops.reduce_sum(x, whole(1, 3), False),
    "max": lambda x: ops.reduce_max(x, whole(2), True),
    "min": lambda x: ops.reduce_min(x, whole(2), False),
    "prod": lambda x: ops.reduce_prod(x, whole(3), False),
    "l1": lambda x: ops.reduce_l1(x, whole(1), True),
    "l2": lambda x: ops.reduce_l2(x, whole(1), False),
    "softmax": lambda x: ops.softmax(x, 1),
    "softmax_last": lambda x: ops.softmax(x, -1),
    "log_softmax": lambda x: ops.log_softmax(x, 1),
    "top_k": lambda x: [ops.topk(x, constant(3, np.int64), 1, "max", "value").output(index) for index in (0, 1)],
    "top_k_smallest": lambda x: ops.topk(x, constant(2, np.int64), 2, "min", "value").output(0),
    "arg_max": lambda x: ops.squeeze(ops.topk(x, constant(1, np.int64), 1, "max", "none").output(1), whole(1)),
}  # fmt: skip


@pytest.mark.parametrize("name", POOLS)
def test_pools_reductions_and_choices(name: str, tmp_path: Path) -> None:
    assert_same(convert(make_model(POOLS[name])), tmp_path)


def sliced(starts: list[int], stops: list[int], steps: list[int], **masks: list[int]) -> Callable[[Node], Node]:
    empty = [0] * len(starts)
    return lambda x: ops.strided_slice(
        x, whole(*starts), whole(*stops), whole(*steps), masks.get("begin", empty), masks.get("end", empty),
        masks.get("new", empty), masks.get("shrink", empty), masks.get("ellipsis", empty),
    )  # fmt: skip


def flatten_by_shape(x: Node) -> Node:
    """What exporters write for `x.reshape(x.shape[0], -1)` and for heights computed from a shape."""
    shape = ops.shape_of(x)
    batch = ops.gather(shape, whole(0), constant(0, np.int64))
    rows = ops.gather(shape, whole(2), constant(0, np.int64))
    merged = ops.multiply(rows, ops.gather(shape, whole(3), constant(0, np.int64)))
    return ops.reshape(x, ops.concat([batch, whole(6), merged], 0), False)


SHAPES = {
    "reshape_fixed_batch": lambda x: ops.reshape(x, whole(1, 6, 72), False),
    "reshape_zero": lambda x: ops.reshape(x, whole(0, 0, -1), True),
    "reshape_open_front": lambda x: ops.reshape(x, whole(-1, 432), False),
    "reshape_computed": flatten_by_shape,
    "squeeze_unsqueeze": lambda x: ops.squeeze(ops.unsqueeze(x, whole(2)), whole(2)),
    "transpose": lambda x: ops.transpose(x, whole(0, 2, 3, 1)),
    "transposes_compose": lambda x: ops.transpose(ops.transpose(x, whole(0, 2, 3, 1)), whole(0, 2, 1, 3)),
    "concat": lambda x: ops.concat([x, ops.relu(x), constant(numbers(1, 2, 9, 8))][:2], 1),
    "split": lambda x: ops.add(*(ops.split(x, constant(1, np.int64), 2).output(index) for index in (0, 1))),
    "variadic_split": lambda x: [ops.variadic_split(x, constant(-3, np.int64), whole(1, -1, 2)).output(i) for i in range(3)],
    "slice": lambda x: ops.slice(x, whole(1, -1), whole(5, 0), whole(2, -2), whole(1, 3)),
    "strided": sliced([0, 1, 2, 0], [0, 5, -1, 8], [1, 2, 3, 1], begin=[1, 0, 0, 0], end=[1, 0, 0, 0]),
    "strided_negative": sliced([0, 0, -1, 0], [0, 0, 0, 0], [1, 1, -1, -2], begin=[1, 1, 0, 1], end=[1, 1, 1, 1]),
    "strided_shrink": sliced([0, 2, 0, -1], [0, 3, 0, 0], [1] * 4, begin=[1, 0, 1, 0], end=[1, 0, 1, 0], shrink=[0, 1, 0, 1]),
    "strided_new_axis": sliced([0, 0, 1], [0, 0, 4], [1, 1, 1], begin=[1, 1, 0], end=[1, 1, 0], new=[0, 1, 0]),
    "strided_ellipsis": sliced([0, 0, 2], [0, 0, 6], [1, 1, 2], begin=[1, 1, 0], end=[1, 1, 0], ellipsis=[0, 1, 0]),
    "gather": lambda x: ops.gather(x, whole(4, 0, 2), constant(1, np.int64)),
    "gather_one": lambda x: ops.gather(x, constant(4, np.int64), constant(1, np.int64)),
    "pad": lambda x: ops.pad(x, whole(0, 1, 2, 0), whole(0, 0, 1, 3), "constant", constant(0.5)),
    "pad_reflect": lambda x: ops.pad(x, whole(0, 0, 2, 1), whole(0, 0, 1, 3), "reflect"),
    "pad_edge": lambda x: ops.pad(x, whole(0, 0, 2, 1), whole(0, 0, 1, 3), "edge"),
    "pad_nothing": lambda x: ops.relu(ops.pad(x, whole(0, 0, 0, 0), whole(0, 0, 0, 0), "symmetric")),
    "depth_to_space": lambda x: ops.depth_to_space(ops.concat([x, ops.relu(x)], 1), "blocks_first", 2),
    "depth_to_space_crd": lambda x: ops.depth_to_space(ops.concat([x, ops.relu(x)], 1), "depth_first", 2),
    "space_to_depth": lambda x: ops.space_to_depth(ops.slice(x, whole(0), whole(8), whole(1), whole(2)), "blocks_first", 2),
    "space_to_depth_crd": lambda x: ops.space_to_depth(ops.slice(x, whole(0), whole(8), whole(1), whole(2)), "depth_first", 2),
    "shuffle_channels": lambda x: ops.shuffle_channels(x, 1, 3),
    "tile": lambda x: ops.tile(x, whole(1, 2, 1, 3)),
    "broadcast": lambda x: ops.broadcast(ops.reduce_max(x, whole(2, 3), True), whole(6, 4, 5), broadcast_spec="BIDIRECTIONAL"),
    "cast_to_integers": lambda x: ops.convert(ops.convert(x, "i32"), "f32"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str, tmp_path: Path) -> None:
    assert_same(convert(make_model(SHAPES[name])), tmp_path)


def resized(
    mode: str, coordinates: str, height: int, width: int, nearest: str = "round_prefer_floor"
) -> Callable[[Node], Node]:
    attributes = {
        "mode": mode, "shape_calculation_mode": "sizes", "pads_begin": [0], "pads_end": [0], "nearest_mode": nearest,
        "coordinate_transformation_mode": coordinates,
    }  # fmt: skip
    return lambda x: NodeFactory("opset4").create(
        "Interpolate", [x, whole(height, width), constant([1.0, 1.0]), whole(2, 3)], attributes
    )


def resized_11(mode: str, scales: list[float]) -> Callable[[Node], Node]:
    return lambda x: ops.interpolate(x, constant(scales), mode, "scales", axes=whole(2, 3))


def resized_1(mode: str, align_corners: bool, height: int, width: int) -> Callable[[Node], Node]:
    attributes = {"axes": [2, 3], "mode": mode, "align_corners": align_corners, "antialias": False}
    return lambda x: opset1.interpolate(x, whole(height, width), attributes)


RESIZES = {
    f"{mode}_{coordinates}_{height}": resized(mode, coordinates, height, width)
    for mode in ("nearest", "linear_onnx", "linear", "cubic")
    for coordinates in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
    for height, width in ((18, 20), (5, 4))
} | {
    "nearest_simple": resized("nearest", "asymmetric", 20, 16, "simple"),
    "nearest_simple_down": resized("nearest", "asymmetric", 5, 3, "simple"),
    "nearest_ceil": resized("nearest", "half_pixel", 13, 11, "ceil"),
    "nearest_floor": resized("nearest", "asymmetric", 13, 11, "floor"),
    "nearest_tf": resized("nearest", "tf_half_pixel_for_nn", 13, 5, "floor"),
    "scales": resized_11("linear_onnx", [1.7, 0.6]),
    "opset1_nearest": resized_1("nearest", False, 18, 16),
    "opset1_nearest_down": resized_1("nearest", False, 5, 4),
    "opset1_linear": resized_1("linear", False, 18, 16),
    "opset1_linear_corners": resized_1("linear", True, 13, 11),
}


@pytest.mark.parametrize("name", RESIZES)
def test_resizes(name: str, tmp_path: Path) -> None:
    assert_same(convert(make_model(RESIZES[name])), tmp_path)


def test_batch_norm_and_scaling_go_into_the_convolution(tmp_path: Path) -> None:
    def build(x: Node) -> Node:
        y = ops.multiply(ops.add(conv(x), constant(numbers(1, 5, 1, 1))), constant(numbers(5, 1, 1)))
        y = ops.batch_norm_inference(
            y, constant(numbers(5)), constant(numbers(5)), constant(numbers(5)), constant(numbers(5) ** 2 + 0.1), 1e-3
        )
        return ops.relu(ops.subtract(constant(1.0), ops.divide(y, constant(2.0))))

    converted = convert(make_model(build))
    assert list_kinds(converted) == ["Conv", "Relu"]
    assert_same(converted, tmp_path)


@pytest.mark.parametrize("name", ["group_conv", "group_deconv", "deconv", "matmul"])
def test_a_scale_per_channel_goes_into_any_layer(name: str, tmp_path: Path) -> None:
    def build(x: Node) -> Node:
        y = LAYERS[name](x)
        shape = [size.get_length() for size in y.get_output_partial_shape(0)]
        channels = (1, shape[1], *[1] * (len(shape) - 2))
        return ops.add(ops.multiply(y, constant(numbers(*channels))), constant(numbers(*channels)))

    converted = convert(make_model(build))
    assert not {"Mul", "Add"} & set(list_kinds(converted))
    assert_same(converted, tmp_path)


def test_what_is_read_twice_is_not_folded(tmp_path: Path) -> None:
    converted = convert(make_model(lambda x: [made := conv(x), ops.add(made, constant(numbers(1, 5, 1, 1)))]))
    assert list_kinds(converted) == ["Conv", "Add"]
    assert_same(converted, tmp_path)


def test_a_number_for_each_column_is_no_bias(tmp_path: Path) -> None:
    converted = convert(make_model(lambda x: ops.add(conv(x), constant(numbers(7)))))
    assert list_kinds(converted) == ["Conv", "Add"]
    assert_same(converted, tmp_path)


def test_a_zero_pad_goes_into_the_convolution_and_stays_in_front_of_a_pool(tmp_path: Path) -> None:
    def pad(x: Node) -> Node:
        return ops.pad(x, whole(0, 0, 0, 1), whole(0, 0, 2, 1), "constant", constant(0.0))

    converted = convert(make_model(lambda x: POOLS["max_valid"](pad(conv(pad(x), auto_pad="valid")))))
    assert list_kinds(converted) == ["Conv", "Pad", "MaxPool"]
    assert_same(converted, tmp_path)


def test_an_nhwc_network_becomes_nchw_without_transposes(tmp_path: Path) -> None:
    def build(x: Node) -> Node:
        return ops.transpose(ops.relu(conv(ops.transpose(x, whole(0, 3, 1, 2)))), whole(0, 2, 3, 1))

    converted = convert(make_model(build, (1, 9, 8, 6), "NHWC"))
    assert list_kinds(converted) == ["Conv", "Relu"]
    assert_same(converted, tmp_path)


def test_a_sum_in_nhwc_in_front_of_the_first_convolution_is_right(tmp_path: Path) -> None:
    def build(x: Node) -> Node:
        return conv(ops.transpose(ops.subtract(x, constant(numbers(6))), whole(0, 3, 1, 2)))

    converted = convert(make_model(build, (1, 9, 8, 6), "NHWC"))
    assert_same(converted, tmp_path)


def test_layout_is_found_by_channels_and_size_by_options(tmp_path: Path) -> None:
    def make(shape: list[int]) -> Any:
        picture = ops.parameter(shape, np.float32, name="picture")
        return openvino.Model([ops.result(ops.relu(picture), name="out")], [picture], "net")

    assert convert(make([-1, 3, 20, 30])).picture.make_shape(-1) == [-1, 3, 20, 30]
    assert convert(make([-1, 20, 30, 3])).picture.make_shape(-1) == [-1, 20, 30, 3]
    assert convert(make([-1, -1, -1, 1]), width=7, height=5).picture.make_shape(2) == [2, 5, 7, 1]
    with pytest.raises(InvalidInput, match="no input height"):
        convert(make([-1, 3, -1, -1]), width=7)
    with pytest.raises(InvalidInput, match="height of 20 only, got 21"):
        convert(make([-1, 3, 20, 30]), height=21)
    with pytest.raises(Unsupported, match="1 or 3 channels"):
        convert(make([-1, 5, 20, 30]))


def test_all_unknown_operations_are_named_at_once() -> None:
    def build(x: Node) -> Node:
        turned = ops.cum_sum(ops.reverse_sequence(x, whole(3), 0, 1), constant(1, np.int64))
        return ops.cosh(turned)

    with pytest.raises(Unsupported, match="Cosh, CumSum, ReverseSequence; name outputs"):
        convert(make_model(build))


def test_outputs_in_front_of_what_we_lack_can_be_named(tmp_path: Path) -> None:
    def build(x: Node) -> Node:
        kept = ops.relu(x)
        kept.set_friendly_name("kept")
        return ops.cosh(kept)

    converted = convert(make_model(build), outputs=("kept",))
    assert [output.name for output in converted.graph.graph.output] == ["kept"]
    assert_same(converted, tmp_path)
    with pytest.raises(NotFound, match=r"no tensor 'lost'.*kept"):
        convert(make_model(build), outputs=("lost",))


def test_two_inputs_are_no_vision_network() -> None:
    first, second = (ops.parameter([1, 3, 8, 8], np.float32, name=name) for name in ("left", "right"))
    with pytest.raises(Unsupported, match=r"2 inputs: left \[1,3,8,8\], right"):
        convert(openvino.Model([ops.result(ops.add(first, second))], [first, second], "net"))


def test_a_network_that_mixes_pictures_is_refused() -> None:
    with pytest.raises(Unsupported, match="more than one picture at a time"):
        convert(make_model(lambda x: ops.reduce_mean(x, whole(0), False)))


def test_a_window_in_the_padding_alone_is_refused() -> None:
    with pytest.raises(Unsupported, match="in its padding alone"):
        convert(make_model(pool("max1", rounding_type="ceil", strides=[3, 3])))
