import asyncio
import io
import json
import os
import shutil
import signal
import socket
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from platform_data import make_dataset, paint
from platform_server import Running, run_app
from serving_fakes import write_brightness_artifact
from starlette.testclient import TestClient
from waiting import wait_until

from sightline.api import uploads
from sightline.api.server import make_platform, open_parts
from sightline.core.workspace import Workspace
from sightline.data.versions import open_version
from sightline.data.video.containers import VIDEO_SUFFIXES
from sightline.imaging.files.reading import encode_image
from sightline.serving.http.connections.exchange import WHOLE_BYTES
from sightline.serving.process import listening


class DiskUsage(NamedTuple):
    free: int


PICTURES = [(f"{number}.png", encode_image(paint(number), "png")) for number in range(10)]


def upload(api: TestClient | httpx.Client, files: list[tuple[str, bytes]], url: str = "", **fields: str) -> Any:
    return api.post(f"{url}/v1/datasets", data=fields, files=[("files", file) for file in files])


def zip_up(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def list_left(workspace: Workspace) -> list[str]:
    return [path.name for path in workspace.root.iterdir() if path.name.startswith(uploads.PREFIX)]


def test_pictures_become_a_dataset_to_label(api: TestClient, workspace: Workspace) -> None:
    answer = upload(api, PICTURES, name="mine", categories="dent\nscratch\n")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["dataset"] == api.get("/v1/datasets/mine").json()
    assert made["dataset"]["states"] == {"labelled": 0, "proposed": 0, "unlabelled": 10}
    assert [category["name"] for category in made["dataset"]["categories"]] == ["dent", "scratch"]
    assert made["report"]["kept"]["image"] == 10 and made["report"]["clean"]
    version = open_version(workspace.find("datasets", "mine"))
    assert [version.read_bytes(item) for item in version.items()] == [content for _, content in PICTURES]
    assert list_left(workspace) == []


def test_an_archive_becomes_what_an_import_makes_of_it(api: TestClient, workspace: Workspace) -> None:
    labels = {
        "images": [{"id": number, "file_name": name, "width": 64, "height": 48} for number, (name, _) in enumerate(PICTURES)],
        "categories": [{"id": 1, "name": "dent"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 10, 10], "area": 100, "iscrowd": 0}],
    }
    files = {f"images/{name}": content for name, content in PICTURES} | {"labels.json": json.dumps(labels).encode()}
    files["images/0.png"] = b"no picture"
    made = upload(api, [("set.zip", zip_up(files))], name="coco").json()
    assert made["dataset"]["item_count"] == 9
    assert made["report"]["dropped"] == {"image": 1, "annotation": 1} and not made["report"]["clean"]
    assert {finding["reason"] for finding in made["report"]["findings"]} >= {"broken picture", "its picture was dropped"}


def test_videos_become_frames(api: TestClient, workspace: Workspace, shared_data: Path) -> None:
    bird = (shared_data / "video/intel-sample-videos/asl_gestures/bird.mkv").read_bytes()
    made = upload(api, [("line/bird.mkv", bird)], name="birds", every_s="0.5").json()
    assert made["dataset"]["states"] == {"labelled": 0, "proposed": 0, "unlabelled": 5}  # 2.1 s
    assert made["report"]["clean"]
    version = open_version(workspace.find("datasets", "birds"))
    assert {item.source_video for item in version.items()} == {"line/bird.mkv"}
    refused = upload(api, [("bird.mkv", bird)], name="others", every_s="often")
    assert refused.status_code == 422 and "a number as every_s" in refused.json()["detail"]
    refused = upload(api, PICTURES, name="others", every_s="1")  # which no reader of pictures knows
    assert refused.status_code == 422
    damaged = upload(api, [("bird.mkv", bird[:1000])], name="others")
    assert damaged.status_code == 422 and "cannot be read" in damaged.json()["detail"]
    assert list_left(workspace) == []


def test_the_page_takes_the_same_files_for_videos() -> None:
    page = Path(__file__).parents[2] / "web/src/pages/datasets/videos.ts"
    endings = page.read_text().partition('ENDINGS = "')[2].partition('"')[0].split()
    assert {f".{ending}" for ending in endings} == VIDEO_SUFFIXES


def test_folders_in_names_are_kept(api: TestClient, workspace: Workspace) -> None:
    made = upload(
        api, [(f"set/{'ab'[number % 2]}/{name}", content) for number, (name, content) in enumerate(PICTURES)], name="x"
    )
    assert made.json()["dataset"]["annotation_counts"] == {"a": 5, "b": 5}


@pytest.mark.parametrize(
    ("fields", "files", "status", "words"),
    [
        ({}, PICTURES, 422, "expected a name"),
        ({"name": "../x"}, PICTURES, 422, "expected a name"),
        ({"name": "mine"}, [], 422, "got none"),
        ({"name": "mine"}, [("a.zip", b"PK\3\4 torn")], 422, "archive at a.zip,"),
        ({"name": "mine"}, [("notes.txt", b"no picture")], 422, "got none that can be kept"),
        ({"name": "mine"}, [("a.png", b"no picture")], 422, "got none that can be kept"),
        ({"name": "mine"}, [("../a.png", PICTURES[0][1])], 422, "leads out of its folder"),
        ({"name": "mine"}, [("set.zip", zip_up({"../../a.png": PICTURES[0][1]}))], 422, "leads out of its folder"),
        ({"name": "mine", "categories": "a\na"}, PICTURES, 422, "unique"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_and_leaves_nothing(
    api: TestClient, workspace: Workspace, fields: dict[str, str], files: list[tuple[str, bytes]], status: int, words: str
) -> None:
    parts = [("files", file) for file in files] or [("more", (None, "only fields"))]
    answer = api.post("/v1/datasets", data=fields, files=parts)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text
    assert list_left(workspace) == [] and api.get("/v1/datasets").json()["datasets"] == []


def test_a_network_is_not_taken_for_one_nor_run(api: TestClient, workspace: Workspace, tmp_path: Path) -> None:
    network = write_brightness_artifact(tmp_path / "brightness") / "model.onnx"
    for files in ([("model.onnx", network.read_bytes())], [("saved_model.pb", b"graph"), ("0.png", PICTURES[0][1])]):
        upload(api, files, name="mine")
        assert workspace.names("models") == []


def test_a_name_that_there_is_is_refused(api: TestClient, parts: Workspace) -> None:
    answer = upload(api, PICTURES, name="parts")
    assert answer.status_code == 409 and "'parts'" in answer.json()["detail"]
    assert len(parts.list("datasets", "parts")) == 1


def test_what_is_no_form_is_refused(api: TestClient) -> None:
    assert api.post("/v1/datasets", content=b"x", headers={"Content-Type": "application/zip"}).status_code == 422
    assert api.post("/v1/datasets").status_code == 422


def test_an_upload_that_the_disk_has_no_room_for_is_refused_at_once(
    api: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda path: DiskUsage(free=100))
    answer = upload(api, PICTURES, name="mine")
    assert answer.status_code == 503 and "make room" in answer.json()["detail"]


def test_an_import_that_is_killed_by_what_it_reads_does_not_take_the_server_with_it(
    api: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        dying = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        patch.setattr(uploads, "COMMAND", dying)
        answer = upload(api, PICTURES, name="mine")
    assert answer.status_code == 422 and f"code -{int(signal.SIGSEGV)}" in answer.json()["detail"]
    assert list_left(workspace) == []
    assert upload(api, PICTURES, name="mine").status_code == 201


@pytest.fixture
def running(workspace: Workspace) -> Iterator[Running]:
    with open_parts(workspace) as parts, run_app(lambda session: make_platform(parts, session)) as running:
        yield running


def connect(running: Running, length: int, path: str = "/v1/datasets") -> socket.socket:
    """A client that has sent the head of an upload."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{running.session.port}\r\nAuthorization: Bearer "
        f"{running.session.token}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    )
    client = socket.create_connection(("127.0.0.1", running.session.port))
    client.sendall(head.encode())
    return client


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nmine\r\n'
    b'--b\r\nContent-Disposition: form-data; name="files"; filename="0.png"\r\n\r\n' + PICTURES[0][1]
)


def test_a_client_that_hangs_up_while_it_sends_leaves_nothing(
    running: Running, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(running, 10 * WHOLE_BYTES)
    client.sendall(FORM + b"\0" * (2 * WHOLE_BYTES))  # what is shorter comes to the upload when all of it is there
    wait_until(lambda: any(workspace.root.glob(f"{uploads.PREFIX}*/upload/0.png")))
    client.close()
    wait_until(lambda: not list_left(workspace))
    assert httpx.get(running.url, trust_env=False, timeout=60).status_code == 401
    assert "Traceback" not in caplog.text and "Exception" not in caplog.text  # it is nobody's fault


def test_a_client_that_hangs_up_during_the_import_ends_it(
    running: Running, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started = tmp_path / "started"
    code = f"import os, pathlib, time; pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr(uploads, "COMMAND", (sys.executable, "-c", code))
    body = FORM + b"\r\n--b--\r\n"
    client = connect(running, len(body))
    client.sendall(body)
    wait_until(lambda: started.exists() and started.read_text() != "")
    client.close()
    wait_until(lambda: not list_left(workspace))
    process = int(started.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert "Traceback" not in caplog.text


TIDIES_UP = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), os._exit(0)))"


@pytest.mark.parametrize("before", ["", TIDIES_UP], ids=["at once", "after a second"])
def test_an_import_ends_with_the_server(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str
) -> None:
    started = tmp_path / "started"
    begun = f"pathlib.Path({str(started)!r}).write_text(str(os.getpid()))"
    code = f"import os, pathlib, signal, time\n{before}\n{begun}\ntime.sleep(600)"
    monkeypatch.setattr(uploads, "COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(listening, "SHUTDOWN_GRACE_S", 1)
    body = FORM + b"\r\n--b--\r\n"
    with open_parts(workspace) as parts:
        with run_app(lambda session: make_platform(parts, session)) as running:
            client = connect(running, len(body))
            client.sendall(body)
            wait_until(lambda: started.exists() and started.read_text() != "")
        client.close()
    assert list_left(workspace) == []
    process = int(started.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_two_uploads_under_one_name_are_not_both_taken(
    running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    usual = uploads.COMMAND
    code = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(600)"
    monkeypatch.setattr(uploads, "COMMAND", (sys.executable, "-c", code))
    body = FORM + b"\r\n--b--\r\n"
    client = connect(running, len(body))
    client.sendall(body)
    wait_until(started.exists)
    monkeypatch.setattr(uploads, "COMMAND", usual)
    with httpx.Client(trust_env=False, headers=running.bearer, timeout=60) as other:
        refused = upload(other, PICTURES, running.url, name="mine")
        assert refused.status_code == 409 and "another upload" in refused.json()["detail"]
        client.close()
        wait_until(lambda: upload(other, PICTURES, running.url, name="mine").status_code == 201)


def add(api: TestClient | httpx.Client, files: list[tuple[str, bytes]], url: str = "", **fields: str) -> Any:
    return api.post(f"{url}/v1/datasets/parts/items", data=fields, files=[("files", file) for file in files])


def test_pictures_join_a_dataset(api: TestClient, parts: Workspace) -> None:
    answer = add(api, PICTURES)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["dataset"] == api.get("/v1/datasets/parts").json()
    assert (made["added"], made["dataset"]["item_count"]) == (4, 10)  # the first six are those of the dataset
    assert made["report"]["kept"]["image"] == 4 and made["report"]["dropped"]["image"] == 6
    rows = api.get("/v1/datasets/parts/items", params={"cursor": 6}).json()["items"]
    assert [row["file_name"] for row in rows] == ["6.png", "7.png", "8.png", "9.png"]
    assert {row["split"] for row in rows} <= {"train", "val"}
    picture = api.get("/v1/datasets/parts/items/9/picture", params={"blob": rows[3]["blob"]})
    assert picture.content == PICTURES[9][1]
    versions = api.get("/v1/datasets/parts/versions").json()["versions"]
    assert [version["added"] for version in versions] == [0, 4]
    assert list_left(parts) == []
    assert add(api, PICTURES).json()["added"] == 0
    assert len(api.get("/v1/datasets/parts/versions").json()["versions"]) == 2


def test_splits_and_categories_of_added_pictures_may_be_said(api: TestClient, parts: Workspace) -> None:
    files = [(f"set/{'ab'[number % 2]}/{name}", content) for number, (name, content) in enumerate(PICTURES)]
    made = add(api, files, split="0/0/1", categories="b").json()
    assert [category["name"] for category in made["dataset"]["categories"]] == ["dent", "scratch", "b"]
    assert made["dataset"]["splits"] == {"train": 3, "val": 3, "test": 4}


@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/datasets/parts/items", "/api/datasets/import"])
def test_what_an_upload_leaves_is_removed_beside_the_loop_that_serves_others(
    api: TestClient, parts: Workspace, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(folder: Path, **options: bool) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        removed.append(folder)
        rmtree(folder, **options)

    removed: list[Path] = []
    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", remove)
    api.post(path, data={"name": "mine"}, files=[("files", ("a.txt", b"x"))])
    assert [folder.parent for folder in removed] == [parts.root] and list_left(parts) == []


@pytest.mark.parametrize(
    ("fields", "files", "words"),
    [
        ({"split": "half"}, PICTURES, "expected shares"),
        ({}, [], "got none"),
        ({}, [("a.zip", b"PK\3\4 torn")], "archive at a.zip,"),
        ({}, [("a.png", b"no picture")], "got none that can be kept"),
        ({}, [("set.zip", zip_up({"../../a.png": PICTURES[0][1]}))], "leads out of its folder"),
    ],
)
def test_pictures_that_cannot_be_added_change_nothing(
    api: TestClient, parts: Workspace, fields: dict[str, str], files: list[tuple[str, bytes]], words: str
) -> None:
    before = api.get("/v1/datasets/parts").json()
    sent = [("files", file) for file in files] or [("more", (None, "only fields"))]
    answer = api.post("/v1/datasets/parts/items", data=fields, files=sent)
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
    assert api.get("/v1/datasets/parts").json() == before and list_left(parts) == []
    assert len(parts.list("datasets", "parts")) == 1
    assert api.post("/v1/datasets/none/items", files=[("files", PICTURES[0])]).status_code == 404


def test_a_client_that_hangs_up_adds_nothing(running: Running, workspace: Workspace) -> None:
    make_dataset(workspace)
    body = FORM + b"\0" * (2 * WHOLE_BYTES)
    client = connect(running, 10 * WHOLE_BYTES, "/v1/datasets/parts/items")
    client.sendall(body)
    wait_until(lambda: any(workspace.root.glob(f"{uploads.PREFIX}*/upload/0.png")))
    client.close()
    wait_until(lambda: not list_left(workspace))
    assert len(workspace.list("datasets", "parts")) == 1


def test_two_uploads_to_one_dataset_are_both_taken(running: Running, workspace: Workspace) -> None:
    make_dataset(workspace)
    with httpx.Client(trust_env=False, headers=running.bearer, timeout=60) as client, ThreadPoolExecutor(2) as pool:
        some = [pool.submit(add, client, PICTURES[start:], running.url).result for start in (6, 5)]
        added = [answer().json()["added"] for answer in some]
        assert sum(added) == 4
        assert client.get(f"{running.url}/v1/datasets/parts").json()["item_count"] == 10
