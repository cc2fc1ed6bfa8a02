import asyncio
import threading

import httpx
import pytest
from platform_data import make_dataset
from platform_server import answer_lifespan, run_app
from starlette.types import Receive, Scope, Send

from sightline.api.server import open_parts
from sightline.core.errors import Conflict, InvalidInput
from sightline.core.workspace import Workspace


def test_a_workspace_is_served_once_at_a_time(workspace: Workspace) -> None:
    with open_parts(workspace, "ada"), pytest.raises(Conflict, match="already"), open_parts(workspace, "eve"):
        pass
    make_dataset(workspace)
    with open_parts(workspace, "eve") as parts:
        assert parts.store.names() == ["parts"]


@pytest.mark.parametrize("author", ["x" * 201, "\udc80"])
def test_an_author_whom_the_journal_cannot_name_is_refused_at_the_start(workspace: Workspace, author: str) -> None:
    with pytest.raises(InvalidInput, match="expected an author's name"), open_parts(workspace, author):
        pass
    assert not workspace.root.exists()


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
