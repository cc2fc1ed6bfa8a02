"""Reading bodies from ASGI messages."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from sightline.serving.http.refusals import Refusal
from sightline.serving.http.request_body import BoundedBody


def read(*messages: dict[str, Any], max_bytes: int = 10, announced: bytes = b"") -> bytes:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def read_whole() -> bytes:
        return await BoundedBody(receive, max_bytes, announced).read_whole()

    return asyncio.run(read_whole())


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_one_message_is_not_copied() -> None:
    body = b"0123456789"
    assert read(part(body, more=False)) is body


def test_parts_are_joined() -> None:
    assert read(part(b"01"), part(b""), {"type": "http.request", "more_body": True}, part(b"23", more=False)) == b"0123"
    assert read({"type": "http.request"}) == b""


@pytest.mark.parametrize(
    ("messages", "announced"),
    [
        ([part(b"01234567890", more=False)], b""),
        ([part(b"012345"), part(b"678901")], b""),
        ([], b"11"),
        ([], b"9" * 5000),
    ],
)
def test_too_much_is_413_whole_in_parts_or_announced(messages: list[dict[str, Any]], announced: bytes) -> None:
    with pytest.raises(Refusal, match="larger than the limit of 10 bytes; send less at once") as raised:
        read(*messages, announced=announced)
    assert raised.value.status == 413


@pytest.mark.parametrize("messages", [[], [part(b"01")]])
def test_a_client_that_hangs_up_ends_the_reading(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(ClientDisconnect):
        read(*messages, {"type": "http.disconnect"})
