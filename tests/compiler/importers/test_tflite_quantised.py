"""Quantised .tflite files: QDQ graphs against LiteRT's integer kernels, in steps of the output's scale."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from import_checks import run_graph
from tflite_models import Scale, TinyFile

from sightline.compiler.graphs import count_operators
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.tflite.files import Quantisation
from sightline.compiler.importers.tflite.importer import TfliteImporter
from sightline.compiler.importers.tflite.weights import make_symmetric
from sightline.compiler.report.layers import count_precisions
from sightline.core.errors import Unsupported
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

SHAPE = (1, 6, 8, 4)
SAME = {"padding": 0, "strideW": 1, "strideH": 1}
INPUT_SCALE = {np.uint8: (0.04, 120, 0), np.int8: (0.04, -8, 0)}
OUTPUT_SCALE = {np.uint8: (0.11, 131, 0), np.int8: (0.11, 3, 0)}
RNG = np.random.default_rng(7)


def start(kind: type) -> TinyFile:
    return TinyFile((1, 6, 8, 3), kind, INPUT_SCALE[kind])


def convolve(file: TinyFile, kind: type, scale: Scale, source: int | None = None, **fields: int) -> int:
    """A 3x3 convolution to 4 channels; int8 weights per channel, uint8 ones around a zero point of 140."""
    source = file.input if source is None else source
    channels = file.graph.tensors[source].shape[3]
    if kind is np.int8:
        scales = np.array([0.01, 0.02, 0.005, 0.03], np.float32)
        weights = file.constant(RNG.integers(-127, 128, (4, 3, 3, channels)), np.int8, (scales, [0] * 4, 0))
    else:
        scales = np.float32(0.02)
        weights = file.constant(RNG.integers(60, 220, (4, 3, 3, channels)), np.uint8, (scales, 140, 0))
    steps = np.float32(file.graph.tensors[source].quantization.scale[0]) * np.atleast_1d(scales)
    bias = file.constant(RNG.integers(-900, 900, 4), np.int32, (steps, [0] * len(steps), 0))
    return file.add("CONV_2D", [source, weights, bias], SHAPE, "Conv2DOptions", kind, scale, **{**SAME, **fields}, version=3)


def read(file: TinyFile, folder: Path, *outputs: int) -> ImportedGraph:
    return TfliteImporter().read(file.write(folder / "tiny.tflite", *outputs), ImportOptions())


def draw_batch(kind: type) -> np.ndarray:
    scale, zero, _ = INPUT_SCALE[kind]
    limits = np.iinfo(kind)
    stored = RNG.integers(limits.min, limits.max + 1, (3, 3, 6, 8))
    return ((stored - zero) * np.float32(scale)).astype(np.float32)


def assert_steps(
    imported: ImportedGraph, kind: type, folder: Path, step: float, most: int, engine: str = "reference", equal: float = 0.9
) -> None:
    """Every output within `most` steps of LiteRT's, and a share of them equal."""
    batch = draw_batch(kind)
    expected, got = imported.source.run(batch), run_graph(imported.graph, batch, folder, engine)
    assert set(expected) == set(got)
    for name, values in expected.items():
        assert got[name].shape == values.shape
        apart = np.abs(got[name] - values) / step
        assert apart.max() < most + 0.01, f"{name}: {apart.max():.2f} steps"
        assert (apart < 0.01).mean() > equal
        assert values.std() > 3 * step  # something is compared


def count_layers(imported: ImportedGraph, kind: type, folder: Path, engine: str) -> dict[str, int]:
    """Arithmetic layers by the precision they ran in."""
    onnx.save(imported.graph, folder / "network.onnx")
    with closing(load_backend(engine).open(folder / "network.onnx", SessionOptions(profile=True))) as session:
        session.infer({session.input_names[0]: draw_batch(kind)})
        return count_precisions(session.layers())


@pytest.mark.parametrize("engine", ["reference", "onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_quantised_convolution_is_within_a_step(kind: type, engine: str, tmp_path: Path) -> None:
    file = start(kind)
    imported = read(file, tmp_path, convolve(file, kind, OUTPUT_SCALE[kind]))
    assert imported.precision == "int8"
    assert_steps(imported, kind, tmp_path, 0.11, 1, engine)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("activation", [1, 3])
def test_fused_activation_is_kept_where_the_quantised_range_exceeds_it(kind: type, activation: int, tmp_path: Path) -> None:
    file = start(kind)
    imported = read(file, tmp_path, convolve(file, kind, OUTPUT_SCALE[kind], fusedActivationFunction=activation))
    assert {"Relu", "Clip"} & set(count_operators(imported.graph))
    assert_steps(imported, kind, tmp_path, 0.11, 1)
    for engine in ("onnxruntime", "openvino"):
        assert count_layers(imported, kind, tmp_path, engine) == {"int8": 1}


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_fused_activation_is_left_out_where_the_quantised_range_implies_it(kind: type, tmp_path: Path) -> None:
    file = start(kind)
    scale = (6 / 255, np.iinfo(kind).min, 0)  # 0 to 6
    imported = read(file, tmp_path, convolve(file, kind, scale, fusedActivationFunction=3))
    assert not {"Relu", "Clip"} & set(count_operators(imported.graph))
    assert_steps(imported, kind, tmp_path, 6 / 255, 1)


def make_network(file: TinyFile, kind: type) -> int:
    """Convolution, residual sum, join of different scales, pooling, matrix product."""
    low, out = np.iinfo(kind).min, OUTPUT_SCALE[kind]
    first = convolve(file, kind, (0.09, low, 0), fusedActivationFunction=1)
    second = convolve(file, kind, out, first)
    total = file.add("ADD", [first, second], SHAPE, "AddOptions", kind, (0.2, low + 90, 0), version=2)
    if kind is np.int8:  # whose kernel joins only what has one scale
        first = file.add("QUANTIZE", [first], SHAPE, None, kind, (0.2, low + 90, 0), version=2)
    joined = file.add(
        "CONCATENATION", [total, first], (1, 6, 8, 8), "ConcatenationOptions", kind, (0.2, low + 90, 0), axis=3, version=2
    )
    fields = {"padding": 1, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    pooled = file.add("MAX_POOL_2D", [joined], (1, 3, 4, 8), "Pool2DOptions", kind, (0.2, low + 90, 0), version=2, **fields)
    flat = file.add("RESHAPE", [pooled, file.constant([-1, 96], np.int32)], (1, 96), "ReshapeOptions", kind, (0.2, low + 90, 0))
    zero = 0 if kind is np.int8 else 140
    weights = file.constant(RNG.integers(zero - 60, zero + 60, (10, 96)), kind, (0.01, zero, 0))
    bias = file.constant(RNG.integers(-900, 900, 10), np.int32, (0.002, 0, 0))
    options = {"fusedActivationFunction": 0, "version": 4}
    return file.add(
        "FULLY_CONNECTED", [flat, weights, bias], (1, 10), "FullyConnectedOptions", kind, (0.5, low + 128, 0), **options
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_every_layer_of_a_quantised_network_runs_in_int8(kind: type, engine: str, tmp_path: Path) -> None:
    file = start(kind)
    imported = read(file, tmp_path, make_network(file, kind))
    assert count_layers(imported, kind, tmp_path, engine) == {"int8": 3}
    assert_steps(imported, kind, tmp_path, 0.5, 2, engine, equal=0.7)


def test_a_quantised_network_has_no_transpose(tmp_path: Path) -> None:
    file = start(np.int8)
    kinds = count_operators(read(file, tmp_path, make_network(file, np.int8)).graph)
    assert "Transpose" not in kinds
    assert (kinds["Conv"], kinds["Gemm"], kinds["Concat"]) == (2, 1, 1)


POINTWISE = {
    "softmax": ("SOFTMAX", "SoftmaxOptions", {"beta": 1.0}, (1 / 256, 0)),
    "logistic": ("LOGISTIC", None, {}, (1 / 256, 0)),
    "tanh": ("TANH", None, {}, (1 / 128, 128)),
    "leaky_relu": ("LEAKY_RELU", "LeakyReluOptions", {"alpha": 0.2}, (0.05, 100)),
    "requantised": ("QUANTIZE", None, {}, (0.07, 90)),
}  # fmt: skip


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("name", POINTWISE)
def test_quantised_pointwise_operators_are_within_a_step(name: str, kind: type, tmp_path: Path) -> None:
    operator, options, fields, (step, zero) = POINTWISE[name]
    file = start(kind)
    scale = (step, zero + int(np.iinfo(kind).min), 0)
    imported = read(file, tmp_path, file.add(operator, [file.input], (1, 6, 8, 3), options, kind, scale, version=2, **fields))
    assert_steps(imported, kind, tmp_path, step, 1)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_quantised_resize_mean_and_average_pooling_are_within_a_step(kind: type, tmp_path: Path) -> None:
    file, scale = start(kind), INPUT_SCALE[kind]
    size = file.constant([12, 16], np.int32)
    large = file.add(
        "RESIZE_BILINEAR",
        [file.input, size],
        (1, 12, 16, 3),
        "ResizeBilinearOptions",
        kind,
        scale,
        halfPixelCenters=True,
        version=3,
    )
    rows = file.add(
        "MEAN", [file.input, file.constant([1], np.int32)], (1, 8, 3), "ReducerOptions", kind, scale, keepDims=False, version=2
    )
    fields = {"padding": 0, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3, "version": 2}
    pooled = file.add("AVERAGE_POOL_2D", [file.input], (1, 3, 4, 3), "Pool2DOptions", kind, scale, **fields)
    batch = draw_batch(kind)
    imported = read(file, tmp_path, large, rows, pooled)
    expected, got = imported.source.run(batch), run_graph(imported.graph, batch, tmp_path)
    for name, values in expected.items():
        assert np.abs(got[name] - values).max() < 0.04 * 1.01


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_quantised_padding_before_a_convolution_pads_with_zero_and_not_with_the_zero_stored(kind: type, tmp_path: Path) -> None:
    file, scale = start(kind), INPUT_SCALE[kind]
    amounts = file.constant([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    padded = file.add("PAD", [file.input, amounts], (1, 8, 10, 3), "PadOptions", kind, scale, version=2)
    imported = read(file, tmp_path, convolve(file, kind, OUTPUT_SCALE[kind], padded, padding=1))
    assert "Pad" not in count_operators(imported.graph)
    assert_steps(imported, kind, tmp_path, 0.11, 1)


def test_quantised_constant_operand_has_its_own_pair(tmp_path: Path) -> None:
    file = start(np.int8)
    other = file.constant(RNG.integers(-128, 128, (1, 1, 1, 3)), np.int8, (0.02, 5, 0))
    product = file.add("MUL", [file.input, other], (1, 6, 8, 3), "MulOptions", np.int8, (0.1, 2, 0), version=2)
    assert_steps(read(file, tmp_path, product), np.int8, tmp_path, 0.1, 1)


def test_layers_inside_the_network_are_shown_as_the_graph_names_them(tmp_path: Path) -> None:
    file = start(np.int8)
    imported = read(file, tmp_path, make_network(file, np.int8))
    names = ["layer_0_0", "layer_2_0", "layer_5_0", "layer_6_0/flat", "layer_0_0/linear", "nowhere"]
    shown = imported.source.run_layers(draw_batch(np.int8)[:2], names)
    assert {name: values.shape for name, values in shown.items()} == {
        "layer_0_0": (2, 4, 6, 8),  # (N, C, H, W) as in the graph
        "layer_2_0": (2, 4, 6, 8),
        "layer_5_0": (2, 8, 3, 4),
    }
    assert shown["layer_0_0"].min() == 0.0  # real values, not stored ones


def test_graph_takes_and_gives_float32(tmp_path: Path) -> None:
    file = start(np.uint8)
    graph = read(file, tmp_path, make_network(file, np.uint8)).graph.graph
    kinds = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    assert kinds == [onnx.TensorProto.FLOAT] * 2
    assert (
        Counter(node.op_type for node in graph.node)["QuantizeLinear"] == 7
    )  # the input and six layers; the reshape rounds nothing


def test_weights_within_127_steps_of_their_zero_point_stay_exact() -> None:
    stored = np.array([[20, 147], [147, 30]], np.uint8)
    values, scales = make_symmetric(stored, Quantisation(np.array([0.5], np.float32), np.array([147]), 0), 0)
    assert values.tolist() == [[-127, 0], [0, -117]]
    assert scales.tolist() == [0.5]


def test_only_the_channel_that_reaches_further_is_rounded_again() -> None:
    stored = np.array([[0, 255, 200], [199, 200, 201]], np.uint8)
    values, scales = make_symmetric(stored, Quantisation(np.array([0.5], np.float32), np.array([200]), 0), 0)
    assert scales == pytest.approx([0.5 * 200 / 127, 0.5])
    assert values.tolist() == [[-127, 35, 0], [-1, 0, 1]]  # 55 * 127 / 200 = 34.9


def test_float_activations_with_int8_weights_are_widened_and_said_so(tmp_path: Path) -> None:
    file = TinyFile((1, 6, 8, 3))
    weights = file.constant(RNG.integers(-127, 128, (5, 144)), np.int8, (0.01, 0, 0))
    scores = file.add("FULLY_CONNECTED", [file.input, weights, -1], (1, 5), "FullyConnectedOptions", version=3)
    imported = read(file, tmp_path, scores)
    assert imported.precision == "fp32"
    assert any("widened to float32" in note for note in imported.notes)
    batch = RNG.normal(size=(2, 3, 6, 8)).astype(np.float32)
    got, expected = run_graph(imported.graph, batch, tmp_path)["layer_0_0"], imported.source.run(batch)["layer_0_0"]
    stored = np.frombuffer(file.model.buffers[1].data, np.int8).reshape(5, 144)
    by_hand = batch.transpose(0, 2, 3, 1).reshape(2, -1) @ (stored.T * np.float32(0.01))
    np.testing.assert_allclose(got, by_hand, atol=1e-4)
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()  # the kernel quantises its input on the way


def test_sixteen_bit_activations_are_run_in_float_and_said_so(tmp_path: Path) -> None:
    file = TinyFile((1, 6, 8, 3))
    stored = file.add("QUANTIZE", [file.input], (1, 6, 8, 3), None, np.int16, (0.0005, 0, 0), version=2)
    total = file.add(
        "ADD", [stored, stored], (1, 6, 8, 3), "AddOptions", np.int16, (0.001, 0, 0), version=2, potScaleInt16=False
    )
    imported = read(file, tmp_path, total)
    assert any("16-bit" in note for note in imported.notes)
    assert "QuantizeLinear" not in count_operators(imported.graph)
    batch = RNG.normal(size=(2, 3, 6, 8)).astype(np.float32)
    expected = imported.source.run(batch)["layer_1_0"]
    assert np.abs(run_graph(imported.graph, batch, tmp_path)["layer_1_0"] - expected).max() < 0.002


def test_activations_quantised_per_channel_are_refused(tmp_path: Path) -> None:
    file = start(np.int8)
    other = file.add("TANH", [file.input], (1, 6, 8, 3), None, np.int8, ([0.1, 0.2, 0.3], [0, 0, 0], 3), version=2)
    with pytest.raises(Unsupported, match="per channel"):
        read(file, tmp_path, other)
