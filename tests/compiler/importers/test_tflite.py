"""The TFLite importer on real files: what they state, what they answer, and that both engines run quantised ones in INT8."""

import csv
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from import_checks import NETWORKS, SHARED, assert_agrees, input_shape, need, read_pictures, run_graph
from tflite_models import TinyFile

from sightline.compiler.graphs import count_operators
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions, StatedInput
from sightline.compiler.importers.table import choose_importer
from sightline.compiler.importers.tflite.files import read_tflite
from sightline.compiler.importers.tflite.importer import TfliteImporter
from sightline.compiler.importers.tflite.source import OpenVinoSource
from sightline.compiler.importing.import_network import Meaning, import_network
from sightline.compiler.report.layers import count_precisions
from sightline.core.errors import InvalidInput, MissingPackage, NotFound, Unsupported
from sightline.core.manifests import InputSpec
from sightline.imaging.files.reading import read_image
from sightline.imaging.preprocessing import prepare_batch
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

CORAL = NETWORKS / "coral-tflite"
MOBILENET_V1 = CORAL / "mobilenet_v1_0.25_128_quant.tflite"
MOBILENET_V2 = CORAL / "mobilenet_v2_1.0_224_quant.tflite"
DEEPLAB = CORAL / "deeplabv3_mnv2_dm05_pascal_quant.tflite"
RESNET = NETWORKS / "mlperf-tiny-resnet8-cifar10" / "pretrainedResnet.tflite"
RESNET_INT8 = NETWORKS / "mlperf-tiny-resnet8-cifar10" / "pretrainedResnet_quant.tflite"
PERSON = NETWORKS / "tflite-micro-person-detect" / "person_detect.tflite"
ULTRAFACE = NETWORKS / "ultraface-slim-320" / "version-slim-320_without_postprocessing.tflite"


def read(path: Path) -> ImportedGraph:
    return TfliteImporter().read(need(path), ImportOptions())


@cache
def read_cifar(count: int) -> tuple[np.ndarray, np.ndarray]:
    """`(N, 3, 32, 32)` float32 RGB 0..255 and class numbers, evenly over the 2,000 test pictures."""
    paths = sorted(need(SHARED / "classification" / "cifar10-jpg" / "test").rglob("*.jpg"))
    paths = paths[:: len(paths) // count]
    classes = sorted({path.parent.name for path in paths})
    pictures = np.stack([read_image(path) for path in paths]).astype(np.float32)
    return pictures.transpose(0, 3, 1, 2), np.array([classes.index(path.parent.name) for path in paths])


def read_imagenet(imported: ImportedGraph, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Every `step`-th of the sample pictures as the file wants it, and class numbers behind "background"."""
    folder = need(SHARED / "classification" / "imagenet-sample")
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[::step]
    stated = imported.stated
    assert stated.mean and stated.std
    _, height, width = input_shape(imported.graph)
    spec = InputSpec(width=width, height=height, mean=stated.mean, std=stated.std, resize="centre_crop", crop_fraction=0.875)
    batch, _ = prepare_batch([read_image(folder / row["path"]) for row in rows], spec)
    return batch, np.array([int(row["class_index"]) + 1 for row in rows])


def answer(imported: ImportedGraph, batch: np.ndarray, folder: Path, engine: str) -> np.ndarray:
    parts = [run_graph(imported.graph, part, folder, engine) for part in np.array_split(batch, max(1, len(batch) // 50))]
    return np.concatenate([next(iter(part.values())) for part in parts])


@pytest.mark.parametrize("path", [RESNET, ULTRAFACE], ids=["resnet-8", "ultraface"])
def test_float_networks_agree_with_litert(path: Path, tmp_path: Path) -> None:
    imported = read(path)
    assert imported.precision == "fp32"
    assert imported.source.is_own_framework and imported.source.engine.startswith("ai-edge-litert ")
    assert imported.stated.mean is None
    _, height, width = input_shape(imported.graph)
    pictures = read_pictures(3, width, height)
    batch = ((pictures.transpose(0, 3, 1, 2) - 127.0) / 128.0).astype(np.float32)
    assert_agrees(imported, batch, tmp_path, 1e-4)


@pytest.mark.slow
def test_float_resnet_has_the_accuracy_measured_for_it(tmp_path: Path) -> None:
    imported = read(RESNET)
    batch, labels = read_cifar(2000)
    scores = answer(imported, batch, tmp_path, "openvino")
    assert (scores.argmax(1) == labels).mean() == pytest.approx(0.739, abs=0.001)  # data/README.md: 73.9 %


@pytest.mark.slow
def test_int8_resnet_has_the_accuracy_measured_for_it(tmp_path: Path) -> None:
    imported = read(RESNET_INT8)
    assert imported.stated == StatedInput(colour="RGB", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    batch, labels = read_cifar(2000)
    for engine in ("onnxruntime", "openvino"):
        scores = answer(imported, batch, tmp_path, engine)
        assert (scores.argmax(1) == labels).mean() == pytest.approx(0.747, abs=0.005)  # data/README.md: 74.7 %


def test_int8_resnet_in_onnx_runtime_answers_as_litert(tmp_path: Path) -> None:
    imported = read(RESNET_INT8)
    batch, _ = read_cifar(400)
    expected = imported.source.run(batch)["Identity_int8"]
    got = answer(imported, batch, tmp_path, "onnxruntime")
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.985
    assert np.abs(got - expected).max(axis=1).mean() < 3 / 256  # steps of the output's scale


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("path", "layers"),
    [(MOBILENET_V1, 28), (MOBILENET_V2, 53), (RESNET_INT8, 10), (PERSON, 28)],
    ids=["mobilenet-v1", "mobilenet-v2", "resnet-8", "person"],
)
def test_all_convolutions_of_quantised_networks_run_in_int8(path: Path, layers: int, engine: str, tmp_path: Path) -> None:
    imported = read(path)
    assert imported.precision == "int8"
    onnx.save(imported.graph, tmp_path / "network.onnx")
    shape = [dimension.dim_value or 1 for dimension in imported.graph.graph.input[0].type.tensor_type.shape.dim]
    with closing(load_backend(engine).open(tmp_path / "network.onnx", SessionOptions(profile=True))) as session:
        session.infer({session.input_names[0]: np.zeros(shape, np.float32)})
        assert count_precisions(session.layers()) == {"int8": layers}


@pytest.mark.parametrize("path", [MOBILENET_V1, MOBILENET_V2, RESNET, RESNET_INT8, PERSON])
def test_classifiers_have_no_transpose(path: Path) -> None:
    assert "Transpose" not in count_operators(read(path).graph)


def test_mobilenet_states_pixels_and_the_labels_in_its_archive() -> None:
    imported = read(MOBILENET_V2)
    assert imported.stated == StatedInput(colour="RGB", mean=(128.0,) * 3, std=(128.0,) * 3)
    assert imported.categories is not None
    assert (len(imported.categories), imported.categories[0], imported.categories[2]) == (
        1001,
        "background",
        "goldfish, Carassius auratus",
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_mobilenet_v1_answers_as_litert(engine: str, tmp_path: Path) -> None:
    imported = read(MOBILENET_V1)
    batch, labels = read_imagenet(imported, 4)
    expected = next(iter(imported.source.run(batch).values()))
    got = answer(imported, batch, tmp_path, engine)
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.94
    assert abs((got.argmax(1) == labels).mean() - (expected.argmax(1) == labels).mean()) < 0.03
    assert (expected.argmax(1) == labels).mean() > 0.42


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_mobilenet_v2_has_the_accuracy_measured_for_it(engine: str, tmp_path: Path) -> None:
    imported = read(MOBILENET_V2)
    batch, labels = read_imagenet(imported, 1)
    top = np.argsort(-answer(imported, batch, tmp_path, engine), axis=1, kind="stable")[:, :5]
    assert (top[:, 0] == labels).mean() == pytest.approx(0.890, abs=0.01)  # data/README.md: 89.0 % / 98.0 %
    assert (top == labels[:, None]).any(axis=1).mean() == pytest.approx(0.980, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_deeplab_finds_the_bird(engine: str, tmp_path: Path) -> None:
    imported = read(DEEPLAB)
    picture = read_image(CORAL / "bird_segmentation.bmp")
    truth = read_image(CORAL / "bird_segmentation_mask.bmp")[:, :, 0]  # 3 is "bird"
    batch = ((picture.transpose(2, 0, 1)[None] - np.float32(128)) / np.float32(128)).astype(np.float32)
    expected = imported.source.run(batch)["ArgMax"][0]
    got = run_graph(imported.graph, batch, tmp_path, engine)["ArgMax"][0]
    assert got.dtype == np.float32 and got.shape == (513, 513)
    overlap = ((got == 3) & (truth == 3)).sum() / ((got == 3) | (truth == 3)).sum()
    assert overlap > 0.8
    assert (got == expected).mean() > 0.98


def test_an_old_file_that_litert_refuses_for_its_biases_is_run_all_the_same(tmp_path: Path) -> None:
    imported = read(PERSON)
    assert imported.stated.colour == "GRAY"
    assert imported.stated.mean == (127.0,)  # pixel - 128 is stored, with zero point -1
    assert imported.stated.std == pytest.approx((127.5,), rel=1e-5)
    assert any("on an axis they do not have" in note for note in imported.notes)
    pictures = read_pictures(24, 96, 96).mean(axis=3, dtype=np.float32)[:, None]
    batch = ((pictures - imported.stated.mean[0]) / imported.stated.std[0]).astype(np.float32)
    expected = next(iter(imported.source.run(batch).values()))
    assert expected.std() > 0.05
    assert np.abs(answer(imported, batch, tmp_path, "onnxruntime") - expected).max() <= 3 / 256


def test_layers_of_the_source_are_named_and_laid_out_as_in_the_graph(tmp_path: Path) -> None:
    imported = read(RESNET)
    names = [node.name for node in imported.graph.graph.node if node.op_type in ("Conv", "Add")]
    names = [name for name in names if any(name in node.output for node in imported.graph.graph.node)]
    batch, _ = read_cifar(2)
    shown = imported.source.run_layers(batch, names)
    assert len(shown) == len(names) > 3
    graph = onnx.ModelProto()
    graph.CopyFrom(imported.graph)
    graph.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    got = run_graph(graph, batch, tmp_path)
    for name, values in shown.items():
        np.testing.assert_allclose(got[name], values, atol=1e-3 * np.abs(values).max())


def test_without_litert_openvino_reads_the_same_file(tmp_path: Path) -> None:
    imported, file = read(RESNET_INT8), read_tflite(need(RESNET_INT8))
    source = OpenVinoSource(file, (1, 32, 32, 3), {"Identity_int8": (file.outputs[0], "plain")})
    assert not source.is_own_framework and source.engine.startswith("openvino ")
    batch, _ = read_cifar(40)
    expected = imported.source.run(batch)["Identity_int8"]
    got = source.run(batch)["Identity_int8"]
    assert got.shape == expected.shape
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.85
    assert set(source.run_layers(batch[:1], ["Identity_int8", "elsewhere"])) == {"Identity_int8"}
    source.close()


def test_without_litert_a_file_openvino_cannot_read_asks_for_the_extra() -> None:
    file = read_tflite(need(PERSON))
    with pytest.raises(MissingPackage, match=r"sightline\[tflite\]"):
        OpenVinoSource(file, (1, 96, 96, 1), {})


def test_files_are_told_by_their_identifier(tmp_path: Path) -> None:
    (tmp_path / "other.tflite").write_bytes(b"\0\0\0\0TFL4 and more")
    importer = TfliteImporter()
    assert importer.detect(need(RESNET))
    assert choose_importer(RESNET).name == "tflite"
    assert not importer.detect(tmp_path / "other.tflite")
    assert not importer.detect(tmp_path)
    assert not importer.detect(tmp_path / "nowhere.tflite")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("keras_lstm_mnist_ptq.tflite", r"UNIDIRECTIONAL_SEQUENCE_LSTM.* input is \(1, 28, 28\)"),
        ("model_invoking_error.tflite", r"custom operator fake-op-double.* input is \(1, 3\)"),
    ],
)
def test_networks_without_vision_are_refused_with_all_reasons_in_one_line(name: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason) as refusal:
        read(CORAL / name)
    assert "\n" not in str(refusal.value)


def test_graph_can_end_at_a_named_layer(tmp_path: Path) -> None:
    name = "model/activation_2/Relu;model/add/add"
    imported = TfliteImporter().read(need(RESNET), ImportOptions(outputs=(name,)))
    batch, _ = read_cifar(2)
    assert imported.source.run(batch)[name].shape == (2, 16, 32, 32)
    assert_agrees(imported, batch, tmp_path, 1e-4)
    with pytest.raises(NotFound, match="no tensor 'nowhere'"):
        TfliteImporter().read(RESNET, ImportOptions(outputs=("nowhere",)))


def test_a_picture_of_any_size_takes_the_size_asked_for(tmp_path: Path) -> None:
    file = TinyFile((1, 1, 1, 3))
    file.graph.tensors[file.input].shapeSignature = [1, -1, -1, 3]
    weights = file.constant(np.ones((2, 3, 3, 3), np.float32))
    fields = {"padding": 0, "strideW": 2, "strideH": 2}
    bias = file.constant(np.zeros(2, np.float32))
    path = file.write(
        tmp_path / "free.tflite", file.add("CONV_2D", [file.input, weights, bias], (1, 1, 1, 2), "Conv2DOptions", **fields)
    )
    with pytest.raises(InvalidInput, match="state width and height"):
        TfliteImporter().read(path, ImportOptions())
    imported = TfliteImporter().read(path, ImportOptions(width=9, height=6))
    batch = np.random.default_rng(1).normal(size=(2, 3, 6, 9)).astype(np.float32)
    assert imported.source.run(batch)["layer_0_0"].shape == (2, 2, 3, 5)
    assert_agrees(imported, batch, tmp_path, 1e-5)


def test_a_size_that_the_file_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidInput, match="takes 32 x 32 pixels, got 64 x 32"):
        TfliteImporter().read(need(RESNET), ImportOptions(width=64))


@pytest.mark.slow
def test_near_ties_on_generated_pictures_are_noted_and_do_not_refuse_mobilenet_v2(tmp_path: Path) -> None:
    meaning = Meaning(categories=tuple((need(CORAL) / "imagenet_labels.txt").read_text().splitlines()))
    result = import_network(need(MOBILENET_V2), tmp_path / "model", "net", meaning=meaning)
    assert result.verification.top1_agreement is not None and result.verification.top1_agreement < 0.9
    assert any(note.startswith("same class at only") for note in result.notes)


@pytest.mark.slow
def test_deeplab_has_the_categories_that_its_argmax_chooses_from(tmp_path: Path) -> None:
    result = import_network(need(DEEPLAB), tmp_path / "model", "net")
    assert result.manifest.categories == tuple(f"class {index}" for index in range(21))
