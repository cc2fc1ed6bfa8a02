"""TensorFlow networks: two real ones, small ones of many layers, other networks refused, and damaged files."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_checks import MAX_ERROR, NETWORKS, SHARED, assert_agrees, input_shape, need, run_graph

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.openvino.source import OpenvinoSource
from sightline.compiler.importers.tensorflow import importer
from sightline.compiler.importers.tensorflow.files import Summary, read_graph
from sightline.compiler.importers.tensorflow.importer import TensorflowImporter
from sightline.core.errors import InvalidInput, NotFound, SightlineError, Unsupported
from sightline.imaging.files.reading import read_image

SAMPLENET = NETWORKS / "samplenet-omz" / "test_models"
OTHERS = NETWORKS / "tf2onnx-test-graphs"
CIFAR = SHARED / "classification" / "cifar10-jpg" / "test"
CIFAR_MEAN = np.array([125.307, 122.961, 113.8575], np.float32)
CIFAR_STD = np.array([51.5865, 50.847, 51.255], np.float32)


def read_cifar(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `(N, 32, 32, 3)` RGB 0..255 float32 and labels `(N,)`; the same number of each class."""
    folders = sorted(path for path in need(CIFAR).iterdir() if path.is_dir())
    chosen = [(path, label) for label, folder in enumerate(folders) for path in sorted(folder.iterdir())[: count // 10]]
    return np.stack([read_image(path) for path, _ in chosen]).astype(np.float32), np.array([label for _, label in chosen])


def import_file(path: Path, **options: Any) -> Any:
    return TensorflowImporter().read(path, ImportOptions(**options))


@pytest.fixture
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where TensorFlow is not installed."""
    monkeypatch.setattr(importer.importlib.util, "find_spec", lambda name: None if name == "tensorflow" else object())


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networks of tensorflow_networks.py."""
    pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("tensorflow")
    command = [sys.executable, str(Path(__file__).with_name("tensorflow_networks.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize(
    ("name", "output", "prepare"),
    [
        ("samplenet.pb", "add_4", lambda pixels: ((pixels - CIFAR_MEAN) / CIFAR_STD)[..., ::-1]),  # BGR
        ("samplenet_tf2", "dense_12", lambda pixels: pixels / 255),  # RGB
    ],
)
def test_the_real_networks_recognise_two_of_three_pictures(
    name: str, output: str, prepare: Any, tmp_path: Path, without_tensorflow: None
) -> None:
    imported = import_file(need(SAMPLENET / name))
    pixels, labels = read_cifar(300)
    batch = np.ascontiguousarray(prepare(pixels).transpose(0, 3, 1, 2))
    assert_agrees(imported, batch[:16], tmp_path)
    assert isinstance(imported.source, OpenvinoSource) and not imported.source.is_own_framework
    scores = run_graph(imported.graph, batch, tmp_path)[output]
    assert (scores.argmax(axis=1) == labels).mean() > 0.6  # the other channel order costs 15 points and more


@pytest.mark.slow
@pytest.mark.parametrize("name", ["samplenet.pb", "samplenet_tf2", "samplenet_tf2/saved_model.pb"])
def test_the_real_networks_agree_with_tensorflow(name: str, tmp_path: Path) -> None:
    imported = import_file(need(SAMPLENET / name))
    try:
        assert_agrees(imported, read_cifar(20)[0].transpose(0, 3, 1, 2) / 255, tmp_path)
        assert imported.source.is_own_framework and imported.source.engine.startswith("tensorflow 2")
    finally:
        imported.source.close()


def test_an_nhwc_file_gives_an_nchw_graph_with_folded_layers(without_tensorflow: None) -> None:
    imported = import_file(need(SAMPLENET / "samplenet_tf2"))
    assert (input_shape(imported.graph), imported.stated.mean) == ((3, 32, 32), None)
    kinds = [node.op_type for node in imported.graph.graph.node]
    conv = ["Conv", "Relu", "MaxPool"] * 2 + ["Conv", "Relu"]
    assert kinds == [*conv, "Transpose", "Reshape", "Gemm", "Relu", "Gemm", "Relu", "Gemm"]  # one Transpose, to flatten
    assert [path.name for path in imported.files] == [
        "saved_model.pb", "variables.index", "variables.data-00000-of-00001"
    ]  # fmt: skip


def test_an_import_is_the_same_each_time(without_tensorflow: None) -> None:
    first, second = (import_file(need(SAMPLENET / "samplenet_tf2")).graph for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blocks", "blocks.pb", "keras"])
def test_small_networks_agree_with_tensorflow(name: str, networks: Path, tmp_path: Path) -> None:
    imported = import_file(networks / name)
    picture = imported.graph.graph.input[0]
    shape = [size.dim_value for size in picture.type.tensor_type.shape.dim][1:]
    try:
        batch = np.random.default_rng(0).uniform(0, 255, (3, *shape)).astype(np.float32)
        assert_agrees(imported, batch, tmp_path)
        assert imported.source.engine.startswith("tensorflow 2")
    finally:
        imported.source.close()
    assert [node.op_type for node in imported.graph.graph.node].count("Transpose") <= 1


@pytest.mark.slow
def test_layers_can_be_asked_of_tensorflow(networks: Path, tmp_path: Path) -> None:
    imported = import_file(need(SAMPLENET / "samplenet.pb"))
    batch = np.ascontiguousarray(read_cifar(10)[0].transpose(0, 3, 1, 2) / 255)
    try:
        found = imported.source.run_layers(batch, ["relu_conv1", "max_pool", "add_4", "no_such_layer"])
    finally:
        imported.source.close()
    assert set(found) == {"relu_conv1", "max_pool", "add_4"}
    cut = import_file(SAMPLENET / "samplenet.pb", outputs=("relu_conv1", "max_pool"))
    for name, values in run_graph(cut.graph, batch, tmp_path).items():
        assert np.abs(values - found[name]).max() < MAX_ERROR * np.abs(found[name]).max()


@pytest.mark.slow
def test_maps_leave_as_nchw(networks: Path) -> None:
    imported = import_file(networks / "blocks")
    shapes = {
        output.name: [size.dim_value for size in output.type.tensor_type.shape.dim][1:]
        for output in imported.graph.graph.output
    }
    assert shapes == {"map": [12, 12, 10], "scores": [5], "segments": [12, 12, 10]}


@pytest.mark.slow
def test_a_placeholder_of_any_size_takes_that_of_the_options(networks: Path, tmp_path: Path, without_tensorflow: None) -> None:
    imported = import_file(networks / "any_size.pb", width=20, height=10, channels=3)
    assert_agrees(imported, np.random.default_rng(0).normal(size=(2, 3, 10, 20)).astype(np.float32), tmp_path)
    with pytest.raises(Unsupported, match="give its channels"):
        import_file(networks / "any_size.pb")


@pytest.mark.slow
def test_a_graph_that_reads_files_is_not_opened(networks: Path) -> None:
    with pytest.raises(Unsupported, match="ReadFile"):
        import_file(networks / "reads_a_file.pb")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fc-layers/frozen.pb", r"X \(-1, 784\) and no convolution"),
        ("gru/frozen.pb", r"X of unknown shape, keep_prob of unknown shape and no convolution"),
        ("regression/saved_model", r"X of unknown shape and no convolution"),
    ],
)
def test_what_is_no_vision_network_is_refused(name: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason) as caught:
        import_file(need(OTHERS / name))
    assert "\n" not in str(caught.value)


def test_files_of_others_are_not_ours(tmp_path: Path) -> None:
    importer = TensorflowImporter()
    (tmp_path / "onnx.pb").write_bytes(b"\x08\x07\x12\x07pytorch")
    (tmp_path / "empty.pb").write_bytes(b"")
    for path in (
        tmp_path / "onnx.pb",
        tmp_path / "empty.pb",
        tmp_path / "absent.pb",
        tmp_path,
        need(SAMPLENET / "samplenet.onnx"),
    ):
        assert not importer.detect(path), path
    for name in ("samplenet.pb", "samplenet_tf2", "samplenet_tf2/saved_model.pb"):
        assert importer.detect(SAMPLENET / name)


def copy_saved_model(folder: Path) -> Path:
    """A copy that may be written to."""
    target = folder / "copy"
    for path in need(SAMPLENET / "samplenet_tf2").rglob("*.*"):
        place = target / path.relative_to(SAMPLENET / "samplenet_tf2")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return target


def test_missing_variables_are_named(tmp_path: Path) -> None:
    model = copy_saved_model(tmp_path)
    (model / "variables" / "variables.index").unlink()
    with pytest.raises(NotFound, match=r"variables\.index"):
        import_file(model)
    shutil.rmtree(model / "variables")
    with pytest.raises(InvalidInput) as caught:
        import_file(model)
    assert "\n" not in str(caught.value)


def test_a_damaged_index_of_variables_does_not_end_us(tmp_path: Path) -> None:
    """With these two bytes changed OpenVINO 2026.4 crashes, and a crash of this process would be one of the tests."""
    model = copy_saved_model(tmp_path)
    index = model / "variables" / "variables.index"
    content = bytearray(index.read_bytes())
    content[2926], content[953] = 239, 87
    for damaged in (bytes(content), index.read_bytes()[:1500]):
        index.write_bytes(damaged)
        with pytest.raises(InvalidInput) as caught:
            import_file(model)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_damaged_graphs_end_in_an_error_or_a_network(kind: str, tmp_path: Path, without_tensorflow: None) -> None:
    content, rng = need(SAMPLENET / "samplenet.pb").read_bytes(), np.random.default_rng(13)
    target, refused = tmp_path / "damaged.pb", 0
    for _ in range(5):
        damaged = bytearray(content)
        if kind == "cut":
            del damaged[rng.integers(len(damaged)) :]
        else:
            for place in rng.integers(0, 2000, 8):
                damaged[place] ^= 1 << rng.integers(8)
        target.write_bytes(damaged)
        try:
            import_file(target)
        except SightlineError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused >= 3


def test_a_graph_cut_anywhere_but_between_two_nodes_is_damaged() -> None:
    content, rng, refused = memoryview(need(SAMPLENET / "samplenet.pb").read_bytes()), np.random.default_rng(17), 0
    for end in rng.integers(1, len(content), 100):
        try:
            read_graph(content[:end], Summary())
        except InvalidInput:
            refused += 1
    assert refused >= 95
