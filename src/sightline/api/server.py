"""The platform's process: parts, application and guard put together, and served until a signal."""

import gc
import socket
import ssl
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
from sightline.api.hang_ups import CarriedOut
from sightline.api.parts import Parts
from sightline.api.predicting import PredictorShelf
from sightline.api.reach import Reach
from sightline.api.session import Session, SessionGuard
from sightline.core.errors import Conflict
from sightline.core.open_files import allow_more_files
from sightline.core.workspace import Workspace
from sightline.jobs.runner import JobRunner
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.process.listening import make_gated_server, open_listener
from sightline.serving.process.signals import serve_until_signal
from sightline.store.database import DATABASE_NAME, open_database
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import JobStore
from sightline.store.users import UserStore

DEFAULT_PORT = 8000
PORTS_TRIED = 10
REVISING = 4  # changes of pictures at once: those of a dataset wait for each other, and for its freeze
DECODERS = 2  # pictures decoded at once: each takes its size in memory, 150 MB at most


def listen(host: str, port: int | None) -> socket.socket:
    """The server's socket; `Reach.check` says whether it may listen there.

    Args: port: 0 picks a free one; None takes 8000, or if that is taken one of the next.

    Raises: InvalidInput for what is no address of this machine; Conflict when the port is taken.
    """
    if port is not None:
        return open_listener(host, port, allow_remote=True)
    for tried in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED - 1):
        try:
            return open_listener(host, tried, allow_remote=True)
        except Conflict:
            continue
    return open_listener(host, DEFAULT_PORT + PORTS_TRIED - 1, allow_remote=True)


def has_users(workspace: Workspace) -> bool:
    """Whether anybody can sign in to a workspace, before it is served. Raises: what opening its database raises."""
    path = workspace.root / DATABASE_NAME
    if not path.is_file():
        return False
    database = open_database(path)
    try:
        return UserStore(database).has_any()
    finally:
        database.close()


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
            revising=anyio.CapacityLimiter(REVISING),
        )
    finally:
        jobs.close()
        predictors.close()
        database.close()


def make_platform(parts: Parts, session: Session) -> ASGIApp:
    """The whole application, for those whom a session lets in."""
    return SessionGuard(BodyLimit(make_application(parts)), session, parts.accounts)


def run_platform(
    app: ASGIApp,
    listener: socket.socket,
    on_ready: Callable[[], None],
    on_end: Callable[[], object],
    *,
    limits: ConnectionLimits,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP (which `nohup` has ignored), let running requests end, and return.

    Args:
        on_ready: called once, when the first request can be taken.
        on_end: called once, when the server begins to end; it waits for nothing.
        limits: of connections.
        tls: None serves without encryption.
    """
    gc.enable()  # the command line has it off until here
    edge = Edge(limits)
    edge.spare_files(allow_more_files())
    serve_until_signal(make_server(app, on_ready, on_end, edge=edge, tls=tls), listener)


def make_server(
    app: ASGIApp,
    on_ready: Callable[[], None],
    on_end: Callable[[], object] = lambda: None,
    *,
    edge: Edge | None = None,
    tls: ssl.SSLContext | None = None,
) -> uvicorn.Server:
    """The server as it serves the platform, over the inference server's connections; tests run it in a thread."""

    async def end() -> None:
        on_end()

    return make_gated_server(CarriedOut(app), lambda _: None, edge or Edge(Reach().limits), on_ready, tls, end)
