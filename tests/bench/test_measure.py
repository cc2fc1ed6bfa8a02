from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from bench_fakes import COLOURS, ColourDetector
from onnx import TensorProto, helper, numpy_helper
from sweep_fakes import make_pictures, write_artifact

import sightline
from sightline.bench.annotating import annotate_version
from sightline.bench.comparing import compare_reports
from sightline.bench.measure import measure_predictor
from sightline.bench.records import ReportContent
from sightline.bench.reports import Report, read_report
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, InvalidInput
from sightline.core.folders import hash_files, read_manifest, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, ModelManifest, compute_manifest_id
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.runtime.backends.openvino import OpenVinoSession, PlanKey
from sightline.runtime.predictor import open_predictor

QUICK: dict[str, Any] = {"point_s": 0.03, "repeats": 1, "batch_sizes": (1, 2)}


def test_a_report_holds_all_that_was_asked_for(squares_version: DatasetVersion, tmp_path: Path) -> None:
    opened: list[tuple[int, int]] = []

    def open_variant(streams: int, threads: int) -> ColourDetector:
        opened.append((streams, threads))
        return ColourDetector()

    detector = ColourDetector(blind_to=["red"])
    report = measure_predictor(
        detector, squares_version, out=tmp_path / "report", open_variant=open_variant, name="blind", **QUICK
    )
    content = report.content
    assert content.accuracy.primary == pytest.approx(0.5)
    assert [(result.stage, result.batch_size) for result in content.latency] == [("end_to_end", 1), ("end_to_end", 2)]
    assert {(point.batch_size, point.streams) for point in content.throughput} == {(1, 1), (2, 1), (1, 2), (2, 2)}
    assert [streams for streams, _ in opened] == [1, 1, 1, 2], "once for latency, once to weigh it, then once per stream count"
    assert content.memory is not None
    assert content.memory.opening_bytes is not None
    assert content.dataset is not None
    assert (content.dataset.version, content.dataset.images) == (squares_version.id, 4)
    assert [mistake.caption for mistake in content.mistakes] == ["1 missed, 0 wrong, 1 right"] * 4
    assert (content.energy.joules_per_image is None) == bool(content.energy.reason)
    assert report.manifest.precision == "fp32"


def test_what_is_saved_is_what_was_measured(squares_version: DatasetVersion, tmp_path: Path) -> None:
    report = measure_predictor(ColourDetector(), squares_version, out=tmp_path / "report", **QUICK)
    assert read_report(tmp_path / "report").content == report.content
    blind = measure_predictor(ColourDetector(blind_to=["red"]), squares_version, out=tmp_path / "blind", **QUICK)
    resamples = report.read_resamples(), blind.read_resamples()
    numbers = {one.name: one for one in compare_reports(report.content, blind.content, resamples).numbers}
    # Four pictures, each with a red and a blue square: all resamples lose all red ones, and the rule of three tells how sure.
    assert numbers["red: ap"].difference_interval == pytest.approx((-1.0, -0.25))
    assert numbers["map"].difference_interval == pytest.approx((-1.0, 0.25))
    assert (numbers["blue: f1"].difference_interval, numbers["blue: f1"].no_interval) == (None, "unchanged")
    assert "resamples.npz" in report.manifest.files
    raw = msgspec.json.decode((tmp_path / "report" / "report.json").read_bytes())
    assert raw["accuracy"]["primary"] == pytest.approx(1.0)
    assert raw["energy"]["joules_per_image"] is None or raw["energy"]["source"]


def test_a_folder_may_be_text(squares_version: DatasetVersion, tmp_path: Path) -> None:
    report = measure_predictor(ColourDetector(), squares_version, out=str(tmp_path / "report"), **QUICK)
    assert report.folder == tmp_path / "report"
    with pytest.raises(Conflict):
        measure_predictor(ColourDetector(), squares_version, out=str(tmp_path / "report"), **QUICK)


def test_a_predictor_that_cannot_be_reopened_is_measured_with_a_note(squares_version: DatasetVersion, tmp_path: Path) -> None:
    content = measure_predictor(ColourDetector(), squares_version, out=Workspace(tmp_path), **QUICK).content
    assert {point.streams for point in content.throughput} == {1}
    assert any("2 streams was not measured" in note for note in content.notes)
    assert content.memory is not None
    assert content.memory.opening_bytes is None


def test_variants_are_closed_also_when_measuring_fails(squares_version: DatasetVersion, tmp_path: Path) -> None:
    closed: list[int] = []

    class Closing(ColourDetector):
        def close(self) -> None:
            closed.append(1)

        def predict(self, *arguments: Any, **options: Any) -> Any:
            raise InvalidInput("broken on purpose")

    with pytest.raises(InvalidInput, match="broken on purpose"):
        measure_predictor(
            ColourDetector(), squares_version, out=tmp_path / "report", open_variant=lambda streams, threads: Closing(), **QUICK
        )
    assert closed
    assert not (tmp_path / "report").exists()


def test_a_remote_subject_claims_no_memory_cpu_or_energy(squares_version: DatasetVersion, tmp_path: Path) -> None:
    class Remote(ColourDetector):
        url = "http://127.0.0.1:8000"

    content: ReportContent = measure_predictor(Remote(), squares_version, out=tmp_path / "report", **QUICK).content
    assert content.subject.kind == "deployment"
    assert content.memory is None
    assert {result.cpu_ms for result in content.latency} == {None}
    assert content.energy.joules_per_image is None
    assert any("over HTTP" in note for note in content.notes)


def test_fewer_pictures_are_drawn_and_said(squares_version: DatasetVersion, tmp_path: Path) -> None:
    report: Report = measure_predictor(ColourDetector(), squares_version, out=tmp_path / "report", max_images=2, **QUICK)
    assert report.content.dataset is not None
    facts = report.content.dataset
    assert (facts.images, facts.drawn, facts.images_in_split) == (2, 2, 4)


def test_pictures_that_a_model_labelled_are_left_out_and_the_report_says_so(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    annotated = annotate_version(squares_version, ColourDetector(), out=tmp_path / "annotated").version
    report = measure_predictor(ColourDetector(), annotated, None, out=tmp_path / "report", **QUICK)
    assert report.content.dataset is not None
    facts = report.content.dataset
    assert (facts.images, facts.drawn, facts.images_in_split) == (4, 6, 6)
    assert report.content.plan.pictures == 4
    assert "2 pictures were left out" in report.page.read_text()


def test_a_subject_without_precision_is_refused_before_anything_is_measured(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    class Vague(ColourDetector):
        precision = None  # type: ignore[assignment]

    detector = Vague()
    with pytest.raises(InvalidInput, match="precision"):
        measure_predictor(detector, squares_version, out=tmp_path / "report", **QUICK)
    assert detector.calls == []


def test_a_folder_that_exists_is_refused_before_anything_is_measured(squares_version: DatasetVersion, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    detector = ColourDetector()
    with pytest.raises(Conflict, match="report exists already"):
        measure_predictor(detector, squares_version, out=tmp_path / "report", **QUICK)
    assert detector.calls == []


@pytest.mark.parametrize(
    "wrong", [{"batch_sizes": ()}, {"batch_sizes": (0,)}, {"streams": (1, 1)}, {"point_s": 0}, {"repeats": 0}]
)
def test_a_senseless_plan_is_refused(squares_version: DatasetVersion, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        measure_predictor(ColourDetector(), squares_version, out=tmp_path / "report", **(QUICK | wrong))


def make_colour_classifier(folder: Path) -> None:
    """A Model folder whose graph averages each channel and answers "red" or "blue" by the larger mean."""
    weights = numpy_helper.from_array(np.array([[1, 0, 0], [0, 0, 1]], np.float32).reshape(2, 3, 1, 1), "weights")
    nodes = [
        helper.make_node("Conv", ["images", "weights"], ["mixed"]),
        helper.make_node("ReduceMean", ["mixed"], ["logits"], axes=[2, 3], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])]
    graph = helper.make_graph(nodes, "colours", inputs, outputs, [weights])
    folder.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
    manifest = ModelManifest(
        name="colours",
        task="classification",
        network="by hand",
        categories=("red", "blue"),
        input=InputSpec(width=8, height=8, resize="stretch", std=(1.0, 1.0, 1.0)),
        decode=DecodeSpec(head="softmax", outputs=("logits",), confidence_threshold=0.5),
        parameter_count=6,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)


def test_a_model_folder_is_measured_with_its_id_and_opened_for_each_stream_count(tmp_path: Path) -> None:
    make_colour_classifier(tmp_path / "model")
    blobs = BlobStore(tmp_path / "blobs")
    with VersionWriter(tmp_path / "version", "patches", Categories(["red", "blue"]), blobs) as writer:
        for number, (colour, label) in enumerate([("red", "red"), ("blue", "blue"), ("red", "blue"), ("blue", "blue")]):
            content = encode_image(np.full((16, 16, 3), COLOURS[colour], np.uint8), "png")
            truth = (Annotation(category=label),)
            name = f"{number}.png"
            writer.add(
                Item(blob=blobs.put_bytes(content), file_name=name, width=16, height=16, split="test", annotations=truth)
            )
        version = writer.close()
    with open_predictor(tmp_path / "model", threads=1) as predictor:
        report = measure_predictor(predictor, version, folder=tmp_path / "model", out=tmp_path / "report", **QUICK)
    content = report.content
    assert content.accuracy.values["top1"] == pytest.approx(0.75)  # one of four patches has the wrong label
    assert content.accuracy.confusion == [[1, 0], [1, 2]]  # truth red: 1 right; truth blue: 1 taken for red, 2 right
    assert [(mistake.file_name, mistake.caption) for mistake in content.mistakes] == [("2.png", "blue, taken for red (1.00)")]
    assert (content.subject.kind, content.subject.precision, content.subject.engine) == ("model", "fp32", "openvino")
    assert content.subject.id == compute_manifest_id(read_manifest(tmp_path / "model", ModelManifest))
    assert {result.stage for result in content.latency} == {"end_to_end", "network"}
    feeding = {(point.batch_size, point.streams): point.feeding for point in content.throughput}
    assert feeding == {(1, 1): "stream", (2, 1): "calls", (1, 2): "stream", (2, 2): "calls"}
    assert content.notes == ()


def write_tuned_artifact(folder: Path) -> Path:
    """An Artifact for OpenVINO, tuned for four pictures an inference."""
    write_artifact(folder, engine="openvino")
    manifest = read_manifest(folder, ArtifactManifest)
    (folder / "manifest.json").unlink()
    write_manifest(folder, msgspec.structs.replace(manifest, batch=4))
    return folder


def test_a_row_of_batch_one_runs_one_picture_an_inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streamed: set[int] = set()
    stream = OpenVinoSession.stream

    def watch(self: OpenVinoSession, inputs: Iterable[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        for outputs in stream(self, inputs):
            streamed.add(len(outputs["logits"]))
            yield outputs

    monkeypatch.setattr(OpenVinoSession, "stream", watch)
    version = make_pictures(tmp_path, [("test", "red", "red"), ("test", "blue", "blue")] * 3)
    artifact = write_tuned_artifact(tmp_path / "artifact")
    with open_predictor(artifact) as predictor:
        content = measure_predictor(predictor, version, folder=artifact, out=tmp_path / "report", **QUICK).content
        assert predictor.batch == 4
    feeding = {(point.batch_size, point.streams): point.feeding for point in content.throughput}
    assert feeding == {(1, 1): "stream", (2, 1): "calls", (1, 2): "stream", (2, 2): "calls"}
    assert streamed == {1}


def test_every_stage_and_batch_size_is_timed_on_a_plan_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan for any shape takes 1.3 times as long: see `runtime.backends.openvino`."""
    compiled: list[PlanKey] = []
    compile_plan = OpenVinoSession._plan

    def watch(self: OpenVinoSession, key: PlanKey) -> Any:
        compiled.append(key)
        return compile_plan(self, key)

    monkeypatch.setattr(OpenVinoSession, "_plan", watch)
    version = make_pictures(tmp_path, [("test", "red", "red"), ("test", "blue", "blue")] * 3)
    artifact = write_tuned_artifact(tmp_path / "artifact")
    quick = QUICK | {"batch_sizes": (1, 2, 3, 5, 40), "streams": (1,)}
    with open_predictor(artifact) as predictor:
        measure_predictor(predictor, version, folder=artifact, out=tmp_path / "report", **quick)
    shapes = [shapes for shapes, _ in compiled]
    assert None not in shapes
    tensors = {shapes[0][0] for shapes, is_pixels in compiled if shapes is not None and not is_pixels}
    assert tensors == {1, 2, 3, 5, 40}  # of the network alone


def test_throughput_is_measured_with_the_threads_of_the_settings(
    squares_version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[int, int]] = []

    def open_variant(streams: int, threads: int) -> ColourDetector:
        opened.append((streams, threads))
        return ColourDetector()

    monkeypatch.setenv("SIGHTLINE_THREADS", "7")
    measure_predictor(ColourDetector(), squares_version, out=tmp_path / "report", open_variant=open_variant, **QUICK)
    assert opened == [(1, 7), (1, 7), (1, 7), (2, 3)]


def test_what_load_opens_is_measured_as_what_its_folder_holds(tmp_path: Path) -> None:
    version = make_pictures(tmp_path, [("test", "red", "red"), ("test", "blue", "blue")] * 2)
    artifact = write_artifact(tmp_path / "artifact", engine="openvino")
    with sightline.load(artifact) as predictor:
        content = measure_predictor(predictor, version, out=tmp_path / "report", **QUICK).content
    manifest = read_manifest(artifact, ArtifactManifest)
    assert (content.subject.kind, content.subject.name) == ("artifact", manifest.name)
    assert content.subject.id == compute_manifest_id(manifest)
    assert {result.stage for result in content.latency} == {"end_to_end", "network"}
    assert {point.streams for point in content.throughput} == {1, 2}
    assert content.notes == ()
