"""Compiling for the FPGA emulator, alone and together with the CPU."""

import itertools
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from sightline.bench.measure import measure_predictor
from sightline.compiler.compile import compile_model
from sightline.compiler.gate import Check
from sightline.compiler.report.layers import HEAVY_LAYERS
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.folders import hash_files, read_manifest, write_manifest
from sightline.core.manifests import ModelManifest
from sightline.data.versions import DatasetVersion
from sightline.runtime.predictor import open_predictor

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built for a device is kept apart, and few pictures judge it."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sightline.compiler.compilation.EMULATED_PICTURES", 20)


def test_the_fpga_emulator_is_verified_and_gated_like_every_device(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline.compiler.compilation.EMULATED_PICTURES", 30)
    result = compile_model(
        model, tmp_path / "out", version, device="fpga-emulator", precision="auto", max_drop=0.05, calibration_images=16
    )
    report = result.report
    assert (result.manifest.device, result.manifest.engine) == ("fpga-emulator", "hls4ml")
    assert result.manifest.precision in ("int8", "int16")
    assert report.comparison is not None
    assert report.comparison.images == 30
    assert report.unsupported_layers == []
    assert {place.device for place in report.places} == {"fpga-emulator"}
    assert report.timings == [] and report.sweep == [] and report.peak is None  # no speed of an FPGA is ever stated
    assert "pictures/s" not in report.verdict
    assert any(name.endswith(".cpp") for name in result.manifest.files)  # the project for the vendor's tools
    with open_predictor(result.folder) as emulated, pytest.raises(Unsupported, match="which is emulated"):
        measure_predictor(emulated, version, split="val", out=tmp_path / "report", folder=result.folder)
    with open_predictor(model) as fp32, open_predictor(result.folder) as emulated:
        items = list(version.items("val"))[:12]
        images = [version.read_image(item) for item in items]
        same = [
            one[0].category == other[0].category
            for one, other in zip(fp32.predict(images), emulated.predict(images), strict=True)
        ]
    assert sum(same) >= 10


def test_layers_that_a_device_lacks_run_on_the_cpu_and_the_report_says_which(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    graph = onnx.load(folder / "model.onnx")
    last = graph.graph.node[-1]
    graph.graph.node.append(onnx.helper.make_node("Softmax", ["before"], [last.output[0]], name="answer"))
    last.output[0] = "before"
    onnx.save(graph, folder / "model.onnx")
    manifest = read_manifest(model, ModelManifest)
    (folder / "manifest.json").unlink()
    write_manifest(folder, msgspec.structs.replace(manifest, files=hash_files(folder)))
    with pytest.raises(Unsupported, match=r"fpga-emulator does not run 1 layers.*answer \(Softmax\).*hetero:fpga-emulator,cpu"):
        compile_model(folder, tmp_path / "a", version, device="fpga-emulator", precision="int16", calibration_images=8)
    result = compile_model(
        folder,
        tmp_path / "out",
        version,
        device="hetero:fpga-emulator,cpu",
        precision="int16",
        max_drop=0.05,
        calibration_images=8,
    )
    assert result.manifest.engine == "hetero"
    assert [line.split(":")[0] for line in result.report.unsupported_layers] == ["answer (Softmax) on cpu"]
    assert "Unsupported layers: 1" in (result.folder / "report.html").read_text()
    with open_predictor(result.folder) as predictor:
        assert predictor.predict([version.read_image(next(iter(version.items("val"))))])[0]


def test_a_precision_the_device_lacks_is_refused_before_any_work(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"cpu computes here .* got int16; fpga-emulator may"):
        compile_model(model, tmp_path / "out", version, precision="int16")
    with pytest.raises(Unsupported, match=r"fpga-emulator computes here \(int16, int8\), got fp32"):
        compile_model(model, tmp_path / "out", version, device="fpga-emulator", precision="fp32")


def test_a_goal_of_speed_is_refused_on_a_device_that_is_emulated(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a device that can be timed"):
        compile_model(model, tmp_path / "out", version, device="hetero:fpga-emulator,cpu", slo_ms=5)


def test_fixed_point_is_never_chosen_by_noise_unasked(model: Path, tmp_path: Path) -> None:
    for device in ("fpga-emulator", "hetero:fpga-emulator,cpu"):
        with pytest.raises(InvalidInput, match=rf"precision auto on {device} needs pictures .* `calibrate_random`"):
            compile_model(model, tmp_path / "out", device=device, precision="auto")
    assert list(tmp_path.iterdir()) == []


def test_where_no_engine_is_right_the_reference_is_compared_with(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Check(name="fp32 error", passed=False, value=1.0, limit=1e-3, text="wrong")
    monkeypatch.setattr("sightline.compiler.compilation.check_fp32", lambda *_: wrong)
    result = compile_model(
        model, tmp_path / "out", version, device="fpga-emulator", precision="int16", max_drop=0.05, calibration_images=8
    )
    assert result.report.comparison is not None
    assert (result.manifest.verified, result.report.comparison.images) == (True, 20)
    assert result.report.comparison.baseline > 0.8


def test_of_a_shared_network_the_layers_on_the_accelerator_count(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of seven run on it; four convolutions with dilations it does not build."""
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    graph = onnx.load(folder / "model.onnx")
    pool = next(place for place, one in enumerate(graph.graph.node) if one.op_type == "GlobalAveragePool")
    same = np.eye(32, dtype=np.float32)[:, :, None, None]
    graph.graph.initializer.append(onnx.numpy_helper.from_array(same, "same"))
    names = ["d", "q1", "q2", "q3", "q4"]
    for place, (read, made) in enumerate(itertools.pairwise(names)):
        one = onnx.helper.make_node("Conv", [read, "same"], [made], made, kernel_shape=[1, 1], dilations=[2, 2])
        graph.graph.node.insert(pool + place, one)
    graph.graph.node[pool + 4].input[0] = "q4"
    onnx.save(graph, folder / "model.onnx")
    manifest = read_manifest(model, ModelManifest)
    (folder / "manifest.json").unlink()
    write_manifest(folder, msgspec.structs.replace(manifest, files=hash_files(folder)))
    result = compile_model(
        folder,
        tmp_path / "out",
        version,
        device="hetero:fpga-emulator,cpu",
        precision="int16",
        max_drop=0.05,
        calibration_images=8,
    )
    heavy = [row for row in result.report.layers if row.kind in HEAVY_LAYERS]
    assert [row.device for row in heavy].count("fpga-emulator") == 3
    assert [row.device for row in heavy].count("cpu") == 4
    gate = next(row.gate for row in result.report.candidates if row.name == result.report.chosen)
    assert gate is not None
    assert "3 of 3 convolution and matrix layers run in INT16" in gate.checks[0].text
