"""A small real HTTP server on loopback whose answers a test writes byte by byte: for clients and for the load tool."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

HANG_UP = b""


@dataclass(frozen=True)
class Asked:
    """A request as it came; `number` counts all of the server's from 0, `on_connection` those of its connection."""

    number: int
    on_connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Asked], bytes]


def write_answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class ScriptedServer:
    """A thread per connection. An empty answer hangs up; so does an answer that says "Connection: close"."""

    answer: Answer
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):  # the client may have left
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock, sock.makefile("rb") as stream:
                on_connection = 0
                while (asked := self._read(stream, on_connection)) is not None:
                    on_connection += 1
                    content = self.answer(asked)
                    if content == HANG_UP:
                        break
                    sock.sendall(content)
                    if b"connection: close" in content[:300].lower():
                        break
                with self._lock:
                    self._open.discard(sock)
        except OSError:
            with self._lock:
                self._open.discard(sock)

    def _read(self, stream: BinaryIO, on_connection: int) -> Asked | None:
        line = stream.readline()
        if not line:
            return None
        headers = {}
        while (text := stream.readline().decode().strip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        method, path, _ = line.decode().split()
        length = int(headers.get("content-length", "0"))
        body = stream.read(length)
        if len(body) < length:  # the client left on the way
            return None
        with self._lock:
            asked = Asked(len(self.asked), on_connection, method, path, headers, body)
            self.asked.append(asked)
        return asked


@contextmanager
def serve_script(answer: Answer) -> Iterator[ScriptedServer]:
    server = ScriptedServer(answer)
    try:
        yield server
    finally:
        server.close()
