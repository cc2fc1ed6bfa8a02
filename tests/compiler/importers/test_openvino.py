"""OpenVINO IR files: a real one, our own, one that NNCF quantised, and damaged ones."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import openvino
import openvino.opset13 as ops
import pytest
from import_checks import MAX_ERROR, NETWORKS, SHARED, assert_agrees, need, run_graph

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.openvino.importer import OpenvinoImporter
from sightline.compiler.importing.input_specs import make_input_spec, takes_whole_numbers
from sightline.compiler.openvino_files import make_model_info, make_own_info, write_ir
from sightline.core.errors import InvalidInput, NotFound, SightlineError, Unsupported
from sightline.core.manifests import DecodeSpec, InputSpec, ModelManifest
from sightline.imaging.files.reading import read_image

SAMPLENET = NETWORKS / "samplenet-omz" / "test_models" / "SampLeNet.xml"
CIFAR = SHARED / "classification" / "cifar10-jpg" / "test"
CIFAR_MEAN = np.array([125.307, 122.961, 113.8575], np.float32)
CIFAR_STD = np.array([51.5865, 50.847, 51.255], np.float32)


def read_cifar(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `(N, 3, 32, 32)` RGB, normalised, and labels `(N,)`; the same number of each class."""
    folders = sorted(path for path in need(CIFAR).iterdir() if path.is_dir())
    chosen = [(path, label) for label, folder in enumerate(folders) for path in sorted(folder.iterdir())[: count // 10]]
    pictures = np.stack([read_image(path) for path, _ in chosen]).astype(np.float32)
    return ((pictures - CIFAR_MEAN) / CIFAR_STD).transpose(0, 3, 1, 2), np.array([label for _, label in chosen])


def import_file(path: Path, **options: Any) -> Any:
    return OpenvinoImporter().read(path, ImportOptions(**options))


def save(model: Any, path: Path) -> Path:
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def make_small(channels: int = 3, layout: str = "NCHW") -> Any:
    """conv 3x3 with 4 outputs, ReLU, mean, 5 classes."""
    rng = np.random.default_rng(5)
    picture = ops.parameter([1, channels, 12, 12], np.float32, name="picture")
    picture.set_layout(openvino.Layout(layout))
    kernel = ops.constant(rng.normal(size=(4, channels, 3, 3)).astype(np.float32))
    x = ops.relu(ops.convolution(picture, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    x = ops.reshape(ops.reduce_mean(x, ops.constant(np.array([2, 3])), True), ops.constant(np.array([1, 4])), False)
    scores = ops.matmul(x, ops.constant(rng.normal(size=(4, 5)).astype(np.float32)), False, False)
    return openvino.Model([ops.result(scores, name="scores")], [picture], "small")


def make_manifest(**changes: Any) -> ModelManifest:
    return ModelManifest(
        name="small",
        task="classification",
        network="small",
        categories=("cat", "hot_dog", "bird", "car", "ship"),
        input=InputSpec(width=12, height=12, **changes),
        decode=DecodeSpec(head="softmax", outputs=("scores",)),
        parameter_count=1,
        created_at="2026-01-01T00:00:00Z",
        files={},
    )


def write_onnx(folder: Path) -> Path:
    """An ONNX file of the small network, through our own converter."""
    path = folder / "model.onnx"
    onnx.save(import_file(save(make_small(), folder / "small.xml")).graph, path)
    return path


def test_the_real_file_agrees_with_openvino(tmp_path: Path) -> None:
    imported = import_file(need(SAMPLENET))
    assert_agrees(imported, read_cifar(20)[0], tmp_path)
    assert imported.source.is_own_framework
    assert [path.name for path in imported.files] == ["SampLeNet.xml", "SampLeNet.bin"]


def test_the_real_file_recognises_two_of_three_pictures(tmp_path: Path) -> None:
    imported = import_file(need(SAMPLENET))
    batch, labels = read_cifar(300)
    scores = run_graph(imported.graph, batch, tmp_path)["fc3"]
    assert (scores.argmax(axis=1) == labels).mean() > 0.6  # the other channel order and other means cost 10 points and more


def test_layers_keep_their_names_and_biases_are_folded() -> None:
    graph = import_file(need(SAMPLENET)).graph.graph
    assert [node.op_type for node in graph.node] == ["Conv", "Relu", "MaxPool"] * 2 + ["Reshape"] + ["Gemm", "Relu"] * 2 + [
        "Gemm"
    ]
    assert {"conv1", "relu_conv1", "pool1", "conv2", "fc1", "fc3"} <= {name for node in graph.node for name in node.output}


def test_layers_can_be_asked_of_the_source(tmp_path: Path) -> None:
    imported = import_file(need(SAMPLENET))
    batch = read_cifar(10)[0]
    found = imported.source.run_layers(batch, ["conv1", "pool2", "no_such_layer"])
    assert set(found) == {"conv1", "pool2"}
    cut = import_file(SAMPLENET, outputs=("conv1", "pool2"))
    for name, values in run_graph(cut.graph, batch, tmp_path).items():
        assert np.abs(values - found[name]).max() < MAX_ERROR * np.abs(found[name]).max()


def test_either_file_names_the_network() -> None:
    importer = OpenvinoImporter()
    assert importer.detect(need(SAMPLENET)) and importer.detect(SAMPLENET.with_suffix(".bin"))
    assert import_file(SAMPLENET.with_suffix(".bin")).graph == import_file(SAMPLENET).graph


def test_other_files_are_not_ours(tmp_path: Path) -> None:
    importer = OpenvinoImporter()
    (tmp_path / "labels.xml").write_text("<annotation><object/></annotation>")
    (tmp_path / "weights.bin").write_bytes(b"1234")
    (tmp_path / "folder.xml").mkdir()
    for name in ("labels.xml", "weights.bin", "folder.xml", "absent.xml", ""):
        assert not importer.detect(tmp_path / name)


@pytest.mark.parametrize(
    "spec",
    [
        {"colour": "BGR", "mean": (104.0, 117.0, 123.0), "std": (1.0, 1.0, 1.0), "resize": "stretch"},
        {"colour": "RGB", "mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375), "resize": "centre_crop"},
        {"resize": "centre_crop", "crop_fraction": 224 / 232, "shrink": "bilinear"},
        {"resize": "letterbox", "shrink": "bilinear", "pad_value": 7},
        {"resize": "letterbox"},
    ],
)
def test_our_own_artifact_comes_back_with_its_spec(spec: dict[str, Any], tmp_path: Path) -> None:
    manifest = make_manifest(name="picture", **spec)
    write_ir(write_onnx(tmp_path), tmp_path / "artifact.xml", manifest)
    imported = import_file(tmp_path / "artifact.xml")
    assert make_input_spec(imported.graph, imported.stated, manifest.task) == manifest.input
    said = {name: value for name, value in msgspec.structs.asdict(imported.stated).items() if value is not None}
    assert said == {name: getattr(manifest.input, name) for name in msgspec.structs.asdict(imported.stated)}
    assert imported.categories == manifest.categories
    assert imported.notes == ()
    assert list(imported.source.run(np.zeros((1, 3, 12, 12), np.float32))) == ["scores"]


def test_categories_of_several_words_come_back_whole(tmp_path: Path) -> None:
    names = ("black-footed ferret", 'a "quoted" <name> & more', "Größe")
    write_ir(write_onnx(tmp_path), tmp_path / "artifact.xml", msgspec.structs.replace(make_manifest(), categories=names))
    assert import_file(tmp_path / "artifact.xml").categories == names


def test_an_artifact_for_pictures_of_any_size_says_that_it_is_not_one_any_more(tmp_path: Path) -> None:
    write_ir(write_onnx(tmp_path), tmp_path / "artifact.xml", make_manifest(resize="pad"))
    imported = import_file(tmp_path / "artifact.xml")
    assert imported.stated.resize is None and "name a resize rule" in imported.notes[0]


def test_what_a_stranger_writes_in_our_section_is_left_out(tmp_path: Path) -> None:
    model = make_small()
    for key, value in {"resize": "origami", "shrink": "much", "crop_fraction": "2", "categories": "[1"}.items():
        model.set_rt_info(value, ["sightline", key])
    model.set_rt_info("1", ["model_info", "scale_values"])
    model.set_rt_info("a b", ["model_info", "labels"])
    imported = import_file(save(model, tmp_path / "odd.xml"))
    stated = imported.stated
    assert imported.categories == ("a", "b")
    assert (stated.resize, stated.shrink, stated.crop_fraction) == (None, None, None)


@pytest.mark.parametrize(("switch", "colour"), [(True, "RGB"), (False, "BGR"), (None, None)])
def test_a_network_whose_channels_are_reversed_takes_rgb(switch: bool | None, colour: str | None, tmp_path: Path) -> None:
    """Model API is fed BGR pictures; Ultralytics' exporter writes True into each of its files, and those networks take RGB."""
    model = make_small()
    model.set_rt_info([255.0], ["model_info", "scale_values"])
    if switch is not None:
        model.set_rt_info(switch, ["model_info", "reverse_input_channels"])
    assert import_file(save(model, tmp_path / "theirs.xml")).stated.colour == colour


@pytest.mark.parametrize(("switch", "colour"), [("True", "BGR"), ("False", "RGB")])
def test_our_older_artifacts_are_read_as_they_were_written(switch: str, colour: str, tmp_path: Path) -> None:
    model = make_small()
    model.set_rt_info(switch, ["model_info", "reverse_input_channels"])
    model.set_rt_info("stretch", ["sightline", "resize"])
    assert import_file(save(model, tmp_path / "older.xml")).stated.colour == colour


@pytest.mark.parametrize(("colour", "switch"), [("RGB", "True"), ("BGR", "False")])
def test_our_files_tell_model_api_the_channels_in_its_words(colour: Any, switch: str) -> None:
    manifest = make_manifest(colour=colour)
    assert make_model_info(manifest)["reverse_input_channels"] == switch
    assert make_own_info(manifest)["colour"] == colour


def test_a_preprocessing_we_lack_is_noted(tmp_path: Path) -> None:
    model = make_small()
    for key, value in {"resize_type": "fit_to_window", "scale_values": "255", "labels": "a b c d e"}.items():
        model.set_rt_info(value, ["model_info", key])
    imported = import_file(save(model, tmp_path / "other.xml"))
    assert imported.stated.resize is None and imported.stated.std == (255.0, 255.0, 255.0)
    assert "fit_to_window" in imported.notes[0]


def test_what_model_optimizer_built_in_is_not_stated_again(tmp_path: Path) -> None:
    text = need(SAMPLENET).read_text()
    text = text.replace('<mean_values value="()"/>', '<mean_values value="data[104,117,123]"/>')
    text = text.replace('<reverse_input_channels value="False"/>', '<reverse_input_channels value="True"/>')
    (tmp_path / "old.xml").write_text(text)
    imported = import_file(tmp_path / "old.xml", weights=SAMPLENET.with_suffix(".bin"))
    assert imported.stated.mean == (0.0, 0.0, 0.0) and imported.stated.std == (1.0, 1.0, 1.0)
    assert imported.stated.colour is None
    assert len(imported.notes) == 2 and "104" in imported.notes[0]


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    openvino.save_model(make_small(), tmp_path / "half.xml", compress_to_fp16=True)
    imported = import_file(tmp_path / "half.xml")
    assert_agrees(imported, np.random.default_rng(0).normal(size=(3, 3, 12, 12)).astype(np.float32), tmp_path)
    assert imported.precision == "fp32"


def test_preprocessing_inside_the_network_is_carried_over(tmp_path: Path) -> None:
    """A uint8 NHWC input in BGR, as OpenVINO's own preprocessing embeds it."""
    prepared = openvino.preprocess.PrePostProcessor(make_small())
    prepared.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    prepared.input().tensor().set_color_format(openvino.preprocess.ColorFormat.BGR)
    prepared.input().model().set_layout(openvino.Layout("NCHW"))
    steps = prepared.input().preprocess().convert_element_type(openvino.Type.f32)
    steps.convert_color(openvino.preprocess.ColorFormat.RGB).mean([120.0, 110.0, 100.0]).scale([50.0, 60.0, 70.0])
    model = prepared.build()
    model.set_rt_info("True", ["model_info", "embedded_processing"])
    imported = import_file(save(model, tmp_path / "embedded.xml"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 12)).astype(np.float32)
    assert_agrees(imported, pixels, tmp_path)
    assert imported.stated.mean == (0.0, 0.0, 0.0) and imported.stated.std == (1.0, 1.0, 1.0)
    assert "embedded_processing" in imported.notes[0]
    assert imported.graph.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def make_whole(kind: str) -> Any:
    """`make_small` behind an input of whole numbers."""
    prepared = openvino.preprocess.PrePostProcessor(make_small())
    prepared.input().tensor().set_element_type(getattr(openvino.Type, kind))
    prepared.input().preprocess().convert_element_type(openvino.Type.f32)
    return prepared.build()


@pytest.mark.parametrize("kind", ["u8", "i32"])
def test_a_network_of_whole_numbers_is_fed_pixels(kind: str, tmp_path: Path) -> None:
    imported = import_file(save(make_whole(kind), tmp_path / "whole.xml"))
    assert_agrees(imported, np.random.default_rng(0).uniform(0, 255, (3, 3, 12, 12)).astype(np.float32), tmp_path)
    assert takes_whole_numbers(imported.graph)
    assert imported.notes[-1].startswith(f"the network takes {kind} pictures")
    with pytest.raises(Unsupported, match=r"can hold pixels 0\.\.255"):
        import_file(save(make_whole("i8"), tmp_path / "signed.xml"))


def test_a_gray_network_says_so(tmp_path: Path) -> None:
    assert import_file(save(make_small(channels=1), tmp_path / "gray.xml")).stated.colour == "GRAY"


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SampLeNet quantised by NNCF with 100 pictures."""
    nncf = pytest.importorskip("nncf")
    folder = tmp_path_factory.mktemp("nncf")
    model = openvino.Core().read_model(need(SAMPLENET))
    pictures = read_cifar(100)[0]
    made = nncf.quantize(model, nncf.Dataset([picture[None] for picture in pictures]), subset_size=100)
    return save(made, folder / "quantised.xml")


@pytest.mark.filterwarnings("ignore")
def test_fake_quantize_becomes_pairs_of_quantize_and_dequantize(quantised: Path, tmp_path: Path) -> None:
    imported = import_file(quantised)
    assert imported.precision == "int8"
    nodes = imported.graph.graph.node
    kinds = [node.op_type for node in nodes]
    assert kinds.count("QuantizeLinear") == 5 and kinds.count("Conv") == 2 and kinds.count("Gemm") == 3
    held = {tensor.name: tensor.data_type for tensor in imported.graph.graph.initializer}
    assert list(held.values()).count(onnx.TensorProto.INT8) == 2 * 5  # weights and zero points of five layers
    batch = read_cifar(300)[0]
    expected, got = imported.source.run(batch)["fc3"], run_graph(imported.graph, batch, tmp_path)["fc3"]
    assert np.abs(got - expected).max() < 0.03 * np.abs(expected).max()
    assert (got.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.99


@pytest.mark.filterwarnings("ignore")
def test_our_own_int8_artifact_stays_int8(quantised: Path, tmp_path: Path) -> None:
    onnx.save(import_file(quantised).graph, tmp_path / "int8.onnx")
    write_ir(tmp_path / "int8.onnx", tmp_path / "int8.xml", make_manifest())
    imported = import_file(tmp_path / "int8.xml")
    batch = read_cifar(100)[0]
    assert imported.precision == "int8"
    expected, got = run_graph(onnx.load(tmp_path / "int8.onnx"), batch, tmp_path), run_graph(imported.graph, batch, tmp_path)
    assert np.abs(got["fc3"] - expected["fc3"]).max() < MAX_ERROR * np.abs(expected["fc3"]).max()


def test_missing_and_damaged_files_say_so_in_one_line(tmp_path: Path) -> None:
    path = save(make_small(), tmp_path / "net.xml")
    text, weights = path.read_text(), path.with_suffix(".bin").read_bytes()
    cases = {
        "half.xml": (text[: len(text) // 2], weights),
        "short.xml": (text, weights[: len(weights) // 2]),
        "empty.xml": (text, b""),
        "other.xml": ("<annotation/>", weights),
        "words.xml": ("<net> this is no network", weights),
    }
    for name, (graph, data) in cases.items():
        (tmp_path / name).write_text(graph)
        (tmp_path / name).with_suffix(".bin").write_bytes(data)
        with pytest.raises(InvalidInput) as caught:
            import_file(tmp_path / name)
        assert "\n" not in str(caught.value), name
    path.with_suffix(".bin").unlink()
    with pytest.raises(NotFound, match=r"net\.bin"):
        import_file(path)


def test_flipped_bytes_end_in_an_error_or_a_network(tmp_path: Path) -> None:
    shutil.copy(need(SAMPLENET).with_suffix(".bin"), tmp_path / "flipped.bin")
    content, rng = SAMPLENET.read_bytes(), np.random.default_rng(11)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(len(content) * 3 // 4)] ^= 1 << rng.integers(7)
        (tmp_path / "flipped.xml").write_bytes(damaged)
        try:
            import_file(tmp_path / "flipped.xml")
        except SightlineError as error:
            refused += "\n" not in str(error)
    assert refused > 10


def test_what_is_no_vision_network_is_refused(tmp_path: Path) -> None:
    words = ops.parameter([1, 16], np.int32, name="tokens")
    model = openvino.Model([ops.result(ops.convert(words, "f32"))], [words], "words")
    with pytest.raises(Unsupported, match=r"picture input of four axes.*tokens \[1,16\]"):
        import_file(save(model, tmp_path / "words.xml"))
