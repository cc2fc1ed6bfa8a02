"""The whole compilation on a small network: what passes, what must fail, and what is left behind."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sightline.compiler.compile import CompileResult, compile_model
from sightline.compiler.pictures import PreparedSamples
from sightline.compiler.quantisers import table
from sightline.compiler.quantisers.ort import MinMaxQuantiser
from sightline.compiler.quantisers.quantiser import Guide, QuantiserFacts
from sightline.compiler.report import decode_report
from sightline.core.errors import Conflict, CorruptFile, GateFailed, InvalidInput, NotFound, Unsupported
from sightline.core.folders import hash_files, read_manifest, verify_files, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, ModelManifest
from sightline.core.progress import ProgressEvent
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.runtime.predictor import open_predictor

pytestmark = pytest.mark.slow


class BrokenQuantiser(MinMaxQuantiser):
    """Quantises, then makes every activation scale eight times too small, so that most values saturate."""

    name = "broken"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        facts = super().quantise(graph, out, input_name, samples)
        model = onnx.load(out)
        scales = {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        for tensor in model.graph.initializer:
            if tensor.name in scales:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / 8, tensor.name))
        onnx.save(model, out)
        return facts


class ChannelQuantiser(MinMaxQuantiser):
    """Gives the first convolution's input a scale and zero point for each channel, which ONNX Runtime's kernel lacks."""

    name = "channel"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        facts = super().quantise(graph, out, input_name, samples)
        model = onnx.load(out)
        by_name = {tensor.name: tensor for tensor in model.graph.initializer}
        first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == input_name)
        for node in model.graph.node:
            if list(node.input[1:]) == list(first.input[1:]):
                node.attribute.append(onnx.helper.make_attribute("axis", 1))
        for name in first.input[1:]:
            value = np.repeat(numpy_helper.to_array(by_name[name]).reshape(1), 3)
            by_name[name].CopyFrom(numpy_helper.from_array(value, name))
        onnx.save(model, out)
        return facts


class OpenVinoUnreadableQuantiser(MinMaxQuantiser):
    """Adds an operator that ONNX Runtime has and OpenVINO has not."""

    name = "unreadable"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        facts = super().quantise(graph, out, input_name, samples)
        model = onnx.load(out)
        last = model.graph.node[-1]
        last.output[0] = "before"
        model.graph.node.append(onnx.helper.make_node("TransposeMatMul", ["before", "eye"], ["logits"], domain="com.microsoft"))
        model.graph.initializer.append(numpy_helper.from_array(np.eye(3, dtype=np.float32), "eye"))
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        onnx.save(model, out)
        return facts


class FakeQuantiser(MinMaxQuantiser):
    """Calls an FP32 copy INT8."""

    name = "fake"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        shutil.copyfile(graph, out)
        return QuantiserFacts(quantiser=self.name, package="none", settings={}, images=len(samples))


def use_quantiser(monkeypatch: pytest.MonkeyPatch, quantiser: type) -> None:
    """Make `quantiser` the only one."""
    only = {quantiser.name: f"{quantiser.__module__}:{quantiser.__name__}"}
    monkeypatch.setattr("sightline.compiler.quantisers.table.QUANTISERS", only)
    monkeypatch.setattr("sightline.compiler.compilation.FIRST_QUANTISERS", (quantiser.name,))
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ())


@pytest.fixture(scope="module")
def int8(model: Path, version: DatasetVersion, tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    """Compiled once; the module's tests read it."""
    out = tmp_path_factory.mktemp("artifacts") / "int8"
    return compile_model(model, out, version, max_drop=0.03, calibration_images=32)


def test_the_artifact_is_whole_and_says_what_it_is(int8: CompileResult) -> None:
    manifest = read_manifest(int8.folder, ArtifactManifest)
    verify_files(int8.folder, manifest.files)
    assert manifest == int8.manifest
    assert (manifest.precision, manifest.device, manifest.verified) == ("int8", "cpu", True)
    assert manifest.calibration["quantiser"]["images"] == 32
    assert {"report.json", "report.html", manifest.graph_file} <= set(manifest.files)


def test_the_artifact_predicts_as_the_report_says(int8: CompileResult, version: DatasetVersion) -> None:
    items = list(version.items("val"))
    with open_predictor(int8.folder) as predictor:
        answers = list(predictor.predict_stream(version.blobs.read(item.blob) for item in items))
    right = sum(answer[0].category == item.annotations[0].category for answer, item in zip(answers, items, strict=True))
    assert int8.report.comparison is not None
    assert right / len(items) == pytest.approx(int8.report.comparison.candidate)
    assert int8.report.comparison.baseline > 0.8  # the network knows something that quantising could destroy


def test_the_report_holds_what_the_product_promises(int8: CompileResult) -> None:
    report = decode_report((int8.folder / "report.json").read_bytes())
    assert report.graph.nodes == 7
    # By hand: 24·24·16 outputs of 27 products, 12·12·32 of 144, 32·3; two operations each.
    assert report.graph.flops == 2 * (24 * 24 * 16 * 27 + 12 * 12 * 32 * 144 + 32 * 3)
    assert report.unsupported_layers == []
    assert report.precisions["int8"] >= 2
    assert {"conv1", "conv2", "linear"} <= {name for row in report.layers for name in row.source_layers}
    assert sum(row.share for row in report.layers) == pytest.approx(1, abs=1e-6)
    assert {row.engine for row in report.candidates} == {"openvino", "onnxruntime"}
    assert {row.quantiser.quantiser for row in report.candidates if row.quantiser} == {"ort-minmax", "nncf"}
    assert {(row.batch, row.streams) for row in report.sweep} >= {(1, 1), (2, 1)}
    assert report.peak is not None
    assert 0 < report.peak.share <= 1
    assert report.comparison is not None
    assert report.comparison.low <= report.comparison.change <= report.comparison.high
    assert [row.category for row in report.comparison.per_category] == ["bars", "blobs", "plain"]
    assert "sightline compile" in report.command
    assert "--seed 0" in report.command
    page = (int8.folder / "report.html").read_text()
    assert "Unsupported layers: 0" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched
    assert "<script" not in page


def test_a_sabotaged_quantisation_fails_the_gate_and_leaves_a_report(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    with pytest.raises(GateFailed, match=r"top1 .* limit -1\.00.* fp32 is right, precision auto takes"):
        compile_model(model, tmp_path / "out", version, precision="int8", calibration_images=16)
    assert not (tmp_path / "out").exists()
    report = decode_report((tmp_path / "out.failed" / "report.json").read_bytes())
    assert not report.passed
    assert report.comparison is not None
    assert report.comparison.change < -0.01
    assert report.flips
    assert "Failed." in (tmp_path / "out.failed" / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out.failed"]


def test_auto_keeps_the_fastest_rung_that_passes(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    result = compile_model(model, tmp_path / "out", version, precision="auto", calibration_images=16)
    assert result.manifest.precision in ("bf16", "fp32")
    assert all("INT8" not in row.verdict for row in result.report.candidates if row.precision != "int8")


def test_a_rescue_quantiser_is_tried_when_the_first_fail(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    monkeypatch.setitem(
        table.QUANTISERS,
        "ort-minmax",
        "sightline.compiler.quantisers.ort:MinMaxQuantiser",
    )
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ("ort-minmax",))
    result = compile_model(model, tmp_path / "out", version, precision="int8", max_drop=0.03, calibration_images=32)
    assert result.manifest.calibration["quantiser"]["quantiser"] == "ort-minmax"
    assert "Tried first, but failed" in result.report.verdict


def test_a_file_that_an_engine_cannot_run_is_refused_with_the_engines_reason(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, ChannelQuantiser)
    result = compile_model(model, tmp_path / "out", version, precision="auto", calibration_images=16)
    assert any("ONNX Runtime refuses" in refusal.reason for refusal in result.report.refusals)


def test_a_file_that_openvino_cannot_read_is_refused_and_the_other_engine_goes_on(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, OpenVinoUnreadableQuantiser)
    result = compile_model(model, tmp_path / "out", version, max_drop=0.05, calibration_images=16)
    assert (result.manifest.engine, result.manifest.precision) == ("onnxruntime", "int8")
    assert [refusal.name for refusal in result.report.refusals] == ["openvino int8 unreadable"]


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


def test_without_labels_a_sabotaged_quantisation_fails_too(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    with pytest.raises(GateFailed, match=r"no labels, so answers were compared with FP32's.* at least 99\.00% must be"):
        compile_model(model, tmp_path / "out", drop_labels(version, tmp_path / "unlabelled"), calibration_images=16)


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
    assert 0.95 < result.report.comparison.candidate < 1
    use_quantiser(monkeypatch, BrokenQuantiser)
    with pytest.raises(GateFailed, match=r"mean cosine similarity of the outputs"):
        compile_model(raw, tmp_path / "broken", version, calibration_images=16)


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
    result = compile_model(quantised, tmp_path / "out", version, max_drop=0.05)
    assert result.manifest.engine == "onnxruntime"


def test_noise_calibrates_only_when_asked_and_the_artifact_says_so(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"INT8 needs pictures .* --calibrate-random"):
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


@pytest.mark.parametrize(("learned_from", "warned"), [("trainval", True), ("train", False)])
def test_a_gate_on_learned_pictures_is_said(
    learned_from: str, warned: bool, model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    manifest = read_manifest(model, ModelManifest)
    recipe = {"train_splits": [learned_from]}
    write_manifest(copy, msgspec.structs.replace(manifest, dataset_version=version.id, recipe=recipe))
    result = compile_model(copy, tmp_path / "out", version, precision="fp32", calibration_images=8, validation_images=8)
    assert any("learned from the split 'val'" in warning for warning in result.report.warnings) == warned


@pytest.mark.parametrize("knows_nothing", [True, False])
def test_a_model_that_is_wrong_in_fp32_already_is_said(
    knows_nothing: bool, model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    writer = VersionWriter(tmp_path / "turned", "turned", version.categories, version.blobs)
    names = version.categories.names
    turned = dict(zip(names, (*names[1:], names[0]), strict=True)) if knows_nothing else dict(zip(names, names, strict=True))
    for item in version.items():
        labels = tuple(msgspec.structs.replace(label, category=turned[label.category]) for label in item.annotations)
        writer.add(msgspec.structs.replace(item, annotations=labels))
    result = compile_model(model, tmp_path / "out", writer.close(), max_drop=0.05, calibration_images=16)
    said = [warning for warning in result.report.warnings if "FP32 model itself scores" in warning]
    assert result.report.passed
    assert len(said) == knows_nothing
    assert all(warning in (result.folder / "report.html").read_text() for warning in said)


def test_an_int8_file_that_runs_in_fp32_is_refused(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, FakeQuantiser)
    with pytest.raises(GateFailed, match="0 of 3 convolution and matrix layers run in INT8"):
        compile_model(model, tmp_path / "out", version, precision="int8", calibration_images=16)


def test_an_engine_that_computes_wrongly_is_refused(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.runtime.backends.openvino import OpenVinoSession

    infer = OpenVinoSession.infer
    monkeypatch.setattr(
        OpenVinoSession, "infer", lambda self, inputs: {name: value * 1.01 for name, value in infer(self, inputs).items()}
    )
    result = compile_model(model, tmp_path / "out", version, precision="fp32", calibration_images=16)
    assert result.manifest.engine == "onnxruntime"
    checks = [check for row in result.report.candidates if row.gate for check in row.gate.checks if not check.passed]
    assert all(check.value == pytest.approx(0.01, rel=0.05) for check in checks)


def test_without_pictures_fp32_is_unverified_and_int8_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="INT8 needs pictures"):
        compile_model(model, tmp_path / "out")
    result = compile_model(model, tmp_path / "out", precision="fp32")
    assert not result.manifest.verified
    assert any("not verified" in warning for warning in result.report.warnings)


def test_progress_never_goes_back_and_ends(model: Path, tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    compile_model(model, tmp_path / "out", precision="fp32", objective="latency", on_progress=events.append)
    progress = [event.progress for event in events if event.progress is not None]
    assert progress == sorted(progress)
    assert events[-1].stage == "writing"
    assert {"quantising", "timing candidates", "gate"} <= {event.stage for event in events}


def test_what_cannot_work_is_refused_before_any_work(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="expected precision auto, int8"):
        compile_model(model, tmp_path / "out", version, precision="int4")
    with pytest.raises(InvalidInput, match="expected objective"):
        compile_model(model, tmp_path / "out", version, objective="speed")
    with pytest.raises(InvalidInput, match="max_drop"):
        compile_model(model, tmp_path / "out", version, max_drop=1.5)
    with pytest.raises(NotFound, match="device of cpu"):
        compile_model(model, tmp_path / "out", version, device="tpu")
    with pytest.raises(Unsupported, match="compile for cpu"):
        compile_model(model, tmp_path / "out", version, device="reference", precision="fp32")
    with pytest.raises(InvalidInput, match="seed of 0 or more, got -1"):
        compile_model(model, tmp_path / "out", version, seed=-1)
    with pytest.raises(Conflict, match="folder that can be written"):
        compile_model(model, model / "manifest.json" / "out", version)
    (tmp_path / "there").mkdir()
    with pytest.raises(Conflict, match="exists already"):
        compile_model(model, tmp_path / "there", version)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_changed_model_file_is_refused(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    (copy / "model.onnx").write_bytes((copy / "model.onnx").read_bytes() + b" ")
    with pytest.raises(CorruptFile):
        compile_model(copy, tmp_path / "out", version)


def test_wrong_preprocessing_shows_as_lost_accuracy_of_fp32_itself(
    model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    """The gate compares with FP32 under the Model's own input spec; a wrong spec is seen in the report's FP32 accuracy."""
    from toy import SPEC, make_model

    wrong = make_model(tmp_path / "model", version, msgspec.structs.replace(SPEC, mean=(0.0, 0.0, 0.0), std=(255.0,) * 3))
    result = compile_model(wrong, tmp_path / "out", version, precision="bf16", max_drop=0.05, calibration_images=16)
    assert result.report.comparison is not None
    assert result.report.comparison.baseline < 0.7


def test_the_fpga_emulator_is_verified_and_gated_like_every_device(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sightline.compiler.compilation.EMULATED_PICTURES", 30)
    result = compile_model(
        model, tmp_path / "out", version, device="fpga-emulator", precision="auto", max_drop=0.05, calibration_images=16
    )
    report = result.report
    assert (result.manifest.device, result.manifest.engine) == ("fpga-emulator", "hls4ml")
    assert result.manifest.precision in ("int8", "int16")
    assert report.comparison is not None
    assert report.comparison.images == 30
    assert report.unsupported_layers == []
    assert {place.device for place in report.places} == {"fpga-emulator"}
    assert report.timings == [] and report.sweep == [] and report.peak is None  # no speed of an FPGA is ever stated
    assert "pictures/s" not in report.verdict
    assert any(name.endswith(".cpp") for name in result.manifest.files)  # the project for the vendor's tools
    with open_predictor(model) as fp32, open_predictor(result.folder) as emulated:
        items = list(version.items("val"))[:12]
        images = [version.read_image(item) for item in items]
        same = [
            one[0].category == other[0].category
            for one, other in zip(fp32.predict(images), emulated.predict(images), strict=True)
        ]
    assert sum(same) >= 10


def test_layers_that_a_device_lacks_run_on_the_cpu_and_the_report_says_which(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sightline.compiler.compilation.EMULATED_PICTURES", 20)
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    graph = onnx.load(folder / "model.onnx")
    last = graph.graph.node[-1]
    graph.graph.node.append(onnx.helper.make_node("Softmax", ["before"], [last.output[0]], name="answer"))
    last.output[0] = "before"
    onnx.save(graph, folder / "model.onnx")
    manifest = read_manifest(model, ModelManifest)
    (folder / "manifest.json").unlink()
    write_manifest(folder, msgspec.structs.replace(manifest, files=hash_files(folder)))
    with pytest.raises(Unsupported, match=r"fpga-emulator does not run 1 layers.*answer \(Softmax\).*hetero:fpga-emulator,cpu"):
        compile_model(folder, tmp_path / "a", version, device="fpga-emulator", precision="int16", calibration_images=8)
    result = compile_model(
        folder,
        tmp_path / "out",
        version,
        device="hetero:fpga-emulator,cpu",
        precision="int16",
        max_drop=0.05,
        calibration_images=8,
    )
    assert result.manifest.engine == "hetero"
    assert [line.split(":")[0] for line in result.report.unsupported_layers] == ["answer (Softmax) on cpu"]
    assert "Unsupported layers: 1" in (result.folder / "report.html").read_text()
    with open_predictor(result.folder) as predictor:
        assert predictor.predict([version.read_image(next(iter(version.items("val"))))])[0]


def test_a_precision_the_device_lacks_is_refused_before_any_work(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"cpu computes here .* got int16; fpga-emulator may"):
        compile_model(model, tmp_path / "out", version, precision="int16")
    with pytest.raises(Unsupported, match=r"fpga-emulator computes here \(int16, int8\), got fp32"):
        compile_model(model, tmp_path / "out", version, device="fpga-emulator", precision="fp32")
