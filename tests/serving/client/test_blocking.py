"""Client and AsyncClient over real connections, to servers that answer and break as each test wants."""

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from scripted_server import HANG_UP, Asked, serve_script, write_answer

import sightline
from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, Unreachable
from sightline.imaging.files.reading import encode_image
from sightline.serving.client.asynchronous import AsyncClient
from sightline.serving.client.blocking import Client
from sightline.serving.client.calls import ModelState, TensorMetadata

BRIGHT, DARK = (np.full((8, 8, 3), value, np.uint8) for value in (255, 0))
FOUND = b'{"annotations":[{"category":"dog","confidence":0.5,"origin":"model"}]}'
Ask = Callable[[str, Callable[[Any], Any]], Any]


def ask_sync(url: str, question: Callable[[Any], Any], **settings: Any) -> Any:
    with Client(url, **settings) as client:
        return question(client)


def ask_async(url: str, question: Callable[[Any], Any], **settings: Any) -> Any:
    async def main() -> Any:
        async with AsyncClient(url, **settings) as client:
            return await question(client)

    return asyncio.run(main())


BOTH = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])


def script(answers: dict[str, bytes]) -> Callable[[Asked], bytes]:
    """Answers by `METHOD path`."""
    return lambda asked: answers.get(
        f"{asked.method} {asked.path.partition('?')[0]}", write_answer(404, b'{"error":"unknown"}')
    )


def classify(asked: Asked) -> bytes:
    """Answers about `parts` as a server does: one box, `bright` or `dark` by the picture's mean; a query is obeyed."""
    if not asked.path.startswith("/predict/parts?"):
        return write_answer(404, b'{"detail":"no model \'other\' is loaded"}')
    image = cv2.imdecode(np.frombuffer(asked.body, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return write_answer(422, b'{"detail":"image is no picture"}')
    if "format=png" in asked.path:
        return write_answer(200, encode_image(image, "png"))
    box = [0.0, 0.0, image.shape[1] / 2, float(image.shape[0])]
    found = {"category": "bright" if image.mean() > 127 else "dark", "box_xyxy": box, "confidence": 0.5, "origin": "model"}
    return write_answer(200, json.dumps({"annotations": [] if "confidence=0.9" in asked.path else [found]}).encode())


@pytest.fixture
def server() -> Iterator[str]:
    """Hides the one of the package: these tests need no model."""
    with serve_script(classify) as running:
        yield running.url


def test_they_are_part_of_the_package() -> None:
    assert sightline.Client is Client and sightline.AsyncClient is AsyncClient


def test_both_are_made_alike_with_what_is_documented() -> None:
    parameters, of_async = (inspect.signature(kind).parameters for kind in (Client, AsyncClient))
    assert parameters == of_async
    assert all(name in str(inspect.getdoc(Client)) for name in parameters)
    public = {name.removeprefix("a") for kind in (Client, AsyncClient) for name in vars(kind) if not name.startswith("_")}
    assert "send" not in public


@BOTH
def test_pictures_of_every_kind_one_or_many(ask: Ask, server: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_image(BRIGHT, "png"))
    one = ask(server, lambda client: client.predict("parts", path))
    assert [found.category for found in one] == ["bright"] and one[0].box_xyxy == (0.0, 0.0, 4.0, 8.0)
    for pictures in ([path, str(path), path.read_bytes(), bytearray(path.read_bytes()), BRIGHT, DARK], [DARK], []):
        many = ask(server, lambda client, pictures=pictures: client.predict("parts", pictures))
        assert [[found.category for found in answer] for answer in many] == [
            ["dark"] if picture is DARK else ["bright"] for picture in pictures
        ]
    assert ask(server, lambda client: client.predict("parts", DARK, confidence_threshold=0.9)) == []
    assert ask(server, lambda client: client.draw("parts", DARK)).startswith(b"\x89PNG")


@BOTH
def test_a_version_can_be_asked_for(ask: Ask) -> None:
    with serve_script(lambda _: write_answer(200, FOUND)) as other:
        ask(other.url, lambda client: client.predict("m", b"x", version=3))
        ask(other.url, lambda client: client.predict("m", [b"x"], version="2"))
        ask(other.url, lambda client: client.draw("m", b"x", version=0))
        ask(other.url, lambda client: client.predict("m", b"x"))
    wanted = ["format=json&version=3", "format=json&version=2", "format=png&version=0", "format=json"]
    assert [asked.path for asked in other.asked] == [f"/predict/m?{query}" for query in wanted]


@BOTH
def test_errors_are_those_of_the_server(ask: Ask, server: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'other'"):
        ask(server, lambda client: client.predict("other", DARK))
    with pytest.raises(InvalidInput, match="image is no picture"):
        ask(server, lambda client: client.predict("parts", b"no picture"))
    (path := tmp_path / "a.png").write_bytes(encode_image(BRIGHT, "png"))
    with pytest.raises(NotFound, match="no picture"):
        ask(server, lambda client: client.predict("parts", [tmp_path / "absent.jpg"] * 3))
    with pytest.raises(InvalidInput, match="got int"):
        ask(server, lambda client: client.predict("parts", [3]))
    for threshold in (1.5, float("nan")):
        with pytest.raises(InvalidInput, match=f"threshold in 0..1, got {threshold}; 0.5 is"):
            ask(server, lambda client, threshold=threshold: client.predict("parts", [DARK], threshold))
    with path.open("rb") as file, pytest.raises(InvalidInput, match="or a list of them, got BufferedReader"):
        ask(server, lambda client: client.predict("parts", file))


@BOTH
@pytest.mark.parametrize(
    ("answer", "head", "words"),
    [
        (write_answer(200, b"abcd", Content_Encoding="gzip"), InvalidInput, "is the URL right"),
        (write_answer(503, b"", Retry_After="Wed, 21 Oct 2015 07:28:00 +99999999999999999999"), Exhausted, "answered 503"),
        (write_answer(503, b"", Retry_After="Wed, 21 Oct 0001 00:00:00 +2300"), Exhausted, "answered 503"),
        (write_answer(500, b"[" * 200_000), Exhausted, "answered 500"),
        (write_answer(200, b'{"name":' + b"[" * 200_000), InvalidInput, "is the URL right"),
        (write_answer(302, b"", Location="http://["), Exhausted, "answered 302"),
    ],
)
def test_no_answer_raises_an_error_that_is_not_ours(ask: Ask, answer: bytes, head: type[Exception], words: str) -> None:
    with serve_script(lambda _: answer) as other, pytest.raises(head, match=words):
        ask(other.url, lambda client: client.server_metadata(), retries=0)


@BOTH
def test_a_name_that_no_path_can_hold_is_refused(ask: Ask, server: str) -> None:
    for name in ("x" * 70_000, "\udc80"):
        with pytest.raises(InvalidInput):
            ask(server, lambda client, name=name: client.metadata(name))
        with pytest.raises(InvalidInput):
            ask(server, lambda client, name=name: client.predict(name, b"x"))


@BOTH
def test_a_closed_client_says_so(ask: Ask, server: str) -> None:
    def close_first(client: Any) -> Any:
        if isinstance(client, Client):
            client.close()
            return client.predict("parts", DARK)

        async def ask_closed() -> Any:
            await client.aclose()
            return await client.predict("parts", DARK)

        return ask_closed()

    with pytest.raises(Conflict, match="this client is closed"):
        ask(server, close_first)


@BOTH
def test_an_error_that_no_closing_explains_is_raised_as_it_is(ask: Ask, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("nobody thought of this")

    for kind in (httpx.Client, httpx.AsyncClient):
        monkeypatch.setattr(kind, "request", fail)
    with pytest.raises(RuntimeError, match="nobody thought of this"):
        ask(server, lambda client: client.server_metadata())


@pytest.mark.parametrize(
    "url",
    ["http://bob:word@127.0.0.1:8000", "http://bob:word@127.0.0.1:none", "bob:word@here", "http://a/?k=word", "http://a/#word"],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_secrets_in_a_url_are_refused_and_not_repeated(kind: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(InvalidInput, match=r"without user name.*api_key") as refused:
        kind(url, "sk.key")
    assert "word" not in str(refused.value).replace("password", "") and len(str(refused.value).splitlines()) == 1


@BOTH
def test_a_wrong_url_is_one_line(ask: Ask) -> None:
    for url in ("not a url", "ftp://host", "http://", "http://[::1", f"http://{'a' * 64}:80", "http://a..b", "http://a:65536"):
        with pytest.raises(InvalidInput, match="expected a URL like") as refused:
            ask(url, lambda client: client.server_metadata())
        assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(Unreachable, match="sightline serve"):
        ask("http://127.0.0.1:9", lambda client: client.server_metadata(), retries=0)
    with serve_script(lambda _: write_answer(200, b"<html>")) as other, pytest.raises(InvalidInput, match="is the URL right"):
        ask(other.url, lambda client: client.predict("m", b"x"))


@BOTH
def test_a_list_keeps_its_order_with_several_requests_on_their_way(ask: Ask) -> None:
    """The first four answers come in reverse: they are all on their way at once, or this would wait for ever."""
    turns = [threading.Event() for _ in range(4)]
    turns[3].set()

    def answer(asked: Asked) -> bytes:
        number = int(asked.body)
        if number < 4:
            assert turns[number].wait(20)
            if number:
                turns[number - 1].set()
        return write_answer(200, json.dumps({"annotations": [{"category": str(number), "origin": "model"}]}).encode())

    with serve_script(answer) as server:
        found = ask(server.url, lambda client: client.predict("m", [b"%d" % number for number in range(10)]), in_flight=4)
    assert [answer[0].category for answer in found] == [str(number) for number in range(10)]
    assert server.connections <= 4  # kept alive and used again


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timeout_s", (0, -1.0, float("nan"), "60")),
        ("retries", (-1, 2.5, "3", None)),
        ("in_flight", (0, -3, 1.5, None)),
        ("ca_file", (5, b"ca.pem")),
        ("client_certificate", (5,)),
        ("api_key", (5, b"k3y")),
    ],
)
def test_a_wrong_setting_is_named_as_it_is_given(
    kind: type[Client] | type[AsyncClient], name: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        with pytest.raises(InvalidInput, match="API key" if name == "api_key" else f"`{name}`"):
            kind("http://127.0.0.1:9", **{name: value})
    for number in (0, -1, 1.5):
        with pytest.raises(InvalidInput, match="`in_flight`"):
            kind("http://127.0.0.1:9").predict_stream("m", [b"x"], in_flight=number)  # type: ignore[arg-type]


@BOTH
@pytest.mark.parametrize("timeout_s", [None, float("inf"), 1e10, np.float32(5)])
def test_a_timeout_may_be_as_long_as_one_likes(ask: Ask, timeout_s: float | None) -> None:
    with serve_script(lambda _: write_answer(200, FOUND)) as server:
        found = ask(server.url, lambda client: client.predict("m", [b"x"]), timeout_s=timeout_s, retries=np.int64(1))
    assert found[0][0].category == "dog"


@BOTH
def test_the_key_goes_with_every_request(ask: Ask) -> None:
    with serve_script(script({"POST /predict/m": write_answer(200, FOUND), "GET /v2/health/ready": write_answer()})) as server:
        ask(server.url, lambda client: client.predict("m", b"x"), api_key="k3y")
        assert ask(server.url, lambda client: client.ready(), api_key="k3y")
        assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer k3y"}
        ask(server.url, lambda client: client.predict("m", b"x"))
        assert "authorization" not in server.asked[-1].headers


def close_at_the_second(asked: Asked) -> bytes:
    """Close each connection as the second request on it arrives, as a server with a short idle time does."""
    return HANG_UP if asked.on_connection == 1 else write_answer(200, FOUND)


def test_a_question_goes_again_when_a_kept_connection_broke_but_loading_does_not() -> None:
    with serve_script(close_at_the_second) as server, Client(server.url) as client:
        assert [client.predict("m", b"x")[0].category for _ in range(3)] == ["dog"] * 3
        assert len(server.asked) == 5 and server.connections == 3
    with serve_script(close_at_the_second) as server, Client(server.url) as client:
        client.load("m")
        with pytest.raises(Exhausted, match="no answer from"):
            client.load("m")
        assert len(server.asked) == 2


def test_so_it_is_for_the_async_client() -> None:
    async def main(url: str) -> None:
        async with AsyncClient(url) as client:
            assert [(await client.predict("m", b"x"))[0].category for _ in range(3)] == ["dog"] * 3
        async with AsyncClient(url) as client:
            await client.load("m")
            with pytest.raises(Exhausted, match="no answer from"):
                await client.load("m")

    with serve_script(close_at_the_second) as server:
        asyncio.run(main(server.url))
    assert [asked.path for asked in server.asked] == ["/predict/m?format=json"] * 5 + ["/v2/repository/models/m/load"] * 2


@BOTH
def test_a_full_queue_is_asked_again_after_the_time_it_says(ask: Ask) -> None:
    waits: list[float] = []

    def predict(client: Any) -> Any:
        client._sleep = sleep_async if ask is ask_async else waits.append
        return client.predict("m", b"x")

    async def sleep_async(seconds: float) -> None:
        waits.append(seconds)

    busy = write_answer(503, b'{"detail":"the queue is full"}', Retry_After="1")
    with serve_script(lambda asked: busy if asked.number < 2 else write_answer(200, FOUND)) as server:
        assert len(ask(server.url, predict)) == 1
    assert len(waits) == 2 and all(1.0 <= wait_s < 1.2 for wait_s in waits)
    with serve_script(lambda _: busy) as server:
        with pytest.raises(Exhausted, match="the queue is full") as refused:
            ask(server.url, predict)
        assert refused.value.retry_after_s == 1.0
        assert len(server.asked) == 4  # once, and three retries
    busy = write_answer(503, b'{"detail":"the queue is full"}', Retry_After="30")
    with serve_script(lambda _: busy) as server:
        with pytest.raises(Exhausted, match="the queue is full"):
            ask(server.url, predict, timeout_s=20.0)
        assert len(server.asked) == 1  # half a minute later would be too late


@BOTH
def test_a_time_out_is_not_asked_again(ask: Ask) -> None:
    gate = threading.Event()

    def hold(asked: Asked) -> bytes:
        gate.wait(20)
        return HANG_UP

    with serve_script(hold) as server:
        for timeout_s in (0.1, 2.0, 20.0):  # on a busy machine the first may pass before anything is sent
            with pytest.raises(Exhausted, match="did not answer in time"):
                ask(server.url, lambda client: client.predict("m", b"x"), timeout_s=timeout_s)
            if server.asked:
                break
        gate.set()
    assert len(server.asked) == 1


@BOTH
def test_the_repository_is_listed_loaded_and_unloaded(ask: Ask) -> None:
    index = b'[{"name":"m","version":"2","state":"READY","reason":""},{"name":"n"}]'
    answers = {
        "POST /v2/repository/index": write_answer(200, index),
        "POST /v2/repository/models/m/load": write_answer(200, b""),
        "POST /v2/repository/models/m/unload": write_answer(200, b""),
        "POST /v2/repository/models/n/load": write_answer(409, b'{"error":"explicit model load / unload is not allowed"}'),
    }
    with serve_script(script(answers)) as server:
        listed = ask(server.url, lambda client: client.models())
        assert listed == [ModelState(name="m", version="2", state="READY"), ModelState(name="n")]
        ask(server.url, lambda client: client.load("m", {"max_batch_size": 4}))
        assert json.loads(json.loads(server.asked[-1].body)["parameters"]["config"]) == {"max_batch_size": 4}
        ask(server.url, lambda client: client.unload("m", with_dependents=True))
        assert json.loads(server.asked[-1].body) == {"parameters": {"unload_dependents": True}}
        with pytest.raises(Conflict, match="not allowed"):
            ask(server.url, lambda client: client.load("n"))


@BOTH
def test_metadata_and_readiness(ask: Ask) -> None:
    model = (
        b'{"name":"m","versions":["1"],"platform":"x","inputs":[{"name":"i","datatype":"FP32","shape":[-1,3]}],"outputs":[]}'
    )
    answers = {
        "GET /v2": write_answer(200, b'{"name":"sightline","version":"1","extensions":["binary_tensor_data"]}'),
        "GET /v2/models/m": write_answer(200, model),
        "GET /v2/health/ready": write_answer(),
        "GET /v2/models/m/versions/1/ready": write_answer(),
        "GET /v2/models/closed/ready": write_answer(401, b'{"error":"no key"}'),
    }
    with serve_script(script(answers)) as server:
        assert ask(server.url, lambda client: client.server_metadata()).extensions == ("binary_tensor_data",)
        assert ask(server.url, lambda client: client.metadata("m")).inputs == (
            TensorMetadata(name="i", datatype="FP32", shape=(-1, 3)),
        )
        assert ask(server.url, lambda client: client.ready())
        assert ask(server.url, lambda client: client.ready("m", "1"))
        assert not ask(server.url, lambda client: client.ready("absent"))
        with pytest.raises(InvalidInput, match="no key"):
            ask(server.url, lambda client: client.ready("closed"))
    assert not ask(server.url, lambda client: client.ready(), retries=0)


@BOTH
def test_tensors_go_and_come_as_bytes(ask: Ask) -> None:
    """The server doubles the little-endian FP32 it is sent."""

    def answer(asked: Asked) -> bytes:
        size = int(asked.headers["inference-header-content-length"])
        (tensor,) = json.loads(asked.body[:size])["inputs"]
        doubled = (np.frombuffer(asked.body[size:], "<f4") * 2).tobytes()
        output = {"name": "y", "shape": tensor["shape"], "datatype": "FP32", "parameters": {"binary_data_size": len(doubled)}}
        head = json.dumps({"model_name": "m", "outputs": [output]}).encode()
        return write_answer(200, head + doubled, Inference_Header_Content_Length=str(len(head)))

    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with serve_script(answer) as server:
        found = ask(server.url, lambda client: client.predict_raw("m", {"x": array}, version="3"))
    assert server.asked[0].path == "/v2/models/m/versions/3/infer"
    np.testing.assert_array_equal(found["y"], array * 2)


def test_threads_share_a_client(server: str) -> None:
    pictures = [BRIGHT, DARK] * 8
    results: dict[int, list[str]] = {}
    with Client(server) as client:

        def work(number: int) -> None:
            results[number] = [client.predict("parts", picture)[0].category for picture in pictures]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert results == {number: ["bright", "dark"] * 8 for number in range(4)}


def test_the_environment_s_proxy_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serve_script(lambda _: write_answer(200, FOUND)) as server, Client(server.url) as client:
        assert client.predict("m", b"x")[0].category == "dog"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_it_is_shown_with_its_server(kind: type[Client] | type[AsyncClient]) -> None:
    assert repr(kind("http://127.0.0.1:8000/", "key")) == f"{kind.__name__}('http://127.0.0.1:8000')"
