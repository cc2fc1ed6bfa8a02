"""TLS for the server and its clients: PEM files to an SSL context, with errors that say which file is wrong and why."""

import os
import ssl
from pathlib import Path
from typing import NamedTuple

from sightline.core.errors import InvalidInput, NotFound

FilePath = str | os.PathLike[str]
# Where systems keep all authorities in one file: Debian, Red Hat, SUSE, Alpine.
AUTHORITY_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class TlsFiles(NamedTuple):
    """PEM files as `make_tls_context` takes them; HTTP and gRPC have the same."""

    certificate: Path
    key: Path | None = None
    client_authority: Path | None = None


def make_tls_context(certificate: Path, key: Path | None = None, client_authority: Path | None = None) -> ssl.SSLContext:
    """A context for serving over TLS 1.2 and 1.3.

    Args:
        certificate: PEM file with the server's certificate, followed by those between it and the authority's.
        key: PEM file with its private key, not encrypted; None: it stands in the certificate's file.
        client_authority: PEM file of an authority; only clients with a certificate of it are served. None: any client.

    Raises: NotFound for a file that is not there; InvalidInput for one that does not hold what it should.
    """
    _check_files(certificate, key, client_authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, certificate, key)
    if client_authority is not None:
        try:
            context.load_verify_locations(client_authority)
        except OSError as error:
            raise _explain_authority(client_authority, error) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def make_client_context(
    ca_file: FilePath | None = None, certificate: FilePath | None = None, key: FilePath | None = None
) -> ssl.SSLContext:
    """A context for asking a server, whose certificate and name are verified.

    Args:
        ca_file: PEM file of the authorities to trust; None: those of the system, or of SSL_CERT_FILE.
        certificate: PEM file with the certificate to show to a server that asks for one; None: none.
        key: PEM file with its private key, not encrypted; None: it stands in the certificate's file.

    Raises: NotFound for a file that is not there; InvalidInput for one that does not hold what it should, and for a key alone.
    """
    ca_file = _read_path("ca_file", ca_file)
    certificate, key = _read_path("client_certificate", certificate), _read_path("client_key", key)
    if certificate is None and key is not None:
        raise InvalidInput(f"expected a client certificate beside its key {key}, got none; give the certificate, too")
    _check_files(ca_file, certificate, key)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise _explain_authority(ca_file, error) from error
    if certificate is not None:
        _load_certificate(context, certificate, key)
    return context


def find_authorities() -> Path | None:
    """The one file of the authorities that the system trusts, or SSL_CERT_FILE; None where there is none.

    Python's default may be a folder alone, with which FFmpeg can do nothing.
    """
    named = ssl.get_default_verify_paths().cafile
    return next((Path(file) for file in (named, *AUTHORITY_FILES) if file and Path(file).is_file()), None)


def _read_path(name: str, path: FilePath | None) -> Path | None:
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise InvalidInput(f"expected `{name}` to be the path of a PEM file, got {type(path).__name__}")
    return None if path is None else Path(path)


def _check_files(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.is_file():
            raise NotFound(f"no file {path}; name a PEM file")


def _explain_authority(path: Path | None, error: OSError) -> InvalidInput:
    return InvalidInput(f"expected certificates of an authority in PEM form in {path}; {_why(error)}")


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    def refuse_password() -> str:
        raise InvalidInput(f"the key in {key or certificate} is encrypted; decrypt it and let only its user read it")

    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidInput(
                f"the key in {key or certificate} does not belong to the certificate in {certificate}"
            ) from error
        raise InvalidInput(
            f"expected a certificate and its key in PEM form in {certificate} and {key or 'the same file'}; {_why(error)}"
        ) from error
    except OSError as error:
        raise InvalidInput(f"cannot read {certificate} or {key or 'its key'}: {error.strerror}") from error


def _why(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return f"OpenSSL says {reason}" if reason else str(error)
