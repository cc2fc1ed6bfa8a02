"""What the tests of the platform share: a server in a thread, and how it is started."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.api.people import Person, set_person
from sightline.api.server import listen, make_server
from sightline.api.session import Session
from sightline.serving.http.connections.edge import Edge
from sightline.store.users import Role

START_TIMEOUT_S = 30


class Running(NamedTuple):
    """A server that runs: its address, whom it lets in, and itself."""

    url: str
    session: Session
    server: uvicorn.Server

    @property
    def link(self) -> str:
        """What signs a browser in."""
        return f"{self.url}/?token={self.session.token}"

    @property
    def bearer(self) -> dict[str, str]:
        """The headers of a program."""
        return {"Authorization": f"Bearer {self.session.token}"}


@contextmanager
def run_app(
    make: Callable[[Session], ASGIApp],
    on_end: Callable[[], None] = lambda: None,
    *,
    edge: Edge | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Running]:
    """Serve an application on a free port for as long as a block of code needs it."""
    listener = listen("127.0.0.1", 0)
    session = Session(port=listener.getsockname()[1], author="ada", scheme="http" if tls is None else "https")
    ready = threading.Event()
    server = make_server(make(session), ready.set, on_end, edge=edge, tls=tls)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert ready.wait(START_TIMEOUT_S)
        yield Running(f"{session.scheme}://127.0.0.1:{session.port}", session, server)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def let_in_as(app: ASGIApp, role: Role) -> ASGIApp:
    """An application in which somebody of this role asks, whatever they show."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        set_person(scope, Person("eve", role))
        await app(scope, receive, send)

    return guard


async def answer_lifespan(receive: Receive, send: Send) -> None:
    """What an application that has nothing to open or close does at its start and end."""
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})
