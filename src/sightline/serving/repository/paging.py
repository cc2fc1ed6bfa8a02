"""Keeps the models' memory within a budget: idle versions are paged out, least recently used first, and in again on demand.

A version is idle when no request holds it, waiting or running. A request for one that is paged out waits in its queue while the
loader's thread opens it; that costs this request the page-in time, which is measured and told.
"""

import ctypes
import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from sightline.core.errors import Exhausted, InvalidInput, SightlineError
from sightline.serving.repository.loader import Loader, Urgency
from sightline.serving.repository.versions import HeldVersion
from sightline.serving.scheduling.work import Executable

MIB = 1 << 20
logger = logging.getLogger("sightline.serving")


class Queues(Protocol):
    """What the host tells the scheduler; `scheduling.scheduler.Scheduler` is one."""

    def wake(self) -> None:
        """An executable became resident: look at its queue again."""

    def drop(self, executable: Executable, error: SightlineError) -> None:
        """Refuse everything that waits for an executable."""


class Pager:
    """Decides who is resident.

    Args:
        budget_bytes: for all versions that answer; None: no bound. While a version is swapped, the old one is not counted.
        patience_s: how long requests wait for room while everything resident is in use, before they are refused.
        list_versions: every version that answers; called with the lock held.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        budget_bytes: int | None,
        patience_s: float,
        lock: threading.Lock,
        loader: Loader,
        queues: Queues,
        list_versions: Callable[[], Iterable[HeldVersion]],
        clock: Callable[[], float],
    ) -> None:
        self.budget_bytes = budget_bytes
        self._patience_s = patience_s
        self._lock = lock
        self._loader = loader
        self._queues = queues
        self._list_versions = list_versions
        self._clock = clock
        self._waiting: dict[HeldVersion, float] = {}  # for room, with the time since when
        self._is_retrying = False  # a job is on its way that tries them again

    def want(self, version: HeldVersion) -> None:
        """See to it that a version becomes resident; never waits. Call with the lock held."""
        if not version.is_resident and not version.wants_page_in:
            version.wants_page_in = True
            self._loader.submit(Urgency.PAGE_IN, partial(self._page_in, version))

    def note_idle(self) -> None:
        """A version has become idle, so there may be room now. Call with the lock held."""
        if self._waiting and not self._is_retrying:
            self._is_retrying = True
            self._loader.submit(Urgency.PAGE_IN, self._retry)

    def look_after(self, held: Iterable[HeldVersion]) -> None:
        """See that nobody waits for nothing: a request may have been queued just after its version was refused.

        Call now and then, without the lock. Args: held: every version that is not closed; read with the lock held.
        """
        if self.budget_bytes is None:
            return
        with self._lock:
            for version in held:
                if version.holders:
                    self.want(version)
            self.note_idle()
        self._queues.wake()  # pipelines hold their models only while they run, and ask for them when they are looked at

    def check_fits(self, memory_bytes: int) -> None:
        """Refuse what could never be resident. Args: memory_bytes: of a model, or of a pipeline's together.

        Raises: InvalidInput.
        """
        if self.budget_bytes is not None and memory_bytes > self.budget_bytes:
            raise InvalidInput(
                f"expected at most the memory budget of {self.budget_bytes / MIB:.0f} MiB, got {memory_bytes / MIB:.0f} MiB; "
                "raise the budget"
            )

    def make_room(self, needed_bytes: int) -> bool:
        """Page idle versions out until so much more fits; none when even all of them would not do. On the loader's thread."""
        with self._lock:
            busy_bytes = sum(version.memory_bytes for version in self._list_resident() if version.holders)
        if self.budget_bytes is not None and busy_bytes + needed_bytes > self.budget_bytes:
            return False
        self.settle(needed_bytes)
        return True

    def settle(self, needed_bytes: int = 0) -> None:
        """Page idle versions out until so much fits, or as far as they allow. On the loader's thread."""
        while (victim := self._take_victim(needed_bytes)) is not None:
            victim.opened.page_out()
            give_memory_back()
            logger.info("%s is paged out", victim.label)

    def _take_victim(self, needed_bytes: int) -> HeldVersion | None:
        """The idle version that was used longest ago, already said to be paged out; None when enough is free."""
        with self._lock:
            resident = self._list_resident()
            if self.budget_bytes is None or sum(one.memory_bytes for one in resident) + needed_bytes <= self.budget_bytes:
                return None
            idle = [version for version in resident if not version.holders and version.memory_bytes]
            if not idle:
                return None
            victim = min(idle, key=lambda version: version.last_used_s)
            victim.opened.suspend()  # under the lock: whoever acquires it from now on sees that it is not resident
            return victim

    def _list_resident(self) -> list[HeldVersion]:
        return [version for version in self._list_versions() if version.is_resident]

    def _retry(self) -> None:
        """Try those again that wait for room, longest first."""
        with self._lock:
            self._is_retrying = False  # whoever becomes idle from now on may make more room
        for version in sorted(self._waiting, key=lambda version: self._waiting[version]):
            self._page_in(version)

    def _page_in(self, version: HeldVersion) -> None:
        with self._lock:
            if version.is_closed or version.is_resident or (version.is_draining and not version.holders):
                self.forget(version)
                return
        if not self.make_room(version.memory_bytes):
            self._wait_for_room(version)
            return
        begun_s = self._clock()
        try:
            version.opened.open()
            version.opened.warm_up()
        except Exception:  # an engine may raise anything, and the loader must go on
            logger.exception("%s cannot be paged in", version.label)
            self._refuse(version, f"{version.label} cannot be paged in; the server's log says why")
            return
        with self._lock:
            version.memory_bytes = version.opened.memory_bytes
            version.page_in_count += 1
            version.last_page_in_s = self._clock() - begun_s
            self.forget(version)
        logger.info("%s is paged in after %.3f s", version.label, version.last_page_in_s)
        self._queues.wake()

    def _wait_for_room(self, version: HeldVersion) -> None:
        with self._lock:
            since_s = self._waiting.setdefault(version, self._clock())
        if self._clock() - since_s >= self._patience_s:
            self._refuse(version, f"no memory for {version.label}: the models in use fill the budget; ask again in a moment")

    def _refuse(self, version: HeldVersion, reason: str) -> None:
        try:
            version.opened.page_out()  # it may be half open
        finally:
            with self._lock:
                self.forget(version)
            self._queues.drop(version.opened, Exhausted(reason))

    def forget(self, version: HeldVersion) -> None:
        """A version is wanted no more. Call with the lock held."""
        version.wants_page_in = False
        self._waiting.pop(version, None)


def give_memory_back() -> None:
    """Return what a closed model freed to the system.

    glibc keeps freed memory in the arenas of the threads that allocated it, so a server that reloads models would seem to
    grow although nothing leaks; `malloc_trim` walks all arenas and releases their free pages. Where the C library has no such
    call, memory goes back as it sees fit.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
