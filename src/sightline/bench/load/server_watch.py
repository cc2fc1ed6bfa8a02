"""What the server's processes cost while load is on them: CPU seconds and memory, of the server and all its children.

Only a server on this machine that belongs to the same user can be watched; nothing is said of another one.
"""

import time
from typing import Literal, Self

import msgspec
import psutil

from sightline.bench.load.records import ServerCost
from sightline.core.errors import NotFound

ANY_ADDRESSES = frozenset({"0.0.0.0", "::"})


class ServerReading(msgspec.Struct, frozen=True, kw_only=True):
    """The server at one moment."""

    at_s: float
    processes: int
    cpu_s: float
    memory_kind: Literal["pss", "rss"]
    memory_bytes: int


class ServerWatch:
    """Reads the processes of a server. Args: pids: the server's own, without children."""

    def __init__(self, pids: frozenset[int]) -> None:
        self.pids = pids

    @classmethod
    def of_pid(cls, pid: int) -> Self:
        """Watch a process. Raises: NotFound when there is none."""
        if not psutil.pid_exists(pid):
            raise NotFound(f"no process {pid}; give as `server_pid` the number of the server's process, or leave it out")
        return cls(frozenset({pid}))

    @classmethod
    def of_listener(cls, host: str, port: int) -> Self | None:
        """Watch whoever listens at an address of this machine; None when the system does not say who."""
        try:
            connections = psutil.net_connections(kind="tcp")
        except (psutil.AccessDenied, OSError):
            return None
        pids = frozenset(
            one.pid
            for one in connections
            if one.status == psutil.CONN_LISTEN
            and one.pid is not None
            and one.laddr
            and one.laddr.port == port
            and one.laddr.ip in {host, *ANY_ADDRESSES}
        )
        return cls(find_roots(pids)) if pids else None

    def read(self) -> ServerReading | None:
        """CPU seconds so far and memory now; None when the server is gone or not ours to read."""
        cpu_s, size_bytes, kinds = 0.0, 0, set()
        try:
            processes = self._list_processes()
            for process in processes:
                times, memory = process.cpu_times(), process.memory_full_info()
                # Children that have ended are in the last two, so that a worker that is replaced is not forgotten.
                cpu_s += times.user + times.system + times.children_user + times.children_system
                pss = getattr(memory, "pss", 0)
                size_bytes += pss or memory.rss
                if memory.rss:  # a process that has ended and is not waited for yet has no memory of either kind
                    kinds.add("pss" if pss else "rss")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return ServerReading(
            at_s=time.perf_counter(),
            processes=len(processes),
            cpu_s=cpu_s,
            memory_kind="pss" if kinds == {"pss"} else "rss",
            memory_bytes=size_bytes,
        )

    def _list_processes(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        for pid in self.pids:
            process = psutil.Process(pid)
            found |= {one.pid: one for one in (process, *process.children(recursive=True))}
        return list(found.values())


def find_roots(pids: frozenset[int]) -> frozenset[int]:
    """Those of the processes that are no descendants of others of them: forked workers share their parent's socket."""
    roots = set()
    for pid in pids:
        try:
            parents = {parent.pid for parent in psutil.Process(pid).parents()}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            parents = set()
        if not parents & pids:
            roots.add(pid)
    return frozenset(roots)


def compute_cost(before: ServerReading | None, after: ServerReading | None) -> ServerCost | None:
    """The cost between two readings; None when one of them is missing."""
    if before is None or after is None:
        return None
    cpu_s = after.cpu_s - before.cpu_s
    return ServerCost(
        processes=after.processes,
        cpu_s=round(cpu_s, 3),
        cores=round(cpu_s / (after.at_s - before.at_s), 3),
        memory_kind=after.memory_kind,
        memory_before_bytes=before.memory_bytes,
        memory_after_bytes=after.memory_bytes,
    )
