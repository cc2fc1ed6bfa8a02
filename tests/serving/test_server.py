import base64
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from serving_fakes import FakePredictor, run_server, write_artifact

from sightline.core.errors import Conflict, InvalidInput
from sightline.core.settings import Settings
from sightline.serving.deployments import deploy_artifact, remove_deployment
from sightline.serving.server import is_loopback, open_listener, strip_port


def make_png(width: int = 40, height: int = 20, value: int = 200) -> bytes:
    return bytes(cv2.imencode(".png", np.full((height, width, 3), value, np.uint8))[1])


def check_problem(answer: httpx.Response, status: int) -> str:
    """The answer is a problem of this status; returns its detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    return str(problem["detail"])


def test_bytes_are_answered_with_annotations(client: httpx.Client) -> None:
    answer = client.post("/predict/parts", content=make_png(), headers={"content-type": "image/png"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["deployment"], body["version"], body["model_id"]) == ("parts", 1, "m" * 64)
    assert body["image"] == {"width": 40, "height": 20}
    assert body["annotations"] == [
        {"category": "bright", "box_xyxy": [0.0, 0.0, 20.0, 20.0], "confidence": 0.5, "origin": "model"}
    ]
    assert set(body["timing_ms"]) == {"decode", "infer"}


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded", "image/jpeg"])
def test_the_picture_is_recognised_by_its_bytes_not_its_type(client: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert client.post("/predict/parts", content=make_png(), headers=headers).status_code == 200


def test_a_form_of_several_files_is_answered_in_order(client: httpx.Client) -> None:
    files = [("image", ("a.png", make_png(value=200))), ("image", ("b.png", make_png(10, 10, value=3)))]
    pictures = client.post("/predict/parts", files=files).json()["pictures"]
    assert [(p["name"], p["image"]["width"], p["annotations"][0]["category"]) for p in pictures] == [
        ("a.png", 40, "bright"),
        ("b.png", 10, "dark"),
    ]


def test_the_confidence_reaches_the_predictor(client: httpx.Client) -> None:
    answer = client.post("/predict/parts", params={"confidence": "0.6"}, content=make_png())
    assert answer.json()["annotations"] == []


@pytest.mark.parametrize(
    "query", ["confidence=2", "confidence=nan", "confidence=x", "format=gif", "mask=bitmap", "threshold=1", "format=mask"]
)
def test_bad_options_are_refused(client: httpx.Client, query: str) -> None:
    check_problem(client.post(f"/predict/parts?{query}", content=make_png()), 422)


def test_the_drawn_png_has_the_size_of_the_picture(client: httpx.Client) -> None:
    answer = client.post("/predict/parts?format=png", content=make_png(300, 200))
    assert answer.headers["content-type"] == "image/png"
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (200, 300, 3)
    assert (drawn != 200).any()


def test_one_png_for_several_pictures_is_refused(client: httpx.Client) -> None:
    files = [("image", ("a.png", make_png())), ("image", ("b.png", make_png()))]
    assert "one picture" in check_problem(client.post("/predict/parts?format=png", files=files), 422)


def test_masks_are_answered_in_every_form(repository: Path) -> None:
    with run_server(repository, FakePredictor("semantic")) as url, httpx.Client(base_url=url, trust_env=False) as client:

        def ask(query: str) -> httpx.Response:
            return client.post(f"/predict/parts?{query}", content=make_png())

        rle = ask("mask=rle").json()["annotations"][0]["mask"]
        assert (rle["height"], rle["width"]) == (20, 40)
        polygons = ask("mask=polygons").json()["annotations"][0]
        assert "mask" not in polygons
        assert max(polygons["polygons"][0][::2]) == pytest.approx(20, abs=1)
        png = base64.b64decode(ask("mask=png").json()["annotations"][0]["mask_png"])
        mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert (mask[:, :20] == 255).all() and (mask[:, 20:] == 0).all()
        label_map = cv2.imdecode(np.frombuffer(ask("format=mask").content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert (label_map[:, :20] == 1).all() and (label_map[:, 20:] == 255).all()  # "bright" is category 1


def test_an_unknown_deployment_is_404_without_paths(client: httpx.Client, repository: Path) -> None:
    detail = check_problem(client.post("/predict/nothing", content=make_png()), 404)
    assert str(repository) not in detail
    check_problem(client.get("/deployments/nothing"), 404)
    check_problem(client.post("/predict/..%2f..%2fetc", content=make_png()), 404)


def test_unknown_paths_and_methods_are_problems_too(client: httpx.Client) -> None:
    check_problem(client.get("/nothing"), 404)
    check_problem(client.get("/predict/parts"), 405)


@pytest.mark.parametrize("content", [b"", b"no picture", make_png()[:40]])
def test_bytes_that_are_no_picture_are_422(client: httpx.Client, content: bytes) -> None:
    check_problem(client.post("/predict/parts", content=content), 422)


def test_other_types_are_415(client: httpx.Client) -> None:
    check_problem(client.post("/predict/parts", json={"image": "x"}), 415)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=abc", b"--abc\r\nnonsense"),
        ("multipart/form-data; boundary=abc", b"--abc\r\nContent-Disposition: form-data\r\n\r\nx\r\n--abc--\r\n"),
    ],
)
def test_broken_forms_are_400(client: httpx.Client, content_type: str, body: bytes) -> None:
    answer = client.post("/predict/parts", content=body, headers={"content-type": content_type})
    assert answer.status_code in (400, 422)
    check_problem(answer, answer.status_code)


def test_a_form_without_files_is_422(client: httpx.Client) -> None:
    body = b'--abc\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--abc--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=abc"}
    assert "no file" in check_problem(client.post("/predict/parts", content=body, headers=headers), 422)


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_malformed_pictures_are_refused_and_the_server_lives(client: httpx.Client, shared_data: Path, step: int) -> None:
    files = sorted(path for path in (shared_data / "malformed").rglob("*") if path.is_file())[::step]
    assert len(files) > 20
    statuses = {path.name: client.post("/predict/parts", content=path.read_bytes()).status_code for path in files}
    # Some of the corpus decode after all; none may be a server error or hang up.
    assert {name: status for name, status in statuses.items() if status not in (200, 422)} == {}
    assert sum(status == 422 for status in statuses.values()) > 10
    assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_bodies_over_the_limit_are_413_announced_or_not(repository: Path, predictor: FakePredictor) -> None:
    settings = Settings(threads=1, max_request_bytes=1000)
    with run_server(repository, predictor, settings) as url, httpx.Client(base_url=url, trust_env=False) as client:
        check_problem(client.post("/predict/parts", content=b"x" * 1001), 413)
        check_problem(client.post("/predict/parts", content=(b"x" * 100 for _ in range(11))), 413)  # chunked: no length
        check_problem(client.post("/predict/parts", files={"image": b"x" * 2000}), 413)
        assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_more_pixels_than_the_limit_are_422_before_decoding(repository: Path, predictor: FakePredictor) -> None:
    settings = Settings(threads=1, max_image_pixels=1000)
    with run_server(repository, predictor, settings) as url:
        answer = httpx.post(f"{url}/predict/parts", content=make_png(50, 50), trust_env=False)
        check_problem(answer, 422)
        assert answer.json()["type"] == "urn:sightline:error:image-too-large"


def test_a_full_queue_is_503_at_once_and_the_admitted_are_answered(repository: Path, predictor: FakePredictor) -> None:
    predictor.gate.clear()
    with run_server(repository, predictor, Settings(threads=1), max_waiting=1) as url, ThreadPoolExecutor(2) as pool:
        health = httpx.Client(base_url=url, trust_env=False, timeout=30)
        admitted = [
            pool.submit(httpx.post, f"{url}/predict/parts", content=make_png(), trust_env=False, timeout=30) for _ in "ab"
        ]
        assert predictor.entered.acquire(timeout=20)
        while health.get("/health").json()["requests"] < 2:
            pass
        refused = health.post("/predict/parts", content=make_png())
        check_problem(refused, 503)
        assert int(refused.headers["retry-after"]) >= 1
        predictor.gate.set()
        assert [future.result().status_code for future in admitted] == [200, 200]
        assert health.post("/predict/parts", content=make_png()).status_code == 200
        health.close()


def test_clients_that_hang_up_are_harmless(client: httpx.Client, server: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    for sent in (
        b"",
        b"POST /predict/parts HT",
        b"POST /predict/parts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\nabc",
    ):
        for _ in range(5):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(sent)
    while client.get("/health").json()["requests"]:
        pass
    assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_a_new_version_takes_over_and_a_broken_one_does_not(client: httpx.Client, repository: Path, tmp_path: Path) -> None:
    def ask_version() -> int:
        return int(client.post("/predict/parts", content=make_png()).json()["version"])

    assert ask_version() == 1
    deploy_artifact(write_artifact(tmp_path / "b", graph=b"other"), "parts", repository)
    assert ask_version() == 2
    deploy_artifact(write_artifact(tmp_path / "c", graph=b"broken"), "parts", repository)
    assert ask_version() == 2
    assert client.get("/deployments/parts").json()["failed_version"] == 3
    assert client.post("/deployments/parts/reload").json()["version"] == 2
    deploy_artifact(write_artifact(tmp_path / "d", graph=b"mended"), "parts", repository)
    assert client.post("/deployments/parts/reload").json()["version"] == 4


def test_a_deployment_made_or_removed_while_serving_is_seen(client: httpx.Client, repository: Path, tmp_path: Path) -> None:
    deploy_artifact(write_artifact(tmp_path / "b"), "second", repository)
    assert client.post("/predict/second", content=make_png()).status_code == 200
    remove_deployment("second", repository)
    check_problem(client.post("/predict/second", content=make_png()), 404)
    assert [d["name"] for d in client.get("/deployments").json()["deployments"]] == ["parts"]


def test_a_deployment_that_never_opened_is_503_and_hides_no_other(
    repository: Path, tmp_path: Path, predictor: FakePredictor
) -> None:
    deploy_artifact(write_artifact(tmp_path / "b", graph=b"broken"), "bad", repository)
    with run_server(repository, predictor) as url, httpx.Client(base_url=url, trust_env=False) as client:
        check_problem(client.post("/predict/bad", content=make_png()), 503)
        states = {d["name"]: d["state"] for d in client.get("/deployments").json()["deployments"]}
        assert states == {"bad": "failed", "parts": "ready"}
        assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_answers_of_many_clients_do_not_mix(client: httpx.Client) -> None:
    def ask(value: int) -> str:
        answer = client.post("/predict/parts", content=make_png(value=value))
        return str(answer.json()["annotations"][0]["category"])

    values = [0, 255] * 40
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, values)) == ["bright" if value else "dark" for value in values]


def test_a_defect_of_ours_is_500_without_a_traceback(repository: Path, predictor: FakePredictor) -> None:
    predictor.predict = None  # type: ignore[method-assign,assignment]
    with run_server(repository, predictor) as url:
        detail = check_problem(httpx.post(f"{url}/predict/parts", content=make_png(), trust_env=False), 500)
    assert "NoneType" not in detail


def test_a_foreign_host_name_is_refused(client: httpx.Client) -> None:
    check_problem(client.get("/health", headers={"host": "evil.example:8000"}), 400)
    assert client.get("/health", headers={"host": "localhost:1"}).status_code == 200


def test_the_page_and_its_files_are_served_with_a_strict_policy(client: httpx.Client) -> None:
    for path in ("/", "/page.js", "/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = client.get("/").text
    assert "style=" not in page and "onclick" not in page and "http" not in page


def test_an_unknown_path_or_method_says_what_is_served(client: httpx.Client) -> None:
    for answer, status in ((client.get("/nothing"), 404), (client.get("/predict/parts"), 405)):
        check_problem(answer, status)
        assert answer.request.url.path in answer.json()["detail"] and "POST /predict/NAME" in answer.json()["detail"]


def test_a_remote_address_needs_permission() -> None:
    with pytest.raises(InvalidInput, match="allow-remote"):
        open_listener("0.0.0.0", 0)
    open_listener("0.0.0.0", 0, allow_remote=True).close()


def test_a_taken_port_is_a_conflict() -> None:
    with open_listener("127.0.0.1", 0) as first, pytest.raises(Conflict, match="--port 0"):
        open_listener("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False), ("example", False)],
)
def test_loopback_addresses_are_told_apart(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(("host", "name"), [("a:1", "a"), ("LOCALHOST", "localhost"), ("[::1]:80", "::1"), ("", "")])
def test_the_port_is_stripped(host: str, name: str) -> None:
    assert strip_port(host) == name


def test_threads_of_the_server_end_with_it(repository: Path, predictor: FakePredictor) -> None:
    with run_server(repository, predictor) as url:
        httpx.post(f"{url}/predict/parts", content=make_png(), trust_env=False)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("predict")] == []
