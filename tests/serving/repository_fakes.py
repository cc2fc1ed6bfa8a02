"""Opened models that open nothing, and repositories for them: what a graph file says decides how its opening goes."""

import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import InvalidInput, SightlineError
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec
from sightline.serving.deployments import deploy_artifact
from sightline.serving.inference.calls import ServedFacts, TensorFacts
from sightline.serving.inference.source import ModelSource
from sightline.serving.repository.folders import PipelineSource
from sightline.serving.repository.host import ModelHost
from sightline.serving.scheduling.work import QueueSettings, Work

CATEGORIES = ("dark", "bright")
WAIT_S = 20
MIB = 1 << 20


class FakeModel:
    """Holds a MiB for each byte of its graph's words; "broken" cannot be opened, "cold" cannot be warmed up, "slow" waits."""

    def __init__(self, source: ModelSource | PipelineSource, maker: "Maker") -> None:
        self.name = source.name
        self.source = source
        self.maker = maker
        self.is_resident = False
        self.plan_count = 0
        self.calls: list[str] = []
        self.words = source.graph.read_text() if isinstance(source, ModelSource) else source.text
        tensor = TensorFacts(name="images", datatype="FP32", shape=(-1, 3, 32, 32))
        self.facts = ServedFacts(
            name=source.name,
            version=source.version,
            task=getattr(source, "task", "raw"),
            categories=getattr(source, "categories", ()),
            input=getattr(source, "input", None),
            decode=getattr(source, "decode", None),
            inputs=(tensor,),
            outputs=(msgspec.structs.replace(tensor, name="out", shape=(-1, 7)),),
            max_batch=getattr(source, "largest_request", None) or 64,
            device="cpu",
            engine=getattr(source, "engine", "pipeline"),
            precision=getattr(source, "precision", "fp32"),
            streams=getattr(source, "streams", 1),
            threads=getattr(source, "threads", 1),
        )

    @property
    def queue(self) -> QueueSettings:
        return self.source.queue if isinstance(self.source, ModelSource) else QueueSettings()

    @property
    def memory_bytes(self) -> int:
        return len(self.words) * MIB if isinstance(self.source, ModelSource) and self.is_resident else 0

    def open(self) -> None:
        self.calls.append("open")
        if "slow" in self.words:
            self.maker.entered.set()
            assert self.maker.gate.wait(WAIT_S)
        if "broken" in self.words or self.name in self.maker.broken_now:
            raise InvalidInput(f"the engine cannot read {getattr(self.source, 'graph', 'it')}")
        if "crash" in self.words:
            raise RuntimeError("/srv/secret/engine.cpp:7")
        self.is_resident = True

    def warm_up(self) -> None:
        assert self.is_resident
        self.plan_count = 2
        self.calls.append("warm_up")
        if "cold" in self.words:
            raise InvalidInput("the first inference failed")

    def suspend(self) -> None:
        self.is_resident = False

    def resume(self) -> None:
        self.is_resident = True

    def page_out(self) -> None:
        self.calls.append("page_out")
        self.is_resident = False
        self.plan_count = 0

    def close(self) -> None:
        self.calls.append("close")
        self.is_resident = False
        self.maker.closed.append((self.name, self.source.version))

    def check(self, call: Any) -> int:
        return 1

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        raise AssertionError("the host never executes")


class Maker:
    """Makes FakeModels and remembers them weakly."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[FakeModel]] = []
        self.closed: list[tuple[str, int]] = []
        self.broken_now: set[str] = set()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def __call__(self, source: ModelSource | PipelineSource) -> FakeModel:
        model = FakeModel(source, self)
        self.made.append(weakref.ref(model))
        return model

    @property
    def alive(self) -> list[FakeModel]:
        return [model for made in self.made if (model := made()) is not None]

    @property
    def opened(self) -> list[tuple[str, int]]:
        """Name and version of what was not yet closed."""
        return sorted((model.name, model.source.version) for model in self.alive if "close" not in model.calls)


class FakeQueues:
    """Remembers what the scheduler would have been told."""

    def __init__(self) -> None:
        self.woken = threading.Semaphore(0)
        self.dropped: list[tuple[Any, SightlineError]] = []
        self.has_dropped = threading.Semaphore(0)
        self.awaited: list[list[str]] = []  # names of those whose executions were waited for
        self.running: set[str] = set()  # names of those with an execution that does not end

    def wake(self) -> None:
        self.woken.release()

    def drop(self, executable: Any, error: SightlineError) -> None:
        self.dropped.append((executable, error))
        self.has_dropped.release()

    def await_end(self, executables: Collection[Any], timeout_s: float | None = None) -> bool:
        self.awaited.append([one.name for one in executables])
        has_ended = not self.running.intersection(self.awaited[-1])
        assert has_ended or timeout_s is not None, "it would wait for ever"
        return has_ended


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def write_artifact(folder: Path, graph: bytes = b"graph", batch: int = 1, device: str = "cpu") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph)
    manifest = ArtifactManifest(
        name="parts",
        model_id="m" * 64,
        task="detection",
        categories=CATEGORIES,
        input=InputSpec(width=32, height=32),
        decode=DecodeSpec(head="anchor_free", outputs=("out",)),
        device=device,
        engine="reference",
        precision="fp32",
        graph_file="model.onnx",
        streams=1,
        threads=1,
        batch=batch,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def deploy(repository: Path, name: str, words: str, batch: int = 1, device: str = "cpu") -> int:
    """Deploy an Artifact whose graph says `words`; the version's number."""
    folder = repository.parent / "artifacts" / f"{name}-{words}-{time.monotonic_ns()}"
    target = deploy_artifact(write_artifact(folder, words.encode(), batch, device), name, repository)
    return int(target.name)


def write_graph(repository: Path, name: str, version: int, words: str, configuration: Any = None) -> Path:
    """A plain graph file as a version of a model; its folder."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_text(words)
    if configuration is not None:
        write_configuration(repository, name, configuration)
    return folder


def write_configuration(repository: Path, name: str, configuration: Any) -> None:
    (repository / name / "config.json").write_bytes(msgspec.json.encode(configuration))


class WaitingHost(ModelHost):
    """A host whose changes are waited for."""

    def load(self, name: str, configuration: Mapping[str, Any] | None = None) -> None:
        self.begin_load(name, configuration).result()

    def unload(self, name: str, with_dependents: bool = False) -> None:
        self.begin_unload(name, with_dependents).result()

    def reload(self, name: str) -> None:
        self.begin_reload(name).result()

    def look(self) -> None:
        self.begin_look().result()


@contextmanager
def open_host(
    repository: Path, maker: Callable[[Any], Any], queues: FakeQueues | None = None, start: bool = True, **settings: Any
) -> Iterator[WaitingHost]:
    """A host that looks only when told and measures no memory, closed at the end."""
    host = WaitingHost(
        repository, maker, queues or FakeQueues(), **{"check_every_s": 3600.0, "read_memory": lambda: 0, **settings}
    )
    try:
        if start:
            host.start()
        yield host
    finally:
        getattr(maker, "gate", threading.Event()).set()
        host.close()


def list_states(host: ModelHost) -> Mapping[tuple[str, int], str]:
    return {(state.name, state.version): state.state for state in host.index()}


def ask(host: ModelHost, name: str = "parts", version: str = "") -> int:
    """Which version answers."""
    served = host.acquire(name, version)
    host.release(served)
    return served.facts.version


def list_resident(host: ModelHost) -> list[str]:
    """Names of the models that are in memory."""
    return [state.name for state in host.list_loaded() if state.is_resident]
