from collections.abc import Callable
from pathlib import Path

import pytest
from cli_fixtures import Run

from sightline.core.errors import Unsupported
from sightline.serving import server
from sightline.serving.http import tls
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.image_url import UrlRules
from sightline.serving.http.tls import TlsFiles
from sightline.serving.process.listening import LOOPBACK_NAMES
from sightline.serving.server_options import ServerOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model-control", "sometimes"), "none, poll or explicit, got 'sometimes'"),
        (("--load", "parts"), "--load with --model-control explicit, got it with poll"),
        (("--model-control", "none", "--load", "parts"), "got it with none"),
        (("--tls-key", "key.pem"), "--tls-certificate"),
        (("--allow-image-urls", "127.0.0.1:80"), "expected --allow-image-urls to be a name"),
        (("--allow-stream-urls", "rtsp://cam/1"), "expected --allow-stream-urls to be a name"),
        (("--allow-origin", "foo"), "expected --allow-origin https://NAME"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_opens(
    run: Run, workspace: Path, options: tuple[str, ...], words: str
) -> None:
    ran = run("serve", "--port", "0", *options)
    assert ran.code == 2 and words in ran.err.splitlines()[-1]


@pytest.fixture
def find_options(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ServerOptions]:
    """What the server is made with, without making one."""
    made: list[ServerOptions] = []

    def make_server(folder: Path, settings: object, options: ServerOptions) -> None:
        made.append(options)
        raise Unsupported("no server here")

    def find(*arguments: str) -> ServerOptions:
        ran = run("serve", "--port", "0", *arguments)
        assert "no server here" in ran.err
        return made[-1]

    monkeypatch.setattr(server, "InferenceServer", make_server)
    return find


def test_grpc_asks_for_the_certificates_that_http_asks_for(
    find_options: Callable[..., ServerOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "make_tls_context", lambda *files: None)
    given = ("--tls-certificate", "a.crt", "--tls-key", "a.key", "--tls-client-ca", "clients.crt")
    assert find_options("--grpc-port", "0", *given).grpc_tls == TlsFiles(Path("a.crt"), Path("a.key"), Path("clients.crt"))
    assert find_options("--grpc-port", "0").grpc_tls is None


def test_an_operator_behind_a_proxy_sets_connections_and_closes_the_metrics(find_options: Callable[..., ServerOptions]) -> None:
    usual = find_options()
    assert (usual.connection_limits, usual.has_open_metrics) == (ConnectionLimits(), True)
    changed = find_options("--max-connections", "4000", "--max-connections-per-address", "3000", "--closed-metrics")
    limits = changed.connection_limits
    assert (limits.max_connections, limits.max_connections_per_address, changed.has_open_metrics) == (4000, 3000, False)


def test_the_authorities_of_cameras_are_the_operators(find_options: Callable[..., ServerOptions]) -> None:
    assert find_options().stream_ca_file is None
    assert find_options("--stream-ca", "cameras.pem").stream_ca_file == Path("cameras.pem")


def test_hosts_of_pictures_are_compared_in_one_spelling(find_options: Callable[..., ServerOptions]) -> None:
    options = find_options("--allow-image-urls", "Pictures.example", "--allow-image-urls", ".lab.example.")
    assert options.image_urls == UrlRules(hosts=("pictures.example", ".lab.example"))
    assert find_options("--allow-image-urls", "*").image_urls == UrlRules()


@pytest.mark.parametrize(
    ("given", "compared"),
    [
        ("Vision.example", "vision.example"),
        ("vision.example.", "vision.example"),
        ("[fd00::1]", "fd00::1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_names_of_the_server_are_compared_as_they_stand_in_host(
    given: str, compared: str, find_options: Callable[..., ServerOptions]
) -> None:
    assert find_options("--server-name", given).allowed_hosts == LOOPBACK_NAMES | {compared}


@pytest.mark.parametrize(
    "name", ["a b", "vision.example:8000", "https://vision.example", "vision.example/x", "*", ".example", ""]
)
def test_a_server_name_that_stands_in_no_host_is_refused(run: Run, workspace: Path, name: str) -> None:
    ran = run("serve", "--port", "0", "--server-name", name)
    assert ran.code == 2 and "expected --server-name to be a name" in ran.err
