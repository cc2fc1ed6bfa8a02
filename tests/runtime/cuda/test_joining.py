"""What TorchInductor makes of a network, compiled for the CPU: that it answers as the network does."""

import shutil
from pathlib import Path

import pytest
import torch
from graphs import write_conv_chain

from sightline.runtime.backends.cuda.joining import join_kernels
from sightline.runtime.backends.cuda.network import TorchNetwork


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="TorchInductor compiles with g++")
@pytest.mark.filterwarnings("ignore")  # PyTorch warns of its own use of itself
def test_a_joined_network_answers_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    images = {"images": torch.rand(2, 3, 16, 16)}
    with torch.no_grad():
        network, expected = TorchNetwork(write_conv_chain(tmp_path / "g.onnx"), "fp32", torch.device("cpu")).bind(images)
        joined = join_kernels(network.run, images)
        other = {"images": torch.rand(2, 3, 16, 16)}
        torch.testing.assert_close(joined(images), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(joined(other), network.run(other), rtol=1e-4, atol=1e-5)
