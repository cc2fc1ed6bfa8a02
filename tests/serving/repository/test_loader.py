"""The loader's thread: which of the waiting jobs is next."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from sightline.core.errors import Exhausted
from sightline.serving.repository.loader import PAGE_INS_AT_A_TIME, Loader, Urgency, give_up


@pytest.fixture
def loader() -> Iterator[Loader]:
    loader = Loader()
    yield loader
    loader.close(lambda: None)


def test_page_ins_let_a_load_have_its_turn(loader: Loader) -> None:
    gate, done = threading.Event(), list[str]()
    loader.submit(Urgency.CLOSE, partial(gate.wait, 20))
    loads = [loader.submit(Urgency.LOAD, partial(done.append, f"load {number}")) for number in (1, 2)]
    for _ in range(2 * PAGE_INS_AT_A_TIME + 1):
        last = loader.submit(Urgency.PAGE_IN, partial(done.append, "page in"))
    loader.submit(Urgency.CLOSE, partial(done.append, "close"))
    gate.set()
    last.result(20)
    for load in loads:
        load.result(20)
    turn = ["page in"] * PAGE_INS_AT_A_TIME
    assert done == ["close", *turn, "load 1", *turn, "load 2", "page in"]


def test_a_load_of_many_lets_what_is_more_urgent_have_its_turn_between_two(loader: Loader) -> None:
    entered, gate, done = threading.Event(), threading.Event(), list[str]()

    def load_many() -> None:
        entered.set()
        gate.wait(20)
        for number in (1, 2, 3):
            loader.give_way()
            done.append(f"load {number}")

    loads = [loader.submit(Urgency.LOAD, load_many), loader.submit(Urgency.LOAD, partial(done.append, "another load"))]
    assert entered.wait(20)
    for _ in range(PAGE_INS_AT_A_TIME + 1):
        loader.submit(Urgency.PAGE_IN, partial(done.append, "page in"))
    loader.submit(Urgency.CLOSE, partial(done.append, "close"))
    gate.set()
    for load in loads:
        load.result(20)
    turn = ["page in"] * PAGE_INS_AT_A_TIME
    assert done == ["close", *turn, "load 1", "page in", "load 2", "load 3", "another load"]


def test_a_job_that_was_given_up_is_left_out(loader: Loader) -> None:
    gate, done = threading.Event(), list[str]()
    loader.submit(Urgency.LOAD, partial(gate.wait, 20))
    given_up = loader.submit(Urgency.LOAD, partial(done.append, "given up"))
    assert given_up.cancel()
    gate.set()
    loader.submit(Urgency.LOAD, partial(done.append, "next")).result(20)
    assert done == ["next"]


def test_what_waits_to_be_loaded_when_it_ends_is_refused() -> None:
    loader, entered, gate, done = Loader(), threading.Event(), threading.Event(), list[str]()
    running = loader.submit(Urgency.LOAD, lambda: entered.set() or gate.wait(20))
    assert entered.wait(20)
    waiting = [loader.submit(urgency, partial(done.append, "loaded")) for urgency in (Urgency.LOAD, Urgency.PAGE_IN)]
    given_up = loader.submit(Urgency.LOAD, partial(done.append, "given up"))
    given_up.cancel()
    loader.submit(Urgency.CLOSE, partial(done.append, "closed"))
    ending = threading.Thread(target=loader.close, args=[partial(done.append, "last")])
    ending.start()
    for future in waiting:
        with pytest.raises(Exhausted, match="shutting down"):
            future.result(20)
    gate.set()
    ending.join(20)
    assert running.result(20) and done == ["closed", "last"]


def test_a_job_that_hangs_is_left_to_itself_and_the_last_one_left_out() -> None:
    loader, entered, gate, done = Loader(), threading.Event(), threading.Event(), list[str]()
    running = loader.submit(Urgency.LOAD, lambda: entered.set() or gate.wait(20))
    assert entered.wait(20)
    give_up(running)
    with pytest.raises(Exhausted, match="shutting down"):
        running.result(0)
    assert not loader.close(partial(done.append, "last"), patience_s=0.01)
    gate.set()
    loader._thread.join(20)  # it ends without a word about the job that was given up
    assert not loader._thread.is_alive() and done == []


def test_the_last_job_may_take_longer_than_what_runs_before_it_is_waited_for() -> None:
    loader, done = Loader(), list[str]()
    pause = threading.Event()
    assert loader.close(lambda: pause.wait(1.6) or done.append("last"), patience_s=1.5)
    assert done == ["last"]


def test_giving_up_what_has_ended_changes_nothing(loader: Loader) -> None:
    ended = loader.submit(Urgency.LOAD, lambda: 7)
    assert ended.result(20) == 7
    give_up(ended)
    assert ended.result(0) == 7
