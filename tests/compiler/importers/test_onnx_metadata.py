"""What ONNX files say of their input and categories is understood, and never evaluated."""

from pathlib import Path

import pytest
from import_checks import input_shape
from onnx_toys import import_model, toy


def test_ultralytics_metadata_is_understood(tmp_path: Path) -> None:
    entries = {
        "author": "Ultralytics",
        "names": "{1: 'dog', 0: \"cat's\"}",
        "imgsz": "[32, 64]",
        "stride": "32",
        "task": "detect",
    }
    imported = import_model(toy(**entries), tmp_path)
    assert imported.categories == ("cat's", "dog")
    assert (imported.stated.colour, imported.stated.std, imported.stated.resize) == ("RGB", (255.0,) * 3, "letterbox")
    assert input_shape(imported.graph) == (3, 32, 64)


@pytest.mark.parametrize(
    ("entries", "resize"),
    [
        ({"author": "Ultralytics", "task": "detect", "description": "Ultralytics RT-DETR-l model"}, "stretch"),
        ({"author": "Ultralytics", "task": "detect", "description": "Ultralytics YOLO11n model"}, "letterbox"),
        ({"author": "Ultralytics", "task": "classify", "description": "Ultralytics YOLO11n-cls model"}, "centre_crop"),
    ],
)
def test_each_network_of_ultralytics_is_resized_as_its_own_code_does(
    entries: dict[str, str], resize: str, tmp_path: Path
) -> None:
    assert import_model(toy(**entries), tmp_path).stated.resize == resize


def test_plain_metadata_is_understood_and_brought_to_pixels(tmp_path: Path) -> None:
    imported = import_model(toy(mean="[0.5, 0.25, 0.125]", std="0.5 0.25 0.2", classes='["a", "b"]'), tmp_path)
    assert imported.stated.mean == pytest.approx((127.5, 63.75, 31.875))
    assert imported.stated.std == pytest.approx((127.5, 63.75, 51.0))
    assert imported.categories == ("a", "b")


def test_metadata_is_never_evaluated(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    imported = import_model(toy(names=f"[{code}]", mean=code, std=code), tmp_path)
    assert imported.categories is None
    assert imported.stated.mean is None
    assert not marker.exists()
