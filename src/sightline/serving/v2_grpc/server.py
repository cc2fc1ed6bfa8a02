"""The gRPC server: one port, on the event loop of the HTTP server, over the same service.

It runs on that loop, not on threads of its own: a call is a task there, so a client that cancels or runs out of time cancels
the work, and the only other threads are those that infer.
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from sightline.core.errors import Conflict
from sightline.core.extras import check_packages
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.keys import Authenticator
from sightline.serving.http.limits import TokenBucket
from sightline.serving.http.request_body import Hold
from sightline.serving.http.request_record import RequestObserver
from sightline.serving.http.tls import TlsFiles, make_tls_context
from sightline.serving.inference.service import InferenceService
from sightline.serving.v2.models import AdministeredHost
from sightline.serving.v2.statistics import Statistics
from sightline.serving.v2_grpc.connections import Connections
from sightline.serving.v2_grpc.unread import CountUnread

if TYPE_CHECKING:
    import grpc

MESSAGE_TIMEOUT_S = 30.0  # as for the body of a request over HTTP
MAX_MESSAGES = 16  # as many as fit the 1 GB of all bodies at 64 MB each
WINDOW_BYTES = 256 * 1024  # of a message that is not read yet is there; 4 MB would be the default
MAX_METADATA_BYTES = 16 * 1024
HANDSHAKE_TIMEOUT_S = 10
IDLE_S = 60  # as for connections over HTTP; clients connect again by themselves
KEEPALIVE_S = 60  # a peer that vanished without a word is found after this long


class GrpcServer:
    """A server that is made now and bound by `start`. Use `create_grpc_server`.

    Args:
        handlers: gRPC's generic handlers of all calls.
        connections: watches those of one address.
        max_request_bytes: of one message.
        idle_s: a connection without a call is closed.
    """

    def __init__(
        self,
        handlers: "Sequence[grpc.GenericRpcHandler]",
        connections: Connections,
        max_request_bytes: int,
        idle_s: float = IDLE_S,
    ) -> None:
        self._handlers = handlers
        self._connections = connections
        self._max_request_bytes = max_request_bytes
        self._idle_s = idle_s
        self._server: Any = None
        self._until_stopped = ExitStack()

    async def start(self, host: str, port: int, tls: TlsFiles | None = None, limits: ConnectionLimits | None = None) -> int:
        """Bind and answer calls, on the running event loop.

        Args:
            port: 0 picks a free one.
            tls: None: no encryption.
            limits: so many connections at once, all and of one address; None: as many as over HTTP by default.

        Returns: the port.
        Raises: Conflict when it is taken or is not this machine's; NotFound, InvalidInput for TLS files that are none.
        """
        import grpc

        from sightline.serving.v2_grpc.unsent import LIBRARY, UnsentAnswers

        check_address(host, port)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        # No maximum_concurrent_rpcs, where refusals that are not read would take places; the handler bounds what is in work.
        limits = limits or ConnectionLimits()
        options = _list_options(self._max_request_bytes, self._idle_s, limits.max_connections)
        server = grpc.aio.server(handlers=self._handlers, options=options)
        try:
            bound: int = server.add_secure_port(address, read_tls(tls)) if tls else server.add_insecure_port(address)
        except RuntimeError as error:
            raise Conflict(f"cannot listen for gRPC on {host} port {port}; port 0 picks a free one") from error
        unsent = UnsentAnswers()
        LIBRARY.addFilter(unsent)
        self._until_stopped.callback(LIBRARY.removeFilter, unsent)
        await server.start()
        self._connections.watch(bound, limits.max_connections_per_address)
        self._until_stopped.callback(self._connections.close)
        self._server = server
        return bound

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, let running ones end for so long, then cancel them."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None
            self._until_stopped.close()


def create_grpc_server(
    service: InferenceService,
    host: AdministeredHost,
    statistics: Statistics,
    *,
    max_request_bytes: int,
    authenticator: Authenticator | None = None,
    is_ready: Callable[[], bool] = lambda: True,
    bucket: TokenBucket | None = None,
    observers: Sequence[RequestObserver] = (),
    hold: Hold = lambda size_bytes: nullcontext(),
    count_unread: CountUnread = lambda answer, size_bytes: None,
    max_messages: int = MAX_MESSAGES,
    message_timeout_s: float = MESSAGE_TIMEOUT_S,
    idle_s: float = IDLE_S,
) -> GrpcServer:
    """The gRPC server over what the HTTP server uses too.

    Args:
        service, host, statistics: as `v2.endpoints.V2Endpoints` takes them.
        max_request_bytes: largest message that is read, as it came and decompressed.
        authenticator: knows the API keys; None: whoever reaches the server may do everything.
        is_ready: whether the server as a whole takes requests.
        bucket: the rate of all callers together, health aside; None: unlimited.
        observers: told of every request when it has ended; `AccessLog.write` is one.
        hold: counts messages that are worked on, and what their inputs take beside them.
        count_unread: counts bytes of answers while they are not read, which may end for others; `Edge.count_unread` is one.
        max_messages, message_timeout_s: of unary calls: so many on their way at once, further ones wait; so long each may take.
        idle_s: after which a connection without a call is closed.

    Raises: MissingPackage without the extra `grpc`.
    """
    check_packages("gRPC", ("grpc", "google.protobuf"), "grpc")
    from sightline.serving.v2_grpc.dispatch import CallDispatcher
    from sightline.serving.v2_grpc.endpoints import GrpcEndpoints

    connections = Connections()
    dispatcher = CallDispatcher(
        GrpcEndpoints(service, host, statistics, is_ready, hold),
        authenticator=authenticator,
        bucket=bucket,
        observers=observers,
        hold=hold,
        count_unread=count_unread,
        cut=connections.cut,
        max_messages=max_messages,
        message_timeout_s=message_timeout_s,
        stream_bytes=max_request_bytes,
    )
    return GrpcServer(dispatcher.make_handlers(), connections, max_request_bytes, idle_s)


def check_address(host: str, port: int) -> None:
    """Bind and let go, since gRPC would write lines of its own to standard error.

    Raises: Conflict when the port is taken or the address is not this machine's.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before may still be told apart
            bound.bind((host, port))
    except OSError as error:
        raise Conflict(f"cannot listen for gRPC on {host} port {port}: {error.strerror}; port 0 picks a free one") from error


def read_tls(files: TlsFiles) -> "grpc.ServerCredentials":
    """Credentials from PEM files. Raises: NotFound, InvalidInput, where gRPC itself would start and refuse every client."""
    import grpc

    make_tls_context(*files)
    pair = (files.key or files.certificate).read_bytes(), files.certificate.read_bytes()
    if files.client_authority is None:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], files.client_authority.read_bytes(), require_client_auth=True)


def _list_options(max_request_bytes: int, idle_s: float, max_connections: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.http2.bdp_probe", 0),  # which would widen it
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_S * 1000),
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
        ("grpc.max_connection_idle_ms", round(idle_s * 1000)),
        ("grpc.so_reuseport", 0),  # else two servers share a port without a word
    ]
