"""What benchmarks share: arguments every one has, a workspace, progress on stderr, targets, and the JSON object at the end."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sightline.core.errors import SightlineError
from sightline.core.host import describe_host, now_utc
from sightline.core.progress import ProgressEvent
from sightline.core.workspace import Workspace

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PROGRESS_EVERY_S = 20.0


def make_parser(description: str | None, data: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every benchmark; `data` is the usual place of its pictures below ../shared/data."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED_DATA / data, help="folder of the dataset (default: %(default)s)")
    parser.add_argument("--workspace", type=Path, help="where models and reports are kept; a temporary folder by default")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    return parser


@contextmanager
def open_workspace(root: Path | None) -> Iterator[Workspace]:
    """The workspace below `root`, or a temporary one that is removed at the end."""
    if root is not None:
        yield Workspace(root)
        return
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as temporary:
        yield Workspace(Path(temporary))


class ProgressPrinter:
    """Prints messages and, every 20 seconds, how far the work is; to stderr, so that stdout stays the result."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._last = time.monotonic()

    def __call__(self, event: ProgressEvent) -> None:
        """Take one event."""
        if not event.message and time.monotonic() - self._last < PROGRESS_EVERY_S:
            return
        self._last = time.monotonic()
        share = "" if event.progress is None else f" {event.progress:.0%}"
        numbers = " ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
        print(f"{self.name}: {event.stage}{share} {numbers} {event.message}".rstrip(), file=sys.stderr, flush=True)


def judge(targets: dict[str, tuple[float, str, float | None]]) -> dict[str, dict[str, Any]]:
    """Targets as `{name: (target, ">=" or "<=", measured)}` with pass or fail; a number that is not known fails."""
    judged = {}
    for name, (target, relation, measured) in targets.items():
        passed = measured is not None and (measured >= target if relation == ">=" else measured <= target)
        judged[name] = {"target": f"{relation} {target:g}", "measured": measured, "pass": passed}
    return judged


def run_main(main: Callable[[], None]) -> None:
    """Run a benchmark; an error raised on purpose becomes one line and exit code 1, without a traceback."""
    try:
        main()
    except SightlineError as error:
        sys.exit(f"{type(error).__name__}: {error}")


def print_result(benchmark: str, **facts: Any) -> None:
    """Print the one JSON object that is the benchmark's last line."""
    load = [round(value, 2) for value in os.getloadavg()]
    row = {"benchmark": benchmark, "at": now_utc(), **facts, "load_average_at_end": load, "host": describe_host()}
    print(json.dumps(row), flush=True)
