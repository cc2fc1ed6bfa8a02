import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sightline.compiler.importers.table import IMPORTERS, NETWORK_SUFFIXES, find_importer
from sightline.core.errors import MissingPackage
from sightline.imaging.files.reading import encode_image

WITHOUT_ONNX = "import sys; sys.modules['onnx'] = None; from sightline.cli.main import run_arguments; "


def hide_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)


@pytest.mark.parametrize("suffix", sorted(NETWORK_SUFFIXES))
def test_without_onnx_a_networks_file_names_the_extra(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_onnx(monkeypatch)
    with pytest.raises(MissingPackage, match=r"pip install 'sightline\[compile\]'"):
        find_importer(Path(f"network{suffix}"))


def test_without_onnx_networks_are_known_by_what_they_begin_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An OpenVINO IR is XML, as labels are; a SavedModel is a folder, as a dataset is."""
    hide_onnx(monkeypatch)
    (tmp_path / "net.xml").write_text('<?xml version="1.0"?><net name="net" version="11"/>')
    (tmp_path / "net.bin").write_bytes(b"")
    (tmp_path / "label.xml").write_text("<annotation/>")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    for name in ("net.xml", "net.bin", "saved"):
        with pytest.raises(MissingPackage, match=r"reading networks needs onnx; pip install 'sightline\[compile\]'"):
            find_importer(tmp_path / name)
    assert find_importer(tmp_path / "label.xml") is None


def test_without_onnx_anything_else_is_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide_onnx(monkeypatch)
    assert find_importer(tmp_path) is None


def test_pictures_are_imported_on_an_install_without_onnx(tmp_path: Path) -> None:
    for name in ("red", "blue"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.png").write_bytes(encode_image(np.zeros((8, 8, 3), np.uint8), "png"))
    code = f"{WITHOUT_ONNX}sys.exit(run_arguments(['import', 'set', '--name', 'parts', '--workspace', 'ws']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "dataset parts@" in done.stdout


def test_nothing_in_an_empty_folder_is_a_network(tmp_path: Path) -> None:
    assert len(IMPORTERS) == 8
    assert find_importer(tmp_path) is None
