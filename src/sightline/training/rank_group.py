"""Several processes on CPUs that share each batch: what they tell each other goes over gloo's connections.

A step costs two calls: one mean over gradients, statistics and loss, laid out one after another, and one sum of three numbers.
There is no bucket on its way while backward still runs, as beside GPUs: on a CPU sending takes the cores that compute.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sightline.core.errors import Exhausted
from sightline.training.ranks import Clock, Found
from sightline.training.worker_messages import LOOPBACK, Meeting

JOIN_S = 600.0  # until the last process has started; they end with their launcher, which knows when one died
# Process 0 may validate for hours while the others wait. Who dies closes its connections, so nobody waits for the dead; this
# bounds the wait for a machine that lost its power or its network.
WAIT_S = 24 * 3600.0
BUCKET_BYTES = 32 << 20  # that one call averages at most: so much memory it takes


class LostRank(Exhausted):
    """Another process of the training is gone: its own error tells why."""


def join_ranks(meeting: Meeting) -> "RankGroup":
    """Meet the others. Raises: LostRank when they do not come."""
    gloo: Any = dist.ProcessGroupGloo
    tcp_store: Any = dist.TCPStore  # type: ignore[attr-defined] # in its documentation, but not in `__all__`
    with _naming_loss():
        store = tcp_store(
            LOOPBACK,
            meeting.port,
            is_master=meeting.rank == 0,
            timeout=timedelta(seconds=JOIN_S),
            wait_for_workers=False,
            master_listen_fd=meeting.listener,
        )
        options = gloo._Options()
        options._timeout = timedelta(seconds=WAIT_S)
        options._devices = [gloo.create_device(hostname=LOOPBACK)]  # else it listens where the host's name leads to
        return RankGroup(gloo(store, meeting.rank, meeting.count, options))


class RankGroup:
    """The `Ranks` of processes that met.

    Args: group: a `ProcessGroupGloo`, of whose methods PyTorch's stubs know nothing.
    """

    def __init__(self, group: Any) -> None:
        self._group = group
        self.rank, self.count = group.rank(), group.size()
        self._clocks: tuple[Clock, Clock] | None = None
        self._wall_s = self._cpu_s = 0.0

    def average(self, network: nn.Module, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `Ranks`. A parameter that has a gradient in some processes only counts as zeros in the others.

        What is no number in one process is none in all, so all see that a loss diverged.
        """
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        has_gradient = torch.tensor([float(parameter.grad is not None) for parameter in learning])
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in learning]
        losses = torch.stack(list(parts.values()))
        self._average([*gradients, *_list_statistics(network), has_gradient, losses])
        for parameter, gradient, share in zip(learning, gradients, has_gradient.tolist(), strict=True):
            parameter.grad = gradient if share > 0 else None
        return dict(zip(parts, losses.unbind(), strict=True))

    def watch(self, wall_clock: Clock, cpu_clock: Clock) -> tuple[Clock, Clock]:
        """See `Ranks`."""
        self._clocks = wall_clock, cpu_clock
        self.look()
        return lambda: self._wall_s, lambda: self._cpu_s

    def look(self, stop: bool = False) -> bool:
        """See `Ranks`."""
        assert self._clocks is not None
        wall_clock, cpu_clock = self._clocks
        first = float(self.rank == 0)
        now = torch.tensor([first * wall_clock(), cpu_clock(), first * stop], dtype=torch.float64)
        self._together(lambda: self._group.allreduce([now]))
        self._wall_s, self._cpu_s, stops = now.tolist()
        return stops > 0

    def hear(self, find: Callable[[], Found], kind: type[Found]) -> Found:
        """See `Ranks`. The cores of the others, who wait, compute for process 0."""
        if self.rank:
            return msgspec.json.decode(self.share(b""), type=kind)
        threads = torch.get_num_threads()
        torch.set_num_threads(threads * self.count)
        try:
            found = find()
        finally:
            torch.set_num_threads(threads)
        self.share(msgspec.json.encode(found))
        return found

    def share(self, content: bytes) -> bytes:
        """See `Ranks`."""
        size = torch.tensor([len(content)])
        self._together(lambda: self._group.broadcast(size, 0))
        sent = torch.frombuffer(bytearray(content or int(size)), dtype=torch.uint8)
        self._together(lambda: self._group.broadcast(sent, 0))
        return sent.numpy().tobytes()

    def _average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over the processes."""
        for bucket in split_buckets(tensors, BUCKET_BYTES):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            self._together(lambda: self._group.allreduce([flat]))  # noqa: B023 - called at once
            flat /= self.count
            pieces = flat.split([tensor.numel() for tensor in bucket])
            torch._foreach_copy_(bucket, [piece.view(tensor.shape) for piece, tensor in zip(pieces, bucket, strict=True)])

    def _together(self, begin: Callable[[], dist.Work]) -> None:
        with _naming_loss():
            begin().wait()


def split_buckets(tensors: Sequence[Tensor], most_bytes: int) -> Iterator[list[Tensor]]:
    """Tensors in their order, as many at a time as fit, but at least one."""
    bucket: list[Tensor] = []
    room = most_bytes
    for tensor in tensors:
        if bucket and tensor.nbytes > room:
            yield bucket
            bucket, room = [], most_bytes
        bucket.append(tensor)
        room -= tensor.nbytes
    if bucket:
        yield bucket


def _list_statistics(network: nn.Module) -> list[Tensor]:
    """What norms learned from their process's part of the batch; other buffers follow from steps or never change."""
    norms = [norm for norm in network.modules() if isinstance(norm, _BatchNorm) and norm.training]
    tensors = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
    return [tensor for tensor in tensors if tensor is not None]


@contextmanager
def _naming_loss() -> Iterator[None]:
    """gloo raises a RuntimeError when a connection ends; so does its store."""
    try:
        yield
    except RuntimeError as error:
        raise LostRank(f"another process of this training is gone, see its log: {error}") from error
