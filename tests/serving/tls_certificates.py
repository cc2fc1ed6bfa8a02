"""Certificates for tests, made by the openssl command."""

import subprocess
from pathlib import Path

LOOPBACK = "DNS:localhost,IP:127.0.0.1"


def make_certificate(folder: Path, name: str, *options: str, holder: str = LOOPBACK) -> tuple[Path, Path]:
    """A self-signed certificate of localhost, or of whoever `holder` says, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={holder}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate, *(options or ("-nodes",))], check=True, capture_output=True)
    return certificate, key
