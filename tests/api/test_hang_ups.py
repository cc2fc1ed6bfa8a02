import asyncio
import socket
import threading

from platform_server import answer_lifespan, run_app
from starlette.types import Receive, Scope, Send
from waiting import wait_until


def ask_and_leave(port: int, came: threading.Event) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi")
        wait_until(came.is_set)


def test_what_was_asked_for_is_done_to_its_end_although_the_client_has_gone() -> None:
    came, go_on, told = threading.Event(), threading.Event(), []

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        assert (await receive())["body"] == b"hi"
        came.set()
        told.append((await receive())["type"])
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})  # to nobody
        await send({"type": "http.response.body", "body": b"done"})
        told.append("done")

    with run_app(lambda _: work) as running:
        ask_and_leave(running.session.port, came)
        wait_until(lambda: told == ["http.disconnect"])
        go_on.set()
        wait_until(lambda: told == ["http.disconnect", "done"])


def test_what_nobody_waits_for_ends_with_the_server() -> None:
    came, ended = threading.Event(), threading.Event()

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        came.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with run_app(lambda _: work) as running:
        ask_and_leave(running.session.port, came)
        wait_until(lambda: not running.server.server_state.connections)
        assert not ended.is_set()
    assert ended.is_set()
