import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
from bench_fakes import ColourDetector

from sightline.bench.energy import EnergyMeter
from sightline.bench.speed import Lane, measure_latency, measure_throughput, open_lanes
from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.imaging.files.reading import encode_image


@pytest.fixture
def contents() -> list[bytes]:
    return [encode_image(np.full((8, 8, 3), 60 * index, np.uint8), "png") for index in range(3)]


class StreamingDetector(ColourDetector):
    """Also streams and runs its network alone, like the runtime's Predictor."""

    input = InputSpec(width=4, height=4)
    batch = 1

    def __init__(self) -> None:
        super().__init__()
        self.streamed = 0
        self.tensor_shapes: set[tuple[int, ...]] = set()

    def predict_stream(
        self, pictures: Iterable[bytes], confidence_threshold: float | None = None
    ) -> Iterator[list[Annotation]]:
        for _ in pictures:
            self.streamed += 1
            yield []

    def predict_raw(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self.tensor_shapes.add(batch.shape)
        return {}


def test_latency_has_a_result_per_batch_size_and_the_calls_have_that_size(contents: list[bytes]) -> None:
    subject = ColourDetector()
    results = measure_latency(subject, contents, (1, 5), seconds=0.01, is_remote=False)
    assert [(result.stage, result.batch_size) for result in results] == [("end_to_end", 1), ("end_to_end", 5)]
    assert set(subject.calls) == {1, 5}
    for result in results:
        assert result.ms.count >= 10
        assert len(result.samples_ms) == result.ms.count
        assert 0 < result.ms.p50 <= result.ms.p90 <= result.ms.p99 <= result.ms.maximum
        assert result.cpu_ms is not None


def test_the_network_alone_is_timed_where_the_subject_lets_us(contents: list[bytes]) -> None:
    subject = StreamingDetector()
    results = measure_latency(subject, contents, (2,), seconds=0.01, is_remote=False)
    assert [result.stage for result in results] == ["end_to_end", "network"]
    assert subject.tensor_shapes == {(2, 3, 4, 4)}


def test_cpu_seconds_of_a_remote_subject_are_not_claimed(contents: list[bytes]) -> None:
    assert measure_latency(ColourDetector(), contents, (1,), seconds=0.01, is_remote=True)[0].cpu_ms is None


def test_a_subject_that_cannot_be_reopened_is_measured_as_it_is_and_the_rest_is_noted() -> None:
    lanes, notes = open_lanes(ColourDetector(), (1, 2), cores=2, open_variant=None, is_remote=False)
    assert [lane.streams for lane in lanes] == [1]
    assert len(notes) == 1
    assert "2 streams was not measured" in notes[0]


def test_a_predictor_of_several_streams_is_measured_with_its_own() -> None:
    subject = ColourDetector()
    subject.streams = 2  # type: ignore[attr-defined]
    lanes, notes = open_lanes(subject, (1, 2), cores=2, open_variant=None, is_remote=False)
    assert [lane.streams for lane in lanes] == [2]
    assert "1 streams was not measured" in notes[0]
    assert [lane.streams for lane in open_lanes(subject, (4,), 2, None, is_remote=False)[0]] == [2]


def test_variants_share_the_cores_among_their_streams() -> None:
    asked: list[tuple[int, int]] = []

    def open_variant(streams: int, threads: int) -> ColourDetector:
        asked.append((streams, threads))
        return ColourDetector()

    open_lanes(ColourDetector(), (1, 2, 8), cores=4, open_variant=open_variant, is_remote=False)
    assert asked == [(1, 4), (2, 2), (8, 1)]


def test_a_remote_subject_gets_as_many_callers_as_streams(contents: list[bytes]) -> None:
    names: set[str] = set()

    class Remote(ColourDetector):
        def predict_encoded(
            self, contents: Sequence[bytes], confidence_threshold: float | None = None
        ) -> list[list[Annotation]]:
            names.add(threading.current_thread().name)
            return [[] for _ in contents]

    lanes, notes = open_lanes(Remote(), (3,), cores=2, open_variant=None, is_remote=True)
    points = measure_throughput(lanes, contents, (1,), 0.03, 1, np.random.default_rng(0), EnergyMeter())
    assert names == {"caller-0", "caller-1", "caller-2"}
    assert notes == []
    assert points[0].cpu_ms_per_image is None


def test_every_cell_of_the_sweep_has_its_repeats_and_the_median_stands(contents: list[bytes]) -> None:
    lanes = [Lane(subject=ColourDetector(), streams=streams, threads=1, is_remote=False) for streams in (1, 2)]
    points = measure_throughput(lanes, contents, (1, 4), 0.06, 3, np.random.default_rng(0), EnergyMeter())
    assert [(point.batch_size, point.streams) for point in points] == [(1, 1), (4, 1), (1, 2), (4, 2)]
    for point in points:
        assert len(point.repeats) == 3
        assert point.images_per_s == pytest.approx(sorted(point.repeats)[1], abs=1e-3)
        assert point.feeding == "calls"


def test_single_pictures_go_through_the_subjects_own_stream(contents: list[bytes]) -> None:
    subject = StreamingDetector()
    lane = Lane(subject=subject, streams=1, threads=1, is_remote=False)
    points = measure_throughput([lane], contents, (1, 2), 0.02, 1, np.random.default_rng(0), EnergyMeter())
    assert [point.feeding for point in points] == ["stream", "calls"]
    assert subject.streamed > 0
    assert set(subject.calls) == {2}


def test_a_stream_of_batches_is_not_taken_for_single_pictures(contents: list[bytes]) -> None:
    subject = StreamingDetector()
    subject.batch = 4  # as an Artifact was tuned
    lane = Lane(subject=subject, streams=1, threads=1, is_remote=False)
    points = measure_throughput([lane], contents, (1,), 0.02, 1, np.random.default_rng(0), EnergyMeter())
    assert [point.feeding for point in points] == ["calls"]
    assert (subject.streamed, set(subject.calls)) == (0, {1})


def test_an_error_of_a_caller_is_raised_and_not_swallowed(contents: list[bytes]) -> None:
    class Broken(ColourDetector):
        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            raise InvalidInput("broken on purpose")

    lane = Lane(subject=Broken(), streams=2, threads=1, is_remote=False)
    with pytest.raises(InvalidInput, match="broken on purpose"):
        measure_throughput([lane], contents, (1,), 0.02, 1, np.random.default_rng(0), EnergyMeter())


def test_no_pictures_are_refused() -> None:
    with pytest.raises(InvalidInput, match="expected pictures"):
        measure_latency(ColourDetector(), [], (1,), seconds=0.01, is_remote=False)
