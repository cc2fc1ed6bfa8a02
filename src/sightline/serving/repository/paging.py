"""Keeps the models' memory within a budget: idle versions are paged out, least recently used first, and in again on demand.

A version is idle when no request holds it, waiting or running, nor a pipeline that runs it. A request for one that is paged out
waits in its queue while the loader's thread opens it; that costs this request the page-in time, which is measured and told.

When everything resident is in use, whoever waits for half the patience takes the place of the version that has been in memory
longest for its weight: more models than fit take turns, and none is kept out for good. When the patience is over requests are
refused, whatever the loader's thread is busy with: another thread looks after them.

A version may be idle and yet run: its client hung up. It is paged out when that has ended, and one that lasts stays: neither an
endless execution nor a lasting one holds up the loader.
"""

import logging
from collections.abc import Collection, Iterable
from functools import partial
from typing import Protocol

from sightline.core.errors import Exhausted, InvalidInput, SightlineError
from sightline.serving.repository.folders import tell_change
from sightline.serving.repository.loaded_models import LoadedModels
from sightline.serving.repository.loader import Loader, Urgency
from sightline.serving.repository.memory import MemoryMeter, give_memory_back
from sightline.serving.repository.versions import HeldVersion
from sightline.serving.scheduling.work import Executable

MIB = 1 << 20
FORCING_SHARE = 0.5  # of the patience, after which room is made among those in use
ENDING_S = 0.5  # to wait for an execution that nobody waits for: it may be about to end
TURN_SHARE = 0.1  # of the patience, that lies at least between two times that is done, so that those paged in do some work
logger = logging.getLogger("sightline.serving")


class Queues(Protocol):
    """What the host tells the scheduler; `scheduling.scheduler.Scheduler` is one."""

    def wake(self) -> None:
        """An executable became resident: look at its queue again."""

    def drop(self, executable: Executable, error: SightlineError) -> None:
        """Refuse everything that waits for an executable."""

    def await_end(self, executables: Collection[Executable], timeout_s: float | None = None) -> bool:
        """Block until no execution of these runs, or so long at most. Returns: whether none runs."""


class Pager:
    """Decides who is resident.

    The loader's thread opens and closes; any thread may ask for a version, with the lock held, and one of its own looks after
    those that wait.

    Args:
        loaded: the versions; only those that answer count against the budget. While one is swapped, the old one does not.
        loader: the thread that opens and closes.
        queues: told when a version was paged in or cannot be.
        meter: what opening a version takes.
        budget_bytes: None: no bound.
        patience_s: how long requests wait until their model begins to be opened, before they are refused.
    """

    def __init__(
        self,
        loaded: LoadedModels,
        loader: Loader,
        queues: Queues,
        meter: MemoryMeter,
        budget_bytes: int | None,
        patience_s: float,
    ) -> None:
        self._loaded = loaded
        self._loader = loader
        self._queues = queues
        self._meter = meter
        self._budget_bytes = budget_bytes
        self._patience_s = patience_s
        # Under the lock:
        self._wanted: dict[HeldVersion, float] = {}  # those not yet being opened, with the time since when requests wait
        self._waiting: set[HeldVersion] = set()  # for room
        self._opening: HeldVersion | None = None
        self._is_retrying = False  # a job is on its way that tries them again
        # On the loader's thread alone:
        self._lasting: set[HeldVersion] = set()  # which run for longer than was waited for their end
        self._forced_s: float | None = None  # when room was last made among those in use

    def want(self, version: HeldVersion) -> None:
        """See to it that a version becomes resident; never waits. Call with the lock held."""
        if version.is_resident or version is self._opening:
            return
        self._wanted.setdefault(version, self._loaded.clock())
        if not version.wants_page_in:
            version.wants_page_in = True
            self._loader.submit(Urgency.PAGE_IN, partial(self._page_in, version))

    def note_idle(self, has_grown: bool = False) -> None:
        """A version has become idle, so there may be room now. Call with the lock held.

        Args:
            has_grown: versions have come to hold more than the budget, so some have to go even where none waits.
        """
        if (self._waiting or has_grown) and not self._is_retrying:
            self._is_retrying = True
            self._loader.submit(Urgency.PAGE_IN, self._retry)

    def look_after(self) -> None:
        """See that nobody waits for nothing or for too long: a request may be queued just after its version was refused.

        Call now and then, without the lock, from a thread that does not wait for the loader.
        """
        if self._budget_bytes is None:
            return
        for version, reason in self._take_late():
            self._drop(version, reason)
        with self._loaded.lock:
            for version in self._loaded.held.values():
                if version.holders:
                    self.want(version)
            self.note_idle(has_grown=sum(one.memory_bytes for one in self._loaded.list_resident()) > self._budget_bytes)
        self._queues.wake()  # pipelines hold their models only while they run, and ask for them when they are looked at

    def forget(self, version: HeldVersion) -> None:
        """A version is about to be closed for good."""
        with self._loaded.lock:
            self._forget(version)

    def check_fits(self, memory_bytes: int) -> None:
        """Refuse what could never be resident. Args: memory_bytes: of a model, or of a pipeline's together.

        Raises: InvalidInput.
        """
        if self._budget_bytes is not None and memory_bytes > self._budget_bytes:
            raise InvalidInput(
                f"expected at most the memory budget of {self._budget_bytes / MIB:.0f} MiB, got {memory_bytes / MIB:.0f} MiB; "
                "raise the budget"
            )

    def note_growth(self, version: HeldVersion, grown_bytes: int) -> None:
        """Take into account what opening a version was seen to take.

        At most the whole budget: a reading may also hold what an engine needs once, or requests took meanwhile, and is no
        reason to refuse a version; one that large has the memory to itself.
        """
        if not version.opened.memory_bytes:
            return  # a pipeline holds nothing of its own
        budget_bytes = self._budget_bytes
        version.note_growth(grown_bytes, budget_bytes)
        if budget_bytes is not None and grown_bytes > budget_bytes <= version.memory_bytes:
            logger.warning(
                "%s took %.0f MiB to open, more than the memory budget of %.0f MiB: nothing stays beside it; raise the budget",
                version.label,
                grown_bytes / MIB,
                budget_bytes / MIB,
            )

    def make_room_to_load(self, size_bytes: int) -> None:
        """As far as files tell, before a version is loaded: what it takes is known only when it is open."""
        if self._budget_bytes is not None:
            self._make_room(min(size_bytes, self._budget_bytes))

    def _make_room(self, needed_bytes: int) -> bool:
        """Page idle versions out until so much more fits; none when even all of them would not do. On the loader's thread."""
        self._forget_ended()
        while self._could_fit(needed_bytes):
            if (victim := self._take_victim(needed_bytes)) is None:
                return True
            self._page_out(victim, ENDING_S)  # where that fails it counts as busy
        return False

    def settle(self) -> None:
        """Page idle versions out until all fits, or as far as they allow. On the loader's thread."""
        self._forget_ended()
        while (victim := self._take_victim(0)) is not None:
            self._page_out(victim, ENDING_S)

    def await_end(self, versions: Iterable[HeldVersion], timeout_s: float | None) -> bool:
        """Wait until no execution of these versions runs, or so long at most. Returns: whether none runs."""
        return self._queues.await_end([version.opened for version in versions], timeout_s)

    def await_end_on(self, version: HeldVersion, timeout_s: float) -> bool:
        """As `await_end`, for everything that runs on a version: also pipelines."""
        with self._loaded.lock:
            users = self._loaded.list_users(version)
        return self.await_end([version, *users], timeout_s)

    def _forget_ended(self) -> None:
        """Those that lasted may have ended meanwhile."""
        self._lasting = {version for version in self._lasting if not self.await_end_on(version, 0.0)}

    def _could_fit(self, needed_bytes: int) -> bool:
        """Whether so much more would fit without the idle versions."""
        with self._loaded.lock:
            busy_bytes = sum(version.memory_bytes for version in self._loaded.list_resident() if self._is_busy(version))
        return self._budget_bytes is None or busy_bytes + needed_bytes <= self._budget_bytes

    def _take_victim(self, needed_bytes: int) -> HeldVersion | None:
        """The idle version that was used longest ago, already said to be paged out; None when enough is free."""
        with self._loaded.lock:
            resident = self._loaded.list_resident()
            if self._budget_bytes is None or sum(one.memory_bytes for one in resident) + needed_bytes <= self._budget_bytes:
                return None
            idle = [version for version in resident if version.memory_bytes and not self._is_busy(version)]
            if not idle:
                return None
            victim = min(idle, key=lambda version: version.last_used_s)
            victim.opened.suspend()  # under the lock: whoever acquires it from now on sees that it is not resident
            return victim

    def _force_room(self, wanted: HeldVersion) -> bool:
        """Page out versions in use, those first that have been in memory longest for their weight; False when that is no help.

        Their requests go on to wait in their queues, and have them paged in again when it is their turn.
        """
        now_s = self._loaded.clock()
        with self._loaded.lock:
            if self._forced_s is not None and now_s - self._forced_s < TURN_SHARE * self._patience_s:
                return False
            victims = self._choose_victims(wanted, now_s)
            for victim in victims:
                victim.opened.suspend()
                if victim.holders:
                    self.want(victim)
        if not victims:
            return False
        self._forced_s = now_s
        for victim in victims:
            self._page_out(victim, FORCING_SHARE * self._patience_s / len(victims))
        return self._make_room(wanted.memory_bytes)

    def _choose_victims(self, wanted: HeldVersion, now_s: float) -> list[HeldVersion]:
        """Versions in use whose memory would do, the best first; none when all of them would not. Call with the lock held."""
        partners = {name for user in self._loaded.list_users(wanted) if user.holders for name in user.steps}
        busy = [one for one in self._loaded.list_resident() if one.memory_bytes and self._is_busy(one)]
        lacking = sum(one.memory_bytes for one in busy) + wanted.memory_bytes - (self._budget_bytes or 0)
        victims: list[HeldVersion] = []
        for one in sorted(busy, key=lambda one: (one.resident_since_s - now_s) / one.opened.queue.weight):
            is_spared = one.source.name in partners and not one.has_grown  # one that has comes back as it was
            if lacking > 0 and not is_spared and one not in self._lasting:
                victims.append(one)
                lacking -= one.memory_bytes
        return victims if lacking <= 0 else []

    def _page_out(self, version: HeldVersion, timeout_s: float) -> None:
        """Close a version that was said to be paged out, when what runs on it has ended; it goes on where that takes longer."""
        if not self.await_end_on(version, timeout_s):
            with self._loaded.lock:
                version.opened.resume()
                self._wanted.pop(version, None)  # nobody waits for what is there
                self._lasting.add(version)
            logger.info("%s stays in memory for now: an execution on it has not ended after %.3g s", version.label, timeout_s)
            self._queues.wake()
            return
        version.opened.page_out()
        give_memory_back()
        logger.info("%s is paged out", version.label)

    def _is_busy(self, version: HeldVersion) -> bool:
        """Whether requests wait for it or run on it, also as a step of a pipeline. Call with the lock held."""
        return version.holders > 0 or version in self._lasting or any(user.holders for user in self._loaded.list_users(version))

    def _retry(self) -> None:
        """Try those again that wait for room, longest first."""
        self.settle()
        with self._loaded.lock:
            self._is_retrying = False  # whoever becomes idle from now on may make more room
            waiting = sorted(self._waiting, key=lambda version: self._wanted[version])
        for version in waiting:
            self._page_in(version)

    def _page_in(self, version: HeldVersion) -> None:
        with self._loaded.lock:
            if version.is_closed or version.is_resident or (version.is_draining and not version.holders):
                self._forget(version)
            if not version.wants_page_in:  # or no more, since those who waited for it have been refused
                return
        if not self._make_room(version.memory_bytes) and not self._wait_for_room(version):
            return
        begun_s = self._loaded.clock()
        with self._loaded.lock:
            self._opening = version
            self._wanted.pop(version, None)  # they have their turn
            self._waiting.discard(version)
        if reason := tell_change(version.source, version.stamp):
            logger.error("%s cannot be paged in: %s", version.label, reason)
            self._refuse(version, f"{version.label} cannot be paged in: {reason}")
            return
        try:
            with self._meter.measure() as measured:
                version.opened.open()
                version.opened.warm_up()
        except Exception:  # an engine may raise anything, and the loader must go on
            logger.exception("%s cannot be paged in", version.label)
            self._refuse(version, f"{version.label} cannot be paged in; the server's log says why")
            return
        with self._loaded.lock:
            self.note_growth(version, measured.grown_bytes)
            version.resident_since_s = self._loaded.clock()
            version.page_in_count += 1
            version.last_page_in_s = self._loaded.clock() - begun_s
            self._forget(version)
        logger.info("%s is paged in after %.3f s", version.label, version.last_page_in_s)
        self._queues.wake()

    def _wait_for_room(self, version: HeldVersion) -> bool:
        """Let a version wait, or make room for it among those in use: True when there is room for it now."""
        with self._loaded.lock:
            self._waiting.add(version)
            waited_s = self._loaded.clock() - self._wanted.setdefault(version, self._loaded.clock())
        # Whoever has waited for longer is about to be refused, by the thread that looks after them.
        return FORCING_SHARE * self._patience_s <= waited_s < self._patience_s and self._force_room(version)

    def _take_late(self) -> list[tuple[HeldVersion, str]]:
        """Versions whose requests have waited for too long, with the reason; whoever comes from now on has time of its own."""
        with self._loaded.lock:
            now_s, late = self._loaded.clock(), []
            for version, since_s in list(self._wanted.items()):
                if now_s - since_s < self._patience_s:
                    continue
                if version in self._waiting:
                    reason = f"no memory for {version.label}: the models in use fill the budget; ask again in a moment"
                    self._forget(version)
                else:
                    reason = f"{version.label} is paged out, and others are being loaded before it; ask again in a moment"
                    del self._wanted[version]  # its job is still on its way
                late.append((version, reason))
            return late

    def _refuse(self, version: HeldVersion, reason: str) -> None:
        try:
            version.opened.page_out()  # it may be half open
        finally:
            with self._loaded.lock:
                self._forget(version)
            self._drop(version, reason)

    def _drop(self, version: HeldVersion, reason: str) -> None:
        """Refuse whatever waits for a version, and for pipelines that run it: they would ask for it again for ever."""
        with self._loaded.lock:
            users = self._loaded.list_users(version)
        for waiting in (version, *users):
            self._queues.drop(waiting.opened, Exhausted(reason))

    def _forget(self, version: HeldVersion) -> None:
        """A version is wanted no more. Call with the lock held."""
        version.wants_page_in = False
        self._wanted.pop(version, None)
        self._waiting.discard(version)
        if self._opening is version:
            self._opening = None
