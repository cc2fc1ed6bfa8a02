"""Health, metadata, configuration, repository and the forms of refusals."""

import pytest
from starlette.testclient import TestClient
from v2_fakes import Bench

from sightline.serving.http.keys import Caller


def test_health_and_readiness(client, bench):
    for path, body in (("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True})):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, body)
    bench.is_ready = False
    answer = client.get("/v2/health/ready")
    assert (answer.status_code, set(answer.json())) == (400, {"error"})
    assert client.get("/v2/health/live").status_code == 200


def test_the_server_lists_the_extensions_it_has_and_no_others(client):
    answer = client.get("/v2").json()
    assert answer["name"] == "sightline"
    assert {"binary_tensor_data", "classification", "statistics", "model_repository"} <= set(answer["extensions"])
    assert not {"trace", "logging", "sequence", "system_shared_memory", "cuda_shared_memory"} & set(answer["extensions"])


@pytest.mark.parametrize("path", ["/v2/logging", "/v2/trace/setting", "/v2/systemsharedmemory/status", "/v2/nothing"])
def test_what_is_not_offered_is_404_and_says_where_to_look(client, path):
    for answer in (client.get(path), client.post(path)):
        assert answer.status_code == 404
        assert "GET /v2 lists" in answer.json()["error"]


def test_metadata_of_a_graph_of_tensors(client):
    assert client.get("/v2/models/sum").json() == {
        "name": "sum",
        "versions": ["1"],
        "platform": "numpy",
        "inputs": [{"name": name, "datatype": "FP32", "shape": [-1, 3]} for name in "xy"],
        "outputs": [
            {"name": "sums", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "rows", "datatype": "INT64", "shape": [-1]},
        ],
        "parameters": {"task": "raw", "categories": [], "max_batch_size": 64},
    }


def test_metadata_of_a_picture_model_says_how_pictures_and_annotations_travel(client):
    answer = client.get("/v2/models/colours/versions/3").json()
    assert answer["versions"] == ["3"]
    assert answer["inputs"][0]["parameters"]["also_accepts"]["datatype"] == "BYTES"
    assert [output["name"] for output in answer["outputs"]] == ["logits"]  # Triton's tools ask for all that stand here
    made = answer["parameters"]["also_answers"]
    assert (made["name"], made["datatype"], made["shape"]) == ("annotations", "BYTES", [-1])
    assert answer["parameters"]["categories"] == ["dark", "bright", "red"]


def test_a_model_is_ready_when_its_version_answers(client):
    for path in ("/v2/models/sum/ready", "/v2/models/sum/versions/1/ready"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"name": "sum", "ready": True})
    for path in ("/v2/models/sum/versions/2/ready", "/v2/models/nothing/ready"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("what", ["", "/ready", "/config", "/stats"])
@pytest.mark.parametrize("model", ["nothing", "..%252F..%252Fetc", "n" * 3000])
def test_unknown_models_are_404_in_the_words_that_clients_look_for(client, what, model):
    answer = client.get(f"/v2/models/{model}{what}")
    assert answer.status_code == 404
    assert len(answer.content) < 1000
    if "%" not in model:
        assert answer.json()["error"].startswith("Request for unknown model: ")


def test_configuration_comes_from_the_host(client):
    assert client.get("/v2/models/sum/versions/1/config").json() == {"name": "sum", "max_batch_size": 8, "version": "1"}


def test_the_index_lists_all_versions_or_the_ready_ones(client, bench):
    bench.host.begin_unload("sum").result()
    everything = client.post("/v2/repository/index").json()
    assert {"name": "sum", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"} in everything
    assert {"name": "colours", "version": "3", "state": "READY", "reason": ""} in everything
    ready = client.post("/v2/repository/index", json={"ready": True}).json()
    assert ready == [one for one in everything if one["state"] == "READY"]


def test_models_are_unloaded_and_loaded(client, bench):
    assert client.post("/v2/repository/models/sum/unload", json={"parameters": {"unload_dependents": True}}).status_code == 200
    assert client.get("/v2/models/sum/ready").status_code == 404
    body = {"parameters": {"config": '{"max_batch_size": 4}'}}
    assert client.post("/v2/repository/models/sum/load", json=body).status_code == 200
    assert client.post("/v2/repository/models/colours/load").status_code == 200
    assert client.get("/v2/models/sum/ready").status_code == 200
    assert bench.host.calls == [
        ("unload", "sum", True),
        ("load", "sum", {"max_batch_size": 4}),
        ("load", "colours", None),
    ]


@pytest.mark.parametrize(
    "parameters", [{"config": "{"}, {"config": "[]"}, {"config": 7}, {"config": {}}, {"file:1/model.onnx": "AAAA"}]
)
def test_configurations_that_are_none_and_files_are_400(client, bench, parameters):
    answer = client.post("/v2/repository/models/sum/load", json={"parameters": parameters})
    assert (answer.status_code, set(answer.json())) == (400, {"error"})
    assert bench.host.calls == []


def test_loading_in_another_mode_is_503_and_an_unknown_model_404():
    bench = Bench(mode="poll")
    client = TestClient(bench.app)
    for what in ("load", "unload"):
        answer = client.post(f"/v2/repository/models/sum/{what}")
        assert answer.status_code == 503
        assert answer.json()["error"].startswith("explicit model load / unload is not allowed")
    bench.host.mode = "explicit"
    assert client.post("/v2/repository/models/nothing/load").status_code == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": 1}', b"\xff", b"[" * 100_000])
def test_broken_json_of_the_repository_is_400(client, body):
    assert client.post("/v2/repository/index", content=body).status_code == 400


def test_a_wrong_method_is_405_and_names_the_right_one(client):
    answer = client.get("/v2/models/sum/infer")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert set(answer.json()) == {"error"}
    assert client.post("/v2/health/live").status_code == 405
    assert client.head("/v2/health/live").status_code == 200


def test_statistics_of_all_models_one_and_a_version(client):
    everything = client.get("/v2/models/stats").json()["model_stats"]
    assert {"sum", "colours"} <= {one["name"] for one in everything}
    for path in ("/v2/models/sum/stats", "/v2/models/sum/versions/1/stats"):
        [one] = client.get(path).json()["model_stats"]
        assert (one["name"], one["version"], one["inference_count"], one["batch_stats"]) == ("sum", "1", 0, [])
    assert client.get("/v2/models/sum/versions/2/stats").status_code == 404


def test_a_key_for_some_models_sees_no_others(bench):
    async def with_caller(scope, receive, send):
        scope["state"] = {"caller": Caller("line-3", models=frozenset({"sum"}))}
        await bench.app(scope, receive, send)

    client = TestClient(with_caller)
    assert [one["name"] for one in client.post("/v2/repository/index").json()] == ["sum"]
    assert [one["name"] for one in client.get("/v2/models/stats").json()["model_stats"]] == ["sum"]


def test_a_request_is_counted(client):
    body = {"inputs": [{"name": "x", "shape": [2, 1], "datatype": "INT8", "data": [1, 2]}]}
    assert client.post("/v2/models/echo-INT8/infer", json=body).status_code == 200
    [one] = client.get("/v2/models/echo-INT8/stats").json()["model_stats"]
    assert (one["inference_count"], one["execution_count"]) == (2, 1)
    assert one["inference_stats"]["success"]["count"] == 1
    assert one["last_inference"] > 1_700_000_000_000
    assert [batch["batch_size"] for batch in one["batch_stats"]] == [2]
