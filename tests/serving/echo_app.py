"""An ASGI application for tests of connections."""

import asyncio
import json
import threading
from typing import Any

from sightline.serving.http.connections.exchange import let_go_of_pieces


class EchoApp:
    """Answers with what it was asked, as JSON. Some paths do something else."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.cancelled = threading.Event()
        self.seen: list[str] = []
        self.pieces: list[int] = []
        self.heard: list[str] = []  # behind an answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            if scope["path"].endswith("/undecided"):
                await receive()
                return
            if scope["path"].endswith("/denied"):
                await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
                await send({"type": "websocket.http.response.body", "body": b"none"})
                return
            await send({"type": "websocket.accept"})
            message = await receive()
            if message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"].upper()})
                await send({"type": "websocket.close"})
            return
        self.seen.append(scope["path"])
        if scope["path"] == "/wait":
            self.entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if scope["path"] == "/defect":
            raise ZeroDivisionError
        if scope["path"] == "/injected":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nset-cookie: b")]})
            return
        if scope["path"] == "/refused":
            await self._answer(send, b"no", 401)
            return
        if scope["path"] == "/hasty":
            await self._answer(send, b"no", 401)
            self.heard.append((await receive())["type"])
            return
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for part in (b"one,", b"two,", b"three"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["path"] == "/large":
            await self._answer(send, bytes(64 * 1024 * 1024), 200)
            return
        if scope["path"] == "/collected":
            collected, more = [], True
            while more:
                message = await receive()
                collected.append(message["body"])
                more = message["more_body"]
            await self._answer(send, json.dumps({"size": len(b"".join(collected))}).encode(), 200)
            return
        if scope["path"] == "/pieces":
            let_go_of_pieces(scope)
            self.pieces = []
            more = True
            while more:
                message = await receive()
                self.pieces.append(len(message["body"]))
                more = message["more_body"]
            await self._answer(send, json.dumps({"size": sum(self.pieces)}).encode(), 200)
            return
        message = await receive()
        assert not message["more_body"]
        names = sorted(name.decode() for name, _ in scope["headers"])
        told = {"path": scope["path"], "query": scope["query_string"].decode(), "size": len(message["body"]), "names": names}
        await self._answer(send, json.dumps(told).encode(), 200)

    @staticmethod
    async def _answer(send: Any, body: bytes, status: int) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class LifespanApp(EchoApp):
    """Also starts and ends."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return
        for name in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{name}.complete"})
