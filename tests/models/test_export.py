from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sightline.models.export import export_onnx
from sightline.models.table import NETWORKS, build_network

QUICK = {"small_classifier", "small_segmenter"}
EXPORTED = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NETWORKS]


@pytest.mark.parametrize("name", [*EXPORTED, pytest.param("timm/mobilenetv3_small_050", marks=[pytest.mark.slow])])
def test_the_exported_graph_computes_what_the_network_computes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = NETWORKS[name].tasks[0] if name in NETWORKS else "classification"
    network = build_network(task, name, 3, 128, 64).train()
    path = tmp_path / "model.onnx"
    export_onnx(network, path)
    assert network.training
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]  # one file, weights inside
    model = onnx.load(path)
    assert model.ir_version <= 10
    assert [opset.version for opset in model.opset_import if opset.domain == ""] == [18]
    assert not any(str(Path.cwd()) in text for text in (model.doc_string, *(node.doc_string for node in model.graph.node)))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["images"]
    assert tuple(output.name for output in session.get_outputs()) == network.decode_spec.outputs
    network.eval()
    for batch_size in (1, 3):  # the batch is dynamic
        images = np.random.default_rng(0).standard_normal((batch_size, 3, 64, 128), np.float32)
        with torch.inference_mode():
            expected = [output.numpy() for output in network(torch.from_numpy(images))]
        for want, got in zip(expected, session.run(None, {"images": images}), strict=True):
            assert np.abs(want - got).max() <= 1e-3 * np.abs(want).max()


def test_threads_export_one_after_another(tmp_path: Path) -> None:
    networks = [build_network("classification", "small_classifier", 3, 32, 32) for _ in range(3)]
    paths = [tmp_path / f"{number}.onnx" for number in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(export_onnx, networks, paths))
    assert all(len(onnx.load(path).graph.node) > 10 for path in paths)
