"""How tests wait for what jobs do."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from counting import GO

from sightline.jobs.runner import JobRunner
from sightline.store.jobs import Job

HERE = Path(__file__).parent
PATIENCE_S = 60  # a process starts late where others compute


class Follower:
    """A runner, and how to wait for what its jobs do."""

    def __init__(self, runner: JobRunner) -> None:
        self.runner = runner

    def submit(self, **arguments: object) -> Job:
        return self.ask("count", **arguments)

    def ask(self, kind: str, **arguments: object) -> Job:
        return self.runner.submit(kind, arguments, "tester")

    def wait(self, job: Job, is_there: Callable[[Job], bool]) -> Job:
        """The job once that is true of it."""
        news, end_s = threading.Event(), time.monotonic() + PATIENCE_S
        with self.runner.listen(job.id, news.set):
            while time.monotonic() < end_s:
                news.clear()
                if is_there(now := self.runner.store.read(job.id)):
                    return now
                if now.has_ended:
                    break
                news.wait(1.0)
        raise AssertionError(f"it never was: {now}, {self.runner.folder(job.id).read_log(0, 4000)[0]}")

    def wait_for(self, job: Job, state: str) -> Job:
        return self.wait(job, lambda now: now.state == state)

    def let_go(self, job: Job) -> None:
        """Let a job go on that waits for it."""
        (self.runner.folder(job.id).path / GO).touch()

    def find_process(self, job: Job) -> int:
        """The process of a job that runs."""
        mark = self.runner.folder(job.id).read_mark()
        assert mark is not None
        return mark.pid
