"""Swapped steps compute what plain ones do, within their budget; whatever goes wrong is said in backward or forward."""

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sightline.core.errors import Exhausted, InvalidInput
from sightline.training.swapping.saved import SavedStorage
from sightline.training.swapping.spill_file import SpillFile
from sightline.training.swapping.swapper import ActivationSwapper

MB = 1 << 20


class Halves(nn.Module):
    """Views of views: halves of channels, transposed, strided, and joined again."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(channels // 2, channels // 2, 1), nn.Linear(32, 32)

    def forward(self, images: Tensor) -> Tensor:
        left, right = images.chunk(2, 1)
        turned = self.right(right.transpose(2, 3)).transpose(2, 3) * right.flip(3)
        return torch.cat([self.left(left) * left[:, :, ::2].repeat_interleave(2, 2), turned.relu()], 1)


def build_network() -> nn.Sequential:
    """Activations of 0.5 to 1 MB with a batch of 8."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        Halves(32),
        nn.Conv2d(32, 32, 3, padding=1, groups=4),
        nn.Hardswish(inplace=True),
        nn.Dropout(0.3),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.SiLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 4),
    )


Forward = Callable[[nn.Module, Tensor], Tensor]


def train(folder: Path | None, budget_bytes: int = MB, forward: Forward = nn.Module.__call__, steps: int = 3) -> list[Tensor]:
    """Losses and final weights of a few steps. Args: folder: None trains without a swapper."""
    network = build_network()
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    swapper = None if folder is None else ActivationSwapper(network, budget_bytes, folder)
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        images, targets = torch.randn(8, 3, 32, 32), torch.randint(0, 4, (8,))
        if swapper is None:
            loss = nn.functional.cross_entropy(forward(network, images), targets)
        else:
            with swapper.saving():
                loss = nn.functional.cross_entropy(forward(network, images), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    if swapper is not None:
        swapper.close()
        assert swapper.statistics.written_bytes > 0 and swapper.statistics.read_bytes > 0
    return [*losses, *network.state_dict().values()]


def assert_same(ours: list[Tensor], plain: list[Tensor]) -> None:
    assert len(ours) == len(plain)
    assert all(torch.equal(one, other) for one, other in zip(ours, plain, strict=True))


@pytest.mark.parametrize("budget_bytes", [1, MB, 6 * MB])
def test_results_are_the_same_to_the_last_bit(budget_bytes: int, tmp_path: Path) -> None:
    assert_same(train(tmp_path, budget_bytes), train(None))


def run_in_bf16(network: nn.Module, images: Tensor) -> Tensor:
    """As training does it on CPUs that can."""
    with torch.autocast("cpu", torch.bfloat16):
        return network(images.contiguous(memory_format=torch.channels_last)).float()


def run_checkpointed(network: nn.Module, images: Tensor) -> Tensor:
    """Half of it is computed again instead of kept."""
    assert isinstance(network, nn.Sequential)
    return network[8:](checkpoint(network[:8], images, use_reentrant=False))


@pytest.mark.parametrize("forward", [run_in_bf16, run_checkpointed])
def test_so_they_are_in_bf16_and_beside_checkpointing(forward: Forward, tmp_path: Path) -> None:
    assert_same(train(tmp_path, MB // 2, forward), train(None, forward=forward))


def test_memory_stays_within_the_budget_and_one_tensor(tmp_path: Path) -> None:
    network = build_network()
    with ActivationSwapper(network, 3 * MB, tmp_path) as swapper:
        for _ in range(3):
            with swapper.saving():
                loss = network(torch.randn(8, 3, 32, 32)).sum()
            loss.backward()
        largest = 8 * 32 * 32 * 32 * 4
        assert 0 < swapper.statistics.largest_kept_bytes <= 3 * MB + largest
        assert swapper.statistics.saved_bytes > 3 * 4 * MB
        # Places in the file are used again, step after step.
        assert swapper.statistics.file_bytes < swapper.statistics.written_bytes / 2


def test_a_step_in_parts_tells_how_long_its_file_is(tmp_path: Path) -> None:
    with ActivationSwapper(nn.Linear(1, 1), 1, tmp_path) as swapper:
        for _ in range(4):
            with swapper.saving():
                end = torch.full((1000, 1000), 0.5, requires_grad=True).sin().sin().sum()  # 4 MB, and 4 MB
            end.backward()
        told = swapper.statistics.describe_step()
    assert told.startswith("a step saves 32.0 MB for backward: ") and told.endswith("32.0 MB by way of a file of 8.0 MB")


@pytest.fixture
def swapper(tmp_path: Path) -> Iterator[ActivationSwapper]:
    """One that keeps next to nothing in memory."""
    with ActivationSwapper(nn.Linear(1, 1), 1, tmp_path) as made:
        yield made


def make_large(value: float = 1.0) -> Tensor:
    return torch.full((256, 256), value, requires_grad=True)


def test_a_retained_graph_can_be_walked_twice(swapper: ActivationSwapper) -> None:
    start = make_large(0.5)
    with swapper.saving():
        end = start.exp().sin().exp().sum()
    (first,) = torch.autograd.grad(end, start, retain_graph=True)
    (second,) = torch.autograd.grad(end, start)
    assert torch.equal(first, second)


def test_a_gradient_of_a_gradient(swapper: ActivationSwapper) -> None:
    start = make_large(0.5)
    with swapper.saving():
        (slope,) = torch.autograd.grad((start.exp() * start).sum(), start, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), start)
    assert torch.allclose(bend, (start + 2) * start.exp())


def test_a_tensor_saved_twice_is_written_once(swapper: ActivationSwapper) -> None:
    start = make_large()
    with swapper.saving():
        middle = start * 2
        end = (middle.exp() + middle.sin() + middle.t().cos() + middle[:128].sinh().sum()).sum()
    assert swapper.statistics.saved_storages == 2  # `middle`, and what exp gives
    end.backward()
    assert start.grad is not None


def test_what_was_changed_in_place_is_refused_as_autograd_does(tmp_path: Path) -> None:
    start = make_large()
    with ActivationSwapper(nn.Linear(1, 1), 10 * MB, tmp_path) as swapper:
        with swapper.saving():
            middle = start * 2
            end = middle.sin().sum()
        middle.add_(1)
        with pytest.raises(RuntimeError, match="changed in place"):
            end.backward()


def wait_until_written(swapper: ActivationSwapper) -> None:
    with swapper._changed:
        assert swapper._changed.wait_for(lambda: not swapper._writing_bytes, 60)


def test_so_it_is_where_the_file_has_it_already(swapper: ActivationSwapper) -> None:
    with swapper.saving():
        middle = make_large(0.5) * 2
        end = middle.sin().sum()
    wait_until_written(swapper)
    middle.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        end.backward()


@pytest.mark.parametrize("width", [16, 256])  # small, and large enough to be written were it not the network's
def test_so_it_is_where_it_stays_in_memory(width: int, tmp_path: Path) -> None:
    network = nn.Linear(width, width)
    with ActivationSwapper(network, 1, tmp_path) as swapper:
        with swapper.saving():
            end = network(torch.ones(4, width, requires_grad=True)).sum()
        with torch.no_grad():
            network.weight.add_(1)
        with pytest.raises(RuntimeError, match="changed in place"):
            end.backward()


class ChangesWhatItSaved(torch.autograd.Function):
    """Its backward uses up what it gets."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, start: Tensor) -> Tensor:  # type: ignore[override]
        double = start * 2
        ctx.save_for_backward(double)
        return double.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (double,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return double.mul_(gradient)


def test_so_it_is_where_backward_itself_changed_it(swapper: ActivationSwapper) -> None:
    with swapper.saving():
        end = ChangesWhatItSaved.apply(make_large()).sum()
    end.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="changed in place"):
        end.backward()


def test_tensors_over_one_storage_that_count_their_changes_apart_are_not_taken_for_each_other(
    swapper: ActivationSwapper,
) -> None:
    weight = make_large()
    with swapper.saving():
        middle = make_large(0.5) * 2
        end = middle.sin().sum()
        wait_until_written(swapper)
        middle.add_(1)
        (middle.data * weight).sum().backward()  # `.data` is at version 0 again
    assert weight.grad is not None and weight.grad[0, 0] == 2
    del end


def test_what_backward_saved_again_is_not_taken_for_what_was_changed_later(tmp_path: Path) -> None:
    start = make_large(0.5)
    with ActivationSwapper(nn.Linear(1, 1), 2 * MB, tmp_path) as swapper, swapper.saving():
        middle = start * 2
        (slope,) = torch.autograd.grad(middle.sin().sum(), start, create_graph=True)
        others = [make_large().exp() for _ in range(20)]  # has those before written
        wait_until_written(swapper)
        middle.add_(1)
        middle.sin().sum().backward()
    assert start.grad is not None and torch.allclose(start.grad, 2 * torch.cos(torch.full((256, 256), 2.0)))
    del slope, others


def make_nested() -> Tensor:
    return torch.nested.nested_tensor([torch.ones(100, 256), torch.ones(50, 256)], requires_grad=True)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_is_no_plain_tensor_stays(tmp_path: Path) -> None:
    network = nn.LazyLinear(4)
    network.register_buffer("sparse", torch.eye(3).to_sparse())
    start, zeros = make_large(), torch._efficientzerotensor((256, 256))
    with ActivationSwapper(network, 1, tmp_path) as swapper, swapper.saving():
        network(torch.ones(2, 3)).sum().backward()
        nested = make_nested().relu()
        torch.nested.to_padded_tensor(nested, 0.0).sum().backward()
        (start * zeros).sum().backward()
        assert swapper.statistics.saved_storages == 0
    assert start.grad is not None and not start.grad.any()


def test_parameters_and_small_tensors_stay(tmp_path: Path) -> None:
    network = nn.Linear(512, 512)
    with ActivationSwapper(network, 1, tmp_path) as swapper:
        with swapper.saving():
            end = network(torch.ones(4, 512, requires_grad=True)).sum()
        assert swapper.statistics.saved_storages == 0
        end.backward()


def test_graphs_that_nobody_walks_leave_nothing(swapper: ActivationSwapper, tmp_path: Path) -> None:
    for _ in range(3):
        with swapper.saving():
            middle = make_large().exp().exp()
    del middle
    gc.collect()
    with swapper.saving():
        make_large().exp()  # the books are kept when something is saved
    assert len(swapper._storages) <= 1 and swapper._file._space.end_bytes <= 256 * 256 * 4


def test_an_error_in_forward_leaves_a_swapper_that_works(swapper: ActivationSwapper) -> None:
    with pytest.raises(ZeroDivisionError), swapper.saving():
        make_large().exp().exp().mul(1 / 0)
    start = make_large()
    with swapper.saving():
        end = start.exp().sum()
    end.backward()
    assert torch.equal(start.grad, start.detach().exp())  # type: ignore[arg-type]


def test_a_full_disk_ends_the_step_with_how_to_go_on(swapper: ActivationSwapper, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpillFile, "write", fail)
    with pytest.raises(Exhausted, match=r"No space left on device.*free space there"), swapper.saving():
        for _ in range(10):
            make_large().exp()


def test_a_disk_that_fails_ends_backward(swapper: ActivationSwapper, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with swapper.saving():
        end = make_large().exp().exp().sum()
    monkeypatch.setattr(SpillFile, "read", fail)
    with pytest.raises(Exhausted, match="Input/output error"):
        end.backward()


def test_memory_that_is_full_in_a_thread_is_said(swapper: ActivationSwapper, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(SpillFile, "write", fail)
    with pytest.raises(Exhausted, match="MemoryError"), swapper.saving():
        make_large().exp().exp()


def test_what_loses_its_room_before_backward_has_it_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, lost = ActivationSwapper._read, []

    def read_and_lose(swapper: ActivationSwapper, saved: SavedStorage | None, nbytes: int) -> None:
        with swapper._changed:
            read(swapper, saved, nbytes)
            if not lost:
                lost.append(saved)
                swapper._make_room()  # as another thread that saves something

    monkeypatch.setattr(ActivationSwapper, "_read", read_and_lose)
    start = make_large()
    with ActivationSwapper(nn.Linear(1, 1), 1, tmp_path) as swapper:
        with swapper.saving():
            end = start.exp().sum()
        end.backward()
    assert lost and torch.equal(start.grad, start.detach().exp())  # type: ignore[arg-type]


def test_backward_after_the_end_says_so(tmp_path: Path) -> None:
    with ActivationSwapper(nn.Linear(1, 1), 1, tmp_path) as swapper, swapper.saving():
        end = make_large().exp().exp().sum()
    with pytest.raises(InvalidInput, match="closed before backward"):
        end.backward()
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("activations-") for name in names)


def test_a_budget_is_at_least_a_byte(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least 1 byte"):
        ActivationSwapper(nn.Linear(1, 1), 0, tmp_path)


LIMITED = """
import resource, sys, torch
from pathlib import Path
from torch import nn
from contextlib import nullcontext
from sightline.training.swapping.swapper import ActivationSwapper

torch.set_num_threads(1)
network = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())])
network(torch.zeros(1, 16, 8, 8)).sum().backward()
images = torch.ones(4, 16, 192, 192)
swapper = ActivationSwapper(network, 20 << 20, Path(sys.argv[2])) if sys.argv[1] == "swapped" else None
data = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (data + (150 << 20),) * 2)
for _ in range(2):
    with swapper.saving() if swapper else nullcontext():
        loss = network(images).sum()
    loss.backward()
print(loss.item())
"""


def test_a_step_that_memory_has_no_room_for_succeeds(tmp_path: Path) -> None:
    """12 times 2 tensors of 9.4 MB, half of them shared, under a limit of 150 MB."""

    def run(way: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", LIMITED, way, str(tmp_path)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    plain, swapped = run("plain"), run("swapped")
    assert plain.returncode != 0 and "can't allocate memory" in plain.stderr
    assert swapped.returncode == 0, swapped.stderr
