"""What the command line says on an install without an extra."""

import sys
from pathlib import Path

import pytest
from cli_fixtures import Run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("train", "parts", "--task", "detection"), "training needs torch; pip install 'sightline[train]'"),
        (("train", "parts", "--task", "unknown"), "training needs torch; pip install 'sightline[train]'"),
        (("demo", "--folder", "demo"), "the demo needs torch; pip install 'sightline[train,compile]'"),
    ],
)
def test_without_torch_what_trains_says_what_to_install_and_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], line: str
) -> None:
    run("sample", "parts", "--count", "20")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setitem(sys.modules, "torch", None)
    refused = run(*arguments)
    assert (refused.code, refused.err) == (5, f"error: {line}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_doctor_names_what_is_missing_and_the_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.cli.commands import doctor

    monkeypatch.setattr(doctor, "NEEDS", {"train": (("absent_package",), "train")})
    ran = run("doctor", "--quick", "--json")
    assert ran.code == 0
    assert ran.json["healthy"] is False
    assert "train needs absent_package: pip install 'sightline[train]'" in ran.json["advice"]
    assert [engine["engine"] for engine in ran.json["engines"]] == [
        "reference",
        "onnxruntime",
        "openvino",
        "torch",
        "inductor",
        "hls4ml",
        "hetero",
    ]
