import weakref
from math import inf

from scheduling_fakes import Clock, FakeExecutable

from sightline.serving.scheduling.queueing import ExecutableQueue, Place, PlaceHeap, Tenant
from sightline.serving.scheduling.scheduler import Scheduler
from sightline.serving.scheduling.work import Work


class Payload:
    pass


def make_work(executable: FakeExecutable, tenant: str = "", payload: object = None) -> Work:
    return Work(executable, payload, lambda work: None, tenant=tenant)


def test_places_that_were_left_do_not_pile_up() -> None:
    model = FakeExecutable("m")
    heap, tenant = PlaceHeap(), Tenant("", 1.0, levels=1)
    first = Place(make_work(model), tenant)
    heap.push((0.0,), 0, first, living=1)
    for number in range(1, 5000):
        place = Place(make_work(model), tenant)
        heap.push((1.0,), number, place, living=2)
        place.work = None
    assert len(heap._entries) <= 2 * 2 + 34
    assert heap.first() == ((0.0,), first.work)


def test_tenants_of_a_batch_alternate() -> None:
    model = FakeExecutable("m", max_batch=4)
    queue = ExecutableQueue(model, {}, {})
    works = [make_work(model, tenant) for tenant in ("a", "a", "a", "a", "b")]
    for number, work in enumerate(works):
        queue.push(work, 0.0, number)
    assert [taken.work for taken in queue.take(0.01)] == [works[0], works[4], works[1], works[2]]
    assert queue.list_works() == [works[3]] and queue.rows == 1


def test_what_waits_behind_a_request_takes_no_room_from_it() -> None:
    model = FakeExecutable("m", priority_levels=3, default_priority=2)
    queue = ExecutableQueue(model, {}, {})
    for number, priority in enumerate((3, 2, 0)):  # none named is the default
        work = Work(model, None, lambda work: None, priority=priority)
        queue.push(work, 0.0, number)
    room = {priority: [queue.has_room(most, "", priority) for most in (1, 2, 3, 4)] for priority in (1, 2, 3, 4)}
    assert room[1] == [True, True, True, True]
    assert room[2] == room[4] == [False, False, True, True]  # there is no fourth level: the default
    assert room[3] == [False, False, False, True]


def test_a_model_that_takes_one_row_at_a_time_waits_for_no_company() -> None:
    for most, ready_s in ((1, -inf), (2, 3.5)):
        model = FakeExecutable("m", max_batch=most, max_queue_delay_s=1.5)
        queue = ExecutableQueue(model, {}, {})
        queue.push(make_work(model), 2.0, 0)
        assert queue.find_ready_s() == ready_s


def test_preferred_batches_that_are_larger_than_any_count_for_nothing() -> None:
    model = FakeExecutable("m", max_batch=4, preferred_batches=(8, 2))
    queue = ExecutableQueue(model, {}, {})
    for number in range(8):
        queue.push(make_work(model), 0.0, number)
    assert queue.find_batch_rows() == 2


def test_nothing_of_an_answered_request_is_kept() -> None:
    scheduler = Scheduler(2, Clock())
    model = FakeExecutable("m")
    payloads = []
    for timeout_s in (None, 3600.0, 3600.0):
        payload = Payload()
        payloads.append(weakref.ref(payload))
        work = Work(model, payload, lambda work: None, timeout_s=timeout_s)
        scheduler.submit(work)
    scheduler.cancel(work)
    del work, payload
    kept = Payload()
    scheduler.submit(make_work(model, payload=kept))  # so that the queue itself stays
    for _ in range(2):
        batch = scheduler.try_take()
        assert batch is not None
        scheduler.finish(batch, 0.01)
    del batch
    assert [payload() for payload in payloads] == [None, None, None]
    assert scheduler.snapshot().waiting.get("m", 0) == 1
