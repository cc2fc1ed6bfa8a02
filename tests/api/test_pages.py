from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from platform_server import Running, run_app
from starlette.testclient import TestClient

from sightline.api.application import make_application
from sightline.api.pages import Pages

SECRET = "what lies beside the pages"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<title>the app</title>")
    (folder / "assets" / "index-1a2b.js").write_text("labels()")
    (folder / "favicon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text(SECRET)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def app(folder: Path) -> TestClient:
    return TestClient(make_application(None, Pages(folder)))


@pytest.mark.parametrize(
    "path", ["/", "/datasets/parts", "/datasets/parts/label/3?state=proposed", "/datasets/a.b", "/index.html"]
)
def test_every_path_of_the_app_is_its_one_page(app: TestClient, path: str) -> None:
    page = app.get(path)
    assert page.status_code == 200 and page.text == "<title>the app</title>"
    assert page.headers["content-type"].startswith("text/html") and page.headers["cache-control"] == "no-cache"
    assert app.head(path).status_code == 200


def test_files_named_by_their_content_are_kept_for_ever_and_others_are_asked_for_again(app: TestClient) -> None:
    script = app.get("/assets/index-1a2b.js")
    assert script.text == "labels()" and "javascript" in script.headers["content-type"]
    assert "immutable" in script.headers["cache-control"]
    icon = app.get("/favicon.svg")
    assert icon.headers["content-type"] == "image/svg+xml" and icon.headers["cache-control"] == "no-cache"
    assert app.get("/favicon.svg", headers={"If-None-Match": icon.headers["etag"]}).status_code == 304


def test_a_missing_asset_is_no_page(app: TestClient) -> None:
    answer = app.get("/assets/index-0000.js")
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"
    assert "cache-control" not in answer.headers or "immutable" not in answer.headers["cache-control"]


def test_what_is_no_path_of_the_interface_is_no_page_either(app: TestClient) -> None:
    for method, path, status in (("GET", "/v1", 404), ("GET", "/v1/nothing", 404), ("PUT", "/v1/datasets", 405)):
        answer = app.request(method, path)
        assert answer.status_code == status and answer.json()["status"] == status, path
    assert app.post("/datasets/parts").status_code == 405


def test_until_the_app_is_built_the_page_says_how(app: TestClient, folder: Path) -> None:
    (folder / "index.html").rename(folder / "index.old")
    page = app.get("/datasets/parts")
    assert page.status_code == 503 and "npm" in page.text and page.headers["content-type"].startswith("text/html")
    (folder / "index.old").rename(folder / "index.html")
    assert app.get("/datasets/parts").status_code == 200  # without a new start
    missing = TestClient(make_application(None, Pages(folder / "absent")))
    assert missing.get("/").status_code == 503


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    with run_app(lambda _: make_application(None, Pages(folder))) as running:
        yield running


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "//{root}/secret.txt",
        "/assets//{root}/secret.txt",
        "/link.txt",
        "/%00secret.txt",
        "/" + "a" * 5000,
    ],
)
def test_no_path_leads_out_of_the_folder(client: httpx.Client, running: Running, tmp_path: Path, path: str) -> None:
    raw = path.replace("{root}", str(tmp_path).lstrip("/")).encode()
    url = httpx.URL(running.url).copy_with(raw_path=raw)
    answer = client.get(url)
    assert answer.status_code in (200, 404, 400) and SECRET not in answer.text
