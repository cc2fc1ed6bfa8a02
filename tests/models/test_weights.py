from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18

from sightline.core.errors import InvalidInput, NotFound
from sightline.models.table import build_network
from sightline.models.weights import load_weights, read_weights


def test_a_library_s_state_dict_fits_its_wrapped_network_but_for_the_last_layer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = resnet18(weights=None, num_classes=1000)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    network = build_network("classification", "resnet18", 4, 32, 32)
    report = load_weights(network, read_weights(tmp_path / "resnet18.pth"))
    assert set(report.other_shape) == {"body.fc.weight", "body.fc.bias"}
    assert report.absent == ()
    assert "took 120 of 122 tensors" in report.line()  # ResNet-18 has 122 tensors, two of them in the last layer
    assert torch.equal(network.state_dict()["body.layer1.0.conv1.weight"], source.layer1[0].conv1.weight)


def test_wrapped_and_parallel_checkpoints_are_unpacked(tmp_path: Path) -> None:
    network = build_network("classification", "fast", 3, 32, 32)
    state = {f"module.{name}": tensor + 1 for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pth")
    report = load_weights(network, read_weights(tmp_path / "w.pth"))
    assert len(report.taken) == len(state)
    assert torch.equal(network.head.bias, state["module.head.bias"])


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.module."])
def test_weights_of_compiled_and_wrapped_networks_fit(prefix: str) -> None:
    network = build_network("classification", "fast", 3, 32, 32)
    report = load_weights(network, {prefix + name: tensor for name, tensor in network.state_dict().items()})
    assert (len(report.taken), report.absent, report.unused) == (len(network.state_dict()), (), 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    network = build_network("classification", "fast", 3, 32, 32)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["head.bias"][1] = value
    with pytest.raises(InvalidInput, match=r"got NaN or infinity in head\.bias"):
        load_weights(network, state)


def test_safetensors_files_are_read(tmp_path: Path) -> None:
    network = build_network("classification", "fast", 3, 32, 32)
    save_file({"head.bias": torch.tensor([1.0, 2.0, 3.0]), "stranger": torch.zeros(2)}, tmp_path / "w.safetensors")
    report = load_weights(network, read_weights(tmp_path / "w.safetensors"))
    assert report.taken == ("head.bias",)
    assert report.unused == 1
    assert network.head.bias.tolist() == [1, 2, 3]


def test_weights_of_another_architecture_are_refused() -> None:
    network = build_network("classification", "fast", 3, 32, 32)
    with pytest.raises(InvalidInput, match="none of the 2 tensors fits"):
        load_weights(network, nn.Linear(2, 2).state_dict())


def test_a_file_that_holds_code_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled module: loading it would import and call
    with pytest.raises(InvalidInput, match=r"without executing code: Unsupported global: GLOBAL [^;]*; save its state_dict"):
        read_weights(tmp_path / "module.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput):
            read_weights(tmp_path / name)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_weights(tmp_path / "w.pth")
