import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from repository_fakes import (
    MIB,
    WAIT_S,
    Clock,
    FakeModel,
    FakeQueues,
    Maker,
    WaitingHost,
    deploy,
    list_resident,
    open_host,
    write_configuration,
    write_graph,
)
from waiting import wait_until

from sightline.core.errors import Exhausted, InvalidInput, NotFound
from sightline.serving.inference.service import ServedVersion
from sightline.serving.inference.source import ModelSource
from sightline.serving.repository.describing import DeploymentFacts


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_graph(tmp_path / "repository", name, 1, "four")  # 4 MiB each
    return tmp_path / "repository"


def use(host: WaitingHost, name: str) -> None:
    """Ask and wait until it is in memory, as a request would."""
    served = host.acquire(name)
    wait_until(lambda: served.is_resident)
    host.look()  # and the host has noted it
    host.release(served)


def make_patient(clock: Clock) -> dict[str, Any]:
    """Settings of a host with room for two models, that looks after those who wait all the time."""
    budget = {"memory_budget_bytes": 8 * MIB, "page_in_patience_s": 10.0}
    return {**budget, "clock": clock, "mode": "none", "check_every_s": 0.01}


def await_looks(host: WaitingHost, queues: FakeQueues, is_loading: bool = False) -> None:
    """Until those who wait have been looked after, and what came of it is done. Args: is_loading: the loader is busy."""
    while queues.woken.acquire(blocking=False):
        pass
    for _ in range(2):  # the first one may have begun before
        assert queues.woken.acquire(timeout=WAIT_S)
    if not is_loading:
        host.look()


def test_without_a_budget_everything_stays(repository: Path, maker: Maker) -> None:
    with open_host(repository, maker) as host:
        assert list_resident(host) == ["a", "b", "c"]


def test_what_was_used_longest_ago_goes_first_and_comes_back_on_demand(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock
) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=9 * MIB, clock=clock) as host:
        assert list_resident(host) == ["b", "c"]  # a was opened first
        assert maker.opened == [("a", 1), ("b", 1), ("c", 1)]  # it still answers
        assert host.acquire("a").facts.name == "a"  # known without opening
        assert queues.woken.acquire(timeout=20)
        assert list_resident(host) == ["a", "c"]
        clock.now_s += 1
        use(host, "c")
        clock.now_s += 1
        use(host, "b")  # a is held, so c goes although it was used later
        assert list_resident(host) == ["a", "b"]


def test_the_time_of_a_page_in_is_told(repository: Path, maker: Maker, queues: FakeQueues, clock: Clock) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB, clock=clock) as host:
        (model,) = [model for model in maker.alive if model.name == "a"]
        open_before = model.open

        def open_slowly() -> None:
            clock.now_s += 0.25
            open_before()

        model.open = open_slowly  # type: ignore[method-assign]
        use(host, "a")
        state = next(state for state in host.index() if state.name == "a")
        assert (state.page_in_count, state.last_page_in_s, state.memory_bytes) == (1, 0.25, 4 * MIB)
        facts = host.describe("a")
        assert isinstance(facts, DeploymentFacts)
        assert (facts.is_resident, facts.page_in_count, facts.last_page_in_s) == (True, 1, 0.25)
        assert model.calls == ["open", "warm_up", "page_out", "open", "warm_up"]
        assert next(state for state in host.index() if state.name == "c").last_page_in_s is None


def test_many_requests_for_one_that_is_out_page_it_in_once(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB) as host:
        held = [host.acquire("a") for _ in range(10)]
        assert queues.woken.acquire(timeout=20)
        assert isinstance(held[0], FakeModel) and held[0].calls.count("open") == 2
        for served in held:
            host.release(served)


def test_what_is_in_use_is_never_paged_out_and_room_is_made_when_it_is_let_go(
    repository: Path, maker: Maker, queues: FakeQueues
) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB) as host:
        busy = [host.acquire("b"), host.acquire("c")]
        waiting = host.acquire("a")
        host.look()  # whatever was asked for is done or waits
        assert list_resident(host) == ["b", "c"] and not waiting.is_resident
        host.release(busy[1])
        assert queues.woken.acquire(timeout=20)
        assert list_resident(host) == ["a", "b"]
        assert queues.dropped == []


def test_requests_that_wait_too_long_for_room_are_refused(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock
) -> None:
    settings = {
        "memory_budget_bytes": 8 * MIB,
        "page_in_patience_s": 5.0,
        "clock": clock,
        "check_every_s": 0.01,
        "mode": "none",
    }
    with open_host(repository, maker, queues, **settings) as host:
        busy = [host.acquire("b"), host.acquire("c")]
        waiting = host.acquire("a")
        assert not queues.has_dropped.acquire(timeout=0.05)
        host.look()  # it waits for room
        clock.now_s += 5
        assert queues.has_dropped.acquire(timeout=20)
        refused, error = queues.dropped[0]
        assert refused is waiting and isinstance(error, Exhausted) and "no memory for version 1 of a" in str(error)
        host.release(waiting)
        for served in busy:
            host.release(served)
        use(host, "a")  # and later it works


def test_one_that_waits_for_long_takes_the_place_of_the_one_longest_in_memory_for_its_weight(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock
) -> None:
    write_configuration(repository, "c", {"sightline": {"weight": 3}})
    with open_host(repository, maker, queues, **make_patient(clock)) as host:
        clock.now_s += 10
        busy = [host.acquire("b"), host.acquire("c")]
        waiting = host.acquire("a")
        host.look()
        clock.now_s += 4.9
        await_looks(host, queues)
        assert list_resident(host) == ["b", "c"]
        clock.now_s += 0.2
        wait_until(lambda: waiting.is_resident)
        host.look()
        assert list_resident(host) == ["a", "c"]  # both were there for 15 s, but c has three times the weight
        assert queues.awaited[-1] == ["b"] and queues.dropped == []
        clock.now_s += 6  # now b waits, and its place in turn is c's, after 21 s of weight 3 against 6 s of weight 1
        wait_until(lambda: busy[0].is_resident)
        assert list_resident(host) == ["a", "b"] and queues.dropped == []


def test_what_opening_a_version_takes_counts_where_it_is_more_than_the_estimate(
    repository: Path, maker: Maker, queues: FakeQueues
) -> None:
    # MiB of each opening; the estimates are 4. Beside those of a, requests allocated once, and freed twice.
    growths, held_bytes = {"a": [6, 90, 7, 0, 0], "b": [3] * 9, "c": [5] * 9}, 0

    class Growing(FakeModel):
        def warm_up(self) -> None:
            nonlocal held_bytes
            super().warm_up()
            held_bytes += growths[self.name].pop(0) * MIB

    def read_memory() -> int:
        return held_bytes

    def open_growing(source: ModelSource) -> FakeModel:
        return Growing(source, maker)

    def list_bytes(host: WaitingHost) -> dict[str, int]:
        return {state.name: state.memory_bytes // MIB for state in host.list_loaded()}

    with open_host(repository, open_growing, queues, memory_budget_bytes=10 * MIB, read_memory=read_memory) as host:
        assert (list_bytes(host), list_resident(host)) == ({"a": 6, "b": 4, "c": 5}, ["b", "c"])
        use(host, "a")
        assert (list_bytes(host), list_resident(host)) == ({"a": 6, "b": 4, "c": 5}, ["a"])
        use(host, "b")
        assert list_resident(host) == ["a", "b"]  # what seemed to take 90 once is not alone in memory for ever
        for expected in (7, 6, 6):  # the middle of 6, 7, 90; the lower middle of 0, 6, 7, 90; the middle of 0, 0, 6, 7, 90
            use(host, "c")
            assert "a" not in list_resident(host)
            use(host, "a")
            assert list_bytes(host)["a"] == expected


def test_plans_that_requests_made_count_beside_those_of_the_opening(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=9 * MIB, check_every_s=0.01) as host:
        assert list_resident(host) == ["b", "c"]
        (grown,) = (model for model in maker.alive if model.name == "c")
        held = host.acquire("c")
        for plans, expected, left in ((2, 4, ["b", "c"]), (3, 6, ["c"]), (6, 9, ["c"])):  # it is never more than the budget
            grown.plan_count = plans
            await_looks(host, queues)
            assert [state.memory_bytes // MIB for state in host.list_loaded() if state.name == "c"] == [expected]
            assert list_resident(host) == left
        host.release(held)
        use(host, "a")
        assert list_resident(host) == ["a"]
        use(host, "c")
        assert list_resident(host) == ["a", "c"]  # it came back without them


def test_nobody_is_paged_out_for_one_that_would_not_fit_even_then(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    write_graph(repository, "d", 1, "seven77")
    with open_host(repository, maker, queues, memory_budget_bytes=12 * MIB) as host:
        use(host, "b")
        use(host, "c")
        busy = [host.acquire("b"), host.acquire("c")]
        assert list_resident(host) == ["b", "c"]
        host.acquire("d")
        host.look()
        assert list_resident(host) == ["b", "c"]
        for served in busy:
            host.release(served)
        assert queues.woken.acquire(timeout=20)


def test_a_page_in_that_fails_refuses_those_who_wait_and_is_tried_again_for_the_next(
    repository: Path, maker: Maker, queues: FakeQueues
) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB) as host:
        maker.broken_now.add("a")
        waiting = host.acquire("a")
        assert queues.has_dropped.acquire(timeout=20)
        refused, error = queues.dropped[0]
        assert refused is waiting and isinstance(error, Exhausted)
        assert str(error) == "version 1 of a cannot be paged in; the server's log says why"
        host.release(waiting)
        maker.broken_now.clear()
        use(host, "a")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("graph", "its files have changed since it was loaded; load it again"),
        ("artifact", "a/1/model.onnx does not match the hash in its manifest; make it again"),
    ],
)
def test_what_is_paged_in_is_what_was_loaded(tmp_path: Path, maker: Maker, queues: FakeQueues, kind: str, reason: str) -> None:
    repository = tmp_path / "deployed"
    for name in ("a", "b"):
        deploy(repository, name, "four") if kind == "artifact" else write_graph(repository, name, 1, "four")
    with open_host(repository, maker, queues, mode="none", memory_budget_bytes=4 * MIB) as host:
        assert list_resident(host) == ["b"]
        (repository / "a/1/model.onnx").write_text("wild")
        host.release(host.acquire("a"))
        assert queues.has_dropped.acquire(timeout=20)
        assert str(queues.dropped[0][1]) == f"version 1 of a cannot be paged in: {reason}"
        assert not any(model.is_resident for model in maker.alive if model.name == "a")


def test_one_queued_just_after_its_refusal_is_not_forgotten(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    settings = {"memory_budget_bytes": 8 * MIB, "check_every_s": 0.01, "mode": "none"}
    with open_host(repository, maker, queues, **settings) as host:
        maker.broken_now.add("a")
        held = host.acquire("a")
        for _ in range(3):  # as long as it is held somebody may wait for it
            assert queues.has_dropped.acquire(timeout=20)
        maker.broken_now.clear()
        wait_until(lambda: held.is_resident)


def test_those_who_wait_are_looked_after_while_the_loader_is_busy(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB, check_every_s=0.01) as host:
        write_graph(repository, "slow", 1, "slow")
        assert maker.entered.wait(20)  # a look at the repository opens it, and does not end
        for _ in range(2):
            while queues.woken.acquire(blocking=False):
                pass
            assert queues.woken.acquire(timeout=20)
        assert host.mode == "poll"
        maker.gate.set()


def test_requests_are_refused_in_time_while_the_loader_is_busy_with_another(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock
) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB, check_every_s=0.01, clock=clock) as host:
        write_graph(repository, "slow", 1, "slow")
        assert maker.entered.wait(20)
        waiting = host.acquire("a")
        clock.now_s += 9
        assert not queues.has_dropped.acquire(timeout=0.05)
        clock.now_s += 1
        assert queues.has_dropped.acquire(timeout=20)
        refused, error = queues.dropped[0]
        assert refused is waiting and isinstance(error, Exhausted)
        assert str(error) == "version 1 of a is paged out, and others are being loaded before it; ask again in a moment"
        maker.gate.set()
        wait_until(lambda: waiting.is_resident)  # it is still held: somebody may wait for it again


def test_requests_are_refused_in_time_while_the_server_still_starts(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock
) -> None:
    write_graph(repository, "slow", 1, "slow")
    settings = {"memory_budget_bytes": 8 * MIB, "check_every_s": 0.01, "clock": clock, "start": False}
    with open_host(repository, maker, queues, **settings) as host, ThreadPoolExecutor(1) as pool:
        started = pool.submit(host.start)
        assert maker.entered.wait(20)
        waiting = host.acquire("a")  # it was loaded, and paged out for the next
        clock.now_s += 10
        assert queues.has_dropped.acquire(timeout=20)
        assert queues.dropped[0][0] is waiting
        maker.gate.set()
        assert started.result() == ["a", "b", "c", "slow"]


@pytest.mark.parametrize("settings", [{}, {"mode": "explicit", "load_at_start": ["a", "b", "c", "d", "e"]}])
def test_who_waits_for_a_model_waits_for_no_others_that_the_server_still_starts_with(
    repository: Path, maker: Maker, queues: FakeQueues, settings: dict[str, Any]
) -> None:
    write_graph(repository, "d", 1, "slow")
    write_graph(repository, "e", 1, "four")
    opened: list[str] = []

    class Telling(FakeModel):
        def open(self) -> None:
            opened.append(self.name)
            super().open()

    def open_telling(source: ModelSource) -> FakeModel:
        return Telling(source, maker)

    waiting = open_host(repository, open_telling, queues, start=False, memory_budget_bytes=8 * MIB, **settings)
    with waiting as host, ThreadPoolExecutor(1) as pool:
        started = pool.submit(host.start)
        assert maker.entered.wait(20)
        host.release(host.acquire("a"))  # it was loaded, and paged out for the next
        maker.gate.set()
        assert started.result(20) == ["a", "b", "c", "d", "e"]
        assert opened == ["a", "b", "c", "d", "a", "e"]


def test_one_that_runs_although_nobody_waits_for_it_stays_and_holds_up_no_other(
    repository: Path, maker: Maker, queues: FakeQueues
) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB, check_every_s=0.01) as host:
        queues.running.add("b")
        use(host, "a")
        assert list_resident(host) == ["a", "b"]  # b was used longest ago
        host.acquire("a")
        waiting = host.acquire("c")
        await_looks(host, queues)
        assert list_resident(host) == ["a", "b"]
        queues.running.clear()
        wait_until(lambda: waiting.is_resident)
        assert list_resident(host) == ["a", "c"]


def test_one_in_use_whose_execution_does_not_end_takes_no_turns(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock
) -> None:
    with open_host(repository, maker, queues, **make_patient(clock)) as host:
        busy = [host.acquire("b"), host.acquire("c")]
        queues.running.add("b")
        waiting = host.acquire("a")
        host.look()
        clock.now_s += 6
        wait_until(lambda: ["b"] in queues.awaited)  # it is tried first
        host.look()
        assert [served.is_resident for served in busy] == [True, True]  # it goes on
        clock.now_s += 2  # c's turn
        wait_until(lambda: waiting.is_resident)
        assert list_resident(host) == ["a", "b"]
        assert isinstance(busy[0], FakeModel) and "page_out" not in busy[0].calls
        queues.running.clear()


def test_requests_for_one_that_stayed_after_all_are_not_refused(repository: Path, maker: Maker, clock: Clock) -> None:
    stayed, goes_on = threading.Event(), threading.Event()

    class Holding(FakeQueues):
        def wake(self) -> None:
            if threading.current_thread().name == "loader":  # which has more to do now, and is slow at it
                stayed.set()
                assert goes_on.wait(WAIT_S)
            super().wake()

    queues = Holding()
    with open_host(repository, maker, queues, **make_patient(clock)) as host:
        host.acquire("b")
        host.acquire("c")
        queues.running.add("b")
        host.acquire("a")
        host.look()
        clock.now_s += 6
        assert stayed.wait(WAIT_S)  # b was to make room, and did not
        clock.now_s += 11
        assert queues.has_dropped.acquire(timeout=WAIT_S)
        goes_on.set()
        await_looks(host, queues)
        assert [refused.name for refused, _ in queues.dropped] == ["a"]
        queues.running.clear()


def test_one_whose_requests_were_refused_meanwhile_is_not_paged_in(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graph(repository, "d", 1, "slow")
    maker.gate.set()
    with open_host(repository, maker, queues, **make_patient(clock)) as host:
        maker.gate.clear()
        maker.entered.clear()
        for name in ("b", "c"):
            clock.now_s += 1
            use(host, name)
        busy = [host.acquire("b"), host.acquire("c")]
        host.acquire("d")
        clock.now_s += 1
        refused = host.acquire("a")
        host.look()  # both wait for room
        monkeypatch.setattr(queues, "drop", lambda executable, error: host.release(refused))
        for served in busy:
            host.release(served)
        assert maker.entered.wait(WAIT_S)  # d's turn comes, and it takes long; a's would come after it
        clock.now_s += 11
        await_looks(host, queues, is_loading=True)
        maker.gate.set()
        host.look()
        assert list_resident(host) == ["c", "d"]
        assert isinstance(refused, FakeModel) and refused.calls.count("open") == 1


def test_asking_what_a_model_is_pages_nothing_in(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB) as host:
        assert host.read_facts("a").name == "a"
        assert host.read_facts("a", "1").version == 1
        host.describe_configuration("a")
        with pytest.raises(NotFound):
            host.read_facts("a", "2")
        host.look()
        assert list_resident(host) == ["b", "c"]


def test_a_model_larger_than_the_budget_is_refused_when_it_is_loaded(repository: Path, maker: Maker) -> None:
    write_graph(repository, "huge", 1, "0123456789")
    with open_host(repository, maker, mode="explicit", memory_budget_bytes=9 * MIB) as host:
        host.load("a")
        with pytest.raises(InvalidInput, match="at most the memory budget of 9 MiB, got 10 MiB; raise the budget"):
            host.load("huge")
        assert maker.closed == [("huge", 1)]
        with pytest.raises(Exhausted, match="memory budget"):
            host.acquire("huge")
        assert host.acquire("a").facts.name == "a"


def test_a_version_swapped_while_it_is_paged_out_answers_those_who_wait(
    repository: Path, maker: Maker, queues: FakeQueues
) -> None:
    with open_host(repository, maker, queues, mode="explicit", load_at_start=["*"], memory_budget_bytes=8 * MIB) as host:
        busy = [host.acquire("b"), host.acquire("c")]
        waiting = host.acquire("a")
        write_graph(repository, "a", 2, "for2")
        host.load("a")
        assert host.acquire("a").facts.version == 2
        for served in busy:
            host.release(served)
        wait_until(lambda: waiting.is_resident)  # the old one is paged in for its last holder
        host.release(waiting)
        wait_until(lambda: ("a", 1) in maker.closed)


def test_acquiring_while_it_is_being_paged_out_never_finds_it_half_there(
    repository: Path, maker: Maker, queues: FakeQueues
) -> None:
    with open_host(repository, maker, queues, memory_budget_bytes=8 * MIB) as host, ThreadPoolExecutor(3) as pool:

        def hammer(name: str) -> int:
            paged_out_while_held = 0
            for _ in range(300):
                served: ServedVersion = host.acquire(name)
                wait_until(lambda served=served: served.is_resident)  # type: ignore[misc]
                paged_out_while_held += not served.is_resident
                host.release(served)
            return paged_out_while_held

        assert list(pool.map(hammer, ("a", "b", "c"))) == [0, 0, 0]
    assert queues.dropped == []
