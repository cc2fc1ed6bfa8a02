"""Start generator processes, let them begin together, and read the server's cost at both ends of the measured time.

Several processes share one load: clients are dealt out, and a Poisson process of rate R is k independent ones of rate R / k.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from sightline.bench.load.records import GeneratorJob, GeneratorResult, LoadPlan
from sightline.core.errors import Exhausted, InvalidInput


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in a file, one after the other, and the numeric address they are for."""

    path: Path
    sizes: tuple[int, ...]
    host: str
    port: int


@contextmanager
def write_pack(requests: Sequence[bytes], host: str, port: int) -> Iterator[Pack]:
    """A pack for as long as the block runs."""
    with TemporaryDirectory(prefix="sightline-load-") as folder:
        path = Path(folder) / "requests"
        with path.open("wb") as file:
            for request in requests:
                file.write(request)
        yield Pack(path=path, sizes=tuple(map(len, requests)), host=host, port=port)


def run_generators(
    pack: Pack,
    plan: LoadPlan,
    *,
    clients: int | None,
    rate_per_s: float | None,
    seed: int,
    on_mark: Callable[[str], None],
) -> list[GeneratorResult]:
    """Make one load, closed with `clients` or open with `rate_per_s`; what each process saw.

    Args:
        on_mark: told "measuring" and "measured", when every process has come so far.

    Raises: Exhausted when a process dies.
    """
    jobs = make_jobs(pack, plan, clients, rate_per_s, seed)
    with ExitStack() as stack:
        processes = [stack.enter_context(start_generator(job)) for job in jobs]
        await_word(processes, "ready")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for word in ("measuring", "measured"):
            await_word(processes, word)
            on_mark(word)
        await_word(processes, "done")
        return [msgspec.json.decode(Path(job.result).read_bytes(), type=GeneratorResult) for job in jobs]


def make_jobs(pack: Pack, plan: LoadPlan, clients: int | None, rate_per_s: float | None, seed: int) -> list[GeneratorJob]:
    """A job for each process. Raises: InvalidInput for other than one of clients and rate."""
    if (clients is None) == (rate_per_s is None):
        raise InvalidInput("expected either a number of clients or a rate, got both or none")
    count = plan.processes if clients is None else min(plan.processes, clients)
    turns = len(pack.sizes)
    return [
        GeneratorJob(
            host=pack.host,
            port=pack.port,
            pack=str(pack.path),
            sizes=pack.sizes,
            result=str(pack.path.with_name(f"result-{number}")),
            duration_s=plan.duration_s,
            warm_up_s=plan.warm_up_s,
            drain_s=plan.drain_s,
            max_in_flight=max(1, plan.max_in_flight // count),
            seed=seed * 1000 + number,
            first=number * turns // count,
            clients=None if clients is None else (clients + number) // count,
            rate_per_s=None if rate_per_s is None else rate_per_s / count,
        )
        for number in range(count)
    ]


@contextmanager
def start_generator(job: GeneratorJob) -> "Iterator[subprocess.Popen[bytes]]":
    """A generator process that has its job; it is ended with the block."""
    command = [sys.executable, "-m", "sightline.bench.load.generator"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def await_word(processes: "Sequence[subprocess.Popen[bytes]]", word: str) -> None:
    """Wait until every process has said a word. Raises: Exhausted when one died."""
    for process in processes:
        assert process.stdout is not None
        heard = process.stdout.readline().decode().strip()
        if heard != word:
            raise Exhausted(f"a load generator process ended before it was {word}; what it wrote stands above")
