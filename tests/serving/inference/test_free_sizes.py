"""Graphs that leave their sizes free are planned when they are opened, and not while requests wait."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from pipeline_graphs import make_enlarger_source, make_source, open_and_warm, save, write_enlarger

from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.runtime.backends.openvino import OpenVinoSession, get_core


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keys of the plans that OpenVINO made, in their order."""
    keys: list[Any] = []
    as_ever = OpenVinoSession._plan

    def compile_and_note(session: OpenVinoSession, key: Any) -> Any:
        keys.append(key)
        return as_ever(session, key)

    monkeypatch.setattr(OpenVinoSession, "_plan", compile_and_note)
    return keys


def write_window(path: Path) -> Path:
    """The sum of each 5 x 5 pixels, of pictures that are not smaller: `x` `(N, 1, H, W)`."""
    nodes = [helper.make_node("Conv", ["x", "kernel"], ["y"])]
    return save(path, nodes, {"x": ["N", 1, "H", "W"]}, {"y": ["N", 1, "H2", "W2"]}, kernel=np.ones((1, 1, 5, 5), np.float32))


def test_a_network_for_pictures_of_any_size_is_planned_once_for_all_of_them(tmp_path: Path, planned: list[Any]) -> None:
    graph = write_enlarger(tmp_path / "model.onnx")
    model = open_and_warm(make_enlarger_source(graph, engine="openvino", input=InputSpec(width=2, height=4, resize="pad")))
    assert planned == [(None, True)] * 2  # of the session for many, and of that for a lone request
    for side in (8, 12, 16, 20):
        image = np.full((side, side, 3), 255, np.uint8)
        for alone in (True, False):
            assert model.run_pictures([image], alone)[0]["drawn"].shape == (1, 3, 2 * side, 2 * side)
    assert len(planned) == 2
    model.close()


def test_a_graph_of_tensors_with_free_axes_is_planned_once_for_all_of_them(tmp_path: Path, planned: list[Any]) -> None:
    model = open_and_warm(make_source("window", write_window(tmp_path / "model.onnx"), engine="openvino"))
    assert planned == [(None, False)] * 2
    for side in (5, 6, 7):  # and not 1, which was refused when it was warmed up
        x = np.ones((1, 1, side, side), np.float32)
        np.testing.assert_array_equal(model.run_tensors({"x": x})["y"], np.full((1, 1, side - 4, side - 4), 25))
    assert len(planned) == 2
    model.close()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_graph_that_dislikes_the_least_size_answers_all_the_same(tmp_path: Path, engine: str) -> None:
    model = open_and_warm(make_source("window", write_window(tmp_path / "model.onnx"), engine=engine))
    assert model.run_tensors({"x": np.ones((1, 1, 5, 5), np.float32)})["y"] == 25
    model.close()


def test_a_graph_that_can_be_read_but_not_planned_is_refused_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plugin:
        """OpenVINO without a kernel for this graph."""

        def __getattr__(self, name: str) -> Any:
            return getattr(core, name)

        def compile_model(self, *arguments: Any) -> Any:
            raise RuntimeError("Unsupported operation of type: Conv")

    core = get_core()
    open_and_warm(make_enlarger_source(write_enlarger(tmp_path / "model.onnx"), engine="openvino")).close()
    monkeypatch.setattr("sightline.runtime.backends.openvino.get_core", Plugin)
    with pytest.raises(InvalidInput, match="cannot run inputs of any shape: Unsupported operation of type: Conv"):
        open_and_warm(make_enlarger_source(tmp_path / "model.onnx", engine="openvino"))


def test_a_graph_of_fixed_sizes_that_fails_on_them_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    graph = save(tmp_path / "model.onnx", nodes, {"x": ["N", 4]}, {"y": ["N", 3]}, shape=np.array([-1, 3], np.int64))
    with pytest.raises(InvalidInput):
        open_and_warm(make_source("odd", graph))
