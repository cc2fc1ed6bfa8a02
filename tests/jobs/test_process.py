import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from following import HERE, Follower

from sightline.jobs.folder import JobFolder, Order
from sightline.jobs.leases import Lease
from sightline.jobs.marks import mark_own_process
from sightline.jobs.process import ENDED_EARLY, LOG_IS_FULL, LOST_LOCK, ORPHAN_S, SERVER_LOOK_S, Loneliness


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Starts the process of job 1, as a runner would."""

    def run(environment: dict[str, str] | None = None, **arguments: object) -> "subprocess.Popen[bytes]":
        folder = JobFolder(tmp_path, "1")
        folder.path.mkdir(parents=True, exist_ok=True)
        lease = Lease(cores=tuple(os.sched_getaffinity(0)))
        folder.write_order(Order(id="1", kind="count", arguments=arguments, author="me", lease=lease))
        paths = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        with folder.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "counting_process", str(tmp_path), "1"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": paths, "SIGHTLINE_THREADS": "2"} | (environment or {}),
                start_new_session=True,
            )

    return run


def test_a_process_writes_down_what_it_made_and_who_it_was(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    process = start(steps=2, says="one more")
    assert process.wait(60) == 0
    folder = JobFolder(tmp_path, "1")
    end, mark = folder.read_end(), folder.read_mark()
    assert end is not None and end.made is not None and end.made.facts["count"] == 2
    assert mark is not None and mark.pid == process.pid
    assert [event.message for event in folder.read_events()] == ["one more", "one more"]
    assert folder.log.read_text().count("counting: one more") == 2


def test_a_job_is_never_done_by_two_at_once(tmp_path: Path, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    with JobFolder(tmp_path, "1").locked() as is_ours:
        assert is_ours
        assert start().wait(60) == LOST_LOCK
    assert JobFolder(tmp_path, "1").read_end() is None


def test_a_job_without_a_server_ends_itself_and_leaves_what_a_restart_needs(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    folder = JobFolder(tmp_path, "1")
    folder.making.mkdir(parents=True)
    (folder.making / "count").write_text("5")  # of a start before: on a busy machine this one may not come to count
    process = start({"LONELY_S": "0.2"}, steps=10_000, step_s=0.05)
    assert process.wait(60) == ENDED_EARLY
    assert folder.read_end() is None
    assert int((folder.making / "count").read_text()) >= 5


def test_a_server_that_comes_back_in_time_keeps_its_jobs() -> None:
    own, looks = mark_own_process(), []
    alone = Loneliness(0.0)
    assert not alone.is_over(SERVER_LOOK_S - 1, lambda: looks.append(1))  # type: ignore[func-returns-value]
    assert looks == []
    assert not alone.is_over(ORPHAN_S - 1, lambda: None)
    assert not alone.is_over(ORPHAN_S + SERVER_LOOK_S, lambda: own)
    assert not alone.is_over(2 * ORPHAN_S, lambda: None)
    assert alone.is_over(2 * ORPHAN_S + 2 * SERVER_LOOK_S, lambda: None)


def test_a_log_is_bounded_and_says_so(tmp_path: Path, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    assert start({"LOG_BYTES": "20000"}, steps=300, step_s=0.01, says="x" * 1000).wait(60) == 0
    log = (tmp_path / "jobs" / "1" / "log.txt").read_bytes()
    assert log.endswith(LOG_IS_FULL)
    assert 20_000 < len(log) < 200_000


def test_a_defect_is_one_line_and_its_traceback_is_in_the_log(follower: Follower) -> None:
    job = follower.wait_for(follower.submit(step_s=-1.0), "failed")
    assert job.error == "a defect of Sightline: ValueError: sleep length must be non-negative; the job's log tells more"
    assert "Traceback" in follower.runner.folder(job.id).log.read_text()
