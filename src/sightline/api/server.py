"""The platform's process: parts, application and guard put together, and served until a signal."""

import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp

from sightline.api.accounts import Accounts
from sightline.api.application import make_application
from sightline.api.body_limit import BodyLimit
from sightline.api.parts import Parts
from sightline.api.predicting import PredictorShelf
from sightline.api.session import Session, SessionGuard
from sightline.core.errors import Conflict, InvalidInput
from sightline.core.workspace import Workspace
from sightline.jobs.runner import JobRunner
from sightline.serving.process.listening import is_loopback, open_listener
from sightline.serving.process.signals import serve_until_signal
from sightline.store.database import DATABASE_NAME, open_database
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import JobStore

DEFAULT_PORT = 8000
PORTS_TRIED = 10
DECODERS = 2  # pictures decoded at once: each takes its size in memory, 150 MB at most
SHUTDOWN_GRACE_S = 5
MOST_CONNECTIONS = 256


def listen(host: str, port: int | None) -> socket.socket:
    """The server's socket.

    Args:
        host: a loopback address.
        port: 0 picks a free one; None takes 8000, or if that is taken one of the next.

    Raises: InvalidInput for an address that other machines reach; Conflict when the port is taken.
    """
    if not is_loopback(host):
        raise InvalidInput(
            f"expected an address of this machine alone, such as 127.0.0.1, got {host}: there are no users and passwords yet, "
            f"so nobody else may reach it; from another machine use: ssh -L {DEFAULT_PORT}:127.0.0.1:{DEFAULT_PORT} HOST"
        )
    if port is not None:
        return open_listener(host, port)
    for tried in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED - 1):
        try:
            return open_listener(host, tried)
        except Conflict:
            continue
    return open_listener(host, DEFAULT_PORT + PORTS_TRIED - 1)


@contextmanager
def open_parts(workspace: Workspace) -> Iterator[Parts]:
    """The parts of a platform over a workspace, which is made where there is none; closed at the end, running jobs with them.

    Raises: Conflict while another server has the workspace; what opening the database raises.
    """
    workspace = Workspace(workspace.root, takes_paths=False)
    workspace.root.mkdir(parents=True, exist_ok=True)
    database = open_database(workspace.root / DATABASE_NAME)
    store, predictors = DatasetStore(workspace, database), PredictorShelf(workspace)
    jobs = JobRunner(workspace, JobStore(database), store)
    try:
        jobs.start()
        yield Parts(
            workspace=workspace,
            store=store,
            predictors=predictors,
            jobs=jobs,
            accounts=Accounts(database, time.monotonic),
            decoders=anyio.CapacityLimiter(DECODERS),
            predicting=anyio.CapacityLimiter(1),
            cutting=anyio.CapacityLimiter(1),
        )
    finally:
        jobs.close()
        predictors.close()
        database.close()


def make_platform(parts: Parts, session: Session) -> ASGIApp:
    """The whole application, for those whom a session lets in."""
    return SessionGuard(BodyLimit(make_application(parts)), session, parts.accounts)


def run_platform(
    app: ASGIApp, listener: socket.socket, on_ready: Callable[[], None], on_end: Callable[[], object] = lambda: None
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP (which `nohup` has ignored), let running requests end, and return.

    Args:
        on_ready: called once, when the first request can be taken.
        on_end: called once, when the server begins to end; it waits for nothing.
    """
    gc.enable()  # the command line has it off until here
    serve_until_signal(make_server(app, on_ready, on_end), listener)


def make_server(app: ASGIApp, on_ready: Callable[[], None], on_end: Callable[[], object] = lambda: None) -> "_Server":
    """uvicorn as it serves the platform; tests run it in a thread."""
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # its lines would hold the link's token
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )
    return _Server(config, on_ready, on_end)


class _Server(uvicorn.Server):
    """Says when it is up, and when it begins to end: streams of events end then, which it would wait for."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_end: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready, self._on_end = on_ready, on_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_end()
        await super().shutdown(sockets)
