"""What an operator may choose for `sightline serve`, beyond the settings of the machine."""

from pathlib import Path

import msgspec

from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.image_url import UrlRules
from sightline.serving.http.tls import TlsFiles
from sightline.serving.repository.host import Mode
from sightline.serving.streams.manager import StreamLimits


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Choices of one server.

    Attributes:
        mode, load_at_start, check_every_s: how the repository is watched, see `repository.host.ModelHost`.
        memory_budget_bytes: idle models are paged out above it; None: no bound.
        express_slots: executions beyond one a core, for models whose share is behind.
        keys_file, key_line: API keys, see `http.keys`; without any, whoever reaches the server may do everything.
        max_requests_per_s: of all callers together; None: unlimited.
        allowed_hosts: names that the Host header may hold; None: any.
        allowed_origins: other sites whose pages may send requests.
        has_open_metrics: whether /metrics answers this machine without a key.
        access_log: file of the access log; "-" is standard error; None: none.
        image_urls: rules for pictures fetched from `imageUrl`; None: none are fetched.
        stream_files: folder whose videos may be streamed; None: none.
        stream_urls: hosts whose streams may be opened; None: none. "*" allows any public address.
        stream_ca_file: PEM file of the authorities to trust for streams over https and rtsps; None: those of the system.
        grpc_address: host and port of gRPC, port 0 picks a free one; None: HTTP only.
        grpc_tls: certificate, key and clients' authority of gRPC; None: no encryption.
        stream_limits, connection_limits: see there.
    """

    mode: Mode = "poll"
    load_at_start: tuple[str, ...] = ()
    check_every_s: float = 1.0
    memory_budget_bytes: int | None = None
    express_slots: int = 1
    keys_file: Path | None = None
    key_line: str = ""
    max_requests_per_s: float | None = None
    allowed_hosts: frozenset[str] | None = None
    allowed_origins: frozenset[str] = frozenset()
    has_open_metrics: bool = True
    access_log: str | None = None
    image_urls: UrlRules | None = None
    stream_files: Path | None = None
    stream_urls: tuple[str, ...] | None = None
    stream_ca_file: Path | None = None
    grpc_address: tuple[str, int] | None = None
    grpc_tls: TlsFiles | None = None
    stream_limits: StreamLimits = StreamLimits()
    connection_limits: ConnectionLimits = ConnectionLimits()
