"""A gRPC client by hand that reads no answer: it says before its first call that its window is 0 (RFC 9113, 6.5.2)."""

import socket
import struct

from grpc_fakes import METHOD

DATA, HEADERS, SETTINGS = 0, 1, 4  # types of frames
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4


class DeafClient:
    """One connection. Args: source: its address."""

    def __init__(self, address: str, source: str = "127.0.0.1") -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0))
        settings = write_frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        self._next_id = 1
        self._unparsed = b""

    def __enter__(self) -> "DeafClient":
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def call(self, name: str, message: bytes | None = b"", is_last: bool = True, count: int = 1) -> None:
        """Begin calls. Args: message: None: none is sent. is_last: whether no other may follow."""
        flags = END_STREAM if is_last else 0
        body = b"" if message is None else b"\0" + struct.pack(">I", len(message)) + message
        for _ in range(count):
            self.socket.sendall(
                write_frame(HEADERS, END_HEADERS, self._next_id, make_head(METHOD + name))
                + (write_frame(DATA, flags, self._next_id, body) if message is not None or is_last else b"")
            )
            self._next_id += 2

    def wait_for_heads(self, count: int) -> None:
        """Return when so many answers and refusals have begun: their heads need no window."""
        while count:
            kind = self._read_frame()[0]
            count -= kind == HEADERS

    def wait_until_cut(self) -> None:
        """Return when the server has ended the connection."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass

    def _read_frame(self) -> tuple[int, bytes]:
        while len(self._unparsed) < 9 or len(self._unparsed) < 9 + int.from_bytes(self._unparsed[:3], "big"):
            came = self.socket.recv(1 << 16)
            assert came, "the server has ended the connection"
            self._unparsed += came
        size_bytes = int.from_bytes(self._unparsed[:3], "big")
        kind, payload = self._unparsed[3], self._unparsed[9 : 9 + size_bytes]
        self._unparsed = self._unparsed[9 + size_bytes :]
        return kind, payload


def write_frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def make_head(path: str) -> bytes:
    """The fields of a call, each literal and kept by nobody (RFC 7541, 6.2.2)."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    fields |= {"content-type": "application/grpc", "te": "trailers"}
    strings = [text.encode() for field in fields.items() for text in field]
    return b"".join((b"\0" if number % 2 == 0 else b"") + bytes((len(text),)) + text for number, text in enumerate(strings))
