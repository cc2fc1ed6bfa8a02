"""The whole inference server in a thread of this process, on a loopback port, over a repository in a temporary folder."""

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvicorn
from waiting import DEADLINE_S

from sightline.core.settings import Settings, read_settings
from sightline.serving.http.openapi import describe_interface
from sightline.serving.process.listening import format_url, make_server, open_listener
from sightline.serving.repository.updating import OpenModel
from sightline.serving.server import InferenceServer
from sightline.serving.server_options import ServerOptions

OF_HTTP_ITSELF = (408, 413, 414, 431)  # whatever is asked for
CHECK_EVERY_S = 0.05


class Running:
    """A server that answers.

    Attributes:
        whole: its parts, to look at.
        loop: uvicorn's; `should_exit` makes it end.
        url, port: of HTTP.
    """

    def __init__(self, whole: InferenceServer, loop: uvicorn.Server, url: str) -> None:
        self.whole = whole
        self.loop = loop
        self.url = url
        self.port = int(url.rpartition(":")[2])

    def client(self, **settings: Any) -> httpx.Client:
        """A client of this server, which checks that the statuses of all answers are documented; close it."""
        hooks = {"response": [check_documented]}
        return httpx.Client(base_url=self.url, trust_env=False, timeout=DEADLINE_S, event_hooks=hooks, **settings)


def check_documented(answer: httpx.Response) -> None:
    """Fail when a documented operation answered with a status that is not documented of it."""
    for path, operations in describe_interface()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), answer.request.url.path):
            operation = operations.get(answer.request.method.lower())
            assert (
                operation is None or answer.status_code in OF_HTTP_ITSELF or str(answer.status_code) in operation["responses"]
            )


@contextmanager
def run_server(
    repository: Path,
    options: ServerOptions | None = None,
    settings: Settings | None = None,
    open_model: OpenModel | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Running]:
    """Serve until the block ends; the repository is looked at often unless the options say otherwise."""
    with begin_server(repository, options, settings, open_model, tls) as (running, is_up):
        assert is_up.wait(DEADLINE_S)
        yield running


@contextmanager
def begin_server(
    repository: Path,
    options: ServerOptions | None = None,
    settings: Settings | None = None,
    open_model: OpenModel | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[tuple[Running, threading.Event]]:
    """As `run_server`, without waiting until it is up, which the event tells."""
    options = options or ServerOptions(check_every_s=CHECK_EVERY_S)
    settings = settings or Settings(threads=2)
    if settings.cache == Settings().cache:  # the user's own
        settings = msgspec.structs.replace(settings, cache=read_settings().cache)
    whole = InferenceServer(repository, settings, options, open_model)
    listener = open_listener("127.0.0.1", 0)
    is_up = threading.Event()
    server = make_server(whole.app, whole.edge, is_up.set, tls, whole.begin_end)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    thread.start()
    try:
        yield Running(whole, server, format_url(listener, "http" if tls is None else "https")), is_up
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        listener.close()
        assert not thread.is_alive()
