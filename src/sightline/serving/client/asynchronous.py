"""`sightline.AsyncClient`: what `sightline.Client` does, for programs that run an event loop."""

import asyncio
import os
import random
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import httpx
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.errors import Conflict
from sightline.runtime.predictor import PICTURE_TYPES, Picture, iterate_pictures
from sightline.serving.client.calls import (
    ClientCall,
    ModelMetadata,
    ModelState,
    ServerMetadata,
    call_index,
    call_infer,
    call_load,
    call_predict,
    call_unload,
    check_outcome,
    make_model_path,
    make_request,
    read_annotations,
    read_json,
    read_problem,
    read_ready,
    read_tensors,
)
from sightline.serving.client.forks import renew_in_children
from sightline.serving.client.retries import FAILURES, Outcome, check_in_flight, converse, make_policy
from sightline.serving.client.settings import (
    CLOSED,
    DEFAULT_IN_FLIGHT,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT_S,
    check_url,
    make_settings,
)
from sightline.serving.client.streams import (
    SILENCE_S,
    Following,
    StreamEvent,
    StreamList,
    StreamState,
    call_start,
    make_stream_path,
)
from sightline.serving.http.tls import FilePath, make_client_context

Value = TypeVar("Value")


class AsyncClient:
    """A client of a server, for use on one event loop; close it with `aclose`, or use `async with`. See `Client`.

    A process forked from its own may use it on one event loop of its own.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        in_flight: int = DEFAULT_IN_FLIGHT,
        ca_file: FilePath | None = None,
        client_certificate: FilePath | None = None,
        client_key: FilePath | None = None,
    ) -> None:
        self.url = check_url(url)
        self._policy = make_policy(retries, timeout_s)
        self._in_flight = check_in_flight(in_flight)
        self._rng = random.Random()
        self._sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
        context = make_client_context(ca_file, client_certificate, client_key)
        self._settings = make_settings(self.url, api_key, context)
        self._http = httpx.AsyncClient(**self._settings)
        renew_in_children(self)

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    @overload
    async def predict(  # type: ignore[overload-overlap]
        self, model: str, pictures: Picture, confidence_threshold: float | None = None, version: str | int = ""
    ) -> list[Annotation]: ...

    @overload
    async def predict(
        self, model: str, pictures: Sequence[Picture], confidence_threshold: float | None = None, version: str | int = ""
    ) -> list[list[Annotation]]: ...

    async def predict(
        self,
        model: str,
        pictures: Picture | Sequence[Picture],
        confidence_threshold: float | None = None,
        version: str | int = "",
    ) -> list[Annotation] | list[list[Annotation]]:
        """See `Client.predict`. A thread, not the event loop, encodes arrays and reads files."""
        if isinstance(pictures, PICTURE_TYPES):
            return await self._ask(model, pictures, confidence_threshold, version)
        return [found async for found in self.predict_stream(model, pictures, confidence_threshold, version=version)]

    def predict_stream(
        self,
        model: str,
        pictures: Iterable[Picture] | AsyncIterable[Picture],
        confidence_threshold: float | None = None,
        in_flight: int | None = None,
        version: str | int = "",
    ) -> AsyncIterator[list[Annotation]]:
        """See `Client.predict_stream`; the pictures may also come from an asynchronous iterable."""
        count = self._in_flight if in_flight is None else check_in_flight(in_flight)
        values = pictures if isinstance(pictures, AsyncIterable) else iterate_pictures(pictures)
        return self._stream(model, values, confidence_threshold, version, count)

    async def draw(
        self, model: str, picture: Picture, confidence_threshold: float | None = None, version: str | int = ""
    ) -> bytes:
        """See `Client.draw`."""
        call = await asyncio.to_thread(call_predict, model, picture, confidence_threshold, version, "png")
        return (await self._send(call)).content

    async def predict_raw(
        self, model: str, tensors: Mapping[str, np.ndarray], version: str | int = "", outputs: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """See `Client.predict_raw`."""
        return read_tensors(await self._send(call_infer(model, tensors, version, outputs)))

    async def models(self) -> list[ModelState]:
        """See `Client.models`."""
        return read_json(await self._send(call_index()), list[ModelState])

    async def ready(self, model: str = "", version: str | int = "") -> bool:
        """See `Client.ready`."""
        path = make_model_path(model, version, "/ready") if model else "/v2/health/ready"
        outcome = await self._exchange(ClientCall(method="GET", path=path))
        return read_ready(outcome, self.url)

    async def metadata(self, model: str, version: str | int = "") -> ModelMetadata:
        """See `Client.metadata`."""
        call = ClientCall(method="GET", path=make_model_path(model, version))
        return read_json(await self._send(call), ModelMetadata)

    async def server_metadata(self) -> ServerMetadata:
        """See `Client.server_metadata`."""
        return read_json(await self._send(ClientCall(method="GET", path="/v2")), ServerMetadata)

    async def load(self, model: str, configuration: Mapping[str, Any] | None = None) -> None:
        """See `Client.load`."""
        await self._send(call_load(model, configuration))

    async def unload(self, model: str, with_dependents: bool = False) -> None:
        """See `Client.unload`."""
        await self._send(call_unload(model, with_dependents))

    async def start_stream(
        self,
        model: str,
        video: str | os.PathLike[str] | None = None,
        *,
        url: str = "",
        file: str = "",
        **options: Any,
    ) -> StreamState:
        """See `Client.start_stream`."""
        return read_json(await self._send(call_start(model, video, url, file, options)), StreamState)

    async def follow_stream(self, stream: str, after: int = 0) -> AsyncIterator[StreamEvent]:
        """See `Client.follow_stream`."""
        following = Following(self.url, stream, after, self._policy.timeout_s, time.monotonic, self._rng)
        while True:
            if self._http.is_closed:
                raise Conflict(CLOSED)
            try:
                async with self._http.stream(timeout=SILENCE_S, **make_request(following.begin())) as answer:
                    if not answer.is_success:
                        await answer.aread()
                        raise read_problem(answer)
                    async for piece in answer.aiter_bytes():
                        for event in following.feed(piece):
                            yield event
                        if following.is_over:
                            return
                    following.end(answer)
                    return
            except FAILURES as error:
                await self._sleep(following.choose_wait(error))

    async def list_streams(self) -> list[StreamState]:
        """See `Client.list_streams`."""
        return read_json(await self._send(ClientCall(method="GET", path="/v2/streams")), StreamList).streams

    async def delete_stream(self, stream: str) -> None:
        """See `Client.delete_stream`."""
        await self._send(ClientCall(method="DELETE", path=make_stream_path(stream), is_repeatable=False))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _renew_after_fork(self) -> None:
        if not self._http.is_closed:
            # Kept, as to close it would disturb the event loop whose connections these are: the other process runs it.
            self._inherited = self._http
            self._http = httpx.AsyncClient(**self._settings)

    async def _stream(
        self,
        model: str,
        pictures: Iterable[Picture] | AsyncIterable[Picture],
        confidence_threshold: float | None,
        version: str | int,
        in_flight: int,
    ) -> AsyncIterator[list[Annotation]]:
        pending: list[asyncio.Task[list[Annotation]]] = []
        values = iterate(pictures)
        try:
            async for picture in values:
                pending.append(asyncio.ensure_future(self._ask(model, picture, confidence_threshold, version)))
                if len(pending) >= in_flight:
                    yield await pending.pop(0)
            while pending:
                yield await pending.pop(0)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            await values.aclose()

    async def _ask(
        self, model: str, picture: Picture, confidence_threshold: float | None, version: str | int
    ) -> list[Annotation]:
        call = await asyncio.to_thread(call_predict, model, picture, confidence_threshold, version)
        return read_annotations(await self._send(call))

    async def _send(self, call: ClientCall) -> httpx.Response:
        """See `Client._send`."""
        return check_outcome(await self._exchange(call), self.url)

    async def _exchange(self, call: ClientCall) -> Outcome:
        """See `Client._exchange`: the same talk, with awaits."""
        give_up_at = time.monotonic() + self._policy.timeout_s
        talk = converse(self._policy, call.is_repeatable, time.monotonic, self._rng)
        wait_s = next(talk)
        while True:
            if wait_s:
                await self._sleep(wait_s)
            left_s = max(give_up_at - time.monotonic(), 0.001)
            try:
                async with asyncio.timeout(left_s):  # httpx's own bounds each step, not the whole
                    outcome: Outcome = await self._http.request(timeout=None, **make_async_request(call))
            except TimeoutError:
                outcome = httpx.ReadTimeout("the deadline has passed")
            except FAILURES as error:
                outcome = error
            except RuntimeError:
                if not self._http.is_closed:
                    raise
                raise Conflict(CLOSED) from None
            try:
                wait_s = talk.send(outcome)
            except StopIteration as end:
                last: Outcome = end.value
                return last


def make_async_request(call: ClientCall) -> dict[str, Any]:
    """Arguments of `httpx.AsyncClient.request`."""
    request = make_request(call)
    return request if call.file is None else request | {"content": read_on_thread(request["content"])}


async def read_on_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, read off the event loop."""
    while (piece := await asyncio.to_thread(next, pieces, b"")) != b"":
        yield piece


async def iterate(values: Iterable[Value] | AsyncIterable[Value]) -> AsyncGenerator[Value, None]:
    """Values of either kind of iterable; an async generator of them is closed when this one is."""
    if not isinstance(values, AsyncIterable):
        for value in values:
            yield value
        return
    try:
        async for value in values:
            yield value
    finally:
        if isinstance(values, AsyncGenerator):
            await values.aclose()
