import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving_fakes import FakePredictor, write_artifact

from sightline.core.errors import Exhausted, NotFound
from sightline.serving.deployments import deploy_artifact, remove_deployment
from sightline.serving.hosting import DeploymentHost


class Opener:
    """Opens anything; a graph `slow` only when its gate opens, a graph `broken` never. Remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def __call__(self, folder: Path) -> FakePredictor:
        graph = (folder / "model.onnx").read_text()
        self.opened.append(graph)
        if graph == "broken":
            raise RuntimeError("an engine's own words")
        if graph == "slow":
            self.entered.set()
            assert self.gate.wait(20)
        return FakePredictor()


@pytest.fixture
def opener() -> Opener:
    return Opener()


def deploy(tmp_path: Path, graph: str, name: str = "parts") -> None:
    folder = write_artifact(tmp_path / f"artifact-{name}-{graph}", graph=graph.encode())
    deploy_artifact(folder, name, tmp_path / "repo")


def test_a_deployment_is_opened_once(tmp_path: Path, opener: Opener) -> None:
    deploy(tmp_path, "a")
    host = DeploymentHost(tmp_path / "repo", opener, check_every_s=0.0)
    assert host.find("parts") is host.find("parts")
    assert opener.opened == ["a"]


def test_many_first_requests_open_it_once(tmp_path: Path, opener: Opener) -> None:
    deploy(tmp_path, "slow")
    host = DeploymentHost(tmp_path / "repo", opener)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(host.find, "parts") for _ in range(4)]
        assert opener.entered.wait(20)
        opener.gate.set()
        found = {id(future.result()) for future in asked}
    assert (len(found), opener.opened) == (1, ["slow"])


def test_the_old_version_answers_while_the_new_one_is_opened(tmp_path: Path, opener: Opener) -> None:
    deploy(tmp_path, "a")
    host = DeploymentHost(tmp_path / "repo", opener, check_every_s=0.0)
    host.find("parts")
    deploy(tmp_path, "slow")
    with ThreadPoolExecutor(1) as pool:
        swap = pool.submit(host.find, "parts")
        assert opener.entered.wait(20)
        assert host.find("parts").deployment.manifest.version == 1
        opener.gate.set()
        assert swap.result().deployment.manifest.version == 2


def test_a_moment_is_trusted_and_then_checked_again(tmp_path: Path, opener: Opener) -> None:
    deploy(tmp_path, "a")
    now = [100.0]
    host = DeploymentHost(tmp_path / "repo", opener, clock=lambda: now[0], check_every_s=1.0)
    assert host.find_fresh("parts") is None
    hosted = host.find("parts")
    now[0] = 100.9
    assert host.find_fresh("parts") is hosted
    now[0] = 101.0
    assert host.find_fresh("parts") is None


def test_a_broken_version_is_tried_once_until_asked_again(tmp_path: Path, opener: Opener) -> None:
    deploy(tmp_path, "a")
    host = DeploymentHost(tmp_path / "repo", opener, check_every_s=0.0)
    host.find("parts")
    deploy(tmp_path, "broken")
    assert [host.find("parts").deployment.manifest.version for _ in range(3)] == [1, 1, 1]
    assert opener.opened == ["a", "broken"]
    host.find("parts", retry_failed=True)
    assert opener.opened == ["a", "broken", "broken"]


def test_one_that_never_opened_is_exhausted_and_the_others_are_ready(tmp_path: Path, opener: Opener) -> None:
    deploy(tmp_path, "broken", "bad")
    deploy(tmp_path, "a", "good")
    (tmp_path / "repo" / "odd").mkdir()
    (tmp_path / "repo" / "odd" / "manifest.json").write_text("no manifest")
    host = DeploymentHost(tmp_path / "repo", opener)
    assert host.load_all() == ["good"]
    with pytest.raises(Exhausted, match="log"):
        host.find("bad")
    assert [(one.name, one.state) for one in host.describe_all()] == [("bad", "failed"), ("good", "ready"), ("odd", "failed")]


def test_a_removed_one_is_forgotten(tmp_path: Path, opener: Opener) -> None:
    deploy(tmp_path, "a")
    host = DeploymentHost(tmp_path / "repo", opener, check_every_s=0.0)
    host.find("parts")
    remove_deployment("parts", tmp_path / "repo")
    with pytest.raises(NotFound):
        host.find("parts")
    deploy(tmp_path, "b")
    assert host.find("parts").deployment.manifest.version == 1
    assert opener.opened == ["a", "b"]
