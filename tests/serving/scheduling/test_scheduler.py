"""The rules of queues, one at a time: order, limits, refusals, and when a slot may be had."""

import random
import threading
from math import inf, nan

import pytest
from scheduling_fakes import Clock, FakeExecutable, Simulation, block, drain, end, make_work, take_works, try_send

from sightline.core.errors import Exhausted, InvalidInput, NotFound, QueueFull, QueueTimeout
from sightline.serving.scheduling.dispatch import Batch
from sightline.serving.scheduling.scheduler import Scheduler
from sightline.serving.scheduling.work import Work

# Order


def test_priorities_come_first_and_are_first_come_first_served_inside() -> None:
    scheduler = Scheduler(1, Clock())
    (blocker,) = block(scheduler)
    model = FakeExecutable("m", priority_levels=3, default_priority=2)
    low, unnamed, high, normal, too_low = (make_work(model, priority=level) for level in (3, 0, 1, 2, 9))
    for work in (low, unnamed, high, normal, too_low):
        scheduler.submit(work)
    assert drain(scheduler, blocker) == [high, unnamed, normal, too_low, low]
    assert (unnamed.priority, too_low.priority) == (2, 2)  # the default, as of a level that does not exist


def test_the_earliest_deadline_comes_first_then_those_without_one() -> None:
    scheduler = Scheduler(1, Clock())
    (blocker,) = block(scheduler)
    model = FakeExecutable("m", priority_levels=2)
    works = [make_work(model, timeout_s=timeout_s, priority=1) for timeout_s in (None, 9.0, 3.0, 6.0, None)]
    urgent_but_low = make_work(model, timeout_s=1.0, priority=2)
    for work in (urgent_but_low, *works):
        scheduler.submit(work)
    assert drain(scheduler, blocker) == [works[2], works[3], works[1], works[0], works[4], urgent_but_low]


def test_who_names_no_timeout_is_not_kept_out_for_ever_by_those_in_a_hurry() -> None:
    clock = Clock()
    scheduler = Scheduler(1, clock)
    (blocker,) = block(scheduler)
    model = FakeExecutable("m")
    patient = make_work(model)
    hasty = [make_work(model, timeout_s=2.0) for _ in range(3)]
    for work, clock.now in ((patient, 0.0), (hasty[0], 7.9), (hasty[1], 8.0), (hasty[2], 8.1)):  # due at 10.0, 9.9, 10.0, 10.1
        scheduler.submit(work)
    assert drain(scheduler, blocker) == [hasty[0], patient, hasty[1], hasty[2]]


def test_a_timeout_that_does_not_hasten_only_ends_the_wait() -> None:
    """As of streams: four cameras faster than the model would else keep out whoever sends a request without a timeout."""
    simulation = Simulation(1, express_slots=0)
    model = FakeExecutable("m", 0.1)

    def watch() -> None:
        simulation.send(model, watch, timeout_s=0.5, hastens=False)

    for _ in range(4):
        watch()
    simulation.run(1.05)
    request = simulation.send(model)
    simulation.run(1.55)
    assert (request, pytest.approx(1.5)) in simulation.answers  # after the one that runs and the three that waited before it
    late = [simulation.send(model, timeout_s=0.15, hastens=False) for _ in range(4)]
    simulation.run(2.0)
    assert [isinstance(work.error, QueueTimeout) for work in late] == [True] * 4


# Limits and refusals


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    simulation = Simulation(2)
    model = FakeExecutable("m", 0.1, max_waiting=10)
    refusals = [error for _ in range(20) if (error := try_send(simulation, model)) is not None]
    assert len(refusals) == 8  # 2 for the free slots, 10 wait
    simulation.run(0.15)  # now it is known what a row costs; 2 are done, 2 run, 8 wait
    for _ in range(2):
        simulation.send(model)
    error = try_send(simulation, model)
    assert error is not None
    assert error.retry_after_s == pytest.approx(0.5)  # 10 rows of 0.1 s on 2 slots
    assert "full" in str(error) and "10" in str(error)
    with pytest.raises(QueueFull, match="full"):
        simulation.scheduler.check_room(model)
    simulation.run(1.0)
    simulation.scheduler.check_room(model)


def test_works_of_a_lower_priority_take_no_room_from_higher_ones() -> None:
    simulation = Simulation(1, express_slots=0)
    model = FakeExecutable("m", 0.1, max_waiting=3, priority_levels=2, default_priority=2)
    simulation.send(model)
    simulation.run(0.0)
    admitted = {level: sum(try_send(simulation, model, priority=level) is None for _ in range(9)) for level in (0, 1, 2)}
    assert admitted == {0: 3, 1: 3, 2: 0}
    simulation.run(0.75)  # all but one of the lower level are done
    assert simulation.scheduler.snapshot().waiting.get("m", 0) == 0
    assert {level: try_send(simulation, model, priority=level) for level in (2, 1)} == {2: None, 1: None}


def test_room_is_looked_for_at_the_priority_that_a_work_would_have() -> None:
    simulation = Simulation(1, express_slots=0)
    model = FakeExecutable("m", 0.1, max_waiting=3, priority_levels=2, default_priority=2)
    while try_send(simulation, model, priority=2) is None:
        pass
    simulation.scheduler.check_room(model, priority=1)
    with pytest.raises(QueueFull):
        simulation.scheduler.check_room(model)


def test_retry_after_knows_that_others_have_their_share() -> None:
    simulation = Simulation(2)
    simulation.flood(FakeExecutable("other", 0.1), 4)
    model = FakeExecutable("m", 0.1, max_waiting=10)
    for _ in range(10):
        simulation.send(model)
    simulation.run(1.0)
    while (error := try_send(simulation, model)) is None:
        pass
    assert error.retry_after_s == pytest.approx(1.0)  # 10 rows of 0.1 s on one of 2 slots


def test_what_fails_before_it_is_inferred_says_nothing_of_what_a_row_costs() -> None:
    scheduler = Scheduler(1, clock := Clock(), express_slots=0)
    model = FakeExecutable("m", max_waiting=1)

    def run(after_s: float, is_inferred: bool) -> None:
        scheduler.submit(make_work(model))
        batch = scheduler.try_take()
        assert batch is not None
        clock.now += after_s
        if is_inferred:
            end(scheduler, batch, after_s)
        else:
            scheduler.finish(batch, after_s)

    run(0.5, is_inferred=True)
    for _ in range(20):
        run(0.001, is_inferred=False)  # pictures that cannot be read
    block(scheduler)
    scheduler.submit(make_work(model))
    with pytest.raises(QueueFull) as full:
        scheduler.submit(make_work(model))
    assert full.value.retry_after_s == pytest.approx(0.5)


def test_cancelled_works_do_not_count_and_are_never_executed() -> None:
    simulation = Simulation(1)
    model = FakeExecutable("m", 0.1, max_waiting=2)
    running = simulation.send(model)
    simulation.run(0.05)
    gone = [simulation.send(model), simulation.send(model)]
    assert try_send(simulation, model) is not None
    for work in gone:
        simulation.scheduler.cancel(work)
        simulation.scheduler.cancel(work)
    kept = [simulation.send(model), simulation.send(model)]
    simulation.run(1.0)
    assert [work for work, _ in simulation.answers] == [running, *kept]
    assert [work.is_cancelled for work in gone] == [True, True]


def test_a_work_marked_cancelled_is_dropped_when_its_turn_comes() -> None:
    scheduler = Scheduler(2, Clock())
    model = FakeExecutable("m", max_batch=4)
    works = [make_work(model) for _ in range(3)]
    for work in works:
        scheduler.submit(work)
    works[0].is_cancelled = works[1].is_cancelled = True
    assert take_works(scheduler) == [works[2]]
    only = make_work(FakeExecutable("other"))
    scheduler.submit(only)
    only.is_cancelled = True
    assert take_works(scheduler) == []
    assert scheduler.snapshot().waiting.get("other", 0) == 0


def test_versions_of_a_model_tell_by_themselves_how_many_wait() -> None:
    scheduler = Scheduler(1, Clock())
    old, new = FakeExecutable("m"), FakeExecutable("m")
    for executable in (old, new, new):
        scheduler.submit(make_work(executable))
    assert (dict(scheduler.list_depths()), scheduler.snapshot().waiting.get("m", 0)) == ({old: 1, new: 2}, 3)


def test_who_still_waits_at_its_deadline_is_refused_then_also_while_every_slot_is_busy() -> None:
    simulation = Simulation(1, express_slots=0)
    model = FakeExecutable("m", 10.0)
    simulation.send(model)
    simulation.run(0.0)
    patient = simulation.send(model)
    hasty = simulation.send(model, timeout_s=0.25)
    simulation.run(5.0)
    assert [(work, when) for work, when in simulation.answers] == [(hasty, 0.25)]
    assert isinstance(hasty.error, QueueTimeout)
    assert "0.25 s" in str(hasty.error)
    simulation.run(30.0)
    assert patient.error is None and patient.result == "done"


def test_a_started_work_is_not_refused_at_its_deadline() -> None:
    simulation = Simulation(1)
    work = simulation.send(FakeExecutable("m", 1.0), timeout_s=0.5)
    simulation.run(2.0)
    assert (work.error, work.result) == (None, "done")


@pytest.mark.parametrize(
    ("default_s", "may_override", "wanted_s", "deadline_s"),
    [
        (None, True, None, None),
        (None, True, 2.0, 2.0),
        (None, False, 2.0, None),
        (3.0, True, None, 3.0),
        (3.0, True, 2.0, 2.0),
        (3.0, True, 9.0, 3.0),  # shorter only: Triton's model_config.proto, allow_timeout_override
        (3.0, False, 2.0, 3.0),
        (3.0, True, 0.0, 3.0),  # the protocol's "none named"
    ],
)
def test_default_and_own_timeouts(
    default_s: float | None, may_override: bool, wanted_s: float | None, deadline_s: float | None
) -> None:
    scheduler = Scheduler(1, Clock())
    model = FakeExecutable("m", default_timeout_s=default_s, allow_timeout_override=may_override)
    work = make_work(model, timeout_s=wanted_s)
    scheduler.submit(work)
    assert work.deadline_s == deadline_s
    assert scheduler.tick() == (inf if deadline_s is None else deadline_s)


def test_drop_refuses_what_waits_for_one_version_each_with_its_own_error() -> None:
    scheduler = Scheduler(1, Clock())
    (blocker,) = block(scheduler)
    old, new = FakeExecutable("m"), FakeExecutable("m")
    works = [make_work(old), make_work(old), make_work(new)]
    for work in works:
        scheduler.submit(work)
    scheduler.drop(old, NotFound("unloaded"))
    assert [str(work.error) for work in works[:2]] == ["unloaded"] * 2
    assert works[0].error is not works[1].error
    assert drain(scheduler, blocker) == [works[2]]
    scheduler.drop(old, NotFound("unloaded"))  # nothing waits: nothing happens


def test_close_refuses_what_waits_and_takes_nothing_more() -> None:
    scheduler = Scheduler(1, Clock())
    model = FakeExecutable("m", max_batch=4, max_queue_delay_s=1.0)
    work = make_work(model)
    scheduler.submit(work)
    scheduler.close()
    assert isinstance(work.error, Exhausted)
    assert scheduler.take() is None
    with pytest.raises(Exhausted, match="shutting down"):
        scheduler.submit(make_work(model))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match="slot"):
        Scheduler(0)
    with pytest.raises(InvalidInput, match="weight above 0 for 'free'"):
        Scheduler(1, tenant_weights={"free": 0.0})
    with pytest.raises(InvalidInput, match="weight above 0 for 'm'"):
        Scheduler(1).submit(make_work(FakeExecutable("m", weight=-1.0)))
    with pytest.raises(InvalidInput, match="at least 1 row"):
        Scheduler(1).submit(make_work(FakeExecutable("m"), rows=0))
    with pytest.raises(InvalidInput, match="NaN"):
        Scheduler(1).submit(make_work(FakeExecutable("m"), timeout_s=nan))
    scheduler = Scheduler(1)
    (_,) = block(scheduler)
    with pytest.raises(QueueFull):
        scheduler.submit(make_work(FakeExecutable("m", max_waiting=0)))
    assert scheduler.snapshot().waiting.get("m", 0) == 0


# Slots


def test_a_lone_request_is_alone_and_nobody_else_is() -> None:
    clock = Clock()
    scheduler = Scheduler(2, clock)
    model, other = FakeExecutable("m"), FakeExecutable("other")
    for executable in (model, other):
        scheduler.submit(make_work(executable))
    first = scheduler.try_take()
    assert first is not None and not first.alone  # the other waits
    second = scheduler.try_take()
    assert second is not None and not second.alone  # the first runs
    end(scheduler, first, 0.01)
    end(scheduler, second, 0.01)
    clock.now += 0.04
    scheduler.submit(make_work(model))
    soon = scheduler.try_take()
    assert soon is not None and not soon.alone  # there was company a moment ago, and there may be some again
    end(scheduler, soon, 0.01)
    clock.now += 0.02
    scheduler.submit(make_work(model))
    third = scheduler.try_take()
    assert third is not None and third.alone


def test_a_paged_out_model_waits_without_holding_a_slot_until_it_wakes() -> None:
    simulation = Simulation(1)
    paged_out, other = FakeExecutable("paged-out"), FakeExecutable("other", 0.1)
    paged_out.is_resident = False
    work = simulation.send(paged_out)
    late = simulation.send(paged_out, timeout_s=0.3)
    others = [simulation.send(other) for _ in range(5)]
    simulation.run(1.0)
    assert simulation.latencies(others) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert simulation.scheduler.snapshot().waiting.get("paged-out", 0) == 1
    assert isinstance(late.error, QueueTimeout)
    paged_out.is_resident = True
    simulation.run(2.0)
    assert simulation.scheduler.snapshot().waiting.get("paged-out", 0) == 1  # nobody said so yet
    simulation.scheduler.wake()
    simulation.run(3.0)
    assert work.result == "done"


def test_a_new_request_finds_a_model_that_became_resident() -> None:
    simulation = Simulation(1)
    model = FakeExecutable("m")
    model.is_resident = False
    first = simulation.send(model)
    simulation.run(1.0)
    model.is_resident = True
    second = simulation.send(model)
    simulation.run(2.0)
    assert (first.result, second.result) == ("done", "done")


def test_an_express_slot_is_for_a_model_that_holds_nothing_while_another_holds_every_slot() -> None:
    scheduler = Scheduler(2, Clock())
    heavy, light = FakeExecutable("heavy"), FakeExecutable("light")
    for _ in range(4):
        scheduler.submit(make_work(heavy))
    taken = [scheduler.try_take() for _ in range(3)]
    assert [batch is None or batch.is_express for batch in taken] == [False, False, True]
    assert taken[2] is None  # the flood itself gets no third one
    for _ in range(2):
        scheduler.submit(make_work(light))
    express = scheduler.try_take()
    assert express is not None and express.is_express and express.works[0].executable is light
    assert scheduler.try_take() is None  # there is one express slot
    assert scheduler.snapshot().running == {"heavy": 2, "light": 1}


def test_an_express_slot_is_refused_to_whom_the_flood_would_finish_before() -> None:
    simulation = Simulation(2)
    short, long = FakeExecutable("short", 0.01), FakeExecutable("long", 0.5)
    simulation.send(long)
    simulation.run(1.0)  # its cost is known
    simulation.flood(short, 16)
    simulation.run(2.0)
    work = simulation.send(long)
    simulation.run(3.0)
    assert work.result == "done"
    assert simulation.scheduler.snapshot().express_started == 0


def test_a_model_that_has_had_its_share_gets_no_express_slot() -> None:
    scheduler = Scheduler(1, clock := Clock())
    heavy, light = FakeExecutable("heavy"), FakeExecutable("light")

    def start(executable: FakeExecutable) -> Batch | None:
        scheduler.submit(make_work(executable))
        return scheduler.try_take()

    def end_after(batch: Batch | None, after_s: float) -> None:
        assert batch is not None
        clock.now += after_s
        end(scheduler, batch, clock.now - batch.began_s)

    end_after(start(light), 0.1)
    end_after(start(heavy), 1.0)  # the costs are known, and the idle Device has forgotten who used it
    running = start(heavy)
    scheduler.submit(make_work(heavy))
    express = start(light)
    assert express is not None and express.is_express
    end_after(express, 4.0)  # two core seconds on the shared core, more than the one expected of the other
    assert start(light) is None
    end_after(running, 0.5)  # 2.5 s by now
    following = scheduler.try_take()
    assert following is not None and following.works[0].executable is light  # 2 s used against 2.5


# Everything together


@pytest.mark.parametrize("seed", range(6))
def test_no_work_is_lost_executed_twice_or_left_over(seed: int) -> None:
    rng = random.Random(seed)
    simulation = Simulation(rng.choice([1, 2, 4]), rng.choice([0, 1, 2]), {"t1": 2.0})
    models = [
        FakeExecutable(
            rng.choice(["a", "b", "c"]),  # some are versions of one model
            lambda: rng.choice([0.0, 0.001, 0.05]),
            max_batch=rng.choice([1, 4, 8]),
            preferred_batches=rng.choice([(), (2, 4)]),
            max_queue_delay_s=rng.choice([0.0, 0.01]),
            max_waiting=rng.choice([5, 1000]),
            priority_levels=3,
            default_timeout_s=rng.choice([None, 0.5]),
            weight=rng.choice([1.0, 3.0]),
        )
        for _ in range(6)
    ]
    admitted: list[Work] = []
    refused = 0

    def act() -> None:
        nonlocal refused
        model = rng.choice(models)
        event = rng.random()
        if event < 0.8:
            try:
                admitted.append(
                    simulation.send(
                        model,
                        rows=rng.randint(1, 4),
                        tenant=rng.choice(["", "t1", "t2"]),
                        priority=rng.randint(0, 4),
                        timeout_s=rng.choice([None, 0.02]),
                    )
                )
            except QueueFull:
                refused += 1
        elif event < 0.9 and admitted:
            simulation.scheduler.cancel(rng.choice(admitted[-50:]))
        elif event < 0.92:
            simulation.scheduler.drop(model, NotFound("unloaded"))
        elif event < 0.96:
            model.is_resident = False
        else:
            model.is_resident = True
            simulation.scheduler.wake()

    for _ in range(4000):
        simulation.at(rng.random() * 10, act)
    simulation.run(10.0)
    for model in models:
        model.is_resident = True
    simulation.scheduler.wake()
    simulation.run(200.0)
    answered = [work for work, _ in simulation.answers]
    executed = [work for batch in simulation.batches for work in batch.works]
    assert len(set(answered)) == len(answered)
    assert len(set(executed)) == len(executed)
    assert all(work in set(answered) or work.is_cancelled for work in admitted)
    assert all((work.error is None) == (work in set(executed)) for work in answered)
    assert len(answered) > 1000 and refused > 0
    assert simulation.scheduler.snapshot().waiting == {} == simulation.scheduler.snapshot().running
    assert simulation.scheduler.tick() == inf


def test_whoever_awaits_the_end_of_executions_sleeps_until_the_last_has_ended() -> None:
    scheduler, model, other = Scheduler(2, Clock()), FakeExecutable("m"), FakeExecutable("other")
    assert scheduler.await_end([model])  # nothing runs
    batches = []
    for executable in (model, model, other):
        scheduler.submit(make_work(executable))
        if (batch := scheduler.try_take()) is not None:
            batches.append(batch)
    waiting = threading.Thread(target=scheduler.await_end, args=([model],))
    waiting.start()
    for batch in batches:
        assert waiting.is_alive()
        assert not scheduler.await_end([model, other], timeout_s=0)
        end(scheduler, batch, 0.01)
    waiting.join(20)
    assert not waiting.is_alive()
    assert scheduler.await_end([model, other], timeout_s=0)
