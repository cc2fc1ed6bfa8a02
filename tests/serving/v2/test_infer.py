"""Inference over ASGI: what goes in, what comes out, and what is refused; expected numbers worked out by hand."""

import base64
import gzip
import json
import struct
import threading
import zlib

import msgspec
import numpy as np
import pytest

from sightline.core.errors import QueueFull
from sightline.serving.v2 import requests

SUM_BODY = {
    "id": "42",
    "inputs": [
        {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3.5]},
        {"name": "y", "shape": [1, 3], "datatype": "FP32", "data": [[10, 20, 30]]},
    ],
}


def post(client, body, tail=b"", model="sum", headers=None):
    text = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = dict(headers or {})
    if tail:
        headers["Inference-Header-Content-Length"] = str(len(text))
    return client.post(f"/v2/models/{model}/infer", content=text + tail, headers=headers)


def ask_picture(shape=(1,), **parameters):
    return {"inputs": [{"name": "images", "shape": list(shape), "datatype": "BYTES", "parameters": parameters}]}


def prefix(*contents):
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


def test_json_tensors_are_answered_in_json(client):
    answer = post(client, SUM_BODY)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "sum",
        "model_version": "1",
        "id": "42",
        "outputs": [
            {"name": "sums", "datatype": "FP32", "shape": [1, 3], "data": [11.0, 22.0, 33.5]},
            {"name": "rows", "datatype": "INT64", "shape": [1], "data": [0]},
        ],
    }


def test_tensors_in_json_count_while_they_are_in_use_and_binary_ones_do_not(bench, client):
    assert post(client, SUM_BODY).status_code == 200
    assert bench.held_bytes == [2 * 3 * 4]
    inputs = [{**one, "parameters": {"binary_data_size": 12}} for one in SUM_BODY["inputs"]]
    for one in inputs:
        del one["data"]
    assert post(client, {"inputs": inputs}, tail=bytes(24)).status_code == 200
    assert bench.held_bytes == [2 * 3 * 4]


def test_without_an_id_none_comes_back(client):
    assert "id" not in post(client, {"inputs": SUM_BODY["inputs"]}).json()


def test_nulls_stand_for_what_is_left_out(client):
    inputs = [{**one, "parameters": None} for one in SUM_BODY["inputs"]]
    assert post(client, {"id": None, "parameters": None, "outputs": None, "inputs": inputs}).status_code == 200


@pytest.mark.parametrize(
    "before", ['"inputs": [{}]', '"inputs": 5', '"outputs": [5], "outputs": []', '"outputs": 5, "outputs": null']
)
def test_of_a_list_whose_key_comes_again_only_the_last_is_read(client, before):
    """Reading all of five million empty ones had stopped the server for 9 s."""
    text = "{" + before + ", " + json.dumps(SUM_BODY)[1:]
    answer = post(client, text.encode())
    assert (answer.status_code, answer.json()["outputs"][0]["data"]) == (200, [11.0, 22.0, 33.5])


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_one_tensor_too_many_is_refused_before_it_is_made(client, monkeypatch, kind):
    monkeypatch.setattr(requests, f"_decode_{kind}", None)
    body = SUM_BODY | {kind: [{"name": ""}] * 257}
    if kind == "outputs":
        monkeypatch.setattr(requests, "_decode_inputs", lambda text: [])
    answer = post(client, json.dumps(body, separators=(",", ":")).encode())
    assert (answer.status_code, "at most length 256" in answer.json()["error"]) == (400, True)


def test_binary_tensors_follow_the_json_in_order(client):
    body = {
        "inputs": [
            {"name": "y", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}},
            {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}},
        ],
        "outputs": [
            {"name": "rows", "parameters": {"binary_data": True}},
            {"name": "sums", "parameters": {"binary_data": True}},
        ],
    }
    answer = post(client, body, struct.pack("<6f", 1, 2, 3, 10, 20, 30))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    split = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:split])["outputs"] == [
        {"name": "rows", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}},
        {"name": "sums", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}},
    ]
    assert answer.content[split:] == struct.pack("<q3f", 0, 11, 22, 33)


def test_json_and_binary_mix_in_one_request_and_answer(client):
    body = {
        "inputs": [SUM_BODY["inputs"][0], {**SUM_BODY["inputs"][1], "parameters": {"binary_data_size": 12}}],
        "outputs": [{"name": "sums", "parameters": {"binary_data": True}}, {"name": "rows"}],
    }
    del body["inputs"][1]["data"]
    answer = post(client, body, struct.pack("<3f", 1, 1, 1))
    split = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:split])["outputs"][1]["data"] == [0]
    assert answer.content[split:] == struct.pack("<3f", 2, 3, 4.5)


def test_binary_data_output_makes_all_outputs_binary_but_those_that_say_otherwise(client):
    body = {**SUM_BODY, "parameters": {"binary_data_output": True}}
    answer = post(client, body)
    assert answer.content[int(answer.headers["inference-header-content-length"]) :] == struct.pack("<3fq", 11, 22, 33.5, 0)
    body["outputs"] = [{"name": "sums", "parameters": {"binary_data": False}}]
    assert post(client, body).json()["outputs"][0]["data"] == [11.0, 22.0, 33.5]


def test_outputs_that_json_cannot_hold_become_null(client):
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]}
    answer = post(client, body, struct.pack("<2f", float("nan"), float("inf")), model="echo-FP32")
    assert answer.json()["outputs"][0]["data"] == [None, None]


@pytest.mark.parametrize(("shape", "count"), [([1], 1), ([1, 1], 1), ([2], 2), ([2, 1], 2)])
def test_pictures_are_prepared_on_the_server(client, jpeg, red_png, shape, count):
    pictures = [jpeg, red_png][:count]
    content = prefix(*pictures)
    answer = post(client, ask_picture(shape, binary_data_size=len(content)), content, model="colours")
    assert answer.status_code == 200, answer.text
    output = answer.json()["outputs"][0]
    assert output["shape"] == [count, 3]
    rows = np.reshape(output["data"], (count, 3))
    np.testing.assert_allclose(rows[0], [1 - 230 / 255, 230 / 255, 0], atol=0.01)
    if count == 2:
        np.testing.assert_allclose(rows[1], [1 - 200 / 765, 200 / 765, 400 / 255], atol=0.001)


def test_a_lone_picture_may_leave_out_its_size_and_its_prefix(client, jpeg):
    wanted = post(client, ask_picture(binary_data_size=len(jpeg) + 4), prefix(jpeg), model="colours").json()
    assert post(client, ask_picture(), jpeg, model="colours").json() == wanted
    assert post(client, ask_picture(), prefix(jpeg), model="colours").json() == wanted


def test_a_body_without_json_is_the_only_input(client, jpeg):
    headers = {"Inference-Header-Content-Length": "0"}
    answer = client.post("/v2/models/colours/infer", content=jpeg, headers=headers)
    split = int(answer.headers["inference-header-content-length"])
    np.testing.assert_allclose(np.frombuffer(answer.content[split:], "<f4"), [1 - 230 / 255, 230 / 255, 0], atol=0.01)
    refused = client.post("/v2/models/sum/infer", content=b"1234", headers=headers)
    assert refused.status_code == 400
    assert "inputs x, y" in refused.json()["error"]
    echoed = client.post("/v2/models/echo-INT16/infer", content=b"\x01\x00\x02\x00", headers=headers)
    assert echoed.content.endswith(b"\x01\x00\x02\x00")
    assert b'"shape":[1,2]' in echoed.content


def test_pictures_in_json_are_base64_when_they_say_so(client, jpeg):
    body = ask_picture(content_type="base64")
    body["inputs"][0]["data"] = [base64.b64encode(jpeg).decode()]
    assert post(client, body, model="colours").status_code == 200
    body["inputs"][0]["parameters"] = {}
    assert post(client, body, model="colours").status_code == 400


def test_large_json_is_read_too(client, bench):
    picture = base64.b64encode(np.random.default_rng(0).bytes(3)).decode() * 30_000
    body = ask_picture(content_type="base64")
    body["inputs"][0]["data"] = [picture]
    answer = post(client, body, model="colours")
    assert answer.status_code == 400  # read and found to be no picture
    assert "picture 0" in answer.json()["error"]


def test_tensors_for_a_picture_model_go_to_the_graph(client):
    body = {"inputs": [{"name": "images", "shape": [1, 3, 4, 4], "datatype": "FP32", "data": [0.5] * 48}]}
    np.testing.assert_allclose(post(client, body, model="colours").json()["outputs"][0]["data"], [0.5, 0.5, 0.0])


def test_classification_gives_the_best_with_scores_indices_and_labels(client, jpeg, red_png):
    body = ask_picture([2]) | {"outputs": [{"name": "logits", "parameters": {"classification": 2}}]}
    output = post(client, body, prefix(jpeg, red_png), model="colours").json()["outputs"][0]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    named = [text.split(":")[1:] for text in output["data"]]
    assert named == [["1", "bright"], ["0", "dark"], ["2", "red"], ["0", "dark"]]
    assert [float(text.split(":")[0]) for text in output["data"]] == pytest.approx([0.902, 0.098, 1.569, 0.739], abs=0.002)


def test_classification_without_matching_categories_has_no_labels_and_at_most_all_classes(client):
    body = SUM_BODY | {"outputs": [{"name": "sums", "parameters": {"classification": 10}}]}
    output = post(client, body).json()["outputs"][0]
    assert output["shape"] == [1, 3]
    assert output["data"] == ["33.500000:2", "22.000000:1", "11.000000:0"]


def test_classification_of_what_is_no_score_is_refused(client):
    body = SUM_BODY | {"outputs": [{"name": "rows", "parameters": {"classification": 1}}]}
    answer = post(client, body)
    assert answer.status_code == 400
    assert "classification" in answer.json()["error"]


def test_annotations_come_when_asked_for_by_name(client, jpeg, red_png):
    body = ask_picture([2]) | {"outputs": [{"name": "annotations"}, {"name": "logits"}]}
    answer = post(client, body, prefix(jpeg, red_png), model="colours")
    assert answer.status_code == 200, answer.text
    annotations, logits = answer.json()["outputs"]
    assert (annotations["datatype"], annotations["shape"], logits["shape"]) == ("BYTES", [2], [2, 3])
    found = [json.loads(text) for text in annotations["data"]]
    assert [one[0]["category"] for one in found] == ["bright", "red"]
    first = np.exp(logits["data"][:3]) / np.exp(logits["data"][:3]).sum()
    assert found[0][0]["confidence"] == pytest.approx(first.max(), rel=1e-5)


def test_annotations_need_pictures(client):
    body = {"inputs": [{"name": "images", "shape": [1, 3, 4, 4], "datatype": "FP32", "data": [0.5] * 48}]}
    answer = post(client, body | {"outputs": [{"name": "annotations"}]}, model="colours")
    assert answer.status_code == 400
    assert "pictures" in answer.json()["error"]


def test_unknown_outputs_are_refused_before_inferring(client, bench, jpeg):
    answer = post(client, ask_picture() | {"outputs": [{"name": "nothing"}]}, jpeg, model="colours")
    assert answer.status_code == 400
    assert answer.json() == {"error": "expected outputs of logits, annotations, got 'nothing'"}
    assert post(client, SUM_BODY | {"outputs": [{"name": "annotations"}]}).status_code == 400
    assert bench.scheduler.works == []


def test_priority_timeout_version_and_tenant_reach_the_queue(client, bench):
    body = SUM_BODY | {"parameters": {"priority": 2, "timeout": 1500, "custom": {"a": 1}}}
    answer = client.post("/v2/models/sum/versions/1/infer", json=body)
    assert answer.status_code == 200
    work = bench.scheduler.works[0]
    assert (work.priority, work.timeout_s, work.rows, work.tenant) == (2, pytest.approx(0.0015), 1, "")
    post(client, SUM_BODY)
    assert (bench.scheduler.works[1].priority, bench.scheduler.works[1].timeout_s) == (0, None)


def test_a_full_queue_is_503_with_retry_after(client, bench):
    bench.scheduler.refusal = QueueFull("the queue of sum is full", retry_after_s=2.2)
    answer = post(client, SUM_BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.json() == {"error": "the queue of sum is full"}


def test_a_full_queue_is_found_before_the_request_is_read_and_counted_once(bench):
    bench.service.check_room("sum")
    bench.service.check_room("nothing of that name")  # which is for `infer` to say
    bench.scheduler.refusal = QueueFull("the queue of sum is full")
    with pytest.raises(QueueFull):
        bench.service.check_room("sum", "1")
    assert bench.statistics.read("sum", 1).inference_stats.fail.count == 1


def test_a_timeout_in_the_queue_is_503(client, bench):
    bench.scheduler.is_late = True
    answer = post(client, SUM_BODY)
    assert (answer.status_code, answer.json()) == (503, {"error": "waited longer than 1 ms"})


def test_a_defect_is_500_without_details(client, bench, caplog):
    bench.host.describe_configuration = lambda name, version: 1 / 0
    answer = client.get("/v2/models/sum/config")
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed on this request; its log has the details"}
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(("model", "version"), [("nothing", ""), ("sum", "9")])
def test_unknown_models_and_versions_are_404(client, model, version):
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
    answer = client.post(f"{path}/infer", json=SUM_BODY)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("Request for unknown model: ")


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_may_be_compressed_both_ways(client, encoding, compress):
    text = json.dumps(SUM_BODY).encode()
    headers = {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    answer = client.post("/v2/models/sum/infer", content=compress(text), headers=headers)
    assert answer.headers["content-encoding"] == encoding
    assert answer.json()["outputs"][0]["data"] == [11.0, 22.0, 33.5]


def test_answers_are_compressed_only_for_those_who_wish_for_one_coding(client):
    for accepted in ("gzip, deflate", "*", "br", "identity"):
        assert "content-encoding" not in post(client, SUM_BODY, headers={"Accept-Encoding": accepted}).headers


def test_a_bomb_is_refused_at_the_limit(client):
    bomb = gzip.compress(bytes(200 * 1024 * 1024), compresslevel=9)
    assert len(bomb) < 1024 * 1024
    answer = client.post("/v2/models/sum/infer", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"{}")[:-9], b"nothing", gzip.compress(b"{}") + b"tail", b""],
    ids=["cut", "nothing", "with a tail", "empty"],
)
def test_damaged_compression_is_400(client, body):
    answer = client.post("/v2/models/sum/infer", content=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_an_unknown_compression_is_415(client):
    assert client.post("/v2/models/sum/infer", content=b"x", headers={"Content-Encoding": "br"}).status_code == 415


def test_a_body_above_the_limit_is_413(client):
    assert client.post("/v2/models/sum/infer", content=bytes(1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": SUM_BODY["inputs"][:1]}, "inputs"),
        ({"inputs": SUM_BODY["inputs"] * 2}, "twice"),
        ({"inputs": [{"name": ""}] * 257}, "at most length 256"),
        ({"outputs": [{"name": ""}] * 257}, "at most length 256"),
        ({"outputs": [{"name": "sums"}, {"name": "sums"}]}, "once"),
        ({"parameters": {"sequence_id": 7}}, "sequence_id"),
        ({"parameters": {"priority": -1}}, "priority"),
        ({"parameters": {"timeout": "soon"}}, "timeout"),
        ({"id": 7}, "id"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"shared_memory_region": "r"}}]}, "shared"),
        ({"outputs": [{"name": "sums", "parameters": {"shared_memory_region": "r"}}]}, "shared"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}, "neither"),
        ({"inputs": [SUM_BODY["inputs"][0] | {"parameters": {"binary_data_size": 12}}]}, "both"),
        ({"inputs": [{"name": "x", "shape": [1.5], "datatype": "FP32", "data": [1]}]}, "shape"),
    ],
)  # fmt: skip
def test_requests_that_contradict_themselves_are_400_and_say_why(client, change, words):
    answer = post(client, SUM_BODY | change)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999", "9" * 5000, "abc", " "])
def test_an_impossible_header_length_is_400(client, length):
    headers = {"Inference-Header-Content-Length": length}
    answer = client.post("/v2/models/sum/infer", content=json.dumps(SUM_BODY), headers=headers)
    assert answer.status_code == 400
    assert f"got '{length[:20]}'" in answer.json()["error"] or not length.strip()


@pytest.mark.parametrize(("size", "tail"), [(12, 11), (12, 13), (13, 13), (2**62, 12), (-1, 12), (0, 12)])
def test_binary_sizes_that_do_not_fit_are_400(client, size, tail):
    body = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": size}}]}
    assert post(client, body, bytes(tail), model="echo-FP32").status_code == 400


def test_pictures_of_other_shapes_names_or_beside_tensors_are_refused(client, jpeg):
    for shape in ([1, 1, 1], [], [0]):
        assert post(client, ask_picture(shape), jpeg, model="colours").status_code == 400
    renamed = ask_picture()
    renamed["inputs"][0]["name"] = "x"
    assert "'images'" in post(client, renamed, jpeg, model="colours").json()["error"]
    beside = ask_picture(binary_data_size=len(jpeg) + 4)
    beside["inputs"].append(SUM_BODY["inputs"][0])
    assert post(client, beside, prefix(jpeg), model="colours").status_code == 400


def test_strings_for_a_graph_that_takes_none_are_refused(client):
    body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "BYTES", "data": ["a"]}]}
    assert post(client, body, model="echo-FP32").status_code == 400


def claim_bytes(count, *names):
    return {
        "inputs": [
            {"name": name, "shape": [count], "datatype": "BYTES", "parameters": {"binary_data_size": 4 * count}}
            for name in names
        ]
    }


@pytest.mark.parametrize(
    ("model", "count", "names", "words"),
    [
        ("colours", 65, ["images"], "1 to 64 rows"),
        ("colours", 9, ["x"], "'images'"),
        ("sum", 9, ["z"], "inputs ['x', 'y']"),
        ("sum", 9, ["x"], "got BYTES"),
        ("sum", 40_000, ["x", "y"], "at most 65536 BYTES elements in all inputs together, got 80000"),
    ],
)
def test_bytes_that_a_model_does_not_take_are_refused_before_they_are_read(client, monkeypatch, model, count, names, words):
    monkeypatch.setattr(requests, "read_bytes_elements", None)
    answer = post(client, claim_bytes(count, *names), bytes(4 * count * len(names)), model=model)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def note_threads(monkeypatch, reader):
    threads, read = [], getattr(requests, reader)
    monkeypatch.setattr(requests, reader, lambda *given: (threads.append(threading.current_thread().name), read(*given))[1])
    return threads


def test_many_bytes_elements_are_counted_and_read_in_a_thread(client, bench, monkeypatch):
    threads = note_threads(monkeypatch, "read_bytes_elements")
    version = bench.host.versions["colours"]
    version.facts = msgspec.structs.replace(version.facts, max_batch=1000)
    for count in (10, 1000):
        answer = post(client, claim_bytes(count, "images"), bytes(4 * count), model="colours")
        assert (answer.status_code, "picture 0" in answer.json()["error"]) == (400, True)  # read, and empty
    assert bench.held_bytes == [10 * 200, 1000 * 200]
    assert [name.startswith("asyncio_") for name in threads] == [False, True]


@pytest.mark.parametrize(("datatype", "model", "held"), [("BF16", "echo-FP32", 4), ("BOOL", "echo-BOOL", 1)])
def test_numbers_that_are_no_views_are_counted_and_read_in_a_thread(client, bench, monkeypatch, datatype, model, held):
    threads = note_threads(monkeypatch, "decode_binary")
    for count in (10, 100_000):
        content = bytes(count * (2 if datatype == "BF16" else 1))
        one = {"name": "x", "shape": [1, count], "datatype": datatype, "parameters": {"binary_data_size": len(content)}}
        body = {"inputs": [one], "parameters": {"binary_data_output": True}}
        assert post(client, body, content, model=model).content.endswith(bytes(held * count))
        assert bench.held_bytes.pop() == held * count
    assert [name.startswith("asyncio_") for name in threads] == [False, True]


def test_inputs_are_counted_before_they_are_read(client, bench, monkeypatch):
    monkeypatch.setattr(requests, "decode_json", None)
    bench.has_room = False
    assert post(client, SUM_BODY).status_code == 503
