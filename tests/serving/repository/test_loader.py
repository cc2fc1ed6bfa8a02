"""The loader's thread: which of the waiting jobs is next."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from sightline.serving.repository.loader import PAGE_INS_AT_A_TIME, Loader, Urgency


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


def test_a_job_that_was_given_up_is_left_out(loader: Loader) -> None:
    gate, done = threading.Event(), list[str]()
    loader.submit(Urgency.LOAD, partial(gate.wait, 20))
    given_up = loader.submit(Urgency.LOAD, partial(done.append, "given up"))
    assert given_up.cancel()
    gate.set()
    loader.run(partial(done.append, "next"))
    assert done == ["next"]
