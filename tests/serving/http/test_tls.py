import shutil
import ssl
from pathlib import Path

import httpx
import pytest
from http_server import serve_app
from tls_certificates import make_certificate

from sightline.core.errors import InvalidInput, NotFound
from sightline.serving.http import tls
from sightline.serving.http.tls import find_authorities, make_tls_context

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificates")


async def greet(scope: object, receive: object, send: object) -> None:
    body = scope["scheme"].encode()  # type: ignore[index]
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": body})  # type: ignore[operator]


def test_requests_over_tls_are_served(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    context = make_tls_context(certificate, key)
    with serve_app(greet, ssl_context_factory=lambda config, default: context) as port:
        trust = ssl.create_default_context(cafile=certificate)
        with httpx.Client(verify=trust, trust_env=False, timeout=60) as client:
            assert client.get(f"https://127.0.0.1:{port}/").text == "https"
        old = ssl.create_default_context(cafile=certificate)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with httpx.Client(verify=old, trust_env=False, timeout=60) as client:
            assert client.get(f"https://localhost:{port}/").text == "https"
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60)


def test_only_clients_of_the_authority_are_served(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    client_certificate, client_key = make_certificate(tmp_path, "client")
    context = make_tls_context(certificate, key, client_certificate)
    with serve_app(greet, ssl_context_factory=lambda config, default: context) as port:
        trust = ssl.create_default_context(cafile=certificate)
        with httpx.Client(verify=trust, trust_env=False, timeout=60) as client, pytest.raises(httpx.TransportError):
            client.get(f"https://127.0.0.1:{port}/")
        trust.load_cert_chain(client_certificate, client_key)
        with httpx.Client(verify=trust, trust_env=False, timeout=60) as client:
            assert client.get(f"https://127.0.0.1:{port}/").text == "https"


def test_wrong_files_are_named(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    _, other_key = make_certificate(tmp_path, "other")
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    with pytest.raises(NotFound, match=r"absent\.crt"):
        make_tls_context(tmp_path / "absent.crt", key)
    with pytest.raises(InvalidInput, match="does not belong"):
        make_tls_context(certificate, other_key)
    with pytest.raises(InvalidInput, match=r"text\.pem"):
        make_tls_context(text, key)
    with pytest.raises(InvalidInput, match="the same file"):
        make_tls_context(certificate)
    with pytest.raises(InvalidInput, match="authority"):
        make_tls_context(certificate, key, text)


def test_an_encrypted_key_is_refused_rather_than_asked_for(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "locked", "-passout", "pass:secret")
    with pytest.raises(InvalidInput, match="encrypted"):
        make_tls_context(certificate, key)


def test_authorities_are_found_where_python_knows_only_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, named = tmp_path / "absent.crt", tmp_path / "second.crt", tmp_path / "named.pem"
    monkeypatch.setattr(tls, "AUTHORITY_FILES", (str(first), str(second)))
    paths = ssl.get_default_verify_paths()._replace(cafile=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert find_authorities() is None
    second.touch()
    assert find_authorities() == second
    named.touch()
    paths = paths._replace(cafile=str(named))
    assert find_authorities() == named
