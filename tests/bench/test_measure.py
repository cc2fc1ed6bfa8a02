from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench_fakes import ColourDetector

from sightline.bench.measure import measure_predictor
from sightline.bench.records import ReportContent
from sightline.bench.reports import Report, read_report
from sightline.core.errors import InvalidInput
from sightline.core.workspace import Workspace
from sightline.data.versions import DatasetVersion

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
    assert [streams for streams, _ in opened] == [1, 1, 2], "once to weigh it, then once per stream count"
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
    raw = msgspec.json.decode((tmp_path / "report" / "report.json").read_bytes())
    assert raw["accuracy"]["primary"] == pytest.approx(1.0)
    assert raw["energy"]["joules_per_image"] is None or raw["energy"]["source"]


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
    assert (report.content.dataset.images, report.content.dataset.images_in_split) == (2, 4)


def test_a_subject_without_precision_is_refused_before_anything_is_measured(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    class Vague(ColourDetector):
        precision = None  # type: ignore[assignment]

    detector = Vague()
    with pytest.raises(InvalidInput, match="precision"):
        measure_predictor(detector, squares_version, out=tmp_path / "report", **QUICK)
    assert detector.calls == []


@pytest.mark.parametrize(
    "wrong", [{"batch_sizes": ()}, {"batch_sizes": (0,)}, {"streams": (1, 1)}, {"point_s": 0}, {"repeats": 0}]
)
def test_a_senseless_plan_is_refused(squares_version: DatasetVersion, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        measure_predictor(ColourDetector(), squares_version, out=tmp_path / "report", **(QUICK | wrong))
