import json
import struct

import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.client.tensors import read_infer_answer, write_infer_request
from sightline.serving.datatypes import DTYPES


def read_request(tensors: dict[str, np.ndarray], outputs: tuple[str, ...] = ()) -> tuple[dict[str, object], bytes]:
    body, headers = write_infer_request(tensors, outputs)
    size = int(headers["Inference-Header-Content-Length"])
    return json.loads(body[:size]), body[size:]


def make_answer(outputs: list[dict[str, object]], *parts: bytes) -> tuple[bytes, str]:
    head = json.dumps({"model_name": "m", "outputs": outputs}).encode()
    return head + b"".join(parts), str(len(head))


def test_a_request_names_its_tensors_and_their_bytes_follow_little_endian_in_order() -> None:
    tensors = {"a": np.array([[1, 258]], ">i4"), "b": np.array([1.5], np.float16), "c": np.array([True, False])}
    header, content = read_request(tensors, ("x",))
    assert header["inputs"] == [
        {"name": "a", "shape": [1, 2], "datatype": "INT32", "parameters": {"binary_data_size": 8}},
        {"name": "b", "shape": [1], "datatype": "FP16", "parameters": {"binary_data_size": 2}},
        {"name": "c", "shape": [2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}},
    ]
    assert header["outputs"] == [{"name": "x", "parameters": {"binary_data": True}}]
    assert header["parameters"] == {"binary_data_output": True}
    assert content == b"\x01\0\0\0\x02\x01\0\0" + struct.pack("<e", 1.5) + b"\x01\x00"


def test_bytes_have_their_length_in_front() -> None:
    header, content = read_request({"images": np.array([b"ab\0", "é"], object)})
    assert header["inputs"] == [
        {"name": "images", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 4 + 3 + 4 + 2}}
    ]
    assert content == b"\x03\0\0\0ab\0\x02\0\0\0\xc3\xa9"


@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_every_type_comes_back_as_it_was(datatype: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(DTYPES[datatype])
    output = {"name": "y", "shape": [2, 2], "datatype": datatype, "parameters": {"binary_data_size": array.nbytes}}
    found = read_infer_answer(*make_answer([output], array.tobytes()))["y"]
    assert found.dtype == array.dtype and found.tolist() == array.tolist() and found.flags.writeable


def test_answers_in_json_and_in_bytes_may_be_mixed() -> None:
    outputs: list[dict[str, object]] = [
        {"name": "j", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "n", "shape": [1, 2], "datatype": "INT64", "data": [[5, 6]]},
        {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["dog"]},
        {"name": "b", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
        {"name": "h", "shape": [2], "datatype": "BF16", "parameters": {"binary_data_size": 4}},
    ]
    bfloat16 = struct.pack("<HH", 0x3F80, 0xC000)  # 1.0 and -2.0: the upper halves of 0x3F800000 and 0xC0000000
    found = read_infer_answer(*make_answer(outputs, b"\x02\0\0\0a\0\x01\0\0\0z", bfloat16))
    assert found["j"].tolist() == [[1, 2], [3, 4]] and found["j"].dtype == np.float32
    assert found["n"].tolist() == [[5, 6]]
    assert found["t"].tolist() == [b"dog"]
    assert found["b"].tolist() == [b"a\0", b"z"]
    assert found["h"].tolist() == [1.0, -2.0]


def test_an_answer_without_the_header_is_json_alone() -> None:
    body, _ = make_answer([{"name": "y", "shape": [1], "datatype": "UINT8", "data": [9]}])
    assert read_infer_answer(body, None)["y"].tolist() == [9]


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"<html>", None),
        (b"{}", None),
        (b"[]", "2"),
        (b'{"outputs":[{"name":"y","shape":[9],"datatype":"FP32","parameters":{"binary_data_size":4}}]}\0\0\0\0', "87"),
        (b'{"outputs":[{"name":"y","shape":[1],"datatype":"COMPLEX","data":[1]}]}', None),
        (b'{"outputs":[]}', "many"),
        (b'{"outputs":' + b"[" * 200_000, None),
        (b'{"outputs":[{"name":"y","shape":[1],"datatype":"INT8","data":[300]}]}', None),
    ],
)
def test_another_program_s_answer_is_one_line(body: bytes, length: str | None) -> None:
    with pytest.raises(InvalidInput, match="is the URL right"):
        read_infer_answer(body, length)


def test_what_the_protocol_has_no_word_for_is_refused() -> None:
    with pytest.raises(InvalidInput, match="complex64"):
        write_infer_request({"x": np.zeros(1, np.complex64)})
    with pytest.raises(InvalidInput, match="bytes or str, got int"):
        write_infer_request({"x": np.array([1], object)})
    with pytest.raises(InvalidInput, match="at least one tensor"):
        write_infer_request({})
