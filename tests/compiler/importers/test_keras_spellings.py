"""Files as older Keras wrote them: Keras 1, Theano's kernels, tf.keras functions, models inside models; and what is refused."""

import importlib.util
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_checks import assert_agrees, run_graph
from keras_making import Arrays, convolve, functional, layer, picture, read_here, write_h5

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.keras.importer import KerasImporter
from sightline.core.errors import InvalidInput, Unsupported

RNG = np.random.default_rng(7)
PICTURES = RNG.standard_normal((2, 5, 6, 3)).astype(np.float32)  # (N, H, W, C)
KERNEL, BIAS = RNG.standard_normal((3, 2, 3, 4)).astype(np.float32), RNG.standard_normal(4).astype(np.float32)
DENSE, DENSE_BIAS = RNG.standard_normal((60, 5)).astype(np.float32), RNG.standard_normal(5).astype(np.float32)


def keras_1(order: str) -> list[dict[str, Any]]:
    """A Sequential model as Keras 1 wrote it: a bare list, the input's shape in the first layer."""
    shape = [None, 3, 5, 6] if order == "th" else [None, 5, 6, 3]
    convolution = layer(
        "Convolution2D",
        "convolution2d_1",
        batch_input_shape=shape,
        nb_filter=4,
        nb_row=3,
        nb_col=2,
        border_mode="valid",
        subsample=[1, 1],
        dim_ordering=order,
        bias=True,
        activation="linear",
    )
    rest = [layer("Activation", "activation_1", activation="relu"), layer("Dropout", "dropout_1", p=0.5)]
    return [convolution, *rest, layer("Flatten", "flatten_1"), layer("Dense", "dense_1", output_dim=5, activation="linear")]


def write_keras_1(path: Path, order: str, backend: str) -> Path:
    kernel = KERNEL.transpose(3, 2, 0, 1) if order == "th" else KERNEL
    kernel = kernel[:, :, ::-1, ::-1] if backend == "theano" else kernel  # Theano mirrors it when it convolves
    arrays = {"convolution2d_1": [kernel, BIAS], "dense_1": [DENSE, DENSE_BIAS]}
    return write_h5(path, {"class_name": "Sequential", "config": keras_1(order)}, arrays, "1.2.2", backend)


@pytest.mark.parametrize(("order", "backend"), [("tf", "tensorflow"), ("th", "tensorflow"), ("th", "theano")])
def test_keras_1_model_gives_what_a_slow_loop_gives(order: str, backend: str, tmp_path: Path) -> None:
    network = read_here(write_keras_1(tmp_path / "old.h5", order, backend))
    hidden = np.maximum(convolve(PICTURES, KERNEL, BIAS), 0)
    flat = (hidden.transpose(0, 3, 1, 2) if order == "th" else hidden).reshape(2, -1)
    got = run_graph(network.graph, PICTURES.transpose(0, 3, 1, 2), tmp_path)
    assert got["dense_1"] == pytest.approx(flat @ DENSE + DENSE_BIAS, abs=1e-4)


@pytest.mark.slow  # starts Keras
def test_keras_1_model_is_rebuilt_to_be_compared(tmp_path: Path) -> None:
    if not importlib.util.find_spec("keras"):
        pytest.skip("Keras is not installed")
    imported = KerasImporter().read(write_keras_1(tmp_path / "old.h5", "tf", "tensorflow"), ImportOptions())
    with closing(imported.source):
        assert "rebuilt (it is a file of Keras 1)" in imported.source.engine
        assert_agrees(imported, PICTURES.transpose(0, 3, 1, 2), tmp_path)


def run_one(
    folder: Path, layers: list[dict[str, Any]], outputs: list[Any], arrays: Arrays, version: str
) -> dict[str, np.ndarray]:
    path = write_h5(folder / "model.h5", functional(layers, outputs), arrays, version)
    network = read_here(path)
    return run_graph(network.graph, PICTURES.transpose(0, 3, 1, 2), folder)


@pytest.mark.parametrize(("version", "slope"), [("2.2.4-tf", 0.2), ("2.15.0", 0.2), ("3.0.0", 1 / 6)])
def test_hard_sigmoid_means_what_it_meant_to_the_writer(version: str, slope: float, tmp_path: Path) -> None:
    layers = [picture(), layer("Activation", "gate", ["input_1"], activation="hard_sigmoid")]
    got = run_one(tmp_path, layers, ["gate"], {}, version)["gate"]
    assert got == pytest.approx(np.clip(slope * PICTURES + 0.5, 0, 1).transpose(0, 3, 1, 2), abs=1e-6)


@pytest.mark.slow  # starts Keras
def test_keras_compares_old_hard_sigmoid_with_its_old_meaning(tmp_path: Path) -> None:
    if not importlib.util.find_spec("keras"):
        pytest.skip("Keras is not installed")
    layers = [picture(), layer("Activation", "gate", ["input_1"], activation="hard_sigmoid")]
    imported = KerasImporter().read(write_h5(tmp_path / "old.h5", functional(layers, ["gate"]), {}, "2.4.0"), ImportOptions())
    with closing(imported.source):
        assert imported.notes == ()
        assert_agrees(imported, PICTURES.transpose(0, 3, 1, 2), tmp_path)


def test_functions_of_tensorflow_are_read(tmp_path: Path) -> None:
    layers = [
        picture(),
        layer("TFOpLambda", "tf.math.multiply", [[["input_1", 0, 0, {"y": 0.5, "name": None}]]], function="math.multiply"),
        layer(
            "TFOpLambda",
            "tf.__operators__.add",
            [[["tf.math.multiply", 0, 0, {"y": ["input_1", 0, 0], "name": None}]]],
            function="__operators__.add",
        ),
        layer("TFOpLambda", "tf.nn.relu6", [[["tf.__operators__.add", 0, 0, {"name": None}]]], function="nn.relu6"),
    ]
    got = run_one(tmp_path, layers, ["tf.nn.relu6"], {}, "2.8.0")["tf.nn.relu6"]
    assert got == pytest.approx(np.clip(1.5 * PICTURES, 0, 6).transpose(0, 3, 1, 2), abs=1e-6)


@pytest.mark.parametrize("first", [0, 1])  # where Keras begins to count the calls of an inner model
def test_inner_model_called_twice_is_counted_from_either_number(first: int, tmp_path: Path) -> None:
    inner = functional([picture("inner_input"), layer("Dense", "scale", ["inner_input"], units=3, use_bias=False)], ["scale"])
    entry = {
        **inner,
        "name": "inner",
        "inbound_nodes": [[["input_1", 0, 0, {}]], [["inner", first, 0, {}]]],
    }
    layers = [picture(), entry, layer("Subtract", "both", [[["inner", first, 0, {}], ["inner", first + 1, 0, {}]]])]
    matrix = RNG.standard_normal((3, 3)).astype(np.float32)
    got = run_one(tmp_path, layers, ["both"], {"inner": [matrix]}, "2.3.1")["both"]
    once = PICTURES @ matrix
    assert got == pytest.approx((once - once @ matrix).transpose(0, 3, 1, 2), abs=1e-4)


def test_merge_of_keras_1_becomes_its_heir(tmp_path: Path) -> None:
    layers = [
        picture(),
        layer("Merge", "sum", ["input_1", "input_1"], mode="sum", concat_axis=-1),
        layer("Merge", "joined", ["input_1", "sum"], mode="concat", concat_axis=-1),
    ]
    got = run_one(tmp_path, layers, ["joined"], {}, "1.1.0")["joined"]
    assert got == pytest.approx(np.concatenate([PICTURES, 2 * PICTURES], axis=3).transpose(0, 3, 1, 2), abs=1e-6)


@pytest.mark.parametrize("trainable", [True, False])
def test_frozen_layers_of_an_inner_model_keep_their_arrays(trainable: bool, tmp_path: Path) -> None:
    # Keras lists all trainable arrays first: a frozen `a` stands behind `b`.
    a, b = (layer("Dense", name, [source], units=3, use_bias=False) for name, source in (("a", "inner_input"), ("b", "a")))
    a["config"]["trainable"] = trainable
    entry = {**functional([picture("inner_input"), a, b], ["b"]), "name": "inner", "inbound_nodes": [[["input_1", 0, 0, {}]]]}
    first, second = (RNG.standard_normal((3, 3)).astype(np.float32) for _ in "ab")
    arrays = {"inner": [first, second] if trainable else [second, first]}
    got = run_one(tmp_path, [picture(), entry], [["inner", 1, 0]], arrays, "2.2.4")
    assert got["inner/b"] == pytest.approx((PICTURES @ first @ second).transpose(0, 3, 1, 2), abs=1e-4)


def refuse(folder: Path, layers: list[dict[str, Any]], version: str = "2.4.0") -> str:
    path = write_h5(folder / "model.h5", functional(layers, [layers[-1]["name"]]), {}, version)
    with pytest.raises(Unsupported) as caught:
        read_here(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_lambda_layers_and_classes_of_ones_own_are_refused_by_name(tmp_path: Path) -> None:
    custom = layer("Swish", "my_swish", ["lambda_1"]) | {"module": "my_package.layers"}
    told = refuse(tmp_path, [picture(), layer("Lambda", "lambda_1", ["input_1"], function=["4wEAAA==", None, None]), custom])
    assert "lambda_1 (Lambda)" in told
    assert "my_swish (my_package.layers.Swish)" in told


def test_all_unknown_layers_are_named(tmp_path: Path) -> None:
    told = refuse(tmp_path, [picture(), layer("LSTM", "memory", ["input_1"]), layer("CuDNNGRU", "gate", ["memory"])])
    assert "2 layers are not supported: memory (LSTM), gate (CuDNNGRU)" in told


def test_unknown_activation_is_refused(tmp_path: Path) -> None:
    assert "my_activation" in refuse(tmp_path, [picture(), layer("Activation", "act", ["input_1"], activation="my_activation")])


def test_dropout_that_stays_random_is_refused(tmp_path: Path) -> None:
    layers = [picture(), layer("Dropout", "drop", [[["input_1", 0, 0, {"training": True}]]], rate=0.5)]
    assert "training=True" in refuse(tmp_path, layers)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    config = functional([picture("a"), picture("b"), layer("Add", "sum", ["a", "b"])], ["sum"])
    config["config"]["input_layers"] = [["a", 0, 0], ["b", 0, 0]]
    with pytest.raises(Unsupported, match="one picture input, got 2: a, b"):
        read_here(write_h5(tmp_path / "two.h5", config, {}, "2.4.0"))


def test_input_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    assert "1 or 3 channels, got 8" in refuse(tmp_path, [picture(channels=8), layer("ReLU", "r", ["input_1"])])


def test_subclassed_model_is_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "own.h5", {"class_name": "MyModel", "config": {}}, {}, "2.4.0")
    with pytest.raises(Unsupported, match="MyModel"):
        read_here(path)


def test_weights_without_a_model_are_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "w.h5", {}, {}, "2.4.0")
    import h5py

    with h5py.File(path, "a") as file:
        del file.attrs["model_config"]
    with pytest.raises(Unsupported, match="weights without an architecture"):
        read_here(path)


def test_layers_in_a_ring_are_refused(tmp_path: Path) -> None:
    layers = [picture(), layer("ReLU", "a", ["b"]), layer("ReLU", "b", ["a"])]
    with pytest.raises(InvalidInput, match="nothing makes: a, b"):
        read_here(write_h5(tmp_path / "ring.h5", functional(layers, ["b"]), {}, "2.4.0"))
