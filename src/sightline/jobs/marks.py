"""Which process it is: its number alone may belong to another by now, its number and the moment it began may not.

The moment is counted in ticks since the machine started, so no change of the clock moves it; that start has a name of its own.
"""

import os
from pathlib import Path

import msgspec

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessMark(msgspec.Struct, frozen=True, kw_only=True):
    """One process, for as long as the world lasts: number, ticks since the machine's start, name of that start."""

    pid: int
    start_ticks: int
    boot: str


def mark_process(pid: int) -> ProcessMark | None:
    """The mark of a process that runs; None for one that ended, waited for or not."""
    try:
        # After the name, which is in brackets and may hold anything: state, parent, ...; proc(5)
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return ProcessMark(pid=pid, start_ticks=int(fields[19]), boot=read_boot())


def read_boot() -> str:
    """The name of the machine's last start."""
    return BOOT_ID.read_text().strip()


def mark_own_process() -> ProcessMark:
    """The mark of this process."""
    mark = mark_process(os.getpid())
    assert mark is not None
    return mark


def is_alive(mark: ProcessMark) -> bool:
    """Whether that very process still runs."""
    return mark_process(mark.pid) == mark
