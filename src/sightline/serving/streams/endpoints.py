"""Streams over HTTP.

POST   /v2/streams                JSON with a source, or a video with its options in the query; 201 with the stream
GET    /v2/streams                GET /v2/streams/{id}         DELETE /v2/streams/{id}
GET    /v2/streams/{id}/events    server-sent events           WebSocket /v2/streams/{id}/ws: the same messages
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from sightline.core.errors import Exhausted, InvalidInput, SightlineError
from sightline.serving.http.content_encoding import read_encoding
from sightline.serving.http.json_answers import write_json
from sightline.serving.http.keys import Caller, find_caller
from sightline.serving.http.problems import describe_error
from sightline.serving.http.refusals import Refusal
from sightline.serving.streams.events import format_lost, format_sse
from sightline.serving.streams.manager import StreamManager
from sightline.serving.streams.sources import VideoSource
from sightline.serving.streams.stream import Stream, StreamOptions
from sightline.serving.streams.stream_requests import read_options, read_request, receive_video

NO_CONTENT = 204
PORTION = 64  # events that are written at once
MAX_DIGITS = 18
EVENT_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Window:
    """How far a WebSocket's client may be behind what was sent to it. Args: size: in messages; 0: any. seen: to begin with."""

    def __init__(self, size: int, seen: int) -> None:
        self.portion = 1 if size else PORTION
        self._size = size
        self._seen = seen
        self._moved = asyncio.Event()

    def acknowledge(self, number: int) -> None:
        """The client has handled this message and those before it."""
        self._seen = max(self._seen, number)
        self._moved.set()

    async def wait_for_room(self, sent: int) -> None:
        """Until another message may be sent behind this one."""
        while self._size and sent - self._seen >= self._size:
            self._moved.clear()
            await self._moved.wait()


class StreamEndpoints:
    """The handlers; they parse and call."""

    def __init__(self, streams: StreamManager) -> None:
        self._streams = streams

    async def create(self, request: Request) -> Response:
        """Start a stream."""
        caller = find_caller(request.scope)
        with self._streams.hold_place(caller.name):
            source, options = await self._receive(request)
        stream = self._streams.create(source, options, caller)
        headers = {"Location": f"/v2/streams/{stream.id}"}
        return write_json(stream.describe(), 201, headers)

    async def _receive(self, request: Request) -> tuple[VideoSource, StreamOptions]:
        if encoding := read_encoding(request.headers.get("content-encoding", "").encode("latin-1")):
            raise Refusal(415, f"expected no Content-Encoding, got {encoding[:100]!r}; send the body as it is")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            asked = await read_request(request)
            self._check_model(request, asked.options)
            place = asked.source
            source = await (self._streams.open_file(place.file) if place.file else self._streams.open_url(place.url))
            return source, asked.options
        options = read_options(request.query_params)
        self._check_model(request, options)  # before the upload, not after
        return await receive_video(request, self._streams.limits.upload_bytes), options

    def _check_model(self, request: Request, options: StreamOptions) -> None:
        """Raises: Refusal for a key that may not use the model; what `StreamManager.check_model` raises."""
        find_caller(request.scope).check_model(options.model)  # the guard sees no body, and so no model
        self._streams.check_model(options)

    async def list_streams(self, request: Request) -> Response:
        """The caller's streams."""
        streams = self._streams.list_streams(find_caller(request.scope).name)
        return write_json({"streams": [stream.describe() for stream in streams]})

    async def read(self, request: Request) -> Response:
        """State and statistics of one."""
        return write_json(self._find(request).describe())

    async def delete(self, request: Request) -> Response:
        """End and forget one."""
        await self._streams.delete(request.path_params["id"], find_caller(request.scope).name)
        return Response(status_code=NO_CONTENT)

    async def events(self, request: Request) -> Response:
        """Results as server-sent events, from the one behind `Last-Event-ID` or `?after=`."""
        stream = self._find(request)
        seen = read_number(request, "after", request.headers.get("last-event-id"))
        self._check_viewers(stream)
        if stream.events.is_closed and seen == stream.events.last_number:
            return Response(status_code=NO_CONTENT)  # tells a browser's EventSource not to come back
        return StreamingResponse(
            self._follow(stream, seen, find_caller(request.scope)), media_type="text/event-stream", headers=EVENT_HEADERS
        )

    async def websocket(self, websocket: WebSocket) -> None:
        """The same messages over a WebSocket.

        With `?window=N` at most N messages are under way: the client sends the id of the last one it has handled, as text. That
        is how a slow client loses the oldest events, as over HTTP, rather than have them pile up on the way.
        """
        try:
            stream = self._find(websocket)
            seen = read_number(websocket, "after")
            window = Window(read_number(websocket, "window"), seen)
            self._check_viewers(stream)
        except SightlineError as error:
            await deny(websocket, error)
            return
        await websocket.accept()
        sending = asyncio.create_task(self._send_all(websocket, stream, seen, window))
        hearing = asyncio.create_task(hear(websocket, window))
        try:
            with find_caller(websocket.scope).quota.rest():
                await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, hearing):
                task.cancel()
            await asyncio.gather(sending, hearing, return_exceptions=True)

    def _find(self, connection: HTTPConnection) -> Stream:
        return self._streams.find(connection.path_params["id"], find_caller(connection.scope).name)

    def _check_viewers(self, stream: Stream) -> None:
        if stream.viewers >= self._streams.limits.viewers:
            raise Exhausted(f"{stream.viewers} connections read this stream, which is the limit; close one")

    async def _follow(self, stream: Stream, seen: int, caller: Caller) -> AsyncIterator[bytes]:
        stream.viewers += 1
        try:
            with caller.quota.rest():
                yield b": stream\n\n"  # the answer begins at once, not with the first frame
                async with aclosing(stream.events.follow(seen, self._streams.limits.keep_alive_s, PORTION)) as news:
                    async for events, lost in news:
                        yield format_sse(events, lost)
        finally:
            stream.viewers -= 1

    async def _send_all(self, websocket: WebSocket, stream: Stream, seen: int, window: Window) -> None:
        stream.viewers += 1
        try:
            async with aclosing(stream.events.follow(seen, self._streams.limits.keep_alive_s, window.portion)) as news:
                async for events, lost in news:
                    if lost:
                        await websocket.send_text(format_lost(lost).decode())
                    for event in events:
                        await websocket.send_text(event.data.decode())
                    if events:
                        await window.wait_for_room(events[-1].number)
            await websocket.close()
        except WebSocketDisconnect:
            return
        finally:
            stream.viewers -= 1


class Others:
    """An ASGI application that refuses what no route takes: in our form of errors, not in that of what else lies below /v2.

    Args:
        routes: that are served.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises: HTTPException 405 with the methods of the path, or 404."""
        path, method = scope["path"], scope["method"]
        allowed = sorted({one for route in self._routes if route.path_regex.match(path) for one in route.methods or ()})
        if not allowed:
            raise HTTPException(404)
        message = f"expected {' or '.join(allowed)} {scope['path'][:200]}, got {method[:20]}; GET /docs has all paths"
        raise HTTPException(405, message, {"Allow": ", ".join(allowed)})


def make_routes(streams: StreamManager) -> list[BaseRoute]:
    """Table of paths."""
    endpoints = StreamEndpoints(streams)
    routes = [
        Route("/v2/streams", endpoints.create, methods=["POST"]),
        Route("/v2/streams", endpoints.list_streams, methods=["GET"]),
        Route("/v2/streams/{id}", endpoints.read, methods=["GET"]),
        Route("/v2/streams/{id}", endpoints.delete, methods=["DELETE"]),
        Route("/v2/streams/{id}/events", endpoints.events, methods=["GET"]),
        WebSocketRoute("/v2/streams/{id}/ws", endpoints.websocket),
    ]
    others = Others([route for route in routes if isinstance(route, Route)])
    return [*routes, Route("/v2/streams", others), Route("/v2/streams/{rest:path}", others)]


def read_number(connection: HTTPConnection, name: str, header: str | None = None) -> int:
    """A number from a header, or else from the query; 0 without. Raises: InvalidInput."""
    text = header or connection.query_params.get(name) or "0"
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_DIGITS:
        raise InvalidInput(f"expected {name} to be a whole number from 0, got {text[:50]!r}; leave it out otherwise")
    return int(text)


async def deny(websocket: WebSocket, error: SightlineError) -> None:
    """Refuse a WebSocket before it is one, with the answer that HTTP would get."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(describe_error(error))
    else:
        await websocket.close(1008)


async def hear(websocket: WebSocket, window: Window) -> None:
    """Take acknowledgements until the client closes."""
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        text = message.get("text") or ""
        if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS:
            window.acknowledge(int(text))
