"""The Keras importer on real files: what they state, what they answer, and that Keras itself answers the same."""

import os
import signal
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from import_checks import MAX_ERROR, NETWORKS, SHARED, assert_agrees, input_shape, need, read_pictures, run_graph
from keras_making import functional, layer, picture, write_h5
from onnx import ModelProto, helper

from sightline.compiler.importers.importer import ImportOptions, StatedInput
from sightline.compiler.importers.keras.importer import KerasImporter, read_network
from sightline.compiler.importers.table import choose_importer, find_importer
from sightline.core.errors import Exhausted, InvalidInput, NotFound
from sightline.imaging.files.reading import read_image

EMOTIONS = NETWORKS / "keras-mini-xception" / "fer2013_mini_XCEPTION.102-0.66.hdf5"
TINY = NETWORKS / "keras-mini-xception" / "tiny_XCEPTION_KDEF.hdf5"
RESNET = NETWORKS / "mlperf-tiny-resnet8-cifar10" / "pretrainedResnet.h5"


def read_gray(count: int) -> np.ndarray:
    """Real pictures as mini-Xception takes them: (N, 1, 64, 64), -1..1."""
    return read_pictures(count, 64, 64).astype(np.float32).mean(axis=3)[:, None] / 127.5 - 1


def count_kinds(graph: ModelProto) -> dict[str, int]:
    kinds = [node.op_type for node in graph.graph.node]
    return {kind: kinds.count(kind) for kind in set(kinds)}


def test_real_files_are_recognised() -> None:
    for path in (EMOTIONS, TINY, RESNET):
        importer = find_importer(need(path))
        assert importer is not None and importer.name == "keras"


def test_other_files_are_not(tmp_path: Path) -> None:
    for name, start in (
        ("a.h5", b"PK\x03\x04"),
        ("a.keras", b"\x89HDF\r\n\x1a\n"),
        ("a.h5", b""),
        ("a.onnx", b"\x89HDF\r\n\x1a\n"),
    ):
        (tmp_path / name).write_bytes(start)
        assert not KerasImporter().detect(tmp_path / name)
    assert not KerasImporter().detect(tmp_path / "absent.h5")
    assert not KerasImporter().detect(tmp_path)


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        KerasImporter().read(tmp_path / "absent.h5", ImportOptions())


def test_mini_xception_states_a_gray_picture_and_folds_every_norm() -> None:
    network, stated = read_network(need(EMOTIONS), ImportOptions())
    assert (input_shape(network.graph), stated) == ((1, 64, 64), StatedInput(colour="GRAY"))
    assert [(one.name, one.type.tensor_type.shape.dim[1].dim_value) for one in network.graph.graph.output] == [
        ("predictions", 7)
    ]
    kinds = count_kinds(network.graph)
    assert "BatchNormalization" not in kinds and "Transpose" not in kinds
    assert kinds["Conv"] == 7 + 2 * 8  # seven of its own and eight separable ones


def test_resnet8_scores_as_its_tflite_twin_on_cifar(tmp_path: Path) -> None:
    paths = sorted(need(SHARED / "classification" / "cifar10-jpg" / "test").rglob("*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    pictures = np.stack([read_image(path) for path in paths]).astype(np.float32).transpose(0, 3, 1, 2)
    labels = np.array([classes.index(path.parent.name) for path in paths])
    network, _ = read_network(need(RESNET), ImportOptions())
    scores = run_graph(network.graph, pictures, tmp_path, "onnxruntime")["dense"]
    assert len(labels) == 2000
    assert 100 * (scores.argmax(axis=1) == labels).mean() == pytest.approx(
        73.9, abs=0.3
    )  # the float TFLite file of the same weights


@pytest.mark.slow  # starts Keras
@pytest.mark.parametrize("path", [EMOTIONS, TINY], ids=["fer2013", "tiny"])
def test_mini_xception_agrees_with_keras_in_every_layer(path: Path, tmp_path: Path) -> None:
    imported = choose_importer(need(path)).read(path, ImportOptions())
    with closing(imported.source):
        assert imported.source.is_own_framework
        assert imported.source.engine.startswith("keras 3.")
        batch = read_gray(16)
        assert_agrees(imported, batch, tmp_path)
        names = [node.output[0] for node in imported.graph.graph.node]
        expected = imported.source.run_layers(batch, [*names, "no such layer"])
        assert len(expected) > 25
        got = run_graph(end_everywhere(imported.graph, list(expected)), batch, tmp_path)
        for name, values in expected.items():
            assert got[name].shape == values.shape, name
            assert np.abs(got[name] - values).max() < MAX_ERROR * np.abs(values).max(), name


@pytest.mark.slow  # starts Keras
def test_resnet8_agrees_with_keras(tmp_path: Path) -> None:
    imported = choose_importer(need(RESNET)).read(RESNET, ImportOptions())
    with closing(imported.source):
        batch = read_pictures(16, 32, 32).transpose(0, 3, 1, 2).astype(np.float32)
        assert_agrees(imported, batch, tmp_path, limit=1e-4)
        assert imported.notes == ()
        with pytest.raises(InvalidInput, match="Keras cannot run this batch"):
            imported.source.run(batch[:, :2])
        assert imported.source.run(batch[:1])["dense"].shape == (1, 10)  # and goes on
        os.kill(imported.source._process.pid, signal.SIGKILL)
        with pytest.raises(Exhausted, match="ended with code"):
            imported.source.run(batch[:1])


@pytest.mark.slow  # starts Keras
def test_chosen_outputs_are_compared_too(tmp_path: Path) -> None:
    imported = KerasImporter().read(need(RESNET), ImportOptions(outputs=("add_1", "dense")))
    with closing(imported.source):
        assert [output.name for output in imported.graph.graph.output] == ["add_1", "dense"]
        assert_agrees(imported, read_pictures(2, 32, 32).transpose(0, 3, 1, 2).astype(np.float32), tmp_path)


def test_a_convolution_asked_for_keeps_its_own_output() -> None:
    network, _ = read_network(need(RESNET), ImportOptions(outputs=("conv2d_1", "batch_normalization_1")))
    assert [output.name for output in network.graph.graph.output] == ["conv2d_1", "batch_normalization_1"]
    assert count_kinds(network.graph)["BatchNormalization"] == 1


def test_unknown_output_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="no_layer"):
        read_network(need(RESNET), ImportOptions(outputs=("no_layer",)))


def write_any_size(folder: Path, channels: int | None = 3) -> Path:
    layers = [picture(height=None, width=None), layer("GlobalAveragePooling2D", "pool", ["input_1"])]
    layers[0]["config"]["batch_input_shape"][3] = channels
    return write_h5(folder / "any.h5", functional(layers, ["pool"]), {}, "2.2.4")


def test_open_sizes_come_from_the_options(tmp_path: Path) -> None:
    network, _ = read_network(write_any_size(tmp_path), ImportOptions(width=7, height=5))
    assert input_shape(network.graph) == (3, 5, 7)
    pictures = np.arange(3 * 5 * 7, dtype=np.float32).reshape(1, 3, 5, 7)
    assert run_graph(network.graph, pictures, tmp_path)["pool"] == pytest.approx(
        np.array([[17.0, 52.0, 87.0]])
    )  # means, by hand


def test_open_sizes_must_be_stated(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="state the height"):
        read_network(write_any_size(tmp_path), ImportOptions(width=7))
    with pytest.raises(InvalidInput, match="state the channels"):
        read_network(write_any_size(tmp_path, channels=None), ImportOptions(width=7, height=5))


def test_size_other_than_the_files_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected width 32"):
        read_network(need(RESNET), ImportOptions(width=64))


def end_everywhere(graph: ModelProto, names: list[str]) -> ModelProto:
    """The graph with these tensors as outputs."""
    copy = ModelProto()
    copy.CopyFrom(graph)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names)
    return copy


@pytest.mark.parametrize(("means", "stated"), [([0.485, 0.456, 0.406], None), ([123.7, 116.3, 103.5], (0.0, 0.0, 0.0))])
def test_normalisation_behind_the_input_states_the_range_its_means_are_of(
    means: list[float], stated: tuple[float, ...] | None, tmp_path: Path
) -> None:
    layers = [picture(), layer("Normalization", "norm", ["input_1"], axis=[-1], mean=means, variance=[1.0, 4.0, 9.0])]
    network, said = read_network(write_h5(tmp_path / "a.h5", functional(layers, ["norm"]), {}, "2.12.0"), ImportOptions())
    assert said.mean == stated
    got = run_graph(network.graph, np.full((1, 3, 5, 6), 10, np.float32), tmp_path)["norm"]
    assert got[0, :, 0, 0] == pytest.approx((10 - np.array(means)) / [1, 2, 3], rel=1e-5)  # by hand
