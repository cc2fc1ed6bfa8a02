"""Both clients and the commands with --url against a whole server over TLS, with a certificate that no system trusts."""

import asyncio
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from tls_certificates import make_certificate
from whole_server import run_server

from sightline.core.errors import AccessDenied, Exhausted, InvalidInput, NotFound
from sightline.core.workspace import Workspace
from sightline.serving.client.asynchronous import AsyncClient
from sightline.serving.client.blocking import Client
from sightline.serving.client.calls import explain_failure
from sightline.serving.client.predictor import RemotePredictor
from sightline.serving.http.tls import make_tls_context
from sightline.serving.loading import open_subject

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificates")
BRIGHT = np.full((8, 8, 3), 255, np.uint8)


class Pem(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path


def ask_sync(url: str, **settings: Any) -> bool:
    with Client(url, **settings) as client:
        assert client.predict("parts", BRIGHT)[0].category == "bright"
        return client.ready()


def ask_async(url: str, **settings: Any) -> bool:
    async def main() -> bool:
        async with AsyncClient(url, **settings) as client:
            assert (await client.predict("parts", BRIGHT))[0].category == "bright"
            return await client.ready()

    return asyncio.run(main())


def ask_predictor(url: str, **settings: Any) -> bool:
    with RemotePredictor(url, "parts", **settings) as remote:
        return remote.predict([BRIGHT])[0][0].category == "bright"


def ask_subject(url: str, **settings: Any) -> bool:
    with open_subject("parts", Workspace(Path("absent")), url, **settings) as remote:
        return remote.predict([BRIGHT])[0][0].category == "bright"


Ask = Callable[..., bool]
ALL = pytest.mark.parametrize("ask", [ask_sync, ask_async, ask_predictor, ask_subject])


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pem]:
    folder = tmp_path_factory.mktemp("pems")
    return {name: Pem(*make_certificate(folder, name)) for name in ("server", "client", "other")}


@pytest.fixture
def private(repository: Path, pems: dict[str, Pem]) -> Iterator[str]:
    """URL of a server with a certificate of its own."""
    with run_server(repository, tls=make_tls_context(*pems["server"])) as running:
        yield running.url


@pytest.fixture
def mutual(repository: Path, pems: dict[str, Pem]) -> Iterator[str]:
    """URL of a server that also asks its clients for a certificate."""
    with run_server(repository, tls=make_tls_context(*pems["server"], pems["client"].certificate)) as running:
        yield running.url


@ALL
def test_a_certificate_of_a_given_authority_is_trusted(ask: Ask, private: str, pems: dict[str, Pem]) -> None:
    assert ask(private, ca_file=pems["server"].certificate)


@ALL
def test_its_file_may_be_named_by_text(ask: Ask, private: str, pems: dict[str, Pem]) -> None:
    assert ask(private, ca_file=str(pems["server"].certificate))


@ALL
def test_the_system_s_store_and_its_variable_are_heeded(
    ask: Ask, private: str, pems: dict[str, Pem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pems["server"].certificate))
    assert ask(private)


@ALL
def test_a_certificate_that_nobody_vouches_for_is_one_line_with_the_remedy(
    ask: Ask, private: str, pems: dict[str, Pem]
) -> None:
    for settings in ({}, {"ca_file": pems["other"].certificate}):
        with pytest.raises(AccessDenied, match=r"self-signed certificate; .*`ca_file`") as refused:
            ask(private, **settings)
        assert len(str(refused.value).splitlines()) == 1


def test_such_a_server_is_asked_once(private: str) -> None:
    with Client(private) as client, pytest.raises(AccessDenied, match=r"expected .* got: .*; give"):
        client._sleep = refuse_to_wait
        client.predict("parts", BRIGHT)

    async def main() -> None:
        async with AsyncClient(private) as client:
            client._sleep = refuse_to_wait
            await client.predict("parts", BRIGHT)

    with pytest.raises(AccessDenied, match=r"expected .* got: .*; give"):
        asyncio.run(main())


def refuse_to_wait(wait_s: float) -> Any:
    raise AssertionError(f"it wants to ask once more in {wait_s} s")


def test_asking_whether_such_a_server_is_ready_says_so_too(private: str) -> None:
    with Client(private) as client, pytest.raises(AccessDenied, match="`ca_file`"):
        client.ready()

    async def main() -> None:
        async with AsyncClient(private) as client:
            await client.ready()

    with pytest.raises(AccessDenied, match="`ca_file`"):
        asyncio.run(main())


@ALL
def test_a_server_that_asks_for_a_certificate_gets_it(ask: Ask, mutual: str, pems: dict[str, Pem]) -> None:
    trusted, mine = pems["server"].certificate, pems["client"]
    assert ask(mutual, ca_file=trusted, client_certificate=mine.certificate, client_key=mine.key)
    together = mine.certificate.with_suffix(".both")
    together.write_bytes(mine.certificate.read_bytes() + mine.key.read_bytes())
    assert ask(mutual, ca_file=trusted, client_certificate=together)
    # Whether the server's alert arrives before its end of the connection is seen is a matter of luck.
    with pytest.raises((AccessDenied, Exhausted)):
        ask(mutual, ca_file=trusted)


@pytest.mark.parametrize(
    "alert", ["TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE"]
)
def test_a_server_that_wants_another_certificate_is_understood(alert: str) -> None:
    failure = httpx.ReadError("read failed")
    failure.__cause__ = ssl.SSLError(1, f"[SSL: {alert}] (_ssl.c:2580)")
    problem = explain_failure(failure, "https://example")
    assert isinstance(problem, AccessDenied) and "`client_certificate`" in str(problem)


def test_wrong_files_are_named_before_anything_is_asked(tmp_path: Path, pems: dict[str, Pem]) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for settings, kind, line in (
        ({"ca_file": tmp_path / "absent.crt"}, NotFound, r"absent\.crt"),
        ({"ca_file": text}, InvalidInput, r"authority.*text\.pem"),
        ({"client_certificate": pems["client"].certificate}, InvalidInput, "the same file"),
        ({"client_certificate": pems["client"].certificate, "client_key": pems["other"].key}, InvalidInput, "does not belong"),
        ({"client_key": pems["client"].key}, InvalidInput, "beside its key"),
    ):
        for ask in (ask_sync, ask_async, ask_predictor):
            with pytest.raises(kind, match=line):
                ask("https://127.0.0.1:9", **settings)
