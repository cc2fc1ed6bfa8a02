from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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


def test_the_size_of_a_graph_counts_its_weights_file(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"x" * 1000)
    assert size_mb(tmp_path, "model.xml") == pytest.approx(0.001)
    (tmp_path / "model.bin").write_bytes(b"x" * 9000)
    assert size_mb(tmp_path, "model.xml") == pytest.approx(0.01)
