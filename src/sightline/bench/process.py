"""What the operating system tells about this process and its neighbours: memory, CPU seconds, load."""

import os
import time
from typing import Literal

import msgspec
import psutil

from sightline.bench.records import LoadResult


class MemoryReading(msgspec.Struct, frozen=True):
    """Bytes this process holds: "pss" counts shared pages by share, "rss" counts them whole."""

    kind: Literal["pss", "rss"]
    size_bytes: int


def read_memory() -> MemoryReading:
    """Memory of this process at this moment."""
    process = psutil.Process()
    pss = getattr(process.memory_full_info(), "pss", None)
    return MemoryReading("pss", int(pss)) if pss else MemoryReading("rss", int(process.memory_info().rss))


def read_peak_rss_bytes() -> int | None:
    """Highest resident size this process ever had, or None where the system does not tell."""
    try:
        import resource  # not there on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * 1024 if os.uname().sysname == "Linux" else peak


class LoadWatch:
    """Sees from its making until `close()` how much of the machine other programs used."""

    def __init__(self) -> None:
        self.average_before = os.getloadavg()[0]
        self._wall, self._own, self._all = time.monotonic(), time.process_time(), _busy_cpu_s()

    def close(self) -> LoadResult:
        """The load around and between."""
        wall_s = time.monotonic() - self._wall
        others_s = (_busy_cpu_s() - self._all) - (time.process_time() - self._own)
        return LoadResult(
            average_before=self.average_before,
            average_after=os.getloadavg()[0],
            # The system counts in hundredths of a second, so a short watch may come out slightly below zero.
            other_cores=round(max(0.0, others_s / wall_s), 2) if wall_s > 0.5 else None,
        )


def _busy_cpu_s() -> float:
    """CPU seconds all programs of the machine have used so far."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guest time is part of user time already.
    return float(sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))
