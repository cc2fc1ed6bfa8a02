"""Every layer of the Keras importer against Keras: small models built by `keras_models.py`, and those of keras.applications."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from import_checks import assert_agrees, run_graph

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.keras.importer import KerasImporter, read_network
from sightline.compiler.importers.keras.network import KerasNetwork

pytestmark = pytest.mark.slow  # Keras and TensorFlow take seconds to start

LIMIT = 1e-5  # of an output's largest magnitude
APPLICATION_LIMIT = 1e-4
# fmt: off
SMALL = (
    "activation_layers", "activation_names", "any_size", "convolutions", "depthwise", "flattened_chain",
    "flattened_uses", "gray", "merged", "moved", "nested", "operations", "pools", "scaled", "sizes", "transfer",
    "transposed",
)
APPLICATIONS = (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "ResNet50", "ResNet50V2",
    "DenseNet121", "InceptionV3", "Xception", "NASNetMobile", "VGG16",
)
# fmt: on
SIZE = ImportOptions(width=20, height=20)


@pytest.fixture(scope="module")
def build_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, str], Path]]:
    """Fills a folder with all small models, or with one of keras.applications; Keras, which takes seconds, starts once."""
    if not (importlib.util.find_spec("keras") and importlib.util.find_spec("tensorflow")):
        pytest.skip("Keras and TensorFlow are not installed")
    command = [sys.executable, str(Path(__file__).with_name("keras_models.py"))]
    errors = tmp_path_factory.mktemp("keras") / "errors.txt"
    with (
        errors.open("w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):

        def build(folder: Path, kind: str) -> Path:
            assert process.stdin and process.stdout
            print(kind, folder, file=process.stdin, flush=True)
            assert process.stdout.readline() == f"{kind}\n", errors.read_text()[-2000:]
            return folder

        yield build


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, build_models: Callable[[Path, str], Path]) -> Path:
    """Folder of all small models."""
    return build_models(tmp_path_factory.mktemp("small"), "small")


def assert_equals_keras(path: Path, folder: Path, limit: float) -> KerasNetwork:
    """The graph gives, in the layout of the graph, what Keras gave when the model was built."""
    network, _ = read_network(path, SIZE if path.stem == "any_size" else ImportOptions())
    arrays = np.load(path.with_suffix(".npz"))
    got = run_graph(network.graph, arrays["batch"].transpose(0, 3, 1, 2), folder)
    compared = set()
    for name, values in got.items():
        place = network.tensors[name]
        expected = arrays[f"output{place.output}"].transpose(place.axes)
        assert values.shape == expected.shape, name
        assert np.abs(values - expected).max() < limit * np.abs(expected).max(), name
        compared.add(place.output)
    assert len(compared) == len(arrays.files) - 1
    return network


def test_all_small_models_are_compared(small: Path) -> None:
    assert {path.stem for path in small.glob("*.keras")} == {*SMALL, "channels_first"}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", SMALL)
def test_small_model_equals_keras(small: Path, name: str, suffix: str, tmp_path: Path) -> None:
    assert_equals_keras(small / f"{name}{suffix}", tmp_path, LIMIT)


def count(network: KerasNetwork, kind: str) -> int:
    return sum(node.op_type == kind for node in network.graph.graph.node)


def test_only_norms_that_stand_alone_stay(small: Path) -> None:
    network, _ = read_network(small / "convolutions.keras", ImportOptions())
    names = {node.name for node in network.graph.graph.node if node.op_type == "BatchNormalization"}
    assert names == {"kept", "beside"}


def test_zero_padding_becomes_the_convolutions(small: Path) -> None:
    network, _ = read_network(small / "depthwise.keras", ImportOptions())
    assert count(network, "Pad") == 0
    first = network.graph.graph.node[0]
    assert first.name == "wide"
    assert [list(one.ints) for one in first.attribute if one.name == "pads"] == [[0, 2, 1, 1]]


def test_flatten_before_dense_costs_no_transpose(small: Path) -> None:
    network, _ = read_network(small / "flattened_chain.keras", ImportOptions())
    assert count(network, "Transpose") == 0
    assert count(network, "Flatten") == 1


def test_scaling_in_the_graph_states_raw_pixels(small: Path) -> None:
    network, stated = read_network(small / "scaled.keras", ImportOptions())
    assert (stated.mean, stated.std) == ((0.0,) * 3, (1.0,) * 3)
    assert any("left out" in note for note in network.notes)  # the Resizing to the size it has


def test_model_without_scaling_states_none(small: Path) -> None:
    _, stated = read_network(small / "convolutions.keras", ImportOptions())
    assert (stated.mean, stated.std) == (None, None)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_channels_first_model_equals_keras(small: Path, suffix: str, tmp_path: Path) -> None:
    if not importlib.util.find_spec("torch"):
        pytest.skip("TensorFlow computes channels-first depthwise convolutions wrongly on the CPU; PyTorch is not installed")
    imported = KerasImporter().read(small / f"channels_first{suffix}", ImportOptions())
    with closing(imported.source):
        assert "torch" in imported.source.engine
        batch = np.load(small / "channels_first.npz")["batch"]
        assert_agrees(imported, batch, tmp_path, LIMIT)
        got = imported.source.run_layers(batch, ["concatenate", "depthwise_conv2d"])
        assert {name: values.shape for name, values in got.items()} == {
            "concatenate": (3, 8, 9, 8),
            "depthwise_conv2d": (3, 8, 9, 8),
        }


def test_layers_of_inner_models_are_found_by_path(small: Path) -> None:
    imported = KerasImporter().read(small / "transfer.keras", ImportOptions())
    with closing(imported.source):
        inner = "mobilenetv2_0.35_32/block_1_expand_relu"
        batch = np.load(small / "transfer.npz")["batch"].transpose(0, 3, 1, 2)
        assert imported.source.run_layers(batch, [inner])[inner].shape == (3, 48, 16, 16)


def test_layers_called_twice_are_left_out(small: Path) -> None:
    imported = KerasImporter().read(small / "nested.keras", ImportOptions())
    with closing(imported.source):
        batch = np.load(small / "nested.npz")["batch"].transpose(0, 3, 1, 2)
        assert set(imported.source.run_layers(batch, ["backbone/conv", "head/conv", "mix"])) == {"mix"}


def test_functions_in_h5_are_compared_with_a_rebuilt_model(small: Path, tmp_path: Path) -> None:
    imported = KerasImporter().read(small / "operations.h5", ImportOptions())  # Keras writes it, but cannot load it
    with closing(imported.source):
        assert "rebuilt" in imported.source.engine and "rebuilt" in imported.notes[-1]
        assert_agrees(imported, np.load(small / "operations.npz")["batch"].transpose(0, 3, 1, 2), tmp_path, LIMIT)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_application_equals_keras(name: str, tmp_path: Path, build_models: Callable[[Path, str], Path]) -> None:
    build_models(tmp_path, name)
    for suffix in (".keras", ".h5"):
        assert_equals_keras(tmp_path / f"{name}{suffix}", tmp_path, APPLICATION_LIMIT)
