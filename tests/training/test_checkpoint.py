import errno
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sightline.core.errors import CorruptFile, Exhausted, NotFound
from sightline.core.progress import ProgressEvent
from sightline.models.small_classifier import SmallClassifier
from sightline.training import checkpoint
from sightline.training.budget import Spent
from sightline.training.checkpoint import (
    TrainingState,
    pack_checkpoint,
    read_checkpoint,
    restore_checkpoint,
    unpack_checkpoint,
    write_checkpoint,
    write_weights,
)
from sightline.training.optimisers import build_optimiser
from sightline.training.recipe import make_recipe
from sightline.training.train import train_model


def make_network(seed: int) -> SmallClassifier:
    torch.manual_seed(seed)
    return SmallClassifier("classification", 3, 32, 32, channels=8, depths=(1, 1, 1, 1))


def take_step(network: SmallClassifier, optimiser: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    network(torch.randn(2, 3, 32, 32))[0].square().sum().backward()
    optimiser.step()
    optimiser.zero_grad()


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer]:
    network, average = make_network(1), make_network(2)
    optimiser = build_optimiser(network, make_recipe("classification"))
    for seed in range(3):
        take_step(network, optimiser, seed)
    path = tmp_path / "checkpoint.safetensors"
    state = TrainingState(spent=Spent(steps=3, cpu_s=1.5), best_metric=0.5, metrics={"top1": 0.5})
    write_checkpoint(path, state, network, average=average, optimiser=optimiser, best={"head.bias": torch.ones(3)})
    return path, network, average, optimiser


def test_a_restored_training_takes_the_same_next_step(
    trained: tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer],
) -> None:
    path, network, average, optimiser = trained
    other, other_average = make_network(3), make_network(4)
    other.to(memory_format=torch.channels_last)
    other_optimiser = build_optimiser(other, make_recipe("classification"))
    record, tensors = read_checkpoint(path)
    best = restore_checkpoint(record, tensors, other, other_average, other_optimiser)
    assert record.state.spent == Spent(steps=3, cpu_s=1.5)
    assert best is not None
    assert best["head.bias"].tolist() == [1, 1, 1]
    for mine, theirs in ((network, other), (average, other_average)):
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name
    other.to(memory_format=torch.contiguous_format)
    take_step(network, optimiser, 9)
    take_step(other, other_optimiser, 9)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_another_process_is_sent_what_the_file_holds(
    trained: tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer],
) -> None:
    path, network, average, optimiser = trained
    record, tensors = read_checkpoint(path)
    content = pack_checkpoint(record.state, network, average=average, optimiser=optimiser, best={"head.bias": torch.ones(3)})
    sent_record, sent = unpack_checkpoint(content)
    assert sent_record == record
    assert sent.keys() == tensors.keys() and all(torch.equal(sent[name], tensors[name]) for name in sent)


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_a_cut_off_checkpoint_is_refused(
    trained: tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer], keep: int
) -> None:
    path = trained[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFile, match="train from the start"):
        read_checkpoint(path)


def test_a_flipped_bit_is_noticed(
    trained: tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer],
) -> None:
    path = trained[0]
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match="checksum"):
        read_checkpoint(path)


def test_a_changed_record_is_noticed(
    trained: tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer],
) -> None:
    path = trained[0]
    content = path.read_bytes()
    assert content.count(rb"\"steps\":3") == 1
    path.write_bytes(content.replace(rb"\"steps\":3", rb"\"steps\":9"))
    with pytest.raises(CorruptFile, match="checksum"):
        read_checkpoint(path)


def test_a_checkpoint_of_the_first_format_can_still_be_resumed(tmp_path: Path) -> None:
    record = {
        "format_version": 1,
        "state": {"recipe_id": "abc"},
        "checksum": zlib.crc32(np.ones(3, "<f4").tobytes(), 1553379856),
    }
    assert zlib.crc32(b"best.bias") == 1553379856
    save_file({"best.bias": torch.ones(3)}, tmp_path / "old", metadata={"sightline": json.dumps(record)})
    read, tensors = read_checkpoint(tmp_path / "old")
    assert read.state.recipe_id == "abc" and tensors.keys() == {"best.bias"}
    save_file({"best.bias": torch.zeros(3)}, tmp_path / "old", metadata={"sightline": json.dumps(record)})
    with pytest.raises(CorruptFile, match="checksum"):
        read_checkpoint(tmp_path / "old")


def fill_disk(tensors: dict[str, torch.Tensor], file_name: str, metadata: dict[str, str]) -> None:
    """As safetensors writes to a full disk."""
    Path(file_name).write_bytes(b"the first part")
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_full_disk_keeps_the_checkpoint_before_and_is_said_as_the_system_says_it(
    trained: tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, network, average, optimiser = trained
    before = path.read_bytes()
    monkeypatch.setattr(checkpoint, "save_file", fill_disk)
    with pytest.raises(OSError, match="No space left") as full:
        write_checkpoint(path, TrainingState(), network, average=average, optimiser=optimiser, best=None)
    assert full.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert [path.name for path in path.parent.iterdir()] == ["checkpoint.safetensors"]


def test_a_full_disk_ends_training_with_how_to_go_on(make_version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version, out = make_version("classification", {"train": 4}), tmp_path / "model"
    recipe = make_recipe("classification", budget="4it", size=32, batch_size=2, log_every=1, checkpoint_s=0)

    def fill_after(event: ProgressEvent) -> None:
        if event.metrics.get("step") == 3:
            monkeypatch.setattr(checkpoint, "save_file", fill_disk)

    with pytest.raises(Exhausted, match=r"no room left .*model\.training; make room there .*, and go on with `resume`"):
        train_model(version, recipe, out, on_progress=fill_after)
    monkeypatch.undo()
    messages: list[str] = []
    train_model(version, recipe, out, resume=True, on_progress=lambda event: messages.append(event.message))
    assert "resumed after 2 steps" in messages


def test_a_foreign_safetensors_file_is_no_checkpoint(tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.safetensors", make_network(1))
    with pytest.raises(CorruptFile):
        read_checkpoint(tmp_path / "weights.safetensors")


def test_a_missing_checkpoint_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="start without resume"):
        read_checkpoint(tmp_path / "checkpoint.safetensors")


def test_nothing_but_the_checkpoint_is_left_in_its_folder(
    trained: tuple[Path, SmallClassifier, SmallClassifier, torch.optim.Optimizer],
) -> None:
    assert [path.name for path in trained[0].parent.iterdir()] == ["checkpoint.safetensors"]


def test_weights_are_the_state_dict(tmp_path: Path) -> None:
    network = make_network(1)
    write_weights(tmp_path / "weights.safetensors", network)
    tensors = load_file(tmp_path / "weights.safetensors")
    assert tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o007, 0o660)])
def test_files_have_the_rights_that_the_umask_leaves(tmp_path: Path, umask: int, rights: int) -> None:
    before = os.umask(umask)
    try:
        write_weights(tmp_path / "weights.safetensors", make_network(1))
    finally:
        os.umask(before)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == rights
