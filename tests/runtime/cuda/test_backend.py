"""What the GPU's engines say of themselves, with and without a GPU, and that they answer on one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import FLOAT_GRAPHS, write_conv_chain, write_pyramid

from sightline.core.errors import MissingPackage, Unsupported
from sightline.core.manifests import InputSpec
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.cuda import backend as module
from sightline.runtime.backends.table import load_backend, make_backend

ENGINES = ["torch", "inductor"]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")


@pytest.mark.parametrize("name", ENGINES)
def test_without_a_gpu_it_says_so_and_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_sees_gpu", lambda: False)
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(module, "find_missing", lambda packages: [])
    with pytest.raises(Unsupported, match="sees no NVIDIA GPU here; compile for the cpu"):
        load_backend(name)


@pytest.mark.parametrize("name", ENGINES)
def test_without_pytorch_it_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_missing", lambda packages: [one for one in packages if one == "torch"])
    with pytest.raises(MissingPackage, match=r"engines for GPUs need torch; pip install 'sightline\[train\]'"):
        load_backend(name)


def test_inductor_needs_triton_and_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = make_backend("inductor")
    monkeypatch.setattr(module, "find_missing", lambda packages: [one for one in packages if one == "triton"])
    monkeypatch.setattr(module, "_sees_gpu", lambda: False)
    assert backend.missing() is None  # nothing to install would make it run
    monkeypatch.setattr(module, "_sees_gpu", lambda: True)
    assert "needs triton" in str(backend.missing())
    monkeypatch.setattr(module, "find_missing", lambda packages: [])
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert "needs a C compiler (cc or gcc or clang)" in str(backend.missing())
    monkeypatch.setattr(module.shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    assert backend.missing() is None


def make_inputs(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {"images": rng.normal(size=(count, 3, 16, 16)).astype(np.float32)}


def find_error(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(found[name] - value).max() / np.abs(value).max()) for name, value in expected.items())


@on_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("graph_name", FLOAT_GRAPHS)
def test_captured_kernels_answer_as_the_reference(
    graph_name: str, precision: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    graph = FLOAT_GRAPHS[graph_name](tmp_path / "graph.onnx")
    reference = load_backend("reference").open(graph, SessionOptions())
    session = load_backend("torch").open(graph, SessionOptions(precision=precision))  # type: ignore[arg-type]
    bound = {"fp32": 1e-4, "fp16": 4e-3, "bf16": 3e-2}[precision]
    for count in (1, 3, 1, 2, 5, 3):  # the fourth shape is launched anew, the others are replayed
        inputs = make_inputs(rng, count)
        assert find_error(session.infer(inputs), reference.infer(inputs)) < bound
    assert session.plan_count == 3


@on_gpu
@pytest.mark.filterwarnings("ignore")  # PyTorch warns of its own use of itself when it compiles
@pytest.mark.parametrize("engine", ENGINES)
def test_many_threads_get_the_answers_to_their_own_pictures(engine: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = write_pyramid(tmp_path / "graph.onnx")
    reference = load_backend("reference").open(graph, SessionOptions())
    session = load_backend(engine).open(graph, SessionOptions(streams=3))
    batches = [make_inputs(rng, 1 + index % 4) for index in range(64)]
    start = threading.Barrier(8)

    def work(first: int) -> float:
        start.wait()
        return max(find_error(session.infer(one), reference.infer(one)) for one in batches[first::8])

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(work, range(8))) < 1e-4
    for found, inputs in zip(session.stream(batches), batches, strict=True):
        assert find_error(found, reference.infer(inputs)) < 1e-4


@on_gpu
@pytest.mark.filterwarnings("ignore")  # as above
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_what_inductor_writes_answers_as_the_reference(precision: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = write_conv_chain(tmp_path / "graph.onnx")
    inputs = make_inputs(rng, 2)
    expected = load_backend("reference").open(graph, SessionOptions()).infer(inputs)
    session = load_backend("inductor").open(graph, SessionOptions(precision=precision))  # type: ignore[arg-type]
    assert find_error(session.infer(inputs), expected) < {"fp32": 1e-4, "fp16": 4e-3, "bf16": 3e-2}[precision]


@on_gpu
def test_pictures_are_normalised_on_the_device(tmp_path: Path, rng: np.random.Generator) -> None:
    spec = InputSpec(width=16, height=16, colour="BGR", mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0))
    graph = write_conv_chain(tmp_path / "graph.onnx")
    pixels = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    expected = load_backend("reference").open(graph, SessionOptions(pixels=spec)).infer({"images": pixels})
    for precision, bound in (("fp32", 1e-4), ("fp16", 4e-3)):
        session = load_backend("torch").open(graph, SessionOptions(precision=precision, pixels=spec))  # type: ignore[arg-type]
        for _ in range(2):
            assert find_error(session.infer({"images": pixels}), expected) < bound


@on_gpu
def test_settings_of_pytorch_are_as_before(tmp_path: Path, rng: np.random.Generator) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    for precision in ("fp32", "fp16"):
        load_backend("torch").open(write_conv_chain(tmp_path / "g.onnx"), SessionOptions(precision=precision)).infer(  # type: ignore[arg-type]
            make_inputs(rng, 1)
        )
    assert before == (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark)


@on_gpu
def test_closing_gives_the_memory_back(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = write_conv_chain(tmp_path / "graph.onnx")
    held = []
    for _ in range(4):
        session = load_backend("torch").open(graph, SessionOptions(streams=2))
        session.infer(make_inputs(rng, 64))
        session.close()
        held.append(torch.cuda.memory_reserved())
    assert held[-1] == held[1]
