"""INT8 for what NNCF leaves in float: the convolutions of squeeze-and-excitation blocks."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sightline.compiler.candidates import make_int8_candidates
from sightline.compiler.compile import compile_model
from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.pictures import PreparedSamples
from sightline.compiler.quantisers.convolutions import list_convolutions
from sightline.compiler.quantisers.quantiser import NothingToAdd
from sightline.compiler.quantisers.table import load_quantiser
from sightline.core.folders import hash_files, read_manifest, write_manifest
from sightline.core.manifests import DecodeSpec, ModelManifest
from sightline.data.versions import DatasetVersion
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

SIDE = 24
SHAPES = {
    "w0": (16, 3, 3, 3),
    "b0": (16,),
    "squeeze": (4, 16, 1, 1),
    "squeeze_bias": (4,),
    "excite": (16, 4, 1, 1),
    "excite_bias": (16,),
    "w3": (8, 16, 3, 3),
}


def write_network(path: Path) -> None:
    """A convolution, a squeeze-and-excitation block, a convolution; `images` in, `features` out.

    Names are such as quantisers like to give: the pooled tensor `c` meets a constant `c_scale`.
    """
    rng = np.random.default_rng(4)
    scale = numpy_helper.from_array(np.array(2.0, np.float32), "c_scale")
    weights = {name: (rng.normal(size=shape) / np.prod(shape[1:]) ** 0.5).astype(np.float32) for name, shape in SHAPES.items()}
    nodes = [
        helper.make_node("Conv", ["images", "w0", "b0"], ["a"], "first", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], "pool"),
        helper.make_node("Conv", ["c", "squeeze", "squeeze_bias"], ["d"], "squeeze", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["d"], ["e"], "squeezed"),
        helper.make_node("Conv", ["e", "excite", "excite_bias"], ["f"], "excite", kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["f"], ["g"], "gate"),
        helper.make_node("Mul", ["b", "g"], ["h"], "weighed"),
        helper.make_node("Conv", ["h", "w3"], ["i"], "last", kernel_shape=[3, 3]),
        helper.make_node("Mul", ["i", "c_scale"], ["features"], "doubled"),
    ]
    graph = helper.make_graph(
        nodes,
        "squeeze-and-excitation",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 8, SIDE - 2, SIDE - 2])],
        [scale, *(numpy_helper.from_array(value, name) for name, value in weights.items())],
    )
    save_graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def weighing(model: Path, tmp_path: Path) -> Path:
    """A Model of that network, its output a tensor nobody explained."""
    folder = tmp_path / "weighing"
    folder.mkdir()
    write_network(folder / "model.onnx")
    decode = DecodeSpec(head="raw", outputs=("features",))
    changed = {"task": "raw", "categories": (), "decode": decode, "files": hash_files(folder)}
    write_manifest(folder, msgspec.structs.replace(read_manifest(model, ModelManifest), **changed))
    return folder


def make_samples(version: DatasetVersion, model: Path) -> Sequence[np.ndarray]:
    return PreparedSamples(version, list(version.items("train"))[:20], read_manifest(model, ModelManifest).input)


def infer(graph: Path, batch: np.ndarray) -> np.ndarray:
    return load_backend("reference").open(graph, SessionOptions()).infer({"images": batch})["features"]


@pytest.mark.slow
def test_what_nncf_leaves_in_float_becomes_int8_and_the_rest_stays(
    weighing: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    source, begun, whole = weighing / "model.onnx", tmp_path / "begun.onnx", tmp_path / "whole.onnx"
    samples = make_samples(version, weighing)
    load_quantiser("nncf").quantise(source, begun, "images", samples)
    assert {one.name for one in list_convolutions(load_graph(begun))} == {"squeeze", "excite"}
    facts = load_quantiser("nncf-whole").quantise(begun, whole, "images", samples)
    assert (facts.quantiser, facts.images, facts.settings["convolutions_added"]) == ("nncf-whole", 20, ["squeeze", "excite"])
    assert facts.package.startswith("nncf ")
    graph = onnx.load(whole)
    onnx.checker.check_model(graph, full_check=True)
    assert not list_convolutions(graph)
    stored = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer if tensor.data_type == TensorProto.INT8}
    before = {tensor.name for tensor in onnx.load(begun).graph.initializer if tensor.data_type == TensorProto.INT8}
    added = {shape for name, shape in stored.items() if name not in before and len(shape) == 4}
    assert added == {SHAPES["squeeze"], SHAPES["excite"]}
    batch = np.concatenate([samples[index] for index in range(8)])
    exact, by_nncf, by_both = (infer(path, batch) for path in (source, begun, whole))
    assert 0 < np.abs(by_both - by_nncf).mean() < 0.001 * np.abs(exact).max()


@pytest.mark.slow
def test_the_ladder_tries_it_where_nncf_left_something_and_only_there(
    weighing: Path, model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    def find_tried(network: Path, out: Path) -> tuple[set[str], set[str]]:
        report = compile_model(network, out, version, max_drop=0.05, calibration_images=24).report
        return {row.name for row in report.candidates}, {refusal.name for refusal in report.refusals}

    tried, _ = find_tried(weighing, tmp_path / "a")
    assert {"openvino int8 nncf", "openvino int8 nncf-whole"} <= tried
    tried, refused = find_tried(model, tmp_path / "b")
    assert "openvino int8 nncf" in tried
    assert not any("nncf-whole" in name for name in tried | refused)  # there is nothing to tell


def test_a_network_without_float_convolutions_has_nothing_to_add(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    samples, int8 = make_samples(version, model), tmp_path / "int8.onnx"
    load_quantiser("ort-minmax").quantise(model / "model.onnx", int8, "images", samples)
    with pytest.raises(NothingToAdd, match=r"left no convolution of int8\.onnx in float"):
        load_quantiser("nncf-whole").quantise(int8, tmp_path / "out.onnx", "images", samples)


def test_nothing_is_added_to_a_file_that_nncf_could_not_write(weighing: Path, version: DatasetVersion) -> None:
    manifest, samples = read_manifest(weighing, ModelManifest), make_samples(version, weighing)
    made = make_int8_candidates("nncf-whole", weighing / "model.onnx", manifest, ["openvino"], samples)
    assert made == ([], [])
