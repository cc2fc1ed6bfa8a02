"""The characteristic blocks of each published Caffe topology, with few channels and seeded weights, against OpenCV."""

import numpy as np
import pytest
from caffe_files import SeededNet, count_nodes
from import_checks import MAX_ERROR, assert_agrees, run_graph

from sightline.core.errors import InvalidInput

ENGINES = ("onnxruntime", "openvino")


def check(net, shape, folder, rng):
    """The imported graph agrees with OpenCV in the reference and in both engines; returns it."""
    imported = net.read(folder)
    batch = rng.normal(size=(2, *shape)).astype(np.float32)
    assert_agrees(imported, batch, folder, 1e-4)
    expected = imported.source.run(batch)
    for engine in ENGINES:
        got = run_graph(imported.graph, batch, folder, engine)
        for name, values in expected.items():
            assert np.abs(got[name] - values).max() < MAX_ERROR * np.abs(values).max(), (engine, name)
    return imported


def pool(net, name, bottom, kernel, stride, method="MAX", pad=0):
    return net.add(
        "Pooling", name, bottom, params=f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    )


def dense(net, name, bottom, inputs, outputs):
    net.weights[name] = [net.draw(outputs, inputs), net.draw(outputs, scale=0.1)]
    return net.add("InnerProduct", name, bottom, params=f"inner_product_param {{ num_output: {outputs} }}")


def test_caffenet(tmp_path, rng):
    net = SeededNet(3, 67, 67)
    x = net.relu(net.conv("conv1", "data", 8, 11, "stride: 4"))  # 15
    x = net.add("LRN", "norm1", pool(net, "pool1", x, 3, 2), params="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    x = net.relu(net.conv("conv2", x, 12, 5, "pad: 2", group=2))
    x = pool(net, "pool2", x, 3, 2)  # 3
    x = net.relu(dense(net, "fc6", x, 12 * 9, 16))
    x = net.add("Dropout", "drop6", x, x, "dropout_param { dropout_ratio: 0.5 }")
    net.add("Softmax", "prob", dense(net, "fc8", x, 16, 10))
    imported = check(net, (3, 67, 67), tmp_path, rng)
    assert count_nodes(imported) == {
        "Conv": 2, "Flatten": 1, "Gemm": 2, "LRN": 1, "MaxPool": 2, "Relu": 3, "Softmax": 1,
    }  # fmt: skip


def test_vgg(tmp_path, rng):
    net = SeededNet(3, 32, 32)
    x = net.relu(net.conv("conv1_1", "data", 6, 3, "pad: 1"))
    x = pool(net, "pool1", net.relu(net.conv("conv1_2", x, 6, 3, "pad: 1")), 2, 2)
    x = pool(net, "pool2", net.relu(net.conv("conv2_1", x, 8, 3, "pad: 1")), 2, 2)
    x = net.relu(dense(net, "fc6", x, 8 * 64, 16))
    net.add("Softmax", "prob", dense(net, "fc8", x, 16, 10))
    check(net, (3, 32, 32), tmp_path, rng)


def test_googlenet_inception(tmp_path, rng):
    net = SeededNet(3, 56, 56)
    x = net.relu(net.conv("conv1", "data", 8, 7, "pad: 3 stride: 2"))  # 28
    x = pool(net, "pool1", x, 3, 2)  # 14: rounded up from 13.5
    one = net.relu(net.conv("1x1", x, 4, 1))
    three = net.relu(net.conv("3x3", net.relu(net.conv("3x3_reduce", x, 3, 1)), 6, 3, "pad: 1"))
    five = net.relu(net.conv("5x5", net.relu(net.conv("5x5_reduce", x, 2, 1)), 4, 5, "pad: 2"))
    side = net.relu(net.conv("pool_proj", pool(net, "pool", x, 3, 1, pad=1), 3, 1))
    x = net.add("Concat", "output", f"{one} {three} {five} {side}")
    x = pool(net, "pool5", x, 7, 1, "AVE")  # 8
    net.add("Softmax", "prob", dense(net, "classifier", x, 17 * 64, 10))
    check(net, (3, 56, 56), tmp_path, rng)


def test_resnet_folds_batch_norm_and_scale_into_each_convolution(tmp_path, rng):
    net = SeededNet(3, 33, 33)
    x = net.relu(net.batch_norm(net.conv("conv1", "data", 8, 7, "pad: 3 stride: 2", bias=False)))  # 17
    x = pool(net, "pool1", x, 3, 2)
    short = net.batch_norm(net.conv("branch1", x, 16, 1, bias=False))
    long = net.relu(net.batch_norm(net.conv("branch2a", x, 8, 1)))
    long = net.batch_norm(net.conv("branch2b", long, 16, 3, "pad: 1", bias=False))
    x = net.relu(net.add("Eltwise", "res", f"{short} {long}"))
    x = net.add("Pooling", "pool5", x, params="pooling_param { pool: AVE kernel_size: 8 stride: 1 }")
    net.add("Softmax", "prob", dense(net, "fc", x, 16, 10))
    imported = check(net, (3, 33, 33), tmp_path, rng)
    assert count_nodes(imported) == {
        "Add": 1, "AveragePool": 1, "Conv": 4, "Flatten": 1, "Gemm": 1, "MaxPool": 1, "Relu": 3, "Softmax": 1,
    }  # fmt: skip


def test_pre_activation_batch_norm_is_one_node(tmp_path, rng):
    net = SeededNet(3, 16, 16)
    first = net.conv("conv1", "data", 8, 3)
    net.channels["bn"] = 8
    net.weights["norm"] = [net.draw(8, scale=0.2), np.full(8, 2, np.float32), np.array([2], np.float32)]
    net.add("BatchNorm", "norm", first, "bn")
    net.weights["scale"] = [net.draw(8, scale=1.0), net.draw(8, scale=1.0)]
    net.add("Scale", "scale", "bn", "bn", "scale_param { bias_term: true }")
    x = net.conv("conv2", net.relu("bn"), 8, 3)
    net.add("Crop", "short", f"{first} {x}", params="crop_param { axis: 2 offset: 1 }")  # a second reader of conv1
    net.add("Eltwise", "sum", f"{x} short")
    imported = check(net, (3, 16, 16), tmp_path, rng)
    assert count_nodes(imported)["BatchNormalization"] == 1


def test_squeezenet_fire(tmp_path, rng):
    net = SeededNet(3, 31, 31)
    x = net.relu(net.conv("conv1", "data", 8, 3, "stride: 2"))
    x = net.relu(net.conv("squeeze1x1", pool(net, "pool1", x, 3, 2), 4, 1))
    left, right = net.relu(net.conv("expand1x1", x, 6, 1)), net.relu(net.conv("expand3x3", x, 6, 3, "pad: 1"))
    x = net.add("Concat", "concat", f"{left} {right}")
    x = net.add("Dropout", "drop9", x, x)
    net.channels[x] = 12
    x = net.relu(net.conv("conv10", x, 10, 1))
    x = net.add("Pooling", "pool10", x, params="pooling_param { pool: AVE global_pooling: true }")
    net.add("Softmax", "prob", x)
    check(net, (3, 31, 31), tmp_path, rng)


@pytest.mark.parametrize("kind", ["Convolution", "DepthwiseConvolution"])
def test_mobilenet_v2_inverted_residual(kind, tmp_path, rng):
    net = SeededNet(3, 32, 32)
    x = net.batch_norm(net.conv("conv1", "data", 8, 3, "pad: 1 stride: 2", bias=False))
    wide = net.add("ReLU6", "relu6_1", net.batch_norm(net.conv("expand", x, 24, 1, bias=False)))
    wide = net.batch_norm(net.conv("dw", wide, 24, 3, "pad: 1", group=24, bias=False, kind=kind))
    wide = net.add("ReLU6", "relu6_2", wide, wide)
    narrow = net.batch_norm(net.conv("linear", wide, 8, 1, bias=False))
    x = net.add("Eltwise", "block", f"{x} {narrow}")
    x = net.add("Pooling", "pool6", x, params="pooling_param { pool: AVE global_pooling: true }")
    net.conv("fc7", x, 10, 1)
    imported = check(net, (3, 32, 32), tmp_path, rng)
    assert "BatchNormalization" not in count_nodes(imported)


def test_bias_layer_and_deconvolution_take_part_in_folding(tmp_path, rng):
    net = SeededNet(4, 9, 9)
    net.weights["up"] = [net.draw(4, 3, 4, 4)]
    x = net.add(
        "Deconvolution",
        "up",
        params="convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 2 bias_term: false }",
    )
    net.channels[x] = 6
    x = net.batch_norm(x)
    net.weights["bias"] = [net.draw(6, scale=1.0)]
    x = net.add("Bias", "bias", x, "shifted")
    net.weights["dense"] = [net.draw(5, 6 * 18 * 18), net.draw(5)]
    x = net.add("InnerProduct", "dense", x, params="inner_product_param { num_output: 5 }")
    net.channels["dense"] = 5
    net.batch_norm(x)
    imported = check(net, (4, 9, 9), tmp_path, rng)
    assert count_nodes(imported) == {"ConvTranspose": 1, "Flatten": 1, "Gemm": 1}


def test_an_output_between_convolution_and_batch_norm_stays(tmp_path, rng):
    net = SeededNet(3, 9, 9)
    net.add("ReLU", "relu", net.conv("conv", "data", 4, 3), "act")
    net.weights["scale"] = [net.draw(4, scale=1.0)]
    net.add("Scale", "scale", "conv", "scaled")
    imported = net.read(tmp_path, outputs=("conv", "scaled"))
    batch = rng.normal(size=(2, 3, 9, 9)).astype(np.float32)
    assert_agrees(imported, batch, tmp_path, 1e-5)
    assert [output.name for output in imported.graph.graph.output] == ["conv", "scaled"]


def test_in_place_layers_can_each_be_asked_for(tmp_path, rng):
    net = SeededNet(3, 9, 9)
    net.add("TanH", "tanh", net.relu(net.conv("conv", "data", 4, 3)), "conv")
    imported = net.read(tmp_path)
    batch = rng.normal(size=(2, 3, 9, 9)).astype(np.float32)
    names = [node.output[0] for node in imported.graph.graph.node]
    assert names == ["conv@conv", "conv@relu_conv", "conv"]
    found = imported.source.run_layers(batch, [*names, "nobody"])
    assert list(found) == names
    np.testing.assert_allclose(found["conv@relu_conv"], np.maximum(found["conv@conv"], 0))
    np.testing.assert_allclose(found["conv"], np.tanh(found["conv@relu_conv"]), atol=1e-6)


def test_weights_for_other_channels_are_refused(tmp_path):
    net = SeededNet(3, 9, 9)
    net.batch_norm(net.conv("conv", "data", 4, 3))
    net.weights["scale_conv"] = [np.ones(5, np.float32), np.ones(5, np.float32)]
    with pytest.raises(InvalidInput, match="scale_conv"):
        net.read(tmp_path)


def test_negative_variance_is_refused(tmp_path):
    net = SeededNet(3, 9, 9)
    net.batch_norm(net.conv("conv", "data", 4, 3))
    net.weights["bn_conv"][1][2] = -9
    with pytest.raises(InvalidInput, match="bn_conv has a negative variance"):
        net.read(tmp_path)


def test_a_batch_norm_that_wants_batch_statistics_is_noted(tmp_path):
    net = SeededNet(3, 9, 9)
    net.batch_norm(net.conv("conv", "data", 4, 3))
    net.text = net.text.replace("use_global_stats: true", "use_global_stats: false")
    assert any("bn_conv" in note for note in net.read(tmp_path).notes)
