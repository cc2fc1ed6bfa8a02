"""Real threads around the scheduler: everything is answered once, whatever executables and callers do."""

import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from waiting import wait_until

from sightline.core.errors import QueueFull, QueueTimeout
from sightline.serving.scheduling.device_threads import DeviceThreads, execute_batch
from sightline.serving.scheduling.scheduler import Scheduler
from sightline.serving.scheduling.work import QueueSettings, Work

PATIENCE_S = 20.0


class Runner:
    """An executable that calls `action` for its works in the slot's thread."""

    def __init__(self, action: Callable[[Sequence[Work], bool], None], name: str = "m", **settings: object) -> None:
        self.name = name
        self.queue = QueueSettings(**settings)  # type: ignore[arg-type]
        self.is_resident = True
        self._action = action

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        self._action(works, alone)


def finish_all(works: Sequence[Work], alone: bool) -> None:
    for work in works:
        work.finish(threading.get_ident())


@contextmanager
def run_threads(slots: int = 2, express_slots: int = 1) -> Iterator[Scheduler]:
    scheduler = Scheduler(slots, express_slots=express_slots)
    threads = DeviceThreads(scheduler)
    threads.start()
    try:
        yield scheduler
    finally:
        assert threads.close(PATIENCE_S)


class Caller:
    """Sends works and waits for their answers."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.answered: list[Work] = []
        self._condition = threading.Condition()

    def send(self, executable: Runner, **settings: object) -> Work:
        work = Work(executable, None, self._note, **settings)  # type: ignore[arg-type]
        self.scheduler.submit(work)
        return work

    def wait_for(self, count: int) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: len(self.answered) >= count, PATIENCE_S)

    def _note(self, work: Work) -> None:
        with self._condition:
            self.answered.append(work)
            self._condition.notify_all()


def test_works_run_on_the_slots_threads() -> None:
    with run_threads(slots=1, express_slots=0) as scheduler:
        caller = Caller(scheduler)
        gate, is_running = threading.Event(), threading.Event()

        def hold(works: Sequence[Work], alone: bool) -> None:
            is_running.set()
            assert gate.wait(PATIENCE_S)
            finish_all(works, alone)

        caller.send(Runner(hold, "holder"))
        assert is_running.wait(PATIENCE_S)
        model = Runner(finish_all, max_batch=8)
        works = [caller.send(model, rows=2), caller.send(model, rows=3)]
        gate.set()
        caller.wait_for(3)
    assert works[0].result == works[1].result != threading.get_ident()
    assert all(work.enqueued_s <= work.started_s <= work.finished_s for work in works)


def test_a_lone_request_may_use_all_threads() -> None:
    seen: list[bool] = []
    with run_threads() as scheduler:
        caller = Caller(scheduler)

        def note(works: Sequence[Work], alone: bool) -> None:
            seen.append(alone)
            finish_all(works, alone)

        caller.send(Runner(note))
        caller.wait_for(1)
    assert seen == [True]


def test_what_a_batch_leaves_waits_no_longer_than_its_delay_while_a_slot_sleeps() -> None:
    gate, began = threading.Event(), threading.Semaphore(0)

    def begin(works: Sequence[Work], alone: bool) -> None:
        began.release()
        assert gate.wait(PATIENCE_S)
        finish_all(works, alone)

    with run_threads(slots=2, express_slots=0) as scheduler:
        caller = Caller(scheduler)
        model = Runner(begin, max_batch=8, planned_batches=(1, 4, 8), max_queue_delay_s=0.2)
        for _ in range(4):
            caller.send(model)
        time.sleep(0.1)
        caller.send(model)  # is left behind when the four have waited long enough
        try:
            assert began.acquire(timeout=PATIENCE_S / 2) and began.acquire(timeout=PATIENCE_S / 2)
        finally:
            gate.set()
        caller.wait_for(5)


@pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(3), MemoryError()])
def test_threads_survive_an_executable_that_raises(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    def answer_one_and_raise(works: Sequence[Work], alone: bool) -> None:
        works[0].finish("first")
        raise error

    with caplog.at_level(logging.ERROR), run_threads(slots=1, express_slots=0) as scheduler:
        caller = Caller(scheduler)
        bad = Runner(answer_one_and_raise, "bad", max_batch=2, preferred_batches=(2,), max_queue_delay_s=PATIENCE_S)
        works = [caller.send(bad), caller.send(bad)]
        caller.wait_for(2)
        good = caller.send(Runner(finish_all, "good"))
        caller.wait_for(3)
    assert (works[0].result, works[0].error) == ("first", None)  # it was answered: it is not answered again
    assert isinstance(works[1].error, RuntimeError)
    assert good.error is None
    assert caller.answered == [*works, good]
    assert "bad raised" in caplog.text and type(error).__name__ in caplog.text


def test_threads_survive_an_executable_that_cannot_say_whether_it_is_resident(caplog: pytest.LogCaptureFixture) -> None:
    class Undecided(Runner):
        @property
        def is_resident(self) -> bool:
            raise KeyError("bug")

        @is_resident.setter
        def is_resident(self, value: bool) -> None:
            pass

    with run_threads(slots=1, express_slots=0) as scheduler:
        caller = Caller(scheduler)
        works = [caller.send(Undecided(finish_all)), caller.send(Runner(finish_all, "good"))]
        caller.wait_for(2)
    assert [work.error for work in works] == [None, None]
    assert "resident" in caplog.text


def test_a_work_that_its_executable_forgets_is_answered() -> None:
    with run_threads() as scheduler:
        caller = Caller(scheduler)
        work = caller.send(Runner(lambda works, alone: None))
        caller.wait_for(1)
    assert isinstance(work.error, RuntimeError)


def test_a_caller_that_raises_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def refuse_answers(work: Work) -> None:
        raise RuntimeError("the event loop is closed")

    with run_threads(slots=1, express_slots=0) as scheduler:
        caller = Caller(scheduler)
        pair = Runner(finish_all, max_batch=2, preferred_batches=(2,), max_queue_delay_s=PATIENCE_S)
        scheduler.submit(Work(pair, None, refuse_answers))
        other = caller.send(pair)
        caller.wait_for(1)
        caller.send(Runner(finish_all, "good"))
        caller.wait_for(2)
        hasty = Work(Runner(finish_all), None, refuse_answers, timeout_s=-1.0)
        scheduler.submit(hasty)  # late already: whoever refuses it meets the error
        caller.send(Runner(finish_all, "good"))
        caller.wait_for(3)
    assert isinstance(other.error, RuntimeError)  # the first broke their execution; it is answered nevertheless
    assert isinstance(hasty.error, QueueTimeout)


def test_time_is_up_while_every_slot_is_busy() -> None:
    gate, running = threading.Event(), threading.Semaphore(0)

    def hold(works: Sequence[Work], alone: bool) -> None:
        running.release()
        assert gate.wait(PATIENCE_S)
        finish_all(works, alone)

    with run_threads(slots=2) as scheduler:
        caller = Caller(scheduler)
        for _ in range(2):
            caller.send(Runner(hold, "holder"))
            assert running.acquire(timeout=PATIENCE_S)
        late = caller.send(Runner(finish_all, "holder"), timeout_s=0.02)
        caller.wait_for(1)
        assert caller.answered == [late]
        assert isinstance(late.error, QueueTimeout)
        gate.set()


def test_a_batch_that_does_not_fill_starts_when_its_delay_is_over() -> None:
    with run_threads() as scheduler:
        caller = Caller(scheduler)
        work = caller.send(Runner(finish_all, max_batch=8, max_queue_delay_s=0.02))
        caller.wait_for(1)
    assert work.started_s - work.enqueued_s >= 0.02


def test_the_light_model_runs_beside_executions_that_hold_every_slot() -> None:
    gate, running = threading.Event(), threading.Semaphore(0)

    def hold(works: Sequence[Work], alone: bool) -> None:
        running.release()
        assert gate.wait(PATIENCE_S)
        finish_all(works, alone)

    with run_threads(slots=2) as scheduler:
        caller = Caller(scheduler)
        heavy = Runner(hold, "heavy")
        for _ in range(3):
            caller.send(heavy)
        for _ in range(2):
            assert running.acquire(timeout=PATIENCE_S)
        light = caller.send(Runner(finish_all, "light"))
        caller.wait_for(1)
        assert caller.answered == [light]
        assert scheduler.snapshot().express_started == 1
        gate.set()
        caller.wait_for(4)


def test_no_thread_is_woken_for_what_it_could_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, running = threading.Event(), threading.Semaphore(0)

    def hold(works: Sequence[Work], alone: bool) -> None:
        running.release()
        assert gate.wait(PATIENCE_S)
        finish_all(works, alone)

    with run_threads(slots=2) as scheduler:
        caller = Caller(scheduler)
        heavy = Runner(hold, "heavy")
        for _ in range(2):
            caller.send(heavy)
            assert running.acquire(timeout=PATIENCE_S)
        wait_until(lambda: len(scheduler._sleepers) == 1)
        woken: list[int] = []
        wake = scheduler._sleepers.wake_last

        def count_wakes() -> None:
            woken.append(1)
            wake()

        monkeypatch.setattr(scheduler._sleepers, "wake_last", count_wakes)
        for _ in range(20):
            caller.send(heavy)
        assert woken == []  # the express thread sleeps on: the flood has no right to it
        caller.send(Runner(finish_all, "light"))
        assert woken == [1]
        gate.set()
        caller.wait_for(23)


def test_idle_threads_keep_nothing_of_the_last_request() -> None:
    class Payload:
        pass

    with run_threads(slots=1, express_slots=0) as scheduler:
        payload = Payload()
        gone = weakref.ref(payload)
        done = threading.Event()
        scheduler.submit(Work(Runner(finish_all), payload, lambda work: done.set()))
        del payload
        assert done.wait(PATIENCE_S)
        wait_until(lambda: gone() is None)


def test_a_work_cancelled_after_it_was_taken_is_not_executed() -> None:
    scheduler = Scheduler(1)
    executed: list[Work] = []
    model = Runner(lambda works, alone: executed.extend(works), max_batch=2)
    works = [Work(model, None, lambda work: None) for _ in range(2)]
    for work in works:
        scheduler.submit(work)
    batch = scheduler.try_take()
    assert batch is not None
    for work in works:
        scheduler.cancel(work)
    assert execute_batch(batch) == 0.0
    assert executed == []


def test_close_ends_idle_threads_and_says_when_one_hangs() -> None:
    scheduler = Scheduler(1, express_slots=0)
    threads = DeviceThreads(scheduler)
    threads.start()
    gate, is_running = threading.Event(), threading.Event()

    def hang(works: Sequence[Work], alone: bool) -> None:
        is_running.set()
        assert gate.wait(PATIENCE_S)
        finish_all(works, alone)

    caller = Caller(scheduler)
    caller.send(Runner(hang))
    assert is_running.wait(PATIENCE_S)
    assert not threads.close(0.0)
    gate.set()
    assert threads.close(PATIENCE_S)
    assert DeviceThreads(Scheduler(1)).close(0.0)  # never started


def test_under_stress_every_work_is_answered_exactly_once() -> None:
    rng = random.Random(7)
    executions: list[Work] = []

    def compute(works: Sequence[Work], alone: bool) -> None:
        executions.extend(works)
        for work in works:
            sum(range(rng.choice((10, 1000, 20_000))))
            work.finish(work.payload)

    with run_threads(slots=2, express_slots=1) as scheduler:
        caller = Caller(scheduler)
        models = [
            Runner(compute, "one"),
            Runner(compute, "many", max_batch=8, max_queue_delay_s=0.001, preferred_batches=(4,)),
            Runner(compute, "small", max_waiting=3, default_timeout_s=0.05),
            Runner(compute, "heavy", weight=3.0),
        ]
        refused: list[QueueFull] = []
        cancelled: list[Work] = []
        sent: list[Work] = []

        def send_many(seed: int) -> None:
            rng = random.Random(seed)
            for _ in range(500):
                model = rng.choice(models)
                try:
                    work = caller.send(model, tenant=rng.choice(["", "a", "b"]), timeout_s=rng.choice([None, None, 0.01]))
                except QueueFull as error:
                    refused.append(error)
                    continue
                sent.append(work)
                if rng.random() < 0.1:
                    scheduler.cancel(work)
                    cancelled.append(work)

        senders = [threading.Thread(target=send_many, args=(seed,)) for seed in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(PATIENCE_S)
        wait_until(lambda: not any(scheduler.snapshot().running.values()) and not any(scheduler.snapshot().waiting.values()))
    assert len(sent) + len(refused) == 2000
    assert len(set(caller.answered)) == len(caller.answered)
    assert len(set(executions)) == len(executions)
    gone = set(cancelled)
    assert set(sent) - gone <= set(caller.answered)
    assert all(work in set(executions) or isinstance(work.error, QueueTimeout) for work in caller.answered)
