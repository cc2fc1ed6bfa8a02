"""What the serving benchmarks share: a repository of the bench's INT8 networks, our server as a child process, and its cost."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import psutil

from sightline.bench.load.measure import measure_load
from sightline.bench.load.records import LoadContent, LoadPlan, PictureFacts
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.openvino import OpenVinoBackend
from sightline.serving.inference.source import GATHERED_ROWS

CLASS_COUNT = 1000
NETWORK_SIDE = 224
STOP_S = 20.0


class OurServer(NamedTuple):
    """A running server."""

    url: str
    pid: int
    started_s: float  # from the process's start to its first 200


def add_model(repository: Path, name: str, network: Path, version: int = 1, **own: Any) -> None:
    """Put one of the bench's IR files into a repository as a plain graph with its configuration.

    Args:
        network: `.xml` with a `.bin` beside it: uint8 `(N, 224, 224, 3)` RGB in, logits `(N, 1000)` out.
        own: further words of the configuration's "sightline" object, such as `weight`.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    for suffix in (".xml", ".bin"):
        shutil.copy(network.with_suffix(suffix), folder / f"model{suffix}")
    (repository / name / "categories.txt").write_text("".join(f"class {number}\n" for number in range(CLASS_COUNT)))
    (input_tensor,), (output_tensor,) = describe(folder / "model.xml")
    pixels = {"width": NETWORK_SIDE, "height": NETWORK_SIDE, "layout": "NHWC", "mean": [0, 0, 0], "std": [1, 1, 1]}
    configuration = {
        "task": "classification",
        "input": {"name": input_tensor, **pixels, "resize": "stretch", "shrink": "bilinear"},
        "decode": {"head": "softmax", "outputs": [output_tensor], "confidence_threshold": 0.0},
        "categories_file": "categories.txt",
        "engine": "openvino",
        "precision": "int8",
        "batch": GATHERED_ROWS,  # as an Artifact that was tuned for throughput has it
        **own,
    }
    (repository / name / "config.json").write_text(json.dumps({"sightline": configuration}))


def limit_queue(repository: Path, name: str, longest: int) -> None:
    """Let no more requests than this wait for a model that `add_model` made."""
    path = repository / name / "config.json"
    words = json.loads(path.read_bytes())
    words["dynamic_batching"] = {"default_queue_policy": {"max_queue_size": longest}}
    path.write_text(json.dumps(words))


def describe(graph: Path) -> tuple[list[str], list[str]]:
    """Names of a graph's inputs and outputs."""
    session = OpenVinoBackend().open(graph, SessionOptions("int8"))
    inputs, outputs = session.describe_tensors()
    session.close()
    return [tensor.name for tensor in inputs], [tensor.name for tensor in outputs]


@contextmanager
def serve(
    repository: Path, log: Path, *options: str, ask: str = "/v2/health/ready", cache: Path | None = None
) -> Iterator[OurServer]:
    """Our server over a repository, ended afterwards.

    Args:
        ask: what must be answered with 200 before it counts as started.
        cache: where it keeps compiled networks; None: where it always does.
    """
    port = find_free_port()
    command = [sys.executable, "-P", "-m", "sightline", "serve", str(repository), "--port", str(port), *options]
    environment = os.environ if cache is None else {**os.environ, "SIGHTLINE_CACHE": str(cache)}
    begun_s = time.perf_counter()
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}{ask}", process)
            yield OurServer(f"http://127.0.0.1:{port}", process.pid, time.perf_counter() - begun_s)
        finally:
            process.terminate()
            process.wait(STOP_S)


def wait_for(url: str, process: "subprocess.Popen[bytes]", limit_s: float = 60.0) -> None:
    """Return at the first 200. Raises: RuntimeError when the process ends or takes too long."""
    until_s = time.perf_counter() + limit_s
    while process.poll() is None and time.perf_counter() < until_s:
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"the server did not answer {url}; see its log")


def read_json(url: str) -> Any:
    """What is at a URL of our server. Raises: OSError."""
    with urlopen(url, timeout=30) as answer:
        return json.load(answer)


def find_free_port() -> int:
    """A port of loopback that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_pictures(work: Path) -> list[bytes]:
    """The bench's pictures in its order."""
    return [Path(line).read_bytes() for line in (work / "pictures.txt").read_text().splitlines()]


def load(
    server: OurServer, model: str, pictures: Sequence[bytes], seed: int = 0, api_key: str | None = None, **plan: Any
) -> LoadContent:
    """Put load on our server. Args: plan: fields of `LoadPlan`."""
    sizes = [len(picture) for picture in pictures]
    facts = PictureFacts(
        source="imagenet-sample",
        version=None,
        split=None,
        pictures=len(pictures),
        available=len(pictures),
        mean_bytes=round(statistics.mean(sizes)),
        median_bytes=round(statistics.median(sizes)),
        largest_bytes=max(sizes),
    )
    load_plan = LoadPlan(**plan)
    return measure_load(server.url, model, pictures, facts, plan=load_plan, seed=seed, server_pid=server.pid, api_key=api_key)


def read_pss_bytes(pid: int) -> int:
    """Memory of a process and its children, shared pages by share."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(process.memory_full_info().pss for process in processes)


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
