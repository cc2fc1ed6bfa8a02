"""Requests and answers as messages: typed and raw contents, and what does not fit, sent by stubs without a client library."""

import re
import struct
import threading
import warnings
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_fakes import run_grpc

from sightline.serving.v2 import requests
from sightline.serving.v2.tensors import MAX_BYTES_ELEMENTS, encode_binary
from sightline.serving.v2_grpc import tensors
from sightline.serving.v2_grpc.messages import find_message

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2, service_pb2_grpc

# datatype -> field of InferTensorContents, two elements, how struct packs one
TYPED = {
    "BOOL": ("bool_contents", [True, False], "?"),
    "INT8": ("int_contents", [-128, 127], "b"),
    "INT16": ("int_contents", [-(2**15), 2**15 - 1], "h"),
    "INT32": ("int_contents", [-(2**31), 2**31 - 1], "i"),
    "INT64": ("int64_contents", [-(2**63), 2**63 - 1], "q"),
    "UINT8": ("uint_contents", [0, 255], "B"),
    "UINT16": ("uint_contents", [0, 2**16 - 1], "H"),
    "UINT32": ("uint_contents", [0, 2**32 - 1], "I"),
    "UINT64": ("uint64_contents", [0, 2**64 - 1], "Q"),
    "FP32": ("fp32_contents", [-0.5, 1e30], "f"),
    "FP64": ("fp64_contents", [-0.1, 1e300], "d"),
}


def make_request(model: str, name: str, datatype: str, shape: list[int], raws: Any = (), **contents: Any) -> Any:
    request = find_message("ModelInferRequest")(model_name=model, raw_input_contents=raws)
    request.inputs.add(name=name, datatype=datatype, shape=shape, contents=contents or None)
    return request


def send(stub, request):
    """Give our message to the client's generated code, which knows it by its bytes only."""
    return stub.ModelInfer(to_theirs(request), timeout=30)


def to_theirs(request):
    return service_pb2.ModelInferRequest.FromString(request.SerializeToString())


def read_refusal(stub, request) -> str:
    with pytest.raises(grpc.RpcError) as raised:
        send(stub, request)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT, raised.value.details()
    return raised.value.details()


def test_typed_contents_of_every_datatype_are_answered_raw(stub):
    for datatype, (field, values, code) in TYPED.items():
        response = send(stub, make_request(f"echo-{datatype}", "x", datatype, [1, 2], **{field: values}))
        assert response.raw_output_contents[0] == struct.pack(f"<2{code}", *values)
        assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == (datatype, [1, 2])
        assert not response.outputs[0].HasField("contents")


def test_typed_pictures(stub, jpeg, red_png):
    response = send(stub, make_request("colours", "images", "BYTES", [2], bytes_contents=[jpeg, red_png]))
    scores = np.frombuffer(response.raw_output_contents[0], "<f4").reshape(2, 3)
    assert scores.argmax(axis=1).tolist() == [1, 2]


def test_fp16_travels_raw(stub):
    halves = struct.pack("<2e", 0.5, -65504)
    assert send(stub, make_request("echo-FP16", "x", "FP16", [1, 2], [halves])).raw_output_contents[0] == halves
    assert "raw_input_contents" in read_refusal(stub, make_request("echo-FP16", "x", "FP16", [1, 2], fp32_contents=[0.5, 1]))


def test_bf16_travels_raw(stub):
    upper_halves = struct.pack("<2H", 0x3F80, 0xC000)  # 1.0 and -2.0: the upper half of float32
    response = send(stub, make_request("echo-FP32", "x", "BF16", [1, 2], [upper_halves]))
    assert response.raw_output_contents[0] == struct.pack("<2f", 1.0, -2.0)


def test_large_typed_contents_are_read_beside_the_loop(stub):
    values = np.arange(40_000, dtype=np.float32)
    response = send(stub, make_request("echo-FP32", "x", "FP32", [50, 800], fp32_contents=values.tolist()))
    assert response.raw_output_contents[0] == encode_binary(values)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (make_request("echo-FP32", "x", "FP32", [1, 2], [bytes(7)]), "8 bytes, got 7"),
        (make_request("echo-FP32", "x", "FP32", [1, 2], [bytes(9)]), "8 bytes, got 9"),
        (make_request("echo-FP32", "x", "FP32", [1, 2], [b""]), "8 bytes, got 0"),
        (
            make_request("echo-FP32", "x", "FP32", [1, 2], [bytes(8), bytes(8)]),
            "raw_input_contents for each of 1 inputs, got 2",
        ),
        (make_request("echo-FP32", "x", "FP32", [1, 2], [bytes(8)], fp32_contents=[1, 2]), "contents or raw_input_contents"),
        (make_request("echo-FP32", "x", "FP32", [1, 2]), "2 elements in fp32_contents, got 0"),
        (make_request("echo-FP32", "x", "FP32", [1, 2], int_contents=[1, 2]), "2 elements in fp32_contents, got 0"),
        (make_request("echo-FP32", "x", "FP32", [1, 2], fp32_contents=[1, 2, 3]), "2 elements in fp32_contents, got 3"),
        (make_request("echo-INT8", "x", "INT8", [1, 2], int_contents=[1, 128]), "INT8 elements"),
        (make_request("echo-UINT16", "x", "UINT16", [1, 1], uint_contents=[2**16]), "UINT16 elements"),
        (make_request("echo-FP32", "x", "FP32", [2**40, 2**40], [bytes(8)]), "at most 2147483647 elements"),
        (make_request("echo-FP32", "x", "FP32", [0, 2**62], [b""]), "at most 2147483647 elements"),
        (make_request("echo-FP32", "x", "FP32", [-1, 2], [bytes(8)]), "dimensions from 0"),
        (make_request("echo-FP32", "x", "FP32", [1] * 100, [bytes(4)]), "at most 16 dimensions"),
        (make_request("echo-FP32", "x", "FLOAT", [1, 2], [bytes(8)]), "'FLOAT'"),
        (make_request("echo-FP32", "x", "", [1, 2], fp32_contents=[1, 2]), "''"),
        (make_request("echo-FP32", "other", "FP32", [1, 2], [bytes(8)]), "inputs"),
        (make_request("echo-FP32", "x", "FP32", [2], [bytes(8)]), "shape"),
        (make_request("colours", "images", "BYTES", [1], [b"\xff\xff\xff\xffabc"]), "BYTES elements"),
        (make_request("colours", "images", "BYTES", [2], [struct.pack("<I3s", 3, b"abc")]), "BYTES elements"),
        (make_request("colours", "images", "BYTES", [10**9], [bytes(8)]), "elements"),
        (make_request("colours", "images", "BYTES", [1], [bytes(4)]), "empty|picture 0"),
        (find_message("ModelInferRequest")(model_name="echo-FP32"), "inputs"),
        (find_message("ModelInferRequest")(model_name="echo-FP32", raw_input_contents=[b"abc"]), "each of 0 inputs, got 1"),
    ],
)
def test_contents_that_do_not_fit_are_refused(stub, request_, words):
    assert re.search(words, read_refusal(stub, request_))


def test_an_input_that_comes_twice_is_refused(stub):
    request = make_request("echo-FP32", "x", "FP32", [1, 2], fp32_contents=[1, 2])
    request.inputs.append(request.inputs[0])
    assert "'x' twice" in read_refusal(stub, request)


def test_parameters_that_cannot_be_kept_are_refused(stub):
    def make(**parameters):
        request = make_request("echo-FP32", "x", "FP32", [1, 2], [bytes(8)])
        for name, (field, value) in parameters.items():
            setattr(request.parameters[name], field, value)
        return request

    assert "priority" in read_refusal(stub, make(priority=("string_param", "high")))
    assert "timeout" in read_refusal(stub, make(timeout=("int64_param", -1)))
    assert "sequence_id" in read_refusal(stub, make(sequence_id=("int64_param", 7)))
    in_shared_memory = make()
    in_shared_memory.inputs[0].parameters["shared_memory_region"].string_param = "region"
    assert "shared memory" in read_refusal(stub, in_shared_memory)
    wanted = make()
    wanted.outputs.add(name="y")
    assert "'y'" in read_refusal(stub, wanted)
    assert send(stub, make(priority=("uint64_param", 1), own=("double_param", 0.5))).outputs[0].name == "x"
    without_a_value = make()
    without_a_value.parameters["timeout"].SetInParent()
    assert send(stub, without_a_value).outputs[0].name == "x"


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_inputs_and_outputs_are_bounded_in_number(stub, field):
    request = make_request("echo-FP32", "x", "FP32", [1, 2], [bytes(8)])
    for index in range(257 - len(getattr(request, field))):
        getattr(request, field).add(name=str(index))
    assert f"at most 256 {field}, got 257" in read_refusal(stub, request)


@pytest.mark.parametrize("is_typed", [True, False])
def test_bytes_elements_of_all_inputs_together_are_bounded_before_they_are_read(stub, monkeypatch, is_typed):
    monkeypatch.setattr(requests, "read_bytes_elements", None)
    monkeypatch.setattr(tensors, "BytesTensor", None)
    count = MAX_BYTES_ELEMENTS // 2 + 1
    request = find_message("ModelInferRequest")(model_name="colours")
    for name in ("images", "x"):
        contents = {"bytes_contents": [b""] * count} if is_typed else None
        request.inputs.add(name=name, datatype="BYTES", shape=[count], contents=contents)
        if not is_typed:
            request.raw_input_contents.append(bytes(4 * count))
    assert f"at most {MAX_BYTES_ELEMENTS} BYTES elements in all inputs together, got {2 * count}" in read_refusal(stub, request)


@pytest.mark.parametrize("is_typed", [True, False])
def test_more_pictures_than_a_batch_has_are_refused_before_they_are_read(stub, monkeypatch, is_typed):
    monkeypatch.setattr(requests, "read_bytes_elements", None)
    monkeypatch.setattr(tensors, "BytesTensor", None)
    raws, contents = ([], {"bytes_contents": [b""] * 65}) if is_typed else ([bytes(4 * 65)], {})
    assert "1 to 64 rows" in read_refusal(stub, make_request("colours", "images", "BYTES", [65], raws, **contents))


def test_what_reading_takes_beside_the_message_is_counted_and_large_inputs_are_read_in_a_thread(bench, monkeypatch):
    threads, read = [], requests.decode_binary
    monkeypatch.setattr(
        requests, "decode_binary", lambda *given: (threads.append(threading.current_thread().name), read(*given))[1]
    )
    with run_grpc(bench, hold=bench._hold) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for count in (4, 40_000):
            request = make_request("echo-FP32", "x", "BF16", [1, count], [bytes(2 * count)])
            assert send(stub, request).raw_output_contents[0] == bytes(4 * count)
            assert bench.held_bytes[-2:] == [request.ByteSize(), 4 * count]
        typed = make_request("echo-FP32", "x", "FP32", [1, 100], fp32_contents=[0.5] * 100)
        assert send(stub, typed).raw_output_contents[0] == struct.pack("<f", 0.5) * 100
        assert bench.held_bytes[-2:] == [typed.ByteSize(), 100 * (16 + 4)]
    assert [name.startswith("uvloop_") for name in threads] == [False, True]
