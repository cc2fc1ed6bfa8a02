from importlib import metadata

import pytest
from cli_fixtures import Run

from sightline.cli.commands import doctor
from sightline.compiler.importers import table
from sightline.compiler.tuning import probes


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBES", ("gemm",))
    monkeypatch.setattr(probes, "REPETITIONS", 1)
    monkeypatch.setattr(probes, "REPETITION_SECONDS", 0.005)


def test_every_engine_and_precision_gets_a_measured_ceiling(run: Run) -> None:
    ran = run("doctor", "--json")
    assert ran.code == 0, ran.err
    precisions = {engine["engine"]: engine["precisions"] for engine in ran.json["engines"]}
    measured = {(row["engine"], row["precision"]) for row in ran.json["ceilings"]}
    assert measured == {(engine, one) for engine in ("onnxruntime", "openvino", "torch") for one in precisions[engine]}
    assert all(row["gflops"] > 0 for row in ran.json["ceilings"])
    assert {row["probe"] for row in ran.json["ceilings"] if row["device"] == "cpu"} == {"gemm"}


def test_the_ceilings_are_shown_as_a_table(run: Run) -> None:
    text = run("doctor").out
    for words in ("GFLOP/s", "Device", "Precision", "openvino", "onnxruntime", "int8"):
        assert words in text


def test_quick_leaves_the_probes_out(run: Run) -> None:
    ran = run("doctor", "--quick", "--json")
    assert ran.json["ceilings"] is None and ran.json["speed"] is None
    assert "measuring" not in ran.err


def test_importers_say_what_they_miss(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ready:
        def missing(self) -> None:
            return None

    class Lacking:
        def missing(self) -> str:
            return "needs absent; pip install 'sightline[absent]'"

    monkeypatch.setattr(doctor, "Ready", Ready, raising=False)
    monkeypatch.setattr(doctor, "Lacking", Lacking, raising=False)
    places = {"a": f"{doctor.__name__}:Ready", "b": f"{doctor.__name__}:Lacking", "c": "sightline.compiler.importers.absent:X"}
    monkeypatch.setattr(table, "IMPORTERS", places)
    ran = run("doctor", "--quick", "--json")
    assert ran.json["importers"] == [
        {"framework": "a", "missing": None},
        {"framework": "b", "missing": "needs absent; pip install 'sightline[absent]'"},
    ]
    assert "needs absent" in run("doctor", "--quick").out


def test_extras_are_checked_against_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "numpy>=2.1",
        "onnx>=1.21; extra == 'compile'",
        "no-such-package>=1; extra == 'compile'",
        'sightline[compile]; extra == "tflite"',
        "no-such-package; extra == 'dev'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: requirements)
    assert doctor.check_extras() == [
        {"extra": "compile", "missing": ["no-such-package"]},
        {"extra": "tflite", "missing": []},
    ]


def test_a_missing_extra_is_named_with_its_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "check_extras", lambda: [{"extra": "fpga", "missing": ["hls4ml"]}])
    assert "extras not installed: fpga; pip install 'sightline[fpga]'" in run("doctor", "--quick").out


def test_an_engine_that_is_not_installed_is_missing_and_one_without_its_device_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.core.errors import MissingPackage, Unsupported
    from sightline.runtime.backends import table

    errors = {"torch": Unsupported("there is no GPU"), "hls4ml": MissingPackage("hls4ml is not installed")}

    def load(name: str) -> object:
        if name in errors:
            raise errors[name]
        return table.make_backend(name)

    monkeypatch.setattr(table, "load_backend", load)
    found = {row["engine"]: (row["missing"], row["absent"]) for row in doctor.check_engines()}
    assert found["torch"] == (None, "there is no GPU")
    assert found["hls4ml"] == ("hls4ml is not installed", None)
    assert found["reference"] == (None, None)


def test_what_compiles_for_minutes_is_not_probed() -> None:
    engines = [{"engine": "inductor", "device": "cuda", "precisions": ["fp16"]}]
    assert doctor.probe_ceilings(engines, lambda event: None) == []
