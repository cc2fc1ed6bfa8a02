from pathlib import Path

import pytest

from sightline.compiler.candidates import Candidate
from sightline.compiler.tuning import sweep
from sightline.compiler.tuning.probes import Peak
from sightline.compiler.tuning.sweep import compare_with_peak


@pytest.mark.parametrize(("probed", "peak", "is_own"), [(400.0, 400.0, False), (200.0, 300.0, True)])
def test_the_rate_reached_is_that_of_the_chosen_setting(
    monkeypatch: pytest.MonkeyPatch, probed: float, peak: float, is_own: bool
) -> None:
    """2 GFLOP a picture: 120 pictures a second are 240 GFLOP/s, and the sweep's 150 are 300, faster than a slow probe."""
    monkeypatch.setattr(sweep, "measure_peaks", lambda engine, precisions, threads: {"fp32": Peak(probed, "gemm")})
    candidate = Candidate("openvino", "fp32", None, Path("model.xml"), Path("model.onnx"))
    facts = compare_with_peak(candidate, ["fp32"], throughput=120.0, swept=150.0, flops=2_000_000_000)
    assert facts.reached_gflops == pytest.approx(240)
    assert facts.gflops == {"fp32": pytest.approx(peak)}
    assert facts.share == pytest.approx(240 / peak)
    assert facts.is_own is is_own
