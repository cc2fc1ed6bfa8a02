"""gRPC beside HTTP in the server as it is served: real graphs, scheduler, repository and threads."""

import json
import queue
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from deaf_client import DeafClient
from grpc_fakes import make_tensor
from starlette.testclient import TestClient

from sightline.core.settings import Settings
from sightline.imaging.files.reading import encode_image
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.server import InferenceServer
from sightline.serving.server_options import ServerOptions

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

ONLY_IN_JSON = {"runtime", "batch_input", "batch_output", "model_warmup", "sightline"}
CONFIGURATION = {
    "backend": "onnxruntime",
    "max_batch_size": 8,
    "dynamic_batching": {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": 2000},
    "parameters": {"note": {"string_value": "by hand"}},
    "sightline": {
        "task": "classification",
        "categories": ["dark", "bright"],
        "input": {"width": 8, "height": 8, "resize": "stretch"},
        "decode": {"head": "softmax", "outputs": ["logits"], "confidence_threshold": 0.0},
    },
}


def write_repository(folder: Path) -> Path:
    """The model `brightness`: the logit of `bright` is the mean pixel 0..1 times 20 minus 10, that of `dark` is 0."""
    onnx = pytest.importorskip("onnx", reason="needs onnx to write a graph")
    make_node, make_value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        make_node("Gemm", ["means", "weights", "bias"], ["logits"]),
    ]
    weights = [("weights", np.array([[0, 20 / 3]] * 3, np.float32)), ("bias", np.array([0, -10], np.float32))]
    graph = onnx.helper.make_graph(
        nodes,
        "brightness",
        [make_value("images", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])],
        [make_value("logits", onnx.TensorProto.FLOAT, ["N", 2])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights],
    )
    version = folder / "brightness" / "1"
    version.mkdir(parents=True)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), version / "model.onnx"
    )
    (folder / "brightness" / "config.json").write_text(json.dumps(CONFIGURATION))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[InferenceServer, TestClient]]:
    options = ServerOptions(mode="explicit", load_at_start=("*",), grpc_address=("127.0.0.1", 0))
    server = InferenceServer(write_repository(tmp_path / "repository"), Settings(threads=2), options)
    with TestClient(server.app) as http:
        yield server, http


@pytest.fixture
def client(server: tuple[InferenceServer, TestClient]) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server[0].grpc_port}") as client:
        yield client


def test_answers_of_64_clients_at_once_are_those_of_the_bare_graph(client, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(tmp_path / "repository/brightness/1/model.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(7)
    batches = [rng.random((1 + number % 3, 3, 8, 8), np.float32) for number in range(64)]
    answers = queue.Queue()
    for number, batch in enumerate(batches):
        inputs = [make_tensor(triton, "images", batch)]
        client.async_infer("brightness", inputs, lambda result, error: answers.put((result, error)), request_id=str(number))
    for _ in batches:
        result, error = answers.get(timeout=60)
        assert error is None
        [expected] = session.run(None, {"images": batches[int(result.get_response().id)]})
        assert result.as_numpy("logits").tobytes() == expected.tobytes()


def test_pictures_are_prepared_on_the_server_as_over_http(client, server):
    grays = [0, 51, 204, 255]
    pictures = [encode_image(np.full((12, 9, 3), gray, np.uint8), "png") for gray in grays]
    outputs = [triton.InferRequestedOutput("logits"), triton.InferRequestedOutput("annotations")]
    result = client.infer("brightness", [make_tensor(triton, "images", pictures, "BYTES")], outputs=outputs)
    expected = [[0, gray / 255 * 20 - 10] for gray in grays]  # by hand
    np.testing.assert_allclose(result.as_numpy("logits"), expected, atol=1e-4)
    best = [json.loads(text)[0]["category"] for text in result.as_numpy("annotations")]
    assert best == ["dark", "dark", "bright", "bright"]
    over_http = server[1].post("/predict/brightness", content=pictures[3], headers={"Content-Type": "image/png"}).json()
    assert over_http["annotations"][0] == json.loads(result.as_numpy("annotations")[3])[0]


def test_the_configuration_is_that_of_json_but_for_what_only_json_has(client, server):
    over_http = server[1].get("/v2/models/brightness/config").json()
    over_grpc = client.get_model_config("brightness", as_json=True)["config"]
    assert (
        over_grpc["dynamic_batching"]["preferred_batch_size"] == over_http["dynamic_batching"]["preferred_batch_size"] == [4, 8]
    )
    assert over_grpc["input"][0]["data_type"] == over_http["input"][0]["data_type"] == "TYPE_FP32"
    assert over_grpc["parameters"]["note"]["string_value"] == "by hand"
    # The client leaves out what is zero or empty; everything else must have come.
    lost = {key for key, value in over_http.items() if value and key not in over_grpc}
    assert lost <= ONLY_IN_JSON


def test_the_repository_is_administered_over_grpc(client, server):
    assert [(one.name, one.version, one.state) for one in client.get_model_repository_index().models] == [
        ("brightness", "1", "READY")
    ]
    client.unload_model("brightness")
    assert not client.is_model_ready("brightness")
    with pytest.raises(InferenceServerException, match="unknown model") as raised:
        client.infer("brightness", [make_tensor(triton, "images", np.zeros((1, 3, 8, 8)))])
    assert raised.value.status() == "StatusCode.NOT_FOUND"
    batching = {"max_queue_delay_microseconds": 700}
    client.load_model("brightness", config=json.dumps(CONFIGURATION | {"dynamic_batching": batching}))
    assert client.get_model_config("brightness").config.dynamic_batching.max_queue_delay_microseconds == 700
    assert server[1].get("/v2/models/brightness/ready").status_code == 200


def test_messages_count_against_all_bodies_together(tmp_path):
    limits = ConnectionLimits(max_buffered_bytes=1000)
    options = ServerOptions(mode="none", grpc_address=("127.0.0.1", 0), connection_limits=limits)
    server = InferenceServer(write_repository(tmp_path / "repository"), Settings(threads=2), options)
    with TestClient(server.app), triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        client.infer("brightness", [make_tensor(triton, "images", np.zeros((1, 3, 8, 8)))])
        with pytest.raises(InferenceServerException, match="too large together"):
            client.infer("brightness", [make_tensor(triton, "images", np.zeros((2, 3, 8, 8)))])


def test_statistics_count_both_protocols(client, server):
    pictures = [encode_image(np.zeros((8, 8, 3), np.uint8), "png")]
    client.infer("brightness", [make_tensor(triton, "images", pictures, "BYTES")])
    server[1].post("/v2/models/brightness/infer", content=pictures[0], headers={"Inference-Header-Content-Length": "0"})
    [counted] = client.get_inference_statistics("brightness").model_stats
    assert (counted.inference_count, counted.inference_stats.success.count) == (2, 2)
    assert server[1].get("/v2/models/brightness/stats").json()["model_stats"][0]["inference_count"] == 2


def test_connections_keep_to_the_limits_of_those_over_http(tmp_path: Path) -> None:
    limits = ConnectionLimits(max_connections_per_address=1)
    options = ServerOptions(mode="explicit", grpc_address=("127.0.0.1", 0), connection_limits=limits)
    server = InferenceServer(tmp_path, Settings(threads=1), options)
    with TestClient(server.app), DeafClient(f"127.0.0.1:{server.grpc_port}") as first:
        first.call("ServerLive")
        first.wait_for_heads()
        with DeafClient(f"127.0.0.1:{server.grpc_port}") as second:
            second.wait_until_cut()
        first.call("ServerLive")
        first.wait_for_heads()
