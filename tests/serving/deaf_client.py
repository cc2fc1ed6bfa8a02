"""A gRPC client by hand that reads no answer: it says before its first call that its window is 0 (RFC 9113, 6.5.2)."""

import socket
import struct

from grpc_fakes import METHOD

DATA, HEADERS, RESET, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8  # types of frames
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4
CANCEL = 8


class DeafClient:
    """One connection. Args: source: its address."""

    def __init__(self, address: str, source: str = "127.0.0.1") -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0))
        settings = write_frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        self._next_id = 1
        self._unparsed = b""

    def __enter__(self) -> "DeafClient":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(self, name: str, message: bytes = b"", lacks_bytes: int = 0, count: int = 1, timeout: str = "") -> int:
        """Begin calls.

        Args:
            lacks_bytes: of the message, which is announced with them.
            timeout: as gRPC writes it, such as "200m", the milliseconds; "" for none.

        Returns: number of the last one.
        """
        body = b"\0" + struct.pack(">I", len(message) + lacks_bytes) + message
        for _ in range(count):
            head = write_frame(HEADERS, END_HEADERS, self._next_id, make_head(METHOD + name, timeout))
            self._socket.sendall(head + write_frame(DATA, 0 if lacks_bytes else END_STREAM, self._next_id, body))
            self._next_id += 2
        return self._next_id - 2

    def cancel(self, call: int) -> None:
        """End a call."""
        self._socket.sendall(write_frame(RESET, 0, call, struct.pack(">I", CANCEL)))

    def wait_for_heads(self, count: int = 1) -> list[tuple[int, int]]:
        """Return when so many answers and refusals have begun, whose heads need no window. Returns: frames, as `wait_for`."""
        return [frame for _ in range(count) for frame in self.wait_for(HEADERS)]

    def wait_for(self, kind: int, call: int | None = None) -> list[tuple[int, int]]:
        """Return when a frame of a kind has come, for a call or any. Returns: kind and call of all that came, it the last."""
        came = [self._read_frame()]
        while came[-1] != (kind, came[-1][1] if call is None else call):
            came.append(self._read_frame())
        return came

    def wait_until_cut(self) -> None:
        """Return when the server has ended the connection."""
        try:
            while self._socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass

    def _read_frame(self) -> tuple[int, int]:
        while len(self._unparsed) < 9 or len(self._unparsed) < 9 + int.from_bytes(self._unparsed[:3], "big"):
            came = self._socket.recv(1 << 16)
            assert came, "the server has ended the connection"
            self._unparsed += came
        size_bytes = int.from_bytes(self._unparsed[:3], "big")
        kind, call = self._unparsed[3], int.from_bytes(self._unparsed[5:9], "big")
        self._unparsed = self._unparsed[9 + size_bytes :]
        return kind, call


def write_frame(kind: int, flags: int, call: int, payload: bytes) -> bytes:
    """A frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + call.to_bytes(4, "big") + payload


def make_head(path: str, timeout: str = "") -> bytes:
    """The fields of a call, each literal and kept by nobody (RFC 7541, 6.2.2)."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    fields |= {"content-type": "application/grpc", "te": "trailers"} | ({"grpc-timeout": timeout} if timeout else {})
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode() for name, value in fields.items()
    )
