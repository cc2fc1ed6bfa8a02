"""One request's body, as its parts come and as the application gets them."""

import asyncio
import tracemalloc
from typing import Any, cast

import pytest

from sightline.serving.http.connections.exchange import SMALL_PART_BYTES, Exchange


def make_exchange() -> Exchange:
    return Exchange(cast(Any, None), {"state": {}}, length=None, expects_continue=False, keep_alive=True)


def receive_body(exchange: Exchange) -> bytes:
    exchange.end_body()
    return bytes(asyncio.run(exchange.receive())["body"])


def test_a_body_in_tiny_parts_takes_hardly_more_than_its_bytes() -> None:
    exchange, size = make_exchange(), 200_000
    tracemalloc.start()
    for index in range(size // 2):
        assert exchange.add_body(b"%02d" % (index % 100)) == 2
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 1.5 * size
    assert receive_body(exchange) == b"".join(b"%02d" % (index % 100) for index in range(size // 2))
    assert exchange.release_body() == size


def test_a_body_in_one_part_is_not_copied() -> None:
    exchange, part = make_exchange(), bytes(100_000)
    exchange.add_body(part)
    exchange.end_body()
    assert asyncio.run(exchange.receive())["body"] is part


@pytest.mark.parametrize(
    "sizes",
    [(), (0,), (1, 1), (1, SMALL_PART_BYTES, 1, 1), (SMALL_PART_BYTES, 3, SMALL_PART_BYTES - 1, SMALL_PART_BYTES), (5, 5, 5)],
)
def test_parts_of_any_size_are_joined_in_order(sizes: tuple[int, ...]) -> None:
    exchange = make_exchange()
    parts = [bytes([index]) * size for index, size in enumerate(sizes)]
    for part in parts:
        exchange.add_body(part)
    body = receive_body(exchange)
    assert body == b"".join(parts)
    assert type(body) is bytes
