import numpy as np
import pytest
from caffe_files import SeededNet, count_nodes
from import_checks import assert_agrees, run_graph

from sightline.compiler.importers.caffe.importer import CaffeImporter
from sightline.compiler.importers.importer import ImportOptions
from sightline.core.errors import InvalidInput, Unsupported

LAYERS = [
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: 0.1 }"),
    ("ReLU6", ""),
    ("Clip", "clip_param { min: 0.5 max: 1.5 }"),
    ("ELU", "elu_param { alpha: 0.5 }"),
    ("Swish", ""),
    ("Sigmoid", ""),
    ("TanH", ""),
    ("AbsVal", ""),
    ("BNLL", ""),
    ("Power", ""),
    ("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
    ("Power", "power_param { scale: -3 }"),
    ("Exp", ""),
    ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    ("LRN", ""),
    ("LRN", "lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 3 }"),
    ("LRN", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL alpha: 2 }"),
    ("Softmax", ""),
    ("Softmax", "softmax_param { axis: -1 }"),
    ("ArgMax", "argmax_param { axis: 1 }"),
    ("Flatten", ""),
    ("Flatten", "flatten_param { axis: 2 }"),
    ("Flatten", "flatten_param { axis: 1 end_axis: 2 }"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }"),
    ("Reshape", "reshape_param { shape { dim: 1 dim: -1 dim: 7 } }"),
    ("Reshape", "reshape_param { shape { dim: -1 dim: 168 dim: 2 } }"),
    ("Reshape", "reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 1 }"),
    ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    ("ShuffleChannel", "shuffle_channel_param { group: 3 }"),
    ("Interp", "interp_param { height: 11 width: 17 }"),
    ("Interp", "interp_param { zoom_factor: 3 }"),
    ("Interp", "interp_param { shrink_factor: 2 }"),
    ("Upsample", "upsample_param { scale: 2 }"),
    ("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    ("Pooling", "pooling_param { global_pooling: true }"),
]


@pytest.mark.parametrize(("kind", "params"), LAYERS)
def test_layer_agrees_with_opencv(kind, params, tmp_path, rng):
    net = SeededNet(6, 8, 7)
    net.add(kind, "layer", params=params)
    assert_agrees(net.read(tmp_path), rng.normal(size=(3, 6, 8, 7)).astype(np.float32), tmp_path, 1e-5)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("params", ["height: 33 width: 65", "zoom_factor: 8", "height: 5 width: 3"])
def test_interp_has_the_stated_size_in_every_engine(params, engine, tmp_path, rng):
    net = SeededNet(2, 9, 7)
    net.add("Interp", "layer", params=f"interp_param {{ {params} }}")
    imported = net.read(tmp_path)
    batch = rng.normal(size=(2, 2, 9, 7)).astype(np.float32)
    expected = imported.source.run(batch)["layer"]
    np.testing.assert_allclose(run_graph(imported.graph, batch, tmp_path, engine)["layer"], expected, atol=1e-5)


WINDOWS = [
    "kernel_size: 3",
    "kernel_size: 3 stride: 2 pad: 1",
    "kernel_h: 3 kernel_w: 1 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0",
    "kernel_size: 3 kernel_size: 5 stride: 1 stride: 2 pad: 0 pad: 2",
    pytest.param("kernel_size: 3 dilation: 2 pad: 2", id="dilated"),
]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_convolution_agrees_in_every_spelling(kind, window, tmp_path, rng):
    if kind == "Deconvolution":
        window = window.replace("dilation: 2", "")
    net = SeededNet(4, 11, 10)
    kernel = {"kernel_h: 3": (3, 1), "kernel_size: 3 kernel_size: 5": (3, 5)}
    height, width = next((size for start, size in kernel.items() if window.startswith(start)), (3, 3))
    net.add(kind, "layer", params=f"convolution_param {{ num_output: 6 group: 2 {window} }}")
    first = (6, 2) if kind == "Convolution" else (4, 3)
    net.weights["layer"] = [net.draw(*first, height, width), net.draw(6, scale=0.1)]
    assert_agrees(net.read(tmp_path), rng.normal(size=(2, 4, 11, 10)).astype(np.float32), tmp_path, 1e-5)


@pytest.mark.parametrize("kind", ["DepthwiseConvolution", "ConvolutionDepthwise"])
def test_depthwise_convolution_has_a_group_per_channel(kind, tmp_path, rng):
    net = SeededNet(4, 8, 8)
    net.conv("layer", "data", 8, 3, group=4, kind=kind)
    assert_agrees(net.read(tmp_path), rng.normal(size=(2, 4, 8, 8)).astype(np.float32), tmp_path, 1e-5)


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_inner_product_from_an_axis_on(axis, bias, tmp_path, rng):
    net = SeededNet(3, 4, 5)
    length = int(np.prod([3, 4, 5][axis - 1 :]))
    net.add("InnerProduct", "layer", params=f"inner_product_param {{ num_output: 7 axis: {axis} bias_term: {bias} }}")
    net.weights["layer"] = [net.draw(7, length), net.draw(7, scale=0.1)][: 2 if bias == "true" else 1]
    assert_agrees(net.read(tmp_path), rng.normal(size=(3, 3, 4, 5)).astype(np.float32), tmp_path, 1e-5)


def test_transposed_inner_product(tmp_path, rng):
    net = SeededNet(3, 4, 5)
    net.add("InnerProduct", "layer", params="inner_product_param { num_output: 7 transpose: true bias_term: false }")
    net.weights["layer"] = [net.draw(60, 7)]
    batch = rng.normal(size=(3, 3, 4, 5)).astype(np.float32)
    got = run_graph(net.read(tmp_path).graph, batch, tmp_path)["layer"]
    np.testing.assert_allclose(got, batch.reshape(3, 60) @ net.weights["layer"][0], rtol=1e-4, atol=1e-5)


def pool_as_caffe(pictures, method, kernel, stride, pad):
    """Slow loop by pooling_layer.cpp: count rounded up, last window starts inside, average over the padded part."""
    length = pictures.shape[2]
    count = int(np.ceil((length + 2 * pad - kernel) / stride)) + 1
    if pad and (count - 1) * stride >= length + pad:
        count -= 1
    pooled = np.zeros((*pictures.shape[:2], count, count), np.float32)
    for row in range(count):
        for column in range(count):
            top, left = row * stride - pad, column * stride - pad
            bottom, right = min(top + kernel, length + pad), min(left + kernel, length + pad)
            area = (bottom - top) * (right - left)
            window = pictures[:, :, max(top, 0) : min(bottom, length), max(left, 0) : min(right, length)]
            pooled[:, :, row, column] = window.max((2, 3)) if method == "MAX" else window.sum((2, 3)) / area
    return pooled


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("length", [6, 7, 8, 13])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2), (2, 3, 1), (3, 3, 1)]
)
def test_pooling_counts_and_divides_as_caffe_does(method, length, kernel, stride, pad, tmp_path, rng):
    net = SeededNet(2, length, length)
    net.add("Pooling", "layer", params=f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}")
    imported = net.read(tmp_path)
    batch = rng.normal(size=(2, 2, length, length)).astype(np.float32) - 5  # zeros as padding would win a maximum
    expected = pool_as_caffe(batch, method, kernel, stride, pad)
    for engine in ("reference", "openvino"):
        np.testing.assert_allclose(run_graph(imported.graph, batch, tmp_path, engine)["layer"], expected, rtol=1e-5)
    np.testing.assert_allclose(imported.source.run(batch)["layer"], expected, rtol=1e-5)


@pytest.mark.parametrize("spelling", ["ceil_mode: false", "round_mode: FLOOR"])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling_that_rounds_down(spelling, method, tmp_path, rng):
    net = SeededNet(2, 8, 8)
    net.add("Pooling", "layer", params=f"pooling_param {{ pool: {method} kernel_size: 3 stride: 2 {spelling} }}")
    imported = net.read(tmp_path)
    batch = rng.normal(size=(2, 2, 8, 8)).astype(np.float32)
    assert imported.source.run(batch)["layer"].shape == (2, 2, 3, 3)  # (8 - 3) / 2 + 1 = 3.5
    assert_agrees(imported, batch, tmp_path, 1e-5)


def test_average_over_a_ragged_edge_costs_one_more_node_only(tmp_path):
    for pad, expected in ((0, {"AveragePool": 1}), (2, {"AveragePool": 1}), (1, {"AveragePool": 1, "Mul": 1})):
        net = SeededNet(2, 8, 8)
        net.add("Pooling", "layer", params=f"pooling_param {{ pool: AVE kernel_size: 4 stride: 4 pad: {pad} }}")
        assert count_nodes(net.read(tmp_path)) == expected


@pytest.mark.parametrize(
    "params",
    ["", "operation: PROD", "operation: MAX", "operation: SUM coeff: 1 coeff: -1", "operation: SUM coeff: 0.5 coeff: -2"],
)
def test_eltwise_of_two(params, tmp_path, rng):
    net = SeededNet(3, 6, 6)
    net.add("Sigmoid", "left")
    net.add("TanH", "right")
    net.add("Eltwise", "layer", "left right", params=f"eltwise_param {{ {params} }}")
    assert_agrees(net.read(tmp_path), rng.normal(size=(2, 3, 6, 6)).astype(np.float32), tmp_path, 1e-5)


@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX"])
def test_eltwise_of_three(operation, tmp_path, rng):
    net = SeededNet(3, 6, 6)
    for kind in ("Sigmoid", "TanH", "AbsVal"):
        net.add(kind, kind)
    net.add("Eltwise", "layer", "Sigmoid TanH AbsVal", params=f"eltwise_param {{ operation: {operation} }}")
    assert_agrees(net.read(tmp_path), rng.normal(size=(2, 3, 6, 6)).astype(np.float32), tmp_path, 1e-5)


@pytest.mark.parametrize("params", ["slice_point: 1 slice_point: 4", "", "slice_dim: 2 slice_point: 2 slice_point: 3"])
def test_slice_and_concat(params, tmp_path, rng):
    net = SeededNet(6, 6, 6)
    net.add("Slice", "slice", top="first second third", params=f"slice_param {{ {params} }}")
    axis = 2 if "slice_dim" in params else 1
    net.add("Concat", "layer", "third first second", params=f"concat_param {{ axis: {axis} }}")
    imported = net.read(tmp_path)
    batch = rng.normal(size=(2, 6, 6, 6)).astype(np.float32)
    assert_agrees(imported, batch, tmp_path, 1e-6)
    parts = imported.source.run_layers(batch, ["first", "second", "third"])
    np.testing.assert_array_equal(np.concatenate([parts["first"], parts["second"], parts["third"]], axis), batch)


def test_crop_to_another_tensors_size(tmp_path, rng):
    net = SeededNet(3, 8, 8)
    net.add("Pooling", "small", params="pooling_param { pool: MAX kernel_size: 3 stride: 1 }")
    net.add("Crop", "layer", "data small", params="crop_param { axis: 2 offset: 1 offset: 2 }")
    assert_agrees(net.read(tmp_path), rng.normal(size=(2, 3, 8, 8)).astype(np.float32), tmp_path, 1e-6)


@pytest.mark.parametrize("shared", ["true", "false"])
def test_prelu(shared, tmp_path, rng):
    net = SeededNet(3, 6, 6)
    net.add("PReLU", "layer", params=f"prelu_param {{ channel_shared: {shared} }}")
    net.weights["layer"] = [net.draw(1 if shared == "true" else 3, scale=0.5)]
    assert_agrees(net.read(tmp_path), rng.normal(size=(2, 3, 6, 6)).astype(np.float32), tmp_path, 1e-5)


@pytest.mark.parametrize(("across", "shared"), [("true", "true"), ("false", "true"), ("false", "false")])
def test_normalize(across, shared, tmp_path, rng):
    net = SeededNet(3, 6, 6)
    net.add("Normalize", "layer", params=f"norm_param {{ across_spatial: {across} channel_shared: {shared} }}")
    net.weights["layer"] = [net.draw(1 if shared == "true" else 3, scale=20)]
    assert_agrees(net.read(tmp_path), rng.normal(size=(2, 3, 6, 6)).astype(np.float32), tmp_path, 1e-5)


def test_logarithm(tmp_path, rng):
    net = SeededNet(3, 6, 6)
    net.add("Log", "layer")
    assert_agrees(net.read(tmp_path), rng.uniform(0.1, 9, (2, 3, 6, 6)).astype(np.float32), tmp_path, 1e-5)


def test_squeeze_and_excitation_scales_by_a_second_input(tmp_path, rng):
    net = SeededNet(4, 6, 6)
    net.add("Pooling", "pool", params="pooling_param { pool: AVE global_pooling: true }")
    net.add("Flatten", "flat", "pool")
    net.add("Scale", "layer", "data flat", params="scale_param { axis: 0 }")
    batch = rng.normal(size=(2, 4, 6, 6)).astype(np.float32)
    got = run_graph(net.read(tmp_path).graph, batch, tmp_path)["layer"]
    np.testing.assert_allclose(got, batch * batch.mean((2, 3), keepdims=True), rtol=1e-4, atol=1e-6)


def test_scale_over_rows_and_columns(tmp_path, rng):
    net = SeededNet(2, 3, 4)
    net.add("Scale", "layer", params="scale_param { axis: 2 num_axes: -1 bias_term: true }")
    net.weights["layer"] = [net.draw(3, 4), net.draw(3, 4)]
    batch = rng.normal(size=(2, 2, 3, 4)).astype(np.float32)
    got = run_graph(net.read(tmp_path).graph, batch, tmp_path)["layer"]
    np.testing.assert_allclose(got, batch * net.weights["layer"][0] + net.weights["layer"][1], rtol=1e-5, atol=1e-6)


def test_all_unknown_layers_are_named(tmp_path):
    net = SeededNet(3, 8, 8)
    net.add("Mystery", "first")
    net.add("ROIPooling", "second", "first")
    with pytest.raises(Unsupported, match=r"first \(Mystery\), second \(ROIPooling\)"):
        net.read(tmp_path)


REFUSED = [
    ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }", "STOCHASTIC"),
    ("Permute", "permute_param { order: 1 order: 0 }", "axis of the batch"),
    ("Reshape", "reshape_param { shape { dim: -1 dim: 2 } }", "axis of the batch"),
    ("Concat", "concat_param { axis: 0 }", "across the pictures"),
    ("ArgMax", "argmax_param { top_k: 5 axis: 1 }", "index of the greatest"),
    ("Log", "log_param { base: 10 }", "verify"),
    ("Clip", "clip_param { min: -1 max: 1 }", "verified"),
    ("Interp", "interp_param { height: 4 width: 4 pad_beg: -1 }", "crops"),
]


@pytest.mark.parametrize(("kind", "params", "reason"), REFUSED)
def test_what_has_no_counterpart_is_refused(kind, params, reason, tmp_path):
    net = SeededNet(3, 8, 8)
    net.add(kind, "layer", params=params)
    with pytest.raises(Unsupported, match=f"layer.*{reason}"):
        net.read(tmp_path)


WRONG = [
    ("Pooling", "pooling_param { kernel_size: 30 }"),
    ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }"),
    ("Pooling", "pooling_param { kernel_size: 1 stride: 5 }"),  # the third window would start beyond the picture
    ("Convolution", "convolution_param { num_output: 0 kernel_size: 1 bias_term: false }"),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 1 bias_term: false group: 2 }"),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 bias_term: false }"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 5 } }"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: -1 } }"),
    ("Flatten", "flatten_param { axis: 3 end_axis: 2 }"),
    ("Softmax", "softmax_param { axis: 7 }"),
    ("ShuffleChannel", "shuffle_channel_param { group: 2 }"),
    ("LRN", "lrn_param { local_size: 4 }"),
    ("Interp", "interp_param { height: 60000 width: 60000 }"),
    ("Upsample", "upsample_param { scale: 100000 }"),
    ("Exp", "exp_param { base: -3 }"),
    ("Slice", "slice_param { slice_point: 3 }"),
]


@pytest.mark.parametrize(("kind", "params"), WRONG)
def test_what_no_caffe_accepts_is_named_in_one_line(kind, params, tmp_path):
    net = SeededNet(3, 9, 9)
    net.add(kind, "layer", top="layer other" if kind == "Slice" else "layer", params=params)
    net.weights["layer"] = [net.draw(4, 3, 1, 1)] if kind == "Convolution" else []
    with pytest.raises(InvalidInput, match="layer") as caught:
        net.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_dilated_deconvolution_is_refused(tmp_path):
    net = SeededNet(3, 9, 9)
    net.weights["up"] = [net.draw(3, 2, 3, 3)]
    net.add("Deconvolution", "up", params="convolution_param { num_output: 2 kernel_size: 3 dilation: 2 bias_term: false }")
    with pytest.raises(Unsupported, match=r"up.*dilated"):
        net.read(tmp_path)


def test_missing_weights_are_all_named(tmp_path):
    net = SeededNet(3, 8, 8)
    net.conv("first", "data", 4, 3)
    net.conv("second", "first", 4, 3)
    net.weights = {"other": [np.ones(1, np.float32)]}
    with pytest.raises(InvalidInput, match=r"first \(Convolution: 2, got 0\), second \(Convolution: 2, got 0\)"):
        net.read(tmp_path)


def test_infinite_weights_are_refused(tmp_path):
    net = SeededNet(3, 8, 8)
    net.conv("first", "data", 4, 3)
    net.weights["first"][0][0, 0, 0, 0] = np.inf
    with pytest.raises(InvalidInput, match="first are not all finite"):
        net.read(tmp_path)


def test_nothing_knows_the_size_of_a_batch(tmp_path, rng):
    net = SeededNet(4, 6, 6)
    net.conv("conv", "data", 8, 3)
    net.add("Permute", "permute", "conv", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    net.add("Reshape", "reshape", "permute", params="reshape_param { shape { dim: 1 dim: -1 dim: 4 } }")
    net.add("Softmax", "softmax", "reshape", params="softmax_param { axis: 2 }")
    net.add("Flatten", "flat", "softmax")
    net.add("InnerProduct", "layer", "flat", params="inner_product_param { num_output: 5 }")
    net.weights["layer"] = [net.draw(5, 128), net.draw(5)]
    graph = CaffeImporter().read(net.save(tmp_path), ImportOptions()).graph
    batch = rng.normal(size=(7, 4, 6, 6)).astype(np.float32)
    whole = run_graph(graph, batch, tmp_path)["layer"]
    assert whole.shape == (7, 5)
    single = np.concatenate([run_graph(graph, batch[index : index + 1], tmp_path)["layer"] for index in range(7)])
    np.testing.assert_allclose(whole, single, rtol=1e-5, atol=1e-6)
