"""What a launcher makes of its workers, played by small programs."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sightline.core.errors import Exhausted, UnreadableImage
from sightline.core.progress import ProgressEvent, ignore_progress
from sightline.training import relaying
from sightline.training.relaying import STOPPING, Worker, relay
from sightline.training.worker_messages import LOST_RANK

# Before its program, a worker says that it is there; `say` sends a message.
OPENING = """
import os, signal, sys, time
say = lambda text: os.write(int(sys.argv[1]), text.encode())
say('{"event": {"stage": "training"}}')
"""
LOST = f"sys.exit({LOST_RANK})"
FOR_EVER = "time.sleep(600)"
TELL = """say('{"error": "no picture", "error_type": "UnreadableImage"}'); sys.exit(1)"""
AT_SIGINT = 'signal.signal(signal.SIGINT, lambda *_: sys.exit(0)); say(\'{"event": {"stage": "ready"}}\'); time.sleep(600)'


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., list[Worker]]]:
    """Workers of these programs."""
    workers: list[Worker] = []

    def start_all(*programs: str) -> list[Worker]:
        for number, program in enumerate(programs):
            ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
            log_path = tmp_path / f"worker-{number}.log"
            with theirs, log_path.open("wb") as log:
                command = [sys.executable, "-S", "-c", OPENING + program, str(theirs.fileno())]
                process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=(theirs.fileno(),))
            workers.append(Worker(process, ours, log_path))
        return workers

    yield start_all
    for worker in workers:
        worker.kill()
        worker.channel.close()


def test_workers_that_end_well_have_no_failure(start: Callable[..., list[Worker]]) -> None:
    assert relay(start("", ""), ignore_progress) is None


def test_the_error_that_one_tells_is_that_of_all(start: Callable[..., list[Worker]]) -> None:
    failure = relay(start(LOST, f"time.sleep(0.2); {TELL}"), ignore_progress)
    assert type(failure) is UnreadableImage and str(failure) == "no picture"


def test_who_died_is_named_rather_than_those_it_left_alone(start: Callable[..., list[Worker]], tmp_path: Path) -> None:
    failure = relay(start(LOST, LOST, "print('last words', flush=True); os.kill(os.getpid(), 9)"), ignore_progress)
    assert isinstance(failure, Exhausted)
    assert str(failure).startswith("process 2 of the 3 that train together died by signal SIGKILL")
    assert str(failure).endswith(f"resume it, or see the end of {tmp_path / 'worker-2.log'}: last words")


def test_those_that_do_not_see_it_are_ended(start: Callable[..., list[Worker]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "END_S", 0.1)
    workers = start(FOR_EVER, "sys.exit(3)", FOR_EVER)
    assert "process 1 of the 3 that train together died by exit code 3" in str(relay(workers, ignore_progress))
    assert [worker.process.returncode for worker in workers] == [-signal.SIGKILL, 3, -signal.SIGKILL]


def test_one_that_dies_when_the_model_is_whole_is_no_failure(start: Callable[..., list[Worker]]) -> None:
    assert relay(start("time.sleep(0.2)", "sys.exit(3)"), ignore_progress) is None


def test_the_first_one_is_asked_to_stop_when_it_listens(start: Callable[..., list[Worker]]) -> None:
    events: list[ProgressEvent] = []
    workers = start(AT_SIGINT, "signal.signal(signal.SIGINT, lambda *_: sys.exit(9)); time.sleep(0.5)")
    assert relay(workers, events.append, lambda: any(event.stage == "ready" for event in events)) is None
    assert [event.message for event in events if event.message] == [STOPPING]
    assert [worker.process.wait() for worker in workers] == [0, 0]


def test_a_second_interrupt_does_not_wait(start: Callable[..., list[Worker]]) -> None:
    def interrupt(event: ProgressEvent) -> None:
        if event.stage == "ready" or event.message == STOPPING:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        relay(
            start('say(\'{"event": {"stage": "ready"}}\'); signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)'),
            interrupt,
        )
    assert time.monotonic() - began < 300
