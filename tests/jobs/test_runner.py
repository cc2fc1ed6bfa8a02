import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from counting import GO
from following import Follower
from waiting import wait_until

from sightline.core.categories import Categories
from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound
from sightline.core.workspace import Workspace
from sightline.data.items import Item
from sightline.data.versions import VersionWriter
from sightline.jobs import runner, running
from sightline.jobs.folder import JobFolder, Made, Order
from sightline.jobs.kinds.kind import Kind, pin
from sightline.jobs.leases import Needs
from sightline.jobs.marks import mark_process
from sightline.jobs.runner import MAX_RESTARTS, JobRunner
from sightline.store.database import Database
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import JobStore

ENDLESS = {"steps": 10_000, "step_s": 0.05}


def is_running(now: object) -> bool:
    return now.state == "running" and now.progress > 0  # type: ignore[attr-defined]


def test_a_job_runs_in_a_process_of_its_own_on_the_cores_that_it_is_given(follower: Follower) -> None:
    job = follower.submit(steps=4)
    assert job.state == "queued"
    done = follower.wait_for(job, "succeeded")
    assert done.made is not None
    assert done.made["facts"] == {"count": 4, "cores": len(follower.runner.cores), "nice": 10, "threads": "2"}
    assert (done.progress, done.stage, done.error, done.restarts) == (1.0, "counting", None, 0)
    assert done.created_at <= done.started_at <= done.ended_at  # type: ignore[operator]
    assert not follower.runner.folder(job.id).making.exists()


def test_a_failure_is_one_line_and_a_log(follower: Follower) -> None:
    job = follower.wait_for(follower.submit(fails="expected a cat, got a dog; show a cat"), "failed")
    assert job.error == "expected a cat, got a dog; show a cat"
    log = follower.runner.folder(job.id).read_log(0, 10_000)[0]
    assert "Traceback" in log


def test_a_job_that_is_killed_goes_on_where_it_was(follower: Follower) -> None:
    job = follower.submit(steps=40, waits_at=20)
    follower.wait(job, is_running)
    first = follower.find_process(job)
    os.kill(first, signal.SIGKILL)
    follower.let_go(job)
    done = follower.wait_for(job, "succeeded")
    assert done.restarts == 1
    assert done.made is not None and done.made["facts"]["count"] == 40
    assert follower.find_process(job) != first
    events = follower.runner.folder(job.id).read_events()
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert [event.progress for event in events] == sorted(event.progress for event in events)


def test_a_job_that_always_dies_is_given_up_with_a_clear_line(follower: Follower) -> None:
    job = follower.wait_for(follower.submit(dies_at=2), "failed")
    assert job.restarts == MAX_RESTARTS == 3
    assert job.error is not None and "SIGKILL" in job.error and "4 times" in job.error


def test_a_cancelled_job_ends_with_its_whole_group(follower: Follower) -> None:
    job = follower.submit(**ENDLESS, has_child=True)
    follower.wait(job, is_running)
    child = int((follower.runner.folder(job.id).path / "child").read_text())
    assert follower.runner.cancel(job.id).asked == "cancel"
    follower.wait_for(job, "cancelled")
    assert mark_process(child) is None
    assert not follower.runner.folder(job.id).making.exists()


def test_a_job_that_hears_nothing_is_killed(follower: Follower) -> None:
    job = follower.submit(**ENDLESS, is_deaf=True)
    follower.wait(job, is_running)
    follower.runner.cancel(job.id)
    follower.wait_for(job, "cancelled")


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(follower: Follower) -> None:
    first, second = follower.submit(**ENDLESS), follower.submit()
    follower.wait_for(second, "waiting_for_device")
    assert follower.runner.cancel(second.id).state == "cancelled"
    follower.runner.cancel(first.id)
    follower.wait_for(first, "cancelled")
    assert follower.runner.store.read(second.id).started_at is None


def test_a_stopped_job_keeps_what_it_has(follower: Follower) -> None:
    job = follower.submit(**ENDLESS)
    follower.wait(job, is_running)
    follower.runner.stop(job.id)
    done = follower.wait_for(job, "succeeded")
    assert done.asked == "stop" and done.made is not None and 0 < done.made["facts"]["count"] < 10_000


def test_what_cannot_be_stopped_or_cancelled_is_refused(follower: Follower) -> None:
    first, second = follower.submit(**ENDLESS), follower.submit()
    with pytest.raises(Conflict, match="cancel it if it waits"):
        follower.runner.stop(second.id)
    follower.runner.cancel(second.id)
    with pytest.raises(Conflict, match="whose state is cancelled"):
        follower.runner.cancel(second.id)
    with pytest.raises(NotFound, match="no job 'none'"):
        follower.runner.cancel("none")
    with pytest.raises(InvalidInput, match="expected a kind of job of"):
        follower.runner.submit("dance", {}, "tester")
    with pytest.raises(InvalidInput, match="`stepps`"):
        follower.submit(stepps=3)
    follower.runner.cancel(first.id)


def test_two_jobs_that_compute_run_one_after_the_other_and_one_that_needs_no_core_at_once(follower: Follower) -> None:
    first = follower.submit(**ENDLESS)
    second = follower.submit()
    light = follower.submit(cores="none")
    follower.wait_for(second, "waiting_for_device")
    follower.wait_for(light, "succeeded")
    assert follower.runner.store.read(second.id).state == "waiting_for_device"
    follower.runner.stop(follower.wait(first, is_running).id)
    follower.wait_for(second, "succeeded")
    assert follower.runner.store.read(first.id).state == "succeeded"


def test_a_job_that_has_learned_nothing_cannot_be_stopped(follower: Follower) -> None:
    job = follower.wait_for(follower.submit(**ENDLESS, waits_at=1), "running")
    with pytest.raises(Conflict, match="which only begins"):
        follower.runner.stop(job.id)
    follower.runner.cancel(job.id)
    follower.wait_for(job, "cancelled")


class OnDataset(msgspec.Struct, frozen=True, kw_only=True):
    dataset: str


def test_jobs_that_are_asked_for_at_once_freeze_a_dataset_once_and_work_on_that_version(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, both, met = Workspace(tmp_path), threading.Barrier(2), set[int]()
    with VersionWriter(workspace, "parts", Categories(["dent"])) as writer:
        writer.add(Item(blob="0" * 64, file_name="0.png", width=9, height=9))
        writer.close()

    def prepare(arguments: OnDataset, workspace: Workspace) -> OnDataset:
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            both.wait(60)
        return OnDataset(dataset=pin(workspace, "datasets", arguments.dataset))

    kind = Kind(OnDataset, prepare, lambda *_: Needs(cores="none"), lambda call: Made(shelf="models", name="none", id="0"))
    monkeypatch.setattr(runner, "load_kind", lambda name: kind)
    alone = JobRunner(workspace, JobStore(database), DatasetStore(workspace, database), [0], [])  # it starts nothing
    dataset = alone.datasets.open("parts")
    dataset.add_category("scratch", "tester")
    with ThreadPoolExecutor(2) as threads:
        jobs = list(threads.map(lambda key: alone.submit("count", {"dataset": "parts"}, "tester", key), ("a", "b")))
    assert [job.arguments["dataset"] for job in jobs] == [f"parts@{dataset.version.id[:16]}"] * 2
    assert len(workspace.list("datasets", "parts")) == 2
    alone.close()


def test_the_same_key_makes_one_job(follower: Follower) -> None:
    first = follower.runner.submit("count", {"steps": 2}, "tester", "key")
    assert follower.runner.submit("count", {"steps": 2}, "tester", "key").id == first.id
    with pytest.raises(Conflict, match="another key"):
        follower.runner.submit("count", {"steps": 3}, "tester", "key")


def test_a_clean_end_ends_jobs_and_the_next_start_goes_on(make_runner: Callable[[], Follower]) -> None:
    first = make_runner()
    job = first.submit(steps=60, waits_at=30)
    waiting = first.submit()
    first.wait(job, is_running)
    pid = first.find_process(job)
    assert [one.id for one in first.runner.close()] == [job.id, waiting.id]
    assert mark_process(pid) is None
    assert first.runner.store.read(job.id).state == "queued"
    second = make_runner()
    second.let_go(job)
    done = second.wait_for(job, "succeeded")
    assert done.restarts == 0 and done.made is not None and done.made["facts"]["count"] == 60
    second.wait_for(waiting, "succeeded")


SERVER = """
import sys, threading
from pathlib import Path
from sightline.core.workspace import Workspace
from sightline.jobs import running
from sightline.jobs.kinds.table import KINDS
from sightline.jobs.runner import JobRunner
from sightline.store.database import open_database
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import JobStore

KINDS["count"] = "counting:COUNT"
running.MODULE = "counting_process"
root = Path(sys.argv[1])
database, workspace = open_database(root / "sightline.db"), Workspace(root)
runner = JobRunner(workspace, JobStore(database), DatasetStore(workspace, database))
runner.start()
print(runner.submit("count", {"steps": 20, "waits_at": 10}, "tester").id, flush=True)
threading.Event().wait()
"""


def start_server(root: Path) -> tuple[subprocess.Popen[str], str]:
    """A server that runs one job, which waits half-way; its id is known when it was put into the queue."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(root)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def wait_for_count(root: Path, job_id: str) -> int:
    """The process of a job that has begun to count."""
    place = root / "jobs" / job_id / "progress.jsonl"
    wait_until(lambda: place.is_file() and place.stat().st_size > 0, "it never began")
    mark = JobFolder(root, job_id).read_mark()
    assert mark is not None
    return mark.pid


def kill(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
    assert server.stdout is not None
    server.stdout.close()


def test_a_killed_server_leaves_its_job_running_and_the_next_one_adopts_it(
    tmp_path: Path, make_runner: Callable[[], Follower]
) -> None:
    server, job_id = start_server(tmp_path)
    pid = wait_for_count(tmp_path, job_id)
    kill(server)
    assert mark_process(pid) is not None
    follower = make_runner()
    job = follower.runner.store.read(job_id)
    assert job.state == "running"
    waiting = follower.submit()
    follower.wait_for(waiting, "waiting_for_device")  # the cores are still leased
    follower.let_go(job)
    done = follower.wait_for(job, "succeeded")
    assert done.restarts == 0 and follower.find_process(job) == pid
    assert done.made is not None and done.made["facts"]["count"] == 20
    follower.wait_for(waiting, "succeeded")


def test_a_job_that_ended_while_no_server_was_there_is_written_down_as_it_ended(
    tmp_path: Path, make_runner: Callable[[], Follower]
) -> None:
    server, job_id = start_server(tmp_path)
    pid = wait_for_count(tmp_path, job_id)
    kill(server)
    (JobFolder(tmp_path, job_id).path / GO).touch()
    wait_until(lambda: mark_process(pid) is None)
    follower = make_runner()
    job = follower.runner.store.read(job_id)
    assert job.state == "succeeded" and job.made is not None and job.made["facts"]["count"] == 20


def test_a_job_that_died_with_its_server_goes_on(tmp_path: Path, make_runner: Callable[[], Follower]) -> None:
    server, job_id = start_server(tmp_path)
    pid = wait_for_count(tmp_path, job_id)
    kill(server)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: mark_process(pid) is None)
    follower = make_runner()
    job = follower.runner.store.read(job_id)
    follower.let_go(job)
    done = follower.wait_for(job, "succeeded")
    assert done.restarts == 1 and done.made is not None and done.made["facts"]["count"] == 20


def test_a_job_whose_dead_process_left_a_child_with_its_lock_waits_for_the_end_of_that(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    monkeypatch.setattr(runner, "find_process", tried.append)
    first = follower.submit(**ENDLESS)
    second = follower.submit()
    follower.wait_for(second, "waiting_for_device")
    with follower.runner.folder(second.id).locked():
        follower.runner.stop(follower.wait(first, is_running).id)
        follower.wait_for(first, "succeeded")
        wait_until(lambda: len(tried) >= 2)
        assert follower.runner.store.read(second.id).state == "waiting_for_device"
    assert follower.wait_for(second, "succeeded").restarts == 0


def test_a_second_server_is_refused(tmp_path: Path, database: Database, follower: Follower) -> None:
    second = JobRunner(Workspace(tmp_path), JobStore(database), follower.runner.datasets)
    with pytest.raises(Conflict, match=f"served by process {os.getpid()} already"):
        second.start()


def test_a_process_that_cannot_be_started_is_one_clear_line_and_gives_its_cores_back(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(running.subprocess, "Popen", fail)
        job = follower.wait_for(follower.submit(), "failed")
    assert job.error == "its process could not be started: [Errno 12] Cannot allocate memory; ask for it again"
    follower.wait_for(follower.submit(), "succeeded")


def test_a_job_whose_files_find_no_room_is_one_clear_line_and_gives_its_cores_back(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: JobFolder, order: Order) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "write_order", fail)
        job = follower.wait_for(follower.submit(), "failed")
    assert job.error is not None and "No space left on device; ask for it again" in job.error
    follower.wait_for(follower.submit(steps=1), "succeeded")


def test_a_database_that_cannot_be_written_for_a_moment_loses_no_end(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSE_S", 0.1)
    change, failures = JobStore.change, iter([True, True])

    def change_later(store: JobStore, job_id: str, expected: object, **changes: object) -> object:
        if changes.get("state") == "succeeded" and next(failures, False):
            raise Exhausted("the disk is full")
        return change(store, job_id, expected, **changes)  # type: ignore[arg-type]

    monkeypatch.setattr(JobStore, "change", change_later)
    first, second = follower.submit(steps=2), follower.submit()
    follower.wait_for(first, "succeeded")
    follower.wait_for(second, "succeeded")
    assert next(failures, None) is None


def test_a_job_that_cannot_be_placed_does_not_hold_up_the_others(follower: Follower) -> None:
    first, second = follower.submit(cores="nonsense"), follower.submit()
    follower.wait_for(second, "succeeded")
    assert follower.runner.store.read(first.id).error == "a defect of Sightline: ValueError: no cores are called nonsense"
