"""The inference server as a whole: which parts there are, how they hang together, and in which order they begin and end.

    POST /predict/{name}      pictures in, annotations or a picture out              http.predict
    /v2/...                   Open Inference Protocol; the same over gRPC            v2, v2_grpc
    /v2/streams               a model over a video                                   streams
    GET  /deployments[/name]  what answers;  POST /deployments/{name}/reload         here
    GET  /metrics, /docs, /openapi.json, /health, and at / a page to try a picture   http, here

One process: the event loop reads and writes; the Device's slot threads decode, infer and encode; a loader opens versions.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from sightline.core.errors import Exhausted
from sightline.core.settings import Settings
from sightline.runtime.plan_store import open_plan_folder
from sightline.serving.http import openapi
from sightline.serving.http.access_log import AccessLog
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.content_encoding import Decompressor
from sightline.serving.http.guard import Guard
from sightline.serving.http.image_url import ImageFetcher
from sightline.serving.http.json_answers import write_json
from sightline.serving.http.keys import CHECK_FILE_EVERY_S, Authenticator, find_caller, read_key_line
from sightline.serving.http.limits import TokenBucket
from sightline.serving.http.metrics import Family, Metrics, Values
from sightline.serving.http.predict.endpoint import PredictEndpoint, make_routes
from sightline.serving.http.refusals import EXCEPTION_HANDLERS
from sightline.serving.http.request_record import observe_work
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.service import InferenceService, ServedVersion
from sightline.serving.inference.source import ModelSource
from sightline.serving.pipelines.declaration import parse_pipeline
from sightline.serving.pipelines.pipeline_model import PipelineModel
from sightline.serving.process.loop_turns import LoopTurns
from sightline.serving.repository.folders import PipelineSource
from sightline.serving.repository.host import ModelHost
from sightline.serving.repository.memory import keep_giving_back
from sightline.serving.repository.updating import OpenModel
from sightline.serving.repository.versions import OpenedModel
from sightline.serving.scheduling.device_threads import DeviceThreads
from sightline.serving.scheduling.scheduler import Scheduler
from sightline.serving.server_options import ServerOptions
from sightline.serving.streams import endpoints as stream_endpoints
from sightline.serving.streams.allowed_urls import UrlRule
from sightline.serving.streams.manager import StreamManager, refuse_every_url
from sightline.serving.streams.stream_metrics import StreamMetrics
from sightline.serving.v2 import routes as v2_routes
from sightline.serving.v2.endpoints import V2Endpoints
from sightline.serving.v2.models import await_begun
from sightline.serving.v2.statistics import Statistics
from sightline.serving.v2_grpc.server import GrpcServer, check_address, create_grpc_server

PAGE_FOLDER = Path(__file__).parent / "page"
DRAIN_S = 5.0
OPENING_S = 10.0  # from the beginning of the end on, for the model that is being opened
LEAST_OPENING_S = 1.0  # when everything else has ended
HAVE_QUEUES = ("READY", "UNLOADING")  # states of versions


class InferenceServer:
    """Everything of one server; nothing runs before its `app` starts. Use `app` with `listening.run_server`.

    Args:
        repository: folder of models.
        settings: limits of bytes, pixels and threads.
        options: what the operator chose.
        open_model: makes the opened thing of a version's source; by default a `ServedModel`.

    Attributes:
        names: that answer, known when the server has started.
        grpc_port: where gRPC answers then; 0 without.
    """

    def __init__(
        self,
        repository: Path,
        settings: Settings,
        options: ServerOptions | None = None,
        open_model: OpenModel | None = None,
    ) -> None:
        self.settings, self.options = settings, options or ServerOptions()
        self.names: list[str] = []
        self._plan_folder = open_plan_folder(settings.cache)
        self._is_ready = self._is_ending = False
        self._are_threads_ended = True
        self._opening_ends_s = 0.0  # on the loop's clock, known when the server begins to end
        self.authenticator = Authenticator(
            read_key_line(self.options.key_line), self.options.keys_file, on_change=self._heed_keys
        )
        slots = settings.threads
        self.scheduler = Scheduler(slots, tenant_weights=self.authenticator.weights(), express_slots=self.options.express_slots)
        self._threads = DeviceThreads(self.scheduler)
        self.host = ModelHost(
            repository,
            open_model or self._open_model,
            self.scheduler,
            mode=self.options.mode,
            load_at_start=self.options.load_at_start,
            open_pipeline=self._open_pipeline,
            cores=slots,
            check_every_s=self.options.check_every_s,
            memory_budget_bytes=self.options.memory_budget_bytes,
        )
        rate = self.options.max_requests_per_s
        self._bucket = None if rate is None else TokenBucket(rate)
        self.statistics = Statistics(list_served=self._list_served)
        self._stream_metrics = StreamMetrics()
        self.metrics = Metrics(self._make_gauges(), self._make_counters(), self._list_served)
        turns = LoopTurns(lambda: self.scheduler.waiting, slots)
        observers = (lambda *_: turns.look(), self.statistics, self.metrics.observe, observe_work)
        self.service = InferenceService(self.host, self.scheduler, observers)
        self.streams = self._make_streams()
        self._fetcher = ImageFetcher(self.options.image_urls) if self.options.image_urls is not None else None
        self._log = self._open_log()
        self._request_observers = () if self._log is None else (self._log.write,)
        self.edge = Edge(
            self._make_connection_limits(),
            websocket_prefix="/v2/streams",
            observers=self._request_observers,
            allowed_origins=self.options.allowed_origins,
            listeners=1 if self.options.grpc_address is None else 2,
        )
        self._grpc = self._make_grpc() if self.options.grpc_address is not None else None
        self.grpc_port = 0
        self.app = self._make_app()

    def is_ready(self) -> bool:
        """Whether the start is over, every model that was to be loaded at it has answered, and the server is not ending."""
        return self._is_ready and self.host.is_complete()

    async def begin_end(self) -> None:
        """Load nothing more, and end the streams: their viewers are told, before connections are waited for and cut off."""
        loop = asyncio.get_running_loop()
        if not self._is_ending:
            self._opening_ends_s = loop.time() + OPENING_S
            loop.call_at(self._opening_ends_s, self.host.give_up_start)
        self._is_ready, self._is_ending = False, True
        self.host.stop_loading()
        await self.streams.close()

    @asynccontextmanager
    async def _run(self, app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as parts:  # they end in the opposite order
            if self._log is not None:
                parts.callback(self._log.close)
            await self._check_options()
            if self._fetcher is not None:
                parts.push_async_callback(self._fetcher.close)
            parts.push_async_callback(self._close_host)
            self._threads.start()
            parts.push_async_callback(self._end_threads)
            parts.push_async_callback(self.begin_end)
            parts.callback(asyncio.create_task(self._watch_keys(), name="keys").cancel)
            parts.callback(asyncio.create_task(keep_giving_back(lambda: self.scheduler.arrivals), name="memory").cancel)
            if self._grpc is not None:
                assert self.options.grpc_address is not None
                self.grpc_port = await self._grpc.start(
                    *self.options.grpc_address, tls=self.options.grpc_tls, limits=self.edge.limits
                )
                parts.push_async_callback(self._grpc.stop, DRAIN_S)
            await self._start_host()
            self._is_ready = not self._is_ending
            yield

    async def _start_host(self) -> None:
        try:
            self.names = await asyncio.to_thread(self.host.start)
        except Exhausted:  # given up: the server ends
            if not self._is_ending:
                raise

    async def _end_threads(self) -> None:
        self._are_threads_ended = await asyncio.to_thread(self._threads.close, DRAIN_S)

    async def _close_host(self) -> None:
        """What has not ended by now, an execution or an opening, may never end, and must not keep the process."""
        opening_s = max(self._opening_ends_s - asyncio.get_running_loop().time(), LEAST_OPENING_S)
        await asyncio.to_thread(self.host.close, None if self._are_threads_ended else 0.0, opening_s)

    async def _check_options(self) -> None:
        """What would end the start ends it before models are opened, which takes long. Raises: SightlineError."""
        await self.streams.start()
        if self.options.grpc_address is not None:
            check_address(*self.options.grpc_address)

    def _make_app(self) -> Guard:
        app = Starlette(
            routes=self._make_routes(),
            exception_handlers=EXCEPTION_HANDLERS,
            lifespan=self._run,
        )
        # A redirect would name http:// behind a proxy that ends TLS, and keys and pictures would follow it unencrypted.
        app.router.redirect_slashes = False
        return Guard(
            app,
            authenticator=self.authenticator if self.authenticator.has_keys else None,
            allowed_hosts=self.options.allowed_hosts,
            allowed_origins=self.options.allowed_origins,
            bucket=self._bucket,
            has_open_metrics=self.options.has_open_metrics,
            check_room=self.service.check_room,
            observers=(self.metrics.count_request, *self._request_observers),
        )

    def _make_routes(self) -> list[BaseRoute]:
        max_bytes = self.settings.max_request_bytes
        fetch = self._fetcher.fetch if self._fetcher is not None else None
        decompressor = Decompressor(max_bytes, self.edge.hold)
        v2 = V2Endpoints(
            self.service,
            self.host,
            self.statistics,
            max_request_bytes=max_bytes,
            is_ready=self.is_ready,
            hold=self.edge.hold,
            decompressor=decompressor,
        )
        return [
            *make_routes(PredictEndpoint(self.service, max_bytes, self.edge.hold, decompressor, fetch)),
            *v2_routes.make_routes(v2),
            *stream_endpoints.make_routes(self.streams),
            v2_routes.make_fallback_route(),
            *DeploymentEndpoints(self.host).routes(),
            Route("/metrics", self.metrics.read_metrics),
            Route("/health", self._read_health),
            *openapi.make_routes(),
            *(Route(path, read_page) for path in ("/", "/page.js", "/page.css")),
        ]

    async def _read_health(self, request: Request) -> Response:
        """200 as long as the process answers."""
        return write_json({"status": "ok", "ready": self.is_ready()})

    def _heed_keys(self) -> None:
        self.scheduler.set_tenant_weights(self.authenticator.weights())
        self.streams.heed_keys()

    async def _watch_keys(self) -> None:
        """Streams and their viewers send no requests, so that nobody else would look at the file."""
        while True:
            await asyncio.sleep(CHECK_FILE_EVERY_S)
            self.authenticator.look_at_file()

    def _open_model(self, source: ModelSource) -> OpenedModel:
        return ServedModel(source, self.settings.threads, self.settings.max_image_pixels, plan_folder=self._plan_folder)

    def _open_pipeline(self, source: PipelineSource) -> OpenedModel:
        pipeline = parse_pipeline(source.text.encode())
        pixels = self.settings.max_image_pixels
        return PipelineModel(source.name, source.version, pipeline, self.host, source.queue, pixels, source.largest_request)

    def _make_grpc(self) -> GrpcServer:
        return create_grpc_server(
            self.service,
            self.host,
            self.statistics,
            max_request_bytes=self.settings.max_request_bytes,
            authenticator=self.authenticator if self.authenticator.has_keys else None,
            is_ready=self.is_ready,
            bucket=self._bucket,
            observers=self._request_observers,
            hold=self.edge.hold,
            count_unread=self.edge.count_unread,
            max_messages=max(2, self.edge.limits.max_buffered_bytes // self.settings.max_request_bytes),
        )

    def _make_connection_limits(self) -> ConnectionLimits:
        """Videos may be larger than other requests; those are bounded again where they are read."""
        largest = max(self.settings.max_request_bytes, self.options.stream_limits.upload_bytes)
        return msgspec.structs.replace(self.options.connection_limits, max_body_bytes=largest)

    def _make_streams(self) -> StreamManager:
        hosts = self.options.stream_urls
        return StreamManager(
            self.service,
            folder=self.options.stream_files,
            check_url=refuse_every_url if hosts is None else UrlRule(hosts),
            ca_file=self.options.stream_ca_file,
            limits=self.options.stream_limits,
            metrics=self._stream_metrics,
            renew=self.authenticator.renew,
        )

    def _open_log(self) -> AccessLog | None:
        place = self.options.access_log
        if place is None:
            return None
        return AccessLog(None if place == "-" else Path(place))

    def _make_counters(self) -> dict[str, Family]:
        def count_refusals() -> Values:
            return [((str(status),), float(count)) for status, count in sorted(self.edge.refusals.items())]

        refused = ("Requests that connections refused by themselves", ("status",), count_refusals)
        return {"sightline_refused_requests": refused, **self._stream_metrics.counters()}

    def _list_served(self) -> set[tuple[str, int]]:
        """Names and versions that answer, or end what they have begun."""
        return {(state.name, state.version) for state in self.host.list_loaded() if state.state in HAVE_QUEUES}

    def _make_gauges(self) -> dict[str, Family]:
        def count_pending() -> Values:
            waiting = dict.fromkeys(self._list_served(), 0)
            for executable, count in self.scheduler.list_depths():
                facts = cast(ServedVersion, executable).facts
                key = facts.name, facts.version  # an old version and the one that took its number count together
                waiting[key] = waiting.get(key, 0) + count
            return [((name, str(version)), float(count)) for (name, version), count in sorted(waiting.items())]

        def count_page_ins() -> Values:
            return [((state.name, str(state.version)), float(state.page_in_count)) for state in self.host.list_loaded()]

        return {
            "nv_inference_pending_request_count": ("Requests in the version's queue", ("model", "version"), count_pending),
            "sightline_page_ins": ("Times that the version was paged in", ("model", "version"), count_page_ins),
            **self._stream_metrics.gauges(),
        }


class DeploymentEndpoints:
    """What answers, in our own words. Args: host: the models."""

    def __init__(self, host: ModelHost) -> None:
        self.host = host

    async def list_deployments(self, request: Request) -> Response:
        """Every loaded model that the caller may use, and its state."""
        states, caller = self.host.describe_all(), find_caller(request.scope)
        return write_json({"deployments": [state for state in states if caller.may_use(state.name)]})

    async def read_deployment(self, request: Request) -> Response:
        """One model and its state."""
        return write_json(self.host.describe(request.path_params["name"]))

    async def reload_deployment(self, request: Request) -> Response:
        """Look at one model's folder now, and try versions again that failed."""
        await await_begun(self.host.begin_reload(request.path_params["name"]))
        return await self.read_deployment(request)

    def routes(self) -> list[BaseRoute]:
        """Table of paths."""
        return [
            Route("/deployments", self.list_deployments),
            Route("/deployments/{name}", self.read_deployment),
            Route("/deployments/{name}/reload", self.reload_deployment, methods=["POST"]),
        ]


async def read_page(request: Request) -> Response:
    """The page to try a picture, and its two files."""
    return FileResponse(PAGE_FOLDER / (request.url.path.strip("/") or "index.html"))
