"""The whole compilation on a small network: what passes, what must fail, and what is left behind."""

import shutil
from pathlib import Path

import msgspec
import pytest
from toy_quantisers import (
    BrokenQuantiser,
    ChannelQuantiser,
    FakeQuantiser,
    OpenVinoUnreadableQuantiser,
    RefusingQuantiser,
    prefer_engine,
    use_quantiser,
)

from sightline.compiler.compile import CompileResult, compile_model
from sightline.compiler.quantisers import table
from sightline.compiler.report.records import decode_report
from sightline.core.errors import (
    Conflict,
    CorruptFile,
    Exhausted,
    GateFailed,
    InvalidInput,
    NotFound,
    SightlineError,
    UnreadableImage,
    Unsupported,
)
from sightline.core.folders import read_manifest, verify_files, write_manifest
from sightline.core.manifests import ArtifactManifest, ModelManifest
from sightline.core.progress import ProgressEvent
from sightline.core.workspace import Workspace
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.runtime.predictor import open_predictor

pytestmark = pytest.mark.slow


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


def test_paths_may_be_text(model: Path, tmp_path: Path) -> None:
    result = compile_model(str(model), str(tmp_path / "out"), precision="fp32", tuning=str(tmp_path / "tuning"))
    assert result.folder == tmp_path / "out" and (tmp_path / "tuning").is_dir()


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_one_clear_line_and_nothing_is_left(model: Path, tmp_path: Path) -> None:
    with pytest.raises(Exhausted, match=r"no room left on the disk while writing .*out; make room"):
        compile_model(model, tmp_path / "out", precision="fp32")
    assert list(tmp_path.iterdir()) == []


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


def test_the_report_of_a_gate_that_failed_in_a_workspace_lies_where_the_message_says(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    home = Workspace(tmp_path)
    (tmp_path / "failed" / "net").mkdir(parents=True)
    (tmp_path / "failed" / "net" / "report.html").write_text("of an earlier attempt")
    with pytest.raises(GateFailed) as caught:
        compile_model(model, home, version, calibration_images=16, name="net")
    told = Path(str(caught.value).rpartition(" ")[2])
    assert told == tmp_path / "failed" / "net" / "report.html" and "Failed." in told.read_text()
    assert home.names("artifacts") == [] and list((tmp_path / "artifacts").iterdir()) == []


@pytest.mark.parametrize(("name", "expected"), [(None, "textures"), ("lowlat", "lowlat")])
def test_what_is_compiled_into_a_workspace_is_found_by_its_name(
    name: str | None, expected: str, model: Path, tmp_path: Path
) -> None:
    home = Workspace(tmp_path)
    result = compile_model(model, home, precision="fp32", name=name)
    assert ("--name lowlat" in result.report.command) == ("--name" in result.report.command) == (name is not None)
    assert home.find("artifacts", expected) == result.folder
    assert read_manifest(result.folder, ArtifactManifest) == result.manifest
    assert sorted(path.name for path in result.folder.parent.iterdir()) == sorted([result.folder.name, "latest"])


def test_a_folder_takes_no_name(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="expected a Workspace for an Artifact with a name of its own"):
        compile_model(model, tmp_path / "out", precision="fp32", name="net")


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


@pytest.mark.parametrize("error", [InvalidInput("ONNX Runtime refuses this input"), Exhausted("no time"), Unsupported("no")])
def test_a_quantiser_that_fails_is_refused_and_the_others_go_on(
    error: SightlineError, model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, RefusingQuantiser)
    monkeypatch.setattr(RefusingQuantiser, "error", error)
    minmax = "sightline.compiler.quantisers.ort:MinMaxQuantiser"
    monkeypatch.setitem(table.QUANTISERS, "ort-minmax", minmax)
    monkeypatch.setattr("sightline.compiler.compilation.FIRST_QUANTISERS", ("refusing", "ort-minmax"))
    result = compile_model(model, tmp_path / "out", version, max_drop=0.05, calibration_images=16)
    assert result.manifest.precision == "int8"
    assert [(refusal.name, refusal.reason) for refusal in result.report.refusals] == [("quantiser refusing", str(error))]


@pytest.mark.parametrize("error", [UnreadableImage("no picture"), KeyError("a fault of ours")])
def test_a_broken_picture_and_a_fault_of_ours_are_no_quantisers_refusal(
    error: Exception, model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, RefusingQuantiser)
    monkeypatch.setattr(RefusingQuantiser, "error", error)
    with pytest.raises(type(error)):
        compile_model(model, tmp_path / "out", version, calibration_images=16)


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


def test_evidence_that_is_less_than_it_seems_is_said(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    writer = VersionWriter(tmp_path / "narrow", "narrow", version.categories, version.blobs)
    for item in version.items("train"):
        writer.add(item)
    bars = [item for item in version.items("val") if item.annotations[0].category == "bars"][:10]
    for place, item in enumerate(bars * 60):
        writer.add(msgspec.structs.replace(item, file_name=f"val/{place}.png"))
    warnings = compile_model(model, tmp_path / "out", writer.close(), max_drop=0.1, calibration_images=16).report.warnings
    for start in (
        "Only 10 of 600 validation pictures differ from each other",
        "Only 10 validation pictures judge",
        "No validation picture shows 2 of the Model's 3 categories (blobs, plain)",
    ):
        assert [warning for warning in warnings if warning.startswith(start)], start


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
    prefer_engine(monkeypatch, "openvino")
    result = compile_model(model, tmp_path / "out", version, precision="fp32", calibration_images=16)
    assert result.manifest.engine == "onnxruntime"
    gate = next(row.gate for row in result.report.candidates if row.name == "openvino fp32")
    assert gate is not None
    assert [(check.name, check.passed) for check in gate.checks] == [("fp32 error", False)]
    assert gate.checks[0].value == pytest.approx(0.01, rel=0.05)


def test_without_pictures_fp32_is_unverified_and_int8_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="INT8 needs pictures"):
        compile_model(model, tmp_path / "out")
    result = compile_model(model, tmp_path / "out", precision="fp32")
    assert not result.manifest.verified
    assert any("not verified" in warning for warning in result.report.warnings)


def test_pictures_to_calibrate_on_alone_calibrate_and_judge(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    result = compile_model(model, tmp_path / "out", calibrate_on=version, calibrate_random=True, precision="fp32")
    facts = result.manifest.calibration
    assert (result.manifest.verified, facts["dataset_version"], facts["validation_split"]) == (True, version.id, "val")
    assert "calibration_version" not in facts
    assert "--data" in result.report.command and "--calibrate " not in result.report.command


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
    for limit in (0.0, float("nan")):
        with pytest.raises(InvalidInput, match=f"expected a latency limit above 0, got {limit}"):
            compile_model(model, tmp_path / "out", version, slo_ms=limit)
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


@pytest.mark.parametrize("out", [".", "/"])
def test_a_folder_without_a_name_exists_already(out: str, model: Path, version: DatasetVersion) -> None:
    with pytest.raises(Conflict, match="exists already"):
        compile_model(model, out, version)


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
