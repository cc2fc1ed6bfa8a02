"""Refusals of the whole server, which `whole_server`'s client looks up in the OpenAPI document."""

from pathlib import Path

import httpx
import pytest
from repository_fakes import write_artifact
from whole_server import check_documented, run_server

from sightline.serving.deployments import deploy_artifact
from sightline.serving.server_options import ServerOptions


def test_what_is_refused_is_documented(repository: Path, tmp_path: Path) -> None:
    deploy_artifact(write_artifact(tmp_path / "b", graph=b"broken"), "bad", repository)
    form = {"Content-Type": "multipart/form-data; boundary=XX"}
    with run_server(repository, ServerOptions(mode="none")) as running, running.client() as client:
        for answer, status in (
            (client.post("/predict/parts", content=b"no form", headers=form), 400),
            (client.post("/deployments/parts/reload"), 409),
            (client.post("/v2/models/parts/infer", content=b"{}", headers={"Content-Encoding": "br"}), 415),
            (client.post("/v2/models/parts/infer", content=bytes(65 << 20)), 413),
            (client.post("/v2/repository/index", content=b"["), 400),
            *((client.get(f"/v2/models/bad{path}"), 503) for path in ("", "/config", "/versions/1", "/versions/1/config")),
        ):
            assert answer.status_code == status


def test_a_status_that_is_not_documented_is_found() -> None:
    request = httpx.Request("GET", "http://here/v2/models/parts/ready")
    check_documented(httpx.Response(404, request=request))
    with pytest.raises(AssertionError):
        check_documented(httpx.Response(409, request=request))
