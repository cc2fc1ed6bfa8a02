"""`sightline predict --url`: several requests on their way, answers in order, the key of a variable."""

import json
import threading
from collections.abc import Callable, Container
from pathlib import Path

import msgspec
import pytest
from cli_fixtures import Run
from scripted_server import Asked, serve_script, write_answer

from sightline.core.manifests import InputSpec

FACTS = {
    "state": "ready",
    "task": "classification",
    "categories": ["a"],
    "input": msgspec.to_builtins(InputSpec(width=8, height=8)),
    "device": "cpu",
    "engine": "openvino",
    "precision": "int8",
    "something_new": 1,
}
PNG = bytes.fromhex(  # one gray pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6368000000820081dd436af40000000049454e44ae426082"
)


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Files that end with their number, two digits."""
    files = [folder / f"{number:02}.png" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(PNG + b"%02d" % number)
    return files


def refuse(numbers: Container[int], status: int, detail: str) -> Callable[[Asked], bytes]:
    """A server that finds nothing, and answers these pictures with a status."""

    def answer(asked: Asked) -> bytes:
        if asked.method == "GET":
            return write_answer(200, json.dumps(FACTS).encode())
        if int(asked.body[-2:]) in numbers:
            return write_answer(status, json.dumps({"detail": detail}).encode())
        return write_answer(200, b'{"annotations":[]}')

    return answer


def test_several_requests_are_on_their_way_and_answers_keep_their_order(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two answers come only when both have been asked, the second first."""
    monkeypatch.setenv("A_KEY", "k3y")
    second_is_answered = threading.Event()
    files = write_pictures(tmp_path, 6)

    def answer(asked: Asked) -> bytes:
        if asked.method == "GET":
            return write_answer(200, json.dumps(FACTS).encode())
        number = int(asked.body[-2:])
        if number == 0:
            assert second_is_answered.wait(20)
        if number == 1:
            second_is_answered.set()
        found = {"category": "a", "confidence": number / 10, "origin": "model"}
        return write_answer(200, json.dumps({"annotations": [found]}).encode())

    with serve_script(answer) as server:
        ran = run("predict", "parts", *files, "--url", server.url, "--api-key-env", "A_KEY")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert [line.rpartition("/")[2] for line in lines] == [f"{number:02}.png: a 0.{number}0" for number in range(6)]
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer k3y"}


@pytest.mark.parametrize("status", [401, 403])
def test_access_that_is_lost_on_the_way_ends_the_run(run: Run, tmp_path: Path, status: int) -> None:
    """The key goes after two pictures of fifty: the first two are answered, and the rest is not asked about one by one."""
    files = write_pictures(tmp_path, 50)
    with serve_script(refuse(range(2, 50), status, "this API key is not known")) as server:
        ran = run("predict", "parts", *files, "--url", server.url, "--jsonl", tmp_path / "all.jsonl")
    assert ran.code == 2
    assert [line.rpartition("/")[2] for line in ran.out.splitlines()] == ["00.png: nothing found", "01.png: nothing found"]
    assert len(ran.err.splitlines()) == 1 and "this API key is not known" in ran.err and "--api-key-env" in ran.err
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 2
    assert len(server.asked) < 20


@pytest.mark.parametrize("status", [413, 415, 422])
def test_a_picture_that_the_server_does_not_take_is_left_out(run: Run, tmp_path: Path, status: int) -> None:
    files = write_pictures(tmp_path, 4)
    with serve_script(refuse([1], status, "not this one")) as server:
        ran = run("predict", "parts", *files, "--url", server.url)
    assert ran.code == 2 and "1 of 4 could not be read" in ran.err, ran.err
    assert len(ran.out.splitlines()) == 3 and "not read" in ran.err and "not this one" in ran.err


def test_a_key_that_is_refused_and_one_that_is_not_set_are_one_line(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    with serve_script(lambda _: write_answer(401, b'{"detail":"this server wants a key"}')) as server:
        ran = run("predict", "parts", picture, "--url", server.url)
        assert ran.code == 2 and "--api-key-env" in ran.err and len(ran.err.splitlines()) == 1
    ran = run("predict", "parts", picture, "--url", "http://127.0.0.1:9", "--api-key-env", "NOT_SET_ANYWHERE")
    assert ran.code == 3 and "NOT_SET_ANYWHERE" in ran.err and len(ran.err.splitlines()) == 1
