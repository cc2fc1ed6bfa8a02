"""The plain inference server: `POST /predict/{name}` with a picture's bytes, answered with labels, boxes or masks.

    POST /predict/{name}             ?confidence=0..1  ?format=json|png|mask  ?mask=rle|polygons|png
    GET  /deployments                GET /deployments/{name}       POST /deployments/{name}/reload
    GET  /health                     GET /                         a page to try a picture

One process: the event loop reads and writes, threads decode and infer, a bounded queue stands between them.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.core.errors import Conflict, InvalidInput
from sightline.core.settings import Settings
from sightline.runtime.predictor import open_predictor
from sightline.serving.answers import answer_pictures
from sightline.serving.hosting import DeploymentHost, Hosted, OpenPredictor
from sightline.serving.problems import EXCEPTION_HANDLERS, make_problem
from sightline.serving.requests import read_options, read_pictures
from sightline.serving.workers import Workers

PAGE_FOLDER = Path(__file__).parent / "page"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_CONNECTIONS = 1024
SHUTDOWN_GRACE_S = 5
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Endpoints:
    """The handlers of the routes; they parse and call."""

    def __init__(self, host: DeploymentHost, workers: Workers, settings: Settings) -> None:
        self.host = host
        self.workers = workers
        self.settings = settings

    async def predict(self, request: Request) -> Response:
        """Pictures in, annotations or a PNG out."""
        with self.workers.admit():
            hosted = await self._find(request)
            options = read_options(request)
            pictures = await read_pictures(request, self.settings.max_request_bytes)
            answer = await self.workers.run(
                answer_pictures,
                hosted.predictor,
                pictures,
                options,
                max_pixels=self.settings.max_image_pixels,
                facts=hosted.facts,
                is_form=request.headers.get("content-type", "").lower().startswith("multipart/"),
            )
        return Response(answer.body, media_type=answer.media_type)

    async def health(self, request: Request) -> Response:
        """200 as long as the process answers."""
        return write_json({"status": "ok", "requests": self.workers.admitted})

    async def list_deployments(self, request: Request) -> Response:
        """Every Deployment and its state."""
        return write_json({"deployments": await asyncio.to_thread(self.host.describe_all)})

    async def read_deployment(self, request: Request) -> Response:
        """One Deployment and its state."""
        return write_json(await asyncio.to_thread(self.host.describe, request.path_params["name"]))

    async def reload_deployment(self, request: Request) -> Response:
        """Look at the repository now, and try a version again that failed before."""
        name = request.path_params["name"]
        await asyncio.to_thread(self.host.find, name, retry_failed=True)
        return write_json(await asyncio.to_thread(self.host.describe, name))

    async def read_page(self, request: Request) -> Response:
        """The page to try a picture, and its two files."""
        return FileResponse(PAGE_FOLDER / (request.url.path.strip("/") or "index.html"))

    async def _find(self, request: Request) -> Hosted:
        name = request.path_params["name"]
        hosted = self.host.find_fresh(name)
        return hosted if hosted is not None else await asyncio.to_thread(self.host.find, name)


class GuardMiddleware:
    """Refuse foreign Host headers and add the security headers.

    A web page the user visits can make the browser send requests to loopback under a name of its own (DNS rebinding); the
    Host header gives it away.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str] | None) -> None:
        self.app = app
        self.allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if self.allowed_hosts is not None and not all(strip_port(host) in self.allowed_hosts for host in hosts or [""]):
            refusal = make_problem(400, f"expected a Host of {', '.join(sorted(self.allowed_hosts))}; this server is local")
            await refusal(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(key.lower().encode(), value.encode()) for key, value in SECURITY_HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


def create_app(
    repository: Path,
    settings: Settings,
    *,
    open_artifact: OpenPredictor = open_predictor,
    max_waiting: int = 64,
    check_every_s: float = 1.0,
    allowed_hosts: frozenset[str] | None = LOOPBACK_NAMES,
) -> Starlette:
    """The ASGI application over one model repository.

    Args:
        repository: folder of Deployments.
        settings: limits of bytes, pixels and threads.
        open_artifact: opens the folder of an Artifact.
        max_waiting: requests that may wait while every thread works; the next one gets 503.
        check_every_s: how old the look at a Deployment's manifest may be.
        allowed_hosts: names that the Host header may hold; None: any.
    """
    host = DeploymentHost(repository, open_artifact, check_every_s=check_every_s)
    workers = Workers(settings.threads, max_waiting)
    endpoints = Endpoints(host, workers, settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.ready = await asyncio.to_thread(host.load_all)
        yield
        workers.close()

    return Starlette(
        routes=make_routes(endpoints),
        middleware=[Middleware(GuardMiddleware, allowed_hosts=allowed_hosts)],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )


def make_routes(endpoints: Endpoints) -> list[Route]:
    """Table of paths."""
    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        *(("GET", path, endpoints.read_page) for path in ("/", "/page.js", "/page.css")),
        ("GET", "/health", endpoints.health),
        ("GET", "/deployments", endpoints.list_deployments),
        ("GET", "/deployments/{name}", endpoints.read_deployment),
        ("POST", "/deployments/{name}/reload", endpoints.reload_deployment),
        ("POST", "/predict/{name}", endpoints.predict),
    ]
    return [Route(path, handler, methods=[method]) for method, path, handler in table]


def write_json(content: Any) -> Response:
    """A 200 with a JSON body."""
    return Response(msgspec.json.encode(content), media_type="application/json")


def strip_port(host: str) -> str:
    """Host name of a Host header: `localhost:8000` -> `localhost`, `[::1]:8000` -> `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def open_listener(host: str, port: int, allow_remote: bool = False) -> socket.socket:
    """Bind the server's socket; port 0 picks a free one.

    Raises: Conflict when the port is taken; InvalidInput for an address that is not this machine's, or that other machines
        reach while `allow_remote` is False.
    """
    if not allow_remote and not is_loopback(host):
        raise InvalidInput(
            f"{host} is reachable from other machines and this server asks for no password; "
            "use 127.0.0.1, or --allow-remote if the network is yours"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror):
            raise InvalidInput(f"{host!r} is no address of this machine; use 127.0.0.1") from error
        raise Conflict(f"cannot listen on {host} port {port}: {error.strerror}; --port 0 picks a free port") from error
    listener.listen(MAX_CONNECTIONS)
    return listener


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def format_url(listener: socket.socket) -> str:
    """URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(app: Starlette, listener: socket.socket, on_ready: Callable[[list[str]], None]) -> None:
    """Serve until SIGTERM or SIGINT, let running requests end, and return.

    Args:
        on_ready: called once with the names that answer, when the first request can be taken.
    """
    server = _make_server(app, on_ready)
    # uvicorn raises the signal again after its clean shutdown, for the handlers it found: here that means "done".
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _make_server(app: Starlette, on_ready: Callable[[list[str]], None]) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        limit_concurrency=MAX_CONNECTIONS,
    )
    return _AnnouncingServer(config, on_ready)


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[list[str]], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready(self.config.app.state.ready)  # type: ignore[union-attr]
