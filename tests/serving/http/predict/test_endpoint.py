import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from http_fakes import Bench, make_endpoint, make_model
from http_server import connect, serve_app
from starlette.applications import Starlette
from waiting import wait_until

from sightline.core.errors import InvalidInput
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.guard import Guard
from sightline.serving.http.predict.endpoint import make_routes
from sightline.serving.http.predict.requests import FetchImage
from sightline.serving.http.refusals import EXCEPTION_HANDLERS
from sightline.serving.http.request_record import observe_work
from sightline.serving.inference.served_model import ServedModel

MAX_BYTES = 2_000_000


def make_png(width: int = 40, height: int = 20, value: int = 200) -> bytes:
    return bytes(cv2.imencode(".png", np.full((height, width, 3), value, np.uint8))[1])


def make_app(bench: Bench, fetch_image: FetchImage | None = None, edge: Edge | None = None) -> Guard:
    endpoint = make_endpoint(bench.service, MAX_BYTES, fetch_image, edge)
    return Guard(Starlette(routes=make_routes(endpoint), exception_handlers=EXCEPTION_HANDLERS))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(observers=[observe_work])
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Of a server that most tests share."""
    bench = Bench()
    edge = Edge(ConnectionLimits(max_body_bytes=MAX_BYTES))
    with (
        serve_app(make_app(bench), edge) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        yield client
    bench.close()


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
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["deployment", "version", "model_id", "image", "annotations", "timing_ms"]
    assert (body["deployment"], body["version"], body["model_id"]) == ("parts", 3, "m" * 64)
    assert body["image"] == {"width": 40, "height": 20}
    assert body["annotations"] == [
        {"category": "bright", "box_xyxy": [0.0, 0.0, 20.0, 20.0], "confidence": 0.5, "origin": "model"}
    ]
    assert set(body["timing_ms"]) == {"decode", "infer"}


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded", "image/jpeg"])
def test_the_picture_is_recognised_by_its_bytes_not_its_type(client: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert client.post("/predict/parts", content=make_png(), headers=headers).status_code == 200


def test_the_version_can_be_named(client: httpx.Client) -> None:
    assert client.post("/predict/parts?version=3", content=make_png()).status_code == 200
    assert "9" in check_problem(client.post("/predict/parts?version=9", content=make_png()), 404)


def test_a_form_of_several_files_is_answered_in_order(client: httpx.Client) -> None:
    values = [200, 3] * 10
    files = [("image", (f"{index}.png", make_png(40 + index, value=value))) for index, value in enumerate(values)]
    body = client.post("/predict/parts", files=files, data={"note": "x"}).json()
    assert list(body) == ["deployment", "version", "model_id", "pictures", "timing_ms"]
    assert [(p["name"], p["image"]["width"], p["annotations"][0]["category"]) for p in body["pictures"]] == [
        (f"{index}.png", 40 + index, "bright" if value > 127 else "dark") for index, value in enumerate(values)
    ]


def test_a_form_of_one_file_is_a_list_and_can_be_drawn(client: httpx.Client) -> None:
    files = {"image": ("ä.png", make_png())}
    assert [picture["name"] for picture in client.post("/predict/parts", files=files).json()["pictures"]] == ["ä.png"]
    assert client.post("/predict/parts?format=png", files=files).headers["content-type"] == "image/png"


def test_a_large_form_is_read_whole(client: httpx.Client) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    large = bytes(cv2.imencode(".png", noise)[1])
    assert len(large) > 256 * 1024
    pictures = client.post("/predict/parts", files=[("a", large), ("b", make_png())]).json()["pictures"]
    assert [picture["image"]["width"] for picture in pictures] == [300, 40]


def test_json_holds_one_picture_or_a_list(client: httpx.Client) -> None:
    encoded = base64.b64encode(make_png()).decode()
    assert client.post("/predict/parts", json={"image": encoded}).json()["image"] == {"width": 40, "height": 20}
    pictures = client.post("/predict/parts", json={"images": [encoded, encoded]}).json()["pictures"]
    assert [picture["name"] for picture in pictures] == ["image 0", "image 1"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        "{",
        '{"image": 3}',
        '{"image": "not base64!"}',
        '{"image": ""}',
        '{"images": []}',
        '{"image": "AA==", "images": []}',
        '{"img": "AA=="}',
        '{"image": null}',
        '"' + "x" * 1000,
        "[" * 10_000,
        "\xff",
    ],
)
def test_json_of_another_form_is_422(client: httpx.Client, body: str) -> None:
    headers = {"content-type": "application/json"}
    check_problem(client.post("/predict/parts", content=body.encode("latin-1"), headers=headers), 422)


def test_more_pictures_than_the_limit_are_refused(client: httpx.Client) -> None:
    assert "64" in check_problem(client.post("/predict/parts", json={"images": ["AA=="] * 65}), 422)
    check_problem(client.post("/predict/parts", files=[("f", b"x")] * 65), 400)
    check_problem(client.post("/predict/parts", files={"f": b"x"}, data={f"n{index}": "x" for index in range(17)}), 400)


def test_of_images_that_come_again_only_the_last_are_read(client: httpx.Client) -> None:
    encoded = base64.b64encode(make_png()).decode()
    body = '{"images": [5], "images": 5, "images": ["' + encoded + '"]}'
    answer = client.post("/predict/parts", content=body, headers={"Content-Type": "application/json"})
    assert len(answer.json()["pictures"]) == 1


def test_urls_are_refused_unless_allowed(client: httpx.Client, bench: Bench) -> None:
    assert "fetches no URLs" in check_problem(client.post("/predict/parts", json={"imageUrl": "http://example.org/a.png"}), 422)

    async def fetch(url: str) -> bytes:
        if "absent" in url:
            raise InvalidInput("could not be fetched")
        return make_png(7, 5)

    async def ask(url: str) -> httpx.Response:
        transport = httpx.ASGITransport(make_app(bench, fetch))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asker:
            return await asker.post("/predict/parts", json={"imageUrl": url})

    assert asyncio.run(ask("http://example.org/a.png")).json()["image"] == {"width": 7, "height": 5}
    check_problem(asyncio.run(ask("http://example.org/absent")), 422)


def test_fetched_pictures_count_with_all_bodies_until_they_are_answered() -> None:
    edge, content = Edge(ConnectionLimits(max_buffered_bytes=1000)), make_png(7, 5)
    held: list[int] = []
    bench = Bench(observers=[lambda work, facts: held.append(edge.buffered_bytes)])

    async def fetch(url: str) -> bytes:
        return content if "small" in url else bytes(2000)

    async def ask(url: str) -> httpx.Response:
        transport = httpx.ASGITransport(make_app(bench, fetch, edge))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asker:
            return await asker.post("/predict/parts", json={"imageUrl": url})

    assert asyncio.run(ask("http://example.org/small")).status_code == 200
    assert "too large together" in check_problem(asyncio.run(ask("http://example.org/large")), 503)
    assert held == [len(content)] and edge.buffered_bytes == 0
    bench.close()


def test_pictures_that_stood_in_json_count_beside_it_until_they_are_answered() -> None:
    edge, content = Edge(ConnectionLimits(max_buffered_bytes=1000)), make_png(7, 5)
    held: list[int] = []
    bench = Bench(observers=[lambda work, facts: held.append(edge.buffered_bytes)])

    async def ask(**body: object) -> httpx.Response:
        transport = httpx.ASGITransport(make_app(bench, edge=edge))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asker:
            return await asker.post("/predict/parts", json=body)

    text = base64.b64encode(content).decode()
    assert asyncio.run(ask(image=text)).status_code == 200
    assert asyncio.run(ask(images=[text, text])).status_code == 200
    assert "too large together" in check_problem(asyncio.run(ask(image=base64.b64encode(bytes(2000)).decode())), 503)
    assert held == [len(content), 2 * len(content), 2 * len(content)] and edge.buffered_bytes == 0
    bench.close()


def test_the_confidence_reaches_the_decode_head(client: httpx.Client) -> None:
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


def test_masks_are_answered_in_every_form(client: httpx.Client) -> None:
    def ask(query: str) -> httpx.Response:
        return client.post(f"/predict/road?{query}", content=make_png())

    rle = ask("mask=rle").json()["annotations"][0]["mask"]
    assert (rle["height"], rle["width"]) == (20, 40)
    for annotation in ask("mask=polygons").json()["annotations"]:
        assert "mask" not in annotation
        left, right = (0, 20) if annotation["category"] == "bright" else (20, 40)
        assert min(annotation["polygons"][0][::2]) == pytest.approx(left, abs=1)
        assert max(annotation["polygons"][0][::2]) == pytest.approx(right, abs=1)
    for annotation in ask("mask=png").json()["annotations"]:
        mask = cv2.imdecode(np.frombuffer(base64.b64decode(annotation["mask_png"]), np.uint8), cv2.IMREAD_UNCHANGED)
        inside, outside = (mask[:, :20], mask[:, 20:]) if annotation["category"] == "bright" else (mask[:, 20:], mask[:, :20])
        assert (inside == 255).all() and (outside == 0).all()
    label_map = cv2.imdecode(np.frombuffer(ask("format=mask").content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (label_map[:, :20] == 1).all() and (label_map[:, 20:] == 0).all()  # "bright" is category 1, "dark" 0


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_of_every_kind_are_answered_like_plain_ones(
    client: httpx.Client, encoding: str, compress: Any
) -> None:
    picture = make_png()
    in_json = json.dumps({"image": base64.b64encode(picture).decode()}).encode()
    form = httpx.Request("POST", "http://a", files={"a": ("a.png", picture)})
    for body, content_type in (
        (picture, "image/png"),
        (in_json, "application/json"),
        (form.read(), form.headers["content-type"]),
    ):
        headers = {"Content-Type": content_type}
        plain = client.post("/predict/parts", content=body, headers=headers).json()
        answer = client.post(
            "/predict/parts", content=compress(body), headers={**headers, "Content-Encoding": encoding.upper()}
        )
        assert answer.status_code == 200, answer.text
        one, other = (read["pictures"][0] if "pictures" in read else read for read in (plain, answer.json()))
        assert one["annotations"] == other["annotations"] != []


@pytest.mark.parametrize(
    ("content", "encoding", "status", "words"),
    [
        (b"x", "br", 415, "expected Content-Encoding gzip or deflate, got 'br'"),
        (gzip.compress(gzip.compress(b"x")), "gzip, gzip", 415, "got 'gzip, gzip'"),
        (make_png(), "gzip", 422, "the body is no gzip"),
        (gzip.compress(make_png())[:-9], "gzip", 422, "cut off"),
        (gzip.compress(bytes(MAX_BYTES + 1)), "gzip", 413, str(MAX_BYTES)),
        (gzip.compress(b""), "gzip", 422, "the body is empty"),
    ],
    ids=["unknown", "twice", "not compressed", "cut off", "too large", "empty"],
)
def test_compressed_bodies_that_cannot_be_undone_are_refused(
    client: httpx.Client, content: bytes, encoding: str, status: int, words: str
) -> None:
    answer = client.post("/predict/parts", content=content, headers={"Content-Encoding": encoding})
    assert words in check_problem(answer, status)


def test_an_unknown_model_is_404(client: httpx.Client) -> None:
    check_problem(client.post("/predict/nothing", content=make_png()), 404)
    check_problem(client.post("/predict/..%252f..%252fetc", content=make_png()), 404)
    check_problem(client.get("/predict/parts"), 405)


@pytest.mark.parametrize("content", [b"", b"no picture", make_png()[:40]])
def test_bytes_that_are_no_picture_are_422(client: httpx.Client, content: bytes) -> None:
    check_problem(client.post("/predict/parts", content=content), 422)
    if content:
        check_problem(client.post("/predict/parts", files=[("a", make_png()), ("b", content)]), 422)


def test_other_types_are_415(client: httpx.Client) -> None:
    check_problem(client.post("/predict/parts", content=b"x", headers={"content-type": "text/plain"}), 415)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=abc", b""),
        ("multipart/form-data; boundary=abc", b"--abc\r\nnonsense"),
        ("multipart/form-data; boundary=" + "a" * 1000, b"--abc\r\nnonsense"),
        ("multipart/form-data; boundary=abc", b'--abc\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nx'),
        ("multipart/form-data; boundary=abc", b"--abc\r\n" + b"A: b\r\n" * 50 + b"\r\nx\r\n--abc--\r\n"),
    ],
)
def test_broken_forms_are_400(client: httpx.Client, content_type: str, body: bytes) -> None:
    check_problem(client.post("/predict/parts", content=body, headers={"content-type": content_type}), 400)


def test_a_form_without_files_is_422(client: httpx.Client) -> None:
    body = b'--abc\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--abc--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=abc"}
    assert "no file" in check_problem(client.post("/predict/parts", content=body, headers=headers), 422)


def test_a_body_over_the_limit_is_413_on_any_server(bench: Bench) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(bench))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asker:
            return await asker.post("/predict/parts", content=b"x" * (MAX_BYTES + 1))

    check_problem(asyncio.run(ask()), 413)


def test_more_pixels_than_the_limit_are_422_before_decoding() -> None:
    bench = Bench(make_model(max_pixels=1000))
    with serve_app(make_app(bench)) as port:
        answer = httpx.post(f"http://127.0.0.1:{port}/predict/parts", content=make_png(50, 50), trust_env=False, timeout=60)
        check_problem(answer, 422)
        assert answer.json()["type"] == "urn:sightline:error:image-too-large"
    bench.close()


async def start(client: httpx.AsyncClient, bench: Bench, count: int) -> list[asyncio.Task[httpx.Response]]:
    """Requests that wait in the queue."""
    bench.scheduler.is_held = True
    tasks = [asyncio.create_task(client.post("/predict/parts", content=make_png())) for _ in range(count)]
    while len(bench.scheduler.waiting) < count:
        await asyncio.sleep(0)
    return tasks


def test_a_full_queue_is_503_with_its_own_time_to_wait(bench: Bench) -> None:
    async def scenario() -> None:
        transport = httpx.ASGITransport(make_app(bench))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asker:
            admitted = await start(asker, bench, 2)
            refused = await asker.post("/predict/parts", content=make_png())
            check_problem(refused, 503)
            assert refused.headers["retry-after"] == "3"  # 2.5 s, rounded up
            bench.scheduler.let_go()
            assert [(await task).status_code for task in admitted] == [200, 200]

    asyncio.run(scenario())


def test_a_client_that_hangs_up_takes_its_work_out_of_the_queue(bench: Bench) -> None:
    bench.scheduler.is_held = True
    with (
        serve_app(make_app(bench)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        with connect(port) as leaving:
            content = make_png()
            leaving.sendall(b"POST /predict/parts HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
            wait_until(lambda: len(bench.scheduler.waiting) == 1)
        wait_until(lambda: len(bench.scheduler.cancelled) == 1)
        assert bench.scheduler.cancelled[0].is_cancelled
        wait_until(lambda: bench.host.held == 0)
        bench.scheduler.let_go()
        assert client.post("/predict/parts", content=make_png(), timeout=30).status_code == 200


def test_one_version_answers_a_list_that_is_asked_across_a_swap() -> None:
    answered: list[int] = []
    bench = Bench(observers=[lambda work, facts: answered.append(facts.version)])
    old, new = bench.host.models["parts"], make_model(version=4)

    def acquire(name: str, version: str = "") -> ServedModel:
        bench.host.held += 1
        bench.host.models["parts"] = new  # whoever comes next
        return old if bench.host.held == 1 and not answered else new

    bench.host.acquire = acquire  # type: ignore[method-assign]
    with serve_app(make_app(bench), Edge()) as port:
        files = [("file", (f"{number}.png", make_png())) for number in range(12)]
        answer = httpx.post(f"http://127.0.0.1:{port}/predict/parts", files=files, timeout=20)
    bench.close()
    assert answer.json()["version"] == 3 and answered == [3] * 12
    assert bench.host.held == 0


def test_the_rest_of_a_list_is_dropped_when_one_fails(bench: Bench) -> None:
    async def scenario() -> Any:
        transport = httpx.ASGITransport(make_app(bench))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asker:
            bench.scheduler.is_held = True
            return await asker.post("/predict/parts", files=[("f", make_png())] * 8)

    assert asyncio.run(scenario()).status_code == 503
    assert len(bench.scheduler.cancelled) == 2  # the two that waited when the third was refused
    assert bench.host.held == 0


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_malformed_files_are_refused_and_the_server_lives(client: httpx.Client, shared_data: Any, step: int) -> None:
    files = sorted(path for path in (shared_data / "malformed").rglob("*") if path.is_file())[::step]
    assert len(files) > 50
    statuses = {}
    for path in files:
        content = path.read_bytes()
        for way, sent in (("raw", {"content": content}), ("form", {"files": {"f": content}})):
            answer = client.post("/predict/parts", **sent)  # type: ignore[arg-type]
            statuses[path.name, way] = answer.status_code
            assert str(shared_data) not in answer.text and ".py" not in answer.text
        headers = {"content-type": "application/json"}
        assert client.post("/predict/parts", content=content, headers=headers).status_code in (413, 422)
        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert client.post("/predict/parts", content=content, headers=headers).status_code in (400, 413, 422)
    # Some of the corpus decode after all; none may be a server error or hang up.
    assert {name: status for name, status in statuses.items() if status not in (200, 413, 422)} == {}
    assert sum(status == 422 for status in statuses.values()) > 20
    assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_unusual_pictures_are_answered_or_refused_in_one_line(client: httpx.Client, shared_data: Any) -> None:
    files = sorted(path for path in (shared_data / "unusual-images").rglob("*") if path.is_file())
    assert len(files) > 10
    answered = 0
    for path in files:
        answer = client.post("/predict/parts", content=path.read_bytes())
        assert answer.status_code in (200, 413, 422), path
        answered += answer.status_code == 200
        if answer.status_code == 422:
            assert "\n" not in json.loads(answer.content)["detail"]
            assert str(shared_data) not in answer.text
    assert answered > 10


def test_answers_of_many_clients_do_not_mix(client: httpx.Client) -> None:
    def ask(value: int) -> str:
        answer = client.post("/predict/parts", content=make_png(value=value))
        return str(answer.json()["annotations"][0]["category"])

    values = [0, 255] * 40
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, values)) == ["bright" if value else "dark" for value in values]
