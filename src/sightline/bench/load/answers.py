"""Find the end of an HTTP/1.1 answer in the bytes of a connection (RFC 9112 §6), and keep no more of it than is needed.

A load generator wants to know the status, when the last byte came and whether the connection may be used again. So a body is
counted, not stored, but for its beginning, which says what went wrong.
"""

from collections.abc import Callable

from sightline.core.errors import InvalidInput

MAX_HEAD_BYTES = 64 << 10
SAMPLE_BYTES = 2048
HEAD_END = b"\r\n\r\n"
WITHOUT_BODY = (204, 304)


class AnswerReader:
    """Reads one answer after another; `start` before each.

    Args:
        keep_bytes: so much of the body is kept as `sample`.

    Attributes:
        status: of the answer, once its head is read.
        closes: whether the connection must not be used again.
        sample: the first bytes of the body.
        length: bytes of the answer so far.
    """

    def __init__(self, keep_bytes: int = SAMPLE_BYTES) -> None:
        self._keep_bytes = keep_bytes
        self.start()

    def start(self) -> None:
        """Forget the last answer."""
        self.status = 0
        self.closes = False
        self.sample = b""
        self.length = 0
        self._head: bytes | None = b""  # None: the head is read
        self._left: int | None = 0  # bytes of the body to come; None: until the connection ends
        self._chunks: ChunkCounter | None = None

    def feed(self, data: bytes) -> bool:
        """Take bytes as they came; True when the answer is whole. Raises: InvalidInput."""
        self.length += len(data)
        return self._take(data)

    def _take(self, data: bytes) -> bool:
        if self._head is not None:
            data = self._head + data
            end = data.find(HEAD_END)
            if end < 0:
                self._head = data
                if len(data) > MAX_HEAD_BYTES:
                    raise InvalidInput(
                        f"expected the head of an HTTP answer to end within {MAX_HEAD_BYTES} bytes; check the URL"
                    )
                return False
            self._read_head(data[: end + 2])
            data = data[end + len(HEAD_END) :]
            if 100 <= self.status < 200:  # an interim answer; the real one follows
                self._head, self.status = b"", 0
                return self._take(data)
            self._head = None
        return self._count(data)

    def end(self) -> bool:
        """The connection ended; True when that completes the answer."""
        self.closes = True
        return self._head is None and self._left is None

    def _count(self, data: bytes) -> bool:
        if self._chunks is not None:
            over = self._chunks.feed(data)
            if over is None:
                return False
            self.closes = self.closes or over > 0  # bytes nobody asked for
            return True
        self._keep(data)
        if self._left is None:
            return False
        self._left -= len(data)
        self.closes = self.closes or self._left < 0
        return self._left <= 0

    def _keep(self, data: bytes) -> None:
        room = self._keep_bytes - len(self.sample)
        if data and room > 0:
            self.sample += data[:room]

    def _read_head(self, head: bytes) -> None:
        """Args: head: up to the line end of the last field."""
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise InvalidInput(f"expected an HTTP/1.1 answer, got {head[:40]!r}; is the URL right?")
        self.status = int(head[9:12])
        fields = head.lower()
        connection = find_field(fields, b"connection")
        self.closes = b"close" in connection or (head[7:8] == b"0" and b"keep-alive" not in connection)
        if self.status in WITHOUT_BODY or 100 <= self.status < 200:
            self._left = 0
        elif b"chunked" in find_field(fields, b"transfer-encoding"):
            self._chunks = ChunkCounter(self._keep)
        elif length := find_field(fields, b"content-length"):
            if not length.isdigit():
                raise InvalidInput(f"expected Content-Length to be a number, got {length[:40]!r}")
            self._left = int(length)
        else:
            self._left, self.closes = None, True


def find_field(head: bytes, name: bytes) -> bytes:
    """Value of a header field, b"" without one. Args: head: in lower case, every line with its end."""
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    at += len(name) + 3
    return head[at : head.find(b"\r\n", at)].strip()


class ChunkCounter:
    """Finds the end of a chunked body (RFC 9112 §7.1): sizes in hexadecimal, data, a last chunk of size 0, trailer lines.

    Args:
        on_data: given the body's bytes in order.
    """

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data = on_data
        self._rest = b""  # a line that is not whole yet
        self._left = 0  # data of a chunk to come, with the line end behind it
        self._in_trailer = False

    def feed(self, data: bytes) -> int | None:
        """Take bytes; how many are left over once the body is whole, else None. Raises: InvalidInput."""
        data = self._rest + data
        at = 0
        while True:
            if self._left:
                step = min(self._left, len(data) - at)
                if self._left > 2:
                    self._on_data(data[at : at + min(step, self._left - 2)])
                self._left -= step
                at += step
                if self._left:
                    self._rest = b""
                    return None
            end = data.find(b"\r\n", at)
            if end < 0:
                self._rest = data[at:]
                return None
            line, at = data[at:end], end + 2
            if self._in_trailer and not line:
                return len(data) - at
            if not self._in_trailer:
                self._begin_chunk(line)

    def _begin_chunk(self, line: bytes) -> None:
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            size = -1
        if size < 0:
            raise InvalidInput(f"expected the size of a chunk in hexadecimal, got {line[:40]!r}")
        self._left = size + 2 if size else 0
        self._in_trailer = size == 0
