import threading

import pytest

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.store.database import open_database
from sightline.store.jobs import OPEN, WAITING, JobStore


@pytest.fixture
def store(tmp_path):
    database = open_database(tmp_path / "sightline.db")
    yield JobStore(database)
    database.close()


def test_a_new_job_waits_with_what_it_was_asked_for(store):
    job = store.add("train", {"dataset": "parts@12", "set": {"size": 32}}, "me")
    assert (job.number, job.kind, job.state, job.author) == (1, "train", "queued", "me")
    assert job.arguments == {"dataset": "parts@12", "set": {"size": 32}}
    assert (job.progress, job.metrics, job.made, job.error, job.asked, job.restarts) == (0.0, {}, None, None, None, 0)
    assert not job.has_ended
    assert store.read(job.id) == job
    with pytest.raises(NotFound, match="no job 'x'"):
        store.read("x")


def test_pages_go_from_the_newest_to_the_oldest(store):
    made = [store.add("train" if number % 2 else "deploy", {}, "me") for number in range(5)]
    store.change(made[4].id, OPEN, state="failed", error="no")
    first = store.list(limit=2)
    assert [job.number for job in first.jobs] == [5, 4]
    second = store.list(cursor=first.next_cursor, limit=2)
    assert [job.number for job in second.jobs] == [3, 2]
    assert [job.number for job in store.list(cursor=second.next_cursor, limit=2).jobs] == [1]
    assert store.list(cursor=second.next_cursor, limit=2).next_cursor is None
    assert [job.number for job in store.list(kind="train").jobs] == [4, 2]
    assert [job.number for job in store.list(state="failed").jobs] == [5]
    assert [job.number for job in store.list_open()] == [1, 2, 3, 4]
    for limit in (0, 201):
        with pytest.raises(InvalidInput, match="`limit`"):
            store.list(limit=limit)


def test_a_change_that_comes_too_late_changes_nothing(store):
    job = store.add("train", {}, "me")
    assert store.change(job.id, WAITING, state="running", metrics={"loss": 1.5}, made={"name": "a"}).metrics == {"loss": 1.5}
    assert store.change(job.id, WAITING, state="cancelled") is None
    assert store.read(job.id).state == "running"
    assert store.read(job.id).made == {"name": "a"}


def test_of_two_threads_one_gets_the_job(store):
    job = store.add("train", {}, "me")
    begin, got = threading.Barrier(8), []

    def take():
        begin.wait()
        if store.change(job.id, WAITING, state="running") is not None:
            got.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1]


def test_a_key_makes_one_job(store):
    job = store.add("train", {"dataset": "parts@12"}, "me", "key", {"dataset": "parts"})
    assert store.find_key("other", "train", {}) is None
    assert store.find_key("key", "train", {"dataset": "parts"}) == job
    assert store.add("train", {"dataset": "parts@34"}, "me", "key", {"dataset": "parts"}) == job
    for kind, request in (("train", {"dataset": "cells"}), ("compile", {"dataset": "parts"})):
        with pytest.raises(Conflict, match=f"which made job {job.id}"):
            store.find_key("key", kind, request)


def test_of_those_that_ended_the_newest_are_kept(store):
    made = [store.add("train", {}, "me") for _ in range(4)]
    for job in made[:3]:
        store.change(job.id, OPEN, state="succeeded")
    assert store.remove_ended(2) == [made[0].id]
    assert store.remove_ended(2) == []
    assert [job.number for job in store.list().jobs] == [4, 3, 2]
    assert store.add("train", {}, "me").number == 5


def test_a_job_is_forgotten_once_it_has_ended(store):
    job = store.add("train", {}, "me")
    with pytest.raises(Conflict, match="cancel it first"):
        store.remove(job.id)
    store.change(job.id, OPEN, state="cancelled")
    store.remove(job.id)
    with pytest.raises(NotFound):
        store.remove(job.id)
    assert store.add("train", {}, "me").number == 2  # numbers are not given twice
