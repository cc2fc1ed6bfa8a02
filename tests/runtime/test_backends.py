"""The conformance suite: every back end in the table against `reference`, on every graph.

`hetero` runs each graph as a list of one segment. `torch` runs its steps on the CPU where there is no GPU. `hls4ml` computes
in fixed point and has a suite of its own, `test_hls4ml`; so has `inductor`, which compiles for each graph: `cuda/test_joining`.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from graphs import FLOAT_GRAPHS, node, write_conv_chain, write_graph, write_pyramid, write_quantised_conv
from onnx import TensorProto, helper

from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import InputSpec
from sightline.imaging.preprocessing import place_batch, prepare_batch
from sightline.runtime.backend import Session, SessionOptions, TensorType, check_openable
from sightline.runtime.backends.cuda.session import TorchSession
from sightline.runtime.backends.hetero import HeteroNetwork, Segment, write_hetero
from sightline.runtime.backends.table import BACKENDS, load_backend, make_backend

ENGINES = [name for name in BACKENDS if name not in ("hls4ml", "inductor")]
OTHERS = [name for name in ENGINES if name != "reference"]
READERS = [name for name in ENGINES if ".onnx" in make_backend(name).graph_suffixes]
INT8_ENGINES = ["onnxruntime", "openvino", "hetero"]

SESSIONS_OF_THEIR_OWN = ["onnxruntime", "openvino", "torch"]  # the other engines run in these


def open_graph(name: str, graph: Path, **options: object) -> Session:
    settings = SessionOptions(**options)  # type: ignore[arg-type]
    backend = make_backend(name)
    if name == "torch" and backend.absent():
        check_openable(backend, graph, settings)
        return TorchSession(graph, settings, torch.device("cpu"))
    return backend.open(list_as_segment(graph, settings) if name == "hetero" else graph, settings)


def list_as_segment(path: Path, settings: SessionOptions) -> Path:
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = tuple(value.name for value in graph.input if value.name not in weights)
    outputs = tuple(value.name for value in graph.output)
    segment = Segment(
        file=path.name,
        device="cpu",
        engine="onnxruntime",
        precision=settings.precision,
        inputs=inputs,
        outputs=outputs,
    )
    listed = path.with_suffix(".hetero.json")
    write_hetero(HeteroNetwork(inputs=inputs, outputs=outputs, segments=(segment,)), listed)
    return listed


def make_batch(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {"images": rng.normal(size=(count, 3, 16, 16)).astype(np.float32)}


def relative_error(value: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(value - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("graph_name", FLOAT_GRAPHS)
@pytest.mark.parametrize("name", OTHERS)
def test_fp32_outputs_equal_the_reference(
    name: str, graph_name: str, count: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    graph = FLOAT_GRAPHS[graph_name](tmp_path / "graph.onnx")
    inputs = make_batch(rng, count)
    expected = open_graph("reference", graph).infer(inputs)
    outputs = open_graph(name, graph).infer(inputs)
    assert list(outputs) == list(expected)
    for key, value in expected.items():
        assert outputs[key].shape == value.shape
        assert outputs[key].dtype == np.float32
        assert relative_error(outputs[key], value) < 1e-4


def test_the_reference_follows_the_operators_definition(tmp_path: Path, rng: np.random.Generator) -> None:
    """Softmax over channels of a strided convolution, written out as loops."""
    w = rng.normal(size=(2, 3, 1, 1)).astype(np.float32)
    nodes = [node("Conv", ["images", "w"], "a", strides=[8, 8]), node("Softmax", ["a"], "out", axis=1)]
    graph = write_graph(tmp_path / "graph.onnx", nodes, {"w": w}, {"out": 4})
    inputs = make_batch(rng, 1)
    out = open_graph("reference", graph).infer(inputs)["out"]
    assert out.shape == (1, 2, 2, 2)
    for row in range(2):
        for column in range(2):
            pixel = inputs["images"][0, :, row * 8, column * 8]
            sums = [float((w[k, :, 0, 0] * pixel).sum()) for k in range(2)]
            powers = np.exp(sums) / np.exp(sums).sum()
            np.testing.assert_allclose(out[0, :, row, column], powers, rtol=1e-5)


@pytest.mark.parametrize("name", INT8_ENGINES)
def test_a_quantised_graph_runs_in_int8_within_one_step_of_the_reference(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    graph = write_quantised_conv(tmp_path / "graph.onnx")
    inputs = make_batch(rng, 2)
    expected = open_graph("reference", graph, precision="int8").infer(inputs)["out"]
    session = open_graph(name, graph, precision="int8", profile=True)
    out = session.infer(inputs)["out"]
    assert np.abs(out - expected).max() <= 6 / 255 * 1.001
    convolutions = [row for row in session.layers() if "Conv" in row.kind]
    assert [row.precision for row in convolutions] == ["int8"]


def test_openvino_runs_bf16_close_to_the_reference(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = write_conv_chain(tmp_path / "graph.onnx")
    inputs = make_batch(rng, 2)
    expected = open_graph("reference", graph).infer(inputs)["logits"]
    assert relative_error(open_graph("openvino", graph, precision="bf16").infer(inputs)["logits"], expected) < 3e-2


@pytest.mark.parametrize("name", ENGINES)
def test_more_shapes_than_are_kept_fixed_are_still_right(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = write_pyramid(tmp_path / "graph.onnx")
    reference, session = open_graph("reference", graph), open_graph(name, graph)
    for count in (1, 2, 3, 4, 5, 1):
        inputs = make_batch(rng, count)
        assert relative_error(session.infer(inputs)["fine"], reference.infer(inputs)["fine"]) < 1e-4


@pytest.mark.parametrize("streams", [1, 2, 3])
@pytest.mark.parametrize("name", ENGINES)
def test_a_stream_answers_in_order_and_its_outputs_may_be_kept(
    name: str, streams: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    graph = write_conv_chain(tmp_path / "graph.onnx")
    batches = [make_batch(rng, 1 + index % 3) for index in range(12)]
    reference = open_graph("reference", graph)
    session = open_graph(name, graph, streams=streams, threads=1)
    kept = list(session.stream(batches))
    assert len(kept) == 12
    for inputs, outputs in zip(batches, kept, strict=True):
        assert relative_error(outputs["logits"], reference.infer(inputs)["logits"]) < 1e-4


@pytest.mark.parametrize("name", ENGINES)
def test_an_empty_stream_is_empty(name: str, tmp_path: Path) -> None:
    assert list(open_graph(name, write_conv_chain(tmp_path / "graph.onnx")).stream([])) == []


@pytest.mark.parametrize("name", ENGINES)
def test_a_reader_that_stops_early_blocks_nobody(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    session = open_graph(name, write_conv_chain(tmp_path / "graph.onnx"), streams=2, threads=1)
    inputs = make_batch(rng, 1)
    paused = [session.stream([inputs] * 50) for _ in range(4)]
    for stream in paused:
        next(stream)
    assert session.infer(inputs)["logits"].shape == (1, 10)  # while four readers hold results back
    for stream in paused:
        stream.close()  # type: ignore[attr-defined]
    assert len(list(session.stream([inputs] * 5))) == 5
    session.close()


@pytest.mark.parametrize("name", ENGINES)
def test_a_stream_takes_no_more_than_it_needs(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    session = open_graph(name, write_conv_chain(tmp_path / "graph.onnx"), streams=2, threads=1)
    inputs, taken = make_batch(rng, 1), []

    def give() -> Iterator[dict[str, np.ndarray]]:
        for index in range(100):
            taken.append(index)
            yield inputs

    next(iter(session.stream(give())))
    assert len(taken) <= 3


@pytest.mark.parametrize("name", ENGINES)
def test_an_input_that_raises_ends_the_stream_and_leaves_the_session_usable(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    session = open_graph(name, write_conv_chain(tmp_path / "graph.onnx"), streams=2, threads=1)
    inputs = make_batch(rng, 1)

    def give() -> Iterator[dict[str, np.ndarray]]:
        yield inputs
        raise KeyError("broken picture")

    with pytest.raises(KeyError, match="broken picture"):
        list(session.stream(give()))
    assert session.infer(inputs)["logits"].shape == (1, 10)


@pytest.mark.parametrize("name", ENGINES)
def test_wrong_inputs_are_refused_by_name_and_shape(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    session = open_graph(name, write_conv_chain(tmp_path / "graph.onnx"))
    with pytest.raises(InvalidInput, match="expected inputs"):
        session.infer({"pictures": np.zeros((1, 3, 16, 16), np.float32)})
    for shape in ((1, 5, 16, 16), (1, 3, 15, 16), (3, 16, 16)):
        with pytest.raises(InvalidInput):
            session.infer({"images": np.zeros(shape, np.float32)})
    with pytest.raises(InvalidInput, match="inputs of numbers"):
        session.infer({"images": np.full((1, 3, 16, 16), "a")})
    assert session.infer(make_batch(rng, 1))["logits"].shape == (1, 10)


def test_what_onnx_runtime_refuses_is_raised_and_not_written_besides(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["table", "index"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("index", onnx.TensorProto.INT64, ["N"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N"])],
        [onnx.helper.make_tensor("table", onnx.TensorProto.FLOAT, [2], [1, 2])],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), tmp_path / "g.onnx"
    )
    session = open_graph("onnxruntime", tmp_path / "g.onnx")
    with pytest.raises(InvalidInput, match="out of data bounds"):
        session.infer({"index": np.array([9], np.int64)})
    session.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ENGINES)
def test_a_stated_size_is_refused_even_where_the_operators_would_take_another(name: str, tmp_path: Path) -> None:
    """A pool takes any number of channels of any size, so only the graph's stated input can tell that this one is wrong."""
    graph = write_graph(tmp_path / "graph.onnx", [node("GlobalAveragePool", ["images"], "out")], {}, {"out": 4})
    session = open_graph(name, graph)
    for count in (1, 2, 3, 4):  # the fourth runs with a dynamic batch
        assert session.infer({"images": np.ones((count, 3, 16, 16), np.float32)})["out"].shape == (count, 3, 1, 1)
    for shape in ((1, 4, 16, 16), (1, 3, 8, 16), (5, 3, 16, 8)):
        with pytest.raises(InvalidInput, match=r"shape|dimensions"):
            session.infer({"images": np.ones(shape, np.float32)})


@pytest.mark.parametrize("name", ENGINES)
def test_a_closed_session_may_be_closed_again_and_says_that_it_is_closed(name: str, tmp_path: Path) -> None:
    session = open_graph(name, write_conv_chain(tmp_path / "graph.onnx"))
    session.close()
    session.close()
    with pytest.raises(InvalidInput, match="closed; open the graph again"):
        session.infer({"images": np.zeros((1, 3, 16, 16), np.float32)})


@pytest.mark.parametrize("name", SESSIONS_OF_THEIR_OWN)
def test_closing_waits_for_an_inference_of_another_thread(
    name: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, batch = open_graph(name, write_conv_chain(tmp_path / "g.onnx")), make_batch(rng, 2)
    expected = session.infer(batch)
    module = sys.modules[type(session).__module__]
    convert, inside, go_on = module.convert_inputs, threading.Event(), threading.Event()

    def pause(*args: object) -> object:
        inside.set()
        assert go_on.wait(60)
        return convert(*args)

    monkeypatch.setattr(module, "convert_inputs", pause)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(session.infer, batch)
        assert inside.wait(60)
        closing = pool.submit(session.close)
        assert not wait([closing], timeout=0.2).done
        go_on.set()
        for output, value in answer.result().items():
            np.testing.assert_array_equal(value, expected[output])
        closing.result()
    with pytest.raises(InvalidInput, match="closed"):
        session.infer(batch)


@pytest.mark.parametrize("name", SESSIONS_OF_THEIR_OWN)
def test_a_session_may_be_closed_while_a_stream_of_it_is_read(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    session, batches = open_graph(name, write_conv_chain(tmp_path / "g.onnx"), streams=2), [make_batch(rng, 1)] * 9
    stream = session.stream(batches)
    next(stream)
    session.close()
    with pytest.raises(InvalidInput, match="closed"):
        list(stream)
    with pytest.raises(InvalidInput, match="closed"):
        next(session.stream(batches))


def test_a_profile_leaves_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(InvalidInput, match="cannot open"):
        open_graph("onnxruntime", tmp_path / "broken.onnx", profile=True)
    session = open_graph("onnxruntime", write_conv_chain(tmp_path / "graph.onnx"), profile=True)
    session.infer(make_batch(rng, 1))
    session.close()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", ENGINES)
def test_layers_have_sources_kinds_times_and_shares(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    session = open_graph(name, write_conv_chain(tmp_path / "graph.onnx"), profile=True)
    with pytest.raises(InvalidInput, match="profile=True"):
        session.layers()
    for _ in range(3):
        session.infer(make_batch(rng, 1))
    rows = session.layers()
    assert sum(row.share for row in rows) == pytest.approx(1, abs=1e-6)
    convolutions = [row for row in rows if "Conv" in row.kind]
    assert len(convolutions) == 2
    assert all(row.precision == "fp32" and row.time_us > 0 and row.primitive and row.source_layers for row in convolutions)
    assert session.layers() == rows


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_no_graph_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(InvalidInput, match="cannot open"):
        open_graph(name, tmp_path / "broken.onnx")
    with pytest.raises(NotFound, match=r"absent\.onnx"):
        open_graph(name, tmp_path / "absent.onnx")
    (tmp_path / "graph.pb").write_bytes(b"")
    with pytest.raises(Unsupported, match="opens"):
        open_graph(name, tmp_path / "graph.pb")


def test_a_precision_the_engine_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="bf16"):
        open_graph("onnxruntime", write_conv_chain(tmp_path / "graph.onnx"), precision="bf16")


def test_no_streams_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least 1 stream"):
        open_graph("openvino", write_conv_chain(tmp_path / "graph.onnx"), streams=0)


def test_layers_are_profiled_in_one_stream_only(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="one stream to profile"):
        open_graph("onnxruntime", write_conv_chain(tmp_path / "graph.onnx"), profile=True, streams=2)


def test_the_first_inference_is_left_out_of_the_mean() -> None:
    from sightline.runtime.backends.openvino import leave_out_first

    # Times 100, 10, 10, 10: a running mean of 32.5 after four.
    assert leave_out_first({"a": 100.0}, {"a": 32.5}, 4) == {"a": 10.0}
    assert leave_out_first({"a": 100.0}, {"a": 100.0}, 1) == {"a": 100.0}


def test_an_unknown_engine_is_named_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="reference, onnxruntime, openvino"):
        load_backend("tensorrt")


@pytest.mark.parametrize("colour", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", ENGINES)
def test_pictures_as_uint8_give_what_the_prepared_tensor_gives(
    name: str, layout: str, colour: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    channels = 1 if colour == "GRAY" else 3
    mean, std = (120.0, 110.0, 100.0)[:channels], (60.0, 50.0, 40.0)[:channels]
    spec = InputSpec(width=16, height=12, layout=layout, colour=colour, mean=mean, std=std)
    shape = (channels, 12, 16) if layout == "NCHW" else (12, 16, channels)
    graph = write_graph(tmp_path / "graph.onnx", [node("Abs", ["images"], "out")], {}, {"out": 4}, shape)
    images = [rng.integers(0, 256, (30, 40, 3), np.uint8) for _ in range(2)]
    prepared, _ = prepare_batch(images, spec)
    pixels, _ = place_batch(images, spec)
    session = open_graph(name, graph, pixels=spec)
    np.testing.assert_allclose(session.infer({"images": pixels})["out"], np.abs(prepared), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(session.infer({"images": prepared})["out"], np.abs(prepared), rtol=1e-6)
    streamed = list(session.stream([{"images": pixels}] * 3))
    assert all(np.array_equal(outputs["out"], streamed[0]["out"]) for outputs in streamed)


@pytest.mark.parametrize(("name", "counts"), [("openvino", [1, 2, 2]), ("onnxruntime", [1, 1, 1]), ("hetero", [1, 1, 1])])
def test_each_plan_that_an_engine_made_is_counted(name: str, counts: list[int], tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph.onnx", [node("Abs", ["images"], "out")], {}, {"out": 4}, (3, 12, 16))
    session = open_graph(name, graph, pixels=InputSpec(width=16, height=12))
    found = []
    for pictures in (np.zeros((1, 12, 16, 3), np.uint8), *[np.zeros((1, 3, 12, 16), np.float32)] * 2):
        session.infer({"images": pictures})
        found.append(session.plan_count)
    assert found == counts


@pytest.mark.parametrize("name", ENGINES)
def test_tensors_are_described_as_the_graph_states_them(name: str, tmp_path: Path) -> None:
    graph = write_conv_chain(tmp_path / "graph.onnx")
    inputs, outputs = open_graph(name, graph).describe_tensors()
    assert inputs == (TensorType(name="images", dtype="float32", shape=(-1, 3, 16, 16)),)
    assert [(tensor.name, tensor.dtype, tensor.shape[0], len(tensor.shape)) for tensor in outputs] == [
        ("logits", "float32", -1, 2)
    ]


def write_identity(path: Path, kind: int) -> Path:
    ports = [helper.make_tensor_value_info(name, kind, ["N", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)
    return path


def test_openvino_takes_and_gives_bf16_as_float32(tmp_path: Path) -> None:
    session = open_graph("openvino", write_identity(tmp_path / "graph.onnx", TensorProto.BFLOAT16))
    inputs, outputs = session.describe_tensors()
    assert [(tensor.dtype, tensor.shape) for tensor in (*inputs, *outputs)] == [("bfloat16", (-1, 4))] * 2
    for rows in (1, 2, 3, 5):
        x = np.full((rows, 4), [1, -2.5, 100, 1 + 2**-8], np.float32)
        y = session.infer({"x": x})["y"]
        assert (y.dtype, y.tolist()) == (np.float32, [[1, -2.5, 100, 1]] * rows)  # 8 bits, the last tie to the even one


def test_an_element_type_that_numpy_lacks_is_not_called_another(tmp_path: Path) -> None:
    session = open_graph("openvino", write_identity(tmp_path / "graph.onnx", TensorProto.FLOAT8E5M2))
    assert [tensor.dtype for tensor in session.describe_tensors()[1]] == ["f8e5m2"]


@pytest.mark.parametrize("name", ["onnxruntime", "reference"])
def test_onnx_runtime_says_that_it_has_no_bf16(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="got bfloat16 'x'; use openvino"):
        open_graph(name, write_identity(tmp_path / "graph.onnx", TensorProto.BFLOAT16))


@pytest.mark.parametrize("name", READERS)
def test_a_scalar_goes_in_and_comes_out_as_one(name: str, tmp_path: Path) -> None:
    shapes: dict[str, list[int | str]] = {"x": ["N", 3], "s": [], "y": ["N", 3], "twice": []}
    x, s, y, twice = (helper.make_tensor_value_info(port, TensorProto.FLOAT, shape) for port, shape in shapes.items())
    nodes = [helper.make_node("Mul", ["x", "s"], ["y"]), helper.make_node("Add", ["s", "s"], ["twice"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x, s], [y, twice]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.save(model, tmp_path / "graph.onnx")
    session = open_graph(name, tmp_path / "graph.onnx")
    for rows in (1, 2):
        outputs = session.infer({"x": np.ones((rows, 3), np.float32), "s": np.array(3, np.float32)})
        assert outputs["y"].tolist() == [[3, 3, 3]] * rows
        assert (outputs["twice"].shape, float(outputs["twice"])) == ((), 6)


STOPPED = """
import os, signal, sys, time
from pathlib import Path
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sessions = [load_backend("openvino").open(Path(sys.argv[1]), SessionOptions()) for _ in range(2)]
while sessions:
    sessions.pop(0).close()
try:
    os.kill(os.getpid(), signal.SIGINT)
    while True:  # another thread may be the one that gets it
        time.sleep(0.01)
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_process_survives_ctrl_c_after_its_networks_were_closed(tmp_path: Path) -> None:
    """OpenVINO's plug-in lends threads a stack for signals; one of an unloaded plug-in crashed whoever handled a signal."""
    graph = write_conv_chain(tmp_path / "graph.onnx")
    done = subprocess.run([sys.executable, "-c", STOPPED, str(graph)], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
