"""What a session keeps and takes, told without a GPU: a slot stands for the kernels, and launches them anew."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import node, weight, write_conv_chain, write_graph
from onnx import TensorProto, helper

from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.cuda import session as module
from sightline.runtime.backends.cuda.session import TorchSession

CPU = torch.device("cpu")


class SlotOnCpu:
    """As a captured graph: it does not hold what its kernels read."""

    made = 0

    def __init__(self, body: Callable[..., dict[str, torch.Tensor]], examples: dict[str, np.ndarray], device: object) -> None:
        SlotOnCpu.made += 1
        self._body = weakref.ref(body)
        body({name: torch.from_numpy(example) for name, example in examples.items()})

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        body = self._body()
        assert body is not None, "the constants that the kernels read are gone"
        return {name: value.numpy() for name, value in body({"images": torch.from_numpy(inputs["images"])}).items()}

    def close(self) -> None:
        pass


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Callable[[TorchSession], TorchSession]:
    def capture(session: TorchSession) -> TorchSession:
        session._captured_shapes = 2
        return session

    monkeypatch.setattr(module, "CapturedSlot", SlotOnCpu)
    return capture


def make_images(count: int = 1, size: int = 16) -> dict[str, np.ndarray]:
    return {"images": np.random.default_rng(count).normal(size=(count, 3, size, size)).astype(np.float32)}


Captures = Callable[[TorchSession], TorchSession]


def test_the_constants_that_captured_kernels_read_stay_as_long_as_the_session(captures: Captures, tmp_path: Path) -> None:
    graph = write_conv_chain(tmp_path / "graph.onnx")
    plain, session = TorchSession(graph, SessionOptions(), CPU), captures(TorchSession(graph, SessionOptions(), CPU))
    for _ in range(2):
        found = session.infer(make_images(2))
        gc.collect()
        np.testing.assert_allclose(found["logits"], plain.infer(make_images(2))["logits"], rtol=1e-5, atol=1e-6)


def test_the_arrays_that_a_shape_came_with_first_are_let_go(captures: Captures, tmp_path: Path) -> None:
    session = captures(TorchSession(write_conv_chain(tmp_path / "graph.onnx"), SessionOptions(), CPU))
    images = make_images()
    is_there = weakref.ref(images["images"])
    session.infer(images)
    del images
    gc.collect()
    assert is_there() is None


def test_shapes_that_the_network_refuses_take_no_place(captures: Captures, tmp_path: Path) -> None:
    nodes = [node("MatMul", ["images", "w"], "out")]
    graph = write_graph(tmp_path / "graph.onnx", nodes, {"w": weight(16, 4)}, {"out": 4}, (3, 16, "W"))
    session = captures(TorchSession(graph, SessionOptions(), CPU))
    for wrong in (8, 9, 10):
        with pytest.raises(InvalidInput, match="cannot run out_MatMul"):
            session.infer({"images": np.zeros((1, 3, 16, wrong), np.float32)})
    before = SlotOnCpu.made
    for _ in range(2):
        session.infer(make_images())
    assert (SlotOnCpu.made - before, session.plan_count) == (1, 1)


def test_pictures_may_run_backwards_in_memory(tmp_path: Path) -> None:
    spec = InputSpec(width=16, height=16, mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0))
    session = TorchSession(write_conv_chain(tmp_path / "graph.onnx"), SessionOptions(pixels=spec), CPU)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 3), np.uint8)
    expected = session.infer({"images": pixels[..., ::-1].copy()})["logits"]
    np.testing.assert_array_equal(session.infer({"images": pixels[..., ::-1]})["logits"], expected)


def test_each_of_two_nodes_with_one_name_has_a_row_of_its_own(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["a"], name="layer", kernel_shape=[3, 3]),
        helper.make_node("Sin", ["a"], ["out"], name="layer"),
    ]
    graph = write_graph(tmp_path / "graph.onnx", nodes, {"w": weight(64, 3, 3, 3)}, {"out": 4})
    session = TorchSession(graph, SessionOptions(profile=True), CPU)
    session.infer(make_images(2))
    rows = session.layers()
    assert [(row.name, row.kind) for row in rows] == [("a", "Conv"), ("out", "Sin")]
    assert rows[0].time_us != rows[1].time_us


def test_pictures_are_normalised_in_fp32_whatever_the_layers_run_in(tmp_path: Path) -> None:
    spec = InputSpec(width=16, height=16, mean=(0.0,) * 3, std=(255.0,) * 3)
    nodes = [
        node("Mul", ["images", "count"], "a"),
        node("Add", ["a", "half"], "b"),
        node("Cast", ["b"], "places", to=TensorProto.INT64),
        node("Gather", ["table", "places"], "rows"),
        node("MatMul", ["rows", "w"], "out"),
    ]
    weights = {"count": np.float32(4080), "half": np.float32(0.5), "table": weight(4096, 8), "w": weight(8, 4)}
    graph = write_graph(tmp_path / "graph.onnx", nodes, weights, {"out": 5})
    pixels = np.arange(768).astype(np.uint8).reshape(1, 16, 16, 3)
    found = TorchSession(graph, SessionOptions(precision="fp16", pixels=spec), CPU).infer({"images": pixels})["out"]
    expected = weights["table"][16 * pixels.transpose(0, 3, 1, 2).astype(int)] @ weights["w"]
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_failure_of_the_device_is_not_called_a_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = TorchSession(
        write_graph(tmp_path / "graph.onnx", [node("Sin", ["images"], "out")], {}, {"out": 4}), SessionOptions(), CPU
    )

    def fail(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    step = session._network._steps[0]
    failing = step._replace(operator=step.operator._replace(run=fail))
    monkeypatch.setattr(session._network, "_steps", [failing])
    with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
        session.infer(make_images())
