"""What a compilation does without labels, with tensors nobody explained, with quantised networks, and when time is short."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy import NAMES, SIDE, SPEC
from toy_quantisers import BrokenQuantiser, prefer_engine, use_quantiser

from sightline.compiler import compilation
from sightline.compiler.candidates import Candidate
from sightline.compiler.comparison import Judged
from sightline.compiler.compilation import Compilation
from sightline.compiler.compile import compile_model, compile_request
from sightline.compiler.pictures import PreparedSamples, choose_pictures
from sightline.compiler.quantisers import table
from sightline.compiler.quantisers.ort import MinMaxQuantiser
from sightline.compiler.report.findings import Findings
from sightline.compiler.request import CompileRequest
from sightline.compiler.stages import Stages
from sightline.compiler.tuning.autotune import Setting
from sightline.compiler.tuning.goals import Timing
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import GateFailed, InvalidInput
from sightline.core.folders import hash_files, read_manifest, write_manifest
from sightline.core.manifests import DecodeSpec, ModelManifest, Task
from sightline.core.progress import ignore_progress
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.heads.decoding import NotANumber
from sightline.runtime.backend import Tensors
from sightline.runtime.backends.onnxruntime import OnnxRuntimeSession
from sightline.runtime.backends.openvino import OpenVinoSession
from sightline.runtime.predictor import open_predictor

pytestmark = pytest.mark.slow


def drop_labels(version: DatasetVersion, folder: Path) -> DatasetVersion:
    """The same pictures, those of val without a label."""
    writer = VersionWriter(folder, "unlabelled", version.categories, version.blobs)
    for item in version.items():
        writer.add(msgspec.structs.replace(item, annotations=() if item.split == "val" else item.annotations))
    return writer.close()


def test_without_labels_the_answers_of_fp32_decide(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    unlabelled = drop_labels(version, tmp_path / "unlabelled")
    result = compile_model(model, tmp_path / "out", unlabelled, max_drop=0.05, calibration_images=32)
    comparison = result.report.comparison
    assert comparison is not None
    assert comparison.evidence == "answers"
    with open_predictor(model) as fp32, open_predictor(result.folder) as int8:
        items = list(unlabelled.items("val"))
        same = [
            fp32.predict([image])[0][0].category == int8.predict([image])[0][0].category
            for image in map(unlabelled.read_image, items)
        ]
    assert comparison.candidate == pytest.approx(sum(same) / len(same))
    assert comparison.low <= comparison.change <= comparison.high <= 0
    assert any("carry no labels" in warning for warning in result.report.warnings)
    assert "FP32's own answers take their place" in (result.folder / "report.html").read_text()


def test_labels_that_a_model_gave_do_not_judge_and_the_report_says_so(
    model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    writer = VersionWriter(tmp_path / "guessed", "guessed", version.categories, version.blobs)
    for item in version.items():
        guesses = tuple(msgspec.structs.replace(one, confidence=0.9, origin="model") for one in item.annotations)
        writer.add(msgspec.structs.replace(item, annotations=guesses) if item.split == "val" else item)
    report = compile_model(model, tmp_path / "out", writer.close(), max_drop=0.05, calibration_images=32).report
    assert report.comparison is not None and report.comparison.evidence == "answers"
    assert report.pictures["labelled_by_models_alone"] == 150
    assert any(warning.endswith("a model alone, which is no truth: they count as unlabelled.") for warning in report.warnings)


def test_without_labels_a_sabotaged_quantisation_fails_too(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    with pytest.raises(GateFailed, match=r"no labels, so answers were compared with FP32's.* at least 99\.00 % must be"):
        compile_model(model, tmp_path / "out", drop_labels(version, tmp_path / "unlabelled"), calibration_images=16)


def keep_labels(version: DatasetVersion, folder: Path, count: int) -> DatasetVersion:
    """The same pictures, the first `count` of val alone with their labels."""
    writer = VersionWriter(folder, "partly", version.categories, version.blobs)
    kept = {item.blob for item in list(version.items("val"))[:count]}
    for item in version.items():
        is_bare = item.split == "val" and item.blob not in kept
        writer.add(msgspec.structs.replace(item, annotations=()) if is_bare else item)
    return writer.close()


def test_one_label_among_many_pictures_lets_no_sabotaged_quantisation_pass(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    with pytest.raises(GateFailed, match=r"149 of the pictures have no label, so answers were compared with FP32's there"):
        compile_model(model, tmp_path / "out", keep_labels(version, tmp_path / "partly", 1), calibration_images=16)


def test_the_report_says_which_pictures_labels_judged_and_which_answers(
    model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    partly = keep_labels(version, tmp_path / "partly", 100)
    result = compile_model(model, tmp_path / "out", partly, max_drop=0.05, calibration_images=32)
    comparison = result.report.comparison
    assert comparison is not None and comparison.unlabelled is not None
    assert (comparison.images, comparison.unlabelled.images, comparison.labelled_answers) == (100, 50, 100)
    assert result.report.pictures["validation_images_without_labels"] == 50
    assert any(warning.startswith("50 of 150 validation pictures carry no label") for warning in result.report.warnings)
    assert "50 pictures without labels, against FP32's answers" in (result.folder / "report.html").read_text()
    row = next(row for row in result.report.candidates if row.name == result.report.chosen)
    assert row.gate is not None and "unlabelled" in {check.name for check in row.gate.checks}


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_unlabelled_pictures_on_which_nothing_is_found_prove_nothing(
    task: Task, model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    blind = make_detector(tmp_path / "model") if task == "detection" else make_multilabel(model, tmp_path / "model")
    unlabelled = drop_labels(version, tmp_path / "unlabelled")
    with pytest.raises(GateFailed, match=r"neither FP32 nor the compiled network shows anything on 150 pictures"):
        compile_model(blind, tmp_path / "out", unlabelled, calibration_images=16)


def make_detector(folder: Path) -> Path:
    """Scores of 1e-9 and one box in each cell of 8 x 8 pixels."""
    folder.mkdir()
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["cells"], "cells", kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Relu", ["cells"], ["bright"], "bright"),
        helper.make_node("Conv", ["bright", "score_w", "score_b"], ["scores"], "scores", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["bright", "side_w"], ["sides"], "sides", kernel_shape=[1, 1]),
    ]
    weights = {"w": np.ones((4, 3, 8, 8)) / 192, "score_w": np.ones((3, 4, 1, 1)) / 10, "side_w": np.ones((4, 4, 1, 1))}
    weights["score_b"] = np.full(3, -20)
    graph = helper.make_graph(
        nodes,
        "blind",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", None, None, None]) for name in ("scores", "sides")],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    manifest = ModelManifest(
        name="blind",
        task="detection",
        network="test",
        categories=NAMES,
        input=SPEC,
        decode=DecodeSpec(head="anchor_free", outputs=("scores", "sides"), parameters={"strides": [8]}),
        parameter_count=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def make_multilabel(model: Path, folder: Path) -> Path:
    """The classifier with outputs far below 0, so that no label is ever given."""
    shutil.copytree(model, folder)
    graph = onnx.load(folder / "model.onnx")
    bias = next(tensor for tensor in graph.graph.initializer if tensor.name == "b3")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - 100, "b3"))
    onnx.save(graph, folder / "model.onnx")
    manifest = read_manifest(folder, ModelManifest)
    (folder / "manifest.json").unlink()
    decode = DecodeSpec(head="sigmoid", outputs=manifest.decode.outputs)
    write_manifest(folder, msgspec.structs.replace(manifest, task="multilabel", decode=decode, files=hash_files(folder)))
    return folder


def make_raw(model: Path, folder: Path) -> Path:
    """The same network, its outputs unexplained."""
    shutil.copytree(model, folder)
    manifest = read_manifest(model, ModelManifest)
    decode = DecodeSpec(head="raw", outputs=manifest.decode.outputs)
    write_manifest(folder, msgspec.structs.replace(manifest, task="raw", categories=(), decode=decode))
    return folder


def test_raw_tensors_are_kept_alike(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = make_raw(model, tmp_path / "raw")
    result = compile_model(raw, tmp_path / "out", version, max_drop=0.05, calibration_images=32)
    assert result.report.comparison is not None
    assert result.report.comparison.evidence == "tensors"
    assert 0.5 < result.report.comparison.candidate < 1
    assert result.report.comparison.agreement > 0.95  # the cosine
    use_quantiser(monkeypatch, BrokenQuantiser)
    with pytest.raises(GateFailed, match=r"relative error against FP32 counts: .* at most 10\.00 % may be; mean cosine"):
        compile_model(raw, tmp_path / "broken", version, calibration_images=16)


def test_raw_outputs_of_a_candidate_are_let_go_once_they_are_compared(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(make_raw(model, tmp_path / "raw"), ModelManifest)
    graph = model / "model.onnx"
    found = Findings(
        graph, onnx.load(graph), manifest, CompileRequest(), version, pictures=choose_pictures(version, 4, 4, seed=0)
    )
    found.baseline, *others = (Candidate("openvino", "int8", name, graph, graph) for name in ("exact", "first", "second"))
    outputs = [{"logits": np.ones((1, 3), np.float32)}] * 4
    monkeypatch.setattr("sightline.compiler.compilation.predict_items", lambda *_: Judged([], None, outputs))
    compilation = Compilation(found, tmp_path, Stages({"gate": 1}, ignore_progress))
    compilation._predict(found.baseline, Setting(1, 1))
    for candidate in others:
        compilation._predict(candidate, Setting(1, 1))
        assert compilation._compare(candidate).candidate == 1.0
    assert [len(one.tensors) for one in found.judged.values()] == [4, 0, 0]  # the baseline is compared again and again


def turn_batches_round(monkeypatch: pytest.MonkeyPatch, only: str = "") -> None:
    """An engine fault that shows in batches of several alone: both engines' outputs are negated. Args: only: a precision."""
    read, infer = OpenVinoSession._read_outputs, OnnxRuntimeSession.infer

    def turn(session: OpenVinoSession | OnnxRuntimeSession, outputs: Tensors) -> Tensors:
        is_meant = session._options.precision == only or not only
        return {name: -value if len(value) > 1 and is_meant else value for name, value in outputs.items()}

    monkeypatch.setattr(OpenVinoSession, "_read_outputs", lambda self, running: turn(self, read(self, running)))
    monkeypatch.setattr(OnnxRuntimeSession, "infer", lambda self, inputs: turn(self, infer(self, inputs)))


def test_engines_that_compute_batches_wrongly_run_each_picture_alone(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_batches_round(monkeypatch)
    result = compile_model(model, tmp_path / "out", version, precision="fp32")
    assert result.manifest.batch == 1
    assert {timing.batch for timing in result.report.timings} == {1}
    refused = {refusal.name: refusal.reason for refusal in result.report.refusals}
    assert "openvino in batches of 8, FP32 against the reference" in refused["openvino fp32, batches of 8"]


@pytest.mark.parametrize("task", ["classification", "raw"])
def test_int8_that_is_wrong_in_the_batches_it_would_run_fails_the_gate(
    task: Task, model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_batches_round(monkeypatch, only="int8")
    monkeypatch.setattr("sightline.compiler.compilation.choose_batches", lambda goal, device: (8,))
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ())
    network = make_raw(model, tmp_path / "raw") if task == "raw" else model
    with pytest.raises(GateFailed, match="limit -5.00" if task == "classification" else "relative error against FP32 counts"):
        compile_model(network, tmp_path / "out", version, max_drop=0.05, calibration_images=32)


def test_int8_whose_outputs_are_not_numbers_fails_the_gate(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = compilation.predict_items

    def fail(candidate: Candidate, *args: Any) -> Judged:
        if candidate.precision == "int8":
            raise NotANumber("expected numbers in the output logits of the network, got NaN")
        return predict(candidate, *args)

    monkeypatch.setattr(compilation, "predict_items", fail)
    monkeypatch.setattr(compilation, "RESCUE_QUANTISERS", ())
    with pytest.raises(GateFailed, match="got NaN"):
        compile_model(model, tmp_path / "out", version, calibration_images=32, precision="int8")


def make_quantised(model: Path, version: DatasetVersion, folder: Path) -> Path:
    """The same network, quantised before it came here."""
    shutil.copytree(model, folder)
    manifest = read_manifest(model, ModelManifest)
    samples = PreparedSamples(version, list(version.items("train"))[:32], manifest.input)
    MinMaxQuantiser().quantise(model / "model.onnx", folder / "model.onnx", "images", samples)
    (folder / "manifest.json").unlink()
    write_manifest(folder, msgspec.structs.replace(manifest, precision="int8", files=hash_files(folder)))
    return folder


def test_a_network_that_came_quantised_is_kept_and_checked(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    quantised = make_quantised(model, version, tmp_path / "quantised")
    result = compile_model(quantised, tmp_path / "out", version)
    assert result.manifest.precision == "int8"
    assert {row.name for row in result.report.candidates} == {"openvino int8", "onnxruntime int8"}
    checks = {check.name for row in result.report.candidates if row.gate for check in row.gate.checks}
    assert {"int8 error", "int8 layers", "accuracy"} <= checks
    with pytest.raises(InvalidInput, match="was quantised to INT8 before it was imported"):
        compile_model(quantised, tmp_path / "float", version, precision="fp32")


def test_an_engine_that_runs_a_quantised_network_wrongly_is_refused(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.runtime.backends.openvino import OpenVinoSession

    quantised = make_quantised(model, version, tmp_path / "quantised")
    infer = OpenVinoSession.infer
    monkeypatch.setattr(
        OpenVinoSession, "infer", lambda self, inputs: {name: -value for name, value in infer(self, inputs).items()}
    )
    prefer_engine(monkeypatch, "openvino")
    result = compile_model(quantised, tmp_path / "out", version, max_drop=0.05)
    assert result.manifest.engine == "onnxruntime"
    gate = next(row.gate for row in result.report.candidates if row.name == "openvino int8")
    assert gate is not None
    failed = {check.name: check.value for check in gate.checks if not check.passed}
    assert failed["int8 error"] == pytest.approx(2, rel=0.1)  # as far as it can be from its opposite


def test_noise_calibrates_only_when_asked_and_the_artifact_says_so(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"INT8 needs pictures .* `calibrate_random`"):
        compile_model(model, tmp_path / "out")
    result = compile_model(model, tmp_path / "out", calibrate_random=True)
    assert (result.manifest.precision, result.manifest.verified) == ("int8", False)
    assert result.manifest.calibration["calibration"] == "seeded noise"
    assert any("calibrated on seeded noise" in warning for warning in result.report.warnings)


def test_a_symmetric_artifact_carries_a_file_for_other_engines(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    result = compile_model(model, tmp_path / "out", version, symmetric=True, max_drop=0.05, calibration_images=32)
    portable = onnx.load(result.folder / "model.qdq.onnx")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in portable.graph.initializer}
    zeros = [weights[node.input[2]] for node in portable.graph.node if node.op_type == "QuantizeLinear"]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    assert "model.qdq.onnx" in result.manifest.files


def test_no_quantiser_begins_after_the_time_limit(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    result = compile_model(model, tmp_path / "out", version, precision="auto", time_limit_s=1e-9, calibration_images=8)
    assert result.manifest.precision in ("bf16", "fp32")
    reasons = {refusal.name: refusal.reason for refusal in result.report.refusals}
    assert "time limit" in reasons["quantiser nncf"]


def test_what_was_timed_before_is_not_timed_again(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compile_model(model, tmp_path / "a", version, max_drop=0.05, calibration_images=16, tuning=tmp_path / "tuning")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("timed again")

    monkeypatch.setattr("sightline.compiler.compilation.time_candidates", fail)
    second = compile_model(model, tmp_path / "b", version, max_drop=0.05, calibration_images=16, tuning=tmp_path / "tuning")
    assert second.report.timings == first.report.timings
    assert first.report.timed_at is None
    assert second.report.timed_at is not None
    with pytest.raises(AssertionError, match="timed again"):
        compile_model(model, tmp_path / "c", version, calibration_images=16)


def test_a_rescue_is_raced_against_fp32_again_and_told_when_it_was_timed(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    monkeypatch.setitem(table.QUANTISERS, "ort-minmax", "sightline.compiler.quantisers.ort:MinMaxQuantiser")
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ("ort-minmax",))
    races: list[list[str]] = []

    def time_candidates(candidates: Sequence[Candidate], *_: object, **__: object) -> list[Timing]:
        """The machine is ten times slower from the second race on; FP32 takes twice as long as INT8."""
        races.append([one.name for one in candidates])
        speed = 1000 / 10 ** min(len(races) - 1, 1)
        return [
            Timing(
                candidate=one.name,
                streams=1,
                threads=1,
                throughput=speed if one.precision == "int8" else speed / 2,
                latency_ms=1.0,
                cpu_ms=1.0,
                throughput_range=(speed, speed),
                noise=0.0,
            )
            for one in candidates
        ]

    monkeypatch.setattr("sightline.compiler.compilation.time_candidates", time_candidates)
    facts = {"max_drop": 0.05, "calibration_images": 16, "tuning": tmp_path / "tuning"}
    report = compile_model(model, tmp_path / "a", version, **facts).report  # type: ignore[arg-type]
    plain = [name for name in races[1] if "fp32" in name]
    assert (len(races), len(plain)) == (2, 1)
    assert f", 2.00x {plain[0]};" in report.verdict
    assert not any("INT8 is slower" in warning for warning in report.warnings)
    (tmp_path / "tuning" / find_race_file(tmp_path / "tuning", "ort-minmax")).unlink()
    report = compile_model(model, tmp_path / "b", version, **facts).report  # type: ignore[arg-type]
    assert len(races) == 3  # only the second race
    assert report.timed_at is None
    (warning,) = [warning for warning in report.warnings if "are those of" in warning]
    assert "int8 broken" in warning
    assert "ort-minmax" not in warning and plain[0] not in warning


def find_race_file(folder: Path, word: str) -> str:
    return next(path.name for path in folder.iterdir() if word in path.read_text())


def test_accuracy_control_gives_layers_back_until_the_drop_is_small(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    control = "sightline.compiler.quantisers.nncf_control:NncfControlQuantiser"
    monkeypatch.setitem(table.QUANTISERS, "nncf-control", control)
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ("nncf-control",))
    result = compile_model(model, tmp_path / "out", version, max_drop=0.03, calibration_images=32)
    assert result.manifest.calibration["quantiser"]["quantiser"] == "nncf-control"
    assert result.report.comparison is not None
    assert result.report.comparison.change >= -0.03


def test_the_command_names_a_folder_of_pictures_as_the_user_did(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    result = compile_request(
        CompileRequest(precision="fp32", calibration_images=8),
        model,
        tmp_path / "out",
        None,
        calibration=version,
        calibrate_on=None,
        tuning=None,
        said={"--data": "my pictures"},
        on_progress=ignore_progress,
    )
    assert "--data 'my pictures'" in result.report.command


@pytest.mark.parametrize("changed", [{"precision": "auto"}, {"device": "fpga-emulator"}])
def test_symmetric_int8_that_cannot_come_out_is_refused(
    changed: dict[str, str], model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="`symmetric` makes INT8 of a float network"):
        compile_model(model, tmp_path / "out", version, symmetric=True, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("goal", "named"),
    [
        ({"slo_ms": 3.0}, "leave `slo_ms` out"),
        ({"objective": "latency"}, "leave `objective` out"),
        ({"slo_ms": 3.0, "objective": "latency"}, "leave `objective` and `slo_ms` out"),
    ],
)
def test_a_goal_of_speed_on_an_emulated_device_is_refused_by_the_names_that_were_given(
    goal: dict[str, Any], named: str, model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=f"got fpga-emulator, an emulated one; {named}$"):
        compile_model(model, tmp_path / "out", version, device="fpga-emulator", precision="auto", **goal)


def test_accuracy_control_leaves_pictures_of_other_categories_alone(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ("nncf-control",))
    control = "sightline.compiler.quantisers.nncf_control:NncfControlQuantiser"
    monkeypatch.setitem(table.QUANTISERS, "nncf-control", control)
    writer = VersionWriter(tmp_path / "foreign", "foreign", Categories(["other"]), version.blobs)
    for item in version.items("train"):
        writer.add(msgspec.structs.replace(item, annotations=(Annotation(category="other"),)))
    with pytest.raises(GateFailed):
        compile_model(model, tmp_path / "out", version, calibrate_on=writer.close(), calibration_images=16)
