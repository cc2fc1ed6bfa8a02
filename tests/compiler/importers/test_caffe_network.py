import numpy as np
import pytest
from caffe_files import write_caffemodel
from import_checks import assert_agrees, input_shape

from sightline.compiler.importers.caffe.importer import CaffeImporter
from sightline.compiler.importers.caffe.network import read_network
from sightline.compiler.importers.importer import ImportOptions
from sightline.core.errors import InvalidInput, NotFound, Unsupported

TRAIN_VAL = """
name: "train_val"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 12 mean_value: 1 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 10 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "side" type: "Convolution" bottom: "conv" top: "side" convolution_param { num_output: 2 kernel_size: 8 } }
layer { name: "side_loss" type: "SoftmaxWithLoss" bottom: "side" bottom: "label" top: "side_loss" loss_weight: 0.3 }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "drop" }
layer { name: "fc" type: "Convolution" bottom: "drop" top: "fc" convolution_param { num_output: 2 kernel_size: 8 } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
V1 = """
name: "v1"
input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 weight_decay: 1
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 } }
layers { name: "drop" type: DROPOUT bottom: "norm" top: "norm" }
layers { name: "join" type: CONCAT bottom: "norm" bottom: "conv" top: "join" concat_param { concat_dim: 1 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "join" top: "fc" inner_product_param { num_output: 2 } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
"""


def save(folder, text, weights, v1=False):
    (folder / "net.caffemodel").write_bytes(write_caffemodel(weights, v1))
    (folder / "net.prototxt").write_text(text)
    return folder / "net.prototxt"


def draw(rng, *shapes):
    return [rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes]


def test_a_training_net_becomes_the_net_that_answers(tmp_path, rng):
    weights = {
        name: draw(rng, shape, (shape[0],))
        for name, shape in (("conv", (4, 3, 3, 3)), ("side", (2, 4, 8, 8)), ("fc", (2, 4, 8, 8)))
    }
    imported = CaffeImporter().read(save(tmp_path, TRAIN_VAL, weights), ImportOptions())
    assert [output.name for output in imported.graph.graph.output] == ["fc"]
    assert input_shape(imported.graph) == (3, 10, 10)
    assert (imported.stated.mean, imported.stated.std, imported.stated.colour) == ((104, 117, 123), (2, 2, 2), "BGR")
    assert any("accuracy (Accuracy)" in note and "data" in note and "loss" in note for note in imported.notes)
    assert any("weighs less" in note and "side" in note for note in imported.notes)
    assert_agrees(imported, rng.normal(size=(2, 3, 10, 10)).astype(np.float32), tmp_path, 1e-5)


@pytest.mark.parametrize("v1_weights", [True, False])
def test_the_v1_schema(v1_weights, tmp_path, rng):
    weights = {"conv": draw(rng, (4, 3, 3, 3), (4,)), "fc": draw(rng, (2, 8 * 49), (2,))}
    imported = CaffeImporter().read(save(tmp_path, V1, weights, v1_weights), ImportOptions())
    assert [node.op_type for node in imported.graph.graph.node] == [
        "Conv",
        "Relu",
        "LRN",
        "Concat",
        "Flatten",
        "Gemm",
        "Softmax",
    ]
    assert_agrees(imported, rng.normal(size=(2, 3, 9, 9)).astype(np.float32), tmp_path, 1e-5)


def describe(layers, head='input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }'):
    return read_network((head + layers).encode())


def relu(name, rules="", bottom="data"):
    return f' layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{name}" {rules} }}'


@pytest.mark.parametrize(
    ("rules", "is_kept"),
    [
        ("", True),
        ("include { phase: TEST }", True),
        ("include { phase: TRAIN }", False),
        ("include { phase: TRAIN } include { phase: TEST }", True),
        ("exclude { phase: TEST }", False),
        ("exclude { phase: TRAIN }", True),
        ('include { stage: "deploy" }', True),
        ('include { stage: "val" }', False),
        ('exclude { stage: "deploy" }', False),
        ('include { not_stage: "deploy" }', False),
        ("include { min_level: 1 }", False),
        ("include { max_level: -1 }", False),
    ],
)
def test_rules_of_phase_stage_and_level(rules, is_kept):
    network = describe(relu("other") + relu("ruled", rules))
    assert [layer.name for layer in network.layers] == (["other", "ruled"] if is_kept else ["other"])


def test_a_stage_of_the_state_counts():
    network = describe(' state { stage: "val" }' + relu("ruled", 'include { stage: "val" }'))
    assert [layer.name for layer in network.layers] == ["ruled"]


def test_names_of_later_layers_get_a_number():
    network = describe(relu("a") + ' layer { name: "a" type: "TanH" bottom: "a" top: "b" }')
    assert [layer.name for layer in network.layers] == ["a", "a:2"]


def test_outputs_are_what_no_layer_reads_in_order():
    network = describe(relu("late") + relu("a") + relu("b", bottom="a"))
    assert [value.blob for value in network.unread()] == ["late", "b"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (relu("a", bottom="nobody"), InvalidInput, "a reads nobody"),
        (' layer { name: "a" bottom: "data" top: "a" }', InvalidInput, "with a type"),
        (' layers { layer { name: "a" type: "relu" } }', Unsupported, "V0"),
        (' input: "im_info"' + relu("a") + relu("b", bottom="im_info"), Unsupported, r"got 2 \(data, im_info\)"),
        ("", Unsupported, "got 0"),
        (relu("a") * 10_001, InvalidInput, "at most 10000 layers"),
    ],
)
def test_what_is_no_network_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        describe(text)


def test_an_input_that_is_no_picture_is_refused():
    with pytest.raises(Unsupported, match="channels, height, width"):
        describe(relu("a"), head='input: "data" input_shape { dim: 1 dim: 128 }')


def test_a_label_that_an_ordinary_layer_reads_is_refused():
    text = 'layer { name: "d" type: "Data" top: "data" top: "label" }' + relu("a") + relu("b", bottom="label")
    with pytest.raises(Unsupported, match="label"):
        read_network(text.encode())


@pytest.mark.parametrize("names", [("conv",), ("norm", "conv")])
def test_chosen_outputs_end_the_graph(names, tmp_path, rng):
    path = save(
        tmp_path, V1 + 'layers { name: "odd" type: MVN bottom: "fc" top: "odd" }', {"conv": draw(rng, (4, 3, 3, 3), (4,))}
    )
    imported = CaffeImporter().read(path, ImportOptions(outputs=names))
    assert [output.name for output in imported.graph.graph.output] == list(names)
    assert_agrees(imported, rng.normal(size=(2, 3, 9, 9)).astype(np.float32), tmp_path, 1e-5)
    with pytest.raises(NotFound, match="nobody"):
        CaffeImporter().read(path, ImportOptions(outputs=("nobody",)))
    with pytest.raises(InvalidInput, match="the input data"):
        CaffeImporter().read(path, ImportOptions(outputs=("data",)))
