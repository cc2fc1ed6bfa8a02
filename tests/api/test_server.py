import asyncio
import threading

import httpx
import pytest
from platform_data import make_dataset
from platform_server import answer_lifespan, run_app
from starlette.types import Receive, Scope, Send

from sightline.api.server import open_parts
from sightline.core.errors import Conflict
from sightline.core.workspace import Workspace


def test_a_workspace_is_served_once_at_a_time(workspace: Workspace) -> None:
    with open_parts(workspace), pytest.raises(Conflict, match="already"), open_parts(workspace):
        pass
    make_dataset(workspace)
    with open_parts(workspace) as parts:
        assert parts.store.names() == ["parts"]


def test_what_streams_until_the_end_is_told_of_it_and_not_cut_off(client: httpx.Client) -> None:
    ending = threading.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun, ", "more_body": True})
        while not ending.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"ended"})

    with run_app(lambda _: stream, ending.set) as running, client.stream("GET", running.url) as answer:
        text = answer.iter_text()
        first = next(text)
        running.server.should_exit = True
        assert first + "".join(text) == "begun, ended"
