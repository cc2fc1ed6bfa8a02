"""One keep-alive connection of the load generator: a non-blocking socket with at most one request on its way."""

import errno
import socket

from sightline.bench.load.answers import AnswerReader

RECEIVE_BYTES = 64 << 10
# Room for a whole request, so that it leaves in one system call; the system may grant less.
SEND_BUFFER_BYTES = 1 << 20


class Connection:
    """See above.

    Attributes:
        is_busy: a request is on its way.
        planned, begun: when the request was due, and when its sending began, seconds of the engine's clock.
        reader: what has come of the answer.
    """

    __slots__ = ("_left", "begun", "is_busy", "planned", "reader", "sock")

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.reader = AnswerReader()
        self.is_busy = False
        self.planned = self.begun = 0.0
        self._left: memoryview[int] = memoryview(b"")
        failed = self.sock.connect_ex((host, port))
        if failed not in (0, errno.EINPROGRESS):
            self.sock.close()
            raise OSError(failed, "cannot connect")

    def begin(self, request: "memoryview[int]", planned: float, begun: float) -> int:
        """Start to send a request; returns the bytes that went at once. Raises: OSError."""
        self.is_busy = True
        self.planned, self.begun = planned, begun
        self.reader.start()
        self._left = request
        return self.push()

    def push(self) -> int:
        """Send what the socket takes now; returns how much that was. Raises: OSError."""
        sent = 0
        try:
            while self._left:
                count = self.sock.send(self._left)
                sent += count
                self._left = self._left[count:]
        except BlockingIOError:
            pass
        except OSError as error:
            # A connection that is still being made says "not connected"; any other failure may hide an early answer.
            if error.errno != errno.ENOTCONN:
                raise
        return sent

    def has_more(self) -> bool:
        """Whether a part of the request has not gone yet."""
        return bool(self._left)

    def pull(self) -> bool:
        """Read what has come; True when the answer is whole.

        Raises: OSError, also when the connection ended too early; InvalidInput for bytes that are no HTTP.
        """
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return False
        if data:
            return self.reader.feed(data)
        if self.reader.end():
            return True
        raise ConnectionResetError(errno.ECONNRESET, "the connection ended before the answer was whole")

    @property
    def is_reusable(self) -> bool:
        """Whether a next request may go this way."""
        return not (self.reader.closes or self._left)

    def close(self) -> None:
        """Give the socket back."""
        self.sock.close()
