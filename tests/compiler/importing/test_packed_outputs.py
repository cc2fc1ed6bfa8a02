"""Outputs that pack boxes and scores: which channels belong together, and that neither hides what happens to the other."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from graphs import Nodes, Weights, node, weight, write_graph
from square_pictures import make_squares

from sightline.compiler.comparison import compare_tensors
from sightline.compiler.compile import compile_model
from sightline.compiler.gate import check_accuracy, check_fp32
from sightline.compiler.guides import score_tensors
from sightline.compiler.importing.packed_outputs import Part, find_part_error, find_parts, list_joins
from sightline.compiler.quantisers import ort
from sightline.compiler.quantisers.table import load_quantiser
from sightline.core.errors import GateFailed
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import DecodeSpec, InputSpec, ModelManifest
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

SHAPE = (3, 16, 16)
PICTURE = {"images": np.ones((1, *SHAPE), np.float32)}
RAW = DecodeSpec(head="raw", outputs=("out",))
BOXES, SCORES = Part("out", 1, (0, 1, 2, 3)), Part("out", 1, (4, 5, 6))


def make_constants(**values: list[int]) -> Weights:
    return {name: np.array(value, np.int64) for name, value in values.items()}


def load(folder: Path, nodes: Nodes, weights: Weights, rank: int = 3) -> onnx.ModelProto:
    return onnx.load(write_graph(folder / "graph.onnx", nodes, weights, {"out": rank}, SHAPE))


def write_yolov8(rank: int = 3) -> tuple[Nodes, Weights]:
    """boxes `(N, 4, P)` in pixels beside scores `(N, 3, P)`, as Ultralytics' 8 and 11 join them."""
    nodes = [
        node("Conv", ["images", "box_w"], "offsets", kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["images", "score_w"], "logits", kernel_shape=[4, 4], strides=[4, 4]),
        node("Reshape", ["offsets", "box_shape"], "flat_offsets"),
        node("Reshape", ["logits", "score_shape"], "flat_logits"),
        node("Mul", ["flat_offsets", "stride"], "boxes"),
        node("Sigmoid", ["flat_logits"], "scores"),
        node("Concat", ["boxes", "scores"], "out", axis=1),
    ]
    weights = {"box_w": weight(4, 3, 4, 4), "score_w": weight(3, 3, 4, 4), "stride": np.array(600, np.float32)}
    return nodes, weights | make_constants(box_shape=[0, 4, -1], score_shape=[0, 3, -1])


def test_boxes_and_scores_of_one_output_are_two_parts(tmp_path: Path) -> None:
    nodes, weights = write_yolov8()
    model = load(tmp_path, nodes, weights)
    assert find_parts(model, PICTURE) == [BOXES, SCORES]
    assert [one.name for one in list_joins(model)] == ["out_Concat"]
    assert [part.name for part in (BOXES, SCORES)] == ["out, channels 0 to 3", "out, channels 4 to 6"]


def test_what_only_moves_values_behind_the_concat_hides_no_part(tmp_path: Path) -> None:
    nodes, weights = write_yolov8()
    nodes[-1] = node("Concat", ["boxes", "scores"], "joined", axis=1)
    nodes += [node("Transpose", ["joined"], "turned", perm=[0, 2, 1]), node("Identity", ["turned"], "out")]
    parts = find_parts(load(tmp_path, nodes, weights), PICTURE)
    assert parts == [Part("out", 2, (0, 1, 2, 3)), Part("out", 2, (4, 5, 6))]


def test_places_of_several_scales_are_joined_and_their_channels_are_the_parts(tmp_path: Path) -> None:
    """As YOLOv5 does it: each scale is split into xy, wh and the rest, joined again, and then the scales are."""
    nodes, weights = [], make_constants(split=[2, 2, 3])
    for scale, side in (("a", 4), ("b", 8)):
        nodes += [
            node("Conv", ["images", f"w_{scale}"], f"map_{scale}", kernel_shape=[side, side], strides=[side, side]),
            node("Sigmoid", [f"map_{scale}"], f"sure_{scale}"),
            node("Reshape", [f"sure_{scale}", "flat"], f"flat_{scale}"),
            node("Transpose", [f"flat_{scale}"], f"rows_{scale}", perm=[0, 2, 1]),
            onnx.helper.make_node(
                "Split", [f"rows_{scale}", "split"], [f"{one}_{scale}" for one in ("xy", "wh", "rest")], axis=2
            ),
            node("Mul", [f"xy_{scale}", "stride"], f"centre_{scale}"),
            node("Pow", [f"wh_{scale}", "two"], f"size_{scale}"),
            node("Concat", [f"centre_{scale}", f"size_{scale}", f"rest_{scale}"], f"found_{scale}", axis=2),
        ]
        weights[f"w_{scale}"] = weight(7, 3, side, side)
    nodes.append(node("Concat", ["found_a", "found_b"], "out", axis=1))
    weights |= make_constants(flat=[0, 7, -1]) | {"stride": np.array(32, np.float32), "two": np.array(2, np.float32)}
    parts = find_parts(load(tmp_path, nodes, weights), PICTURE)
    assert parts == [Part("out", 2, (0, 1)), Part("out", 2, (2, 3)), Part("out", 2, (4, 5, 6))]


def test_values_written_into_another_tensor_are_a_part(tmp_path: Path) -> None:
    """Boxes decoded in place, as `outputs[..., :2] = ...` is exported."""
    nodes = [
        node("Reshape", ["images", "flat"], "rows"),
        node("Sigmoid", ["rows"], "sure"),
        node("Slice", ["rows", "zero", "two", "one"], "logits"),
        node("Exp", ["logits"], "boxes"),
        node("ScatterND", ["sure", "places", "boxes"], "out"),
    ]
    places = np.stack(np.meshgrid(0, np.arange(2), np.arange(64), indexing="ij"), -1)
    weights = make_constants(flat=[0, 12, -1], zero=[0], two=[2], one=[1]) | {"places": places.astype(np.int64)}
    parts = find_parts(load(tmp_path, nodes, weights), PICTURE)
    assert parts == [Part("out", 1, (0, 1)), Part("out", 1, tuple(range(2, 12)))]


def test_an_output_that_packs_nothing_has_no_parts(tmp_path: Path) -> None:
    scales = [
        node("Conv", ["images", "w"], "a", kernel_shape=[4, 4], strides=[4, 4]),
        node("MaxPool", ["a"], "b", kernel_shape=[2, 2], strides=[2, 2]),
        *(node("Reshape", [name, "flat"], f"flat_{name}") for name in ("a", "b")),
        node("Concat", ["flat_a", "flat_b"], "out", axis=2),
    ]
    weights = make_constants(flat=[0, 5, -1]) | {"w": weight(5, 3, 4, 4)}
    assert find_parts(load(tmp_path, scales, weights), PICTURE) == []  # places of two scales: the same five channels
    plain = [node("Conv", ["images", "w"], "out", kernel_shape=[4, 4])]
    assert find_parts(load(tmp_path, plain, {"w": weight(5, 3, 4, 4)}, 4), PICTURE) == []


def draw_outputs(count: int = 20, objects: int = 3) -> list[dict[str, np.ndarray]]:
    """`(1, 7, 400)`: boxes up to 640 pixels; scores of three classes, few above nothing, and none of the third."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(count):
        boxes, scores = rng.uniform(0, 640, (4, 400)), rng.uniform(0, 2e-3, (3, 400))
        scores[rng.integers(0, 2, objects), rng.integers(0, 400, objects)] = rng.uniform(0.5, 0.95, objects)
        scores[2] = rng.uniform(0, 1e-6, 400)
        found.append({"out": np.concatenate([boxes, scores])[None].astype(np.float32)})
    return found


def lose_scores(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Eight bits for all channels together: a step is 640 / 255."""
    step = 640 / 255
    return {"out": (np.round(outputs["out"] / step) * step).astype(np.float32)}


def round_apart(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Eight bits for the boxes and eight for the scores."""
    boxes, scores = outputs["out"][:, :4], outputs["out"][:, 4:]
    rounded = np.round(boxes / (640 / 255)) * (640 / 255), np.round(scores * 255) / 255
    return {"out": np.concatenate(rounded, axis=1).astype(np.float32)}


def test_scores_that_are_lost_fail_though_the_output_hardly_changed() -> None:
    before = draw_outputs()
    after = [lose_scores(one) for one in before]
    assert check_accuracy(compare_tensors(before, after, seed=0)[0], 0.01).passed  # what one number for all says
    comparison, _ = compare_tensors(before, after, seed=0, parts=[BOXES, SCORES])
    check = check_accuracy(comparison, 0.01)
    assert (check.passed, comparison.part) == (False, "out, channels 4 to 6")
    assert check.value == pytest.approx(1, abs=1e-3)  # nothing of them is left
    assert "out, channels 4 to 6, one of several tensors packed into this output, is off" in check.text
    assert comparison.low <= comparison.change <= comparison.high


def test_a_class_that_never_occurs_and_pictures_without_objects_refuse_no_healthy_rounding() -> None:
    before = draw_outputs() + draw_outputs(20, objects=0)
    comparison, _ = compare_tensors(before, [round_apart(one) for one in before], seed=0, parts=[BOXES, SCORES])
    assert check_accuracy(comparison, 0.01).passed
    assert -comparison.change < 0.05


def test_one_picture_that_is_not_finite_hides_no_part_of_the_others() -> None:
    before = draw_outputs(40)
    after = [lose_scores(one) for one in before]
    after[0] = {"out": np.full_like(after[0]["out"], np.nan)}
    comparison, _ = compare_tensors(before, after, seed=0, parts=[BOXES, SCORES])
    assert comparison.part == "out, channels 4 to 6"
    assert -comparison.change == pytest.approx(1, abs=1e-3)


def test_parts_guide_as_the_gate_judges() -> None:
    before = draw_outputs(4)
    lost = [(place, lose_scores(one)) for place, one in enumerate(before)]
    assert score_tensors(before, lost) > 0.99
    assert score_tensors(before, lost, [BOXES, SCORES]) == pytest.approx(0.9, abs=1e-3)  # an error of 1 counts a tenth


def test_an_engine_that_loses_scores_fails_its_check() -> None:
    expected = draw_outputs(3)
    actual = [{"out": one["out"].copy()} for one in expected]
    actual[1]["out"][:, 4:] += 0.01
    assert check_fp32("engine", expected, actual, RAW).passed  # 0.01 of 640
    check = check_fp32("engine", expected, actual, RAW, [BOXES, SCORES])
    assert not check.passed
    assert "in out, channels 4 to 6, limit" in check.text
    assert check_fp32("engine", expected, expected, RAW, [BOXES, SCORES]).passed


def test_the_error_of_a_part_is_relative_to_its_own_largest_value() -> None:
    expected = {"out": np.array([[[100.0], [0.5]]])}
    parts = [Part("out", 1, (0,)), Part("out", 1, (1,))]
    assert find_part_error(parts, expected, {"out": np.array([[[101.0], [0.45]]])}) == (pytest.approx(0.1), parts[1])
    assert find_part_error(parts, expected, {"out": np.array([[[100.0], [np.nan]]])}) == (np.inf, parts[1])
    assert find_part_error(parts, expected, {"out": np.ones((1, 3, 1))})[0] == np.inf
    tiny = {"out": np.array([[[100.0], [1e-9]]])}  # a part of nothing but rounding: 1e-6 of the whole is its least magnitude
    assert find_part_error(parts, tiny, {"out": np.array([[[100.0], [2e-9]]])})[0] == pytest.approx(1e-9 / 1e-4)
    assert find_part_error([], expected, expected) == (0.0, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ort-minmax", "ort-symmetric", "nncf"])
@pytest.mark.parametrize("is_named", [True, False])
def test_quantisers_keep_the_scores_of_a_packed_output(name: str, is_named: bool, tmp_path: Path) -> None:
    nodes, weights = write_yolov8()
    if not is_named:
        for one in nodes:
            one.name = ""
    load(tmp_path, nodes, weights)
    rng = np.random.default_rng(2)
    samples = [rng.normal(size=(1, *SHAPE)).astype(np.float32) for _ in range(16)]
    load_quantiser(name).quantise(tmp_path / "graph.onnx", tmp_path / "int8.onnx", "images", samples)
    batch = {"images": np.concatenate(samples)}
    expected = load_backend("reference").open(tmp_path / "graph.onnx", SessionOptions()).infer(batch)["out"]
    for engine in ("onnxruntime", "openvino"):
        got = load_backend(engine).open(tmp_path / "int8.onnx", SessionOptions("int8")).infer(batch)["out"]
        assert np.abs(got[:, 4:] - expected[:, 4:]).max() < 0.05


def write_packed_detector(folder: Path) -> Path:
    """Cells of a picture: four sides of hundreds of pixels and the score of a bright cell, in one raw output `(N, 5, P)`."""
    folder.mkdir()
    nodes = [
        node("Conv", ["images", "mean_w"], "mean", kernel_shape=[8, 8], strides=[8, 8]),
        node("Relu", ["mean"], "bright"),
        node("Conv", ["bright", "score_w", "score_b"], "logits", kernel_shape=[1, 1]),
        node("Conv", ["bright", "side_w", "side_b"], "sides", kernel_shape=[1, 1]),
        node("Sigmoid", ["logits"], "scores"),
        node("Concat", ["sides", "scores"], "joined", axis=1),
        node("Reshape", ["joined", "flat"], "out"),
    ]
    weights: Weights = {
        "mean_w": np.full((4, 3, 8, 8), 1 / 192, np.float32),
        "score_w": np.full((1, 4, 1, 1), 10, np.float32),
        "score_b": np.array([-20], np.float32),  # 40 * brightness - 20
        "side_w": np.full((4, 4, 1, 1), 50, np.float32),
        "side_b": np.full(4, 400, np.float32),  # 400 to 600 pixels
    }
    write_graph(folder / "model.onnx", nodes, weights | make_constants(flat=[0, 5, -1]), {"out": 3}, (3, 32, 32))
    manifest = ModelManifest(
        name="packed",
        task="raw",
        network="test",
        categories=(),
        input=InputSpec(width=32, height=32, resize="stretch"),
        decode=RAW,
        parameter_count=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


@pytest.mark.slow
def test_a_packed_network_is_compiled_to_int8_but_not_with_its_scores_rounded_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_quantisers import use_quantiser

    version, model = make_squares(tmp_path / "data", "detection", ("square",)), write_packed_detector(tmp_path / "model")
    result = compile_model(model, tmp_path / "out", version, calibration_images=20)
    assert result.report.comparison is not None
    assert (result.manifest.precision, result.report.comparison.evidence) == ("int8", "tensors")
    use_quantiser(monkeypatch, ort.MinMaxQuantiser)
    monkeypatch.setattr(ort, "name_joins", lambda graph: [])
    with pytest.raises(GateFailed, match=r"out, channel 4, one of several tensors packed into this output, is off"):
        compile_model(model, tmp_path / "lost", version, calibration_images=20)


def test_old_reports_have_no_part() -> None:
    comparison, _ = compare_tensors(draw_outputs(2), draw_outputs(2), seed=0)
    facts = {name: value for name, value in msgspec.to_builtins(comparison).items() if name not in ("part", "answers")}
    assert msgspec.convert(facts, type(comparison)).part is None
