import threading
from functools import partial

from waiting import wait_until

from sightline.serving.scheduling.sleepers import Sleepers

PATIENCE_S = 20.0


def has_count(sleepers: Sleepers, count: int) -> bool:
    return len(sleepers) == count


def start_sleepers(sleepers: Sleepers, lock: threading.Lock, count: int) -> tuple[list[threading.Thread], list[int]]:
    """Threads that fell asleep in order; each writes its number when it wakes, with the lock held."""
    woken: list[int] = []

    def sleep(number: int) -> None:
        with lock:
            sleepers.sleep()
            assert lock.locked()
            woken.append(number)

    threads = []
    for number in range(count):
        threads.append(threading.Thread(target=sleep, args=(number,), daemon=True))
        threads[-1].start()
        wait_until(partial(has_count, sleepers, number + 1))
    return threads, woken


def test_the_one_that_fell_asleep_last_is_woken_first_and_no_other() -> None:
    lock = threading.Lock()
    sleepers = Sleepers(lock)
    threads, woken = start_sleepers(sleepers, lock, 3)
    for left in (2, 1, 0):
        with lock:
            sleepers.wake_last()
            assert len(sleepers) == left  # at once, before the thread has run
        threads[left].join(PATIENCE_S)
        assert not threads[left].is_alive()
    assert woken == [2, 1, 0]


def test_all_are_woken() -> None:
    lock = threading.Lock()
    sleepers = Sleepers(lock)
    threads, woken = start_sleepers(sleepers, lock, 4)
    with lock:
        sleepers.wake_all()
        assert len(sleepers) == 0
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(woken) == [0, 1, 2, 3]


def test_the_lock_is_free_while_a_thread_sleeps() -> None:
    lock = threading.Lock()
    sleepers = Sleepers(lock)
    (thread,), _ = start_sleepers(sleepers, lock, 1)
    assert lock.acquire(timeout=PATIENCE_S)
    sleepers.wake_last()
    assert thread.is_alive()  # it needs the lock before it goes on
    lock.release()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
