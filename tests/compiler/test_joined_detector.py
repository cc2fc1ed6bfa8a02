"""A detector whose file is written as YOLOv8's exporters write it, from the file to INT8: right by construction.

Coloured squares lie on a grid of cells; of each cell the network gives a box in pixels and a probability for each colour.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy import write_version

from sightline.compiler.compile import compile_model
from sightline.compiler.importing.import_network import ImportResult, Meaning, import_network
from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.data.versions import DatasetVersion
from sightline.runtime.predictor import open_predictor

NAMES = ("red", "green", "blue")
SIDE, CELL = 80, 8
CELLS = SIDE // CELL
CHOSEN = 20
CHOICE_NUMBERS = {"flat": [0, -1], "chosen": [CHOSEN], "cells": CELLS**2, "last": [2], "four": [1, 1, 4]}
STATED = {"author": "Ultralytics", "task": "detect", "stride": "8", "names": "{0: 'red', 1: 'green', 2: 'blue'}"}


def write_detector(path: Path, metadata: dict[str, str], chooses: bool = False, is_free: bool = False) -> Path:
    """`images` (N, 3, 80, 80) in 0..1 to `output0`.

    Args:
        chooses: the graph chooses the objects itself: (N, 20, 6) in place of (N, 7, 100).
        is_free: the file leaves batch, height and width open.
    """
    colours = np.full((3, 3, CELL, CELL), -0.5 / CELL**2) + 1.5 / CELL**2 * np.eye(3)[:, :, None, None]
    rows, columns = np.divmod(np.arange(CELLS**2), CELLS)
    centres = np.stack([CELL * (columns + 0.5), CELL * (rows + 0.5)])
    halves = np.full((2, CELLS**2), CELL / 2)
    grid = np.concatenate([centres - halves, centres + halves] if chooses else [centres, 2 * halves])
    weights = {
        "colour_w": 20 * colours,
        "colour_b": np.full(3, -8.0),
        "box_w": np.full((4, 3, CELL, CELL), 1e-6),
        "grid": grid[None],
    }
    numbers = {"flat3": [0, 3, CELLS**2], "flat4": [0, 4, CELLS**2]} | (CHOICE_NUMBERS if chooses else {})
    cells = {"kernel_shape": [CELL] * 2, "strides": [CELL] * 2}
    nodes = [
        helper.make_node("Conv", ["images", "colour_w", "colour_b"], ["colour"], "colour", **cells),
        helper.make_node("Reshape", ["colour", "flat3"], ["logits"], "logits"),
        helper.make_node("Sigmoid", ["logits"], ["scores"], "scores"),
        helper.make_node("Conv", ["images", "box_w"], ["offset"], "offset", **cells),
        helper.make_node("Reshape", ["offset", "flat4"], ["offsets"], "offsets"),
        helper.make_node("Add", ["offsets", "grid"], ["boxes"], "boxes"),
        *(choose_objects() if chooses else [helper.make_node("Concat", ["boxes", "scores"], ["output0"], "joined", axis=1)]),
    ]
    shape = ["N", CHOSEN, 6] if chooses else ["N", 7, CELLS**2]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, *(["H", "W"] if is_free else [SIDE, SIDE])])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["N", None, None] if is_free else shape)],
        [
            *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
            *(numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def choose_objects() -> list[onnx.NodeProto]:
    """The 20 best pairs of cell and class, as rows of a box, its confidence and its class."""
    return [
        helper.make_node("Reshape", ["scores", "flat"], ["all"], "all"),
        helper.make_node("TopK", ["all", "chosen"], ["best", "places"], "best", axis=1),
        helper.make_node("Div", ["places", "cells"], ["label"], "label"),
        helper.make_node("Mod", ["places", "cells"], ["cell"], "cell"),
        helper.make_node("Unsqueeze", ["cell", "last"], ["cell1"], "cell1"),
        helper.make_node("Tile", ["cell1", "four"], ["cell4"], "cell4"),
        helper.make_node("Transpose", ["boxes"], ["turned"], "turned", perm=[0, 2, 1]),
        helper.make_node("GatherElements", ["turned", "cell4"], ["corners"], "corners", axis=1),
        helper.make_node("Unsqueeze", ["best", "last"], ["best1"], "best1"),
        helper.make_node("Cast", ["label"], ["label_f"], "label_f", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["label_f", "last"], ["label1"], "label1"),
        helper.make_node("Concat", ["corners", "best1", "label1"], ["output0"], "rows", axis=2),
    ]


def draw_squares(rng: np.random.Generator) -> tuple[np.ndarray, tuple[Annotation, ...]]:
    """A dark noisy picture RGB with three squares, and what is on it."""
    image = rng.integers(0, 40, (SIDE, SIDE, 3)).astype(np.uint8)
    annotations = []
    for place, label in zip(rng.choice(CELLS**2, 3, replace=False).tolist(), rng.integers(0, 3, 3).tolist(), strict=True):
        top, left = CELL * (place // CELLS), CELL * (place % CELLS)
        image[top : top + CELL, left : left + CELL, label] = rng.integers(215, 255)
        annotations.append(Annotation(category=NAMES[label], box_xyxy=(left, top, left + CELL, top + CELL)))
    return image, tuple(annotations)


def make_squares(folder: Path) -> DatasetVersion:
    rng = np.random.default_rng(5)
    return write_version(folder, "squares", NAMES, {"train": 20, "val": 40}, lambda _: draw_squares(rng))


def import_detector(folder: Path, chooses: bool = False) -> ImportResult:
    path = write_detector(folder / "best.onnx", STATED | ({"end2end": "True"} if chooses else {}), chooses)
    return import_network(path, folder / "model", "squares")


def list_found(annotations: tuple[Annotation, ...] | list[Annotation]) -> set[tuple[str, tuple[int, ...]]]:
    return {(one.category, tuple(round(side) for side in one.box_xyxy or ())) for one in annotations}


@pytest.mark.parametrize(("chooses", "head"), [(False, "joined_boxes"), (True, "final_boxes")])
def test_the_file_says_all_that_is_needed_to_find_the_squares(chooses: bool, head: str, tmp_path: Path) -> None:
    result = import_detector(tmp_path, chooses)
    manifest = result.manifest
    assert (manifest.task, manifest.decode.head, manifest.categories) == ("detection", head, NAMES)
    assert (manifest.input.std, manifest.input.resize) == ((255.0,) * 3, "letterbox")
    rng = np.random.default_rng(7)
    with open_predictor(result.folder) as predictor:
        for image, annotations in (draw_squares(rng) for _ in range(5)):
            assert list_found(predictor.predict([image])[0]) == list_found(annotations)


def test_a_file_without_an_author_is_told_by_its_shape(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "best.onnx", {"names": STATED["names"]})
    result = import_network(path, tmp_path / "model", "squares", meaning=Meaning(preset="0-1"))
    assert result.manifest.decode.head == "joined_boxes"
    assert any("4 + 3 numbers over 100 places" in note for note in result.notes)


def test_a_file_that_takes_any_size_says_which_is_usual(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "best.onnx", STATED | {"imgsz": f"[{SIDE}, {SIDE}]"}, is_free=True)
    manifest = import_network(path, tmp_path / "model", "squares").manifest
    assert (manifest.input.width, manifest.input.height, manifest.decode.head) == (SIDE, SIDE, "joined_boxes")
    silent = write_detector(tmp_path / "silent.onnx", STATED, is_free=True)
    with pytest.raises(InvalidInput, match="say `width` and `height`"):
        import_network(silent, tmp_path / "other", "squares")


def test_names_of_another_count_are_refused(tmp_path: Path) -> None:
    meaning = Meaning(preset="0-1", head="joined_boxes", categories=("red", "green"))
    with pytest.raises(InvalidInput, match="expected 3 categories for the network's outputs, got 2"):
        import_network(write_detector(tmp_path / "best.onnx", {}), tmp_path / "model", "squares", meaning=meaning)


@pytest.mark.slow
@pytest.mark.parametrize("chooses", [False, True])
def test_boxes_and_scores_of_one_output_both_survive_int8(chooses: bool, tmp_path: Path) -> None:
    model = import_detector(tmp_path, chooses).folder
    result = compile_model(model, tmp_path / "out", make_squares(tmp_path / "data"), precision="int8", calibration_images=20)
    found = result.report.comparison
    assert found is not None
    assert (result.manifest.precision, found.metric) == ("int8", "map")
    assert found.baseline == pytest.approx(1.0)
    assert found.candidate == pytest.approx(1.0, abs=0.01)
