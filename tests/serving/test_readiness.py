"""When the whole server says that it is ready."""

from pathlib import Path

from serving_fakes import write_artifact
from whole_server import run_server, wait_until

from sightline.serving.deployments import deploy_artifact, remove_deployment


def test_a_model_that_never_answered_keeps_the_server_from_being_ready_until_it_is_taken_away(
    repository: Path, tmp_path: Path
) -> None:
    deploy_artifact(write_artifact(tmp_path / "b", graph=b"broken"), "bad", repository)
    with run_server(repository) as running, running.client() as client:
        refused = client.get("/v2/health/ready")
        assert refused.status_code == 400 and "index tells which" in refused.json()["error"]
        assert client.get("/health").json() == {"status": "ok", "ready": False}
        assert client.get("/v2/models/parts/ready").status_code == 200
        remove_deployment("bad", repository)
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200)
        assert client.get("/health").json() == {"status": "ok", "ready": True}
