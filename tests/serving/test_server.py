"""The whole server, real graphs in real engines, over real connections: every protocol and every part beside the others."""

import base64
import json
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import cv2
import httpx
import numpy as np
import pytest
from serving_fakes import write_artifact, write_brightness_artifact
from small_artifacts import write_halves
from stream_fakes import write_video
from waiting import wait_until
from whole_server import Running, run_server

from sightline.core.settings import Settings
from sightline.serving.client.blocking import Client
from sightline.serving.deployments import deploy_artifact, remove_deployment
from sightline.serving.http.keys import create_key
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.source import ModelSource
from sightline.serving.scheduling.work import Work
from sightline.serving.server_options import ServerOptions

ZOO = {
    "steps": [
        {"name": "find", "model": "parts"},
        {"name": "crops", "of": "find", "crop": {}},
        {"name": "shade", "of": "crops", "model": "brightness"},
    ]
}


def make_png(width: int = 40, height: int = 20, value: int = 200) -> bytes:
    return bytes(cv2.imencode(".png", np.full((height, width, 3), value, np.uint8))[1])


def check_problem(answer: httpx.Response, status: int) -> str:
    """The answer is a problem of this status; returns its detail, which is one line."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"} and problem["status"] == status
    assert "\n" not in problem["detail"]
    return str(problem["detail"])


def check_v2_error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    return str(answer.json()["error"])


def infer_body(value: float = 1.0) -> dict[str, Any]:
    data = [value] * (3 * 32 * 32)
    return {"inputs": [{"name": "images", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": data}]}


# Pictures in, annotations or a picture out


def test_a_picture_in_every_form_of_body(client: httpx.Client) -> None:
    png = make_png()
    bare = client.post("/predict/parts", content=png).json()
    form = client.post("/predict/parts", files={"image": ("a.png", png)}).json()
    in_json = client.post("/predict/parts", json={"image": base64.b64encode(png).decode()}).json()
    assert (bare["deployment"], bare["version"], bare["model_id"]) == ("parts", 1, "m" * 64)
    assert bare["annotations"] == [
        {"category": "bright", "box_xyxy": [0.0, 0.0, 20.0, 20.0], "confidence": 0.5, "origin": "model"}
    ]
    assert in_json["annotations"] == form["pictures"][0]["annotations"] == bare["annotations"]
    drawn = client.post("/predict/parts?format=png", content=make_png(300, 200))
    assert cv2.imdecode(np.frombuffer(drawn.content, np.uint8), cv2.IMREAD_COLOR).shape == (200, 300, 3)


def test_refusals_of_pictures_name_no_path(client: httpx.Client, repository: Path) -> None:
    for answer, status in (
        (client.post("/predict/absent", content=make_png()), 404),
        (client.post("/predict/..%252f..%252fetc", content=make_png()), 404),
        (client.post("/predict/parts", content=b"no picture"), 422),
        (client.post("/predict/parts", content=b""), 422),
        (client.post("/predict/parts?confidence=2", content=make_png()), 422),
        (client.post("/predict/parts", content=b"x", headers={"content-type": "text/plain"}), 415),
        (client.get("/nothing"), 404),
        (client.get("/predict/parts"), 405),
    ):
        assert str(repository) not in check_problem(answer, status)


def test_answers_of_many_clients_do_not_mix(client: httpx.Client) -> None:
    def ask(value: int) -> str:
        return str(client.post("/predict/parts", content=make_png(value=value)).json()["annotations"][0]["category"])

    values = [0, 255] * 40
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, values)) == ["bright" if value else "dark" for value in values]


# Tensors over the Open Inference Protocol


def test_tensors_in_json_and_in_binary(running: Running, client: httpx.Client) -> None:
    answer = client.post("/v2/models/parts/infer", json=infer_body()).json()
    assert (answer["model_name"], answer["model_version"]) == ("parts", "1")
    assert {one["name"]: one["data"] for one in answer["outputs"]} == {"scores": [0, 0.5], "boxes": [0, 0, 0.5, 1]}
    with Client(running.url) as v2:
        tensors = v2.predict_raw(
            "parts", {"images": np.stack([np.ones((3, 32, 32)), np.zeros((3, 32, 32))]).astype(np.float32)}
        )
        pictures = v2.predict_raw("parts", {"images": np.array([make_png(value=255), make_png(value=0)], object)})
    np.testing.assert_array_equal(tensors["scores"], [[[0, 0.5]], [[0.5, 0]]])
    np.testing.assert_array_equal(pictures["scores"], tensors["scores"])
    assert check_v2_error(client.post("/v2/models/absent/infer", json=infer_body()), 404)
    assert check_v2_error(client.post("/v2/models/parts/infer", json={"inputs": []}), 400)
    assert check_v2_error(client.get("/v2/nothing"), 404)


def find_grpc(running: Running) -> str:
    return f"127.0.0.1:{running.whole.grpc_port}"


def test_grpc_answers_beside_http(repository: Path) -> None:
    with warnings.catch_warnings():  # the client's own dependencies warn at import
        warnings.simplefilter("ignore")
        triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is a test's dependency")
    options = ServerOptions(grpc_address=("127.0.0.1", 0))
    with run_server(repository, options) as running, triton.InferenceServerClient(find_grpc(running)) as client:
        assert client.is_server_ready() and client.is_model_ready("parts")
        picture = triton.InferInput("images", [1], "BYTES")
        picture.set_data_from_numpy(np.array([make_png(value=255)], object))
        np.testing.assert_array_equal(client.infer("parts", [picture]).as_numpy("scores"), [[[0, 0.5]]])
        tensor = triton.InferInput("images", [1, 3, 32, 32], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 3, 32, 32), np.float32))
        np.testing.assert_array_equal(client.infer("parts", [tensor]).as_numpy("scores"), [[[0.5, 0]]])


def test_a_key_is_asked_for_over_grpc_too(repository: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is a test's dependency")
    token, record = create_key("line")
    options = ServerOptions(grpc_address=("127.0.0.1", 0), key_line=f"line={record.hash}")
    with run_server(repository, options) as running, triton.InferenceServerClient(find_grpc(running)) as client:
        with pytest.raises(triton.InferenceServerException, match="UNAUTHENTICATED"):
            client.get_model_metadata("parts")
        assert client.get_model_metadata("parts", headers={"authorization": f"Bearer {token}"}).name == "parts"


# Pipelines and streams


def test_a_pipeline_is_one_model_in_every_protocol(repository: Path, tmp_path: Path) -> None:
    deploy_artifact(write_brightness_artifact(tmp_path / "brightness"), "brightness", repository)
    (repository / "zoo").mkdir()
    (repository / "zoo" / "pipeline.json").write_text(json.dumps(ZOO))
    with run_server(repository) as running, running.client() as client:
        assert sorted(running.whole.names) == ["brightness", "parts", "zoo"]
        (found,) = client.post("/predict/zoo", content=make_png()).json()["annotations"]
        assert (found["category"], found["box_xyxy"]) == ("bright", [0, 0, 20, 20])
        assert found["attributes"]["shade"] == "bright"
        assert client.get("/v2/models/zoo").json()["name"] == "zoo"
        assert client.get("/v2/models/zoo/ready").status_code == 200
        assert client.get("/deployments/zoo").json()["state"] == "ready"
        drawn = client.post("/predict/zoo?format=png", content=make_png(300, 200))
        assert drawn.headers["content-type"] == "image/png"


def test_a_video_is_a_stream_of_answers(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    video = write_video(tmp_path / "videos" / "a.mp4", [0, 255, 255, 0])
    with run_server(repository, ServerOptions(stream_files=tmp_path / "videos")) as running, running.client() as client:
        options = {"model": "parts", "realtime": "false"}
        for answer in (
            client.post("/v2/streams", json={"model": "parts", "source": {"file": "a.mp4"}, "realtime": False}),
            client.post("/v2/streams", content=video.read_bytes(), params=options, headers={"content-type": "video/mp4"}),
        ):
            assert answer.status_code == 201, answer.text
            assert read_frames(client, answer.json()["id"]) == ["dark", "bright", "bright", "dark"]
        assert client.post("/v2/streams", json={"model": "parts", "source": {"file": "../secret"}}).status_code in (404, 422)
        assert client.post("/v2/streams", json={"model": "absent", "source": {"file": "a.mp4"}}).status_code == 404


def read_frames(client: httpx.Client, identifier: str) -> list[str]:
    """Category of every frame of a stream, read to its end."""
    with client.stream("GET", f"/v2/streams/{identifier}/events") as answer:
        messages = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert messages[-1]["type"] == "end"
    return [message["annotations"][0]["category"] for message in messages[:-1]]


# What the server says of itself


def test_every_document_is_served(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/predict/{name}", "/v2/models/{name}/infer", "/v2/streams", "/metrics", "/deployments"} <= set(document["paths"])
    assert client.get("/docs").headers["content-type"].startswith("text/html")
    assert client.get("/health").json() == {"status": "ok", "ready": True}
    assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200


def test_documented_routes_without_parameters_are_all_served(client: httpx.Client) -> None:
    """Each answers, if only with a refusal of the request; none is unknown."""
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method in operations:
            if "{" not in path and method != "parameters":
                assert client.request(method, path).status_code not in (404, 405, 500), (method, path)


def test_metrics_count_what_was_asked(client: httpx.Client) -> None:
    for value in (0, 255, 255):
        assert client.post("/predict/parts", content=make_png(value=value)).status_code == 200
    assert client.post("/predict/parts", content=b"no picture").status_code == 422
    lines = client.get("/metrics").text.splitlines()
    assert 'nv_inference_request_success{model="parts",version="1"} 3.0' in lines
    assert any(line.startswith("nv_inference_request_failure{") and line.endswith(" 1.0") for line in lines)
    assert 'nv_inference_pending_request_count{model="parts",version="1"} 0.0' in lines
    statistics = client.get("/v2/models/parts/stats").json()["model_stats"][0]["inference_stats"]
    assert (statistics["success"]["count"], statistics["fail"]["count"]) == (3, 1)


def test_the_page_and_its_files_are_served_with_a_strict_policy(client: httpx.Client) -> None:
    for path in ("/", "/page.js", "/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = client.get("/").text
    assert "style=" not in page and "onclick" not in page and "http" not in page


def test_a_foreign_host_name_is_refused(repository: Path) -> None:
    options = ServerOptions(allowed_hosts=frozenset({"localhost", "127.0.0.1"}))
    with run_server(repository, options) as running, running.client() as client:
        check_problem(client.get("/health", headers={"host": "evil.example:8000"}), 400)
        assert client.get("/health", headers={"host": "localhost:1"}).status_code == 200


def test_the_access_log_has_a_line_per_request(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with run_server(repository, ServerOptions(access_log=str(path))) as running, running.client() as client:
        client.post("/predict/parts", content=make_png())
        client.get("/nothing?secret=1")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [("/predict/parts", 200), ("/nothing", 404)]
    assert lines[0]["model"] == "parts:1" and "secret" not in path.read_text()


# Who may ask, how much and how often


def test_keys_say_who_may_do_what(repository: Path, tmp_path: Path) -> None:
    deploy_artifact(write_halves(tmp_path / "second"), "second", repository)
    tokens, records = {}, []
    for name, fields in (
        ("all", {}),
        ("some", {"models": ["second"]}),
        ("admin", {"is_admin": True}),
        ("slow", {"requests_per_s": 0.01}),
    ):
        tokens[name], record = create_key(name)
        records.append({"name": name, "hash": record.hash, **fields})
    (tmp_path / "keys.json").write_text(json.dumps({"keys": records}))
    with run_server(repository, ServerOptions(keys_file=tmp_path / "keys.json")) as running, running.client() as client:

        def ask(key: str | None, path: str = "/predict/parts", method: str = "POST") -> httpx.Response:
            headers = {} if key is None else {"authorization": f"Bearer {tokens.get(key, key)}"}
            return client.request(method, path, content=make_png() if method == "POST" else None, headers=headers)

        assert ask("all").status_code == 200
        for key in (None, "nonsense", "sk.all.wrong"):
            check_problem(ask(key), 401)
        assert ask(None).headers["www-authenticate"].startswith("Bearer")
        check_problem(ask("some"), 403)
        assert ask("some", "/predict/second").status_code == 200
        check_v2_error(ask("some", "/v2/models/parts", "GET"), 403)
        assert [one["name"] for one in ask("some", "/deployments", "GET").json()["deployments"]] == ["second"]
        check_problem(ask("all", "/deployments/parts/reload"), 403)
        assert ask("admin", "/deployments/parts/reload").status_code == 200
        assert ask("slow").status_code == 200
        refused = ask("slow")
        check_problem(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == client.get("/").status_code == 200


def test_the_rate_of_all_callers_together_is_limited(repository: Path) -> None:
    with run_server(repository, ServerOptions(max_requests_per_s=0.01)) as running, running.client() as client:
        assert client.post("/predict/parts", content=make_png()).status_code == 200
        refused = client.post("/predict/parts", content=make_png())
        check_problem(refused, 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200


def test_larger_bodies_and_pictures_than_the_limits_are_refused(repository: Path) -> None:
    settings = Settings(threads=1, max_request_bytes=2000, max_image_pixels=1000)
    with run_server(repository, None, settings) as running, running.client() as client:
        check_problem(client.post("/predict/parts", content=b"x" * 2001), 413)
        check_problem(client.post("/predict/parts", content=(b"x" * 100 for _ in range(21))), 413)  # chunked: no length
        check_problem(client.post("/predict/parts", files={"image": b"x" * 2000}), 413)
        assert client.post("/predict/parts", content=make_png(50, 50)).json()["type"] == "urn:sightline:error:image-too-large"
        assert client.post("/predict/parts", content=make_png()).status_code == 200


class GatedModel(ServedModel):
    """Waits in front of every execution until its gate is open, and remembers the rows it executed."""

    gate: ClassVar[threading.Event]
    entered: ClassVar[threading.Semaphore]
    executed: ClassVar[list[int]]

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        self.entered.release()
        assert self.gate.wait(30)
        self.executed.append(sum(work.rows for work in works))
        super().execute(works, alone)


@pytest.fixture
def gated(repository: Path) -> Iterator[tuple[Running, type[GatedModel]]]:
    """A server with one slot and room for two more requests; nothing runs before the gate is opened."""

    class Model(GatedModel):
        gate, entered, executed = threading.Event(), threading.Semaphore(0), []  # of this test alone

    def open_model(source: ModelSource) -> ServedModel:
        return Model(source, 1, 1_000_000)

    queue = {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 2}}}
    (repository / "parts" / "config.json").write_text(json.dumps(queue))
    with run_server(repository, ServerOptions(express_slots=0), Settings(threads=1), open_model) as running:
        try:
            yield running, Model
        finally:
            Model.gate.set()


def test_a_full_queue_is_503_with_a_time_and_the_admitted_are_answered(gated: tuple[Running, type[GatedModel]]) -> None:
    running, model = gated
    with ThreadPoolExecutor(3) as pool, running.client() as client:
        admitted = [pool.submit(client.post, "/predict/parts", content=make_png())]
        assert model.entered.acquire(timeout=30)
        admitted += [pool.submit(client.post, "/predict/parts", content=make_png()) for _ in "ab"]
        wait_until(lambda: running.whole.scheduler.snapshot().waiting.get("parts", 0) == 2)
        assert 'nv_inference_pending_request_count{model="parts",version="1"} 2.0' in client.get("/metrics").text
        for refused in (
            client.post("/predict/parts", content=make_png()),
            client.post("/v2/models/parts/infer", json=infer_body()),
        ):
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200
        model.gate.set()
        assert [future.result().status_code for future in admitted] == [200] * 3
        assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_a_client_that_hangs_up_takes_its_work_out_of_the_queue(gated: tuple[Running, type[GatedModel]]) -> None:
    running, model = gated
    with ThreadPoolExecutor(1) as pool, running.client() as client:
        first = pool.submit(client.post, "/predict/parts", content=make_png())
        assert model.entered.acquire(timeout=30)
        with httpx.Client(base_url=running.url, trust_env=False, timeout=0.2) as impatient:
            for _ in range(5):  # more than the queue holds: each leaves its place to the next
                with pytest.raises(httpx.ReadTimeout):
                    impatient.post("/predict/parts", content=make_png())
                wait_until(lambda: running.whole.scheduler.snapshot().waiting.get("parts", 0) == 0)
        wait_until(lambda: running.whole.scheduler.snapshot().waiting.get("parts", 0) == 0)
        model.gate.set()
        assert first.result().status_code == 200
        assert client.post("/predict/parts", content=make_png()).status_code == 200
    assert model.executed == [1, 1]


def test_a_defect_of_ours_is_500_without_a_traceback(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ServedModel):
        def execute(self, works: Sequence[Work], alone: bool) -> None:
            raise TypeError("'NoneType' object is not callable")

    with run_server(repository, open_model=lambda source: Broken(source, 1, 1_000_000)) as running, running.client() as client:
        assert "NoneType" not in check_problem(client.post("/predict/parts", content=make_png()), 500)
        assert "NoneType" not in check_v2_error(client.post("/v2/models/parts/infer", json=infer_body()), 500)
        assert client.get("/health").status_code == 200
    assert "NoneType" in caplog.text


# Models that come, change and go


def test_deployments_made_changed_and_removed_while_serving_are_seen(
    client: httpx.Client, repository: Path, tmp_path: Path
) -> None:
    deploy_artifact(write_halves(tmp_path / "b", categories=("low", "high")), "parts", repository)
    wait_until(lambda: client.get("/deployments/parts").json()["version"] == 2)
    assert client.post("/predict/parts", content=make_png()).json()["annotations"][0]["category"] == "high"
    deploy_artifact(write_halves(tmp_path / "d"), "second", repository)
    wait_until(lambda: client.post("/predict/second", content=make_png()).status_code == 200)
    remove_deployment("second", repository)
    wait_until(lambda: client.post("/predict/second", content=make_png()).status_code == 404)
    assert [one["name"] for one in client.get("/deployments").json()["deployments"]] == ["parts"]


def test_a_version_that_cannot_be_opened_leaves_the_old_one_answering(
    client: httpx.Client, repository: Path, tmp_path: Path
) -> None:
    def ask_version() -> int:
        return int(client.post("/predict/parts", content=make_png()).json()["version"])

    deploy_artifact(write_artifact(tmp_path / "b", graph=b"broken"), "parts", repository)
    wait_until(lambda: client.get("/deployments/parts").json()["failed_version"] == 2)
    facts = client.get("/deployments/parts").json()
    assert (facts["state"], facts["version"], ask_version()) == ("ready", 1, 1)
    assert facts["detail"] and str(tmp_path) not in facts["detail"]
    assert client.post("/deployments/parts/reload").json()["version"] == 1
    deploy_artifact(write_halves(tmp_path / "c"), "parts", repository)
    assert client.post("/deployments/parts/reload").json()["version"] == 3
    assert ask_version() == 3


def test_a_deployment_that_never_opened_is_503_and_hides_no_other(repository: Path, tmp_path: Path) -> None:
    deploy_artifact(write_artifact(tmp_path / "b", graph=b"broken"), "bad", repository)
    with run_server(repository) as running, running.client() as client:
        assert running.whole.names == ["parts"]
        check_problem(client.post("/predict/bad", content=make_png()), 503)
        states = {one["name"]: one["state"] for one in client.get("/deployments").json()["deployments"]}
        assert states == {"bad": "failed", "parts": "ready"}
        assert client.get("/v2/models/bad/ready").status_code != 200
        assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_models_are_loaded_and_unloaded_as_told(repository: Path) -> None:
    with run_server(repository, ServerOptions(mode="explicit")) as running, running.client() as client:
        assert running.whole.names == []
        check_problem(client.post("/predict/parts", content=make_png()), 404)
        index = client.post("/v2/repository/index", json={}).json()
        assert [(one["name"], one["state"]) for one in index] == [("parts", "UNAVAILABLE")]
        for _ in range(3):
            assert client.post("/v2/repository/models/parts/load").status_code == 200
            assert client.post("/predict/parts", content=make_png()).status_code == 200
            assert client.post("/v2/repository/models/parts/unload").status_code == 200
            check_problem(client.post("/predict/parts", content=make_png()), 404)
        check_v2_error(client.post("/v2/repository/models/absent/load"), 404)


def test_loading_by_hand_is_refused_where_the_repository_is_watched(client: httpx.Client) -> None:
    assert "explicit" in check_v2_error(client.post("/v2/repository/models/parts/unload"), 503)
    assert client.post("/predict/parts", content=make_png()).status_code == 200


def test_versions_are_swapped_under_load_without_one_failed_request(running: Running, repository: Path, tmp_path: Path) -> None:
    """Eight threads ask over both protocols while versions 2 to 7 are deployed; nobody is refused or sent back."""
    png, stop = make_png(), threading.Event()

    def ask(number: int) -> list[int]:
        versions = []
        with running.client() as client:
            while not stop.is_set():
                if number % 2:
                    answer = client.post("/predict/parts", content=png)
                    assert answer.status_code == 200, answer.text
                    versions.append(int(answer.json()["version"]))
                else:
                    answer = client.post("/v2/models/parts/infer", json=infer_body())
                    assert answer.status_code == 200, answer.text
                    versions.append(int(answer.json()["model_version"]))
        return versions

    with ThreadPoolExecutor(8) as pool, running.client() as client:
        asked = [pool.submit(ask, number) for number in range(8)]
        try:
            for version in range(2, 8):
                deploy_artifact(write_halves(tmp_path / f"v{version}", streams=1 + version % 2), "parts", repository)
                wait_until(lambda version=version: client.get("/deployments/parts").json()["version"] == version)
        finally:
            stop.set()
        for versions in (future.result() for future in asked):
            assert versions == sorted(versions) and set(versions) <= set(range(1, 8))
    assert [state.version for state in running.whole.host.list_loaded() if state.state == "READY"] == [7]


def test_models_beyond_the_memory_are_paged_and_answer_all_the_same(repository: Path, tmp_path: Path) -> None:
    artifact = write_halves(tmp_path / "second", categories=("low", "high"))
    deploy_artifact(artifact, "second", repository)
    size_bytes = 2 * (artifact / "model.onnx").stat().st_size
    options = ServerOptions(memory_budget_bytes=size_bytes + size_bytes // 2)
    with run_server(repository, options) as running, running.client() as client, ThreadPoolExecutor(4) as pool:

        def ask(name: str) -> str:
            return str(client.post(f"/predict/{name}", content=make_png()).json()["annotations"][0]["category"])

        names = ["parts", "second"] * 10
        assert list(pool.map(ask, names)) == ["bright", "high"] * 10
        paged = client.get("/deployments").json()["deployments"]
        assert sum(one["is_resident"] for one in paged) == 1 and sum(one["page_in_count"] for one in paged) > 0
