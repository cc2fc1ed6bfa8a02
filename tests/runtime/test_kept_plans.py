"""OpenVINO's plans, kept and opened again: the same bits, and never those of another network, shape, option or version."""

import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import external_data_helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
from graphs import FLOAT_GRAPHS, write_conv_chain, write_pyramid, write_quantised_conv

from sightline.core.manifests import InputSpec
from sightline.runtime.backend import SessionOptions, Tensors
from sightline.runtime.backends import openvino as backend
from sightline.runtime.backends.openvino import OpenVinoSession
from sightline.runtime.plan_store import PlanStore, open_plan_folder

PIXELS = InputSpec(name="images", width=16, height=16, mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = open_plan_folder(tmp_path / "cache")
    assert found is not None
    return found


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What OpenVINO was made to compile, by key."""
    keys: list[Any] = []
    compile_plan = OpenVinoSession._compile

    def note(session: OpenVinoSession, key: Any) -> Any:
        keys.append(key)
        return compile_plan(session, key)

    monkeypatch.setattr(OpenVinoSession, "_compile", note)
    return keys


def infer(graph: Path, inputs: Tensors, **options: Any) -> Tensors:
    with closing(OpenVinoSession(graph, SessionOptions(**options))) as session:
        return session.infer(inputs)


def make_inputs(rng: np.random.Generator, count: int = 2) -> Tensors:
    return {"images": rng.normal(size=(count, 3, 16, 16)).astype(np.float32)}


def find_mapped_kb(folder: Path) -> tuple[int, int]:
    """Of the plans that this process has mapped: all, and what somebody wrote to, which leaving memory would undo."""
    sizes = {"Size:": 0, "Anonymous:": 0}
    is_plan = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, value, *_ = line.split()
        if not name.endswith(":"):  # a mapping's range
            is_plan = str(folder) in line
        elif is_plan and name in sizes:
            sizes[name] += int(value)
    return sizes["Size:"], sizes["Anonymous:"]


def list_plans(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.plan"))


@pytest.mark.parametrize("name", [*FLOAT_GRAPHS, "quantised", "pyramid"])
def test_a_kept_plan_gives_the_bits_of_a_compiled_one(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], name: str
) -> None:
    writers = {**FLOAT_GRAPHS, "quantised": write_quantised_conv, "pyramid": write_pyramid}
    graph, inputs = writers[name](tmp_path / "m.onnx"), make_inputs(rng)
    expected = infer(graph, inputs)
    planned = infer(graph, inputs, plan_folder=folder)
    compiled.clear()
    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session:
        first, second = session.infer(inputs), session.infer(inputs)  # between them the plan leaves memory
        mapped_kb, written_kb = find_mapped_kb(folder)
    assert mapped_kb > 0
    assert written_kb == 0
    assert compiled == []
    for output, values in expected.items():
        for found in (planned, first, second):
            assert np.array_equal(values, found[output])


def test_pictures_and_every_shape_have_plans_of_their_own(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph = write_conv_chain(tmp_path / "m.onnx")
    options = SessionOptions(pixels=PIXELS, plan_folder=folder)
    asked = [
        make_inputs(rng, 1),
        make_inputs(rng, 3),
        {"images": rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)},
        {"images": rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)},
        make_inputs(rng, 4),  # beyond the fixed shapes: any shape
    ]
    with closing(OpenVinoSession(graph, options)) as session:
        expected = [session.infer(inputs) for inputs in asked]
    assert len(set(compiled)) == len(compiled) == len(list_plans(folder)) == 5
    compiled.clear()
    with closing(OpenVinoSession(graph, options)) as session:
        for inputs, outputs in zip(asked, expected, strict=True):
            assert np.array_equal(session.infer(inputs)["logits"], outputs["logits"])
    assert compiled == []


def test_the_same_architecture_with_other_weights_is_another_network(
    tmp_path: Path, folder: Path, rng: np.random.Generator
) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    before = infer(graph, inputs, plan_folder=folder)
    model = onnx.load(graph)
    tensor = next(one for one in model.graph.initializer if one.name == "w1")
    weights = numpy_helper.to_array(tensor).copy()
    weights[0, 0, 0, 0] += 0.5
    tensor.CopyFrom(numpy_helper.from_array(weights, "w1"))
    onnx.save(model, graph)
    after = infer(graph, inputs, plan_folder=folder)
    assert not np.array_equal(before["logits"], after["logits"])
    assert np.array_equal(after["logits"], infer(graph, inputs)["logits"])


def test_weights_beside_an_ir_count(tmp_path: Path, folder: Path, rng: np.random.Generator) -> None:
    import openvino

    graph, inputs = tmp_path / "m.xml", make_inputs(rng)
    openvino.save_model(openvino.convert_model(write_conv_chain(tmp_path / "m.onnx")), graph, compress_to_fp16=False)
    before = infer(graph, inputs, plan_folder=folder)
    weights = np.fromfile(graph.with_suffix(".bin"), np.float32)
    weights[0] += 0.5  # of the first convolution
    weights.tofile(graph.with_suffix(".bin"))
    after = infer(graph, inputs, plan_folder=folder)
    assert not np.array_equal(next(iter(before.values())), next(iter(after.values())))


@pytest.mark.parametrize(
    ("changed", "by"),
    [
        ("threads", {"threads": 1}),
        ("streams", {"streams": 2}),
        ("pixels", {"pixels": msgspec.structs.replace(PIXELS, mean=(0.0, 0.0, 0.0))}),
    ],
)
def test_other_options_are_planned_anew(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], changed: str, by: dict[str, Any]
) -> None:
    graph = write_conv_chain(tmp_path / "m.onnx")
    pictures = {"images": rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)}
    usual = {"threads": 2, "streams": 1, "pixels": PIXELS, "plan_folder": folder}
    infer(graph, pictures, **usual)
    infer(graph, pictures, **{**usual, **by})
    assert len(compiled) == 2, changed


def test_another_machine_or_release_plans_anew(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    infer(graph, inputs, plan_folder=folder)
    with monkeypatch.context() as patch:
        patch.setattr(backend, "read_instruction_sets", lambda: "another CPU")
        infer(graph, inputs, plan_folder=folder)
    with monkeypatch.context() as patch:
        patch.setattr(openvino, "__version__", "another release")
        infer(graph, inputs, plan_folder=folder)
    assert len(compiled) == 3


def test_a_plan_that_does_not_open_is_made_again(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    expected = infer(graph, inputs, plan_folder=folder)
    (path,) = list_plans(folder)
    PlanStore(folder).keep(path.stem, memoryview(b"no plan at all" * 100))  # whole, but not OpenVINO's
    with caplog.at_level(logging.WARNING, "sightline.runtime"):
        found = infer(graph, inputs, plan_folder=folder)
    assert np.array_equal(found["logits"], expected["logits"])
    assert "does not open" in caplog.text
    compiled.clear()
    infer(graph, inputs, plan_folder=folder)
    assert compiled == []


def test_an_open_session_needs_its_file_no_more(tmp_path: Path, folder: Path, rng: np.random.Generator) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    expected = infer(graph, inputs, plan_folder=folder)
    with closing(OpenVinoSession(graph, SessionOptions(plan_folder=folder))) as session:
        session.infer(inputs)
        (path,) = list_plans(folder)
        path.unlink()
        for _ in range(3):
            assert np.array_equal(session.infer(inputs)["logits"], expected["logits"])


def test_sessions_that_open_together_plan_once(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    sessions = [OpenVinoSession(graph, SessionOptions(plan_folder=folder)) for _ in range(4)]
    together = threading.Barrier(len(sessions))

    def use(session: OpenVinoSession) -> np.ndarray:
        together.wait(10)
        return session.infer(inputs)["logits"]

    with ThreadPoolExecutor(len(sessions)) as pool:
        first, *others = pool.map(use, sessions)
    assert len(compiled) == 1
    assert all(np.array_equal(first, other) for other in others)
    for session in sessions:
        session.close()


def test_weights_in_files_that_no_hash_covers_are_not_kept(tmp_path: Path, folder: Path, rng: np.random.Generator) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    model = onnx.load(graph)
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, graph)
    infer(graph, inputs, plan_folder=folder)
    assert list_plans(folder) == []


def test_a_profiled_session_compiles_so_that_its_layers_have_their_names(
    tmp_path: Path, folder: Path, rng: np.random.Generator, compiled: list[Any]
) -> None:
    graph, inputs = write_conv_chain(tmp_path / "m.onnx"), make_inputs(rng)
    for _ in range(2):
        infer(graph, inputs, plan_folder=folder, profile=True)
    assert len(compiled) == 2
    assert list_plans(folder) == []
