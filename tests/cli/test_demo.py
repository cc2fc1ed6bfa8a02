from pathlib import Path

import pytest

from sightline.cli.commands.demo import prepare_folder, size_mb
from sightline.core.errors import Conflict


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


def test_the_size_of_a_graph_counts_its_weights_file(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"x" * 1000)
    assert size_mb(tmp_path, "model.xml") == pytest.approx(0.001)
    (tmp_path / "model.bin").write_bytes(b"x" * 9000)
    assert size_mb(tmp_path, "model.xml") == pytest.approx(0.01)
