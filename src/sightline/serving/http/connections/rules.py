"""What each connection of a server keeps to: limits of size, time and number, and the gate that its requests pass."""

from collections.abc import Callable

import msgspec
from starlette.responses import Response
from starlette.types import Scope

Gate = Callable[[Scope], Response | None]  # the whole answer to a request that does not come in


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may cost before its request is even understood.

    Attributes:
        max_connections: open at once; the next one is answered 503 and closed. Connections of gRPC keep to this one and the
            next, too, and are counted apart.
        max_connections_per_address: of one remote address. Behind a proxy all clients have one address.
        max_header_bytes, max_headers: request line and headers together; more is 431, or 414 for the request line alone.
        max_body_bytes: of one request; more is 413, before it is read when it is announced.
        max_buffered_bytes: bodies of all connections together, until they are answered, and answers that are not read; beyond
            it the answers that have been unread longest are cut off, and where that is not enough, more is 503.
        header_timeout_s: from the first byte of a request to the end of its headers; later is 408.
        body_grace_s, min_body_bytes_per_s: a body is late (408) when nothing of it came for the grace, or when, after the
            grace, it came slower than that on average; what came faster makes up for three graces at most.
        idle_timeout_s: a connection without a request is closed.
        write_timeout_s: a client is cut off when it reads nothing of its answer for so long, or, after that, slower than
            `min_body_bytes_per_s` on average; what it reads faster makes up for so long at most.
        linger_s: how long a refused client's further bytes are read and thrown away, so that it can read the refusal.
    """

    max_connections: int = 1024
    max_connections_per_address: int = 512
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    max_body_bytes: int = 64 * 1024 * 1024
    max_buffered_bytes: int = 1024 * 1024 * 1024
    header_timeout_s: float = 10.0
    body_grace_s: float = 10.0
    min_body_bytes_per_s: int = 1024
    idle_timeout_s: float = 60.0
    write_timeout_s: float = 30.0
    linger_s: float = 2.0
