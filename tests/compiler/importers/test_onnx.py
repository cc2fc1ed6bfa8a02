"""ONNX files of many makers come in our form, mean the same in it, and are refused in one line when they cannot."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from import_checks import NETWORKS, SHARED, assert_agrees, input_shape, need, run_graph
from onnx import TensorProto, helper, numpy_helper
from onnx_toys import CONV, add_metadata, constant, import_model, import_text, random_batch, toy, weight

from sightline.compiler.graphs import count_operators
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.onnx.importer import OnnxImporter
from sightline.compiler.importing.input_specs import takes_whole_numbers
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import InputSpec
from sightline.imaging.files.reading import read_image
from sightline.imaging.preprocessing import prepare_batch

REAL_FILES = {
    "winml-onnx/SqueezeNet_fp16.onnx": {"softmaxout_1": (1000, 1, 1)},
    "winml-onnx/mnist.onnx": {"Plus214_Output_0": (10,)},
    "fastestdet-coco/FastestDet.onnx": {"758": (85, 22, 22)},
    "ultraface-slim-320/version-slim-320.onnx": {"scores": (4420, 2), "boxes": (4420, 4)},
    "ultraface-slim-320/version-slim-320_simplified.onnx": {"scores": (4420, 2), "boxes": (4420, 4)},
    "samplenet-omz/test_models/samplenet.onnx": {"fc3": (10,)},
    "onnx-light-no-weights/light_resnet50.onnx": {"gpu_0/softmax_1": (1000,)},
    "onnx-light-no-weights/light_shufflenet.onnx": {"gpu_0/softmax_1": (1000,)},
    "onnx-light-no-weights/light_squeezenet.onnx": {"softmaxout_1": (1000, 1, 1)},
}


def import_real(name: str, **options: object) -> ImportedGraph:
    return OnnxImporter().read(need(NETWORKS / name), ImportOptions(**options))


def assert_our_form(imported: ImportedGraph) -> None:
    graph = imported.graph.graph
    assert imported.graph.opset_import[0].version in (17, 18)
    assert len(imported.graph.opset_import) == 1
    assert imported.graph.ir_version <= 10
    assert len(graph.input) == 1
    for value in [*graph.input, *graph.output]:
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    names = [node.name for node in graph.node]
    assert all(names)
    assert len(names) == len(set(names))


def test_inputs_that_nothing_needs_are_not_asked_for_and_nodes_may_share_a_name(tmp_path: Path) -> None:
    model = toy()
    value_info = helper.make_tensor_value_info
    model.graph.input.extend([value_info("unread", TensorProto.FLOAT, [1]), value_info("other", TensorProto.FLOAT, [1])])
    model.graph.node.append(helper.make_node("Neg", ["other"], ["beside"]))
    model.graph.output.append(value_info("beside", TensorProto.FLOAT, [1]))
    for one in model.graph.node:
        one.name = "same"
    imported = import_model(model, tmp_path, outputs=("y",))
    assert_our_form(imported)
    assert_agrees(imported, random_batch(imported), tmp_path)


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_file_comes_in_our_form_and_computes_what_its_file_does(name: str, tmp_path: Path) -> None:
    imported = import_real(name)
    assert_our_form(imported)
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim[1:])
        for value in imported.graph.graph.output
    }
    assert shapes == REAL_FILES[name]
    assert_agrees(imported, random_batch(imported), tmp_path)
    assert imported.source.is_own_framework
    assert imported.precision == "fp32"
    imported.source.close()


@pytest.mark.parametrize("name", ["ultraface-slim-320/version-slim-320.onnx", "fastestdet-coco/FastestDet.onnx"])
def test_rows_of_a_batch_equal_single_runs(name: str, tmp_path: Path) -> None:
    imported = import_real(name)
    batch = random_batch(imported)
    together = run_graph(imported.graph, batch, tmp_path)
    for row in range(3):
        alone = run_graph(imported.graph, batch[row : row + 1], tmp_path)
        for output, values in alone.items():
            np.testing.assert_allclose(together[output][row : row + 1], values, atol=1e-5)


def test_layers_of_the_source_are_told_by_the_graphs_names() -> None:
    imported = import_real("ultraface-slim-320/version-slim-320.onnx")
    names = [node.output[0] for node in imported.graph.graph.node]
    layers = imported.source.run_layers(random_batch(imported, 1), [*names, "unheard of"])
    assert set(layers) == set(names)
    assert layers["scores"].shape == (1, 4420, 2)


def test_layers_without_a_row_for_each_picture_are_left_out_of_a_batch() -> None:
    imported = import_real("fastestdet-coco/FastestDet.onnx")
    first_reshape = next(node.output[0] for node in imported.graph.graph.node if node.op_type == "Reshape")
    assert first_reshape in imported.source.run_layers(random_batch(imported, 1), [first_reshape])
    assert imported.source.run_layers(random_batch(imported, 2), [first_reshape]) == {}


def test_squeezenet_reaches_its_known_accuracy(tmp_path: Path) -> None:
    """64.0 % top-1 and 85.3 % top-5 on the first 150 sample pictures with BGR minus 104/117/123, measured beforehand; 0.7 %
    with torch's mean and std. Ways to resize (area, bilinear, bicubic) alone move the first between 64 and 68 %.
    """
    imported = import_real("winml-onnx/SqueezeNet_fp16.onnx")
    assert "16-bit float" in imported.notes[0]
    folder = SHARED / "classification/imagenet-sample"
    rows = [row.split(",") for row in need(folder / "labels.csv").read_text().splitlines()[1:151]]
    labels = np.array([int(row[1]) for row in rows])
    spec = InputSpec(
        width=224, height=224, colour="BGR", mean=(104, 117, 123), std=(1, 1, 1), resize="centre_crop", crop_fraction=0.875
    )
    batch, _ = prepare_batch([read_image(folder / row[0]) for row in rows], spec)
    scores = run_graph(imported.graph, batch, tmp_path)["softmaxout_1"].reshape(150, 1000)
    best = np.argsort(-scores, axis=1)[:, :5]
    assert (best[:, 0] == labels).mean() == pytest.approx(0.640, abs=0.04)
    assert (best == labels[:, None]).any(axis=1).mean() == pytest.approx(0.853, abs=0.02)
    assert_agrees(imported, batch[:16], tmp_path)
    wrong = (batch + np.float32([104, 117, 123])[:, None, None] - 114) / 58  # about torch's normalisation, still BGR
    scores = run_graph(imported.graph, wrong, tmp_path)["softmaxout_1"].reshape(150, 1000)
    assert (scores.argmax(axis=1) == labels).mean() < 0.03


def test_samplenet_reaches_its_known_accuracy(tmp_path: Path) -> None:
    """66.9 % on the 2,000 CIFAR pictures as BGR, measured beforehand."""
    imported = import_real("samplenet-omz/test_models/samplenet.onnx")
    folders = sorted(need(SHARED / "classification/cifar10-jpg/test").iterdir())
    pictures = np.stack([read_image(path) for folder in folders for path in sorted(folder.iterdir())])
    labels = np.repeat(np.arange(10), [len(list(folder.iterdir())) for folder in folders])
    mean, std = np.float32([125.307, 122.961, 113.8575]), np.float32([51.5865, 50.847, 51.255])  # red's first, as published
    batch = ((pictures[..., ::-1] - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    scores = run_graph(imported.graph, batch, tmp_path)["fc3"]
    assert (scores.argmax(axis=1) == labels).mean() == pytest.approx(0.669, abs=0.001)


def test_image_metadata_of_a_file_states_colour_and_range() -> None:
    stated = import_real("winml-onnx/mnist.onnx").stated
    assert (stated.colour, stated.mean, stated.std) == ("GRAY", (0.0,), (1.0,))


def test_dynamic_size_is_taken_from_the_options(tmp_path: Path) -> None:
    text = CONV.format(shape="N, 3, H, W")
    imported = import_text(text, tmp_path, weight("w", 5, 3, 3, 3), width=20, height=12)
    assert input_shape(imported.graph) == (3, 12, 20)
    assert_our_form(imported)
    with pytest.raises(InvalidInput, match="say `width` and `height`"):
        import_text(text, tmp_path, weight("w", 5, 3, 3, 3))


def test_size_against_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"expected width 16, as network\.onnx fixes it, got 20"):
        import_text(CONV.format(shape="1, 3, 8, 16"), tmp_path, weight("w", 5, 3, 3, 3), width=20)


def test_network_ends_at_the_named_outputs(tmp_path: Path) -> None:
    imported = import_real("ultraface-slim-320/version-slim-320.onnx", outputs=("scores",))
    assert [value.name for value in imported.graph.graph.output] == ["scores"]
    assert "Exp" not in count_operators(imported.graph)
    assert_agrees(imported, random_batch(imported), tmp_path)
    with pytest.raises(InvalidInput, match="has no tensor nowhere; its own outputs are scores, boxes"):
        import_real("ultraface-slim-320/version-slim-320.onnx", outputs=("nowhere",))


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ("float[N, 10] x", r"its input x is \(\?, 10\), a batch of pictures has four axes"),
        ("float[1, 4, 8, 8] x", "pictures have 1 or 3 channels"),
        ("float[1, 3, 8, 8] x, float[1, 3, 8, 8] z", r"it takes 2 inputs \(x, z\)"),
        ("seq(float[1, 3, 8, 8]) x", "its input x is a sequence"),
    ],
)
def test_what_is_no_vision_network_is_refused(inputs: str, reason: str, tmp_path: Path) -> None:
    body = "y = Add (x, z)" if "z" in inputs else "y = ConcatFromSequence <axis = 0> (x)" if "seq" in inputs else "y = Relu (x)"
    text = f'<ir_version: 8, opset_import: ["" : 17]> net ({inputs}) => (float[a, b] y) {{ {body} }}'
    text = text.replace("[a, b]", "[a, b]" if "10" in inputs else "[a, b, c, d]")
    with pytest.raises(Unsupported, match=f"is no vision network: .*{reason}|is no vision network: {reason}"):
        import_text(text, tmp_path)


def test_foreign_operators_are_refused_by_name(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "acme" : 1]> net (float[1, 3, 8, 8] x) => (float[1, 3, 8, 8] y) {
        y = acme.Sharpen (x)
    }"""
    with pytest.raises(Unsupported, match="outside the ONNX standard: acme:Sharpen"):
        import_text(text, tmp_path)


def test_loops_are_refused(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[1, 3, 8, 8] x) => (float[1, 3, 8, 8] y) {
        y = Loop (n, t, x) <body = body (int64 i, bool go, float[1, 3, 8, 8] a) => (bool go2, float[1, 3, 8, 8] b) {
            go2 = Identity (go)  b = Relu (a) }>
    }"""
    with pytest.raises(Unsupported, match=r"holds loops \(Loop\)"):
        import_text(text, tmp_path, constant("n", [10**12]), numpy_helper.from_array(np.array(True), "t"))


def test_network_that_indexes_the_batch_is_refused(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[1, 3, 8, 8] x) => (float[3, 8, 8] y) {
        y = Gather <axis = 0> (x, zero)
    }"""
    with pytest.raises(Unsupported, match=r"output y of network\.onnx has no row for each picture"):
        import_text(text, tmp_path, numpy_helper.from_array(np.array(0), "zero"))


def test_network_that_mixes_the_pictures_of_a_batch_is_refused(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) {
        m = ReduceMean <axes = [0], keepdims = 1> (x)
        y = Sub (x, m)
    }"""
    with pytest.raises(Unsupported, match="mixes the pictures of a batch"):
        import_text(text, tmp_path)


def test_network_that_gives_no_numbers_for_more_than_one_picture_is_refused(tmp_path: Path) -> None:
    """Logarithm of 2 less the number of pictures: 0 for one, none for three."""
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) {
        z = Mul (x, zero)
        o = Add (z, one)
        s = ReduceSum <keepdims = 1> (o, axes)
        d = Sub (two, s)
        l = Log (d)
        y = Add (x, l)
    }"""
    numbers = {"zero": np.float32(0), "one": np.float32(1 / 192), "two": np.float32(2), "axes": np.arange(4)}
    with pytest.raises(Unsupported, match="mixes the pictures of a batch"):
        import_text(text, tmp_path, *(numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()))


def test_network_whose_pictures_give_no_numbers_alone_either_is_taken(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) {
        y = Sqrt (x)
    }"""
    import_text(text, tmp_path)


def test_fixed_batch_is_freed_through_reshape_expand_squeeze_and_resize(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[1, 3, 6, 6] x) => (float[1, 18] y, float[4] z) {
        c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
        g = Reshape (c, groups)
        t = Transpose <perm = [0, 2, 1, 3]> (g)
        s = Reshape (t, back)
        r = Resize <mode = "nearest"> (s, , , sizes)
        p = GlobalAveragePool (r)
        z = Squeeze (p)
        q = Reshape (p, flat)
        e = Expand (q, wide)
        f = Reshape (e, minus)
        m = MatMul (f, w2)
        y = Identity (m)
    }"""
    weights = [weight("w", 4, 3, 3, 3), weight("w2", 12, 18), constant("groups", [1, 2, 2, 36]), constant("back", [1, 4, 6, 6])]
    weights += [constant("sizes", [1, 4, 11, 13]), constant("flat", [1, 4, 1]), constant("wide", [1, 4, 3])]
    imported = import_text(text, tmp_path, *weights, constant("minus", [1, -1]))
    assert_our_form(imported)
    assert imported.graph.graph.output[1].type.tensor_type.shape.dim[1].dim_value == 4
    assert any("the batch was fixed to 1" in note for note in imported.notes)
    assert_agrees(imported, random_batch(imported), tmp_path)


def test_file_with_a_fixed_batch_of_two_is_freed_and_run_in_twos(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[2, 3, 4, 4] x) => (float[2, 5] y) {
        r = Reshape (x, flat)
        y = MatMul (r, w)
    }"""
    imported = import_text(text, tmp_path, constant("flat", [2, 48]), weight("w", 48, 5))
    assert_agrees(imported, random_batch(imported), tmp_path)


def test_integer_picture_and_answer_come_as_float(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (uint8[1, 8, 8, 3] x) => (int64[1, 8, 8] y) {
        f = Cast <to = 1> (x)
        t = Transpose <perm = [0, 3, 1, 2]> (f)
        c = Conv <kernel_shape = [1, 1]> (t, w)
        y = ArgMax <axis = 1, keepdims = 0> (c)
    }"""
    imported = import_text(text, tmp_path, weight("w", 4, 3, 1, 1))
    assert_our_form(imported)
    assert input_shape(imported.graph) == (8, 8, 3)
    assert takes_whole_numbers(imported.graph)
    pictures = np.random.default_rng(3).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)
    assert_agrees(imported, pictures, tmp_path)


def test_pictures_of_int8_are_refused_as_they_cannot_hold_pixels(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (int8[1, 3, 8, 8] x) => (float[1, 4, 8, 8] y) {
        f = Cast <to = 1> (x)
        y = Conv <kernel_shape = [1, 1]> (f, w)
    }"""
    with pytest.raises(Unsupported, match=r"int8 pictures in x, which cannot hold pixels 0\.\.255; export it"):
        import_text(text, tmp_path, weight("w", 4, 3, 1, 1))


@pytest.mark.parametrize(("metadata", "resize"), [({"stride": "16", "names": "{0: 'a', 1: 'b'}"}, "letterbox"), ({}, None)])
def test_a_yolov5_that_only_its_head_betrays_is_letterboxed(
    metadata: dict[str, str], resize: str | None, tmp_path: Path
) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[1, 3, 32, 32] x) => (float[1, 4, 7] y) {
        c = Conv <strides = [16, 16]> (x, w)
        s = Sigmoid (c)
        r = Reshape (s, flat)
        y = Transpose <perm = [0, 2, 1]> (r)
    }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend([weight("w", 7, 3, 16, 16), constant("flat", [1, 7, 4])])
    imported = import_model(add_metadata(model, metadata), tmp_path)
    assert (imported.decode is not None, imported.stated.resize) == (resize is not None, resize)


def test_young_operators_are_written_in_opset_18(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 22]> net (float[N, 3, 8, 8] x) => (float[N, 4, 8, 8] y) {
        c = Conv <kernel_shape = [1, 1]> (x, w)
        h = Cast <to = 1, saturate = 1> (c)
        y = Gelu (h)
    }"""
    imported = import_text(text, tmp_path, weight("w", 4, 3, 1, 1))
    assert_our_form(imported)
    assert "opset 22 was converted to 18" in imported.notes
    assert_agrees(imported, random_batch(imported), tmp_path)


def test_operator_without_an_equal_in_opset_18_is_refused_by_name(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 22]> net (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) {
        y = DeformConv <kernel_shape = [1, 1]> (x, w, o)
    }"""
    offset = numpy_helper.from_array(np.zeros((1, 2, 8, 8), np.float32), "o")
    with pytest.raises(Unsupported, match=r"\(opset 22\) uses DeformConv, which opset 18 lacks"):
        import_text(text, tmp_path, weight("w", 3, 3, 1, 1), offset)


def test_old_batch_normalisation_and_broadcast_are_converted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], is_test=1, epsilon=1e-3),
        helper.make_node("Add", ["n", "bias"], ["a"], axis=1, broadcast=1),
        helper.make_node("Dropout", ["a"], ["y", "mask"], is_test=1, ratio=0.5),
    ]
    shape = [1, 4, 8, 8]
    weights = [weight("w", 4, 3, 1, 1), weight("s", 4), weight("b", 4), weight("m", 4), constant("v", [0.5, 1.0, 2.0, 3.0])]
    weights.append(weight("bias", 4))
    stated = [helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims) for tensor in weights]
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]), *stated],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        weights,
    )
    imported = import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=3), tmp_path)
    assert_our_form(imported)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in weights}
    batch = random_batch(imported)
    conv = np.einsum("nchw,oc->nohw", batch, arrays["w"][:, :, 0, 0])

    def along(name: str) -> np.ndarray:
        return arrays[name][:, None, None]

    expected = (conv - along("m")) / np.sqrt(along("v") + 1e-3) * along("s") + along("b") + along("bias")
    np.testing.assert_allclose(run_graph(imported.graph, batch, tmp_path)["y"], expected, atol=1e-5)


def quantise_toy(folder: Path, format_name: str) -> Path:
    """A toy network quantised by ONNX Runtime's own quantiser."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[N, 3, 8, 8] x) => (float[N, 4] y) {
        c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
        r = Relu (c)
        d = Conv <kernel_shape = [1, 1]> (r, v)
        l = LeakyRelu <alpha = 0.1> (d)
        a = Add (l, r)
        k = Concat <axis = 1> (a, r)
        p = GlobalAveragePool (k)
        f = Flatten (p)
        y = Gemm <transB = 1> (f, g, h)
    }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend([weight("w", 8, 3, 3, 3), weight("v", 8, 8, 1, 1), weight("g", 4, 16), weight("h", 4)])
    onnx.save(model, folder / "float.onnx")

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(np.random.default_rng(0).uniform(-1, 1, (8, 1, 3, 8, 8)).astype(np.float32))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {"x": batch}

    quantize_static(
        folder / "float.onnx", folder / "int8.onnx", Pictures(), quant_format=QuantFormat[format_name], per_channel=True
    )
    return folder / "int8.onnx"


def test_qdq_file_is_kept_as_it_is(tmp_path: Path) -> None:
    path = quantise_toy(tmp_path, "QDQ")
    before, imported = count_operators(onnx.load(path)), OnnxImporter().read(path, ImportOptions())
    assert imported.precision == "int8"
    assert before["QuantizeLinear"] > 0
    assert count_operators(imported.graph) == before
    assert_agrees(imported, random_batch(imported), tmp_path)


def test_qoperator_file_comes_in_standard_operators(tmp_path: Path) -> None:
    path = quantise_toy(tmp_path, "QOperator")
    domains = {node.domain for node in onnx.load(path).graph.node}
    assert "com.microsoft" in domains
    imported = OnnxImporter().read(path, ImportOptions())
    assert imported.precision == "int8"
    assert {node.domain for node in imported.graph.graph.node} == {""}
    assert "QLinearConv" in count_operators(imported.graph)
    batch = random_batch(imported, 8)
    expected, got = imported.source.run(batch)["y"], run_graph(imported.graph, batch, tmp_path)["y"]
    step = float(next(numpy_helper.to_array(t) for t in imported.graph.graph.initializer if t.name == "y_scale"))
    assert np.abs(expected - got).max() <= 1.001 * step  # ties of integer rounding may fall to the other side


def test_other_files_are_not_taken_for_onnx(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a network")
    (tmp_path / "network.bin").write_bytes(b"\x08\x08")
    (tmp_path / "folder.onnx").mkdir()
    for name in ("text.onnx", "network.bin", "folder.onnx", "absent.onnx"):
        assert not OnnxImporter().detect(tmp_path / name)
