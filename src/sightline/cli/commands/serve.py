"""`sightline serve`: the inference server over a model repository."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.serving.http.connections.rules import ConnectionLimits
    from sightline.serving.http.image_url import UrlRules
    from sightline.serving.http.tls import TlsFiles
    from sightline.serving.repository.host import Mode

ADDRESS, MODELS, CALLERS, TLS, SOURCES = (
    "Address",
    "Models",
    "Callers",
    "TLS",
    "Pictures and videos from elsewhere",
)  # in the help
KEYS_VARIABLE = "SIGHTLINE_API_KEYS"
SERVER_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
RepositoryArgument = Annotated[Path | None, typer.Argument(help="Model repository; by default the workspace's deployments.")]
HostOption = Annotated[
    str | None,
    typer.Option("--host", help="Address to listen on; by default $SIGHTLINE_HOST, else 127.0.0.1.", rich_help_panel=ADDRESS),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Port to listen on; 0 picks a free one; by default $SIGHTLINE_PORT, else 8000.",
        rich_help_panel=ADDRESS,
    ),
]
GrpcPortOption = Annotated[
    int | None,
    typer.Option(
        "--grpc-port", min=0, max=65535, help="Also serve gRPC on this port; 0 picks a free one.", rich_help_panel=ADDRESS
    ),
]
RemoteOption = Annotated[
    bool,
    typer.Option("--allow-remote", help="Let other machines reach a server that has no API keys.", rich_help_panel=ADDRESS),
]
ModeOption = Annotated[
    str,
    typer.Option(
        "--model-control",
        help="What to load. poll: everything, watching for changes; none: everything, once; explicit: what is asked for.",
        rich_help_panel=MODELS,
    ),
]
LoadOption = Annotated[
    list[str] | None,
    typer.Option(
        "--load", help="With explicit: model to load at the start; '*' means all. May be repeated.", rich_help_panel=MODELS
    ),
]
BudgetOption = Annotated[
    float | None,
    typer.Option(
        "--memory-budget",
        min=1,
        help="MB that opened models may take; above it, idle models are paged out.",
        rich_help_panel=MODELS,
    ),
]
KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys", help=f"File of API keys, made by sightline keys; ${KEYS_VARIABLE} may hold more.", rich_help_panel=CALLERS
    ),
]
MaxRpsOption = Annotated[
    float | None,
    typer.Option(
        "--max-rps",
        min=0.001,
        help="Most requests per second of all callers together; beyond it, the answer is 503.",
        rich_help_panel=CALLERS,
    ),
]
ConnectionsOption = Annotated[
    int | None,
    typer.Option(
        "--max-connections",
        min=1,
        help="Most connections at once, over HTTP and over gRPC each; by default 1024.",
        rich_help_panel=CALLERS,
    ),
]
AddressConnectionsOption = Annotated[
    int | None,
    typer.Option(
        "--max-connections-per-address",
        min=1,
        help="Most connections of one address, which all clients behind a proxy share; by default 512.",
        rich_help_panel=CALLERS,
    ),
]
ClosedMetricsOption = Annotated[
    bool,
    typer.Option(
        "--closed-metrics",
        help="Ask for a key at /metrics even on this machine; use it behind a proxy on this machine.",
        rich_help_panel=CALLERS,
    ),
]
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-certificate",
        help="PEM file of the certificate with which to serve HTTPS, and gRPC over TLS.",
        rich_help_panel=TLS,
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-key", help="PEM file of the certificate's private key, if it is not in the same file.", rich_help_panel=TLS
    ),
]
ClientAuthorityOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-ca", help="PEM file of an authority: admit only clients with a certificate of it.", rich_help_panel=TLS
    ),
]
LogOption = Annotated[
    str | None, typer.Option("--access-log", help="File to log each request to, as a line of JSON; '-' is standard error.")
]
ImageUrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-image-urls",
        help="Host from which pictures may be fetched, even a private one; '*': any public host. May be repeated.",
        rich_help_panel=SOURCES,
    ),
]
StreamFilesOption = Annotated[
    Path | None, typer.Option("--stream-files", help="Folder whose videos clients may stream.", rich_help_panel=SOURCES)
]
StreamUrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-stream-urls",
        help="Host of cameras that may be opened; '*': any public host, only for a network without secrets. May be repeated.",
        rich_help_panel=SOURCES,
    ),
]
StreamCaOption = Annotated[
    Path | None,
    typer.Option(
        "--stream-ca",
        help="PEM file of the authorities to trust for cameras, instead of the system's.",
        rich_help_panel=SOURCES,
    ),
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-origin",
        help="Site whose pages may send requests and read answers, as https://name:port. May be repeated.",
        rich_help_panel=CALLERS,
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server-name", help="Name or address that requests may give in Host. May be repeated.", rich_help_panel=ADDRESS
    ),
]


def serve_command(
    repository: RepositoryArgument = None,
    host: HostOption = None,
    port: PortOption = None,
    grpc_port: GrpcPortOption = None,
    allow_remote: RemoteOption = False,
    model_control: ModeOption = "poll",
    load: LoadOption = None,
    memory_budget: BudgetOption = None,
    keys: KeysOption = None,
    max_rps: MaxRpsOption = None,
    max_connections: ConnectionsOption = None,
    max_connections_per_address: AddressConnectionsOption = None,
    closed_metrics: ClosedMetricsOption = False,
    tls_certificate: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_client_ca: ClientAuthorityOption = None,
    access_log: LogOption = None,
    allow_image_urls: ImageUrlOption = None,
    stream_files: StreamFilesOption = None,
    allow_stream_urls: StreamUrlOption = None,
    stream_ca: StreamCaOption = None,
    allow_origin: OriginOption = None,
    server_name: NameOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the models of a repository over HTTP and gRPC until stopped; new versions are picked up meanwhile."""
    from sightline.core.settings import read_settings
    from sightline.serving.deployments import check_repository
    from sightline.serving.http.tls import make_tls_context
    from sightline.serving.process.listening import format_url, open_listener, run_server
    from sightline.serving.server import InferenceServer
    from sightline.serving.server_options import ServerOptions

    configure_logging()
    settings, terminal = read_settings(), Terminal(as_json)
    folder = check_repository(repository) if repository is not None else open_workspace(workspace).deployments
    address = host or settings.host
    tls_files = find_tls_files(tls_certificate, tls_key, tls_client_ca)
    tls = None if tls_files is None else make_tls_context(*tls_files)
    options = ServerOptions(
        mode=check_mode(model_control, load),
        load_at_start=tuple(load or ()),
        memory_budget_bytes=None if memory_budget is None else int(memory_budget * 1e6),
        keys_file=keys,
        key_line=settings.api_keys,
        max_requests_per_s=max_rps,
        connection_limits=make_connection_limits(max_connections, max_connections_per_address),
        has_open_metrics=not closed_metrics,
        allowed_hosts=list_hosts(address, server_name or []),
        allowed_origins=frozenset(allow_origin or ()),
        access_log=access_log,
        image_urls=make_url_rules(allow_image_urls),
        stream_files=stream_files,
        stream_urls=tuple(allow_stream_urls) if allow_stream_urls else None,
        stream_ca_file=stream_ca,
        grpc_address=None if grpc_port is None else (address, grpc_port),
        grpc_tls=tls_files,
    )
    server = InferenceServer(folder, settings, options)
    can_be_remote = allow_remote or server.authenticator.has_keys
    listener = open_listener(address, settings.port if port is None else port, can_be_remote)
    url = format_url(listener, "http" if tls is None else "https")

    def announce() -> None:
        grpc = f", gRPC on port {server.grpc_port}" if server.grpc_port else ""
        terminal.say(f"serving {', '.join(server.names) or 'nothing yet'} from {folder} at {url}{grpc}")
        terminal.finish({"url": url, "grpc_port": server.grpc_port or None, "repository": folder, "deployments": server.names})

    run_server(server.app, listener, server.edge, announce, tls, server.begin_end)


def configure_logging() -> None:
    """Our own messages on standard error; what libraries say of a client's mistakes is told to the client."""
    import logging

    from sightline.serving.process.background_log import BackgroundHandler

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[BackgroundHandler()])
    for name, level in (
        ("uvicorn", logging.WARNING),
        ("python_multipart.multipart", logging.ERROR),
        ("httpx", logging.WARNING),
    ):
        logging.getLogger(name).setLevel(level)


def check_mode(text: str, load: list[str] | None) -> "Mode":
    """The mode of the repository. Args: load: names given with --load. Raises: InvalidInput."""
    from sightline.core.errors import InvalidInput

    if text not in ("none", "poll", "explicit"):
        raise InvalidInput(f"expected --model-control none, poll or explicit, got {text!r}")
    if load and text != "explicit":
        raise InvalidInput(f"expected --load with --model-control explicit, got it with {text}, which loads every model")
    return text  # type: ignore[return-value]


def find_tls_files(certificate: Path | None, key: Path | None, authority: Path | None) -> "TlsFiles | None":
    """The TLS files of the options, None without. Raises: InvalidInput."""
    from sightline.core.errors import InvalidInput
    from sightline.serving.http.tls import TlsFiles

    if certificate is None and (key is not None or authority is not None):
        raise InvalidInput("expected --tls-certificate beside --tls-key or --tls-client-ca, got none; give the certificate")
    return None if certificate is None else TlsFiles(certificate, key, authority)


def make_connection_limits(connections: int | None, of_one_address: int | None) -> "ConnectionLimits":
    """The limits of the server's connections; None: as many as by default."""
    from sightline.serving.http.connections.rules import ConnectionLimits

    given = {"max_connections": connections, "max_connections_per_address": of_one_address}
    return ConnectionLimits(**{name: count for name, count in given.items() if count is not None})


def read_server_name(text: str) -> str:
    """A name or address as it is compared with Host. Raises: InvalidInput for what stands in no Host."""
    from sightline.core.errors import InvalidInput
    from sightline.serving.http.named_hosts import is_address, spell_host

    name = spell_host(text.removeprefix("[").removesuffix("]"))
    if not (SERVER_NAME.fullmatch(name) or is_address(name)):
        raise InvalidInput(
            f"expected --server-name to be a name such as vision.example or an address, got {text[:200]!r}; "
            "leave out scheme, port and path"
        )
    return name


def list_hosts(address: str, names: list[str]) -> frozenset[str] | None:
    """Names that the Host header may hold: on loopback its own, and those given; elsewhere those given, or any.

    Raises: InvalidInput.
    """
    from sightline.serving.process.listening import LOOPBACK_NAMES, is_loopback

    given = frozenset(map(read_server_name, names))
    if is_loopback(address):
        return LOOPBACK_NAMES | given
    return given or None


def make_url_rules(hosts: list[str] | None) -> "UrlRules | None":
    """Rules for fetched pictures, None when none may be. Raises: InvalidInput for what no host can be."""
    from sightline.serving.http.image_url import UrlRules
    from sightline.serving.http.named_hosts import ANY, read_hosts

    if not hosts:
        return None
    names = read_hosts(hosts, "--allow-image-urls")
    return UrlRules(hosts=None if ANY in names else names)
