"""Nothing of a failed request is left for the collector of cycles: its body goes when its answer does."""

import asyncio
import gc
import logging
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from http_fakes import Bench, make_endpoint
from starlette.applications import Starlette
from waiting import wait_until

from sightline.core.errors import InvalidInput, QueueFull, SightlineError
from sightline.imaging.files.reading import encode_image
from sightline.serving.http.guard import Guard
from sightline.serving.http.predict.endpoint import make_routes
from sightline.serving.http.refusals import EXCEPTION_HANDLERS
from sightline.serving.inference.calls import Call, Upload
from sightline.serving.scheduling.work import Executable, Work

PICTURE = encode_image(np.zeros((8, 8, 3), np.uint8), "png")


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def fail(bench: Bench, content: bytes, expected: type[SightlineError]) -> "weakref.ref[Any]":
    """Answer a call that must fail. Returns: whether something of the call is still there."""

    async def ask() -> "weakref.ref[Any]":
        call = Call(model="parts", pictures=(Upload("image", content),), write_answer=lambda facts, inferred: None)
        try:
            await bench.service.infer(call)
        except expected:
            return weakref.ref(call.write_answer)
        raise AssertionError("expected an error")

    return asyncio.run(ask())


def test_a_call_that_fails_in_its_slot_is_gone_with_its_error(bench: Bench) -> None:
    seen = fail(bench, b"no picture", InvalidInput)
    wait_until(lambda: seen() is None)


def test_a_call_that_a_full_queue_refuses_is_told_of_and_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(work: Work) -> None:
        raise QueueFull("the queue is full; send the request again in a moment")

    observed: list[str] = []
    bench = Bench(observers=[lambda work, facts: observed.append(type(work.error).__name__)])
    monkeypatch.setattr(bench.scheduler, "submit", refuse)
    seen = fail(bench, PICTURE, QueueFull)
    assert observed == ["QueueFull"]
    wait_until(lambda: seen() is None)
    bench.close()


def test_a_request_that_is_refused_before_it_is_read_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Exception]] = []

    def make_error() -> QueueFull:
        error = QueueFull("the queue is full; send the request again in a moment")
        made.append(weakref.ref(error))
        return error

    def refuse(executable: Executable, tenant: str, priority: int) -> None:
        raise make_error()

    monkeypatch.setattr(bench.scheduler, "check_room", refuse)
    with pytest.raises(QueueFull):
        bench.service.check_room("parts")
    wait_until(lambda: made[0]() is None)


async def post(app: Any, body: bytes, content_type: bytes) -> int:
    """Send a request to the application as it is. Returns: the status."""
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"host", b"localhost"), (b"content-type", content_type)]
    scope = {"type": "http", "method": "POST", "path": "/predict/parts", "query_string": b"", "headers": headers}
    await app(scope | {"raw_path": b"/predict/parts", "http_version": "1.1", "scheme": "http"}, receive, send)
    return int(statuses[0])


def make_form(*contents: bytes) -> bytes:
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n%b\r\n'
    return b"".join(part % content for content in contents) + b"--b--\r\n"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"no picture" * 10, b"image/png"),
        (make_form(PICTURE, b"no picture", PICTURE), b"multipart/form-data; boundary=b"),
        (make_form(b"no picture", b"no picture"), b"multipart/form-data; boundary=b"),
    ],
    ids=["picture", "form with one that is none", "form of none"],
)
def test_the_body_of_a_failed_request_is_let_go(bench: Bench, body: bytes, content_type: bytes) -> None:
    app = Guard(Starlette(routes=make_routes(make_endpoint(bench.service, 10_000)), exception_handlers=EXCEPTION_HANDLERS))
    sent = bytes(bytearray(body))  # nobody else holds this one
    before = sys.getrefcount(sent)
    assert asyncio.run(post(app, sent, content_type)) == 422
    bench.scheduler.cancelled.clear()  # the fake remembers them
    wait_until(lambda: sys.getrefcount(sent) == before)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(PICTURE, b"image/png"), (make_form(PICTURE, PICTURE), b"multipart/form-data; boundary=b")],
    ids=["picture", "form"],
)
def test_the_body_of_a_request_that_met_a_defect_is_let_go(
    bench: Bench, body: bytes, content_type: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(work: Work) -> None:
        work.finish(error=ZeroDivisionError("a defect"))

    async def meet_defect() -> None:
        with suppress(ZeroDivisionError):  # the connection catches it
            await post(app, sent, content_type)

    monkeypatch.setattr(bench.scheduler, "submit", break_down)
    monkeypatch.setattr(logging.getLogger("sightline.serving"), "disabled", True)  # what pytest catches of a log it keeps
    app = Guard(Starlette(routes=make_routes(make_endpoint(bench.service, 10_000)), exception_handlers=EXCEPTION_HANDLERS))
    sent = bytes(bytearray(body))
    before = sys.getrefcount(sent)
    asyncio.run(meet_defect())
    bench.scheduler.cancelled.clear()
    wait_until(lambda: sys.getrefcount(sent) == before)
