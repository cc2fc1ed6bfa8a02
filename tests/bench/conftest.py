"""A small real version for measuring: pictures with coloured squares; and a complete Report to change."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bench_fakes import COLOURS, SIZE

from sightline.bench.records import (
    Accuracy,
    DatasetFacts,
    EnergyResult,
    LatencyResult,
    LoadResult,
    MemoryResult,
    PrecisionRecall,
    ReportContent,
    SpeedPlan,
    SubjectFacts,
    ThroughputPoint,
)
from sightline.bench.timing import compute_spread
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import encode_image


@pytest.fixture
def squares_version(tmp_path: Path) -> DatasetVersion:
    """Six pictures of the split "test", each with one red and one blue square; the last two have no annotations."""
    blobs = BlobStore(tmp_path / "blobs")
    with VersionWriter(tmp_path / "version", "squares", Categories(COLOURS), blobs) as writer:
        for number in range(6):
            image = np.full((SIZE, SIZE, 3), 128, np.uint8)
            boxes = {"red": (4, 4 + number, 20, 20 + number), "blue": (36, 30, 56, 50)}
            for name, (x0, y0, x1, y1) in boxes.items():
                image[y0:y1, x0:x1] = COLOURS[name]
            annotations = tuple(Annotation(category=name, box_xyxy=tuple(map(float, box))) for name, box in boxes.items())
            writer.add(
                Item(
                    blob=blobs.put_bytes(encode_image(image, "png")),
                    file_name=f"{number}.png",
                    width=SIZE,
                    height=SIZE,
                    split="test" if number < 4 else "new",
                    annotations=annotations if number < 4 else (),
                )
            )
        return writer.close()


@pytest.fixture
def make_content() -> Callable[..., ReportContent]:
    """Makes a complete Report's content; keywords replace fields."""

    def make(**changes: object) -> ReportContent:
        fields: dict[str, object] = {
            "name": "parts",
            "subject": SubjectFacts(kind="artifact", task="detection", categories=("a", "b"), precision="int8"),
            "dataset": DatasetFacts(name="parts", version="c0ffee" * 10, split="test", images=10, images_in_split=10),
            "seed": 0,
            "host": {
                "cpu": "A CPU",
                "cores": 2,
                "memory_bytes": 8e9,
                "system": "Linux 6",
                "python": "3.11.2",
                "packages": {"numpy": "2.1"},
            },
            "created_at": "2026-11-21T08:00:00+00:00",
            "plan": SpeedPlan(batch_sizes=(1,), streams=(1,), point_s=1.0, repeats=3, pictures=4),
            "accuracy": Accuracy(
                primary_name="map",
                primary=0.5,
                values={"map": 0.5, "map50": 0.8},
                per_category={"a": {"ap": 0.4}, "b": {"ap": 0.6}},
                curves=(PrecisionRecall(category="a", recall=(0.0, 0.5), precision=(1.0, 0.75)),),
            ),
            "latency": (
                LatencyResult(
                    stage="end_to_end",
                    batch_size=1,
                    ms=compute_spread([4.0, 5.0, 6.0]),
                    cpu_ms=7.0,
                    samples_ms=(4.0, 5.0, 6.0),
                ),
            ),
            "throughput": (
                ThroughputPoint(
                    batch_size=1,
                    streams=1,
                    threads=2,
                    feeding="calls",
                    images_per_s=200.0,
                    repeats=(190.0, 200.0, 220.0),
                    cpu_ms_per_image=8.0,
                    joules_per_image=None,
                ),
            ),
            "memory": MemoryResult(
                kind="pss", before_bytes=100_000_000, after_bytes=130_000_000, peak_rss_bytes=None, opening_bytes=20_000_000
            ),
            "energy": EnergyResult(reason="no counter"),
            "load": LoadResult(average_before=0.1, average_after=0.2, other_cores=0.0),
        }
        return ReportContent(**(fields | changes))  # type: ignore[arg-type]

    return make
