"""Videos whose frames can be told apart, a model that says how bright a frame is, and a server over streams."""

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import av
import numpy as np
import uvicorn
from starlette.applications import Starlette
from waiting import DEADLINE_S

from sightline.core.errors import NotFound, SightlineError
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.serving.http.keys import Caller
from sightline.serving.http.refusals import EXCEPTION_HANDLERS
from sightline.serving.inference.calls import Call, Inferred, ServedFacts
from sightline.serving.inference.service import InferenceService
from sightline.serving.scheduling.work import QueueSettings, Work
from sightline.serving.streams.endpoints import make_routes
from sightline.serving.streams.manager import StreamLimits, StreamManager

CATEGORIES = ("dark", "bright")
GRAYS = [0, 255, 0, 255, 255, 0, 0, 255]
LIMITS = StreamLimits(
    streams=3,
    streams_per_tenant=2,
    viewers=2,
    open_timeout_s=20.0,
    read_timeout_s=20.0,
    reconnect_s=0.01,
    kept_events=64,
    keep_alive_s=0.2,
)


def write_video(
    path: Path, grays: Sequence[int], rate: int = 25, size: tuple[int, int] = (64, 48), codec: str = "mpeg4"
) -> Path:
    """A frame of each gray; H.264 gets two B frames between reference frames."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx264":
            stream.options = {"bf": "2", "b_strategy": "0", "b-pyramid": "none", "g": "12"}
        for gray in grays:
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), gray, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """An MP4 with sound only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class BrightnessModel:
    """Answers pictures with `bright` when their mean is above 127; every Work waits while `gate` is closed."""

    name = "brightness"
    queue = QueueSettings()
    is_resident = True

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.error: SightlineError | None = None
        self.means: list[float] = []
        self.tenants: list[str] = []
        self.images: list[np.ndarray] = []
        self.facts = ServedFacts(
            name="brightness",
            version=3,
            task="classification",
            categories=CATEGORIES,
            input=InputSpec(width=8, height=8),
            decode=DecodeSpec(head="softmax", outputs=("logits",), confidence_threshold=0.6),
            inputs=(),
            outputs=(),
            max_batch=8,
            device="cpu",
            engine="reference",
            precision="fp32",
            streams=1,
            threads=1,
        )

    def check(self, call: Call) -> int:
        return len(call.images)

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        assert self.gate.wait(DEADLINE_S)
        for work in works:
            (image,) = work.payload.images
            self.images.append(image)
            self.means.append(float(image.mean()))
            self.tenants.append(work.tenant)
            logits = np.array([[0.0, 20.0 if image.mean() > 127 else -20.0]], np.float32)
            try:
                work.finish(work.payload.write_answer(self.facts, Inferred(outputs={"logits": logits}, placements=(None,))))
            except SightlineError as error:
                work.finish(error=error)


class FakeHost:
    def __init__(self, model: BrightnessModel) -> None:
        self.model = model
        self.held = 0

    def acquire(self, name: str, version: str = "") -> BrightnessModel:
        if name != self.model.name:
            raise NotFound(f"there is no model {name!r}")
        self.held += 1
        return self.model

    def release(self, served: BrightnessModel) -> None:
        self.held -= 1


class FakeScheduler:
    """One slot. `refusal`, when set, is what every admission ends with."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.refusals: list[SightlineError] = []
        self.timeouts: list[float | None] = []
        self.hastened = 0  # works whose timeout would bring them forward

    def submit(self, work: Work) -> None:
        self.timeouts.append(work.timeout_s)
        self.hastened += work.hastens
        if self.refusals:
            raise self.refusals.pop()
        self.pool.submit(work.executable.execute, [work], True)

    def cancel(self, work: Work) -> None:
        pass


class Stage:
    """What a test of streams works with."""

    def __init__(self) -> None:
        self.model = BrightnessModel()
        self.host = FakeHost(self.model)
        self.scheduler = FakeScheduler()
        self.service = InferenceService(self.host, self.scheduler)  # type: ignore[arg-type]
        self.callers: dict[str, Caller] = {}


class Server(uvicorn.Server):
    """Ends the streams first: their viewers' connections end with them, and no others are waited for."""

    def __init__(self, config: uvicorn.Config, manager: StreamManager) -> None:
        super().__init__(config)
        self.manager = manager

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.manager.close()
        await super().shutdown(sockets)


@contextmanager
def run_streams(stage: Stage, make_manager: Callable[[InferenceService], StreamManager]) -> Iterator[str]:
    """A real server over a manager, from a thread of this process; gives the URL."""
    manager = make_manager(stage.service)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await manager.start()
        yield
        await manager.close()

    app = Starlette(routes=make_routes(manager), exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)

    async def with_tenant(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] in ("http", "websocket"):
            tenant = dict(scope["headers"]).get(b"x-tenant", b"").decode()
            scope.setdefault("state", {})["caller"] = stage.callers.setdefault(tenant, Caller(tenant))
        await app(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # connections inherit it: slow viewers show soon
    config = uvicorn.Config(with_tenant, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2)
    server = Server(config, manager)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stage.model.gate.set()
        server.should_exit = True
        thread.join(20)
        listener.close()
        stage.scheduler.pool.shutdown()
        assert not thread.is_alive()


def count_open_files() -> int:
    """Descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
