"""Placement: which cores and GPUs a job gets, and whether it must wait.

A job that computes gets every core, so one of them runs at a time: two trainings that share two cores would both end later
than the first would alone, and what is timed beside another job is timed wrong. Where there are GPUs, a training on one gets
that GPU and its share of the cores. A job that does not fit makes those behind it wait too, lest small ones overtake a large
one for ever; jobs that need no core run at once.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a job must have: no core, its share, or every core; and whether it computes on a GPU where there is one."""

    cores: Literal["none", "share", "all"]
    wants_gpu: bool = False


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What a job has: numbers of cores and of GPUs."""

    cores: tuple[int, ...] = ()
    gpus: tuple[int, ...] = ()


class Leases:
    """Who has which cores and GPUs.

    Args: cores, gpus: the numbers of those that jobs may have.
    """

    def __init__(self, cores: Sequence[int], gpus: Sequence[int]) -> None:
        self._cores, self._gpus = tuple(cores), tuple(gpus)
        self._held: dict[str, Lease] = {}

    @property
    def held(self) -> Mapping[str, Lease]:
        """The leases by job."""
        return self._held

    def take(self, job_id: str, needs: Needs) -> Lease | None:
        """Lease what a job needs; None while that is not free."""
        gpus: tuple[int, ...] = ()
        if needs.wants_gpu and self._gpus:
            free = self._free(self._gpus, [gpu for lease in self._held.values() for gpu in lease.gpus])
            if not free:
                return None
            gpus = free[:1]
        wanted = self._count_cores(needs, bool(gpus))
        free = self._free(self._cores, [core for lease in self._held.values() for core in lease.cores])
        if wanted > len(free):
            return None
        return self.restore(job_id, Lease(cores=free[:wanted], gpus=gpus))

    def restore(self, job_id: str, lease: Lease) -> Lease:
        """Note the lease of a job that runs already."""
        self._held[job_id] = lease
        return lease

    def give_back(self, job_id: str) -> None:
        """A job needs its lease no more."""
        self._held.pop(job_id, None)

    def _count_cores(self, needs: Needs, has_gpu: bool) -> int:
        if needs.cores == "none":
            return 0
        is_share = needs.cores == "share" and has_gpu
        return max(1, len(self._cores) // len(self._gpus)) if is_share else len(self._cores)

    @staticmethod
    def _free(all_of_them: tuple[int, ...], taken: Sequence[int]) -> tuple[int, ...]:
        return tuple(one for one in all_of_them if one not in taken)
