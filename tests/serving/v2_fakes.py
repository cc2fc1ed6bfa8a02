"""Models of plain numpy behind the real service, and the V2 endpoints over them on a loopback port."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import uvicorn
from starlette.applications import Starlette

from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, QueueFull, QueueTimeout, SightlineError
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.imaging.files.reading import decode_image
from sightline.imaging.preprocessing import prepare_batch
from sightline.serving.http.content_encoding import Decompressor
from sightline.serving.inference.calls import Call, Inferred, ServedFacts, TensorFacts
from sightline.serving.inference.service import InferenceService
from sightline.serving.inference.tensor_facts import check_tensors
from sightline.serving.process.listening import format_url, open_listener
from sightline.serving.scheduling.work import Executable, Laps, QueueSettings, Work, share_execution
from sightline.serving.v2.endpoints import V2Endpoints
from sightline.serving.v2.routes import make_fallback_route, make_routes
from sightline.serving.v2.statistics import Statistics

Arrays = Mapping[str, np.ndarray]
CATEGORIES = ("dark", "bright", "red")
MAX_REQUEST_BYTES = 1024 * 1024


def make_facts(name: str, **changes: Any) -> ServedFacts:
    known: dict[str, Any] = {
        "version": 1, "task": "raw", "categories": (), "input": None, "decode": None, "inputs": (), "outputs": (),
        "max_batch": 64, "device": "cpu", "engine": "numpy", "precision": "fp32", "streams": 1, "threads": 1,
    }  # fmt: skip
    return ServedFacts(name=name, **(known | changes))


def tensor(name: str, datatype: str, *shape: int) -> TensorFacts:
    return TensorFacts(name=name, datatype=datatype, shape=shape)


class NumpyVersion:
    """A version whose network is a function on arrays."""

    def __init__(self, facts: ServedFacts, network: Callable[[Arrays], Arrays]) -> None:
        self.facts = facts
        self.name = facts.name
        self.network = network
        self.queue = QueueSettings()
        self.is_resident = True

    def check(self, call: Call) -> int:
        if call.pictures:
            if self.facts.input is None:
                raise InvalidInput(f"{self.name} takes no pictures")
            return len(call.pictures)
        return check_tensors(call.tensors or {}, self.facts)

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        for work in works:
            try:
                result = self._answer(work)
            except SightlineError as error:
                work.finish(error=error)
            else:
                work.finish(result)

    def _answer(self, work: Work) -> Any:
        call: Call = work.payload
        work.started_s = time.monotonic()
        laps = Laps(work.started_s)
        placements: tuple[Any, ...] = ()
        tensors: Arrays = call.tensors or {}
        if call.pictures:
            assert self.facts.input is not None
            images = [decode_image(bytes(picture.content), name=picture.name) for picture in call.pictures]
            batch, placed = prepare_batch(images, self.facts.input)
            tensors, placements = {self.facts.input.name: batch}, tuple(placed)
        work.input_s = laps.end()
        outputs = self.network(tensors)
        share_execution([work], laps.end())
        return call.write_answer(self.facts, Inferred(outputs=outputs, placements=placements))


def add_tensors(inputs: Arrays) -> Arrays:
    return {"sums": inputs["x"] + inputs["y"], "rows": np.arange(len(inputs["x"]), dtype=np.int64)}


def score_pictures(inputs: Arrays) -> Arrays:
    """Logits from the mean of each channel, 0..1: dark falls and bright rises with the gray, red with the red beyond it."""
    means = inputs["images"].mean(axis=(2, 3))  # (N, 3, h, w) -> (N, 3)
    gray, red = means.mean(axis=1), means[:, 0] - means[:, 1:].mean(axis=1)
    return {"logits": np.stack([1 - gray, gray, 2 * red], axis=1).astype(np.float32)}


SUM = make_facts(
    "sum",
    inputs=(tensor("x", "FP32", -1, 3), tensor("y", "FP32", -1, 3)),
    outputs=(tensor("sums", "FP32", -1, 3), tensor("rows", "INT64", -1)),
)
ECHO_TYPES = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64")
COLOURS = make_facts(
    "colours",
    version=3,
    task="classification",
    categories=CATEGORIES,
    input=InputSpec(width=4, height=4, resize="stretch", std=(255.0, 255.0, 255.0)),
    decode=DecodeSpec(head="softmax", outputs=("logits",), confidence_threshold=0.0),
    inputs=(tensor("images", "FP32", -1, 3, 4, 4),),
    outputs=(tensor("logits", "FP32", -1, 3),),
)


def make_versions() -> list[NumpyVersion]:
    echoes = [
        NumpyVersion(
            make_facts(f"echo-{datatype}", inputs=(tensor("x", datatype, -1, -1),), outputs=(tensor("x", datatype, -1, -1),)),
            lambda inputs: inputs,
        )
        for datatype in ECHO_TYPES
    ]
    return [NumpyVersion(SUM, add_tensors), NumpyVersion(COLOURS, score_pictures), *echoes]


class State(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: int
    state: str
    reason: str = ""


def do_now(job: Callable[[], None]) -> Future[None]:
    """What a loader's thread would give back."""
    future: Future[None] = Future()
    try:
        future.set_result(job())
    except SightlineError as error:
        future.set_exception(error)
    return future


class FakeHost:
    """Holds versions in a table; loads and unloads in explicit mode."""

    def __init__(self, versions: Sequence[NumpyVersion], mode: str = "explicit") -> None:
        self.versions = {version.name: version for version in versions}
        self.loaded = set(self.versions)
        self.mode = mode
        self.held = 0
        self.calls: list[tuple[Any, ...]] = []

    def acquire(self, name: str, version: str = "") -> NumpyVersion:
        self._check(name)
        if version and version != str(self.versions[name].facts.version):
            raise NotFound(f"{name!r} has no version {version}")
        self.held += 1
        return self.versions[name]

    def read_facts(self, name: str, version: str = "") -> ServedFacts:
        served = self.acquire(name, version)
        self.release(served)
        return served.facts

    def release(self, served: NumpyVersion) -> None:
        self.held -= 1

    def index(self) -> list[State]:
        return [
            State(name=name, version=one.facts.version, state="READY")
            if name in self.loaded
            else State(name=name, version=one.facts.version, state="UNAVAILABLE", reason="unloaded")
            for name, one in sorted(self.versions.items())
        ]

    def list_loaded(self) -> list[State]:
        return self.index()

    def begin_load(self, name: str, configuration: Mapping[str, Any] | None = None) -> Future[None]:
        self._check_mode()
        return do_now(lambda: self._load(name, configuration))

    def begin_unload(self, name: str, with_dependents: bool = False) -> Future[None]:
        self._check_mode()
        return do_now(lambda: self._unload(name, with_dependents))

    def _load(self, name: str, configuration: Mapping[str, Any] | None) -> None:
        if name not in self.versions:
            raise NotFound(f"no model {name!r}")
        self.calls.append(("load", name, configuration))
        self.loaded.add(name)

    def _unload(self, name: str, with_dependents: bool) -> None:
        self._check(name)
        self.calls.append(("unload", name, with_dependents))
        self.loaded.remove(name)

    def list_versions(self, name: str) -> list[int]:
        self._check(name)
        return [self.versions[name].facts.version]

    def describe_configuration(self, name: str, version: str = "") -> dict[str, Any]:
        self._check(name)
        return {"name": name, "max_batch_size": 8, "version": version}

    def _check(self, name: str) -> None:
        if name not in self.loaded:
            raise NotFound(f"no model {name[:100]!r}")

    def _check_mode(self) -> None:
        if self.mode != "explicit":
            raise Conflict(f"explicit model load / unload is not allowed in mode {self.mode}")


class OneThread:
    """A scheduler with one slot and no limits; remembers what it was given. `refusal` is raised instead of queueing."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.works: list[Work] = []
        self.refusal: QueueFull | None = None
        self.is_late = False

    def submit(self, work: Work) -> None:
        work.enqueued_s = time.monotonic()
        if self.refusal is not None:
            raise self.refusal
        self.works.append(work)
        if self.is_late:
            self.pool.submit(work.finish, error=QueueTimeout("waited longer than 1 ms"))
        else:
            self.pool.submit(self._run, work)

    def check_room(self, executable: Executable, tenant: str = "", priority: int = 0) -> None:
        if self.refusal is not None:
            raise self.refusal

    def cancel(self, work: Work) -> None:
        work.is_cancelled = True

    def _run(self, work: Work) -> None:
        assert isinstance(work.executable, NumpyVersion)
        work.executable.execute([work], alone=True)


class Bench:
    """The pieces of a server, for tests to look into."""

    def __init__(self, mode: str = "explicit") -> None:
        self.host = FakeHost(make_versions(), mode)
        self.scheduler = OneThread()
        self.statistics = Statistics()
        self.is_ready = True
        self.service = InferenceService(self.host, self.scheduler, [self.statistics])
        self.held_bytes: list[int] = []  # what was counted beside bodies, in order
        self.has_room = True  # for such
        self.endpoints = V2Endpoints(
            self.service,
            self.host,
            self.statistics,
            max_request_bytes=MAX_REQUEST_BYTES,
            is_ready=lambda: self.is_ready,
            hold=self._hold,
            decompressor=Decompressor(MAX_REQUEST_BYTES, self._hold),
        )
        self.app = Starlette(routes=[*make_routes(self.endpoints), make_fallback_route()])

    @contextmanager
    def _hold(self, size_bytes: int) -> Iterator[None]:
        if not self.has_room:
            raise Exhausted("no room")
        self.held_bytes.append(size_bytes)
        yield


@contextmanager
def run_bench(bench: Bench) -> Iterator[str]:
    """Serve from a thread of this process; gives `host:port`."""
    listener = open_listener("127.0.0.1", 0)
    config = uvicorn.Config(bench.app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
    thread.start()
    try:
        yield format_url(listener).removeprefix("http://")
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        bench.scheduler.pool.shutdown()
        assert not thread.is_alive()
