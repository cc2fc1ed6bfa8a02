from pathlib import Path

import pytest
import torch

from sightline.models.export import export_onnx
from sightline.models.small_classifier import SmallClassifier
from sightline.training.export_check import ExportFailed, check_export


def test_a_graph_of_other_weights_is_noticed(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 3})
    torch.manual_seed(0)
    network = SmallClassifier("classification", 3, 32, 32, channels=8, depths=(1, 1, 1, 1)).eval()
    export_onnx(network, tmp_path / "model.onnx")
    facts = check_export(network, tmp_path / "model.onnx", version, ("train",))
    assert facts["pictures"] == 3
    assert facts["max_relative_error"] < 1e-4
    with torch.no_grad():
        network.head.weight.mul_(1.01)
    with pytest.raises(ExportFailed, match="limit"):
        check_export(network, tmp_path / "model.onnx", version, ("train",))
