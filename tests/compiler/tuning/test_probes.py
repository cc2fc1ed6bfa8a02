from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sightline.compiler.tuning import probes
from sightline.compiler.tuning.probes import PROBED_PRECISIONS, SHAPES, measure_peaks, write_probe
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

BY_HAND = {  # 4 layers, 2 operations a multiply-add
    "gemm": 4 * 2 * 784 * 256 * 256,
    "gemm 1024": 4 * 2 * 256 * 1024 * 1024,
    "conv1x1": 4 * 2 * 784 * 256 * 256,
    "conv1x1 512": 4 * 2 * 196 * 512 * 512,
    "conv3x3": 4 * 2 * 196 * 9 * 256 * 256,
    "conv3x3 64": 4 * 2 * 3136 * 9 * 64 * 64,
    "conv3x3 128": 4 * 2 * 784 * 9 * 128 * 128,
    "conv3x3 batch 8": 4 * 2 * 8 * 196 * 9 * 128 * 128,
}


@pytest.mark.parametrize("probe", SHAPES)
def test_operations_are_counted_as_by_hand(probe: str, tmp_path: Path) -> None:
    assert write_probe(tmp_path / "probe.onnx", probe, quantised=False)[1] == BY_HAND[probe]


@pytest.mark.parametrize("probe", ["gemm", "conv3x3 64"])
def test_int8_probes_run_in_int8_and_near_the_float_ones(probe: str, tmp_path: Path) -> None:
    outputs = []
    for quantised in (False, True):
        shape, _ = write_probe(tmp_path / f"{quantised}.onnx", probe, quantised)
        options = SessionOptions("int8" if quantised else "fp32", 1, 1, profile=True)
        with closing(load_backend("openvino").open(tmp_path / f"{quantised}.onnx", options)) as session:
            outputs.append(session.infer({"x": np.random.default_rng(0).random(shape, np.float32)})["y"])
            dense = [row.precision for row in session.layers() if row.kind in ("Convolution", "FullyConnected", "MatMul")]
        assert dense == ["int8" if quantised else "fp32"] * 4
    correlation = np.corrcoef(outputs[0].ravel(), outputs[1].ravel())[0, 1]
    assert correlation > 0.98


def test_the_peak_is_the_best_of_all_turns_of_all_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBES", ("gemm", "conv1x1"))
    monkeypatch.setattr(probes, "REPETITIONS", 2)
    rates = iter([3.0, 5.0, 7.0, 1.0])  # gemm, conv1x1, gemm, conv1x1
    monkeypatch.setattr(probes, "_measure_rate", lambda session, inputs, flops: next(rates))
    assert measure_peaks("openvino", ["fp32"], 1) == {"fp32": (7.0, "gemm")}


def test_every_precision_of_every_engine_gets_a_rate() -> None:
    for engine in ("onnxruntime", "openvino"):
        precisions = [one for one in PROBED_PRECISIONS if one in load_backend(engine).precisions]
        peaks = measure_peaks(engine, precisions, 1)
        assert list(peaks) == precisions
        assert min(peak.gflops for peak in peaks.values()) > 0
