"""OpenVINO's plans, kept and opened again: the same bits, and never those of another network, shape, option or machine."""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openvino
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from graphs import FLOAT_GRAPHS, write_conv_chain, write_pyramid, write_quantised_conv

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
    assert len(set(compiled)) == len(compiled) == len(list_plans(folder)) == 5
    compiled.clear()
    with closing(OpenVinoSession(graph, options)) as session:
        for inputs, outputs in zip(asked, expected, strict=True):
            assert np.array_equal(read_first(session, inputs), outputs)
    assert compiled == []


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


@pytest.mark.parametrize("changed", ["CPU", "instructions allowed", "OpenVINO", "Sightline"])
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
    elif changed == "instructions allowed":
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
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


def test_a_session_that_cannot_keep_answers_and_tries_no_more(
    tmp_path: Path, folder: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    graph = write_ir(tmp_path)
    folder.chmod(0o770)
    with (
        caplog.at_level(logging.INFO, "sightline.runtime"),
        closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session,
    ):
        for count in (1, 2, 3):
            assert len(read_first(session, make_inputs(rng, count))) == count
    assert caplog.text.count("compiled plans are not kept") == 1
    assert list_plans(folder) == []


def test_an_onnx_graph_is_compiled_each_time(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
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
