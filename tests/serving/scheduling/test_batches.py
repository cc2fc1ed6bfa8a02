"""How requests gather to batches."""

import pytest
from scheduling_fakes import Clock, FakeExecutable, Simulation, block, end, make_work, take_works

from sightline.serving.scheduling.scheduler import Scheduler


def test_a_batch_takes_whole_requests_up_to_its_rows_and_passes_none_over() -> None:
    scheduler = Scheduler(1, Clock())
    (blocker,) = block(scheduler)
    model = FakeExecutable("m", max_batch=8)
    works = [make_work(model, rows=rows) for rows in (3, 3, 4, 1, 8, 20, 1)]
    for work in works:
        scheduler.submit(work)
    end(scheduler, blocker, 0.01)
    taken = []
    while batch := scheduler.try_take():
        taken.append([work.rows for work in batch.works])
        end(scheduler, batch, 0.01)
    assert taken == [[3, 3], [4, 1], [8], [20], [1]]  # the one of 20 rows should have been refused before; it runs alone


def test_without_a_delay_nothing_waits_for_others() -> None:
    scheduler = Scheduler(2, Clock())
    scheduler.submit(make_work(FakeExecutable("m", max_batch=8)))
    assert len(take_works(scheduler)) == 1


def test_a_model_without_batches_never_delays() -> None:
    scheduler = Scheduler(2, Clock())
    scheduler.submit(make_work(FakeExecutable("m", max_batch=1, max_queue_delay_s=5.0)))
    assert len(take_works(scheduler)) == 1


def test_the_delay_counts_from_the_oldest_and_ends_when_the_batch_is_full() -> None:
    simulation = Simulation(1)
    model = FakeExecutable("m", 0.001, max_batch=4, max_queue_delay_s=0.010)
    for time_s in (0.0, 0.004, 0.020, 0.021, 0.022, 0.023):
        simulation.at(time_s, lambda: simulation.send(model))
    simulation.run(1.0)
    assert [(len(batch.works), batch.began_s) for batch in simulation.batches] == [(2, 0.010), (4, 0.023)]


def test_while_a_model_gathers_its_batch_others_use_the_slot() -> None:
    simulation = Simulation(1)
    simulation.send(FakeExecutable("patient", max_batch=4, max_queue_delay_s=1.0))
    other = [simulation.send(FakeExecutable("other", 0.1)) for _ in range(3)]
    simulation.run(0.9)
    assert simulation.latencies(other) == pytest.approx([0.1, 0.2, 0.3])
    simulation.run(2.0)
    assert [batch.began_s for batch in simulation.batches][-1] == 1.0


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        (1, [(1, 1.0)]),  # not enough for any: it waits its time out
        (2, [(2, 0.0)]),
        (3, [(2, 0.0), (1, 1.0)]),
        (7, [(4, 0.0), (2, 0.0), (1, 1.0)]),  # largest first
        (9, [(4, 0.0), (4, 0.0), (1, 1.0)]),
    ],
)
def test_preferred_batches_start_at_once_the_largest_first(waiting: int, expected: list[tuple[int, float]]) -> None:
    simulation = Simulation(1)
    model = FakeExecutable("m", 0.0, max_batch=8, preferred_batches=(2, 4, 100), max_queue_delay_s=1.0)
    simulation.at(0.0, lambda: [simulation.send(model) for _ in range(waiting)])
    simulation.run(5.0)
    assert [(len(batch.works), batch.began_s) for batch in simulation.batches] == expected


@pytest.mark.parametrize(
    ("slots", "waiting", "expected"),
    [
        (1, 7, [4, 2, 1]),  # nothing in between, which would be cut into these
        (1, 9, [4, 4, 1]),
        (2, 4, [2, 1, 1]),  # a free slot has its part, and of what is left the busy one
        (2, 5, [2, 2, 1]),
        (2, 7, [4, 2, 1]),
        (2, 16, [4, 4, 4, 2, 1, 1]),  # of the last four, two are for the other slot
        (4, 3, [1, 1, 1]),
    ],
)
def test_an_engine_gets_the_batches_it_is_prepared_for_and_every_free_slot_its_part(
    slots: int, waiting: int, expected: list[int]
) -> None:
    scheduler = Scheduler(slots, Clock(), express_slots=0)
    model = FakeExecutable("m", max_batch=8, planned_batches=(1, 2, 4))
    for _ in range(waiting):
        scheduler.submit(make_work(model))
    taken = []
    while sum(taken) < waiting:
        started = [batch for _ in range(slots) if (batch := scheduler.try_take()) is not None]
        taken += [len(batch.works) for batch in started]
        for batch in started:
            end(scheduler, batch, 0.01)
    assert taken == expected


def gather_beside(running: int, waiting: int, slots: int) -> int:
    """Works that the next execution takes of those that wait, beside executions of one work each."""
    scheduler = Scheduler(slots, Clock(), express_slots=0)
    model = FakeExecutable("m", max_batch=8, planned_batches=(1, 4, 8))
    for _ in range(running):
        scheduler.submit(make_work(model))
        assert scheduler.try_take() is not None
    for _ in range(waiting):
        scheduler.submit(make_work(model))
    batch = scheduler.try_take()
    assert batch is not None
    return len(batch.works)


@pytest.mark.parametrize(
    ("waiting", "running", "expected"),
    [
        (16, 1, 8),
        (15, 1, 8),
        (14, 1, 4),  # else the other slot would find six, and take four of them
        (14, 0, 4),
        (5, 1, 4),  # the other slot will find more than one when it ends
        (4, 1, 1),  # it might find none, and then this one alone would have had all the work
        (7, 0, 4),
        (6, 0, 1),  # both slots are free: three each
    ],
)
def test_a_busy_slot_finds_as_many_as_the_free_one_takes(waiting: int, running: int, expected: int) -> None:
    assert gather_beside(running, waiting, slots=2) == expected


@pytest.mark.parametrize(("waiting", "expected"), [(10, 1), (11, 4), (50, 4), (60, 8)])
def test_with_many_slots_a_free_one_takes_four_once_each_busy_one_finds_one(waiting: int, expected: int) -> None:
    assert gather_beside(7, waiting, slots=8) == expected


def test_slots_of_other_models_count_for_nothing() -> None:
    scheduler = Scheduler(2, Clock(), express_slots=0)
    scheduler.submit(make_work(FakeExecutable("other")))
    assert scheduler.try_take() is not None
    model = FakeExecutable("m", max_batch=8, planned_batches=(1, 4, 8))
    for _ in range(8):
        scheduler.submit(make_work(model))
    batch = scheduler.try_take()
    assert batch is not None
    assert len(batch.works) == 8


def gather_flooded(simulation: Simulation, begins_s: float, ends_s: float) -> set[int]:
    """Works of each execution of the model "flooded" that began in a stretch of time."""
    return {
        len(batch.works)
        for batch in simulation.batches
        if batch.works[0].executable.name == "flooded" and begins_s <= batch.began_s < ends_s
    }


@pytest.mark.parametrize(("row_s", "expected"), [(0.002, 8), (0.006, 4), (0.02, 1)])
def test_beside_a_model_that_keeps_up_a_flood_gathers_what_ends_soon(row_s: float, expected: int) -> None:
    simulation = Simulation(2)
    simulation.flood(FakeExecutable("flooded", row_s, max_batch=8, planned_batches=(1, 4, 8)), 64)
    simulation.trickle(FakeExecutable("quiet", 0.003), 0.05, until_s=4.0)
    simulation.run(12.0)
    assert gather_flooded(simulation, 0.5, 8.5) == {expected}
    assert gather_flooded(simulation, 9.5, 12.0) == {8}  # the quiet model has not been asked for five seconds


@pytest.mark.parametrize("asked", [{"preferred_batches": (8,)}, {"max_queue_delay_s": 0.01}])
def test_beside_a_model_that_keeps_up_a_flood_gathers_what_its_operator_asked_for(asked: dict[str, object]) -> None:
    simulation = Simulation(2)
    simulation.flood(FakeExecutable("flooded", 0.02, max_batch=8, planned_batches=(1, 4, 8), **asked), 64)
    simulation.trickle(FakeExecutable("quiet", 0.003), 0.05, until_s=4.0)
    simulation.run(4.0)
    assert gather_flooded(simulation, 0.5, 4.0) == {8}


def test_on_the_express_slot_gathers_what_ends_soon() -> None:
    clock = Clock()
    scheduler = Scheduler(2, clock)
    light = FakeExecutable("light", max_batch=8, planned_batches=(1, 4, 8))
    scheduler.submit(make_work(light))
    alone = scheduler.try_take()
    assert alone is not None
    clock.now += 0.002
    end(scheduler, alone, 0.002)  # on both cores: a row costs 4 ms
    for _ in range(2):
        scheduler.submit(make_work(FakeExecutable("heavy"), rows=8))
        assert len(take_works(scheduler)) == 1
    for _ in range(8):
        scheduler.submit(make_work(light))
    assert len(take_works(scheduler)) == 4


def test_two_floods_gather_all_they_can() -> None:
    simulation = Simulation(2)
    for name in ("flooded", "other"):
        simulation.flood(FakeExecutable(name, 0.02, max_batch=8, planned_batches=(1, 4, 8)), 64)
    simulation.run(6.0)
    assert gather_flooded(simulation, 0.5, 6.0) == {8}


@pytest.mark.parametrize("slots", [1, 2])
def test_what_waited_for_company_begins_together(slots: int) -> None:
    simulation = Simulation(slots)
    model = FakeExecutable("m", 0.001, max_batch=8, planned_batches=(1, 4, 8), max_queue_delay_s=0.05)
    for place in range(8):
        simulation.at(place / 1000, lambda: simulation.send(model))
    simulation.run(1.0)
    assert [(len(batch.works), batch.began_s) for batch in simulation.batches] == [(8, 0.007)]


def test_a_request_with_less_time_than_the_delay_begins_before_its_time_is_up() -> None:
    simulation = Simulation(2)
    model = FakeExecutable("m", 0.02, max_batch=4, preferred_batches=(4,), max_queue_delay_s=0.5)
    works = [simulation.send(model, timeout_s=0.1) for _ in range(2)]
    simulation.run(1.0)
    assert [(len(batch.works), batch.began_s) for batch in simulation.batches] == [(2, pytest.approx(0.085))]
    assert [work.error for work in works] == [None, None]
    late = simulation.send(model, timeout_s=0.1)  # the model is known now: 20 ms a row, and 5 ms lest the thread wakes late
    simulation.run(2.0)
    assert simulation.batches[-1].works == (late,) and simulation.batches[-1].began_s == pytest.approx(1.075)


def test_who_has_no_time_at_all_begins_at_once_and_takes_the_others_along() -> None:
    simulation = Simulation(1)
    model = FakeExecutable("m", 0.001, max_batch=8, max_queue_delay_s=0.5)
    patient = simulation.send(model)
    simulation.at(0.1, lambda: simulation.send(model, timeout_s=0.2))
    simulation.at(0.2, lambda: simulation.send(model, timeout_s=0.001))
    simulation.run(1.0)
    assert [(len(batch.works), batch.began_s) for batch in simulation.batches] == [(3, 0.2)]
    assert patient in dict(simulation.answers)


def test_when_the_one_with_little_time_leaves_the_others_wait_on() -> None:
    simulation = Simulation(1)
    model = FakeExecutable("m", 0.001, max_batch=4, max_queue_delay_s=0.5)
    simulation.send(model)
    hasty = simulation.send(model, timeout_s=0.1)
    simulation.at(0.05, lambda: simulation.scheduler.cancel(hasty))
    simulation.at(0.2, lambda: simulation.send(model, timeout_s=10.0))
    simulation.run(1.0)
    assert [(len(batch.works), batch.began_s) for batch in simulation.batches] == [(2, 0.5)]


def test_when_the_oldest_leaves_the_delay_counts_from_the_next() -> None:
    simulation = Simulation(1)
    model = FakeExecutable("m", max_batch=4, max_queue_delay_s=1.0)
    first = simulation.send(model)
    simulation.at(0.6, lambda: simulation.send(model))
    simulation.at(0.7, lambda: simulation.scheduler.cancel(first))
    simulation.run(5.0)
    assert [batch.began_s for batch in simulation.batches] == [1.6]
