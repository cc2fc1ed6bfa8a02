"""`sightline serve` as a child process on a free port, for as long as a block of code needs it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.core.errors import Exhausted

STOP_TIMEOUT_S = 15


@contextmanager
def serve_in_child(repository: Path, log: Path) -> Iterator[str]:
    """Start a server over `repository`, give its URL once it answers, and stop it at the end.

    Args:
        log: file for what the server says on stderr.

    Raises: Exhausted when it ends before it answers, with the last line of its log.
    """
    command = [sys.executable, "-P", "-m", "sightline", "serve", str(repository), "--port", "0", "--json"]
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # printed when the first request can be taken; empty when the process ended
            if not line:
                raise Exhausted(f"the server ended with exit code {process.wait()}: {read_last_line(log)}; see {log}")
            yield str(json.loads(line)["url"])
        finally:
            stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, and make it end when it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read_last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
