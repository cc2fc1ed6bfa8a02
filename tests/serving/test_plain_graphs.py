"""Plain graph files behind the whole server: what a client gets is what the engine gives for the request that it sent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from repository_fakes import write_configuration
from whole_server import Running, run_server

from sightline.serving.client.blocking import Client

Port = tuple[str, int, Sequence[int | str]]  # name, ONNX element type, shape
ENGINES = ["openvino", "onnxruntime"]


def write_plain(repository: Path, name: str, nodes: list[Any], inputs: list[Port], outputs: list[Port], **words: Any) -> None:
    """Version 1 of a graph, and its config.json."""
    ports = [[helper.make_tensor_value_info(*port) for port in side] for side in (inputs, outputs)]
    model = helper.make_model(helper.make_graph(nodes, name, *ports), opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (repository / name / "1").mkdir(parents=True)
    onnx.save(model, repository / name / "1" / "model.onnx")
    write_configuration(repository, name, words)


def describe(server: Running, name: str) -> Any:
    with server.client() as http:
        return http.get(f"/v2/models/{name}").json()


def ask(server: Running, name: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with Client(server.url) as client:
        return client.predict_raw(name, tensors)


def test_bf16_tensors_are_told_as_such_and_answered_in_numbers(tmp_path: Path) -> None:
    half = TensorProto.BFLOAT16
    x, y = ("x", half, ["N", 4]), ("y", half, ["N", 4])
    write_plain(tmp_path, "square", [helper.make_node("Mul", ["x", "x"], ["y"])], [x], [y])
    write_plain(tmp_path, "cast", [helper.make_node("Cast", ["x"], ["y"], to=half)], [("x", TensorProto.FLOAT, ["N", 4])], [y])
    values = np.array([[1, 2, 3, 100]], np.float32)
    with run_server(tmp_path) as server:
        assert [tensor["datatype"] for tensor in describe(server, "square")["inputs"]] == ["BF16"]
        assert [tensor["datatype"] for tensor in describe(server, "cast")["outputs"]] == ["BF16"]
        assert ask(server, "square", {"x": values})["y"].tolist() == [[1, 4, 9, 9984]]  # 10000 has no BF16 of its own
        assert ask(server, "cast", {"x": values})["y"].tolist() == values.tolist()
        head = b'{"inputs":[{"name":"x","datatype":"BF16","shape":[1,4],"parameters":{"binary_data_size":8}}],' + (
            b'"outputs":[{"name":"y","parameters":{"binary_data":true}}]}'
        )
        upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        with server.client() as http:
            answer = http.post(
                "/v2/models/square/infer", content=head + upper, headers={"Inference-Header-Content-Length": str(len(head))}
            )
        assert answer.status_code == 200, answer.text
        found = np.frombuffer(answer.content[-8:], "<u2").astype(np.uint32) << 16
        assert found.view(np.float32).tolist() == [1, 4, 9, 9984]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_scalar_input_is_answered_beside_a_batch_and_alone(tmp_path: Path, engine: str) -> None:
    x, s, y = ("x", TensorProto.FLOAT, ["N", 3]), ("s", TensorProto.FLOAT, []), ("y", TensorProto.FLOAT, ["N", 3])
    write_plain(tmp_path, "scale", [helper.make_node("Mul", ["x", "s"], ["y"])], [x, s], [y], backend=engine)
    twice = [helper.make_node("Add", ["s", "s"], ["y"])]
    write_plain(tmp_path, "twice", twice, [s], [("y", TensorProto.FLOAT, [])], backend=engine)
    values, scale = np.arange(6, dtype=np.float32).reshape(2, 3), np.array(3, np.float32)
    with run_server(tmp_path) as server:
        assert ask(server, "scale", {"x": values, "s": scale})["y"].tolist() == (3 * values).tolist()
        answer = ask(server, "twice", {"s": scale})["y"]
        assert (answer.shape, float(answer)) == ((), 6)


def classify(server: Running, name: str, outputs: Sequence[str], **tensors: list[list[float]]) -> list[list[str]]:
    inputs = [
        {"name": key, "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": rows} for key, rows in tensors.items()
    ]
    wanted = [{"name": output, "parameters": {"classification": 9}} for output in outputs]
    with server.client() as http:
        answer = http.post(f"/v2/models/{name}/infer", json={"inputs": inputs, "outputs": wanted})
        assert answer.status_code == 200, answer.text
        return [output["data"] for output in answer.json()["outputs"]]


def test_each_output_is_classified_by_its_own_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ports: list[Port] = [(name, TensorProto.FLOAT, ["N", 3]) for name in ("x", "animal", "colour", "size")]
    nodes = [helper.make_node("Identity", ["x"], [name]) for name, _, _ in ports[1:]]
    labels = {"animal": "animals.txt", "colour": "colours.txt"}
    outputs = [{"name": name, "label_filename": file} for name, file in labels.items()]
    write_plain(tmp_path, "both", nodes, ports[:1], ports[1:], output=outputs)
    (tmp_path / "both" / "animals.txt").write_text("crane\ndog\ncrane\n")  # as the usual names of ImageNet have it
    (tmp_path / "both" / "colours.txt").write_text("red\ngreen\n\n")
    with run_server(tmp_path) as server:
        assert classify(server, "both", ["animal", "colour", "size"], x=[[3, 2, 1]]) == [
            ["3.000000:0:crane", "2.000000:1:dog", "1.000000:2:crane"],
            ["3.000000:0:red", "2.000000:1:green", "1.000000:2"],
            ["3.000000:0", "2.000000:1", "1.000000:2"],
        ]
        with server.client() as http:
            described = http.get("/v2/models/both/config").json()["output"]
        assert {one["name"]: one["label_filename"] for one in described} == labels | {"size": ""}
    assert "both version 1: output 'colour' has 3 classes and 2 labels" in caplog.text
    assert "'animal' has" not in caplog.text


def test_labels_of_a_detector_that_is_right_are_not_called_odd(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its output holds 20 boxes of x, y, width, height and a score for each of two classes."""
    images, boxes = ("images", TensorProto.FLOAT, [1, 3, 32, 32]), ("boxes", TensorProto.FLOAT, [1, 6, 20])
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2], keepdims=0),  # (1, 32)
        helper.make_node("Constant", [], ["shape"], value_ints=[1, 6, 20]),
        helper.make_node("Constant", [], ["first"], value_ints=[0]),
        helper.make_node("Gather", ["mean", "first"], ["one"], axis=1),  # (1, 1)
        helper.make_node("Expand", ["one", "shape"], ["boxes"]),
    ]
    own = {
        "task": "detection",
        "input": {"name": "images", "width": 32, "height": 32, "resize": "stretch"},
        "decode": {"head": "joined_boxes", "outputs": ["boxes"]},
    }
    write_plain(
        tmp_path, "finder", nodes, [images], [boxes], output=[{"name": "boxes", "label_filename": "names.txt"}], sightline=own
    )
    (tmp_path / "finder" / "names.txt").write_text("screw\nnut\n")
    with run_server(tmp_path) as server, server.client() as http:
        assert http.get("/deployments/finder").json()["categories"] == ["screw", "nut"]
    assert "finder version 1" not in caplog.text, caplog.text
