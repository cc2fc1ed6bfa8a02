"""Detection and segmentation through the whole compilation, with networks that are right by construction."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from square_pictures import CELL, SIDE, make_squares
from toy_quantisers import DimQuantiser, use_quantiser

from sightline.compiler.compile import compile_model
from sightline.compiler.report.records import decode_report
from sightline.core.errors import GateFailed
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import DecodeSpec, InputSpec, ModelManifest, Task
from sightline.data.versions import VersionWriter
from sightline.imaging.masks import decode_mask
from sightline.runtime.predictor import open_predictor

pytestmark = pytest.mark.slow


def write_model(
    folder: Path,
    task: Task,
    names: tuple[str, ...],
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    decode: DecodeSpec,
) -> Path:
    folder.mkdir()
    graph = helper.make_graph(
        nodes,
        task,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", None, None, None]) for name in decode.outputs],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    manifest = ModelManifest(
        name=f"squares-{task}",
        task=task,
        network="test",
        categories=names,
        input=InputSpec(width=SIDE, height=SIDE, resize="stretch"),
        decode=decode,
        parameter_count=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def make_detector(folder: Path) -> Path:
    """Mean brightness of each cell is the score; every box has its cell's size: softplus(log(e^0.5 - 1)) * 8 = 4 a side."""
    nodes = [
        helper.make_node("Conv", ["images", "mean_w"], ["mean"], "mean", kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Relu", ["mean"], ["bright"], "relu"),
        helper.make_node("Conv", ["bright", "score_w", "score_b"], ["scores"], "score", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["bright", "side_w", "side_b"], ["sides"], "side", kernel_shape=[1, 1]),
    ]
    weights = {
        "mean_w": np.full((4, 3, CELL, CELL), 1 / (3 * CELL * CELL)),
        "score_w": np.full((1, 4, 1, 1), 10.0),
        "score_b": np.array([-20.0]),  # 40 * brightness - 20
        "side_w": np.zeros((4, 4, 1, 1)),
        "side_b": np.full(4, np.log(np.expm1(0.5))),
    }
    decode = DecodeSpec(head="anchor_free", outputs=("scores", "sides"), parameters={"strides": [CELL]})
    return write_model(folder, "detection", ("square",), nodes, weights, decode)


def make_instance_segmenter(folder: Path) -> Path:
    """The same detector, whose prototype is the brightness of each pixel, and whose coefficient is 1 everywhere."""
    nodes = [
        helper.make_node("Conv", ["images", "mean_w"], ["mean"], "mean", kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Relu", ["mean"], ["bright"], "relu"),
        helper.make_node("Conv", ["bright", "score_w", "score_b"], ["scores"], "score", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["bright", "side_w", "side_b"], ["sides"], "side", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["bright", "one_w", "one_b"], ["coefficients"], "coefficient", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["images", "fine_w"], ["fine"], "fine", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["fine"], ["light"], "light"),
        helper.make_node("Conv", ["light", "drawn_w", "drawn_b"], ["prototypes"], "drawn", kernel_shape=[1, 1]),
    ]
    weights = {
        "mean_w": np.full((4, 3, CELL, CELL), 1 / (3 * CELL * CELL)),
        "score_w": np.full((1, 4, 1, 1), 10.0),
        "score_b": np.array([-20.0]),
        "side_w": np.zeros((4, 4, 1, 1)),
        "side_b": np.full(4, np.log(np.expm1(1.0))),  # boxes twice as large as the squares: the masks say how large these are
        "one_w": np.zeros((1, 4, 1, 1)),
        "one_b": np.ones(1),
        "fine_w": np.full((4, 3, 1, 1), 1 / 3),
        "drawn_w": np.full((1, 4, 1, 1), 10.0),
        "drawn_b": np.array([-21.0]),  # halfway between what is white and what is gray
    }
    decode = DecodeSpec(
        head="anchor_free_masks",
        outputs=("scores", "sides", "coefficients", "prototypes"),
        parameters={"strides": [CELL]},
        iou_threshold=0.3,
    )
    return write_model(folder, "instance", ("square",), nodes, weights, decode)


def make_segmenter(folder: Path) -> Path:
    nodes = [
        helper.make_node("Conv", ["images", "a_w"], ["a"], "first", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "c_w", "c_b"], ["logits"], "second", kernel_shape=[1, 1]),
    ]
    weights = {
        "a_w": np.full((4, 3, 1, 1), 1 / 3),
        "c_w": np.array([10.0] * 4 + [-10.0] * 4).reshape(2, 4, 1, 1),
        "c_b": np.array([-20.0, 20.0]),
    }
    return write_model(
        folder, "semantic", ("square", "ground"), nodes, weights, DecodeSpec(head="semantic", outputs=("logits",))
    )


def test_a_detector_keeps_its_boxes_in_int8(tmp_path: Path) -> None:
    version = make_squares(tmp_path / "data", "detection", ("square",))
    result = compile_model(make_detector(tmp_path / "model"), tmp_path / "out", version, calibration_images=20)
    found = result.report.comparison
    assert found is not None
    assert (result.manifest.precision, found.metric, found.category_metric) == ("int8", "map", "AP")
    assert found.baseline == pytest.approx(1.0)  # every box is exact by construction
    assert found.candidate == pytest.approx(1.0, abs=0.01)
    assert found.agreement > 0.99
    assert found.mean_iou is not None
    assert found.mean_iou > 0.9
    assert found.shown is not None
    assert (found.shown.threshold, found.shown.objects) == (0.25, 30)
    assert (found.shown.baseline_shown, found.shown.baseline_right, found.shown.candidate_right) == (30, 30, 30)
    assert (found.shown.baseline, found.shown.candidate) == (1.0, 1.0)
    assert "f1 of the objects shown +0.00 points (-10.00 to +10.00)" in result.report.verdict  # none of 30: the rule of three
    item = next(version.items("val"))
    with open_predictor(result.folder) as predictor:
        (answer,) = predictor.predict([version.read_image(item)])
    assert answer[0].box_xyxy == pytest.approx(item.annotations[0].box_xyxy, abs=0.5)


def test_an_instance_segmenter_keeps_its_masks_in_int8(tmp_path: Path) -> None:
    version = make_squares(tmp_path / "data", "detection", ("square",))  # a box is its own mask
    result = compile_model(make_instance_segmenter(tmp_path / "model"), tmp_path / "out", version, calibration_images=20)
    found = result.report.comparison
    assert found is not None
    assert (result.manifest.task, result.manifest.precision) == ("instance", "int8")
    assert (found.metric, found.category_metric) == ("map", "AP")
    assert found.baseline == pytest.approx(1.0)
    assert found.candidate == pytest.approx(1.0, abs=0.01)
    assert found.shown is not None and (found.shown.baseline, found.shown.candidate) == (1.0, 1.0)
    item = next(version.items("val"))
    with open_predictor(result.folder) as predictor:
        ((answer,),) = predictor.predict([version.read_image(item)])
    assert answer.mask is not None
    assert decode_mask(answer.mask).sum() == CELL * CELL
    assert answer.box_xyxy == pytest.approx(item.annotations[0].box_xyxy)


def test_pictures_without_annotations_on_which_a_detector_finds_much_are_told(tmp_path: Path) -> None:
    squares = make_squares(tmp_path / "data", "detection", ("square",))
    writer = VersionWriter(tmp_path / "partly", "partly", squares.categories, squares.blobs)
    kept = {item.blob for item in list(squares.items("val"))[:5]}
    for item in squares.items():
        is_bare = item.split == "val" and item.blob not in kept
        writer.add(msgspec.structs.replace(item, annotations=()) if is_bare else item)
    report = compile_model(make_detector(tmp_path / "model"), tmp_path / "out", writer.close(), max_drop=0.9).report
    assert any("25 of 30 validation pictures carry no label and count as" in warning for warning in report.warnings)


def test_objects_that_are_no_longer_shown_fail_though_map_does_not_see_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, DimQuantiser)
    version = make_squares(tmp_path / "data", "detection", ("square",))
    with pytest.raises(
        GateFailed, match=r"shown \(from confidence 0\.25\) 100\.00 % FP32, 0\.00 % compiled: change -100\.00 points"
    ):
        compile_model(make_detector(tmp_path / "model"), tmp_path / "out", version, calibration_images=20)
    report = decode_report((tmp_path / "out.failed" / "report.json").read_bytes())
    assert report.comparison is not None
    assert report.comparison.shown is not None
    assert (report.comparison.metric, report.comparison.change) == ("map", pytest.approx(0.0, abs=0.01))
    assert (report.comparison.shown.baseline, report.comparison.shown.candidate) == (1.0, 0.0)
    failed = [check.name for row in report.candidates if row.gate for check in row.gate.checks if not check.passed]
    assert set(failed) == {"shown"}


def test_a_segmenter_keeps_its_pixels_in_int8(tmp_path: Path) -> None:
    version = make_squares(tmp_path / "data", "semantic", ("square", "ground"))
    result = compile_model(make_segmenter(tmp_path / "model"), tmp_path / "out", version, calibration_images=20)
    found = result.report.comparison
    assert found is not None
    assert (result.manifest.precision, found.metric, found.category_metric) == ("int8", "miou", "IoU")
    assert found.baseline == pytest.approx(1.0)
    assert found.candidate == pytest.approx(1.0, abs=0.01)
    assert [row.category for row in found.per_category] == ["square", "ground"]
