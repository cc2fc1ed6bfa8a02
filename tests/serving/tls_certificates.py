"""Certificates for tests, made by the openssl command."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    """A self-signed certificate of localhost, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate, *(options or ("-nodes",))], check=True, capture_output=True)
    return certificate, key
