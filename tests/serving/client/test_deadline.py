"""A time-out bounds the whole exchange: against servers that send, or take, a little now and then and never stop."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpcore
import httpx
import pytest

from sightline.core.errors import Exhausted
from sightline.serving.client.asynchronous import AsyncClient
from sightline.serving.client.blocking import Client
from sightline.serving.client.calls import ClientCall
from sightline.serving.client.deadline import ERRORS, DeadlineBackend, Recall, TimeLeft, read_left

PAUSE_S, TIMEOUT_S = 0.02, 0.3  # between two bytes; a hundred of them take far longer than the client waits
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"
PICTURE = ClientCall(method="POST", path="/predict/m", content=bytes(32 << 20))
QUESTION = ClientCall(method="GET", path="/v2")
Serve = Callable[[socket.socket, threading.Event], None]


def dribble(content: bytes, sock: socket.socket, gone: threading.Event) -> None:
    for place in range(len(content)):
        if gone.wait(PAUSE_S):
            return
        sock.sendall(content[place : place + 1])


def dribble_head(sock: socket.socket, gone: threading.Event) -> None:
    sock.recv(1 << 16)
    dribble(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20 + b"Content-Length: 0\r\n\r\n", sock, gone)


def dribble_body(sock: socket.socket, gone: threading.Event) -> None:
    sock.recv(1 << 16)
    sock.sendall(HEAD)
    dribble(b"x" * 200, sock, gone)


def flood(sock: socket.socket, gone: threading.Event) -> None:
    """Faster than anyone can wait for, and without end."""
    sock.recv(1 << 16)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while not gone.is_set():
        sock.sendall(b"x" * 4096)


def take_slowly(sock: socket.socket, gone: threading.Event) -> None:
    """Each part well in time."""
    taken = 0
    while taken < len(PICTURE.content) and not gone.wait(PAUSE_S):
        taken += len(sock.recv(1 << 19))
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def serve_slowly(serve: Serve) -> Iterator[str]:
    """A server of one connection."""
    gone = threading.Event()

    def work() -> None:
        with suppress(OSError):  # the client left
            sock, _ = listener.accept()
            with sock:
                serve(sock, gone)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            gone.set()
            thread.join(20)
            assert not thread.is_alive()


SLOW = [(dribble_head, QUESTION), (dribble_body, QUESTION), (flood, QUESTION), (take_slowly, PICTURE)]
EVERY_SLOW_SERVER = pytest.mark.parametrize(("serve", "call"), SLOW, ids=lambda one: getattr(one, "__name__", ""))


@EVERY_SLOW_SERVER
def test_a_slow_server_is_left_at_the_deadline(serve: Serve, call: ClientCall) -> None:
    late = pytest.raises(Exhausted, match="did not answer in time")
    with serve_slowly(serve) as url, Client(url, timeout_s=TIMEOUT_S) as client, late:
        client._send(call)


@EVERY_SLOW_SERVER
def test_so_does_the_async_client(serve: Serve, call: ClientCall) -> None:
    async def main(url: str) -> None:
        async with AsyncClient(url, timeout_s=TIMEOUT_S) as client:
            with pytest.raises(Exhausted, match="did not answer in time"):
                await client._send(call)

    with serve_slowly(serve) as url:
        asyncio.run(main(url))


@contextmanager
def listen_deafly() -> Iterator[int]:
    """Port of a server that accepts nothing: one connection waits in its queue, and no more fit."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        yield listener.getsockname()[1]


def begin_connecting(port: int, left: TimeLeft) -> None:
    held.extend(DeadlineBackend().connect_tcp("127.0.0.1", port, left) for _ in range(3))  # the first ones fill the queue


def begin_handshake(port: int, left: TimeLeft) -> None:
    held.append(stream := DeadlineBackend().connect_tcp("127.0.0.1", port, left))
    stream.start_tls(ssl.create_default_context(), "localhost", left)


def begin_reading(port: int, left: TimeLeft) -> None:
    held.append(stream := DeadlineBackend().connect_tcp("127.0.0.1", port, left))
    assert stream.read(1, left) == b""
    stream.read(1, left)


def begin_writing(port: int, left: TimeLeft) -> None:
    held.append(stream := DeadlineBackend().connect_tcp("127.0.0.1", port, left))
    stream.write(bytes(64 << 20), left)


held: list[httpcore.NetworkStream] = []


@pytest.mark.parametrize("begin", [begin_connecting, begin_handshake, begin_reading, begin_writing])
def test_a_recall_ends_each_step_from_another_thread(begin: Callable[[int, TimeLeft], None]) -> None:
    recall, ended = Recall(), []

    def work(port: int) -> None:
        with pytest.raises((httpcore.NetworkError, httpcore.TimeoutException)):
            begin(port, TimeLeft(60.0, time.monotonic, recall))
        ended.append(True)

    with listen_deafly() as port:
        thread = threading.Thread(target=work, args=(port,), daemon=True)
        thread.start()
        thread.join(0.2)  # now it waits
        assert thread.is_alive()
        recall.call()
        thread.join(20)
        for stream in held:
            stream.close()
        held.clear()
    assert ended == [True]


def test_nothing_begins_after_a_recall() -> None:
    recall = Recall()
    recall.call()
    with listen_deafly() as port, pytest.raises(httpcore.ConnectTimeout, match="has left"):
        DeadlineBackend().connect_tcp("127.0.0.1", port, TimeLeft(60.0, time.monotonic, recall))


def test_time_left_is_read_anew_at_each_step() -> None:
    now_s = 100.0
    left = TimeLeft(60.0, lambda: now_s)
    assert left == 60.0 and read_left(left, httpcore.ReadTimeout) == 60.0
    now_s = 145.0
    assert left == 60.0 and read_left(left, httpcore.ReadTimeout) == 15.0
    now_s = 160.0
    with pytest.raises(httpcore.ReadTimeout):
        read_left(left, httpcore.ReadTimeout)
    assert read_left(5.0, httpcore.ReadTimeout) == 5.0 and read_left(None, httpcore.ReadTimeout) is None


def test_every_error_keeps_its_name() -> None:
    assert all(ours.__name__ == theirs.__name__ for theirs, ours in ERRORS.items())
    leaves = {"ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "ConnectError", "ReadError", "WriteError"}
    assert leaves <= {error.__name__ for error in ERRORS} and all(
        issubclass(one, httpx.TransportError) for one in ERRORS.values()
    )
