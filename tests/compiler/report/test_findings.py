from pathlib import Path

import onnx
from report_fakes import make_report

from sightline.compiler.candidates import Candidate
from sightline.compiler.report.findings import Findings
from sightline.compiler.request import CompileRequest
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.metrics.agreement import Agreement


def test_a_report_is_about_the_chosen_candidate_or_the_first_that_the_gate_compared(model: Path) -> None:
    graph = model / "model.onnx"
    manifest = read_manifest(model, ModelManifest)
    found = Findings(graph, onnx.load(graph), manifest, CompileRequest())
    slow, fast = (Candidate(engine, "int8", "nncf", graph, graph) for engine in ("onnxruntime", "openvino"))
    found.candidates = [slow, fast]  # in the order they were made; the gate begins with the fastest
    assert found.shown is None
    comparison = make_report(0.1, -0.1).comparison
    assert comparison is not None
    agreement = Agreement(images=1, label_agreement=1.0, mean_iou=None, flipped=[])
    found.compared = {one.name: (comparison, agreement) for one in (fast, slow)}
    assert found.shown is fast
    found.chosen = slow
    assert found.shown is slow
