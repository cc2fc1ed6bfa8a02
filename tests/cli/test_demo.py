from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sightline.bench.timing import compute_spread
from sightline.cli.commands import demo
from sightline.cli.commands.demo import prepare_folder, size_mb
from sightline.core.errors import Conflict
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.core.workspace import Workspace


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "demo")
    (tmp_path / "demo" / "old.txt").touch()
    prepare_folder(tmp_path / "demo")
    assert not (tmp_path / "demo" / "old.txt").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(Conflict, match="--folder"):
        prepare_folder(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.slow
def test_ctrl_c_in_the_training_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts = 0

    @contextmanager
    def press_ctrl_c_once() -> Iterator[OnProgress]:
        def on_progress(event: ProgressEvent) -> None:
            nonlocal interrupts
            if event.metrics.get("step", 0) >= 1 and not interrupts:
                interrupts += 1
                raise KeyboardInterrupt

        yield on_progress

    monkeypatch.setattr(demo, "show_progress", press_ctrl_c_once)
    home = Workspace(tmp_path)
    version = demo.generate(home, 20, seed=0)
    with pytest.raises(KeyboardInterrupt):
        demo.train(home, version, "100000it", seed=0)
    assert interrupts == 1 and home.names("models") == []


@pytest.mark.parametrize(("calls", "words"), [(99, " (of 99 calls)"), (100, "")])
def test_a_99th_percentile_of_few_calls_is_told_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int, words: str
) -> None:
    result = SimpleNamespace(stage="end_to_end", batch_size=1, ms=compute_spread([2.0] * calls))
    content = SimpleNamespace(
        accuracy=SimpleNamespace(primary_name="map", primary=0.5),
        latency=[result],
        throughput=[SimpleNamespace(images_per_s=9.0)],
        subject=SimpleNamespace(engine="openvino"),
    )
    manifest = SimpleNamespace(precision="int8", engine="openvino", graph_file="model.xml")
    monkeypatch.setattr("sightline.core.folders.read_manifest", lambda folder, kind: manifest)
    monkeypatch.setattr(demo, "size_mb", lambda folder, graph_file: 1.0)
    reports: list[Any] = [SimpleNamespace(content=content)] * 2
    rows = {row[0]: row[1:] for row in demo.compare(*reports, tmp_path, tmp_path)}
    assert rows[f"latency p99 of one picture, ms{words}"] == [2.0, 2.0, 1.0]


def test_the_size_of_a_graph_counts_its_weights_file(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"x" * 1000)
    assert size_mb(tmp_path, "model.xml") == pytest.approx(0.001)
    (tmp_path / "model.bin").write_bytes(b"x" * 9000)
    assert size_mb(tmp_path, "model.xml") == pytest.approx(0.01)
