"""Compiling for an NVIDIA GPU, from the request to the Artifact that predicts; without a GPU its engine runs on the CPU."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from sightline.compiler.compile import CompileResult, compile_model
from sightline.compiler.request import choose_precision
from sightline.compiler.tuning import probes
from sightline.core.errors import Exhausted, MissingPackage, NotFound, Unsupported
from sightline.core.folders import read_manifest, write_manifest
from sightline.core.manifests import ModelManifest
from sightline.data.versions import DatasetVersion
from sightline.runtime.backend import SessionOptions, check_openable
from sightline.runtime.backends.cuda.backend import InductorBackend, TorchBackend
from sightline.runtime.backends.cuda.session import TorchSession
from sightline.runtime.devices import DEVICES
from sightline.runtime.predictor import open_predictor

HAS_GPU = torch.cuda.is_available()


def open_on_cpu(backend: TorchBackend, graph: Path, options: SessionOptions) -> TorchSession:
    check_openable(backend, graph, options)
    return TorchSession(graph, options, torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def gpu() -> "pytest.MonkeyPatch":  # type: ignore[misc]
    """The engine `torch` alone, which compiles nothing; on the CPU where there is no GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DEVICES, "cuda", msgspec.structs.replace(DEVICES["cuda"], engines=("torch",), batches=(1, 4)))
        patch.setattr(probes, "GPU_SHAPES", {"gemm": probes.ProbeShape(None, 32, 4, 1, 8)})
        if not HAS_GPU:
            patch.setattr(TorchBackend, "absent", lambda self: None)
            patch.setattr(TorchBackend, "open", open_on_cpu)
            patch.setattr(TorchBackend, "describe_device", lambda self: {"gpu": "none", "cuda": "0"})
        yield patch  # type: ignore[misc]


@pytest.fixture(scope="module")
def compiled(
    model: Path, version: DatasetVersion, gpu: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> CompileResult:
    out = tmp_path_factory.mktemp("artifacts") / "gpu"
    return compile_model(model, out, version, device="cuda", precision="fp16", max_drop=0.03)


def test_the_fastest_precision_that_passes_is_taken_by_default(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    report = compile_model(model, tmp_path / "out", version, device="cuda", max_drop=0.03).report
    assert report.requested["precision"] == "auto"
    assert [row.verdict for row in report.candidates].count("chosen") == 1
    assert "not asked for" not in {row.verdict for row in report.candidates}


def test_every_precision_and_batch_is_timed(compiled: CompileResult) -> None:
    manifest = compiled.manifest
    assert (manifest.device, manifest.engine, manifest.precision, manifest.verified) == ("cuda", "torch", "fp16", True)
    assert {timing.candidate for timing in compiled.report.timings} == {"torch fp16", "torch bf16", "torch fp32"}
    assert {timing.batch for timing in compiled.report.timings} == {1, 4}
    assert {(timing.streams >= 1, timing.threads >= 1) for timing in compiled.report.timings} == {(True, True)}
    assert manifest.graph_file == "model.onnx"
    assert manifest.tuned_on["gpu"] and manifest.tuned_on["model"]


def test_the_report_says_what_ran_how_fast_and_beside_which_peak(compiled: CompileResult) -> None:
    report = json.loads((compiled.folder / "report.json").read_text())
    assert report["peak"]["method"].startswith("The peak is the best rate of 1 probes (gemm)")
    assert {row["batch"] for row in report["sweep"]} == {1, 2}
    assert report["peak"]["method"].endswith("at any batch and setting, in torch.")
    page = (compiled.folder / "report.html").read_text()
    assert f"{report['host']['gpu']}, CUDA {report['host']['cuda']}" in page
    assert "one thread" not in page


def test_the_artifact_predicts_as_the_report_says(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    compiled = compile_model(model, tmp_path / "out", version, device="cuda", precision="fp16", max_drop=0.03)
    items = list(version.items("val"))
    with open_predictor(compiled.folder) as predictor:
        answers = list(predictor.predict_stream(version.blobs.read(item.blob) for item in items))
    right = sum(answer[0].category == item.annotations[0].category for answer, item in zip(answers, items, strict=True))
    assert compiled.report.comparison is not None
    assert right / len(items) == pytest.approx(compiled.report.comparison.candidate)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_wanted_half_precision_is_proved_by_its_layers(
    precision: str, model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    result = compile_model(model, tmp_path / "out", version, device="cuda", precision=precision, max_drop=0.03)  # type: ignore[arg-type]
    assert result.manifest.precision == precision
    row = next(one for one in result.report.candidates if one.name == f"torch {precision}")
    assert row.gate is not None
    assert [check.passed for check in row.gate.checks if check.name == f"{precision} layers"] == [True]


def test_fp32_on_the_gpu_needs_no_pictures(model: Path, tmp_path: Path) -> None:
    result = compile_model(model, tmp_path / "out", device="cuda", precision="fp32")
    assert (result.manifest.precision, result.manifest.verified) == ("fp32", False)


def test_int8_is_refused_with_the_device_that_has_it(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"that cuda computes here \(bf16, fp16, fp32\), got int8; cpu and fpga-emulator may"):
        compile_model(model, tmp_path / "out", version, device="cuda", precision="int8")


def test_a_network_that_came_quantised_is_refused(model: Path, tmp_path: Path) -> None:
    import shutil

    quantised = tmp_path / "quantised"
    shutil.copytree(model, quantised)
    manifest = msgspec.structs.replace(read_manifest(model, ModelManifest), precision="int8")
    (quantised / "manifest.json").unlink()
    write_manifest(quantised, manifest)
    with pytest.raises(Unsupported, match="stays so, got the device cuda, which has no INT8; compile it for cpu"):
        compile_model(quantised, tmp_path / "out", device="cuda")


def test_without_a_gpu_nothing_is_begun(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchBackend, "absent", lambda self: "PyTorch sees no NVIDIA GPU here; compile for the cpu")
    with pytest.raises(Unsupported, match="sees no NVIDIA GPU here; compile for the cpu"):
        compile_model(model, tmp_path / "out", device="cuda")
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_asked_for_is_int8_where_the_device_has_it() -> None:
    assert [choose_precision(name) for name in ("cpu", "fpga-emulator", "hetero:fpga-emulator,cpu", "cuda")] == [
        "int8",
        "int8",
        "int8",
        "auto",
    ]
    with pytest.raises(NotFound, match="expected a device"):
        choose_precision("tpu")


def test_answers_of_several_streams_are_those_of_one(compiled: CompileResult, version: DatasetVersion) -> None:
    pictures = [version.blobs.read(item.blob) for item in version.items("val")][:12]
    with open_predictor(compiled.folder, streams=1) as one, open_predictor(compiled.folder, streams=2, threads=1) as two:
        first, second = list(one.predict_stream(pictures)), list(two.predict_stream(pictures))
    for answer, other in zip(first, second, strict=True):
        assert [found.category for found in answer] == [found.category for found in other]
        np.testing.assert_allclose(
            [found.confidence for found in answer], [found.confidence for found in other], atol=2e-3, rtol=1e-2
        )


def test_an_engine_that_lacks_something_is_refused_and_the_others_compile(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEVICES, "cuda", msgspec.structs.replace(DEVICES["cuda"], engines=("torch", "inductor")))
    monkeypatch.setattr(
        InductorBackend, "missing", lambda self: "TorchInductor needs a C compiler (cc or gcc or clang); install one"
    )
    result = compile_model(model, tmp_path / "out", device="cuda", precision="fp32")
    assert [(refusal.name, "needs a C compiler" in refusal.reason) for refusal in result.report.refusals] == [
        ("inductor", True)
    ]
    monkeypatch.setattr(TorchBackend, "missing", lambda self: "torch is not installed")
    with pytest.raises(MissingPackage, match="torch is not installed"):
        compile_model(model, tmp_path / "other", device="cuda", precision="fp32")


def test_batches_that_the_memory_does_not_suffice_for_are_left_out_and_the_rest_compiles(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = TorchSession.infer

    def infer_few(session: TorchSession, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if any(array.ndim == 4 and len(array) > 1 for array in inputs.values()):
            raise Exhausted("PyTorch cannot run this input: the GPU's memory is used up")
        return infer(session, inputs)

    monkeypatch.setattr(TorchSession, "infer", infer_few)
    result = compile_model(model, tmp_path / "out", device="cuda", precision="fp32")
    assert result.manifest.batch == 1
    assert {row.batch for row in result.report.sweep} == {1}
    assert [refusal.name for refusal in result.report.refusals] == [
        f"torch {precision}, batches of 4" for precision in ("fp16", "bf16", "fp32")
    ]
