"""The process that makes load: `python -m sightline.bench.load.generator`, started and read by `generators`.

It is a process of its own so that nothing else runs in its interpreter, and its CPU seconds are the cost of the load and
nothing else. A job comes as a line of JSON; it says "ready", waits for a line, and then says "measuring", "measured", "done".
"""

import gc
import sys
from pathlib import Path

import msgspec

from sightline.bench.load.engine import LoadEngine
from sightline.bench.load.records import GeneratorJob
from sightline.core.open_files import allow_more_files


def main() -> None:
    """Do one job."""
    allow_more_files()  # each client is one
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=GeneratorJob)
    content = Path(job.pack).read_bytes()
    requests = []
    at = 0
    for size in job.sizes:
        requests.append(content[at : at + size])
        at += size
    gc.disable()  # nothing here makes cycles, and a collection would be a pause
    say("ready")
    sys.stdin.buffer.readline()
    result = LoadEngine(job, requests, on_mark=say).run()
    Path(job.result).write_bytes(msgspec.json.encode(result))
    say("done")


def say(word: str) -> None:
    """A line to the process that waits for it."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C reaches every process of the terminal; the parent says so
