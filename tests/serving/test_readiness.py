"""When the whole server says that it is ready, and what makes that sooner the next time."""

from pathlib import Path

from factor_graphs import write_factor_ir
from serving_fakes import write_artifact
from waiting import wait_until
from whole_server import run_server

from sightline.core.settings import Settings
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


def test_what_a_server_compiled_the_next_one_opens(tmp_path: Path) -> None:
    write_factor_ir(tmp_path / "repository", "double", 1, 2)
    kept = []
    for _ in range(2):
        with run_server(tmp_path / "repository", settings=Settings(threads=2, cache=tmp_path / "cache")) as running:
            assert running.whole.names == ["double"]
        kept.append({path.name: path.stat().st_ino for path in (tmp_path / "cache" / "plans").iterdir()})
    assert kept[0] and kept[0] == kept[1]
