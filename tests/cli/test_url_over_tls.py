"""`predict`, `annotate` and `measure` with --url at a server with a certificate of its own, which wants one of its clients."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from cli_fixtures import Run, write_brightness_artifact
from tls_certificates import make_certificate
from whole_server import run_server

from sightline.serving.deployments import deploy_artifact
from sightline.serving.http.tls import make_tls_context

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificates")


class Reach(NamedTuple):
    """Options that reach a server. Attributes: trust: who vouches for it; proof: what it asks for."""

    url: tuple[str | Path, ...]
    trust: tuple[str | Path, ...]
    proof: tuple[str | Path, ...]


@pytest.fixture
def reach(tmp_path: Path) -> Iterator[Reach]:
    deploy_artifact(write_brightness_artifact(tmp_path / "artifact"), "light", tmp_path / "repository")
    certificate, key = make_certificate(tmp_path, "server")
    mine, my_key = make_certificate(tmp_path, "client")
    with run_server(tmp_path / "repository", tls=make_tls_context(certificate, key, mine)) as running:
        proof = ("--client-certificate", mine, "--client-key", my_key)
        yield Reach(("--url", running.url), ("--ca-file", certificate), proof)


def test_each_command_with_a_url_reaches_it(run: Run, tmp_path: Path, reach: Reach) -> None:
    for name, value in (("dark", 0), ("bright", 250)):
        picture = tmp_path / "folders" / "test" / name / "a.png"
        picture.parent.mkdir(parents=True)
        cv2.imwrite(str(picture), np.full((8, 8, 3), value, np.uint8))
    assert run("import", tmp_path / "folders", "--name", "tones").code == 0
    for command in (
        ("predict", "light", picture),
        ("annotate", "tones", "--with", "light", "--every-picture", "--name", "labelled"),
        ("measure", "light", "--data", "tones", "--batch", "1", "--streams", "1", "--point-s", "0.1"),
    ):
        ran = run(*command, *reach.url, *reach.trust, *reach.proof)
        assert ran.code == 0, (command, ran.err)
        refused = run(*command, *reach.url, *reach.proof)
        assert refused.code == 2 and "--ca-file" in refused.err.splitlines()[-1], (command, refused.err)


def test_load_over_tls_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    load = ("measure", "light", "--data", picture, "--clients", "1")
    ran = run(*load, "--url", "https://127.0.0.1:9")
    assert ran.code == 5 and "over plain HTTP" in ran.err.splitlines()[-1]
    ran = run(*load, "--url", "http://127.0.0.1:9", "--ca-file", tmp_path / "a.crt")
    assert ran.code == 2 and "--ca-file" in ran.err.splitlines()[-1]
