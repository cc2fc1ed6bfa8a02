"""The repository as Triton's own clients administer it, against the whole server and a real engine."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from factor_graphs import write_factor
from pipeline_graphs import COLOURS, write_brightest_channel
from repository_fakes import write_configuration
from whole_server import Running, run_server

from sightline.serving.server_options import ServerOptions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tritonclient.grpc as triton_grpc
    import tritonclient.http as triton_http
    from tritonclient.utils import InferenceServerException


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    write_factor(tmp_path / "repository", "double", 1, 2)
    write_factor(tmp_path / "repository", "triple", 1, 3)
    options = ServerOptions(mode="explicit", load_at_start=("double",), grpc_address=("127.0.0.1", 0))
    with run_server(tmp_path / "repository", options) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[triton_http.InferenceServerClient]:
    with triton_http.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client
    client.close = lambda: None  # its destructor would close it again, on whatever thread collects it; gevent forbids that


def ask(client: triton_http.InferenceServerClient, name: str, version: str = "") -> float:
    wanted = triton_http.InferInput("x", [1, 4], "FP32")
    wanted.set_data_from_numpy(np.ones((1, 4), np.float32))
    return float(client.infer(name, [wanted], model_version=version).as_numpy("y")[0, 0])


def test_models_are_loaded_swapped_and_unloaded(tmp_path: Path, client: triton_http.InferenceServerClient) -> None:
    states = {one["name"]: one["state"] for one in client.get_model_repository_index()}
    assert states == {"double": "READY", "triple": "UNAVAILABLE"}
    assert ask(client, "double") == 2
    with pytest.raises(InferenceServerException, match="unknown model"):
        ask(client, "triple")
    client.load_model("triple")
    assert ask(client, "triple") == 3 and client.is_model_ready("triple")
    write_factor(tmp_path / "repository", "triple", 2, 3.5)
    client.load_model("triple")
    assert (ask(client, "triple"), ask(client, "triple", "2")) == (3.5, 3.5)
    client.unload_model("triple")
    assert not client.is_model_ready("triple")
    with pytest.raises(InferenceServerException, match="nowhere"):
        client.load_model("nowhere")


def test_a_configuration_is_read_changed_and_given_back(server: Running, client: triton_http.InferenceServerClient) -> None:
    configuration = client.get_model_config("double")
    assert configuration["max_batch_size"] == 64
    assert configuration["input"][0] == {
        "name": "x", "data_type": "TYPE_FP32", "dims": [4], "format": "FORMAT_NONE",
        "is_shape_tensor": False, "allow_ragged_batch": False, "optional": False,
    }  # fmt: skip
    assert "dynamic_batching" not in configuration  # nothing gathers, and all requests wait as by default
    configuration["dynamic_batching"] = {"max_queue_delay_microseconds": 250}
    configuration["sightline"]["batch"] = 8
    client.load_model("double", config=msgspec.json.encode(configuration).decode())
    described = client.get_model_config("double")
    assert described["dynamic_batching"]["max_queue_delay_microseconds"] == 250
    assert described | {"dynamic_batching": configuration["dynamic_batching"]} == configuration
    configuration = described
    client.load_model("double", config=msgspec.json.encode(configuration).decode())
    assert client.get_model_config("double") == configuration
    assert ask(client, "double") == 2
    with pytest.raises(InferenceServerException, match="max_batch_size") as refusal:
        client.load_model("double", config='{"max_batch_size": -3}')
    assert str(server.whole.host.repository) not in str(refusal.value)
    assert client.get_model_config("double") == configuration


def test_grpc_gives_and_takes_the_same_configuration(server: Running) -> None:
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.whole.grpc_port}")
    config = client.get_model_config("double", as_json=True)["config"]
    assert (config["name"], config["max_batch_size"], config["input"][0]["data_type"]) == ("double", 64, "TYPE_FP32")
    client.load_model("double", config=msgspec.json.encode(config).decode())  # with int64 as text, as protobuf writes it
    assert client.is_model_ready("double")
    client.unload_model("double")
    assert not client.is_model_ready("double")
    client.close()


@pytest.mark.parametrize("batching", [{}, {"dynamic_batching": {}}, {"max_batch_size": 8, "dynamic_batching": {}}])
def test_what_grpc_gives_back_means_the_same(tmp_path: Path, server: Running, batching: dict[str, Any]) -> None:
    sorter = {
        "task": "classification",
        "input": {"name": "images", "width": 8, "height": 8, "resize": "stretch"},
        "decode": {"head": "softmax", "outputs": ["logits"]},
        "categories": list(COLOURS),
        "weight": 3,
    }
    write_brightest_channel(tmp_path / "repository" / "colours" / "1" / "model.onnx")
    parameters = {"note": {"string_value": "kept"}}
    write_configuration(tmp_path / "repository", "colours", {**batching, "parameters": parameters, "sightline": sorter})
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.whole.grpc_port}") as client, server.client() as http:
        client.load_model("colours")
        before = http.get("/v2/models/colours/config").json()
        config = client.get_model_config("colours", as_json=True)["config"]
        assert msgspec.json.decode(config["parameters"]["sightline"]["string_value"]) == before["sightline"]
        client.load_model("colours", config=msgspec.json.encode(config).decode())
        assert http.get("/v2/models/colours/config").json() == before
