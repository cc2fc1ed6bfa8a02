"""From a float network to its emulation: forms, refusals, files, and how near the numbers stay to the reference."""

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import FLOAT_GRAPHS, Nodes, Weights, node, weight, write_graph
from toy import SPEC
from whole_numbers import compute_whole_network

from sightline.compiler.graphs import load_graph
from sightline.compiler.passes import simplify_graph
from sightline.compiler.pictures import PreparedSamples
from sightline.compiler.placing.fpga import convert_network, prepare_graph, record_values
from sightline.compiler.placing.hetero import convert_hetero
from sightline.core.errors import InvalidInput, Unsupported
from sightline.data.versions import DatasetVersion
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.hls4ml.backend import Hls4mlBackend
from sightline.runtime.backends.hls4ml.network import read_network
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import DEVICES, find_unsupported, parse_devices
from sightline.runtime.graph_files import list_graph_files

pytest.importorskip("hls4ml")
SAME = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
SHAPE = (3, 8, 8)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def write_everything(path: Path) -> Path:
    """Each operator of the device once, two outputs, and a flattened picture before a matrix."""
    nodes = [
        node("Conv", ["images", "w1", "b1"], "a", strides=[2, 2], **SAME),
        node("Relu", ["a"], "b"),
        node("Conv", ["b", "w2"], "c", group=4, **SAME),
        node("Add", ["b", "c"], "d"),
        node("LeakyRelu", ["d"], "e", alpha=0.125),
        node("AveragePool", ["images"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", ["e", "p"], "f", axis=1),
        node("MaxPool", ["f"], "g", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["g"], "h"),
        node("Gemm", ["h", "w3", "b3"], "i", transB=1),
        node("Relu", ["i"], "j"),
        node("MatMul", ["j", "w4"], "logits"),
        node("GlobalAveragePool", ["f"], "mean"),
    ]
    weights = {
        "w1": weight(4, 3, 3, 3),
        "b1": weight(4),
        "w2": weight(4, 1, 3, 3),
        "w3": weight(6, 28),
        "b3": weight(6),
        "w4": weight(6, 5),
    }
    return write_graph(path, nodes, weights, {"logits": 2, "mean": 4}, SHAPE)


def draw_samples(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(1, *SHAPE)).astype(np.float32) for _ in range(count)]


def run(name: str, path: Path, images: np.ndarray, precision: str = "fp32") -> dict[str, np.ndarray]:
    with closing(load_backend(name).open(path, SessionOptions(precision))) as session:  # type: ignore[arg-type]
        return session.infer({session.input_names[0]: images})


def rms_error(values: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(values - expected).mean()) / np.sqrt(np.square(expected).mean()))


# Forms


def load(path: Path, nodes: Nodes, weights: Weights, outputs: dict[str, int]) -> onnx.ModelProto:
    return load_graph(write_graph(path / "graph.onnx", nodes, weights, outputs, SHAPE))


def test_pictures_are_flattened_and_averaged_by_one_operator_each(tmp_path: Path) -> None:
    nodes = [
        node("Identity", ["images"], "same"),
        node("Reshape", ["same", "shape"], "flat"),
        node("MatMul", ["flat", "m"], "out"),
        node("ReduceMean", ["same"], "mean", axes=[2, 3], keepdims=1),
    ]
    weights = {"shape": np.array([0, -1], np.int64), "m": weight(192, 4)}
    model = load(tmp_path, nodes, weights, {"out": 2, "mean": 4})
    prepared = prepare_graph(model)
    assert [one.op_type for one in prepared.graph.node] == ["Flatten", "MatMul", "GlobalAveragePool"]
    assert [tensor.name for tensor in prepared.graph.initializer] == ["m"]
    assert model.graph.node[0].op_type == "Identity"  # the graph given is not changed
    assert find_unsupported(prepared, DEVICES["fpga-emulator"]) == []


def test_a_reshape_that_is_no_flattening_stays_and_is_refused(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["images", "shape"], "out")]
    model = load(tmp_path, nodes, {"shape": np.array([0, 8, 3, 8], np.int64)}, {"out": 4})
    found = find_unsupported(prepare_graph(model), DEVICES["fpga-emulator"])
    assert found == [("out_Reshape", "Reshape", "fpga-emulator has no operator Reshape")]


def test_a_network_that_does_not_fit_is_refused_with_every_reason_before_anything_is_written(tmp_path: Path) -> None:
    source = FLOAT_GRAPHS["bilinear_softmax"](tmp_path / "graph.onnx")
    with pytest.raises(Unsupported, match=r"2 layers .*Resize.*Softmax"):
        convert_network(source, tmp_path / "out", draw_samples(1), "int8")
    assert not (tmp_path / "out").exists()


def write_fan(path: Path, readers: int, side: int) -> Path:
    """A tensor that so many layers read, each of whose results is an output."""
    nodes = [node("Relu", ["images"], "a"), *(node("LeakyRelu", ["a"], f"y{place}", alpha=0.5) for place in range(readers))]
    return write_graph(path, nodes, {}, {f"y{place}": 4 for place in range(readers)}, (3, side, side))


def test_a_stream_is_read_seven_times_at_most(tmp_path: Path) -> None:
    samples = [np.ones((1, 3, 40, 40), np.float32)]
    with pytest.raises(Unsupported, match=r"each tensor at most 7 times.* got a 8 times; compile for cpu"):
        convert_network(write_fan(tmp_path / "net.onnx", 8, 40), tmp_path / "out", samples, "int8")
    assert not (tmp_path / "out").exists()
    convert_network(write_fan(tmp_path / "net.onnx", 7, 40), tmp_path / "seven", samples, "int8")


def test_wires_are_read_as_often_as_one_likes(tmp_path: Path) -> None:
    convert_network(write_fan(tmp_path / "net.onnx", 8, 8), tmp_path / "out", draw_samples(1), "int8")


def test_types_need_pictures(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="chosen from pictures, got none"):
        convert_network(write_everything(tmp_path / "net.onnx"), tmp_path / "out", [], "int8")


def test_every_tensor_is_seen_with_its_extremes(tmp_path: Path) -> None:
    model = load_graph(write_everything(tmp_path / "net.onnx"))
    samples = draw_samples(3)
    values = record_values(model, samples)
    assert set(values) == {"images", *(name for one in model.graph.node for name in one.output)}
    assert values["images"].max() == max(sample.max() for sample in samples)
    assert values["b"].min() == 0


def test_the_files_of_a_network_are_its_types_its_graph_and_its_project(tmp_path: Path) -> None:
    path = convert_network(write_everything(tmp_path / "net.onnx"), tmp_path / "out", draw_samples(4), "int16")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in list_graph_files(path)]
    assert names[:2] == ["net.fpga.json", "net.fpga.onnx"]
    assert {"net.hls/build_prj.tcl", "net.hls/firmware/network.cpp"} <= set(names)
    assert {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*") if file.is_file()} == set(
        names
    )
    network, _ = read_network(path)
    assert (network.precision, network.io_type, network.calibration_images) == ("int16", "io_parallel", 4)
    assert [layer.name for layer in network.layers][:2] == ["a_Conv", "b_Relu"]
    assert {layer.weight.width for layer in network.layers if layer.weight} == {16}


def test_only_a_tiny_network_gets_parallel_wires(tmp_path: Path) -> None:
    nodes = [node("Conv", ["images", "w"], "out", **SAME)]
    source = write_graph(tmp_path / "wide.onnx", nodes, {"w": weight(8, 3, 3, 3)}, {"out": 4}, (3, 32, 32))
    samples = [np.ones((1, 3, 32, 32), np.float32)]
    network, _ = read_network(convert_network(source, tmp_path / "out", samples, "int8"))
    assert network.io_type == "io_stream"


# Emulations


@pytest.mark.slow
def test_sixteen_bits_keep_every_operator_within_a_thousandth_and_eight_within_a_few_hundredths(
    tmp_path: Path, cache: Path
) -> None:
    source = write_everything(tmp_path / "net.onnx")
    images = np.concatenate(draw_samples(20, seed=1))
    expected = run("reference", source, images)
    for precision, limit in (("int16", 1e-3), ("int8", 0.06)):
        path = convert_network(source, tmp_path / precision, draw_samples(40), precision)  # type: ignore[arg-type]
        with closing(Hls4mlBackend(cache).open(path, SessionOptions(precision))) as session:  # type: ignore[arg-type]
            outputs = session.infer({"images": images})
        assert list(outputs) == ["logits", "mean"]
        for name, value in expected.items():
            assert outputs[name].shape == value.shape
            assert rms_error(outputs[name], value) < limit, (precision, name)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_every_operator_computes_what_whole_numbers_do_bit_by_bit(precision: str, tmp_path: Path, cache: Path) -> None:
    path = convert_network(write_everything(tmp_path / "net.onnx"), tmp_path / "out", draw_samples(20), precision)  # type: ignore[arg-type]
    network, content = read_network(path)
    step = network.inputs[0].type.step
    rng = np.random.default_rng(2)
    ties = (np.floor(rng.normal(size=(4, *SHAPE)) * 20) + 0.5).astype(np.float32) * np.float32(step)
    images = np.concatenate([*draw_samples(8, seed=1), 20 * draw_samples(1, seed=2)[0], ties])  # the ninth saturates
    expected = compute_whole_network(network, onnx.load_model_from_string(content), images)
    for name, value in run_fixed(path, cache, precision, images).items():
        np.testing.assert_array_equal(value, expected[name].reshape(value.shape))


@pytest.mark.slow
def test_a_mean_of_any_number_of_values_is_off_by_its_last_step_at_most(tmp_path: Path, cache: Path) -> None:
    nodes = [
        node("AveragePool", ["images"], "p", kernel_shape=[3, 3], strides=[3, 3]),
        node("Conv", ["images", "w"], "c", kernel_shape=[1, 1]),  # a network of nothing but pools is no network
    ]
    source = write_graph(tmp_path / "net.onnx", nodes, {"w": weight(1, 3, 1, 1)}, {"p": 4, "c": 4}, (3, 9, 9))
    images = np.random.default_rng(0).normal(size=(20, 1, 3, 9, 9)).astype(np.float32)
    path = convert_network(source, tmp_path / "out", list(images), "int8")
    network, _ = read_network(path)
    taken = network.inputs[0].type.quantise(images[:, 0])
    exact = network.outputs[0].type.quantise(taken.reshape(20, 3, 3, 3, 3, 3).mean(axis=(3, 5)))
    means = run_fixed(path, cache, "int8", images[:, 0])["p"]
    assert np.abs(means - exact).max() <= network.outputs[0].type.step
    assert (means == exact).mean() > 0.95


def run_fixed(path: Path, cache: Path, precision: str, images: np.ndarray) -> dict[str, np.ndarray]:
    with closing(Hls4mlBackend(cache).open(path, SessionOptions(precision))) as session:  # type: ignore[arg-type]
        return session.infer({"images": images})


@pytest.mark.slow
def test_a_real_classifier_keeps_its_answers(model: Path, version: DatasetVersion, tmp_path: Path, cache: Path) -> None:
    """The toy Model of these tests, 24 x 24, streamed; its answers in fixed point are those of FP32."""
    simplified, _ = simplify_graph(load_graph(model / "model.onnx"))
    source = tmp_path / "textures.onnx"
    onnx.save(simplified, source)
    calibration = PreparedSamples(version, list(version.items("train")), SPEC)
    images = np.concatenate(list(PreparedSamples(version, list(version.items("val")), SPEC)))
    expected = run("reference", source, images)["logits"]
    for precision, agreement in (("int16", 1.0), ("int8", 0.95)):
        path = convert_network(source, tmp_path / precision, calibration, precision)  # type: ignore[arg-type]
        assert read_network(path)[0].io_type == "io_stream"
        with closing(Hls4mlBackend(cache).open(path, SessionOptions(precision))) as session:  # type: ignore[arg-type]
            logits = session.infer({"images": images})["logits"]
        assert (logits.argmax(1) == expected.argmax(1)).mean() >= agreement, precision


@pytest.mark.slow
def test_layers_the_emulator_lacks_run_on_the_cpu(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hetero:fpga-emulator,cpu gives what the 16-bit emulation and the reference's tail behind it give."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(cache))
    nodes = [
        node("Conv", ["images", "w1", "b1"], "a", **SAME),
        node("Relu", ["a"], "b"),
        node("Resize", ["b", "", "scales"], "c", mode="linear", coordinate_transformation_mode="half_pixel"),
        node("Softmax", ["c"], "out", axis=1),
    ]
    weights = {"w1": weight(5, 3, 3, 3), "b1": weight(5), "scales": np.array([1, 1, 2, 2], np.float32)}
    source = write_graph(tmp_path / "net.onnx", nodes, weights, {"out": 4}, SHAPE)
    images = np.concatenate(draw_samples(6, seed=1))
    path = convert_hetero(source, tmp_path / "out", parse_devices("hetero:fpga-emulator,cpu"), draw_samples(20), "int16")
    with closing(load_backend("hetero").open(path, SessionOptions("int16", profile=True))) as session:
        out = session.infer({"images": images})["out"]
        rows = session.layers()
    head = run("hls4ml", tmp_path / "out" / "part0.fpga.json", images, "int16")["b"]
    tail = load_backend("reference").open(tmp_path / "out" / "part1.onnx", SessionOptions())
    np.testing.assert_allclose(out, tail.infer({"b": head})["out"], atol=1e-6)
    np.testing.assert_allclose(out, run("reference", source, images)["out"], atol=1e-3)
    assert [row.precision for row in rows][:2] == ["int16", "int16"]
    assert {row.precision for row in rows[2:]} == {"fp32"}
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert {"net.hetero.json", "part0.fpga.json", "part1.onnx"} <= {file.name for file in list_graph_files(path)}


def test_nothing_left_for_the_accelerator_is_refused_with_the_reasons(tmp_path: Path) -> None:
    nodes = [node("Softmax", ["images"], "a", axis=1), node("Relu", ["a"], "out")]
    source = write_graph(tmp_path / "net.onnx", nodes, {}, {"out": 4}, SHAPE)
    devices = parse_devices("hetero:fpga-emulator,cpu")
    with pytest.raises(Unsupported, match=r"no layer is left for fpga-emulator: a_Softmax .*out_Relu"):
        convert_hetero(source, tmp_path / "out", devices, draw_samples(1), "int16")
