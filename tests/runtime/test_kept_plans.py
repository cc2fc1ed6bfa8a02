"""OpenVINO's plans, kept and opened again: the same bits, and never those of another network, shape, option or machine."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openvino
import pytest
from graphs import FLOAT_GRAPHS, write_conv_chain, write_pyramid, write_quantised_conv
from openvino import opset13

from sightline.core.host import read_instruction_sets
from sightline.core.manifests import InputSpec
from sightline.runtime.backend import SessionOptions, Tensors
from sightline.runtime.backends import openvino_plans
from sightline.runtime.backends.openvino import OpenVinoSession
from sightline.runtime.plan_store import PlanStore, open_plan_folder

PIXELS = InputSpec(name="images", width=16, height=16, mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0))
WRITERS = {**FLOAT_GRAPHS, "quantised": write_quantised_conv, "pyramid": write_pyramid}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = open_plan_folder(tmp_path / "cache")
    assert found is not None
    return found


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What OpenVINO was made to compile, by key."""
    keys: list[Any] = []
    compile_plan = OpenVinoSession._compile

    def note(session: OpenVinoSession, key: Any, properties: Any) -> Any:
        keys.append(key)
        return compile_plan(session, key, properties)

    monkeypatch.setattr(OpenVinoSession, "_compile", note)
    return keys


def write_ir(folder: Path, name: str = "conv chain", half: bool = False) -> Path:
    """A graph as IR. Args: half: its weights are stored as float16."""
    graph = folder / "m.xml"
    writer = write_conv_chain if name == "conv chain" else WRITERS[name]
    openvino.save_model(openvino.convert_model(writer(folder / "m.onnx")), graph, compress_to_fp16=half)
    return graph


def change_weights(graph: Path) -> bytes:
    """What the graph's `.bin` would hold with another first weight."""
    weights = bytearray(graph.with_suffix(".bin").read_bytes())
    weights[:4] = np.float32(0.75).tobytes()
    return bytes(weights)


def infer(graph: Path, inputs: Tensors, **options: Any) -> np.ndarray:
    with closing(OpenVinoSession(graph, SessionOptions(**options))) as session:
        return read_first(session, inputs)


def read_first(session: OpenVinoSession, inputs: Tensors) -> np.ndarray:
    return next(iter(session.infer(inputs).values()))


def make_inputs(rng: np.random.Generator, count: int = 2) -> Tensors:
    return {"images": rng.normal(size=(count, 3, 16, 16)).astype(np.float32)}


def list_plans(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.plan"))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_a_kept_plan_gives_the_bits_of_a_compiled_one(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], name: str, half: bool
) -> None:
    graph, inputs = write_ir(tmp_path, name, half), make_inputs(rng)
    with closing(OpenVinoSession(graph, SessionOptions())) as session:
        expected = session.infer(inputs)
    infer(graph, inputs, plan_folder=folder)
    compiled.clear()
    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session:
        found = [session.infer(inputs), *session.stream([inputs] * 2)]
    assert compiled == []
    for output, values in expected.items():
        assert all(np.array_equal(values, one[output]) for one in found)


def test_pictures_and_every_shape_have_plans_of_their_own(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph = write_ir(tmp_path)
    options = SessionOptions(pixels=PIXELS, plan_folder=folder)
    asked = [
        make_inputs(rng, 1),
        make_inputs(rng, 3),
        {"images": rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)},
        {"images": rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)},
        make_inputs(rng, 4),  # beyond the fixed shapes: any shape
    ]
    with closing(OpenVinoSession(graph, options)) as session:
        expected = [read_first(session, inputs) for inputs in asked]
    assert len(set(compiled)) == len(compiled) == 5
    any_shape = {(None, True), (None, False)}  # pictures and tensors beyond the fixed shapes
    assert len(list_plans(folder)) == len(set(compiled) - any_shape) == 3
    compiled.clear()
    with closing(OpenVinoSession(graph, options)) as session:
        for inputs, outputs in zip(asked, expected, strict=True):
            assert np.array_equal(read_first(session, inputs), outputs)
    assert set(compiled) == any_shape


def write_sum(folder: Path, kind: str) -> Path:
    """`x` `(N, 4)` float32 through a constant whose type another conversion would change."""
    x = opset13.parameter([-1, 4], np.float32, name="x")
    largest = np.iinfo(np.int64).max
    if kind == "slice to the end":
        bounds = [opset13.constant(np.array([value], np.int64)) for value in (1, largest, 1, 1)]
        y = opset13.slice(x, *bounds)
    elif kind == "a large float64":
        y = opset13.convert(opset13.multiply(opset13.convert(x, "f64"), opset13.constant(np.array([1e300, 1, 2, 3]))), "f32")
    elif kind == "a large uint32":
        limit = opset13.constant(np.full((1, 4), 2**32 - 1, np.uint32))
        y = opset13.convert(opset13.minimum(opset13.convert(x, "u32"), limit), "f32")
    else:
        limit = opset13.constant(np.full((1, 4), largest))
        y = opset13.convert(opset13.minimum(opset13.convert(x, "i64"), limit), "f32")
    graph = folder / "m.xml"
    openvino.save_model(openvino.Model([opset13.relu(y)], [x], "m"), graph, compress_to_fp16=False)
    return graph


@pytest.mark.parametrize("kind", ["slice to the end", "a large float64", "a large uint32", "a large int64"])
def test_constants_of_types_that_openvino_converts_in_two_ways_come_back(
    tmp_path: Path, folder: Path, compiled: list[Any], kind: str
) -> None:
    graph, inputs = write_sum(tmp_path, kind), {"x": np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)}
    expected = infer(graph, inputs)
    infer(graph, inputs, plan_folder=folder)
    assert len(list_plans(folder)) == 1
    compiled.clear()
    assert np.array_equal(infer(graph, inputs, plan_folder=folder), expected)
    assert compiled == []


def test_a_plan_that_answers_otherwise_is_not_kept(
    tmp_path: Path,
    folder: Path,
    compiled: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    graph, inputs = write_sum(tmp_path, "slice to the end"), {"x": np.array([[1, 2, 3, 4]], np.float32)}
    monkeypatch.setattr(openvino_plans.PlanKeeper, "prepare", lambda self, model: True)  # as OpenVINO alone would do it
    with caplog.at_level(logging.INFO, "sightline.runtime"):
        for _ in range(2):
            assert infer(graph, inputs, plan_folder=folder).tolist() == [[2, 3, 4]]
    assert "answers otherwise" in caplog.text
    assert list_plans(folder) == []


@pytest.mark.parametrize("error", [RuntimeError("no room"), ValueError("a type without numbers"), MemoryError()])
def test_what_fails_while_a_plan_is_tried_fails_no_inference(
    tmp_path: Path, folder: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(first: Any, second: Any) -> bool:
        raise error

    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    monkeypatch.setattr(openvino_plans, "answers_alike", fail)
    assert np.array_equal(infer(graph, inputs, plan_folder=folder), infer(graph, inputs))
    assert list_plans(folder) == []


def test_a_network_with_networks_inside_is_not_kept(tmp_path: Path, folder: Path, compiled: list[Any]) -> None:
    x, a, b = (opset13.parameter([-1, 4], np.float32, name=name) for name in "xab")
    chosen = opset13.if_op(opset13.greater(opset13.reduce_sum(x, np.array([0, 1]), False), np.float32(0)).output(0))
    then, other = opset13.result(opset13.relu(a)), opset13.result(opset13.negative(b))
    chosen.set_then_body(openvino.Model([then], [a], "then"))
    chosen.set_else_body(openvino.Model([other], [b], "else"))
    chosen.set_input(x.output(0), a, b)
    model = openvino.Model([opset13.relu(chosen.set_output(then, other))], [x], "m")
    openvino.save_model(model, tmp_path / "m.xml", compress_to_fp16=False)
    for _ in range(2):
        assert infer(tmp_path / "m.xml", {"x": np.ones((1, 4), np.float32)}, plan_folder=folder).tolist() == [[1] * 4]
    assert len(compiled) == 2
    assert list_plans(folder) == []


def test_a_plan_holds_no_weights(tmp_path: Path, folder: Path, rng: np.random.Generator) -> None:
    graph = write_ir(tmp_path)
    infer(graph, make_inputs(rng), plan_folder=folder)
    (path,) = list_plans(folder)
    first_weights = graph.with_suffix(".bin").read_bytes()[:64]
    assert first_weights not in path.read_bytes()


def test_graphs_that_share_their_weights_share_no_plan(tmp_path: Path, folder: Path, rng: np.random.Generator) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    infer(graph, inputs, plan_folder=folder)
    graph.write_text(graph.read_text().replace('type="ReLU"', 'type="Sigmoid"'))
    assert np.array_equal(infer(graph, inputs, plan_folder=folder), infer(graph, inputs))
    assert len(list_plans(folder)) == 2


def test_the_same_architecture_with_other_weights_is_another_network(
    tmp_path: Path, folder: Path, rng: np.random.Generator
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    before = infer(graph, inputs, plan_folder=folder)
    graph.with_suffix(".bin").write_bytes(change_weights(graph))
    after = infer(graph, inputs, plan_folder=folder)
    assert not np.array_equal(before, after)
    assert np.array_equal(after, infer(graph, inputs))
    assert len(list_plans(folder)) == 2


@pytest.mark.parametrize("moment", ["before the first plan", "while it is read"])
def test_files_that_change_under_an_open_session_spoil_no_later_one(
    tmp_path: Path, folder: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    old = infer(graph, inputs)
    replacement = tmp_path / "new"
    replacement.write_bytes(change_weights(graph))
    if moment == "while it is read":  # after it was hashed
        keep_hashes = openvino_plans.compute_file_hash

        def replace_after(path: Path) -> Any:
            hashed = keep_hashes(path)
            if path.suffix == ".bin" and replacement.exists():
                replacement.replace(path)
            return hashed

        monkeypatch.setattr(openvino_plans, "compute_file_hash", replace_after)
    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session:
        if replacement.exists():
            replacement.replace(graph.with_suffix(".bin"))
        answered = read_first(session, inputs)
    new = infer(graph, inputs)
    assert not np.array_equal(old, new)
    assert np.array_equal(answered, new if moment == "while it is read" else old)
    assert list_plans(folder) == []
    for _ in range(2):
        assert np.array_equal(infer(graph, inputs, plan_folder=folder), new)


def test_weights_that_change_while_a_plan_is_opened_are_not_mixed_with_it(
    tmp_path: Path, folder: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    old = infer(graph, inputs, plan_folder=folder)
    find = PlanStore.find

    def find_and_change(store: PlanStore, key: str) -> bytes | None:
        (tmp_path / "new").write_bytes(change_weights(graph))
        (tmp_path / "new").replace(graph.with_suffix(".bin"))
        return find(store, key)

    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session, monkeypatch.context() as patch:
        patch.setattr(PlanStore, "find", find_and_change)
        assert np.array_equal(read_first(session, inputs), old)


def test_weights_that_are_written_in_place_without_a_trace_are_noticed(
    tmp_path: Path, folder: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session:
        monkeypatch.setattr(openvino_plans.PlanKeeper, "is_unchanged", lambda self: True)  # as through a mapping
        graph.with_suffix(".bin").write_bytes(change_weights(graph))
        session.infer(inputs)
    assert list_plans(folder) == []


def test_a_plan_stays_for_files_that_come_back(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    infer(graph, inputs, plan_folder=folder)
    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session:
        graph.with_suffix(".bin").rename(tmp_path / "away")
        session.infer(inputs)
    (tmp_path / "away").rename(graph.with_suffix(".bin"))
    compiled.clear()
    infer(graph, inputs, plan_folder=folder)
    assert compiled == []
    assert caplog.text == ""


def test_files_that_are_gone_have_no_plan(tmp_path: Path, folder: Path, rng: np.random.Generator) -> None:
    inputs, graphs = make_inputs(rng), []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        graphs.append(write_ir(tmp_path / name))
    graphs[1].with_suffix(".bin").write_bytes(change_weights(graphs[1]))
    expected = [infer(graph, inputs) for graph in graphs]
    sessions = [OpenVinoSession(graph, SessionOptions(plan_folder=folder)) for graph in graphs]
    for graph in graphs:
        graph.unlink()
        graph.with_suffix(".bin").unlink()
    for session, outputs in zip(sessions, expected, strict=True):
        assert np.array_equal(read_first(session, inputs), outputs)
        session.close()
    assert list_plans(folder) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"threads": 1},
        {"streams": 2},
        {"precision": "bf16"},
        {"pixels": msgspec.structs.replace(PIXELS, mean=(0.0, 0.0, 0.0))},
    ],
)
def test_other_options_are_planned_anew(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], changed: dict[str, Any]
) -> None:
    graph = write_ir(tmp_path)
    pictures = {"images": rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)}
    usual = {"threads": 2, "streams": 1, "precision": "fp32", "pixels": PIXELS, "plan_folder": folder}
    infer(graph, pictures, **usual)
    infer(graph, pictures, **{**usual, **changed})
    assert len(compiled) == 2


@pytest.mark.parametrize("changed", ["CPU", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "OpenVINO", "Sightline"])
def test_another_machine_or_release_plans_anew(
    tmp_path: Path,
    folder: Path,
    rng: np.random.Generator,
    compiled: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    infer(graph, inputs, plan_folder=folder)
    if changed == "CPU":
        monkeypatch.setattr(openvino_plans, "read_instruction_sets", lambda: "another CPU")
    elif changed.endswith("ISA"):
        monkeypatch.setenv(changed, "AVX2")
    elif changed == "OpenVINO":
        monkeypatch.setattr(openvino, "__version__", "another release")
    else:
        monkeypatch.setattr(openvino_plans, "__version__", "another release")
    infer(graph, inputs, plan_folder=folder)
    assert len(compiled) == 2


def test_machines_are_told_apart_by_what_they_can_run(tmp_path: Path) -> None:
    facts = "processor\t: 0\nmodel name\t: CPU one\ncpu MHz\t\t: {}\nflags\t\t: fpu {}\n\nprocessor\t: 1\n"
    read = []
    for number, (mhz, flag) in enumerate([(2000, "avx2"), (3000, "avx2"), (2000, "avx512f")]):
        path = tmp_path / str(number)
        path.write_text(facts.format(mhz, flag))
        read.append(read_instruction_sets(path))
    assert read[0] == read[1] == "CPU one fpu avx2"
    assert read[2] == "CPU one fpu avx512f"
    assert read_instruction_sets(tmp_path / "none")


def test_a_plan_that_does_not_open_is_made_again(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    expected = infer(graph, inputs, plan_folder=folder)
    (path,) = list_plans(folder)
    PlanStore(folder).keep(path.stem, b"no plan at all" * 100)  # whole, but not OpenVINO's
    with caplog.at_level(logging.WARNING, "sightline.runtime"):
        assert np.array_equal(infer(graph, inputs, plan_folder=folder), expected)
    assert caplog.text.count("does not open") == 1
    compiled.clear()
    infer(graph, inputs, plan_folder=folder)
    assert compiled == []


def test_an_open_session_needs_its_plan_no_more(tmp_path: Path, folder: Path, rng: np.random.Generator) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    expected = infer(graph, inputs, plan_folder=folder)
    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session:
        read_first(session, inputs)
        (path,) = list_plans(folder)
        path.write_bytes(bytes(path.stat().st_size))
        path.unlink()
        for _ in range(3):
            assert np.array_equal(read_first(session, inputs), expected)


def test_sessions_that_open_together_plan_once(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    sessions = [OpenVinoSession(graph, SessionOptions(plan_folder=folder)) for _ in range(4)]
    together = threading.Barrier(len(sessions))

    def use(session: OpenVinoSession) -> np.ndarray:
        together.wait(10)
        return read_first(session, inputs)

    with ThreadPoolExecutor(len(sessions)) as pool:
        first, *others = pool.map(use, sessions)
    assert len(compiled) == 1
    assert all(np.array_equal(first, other) for other in others)
    for session in sessions:
        session.close()


def test_a_session_that_cannot_keep_answers_and_tries_no_more_but_opens_what_is_there(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    graph = write_ir(tmp_path)
    infer(graph, make_inputs(rng, 3), plan_folder=folder)
    compiled.clear()
    folder.chmod(0o770)
    with (
        caplog.at_level(logging.INFO, "sightline.runtime"),
        closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session,
    ):
        for count in (1, 2, 3):
            assert len(read_first(session, make_inputs(rng, count))) == count
    assert caplog.text.count("compiled plans are not kept") == 1
    assert [shapes[0][0] for shapes, _ in compiled] == [1, 2]
    assert len(list_plans(folder)) == 1


def test_an_onnx_graph_is_compiled_each_time(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    graph.with_suffix(".bin").write_bytes(b"none of its weights")
    for _ in range(2):
        infer(graph, inputs, plan_folder=folder)
    assert len(compiled) == 2
    assert list_plans(folder) == []


def test_a_profiled_session_compiles_so_that_its_layers_have_their_names(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph, inputs = write_ir(tmp_path), make_inputs(rng)
    for _ in range(2):
        infer(graph, inputs, plan_folder=folder, profile=True)
    assert len(compiled) == 2
    assert list_plans(folder) == []
