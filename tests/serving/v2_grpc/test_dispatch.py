"""What the messages of all calls together may cost: bytes in work, slow ones, open streams."""

import queue
import threading
import warnings

import grpc
import numpy as np
import pytest
from deaf_client import WINDOW_UPDATE, DeafClient
from grpc_fakes import METHOD, make_request, read_failure, run_grpc
from v2_fakes import MAX_REQUEST_BYTES, NumpyVersion, make_facts, tensor

from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.v2_grpc import dispatch

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2 as theirs
    from tritonclient.grpc import service_pb2_grpc


def make_long_request(size_bytes):
    request = make_request()
    request.id = "a" * size_bytes
    return request


def test_messages_are_counted_with_all_bodies_until_they_are_answered(bench):
    edge = Edge(ConnectionLimits(max_buffered_bytes=1000))
    with run_grpc(bench, hold=edge.hold) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        bench.gate.opened.clear()
        first = stub.ModelInfer.future(make_long_request(600))
        assert bench.gate.entered.acquire(timeout=30)
        assert edge.buffered_bytes == make_long_request(600).ByteSize()
        failure = read_failure(stub.ModelInfer, make_long_request(600))
        [answer] = stub.ModelStreamInfer(iter([make_long_request(600)]), timeout=30)
        bench.gate.opened.set()
        assert first.result(30).id
        assert stub.ModelInfer(make_long_request(600), timeout=30).id
        assert [one.infer_response.id for one in stub.ModelStreamInfer(iter([make_long_request(600)]), timeout=30)] == [
            "a" * 600
        ]
    assert (failure.code(), answer.error_message) == (grpc.StatusCode.UNAVAILABLE, failure.details())
    assert "too large together" in failure.details() and dict(failure.trailing_metadata())["retry-after"] == "1"
    assert edge.buffered_bytes == 0


def test_a_stream_is_read_on_as_its_messages_are_answered(stub, bench):
    bench.gate.opened.clear()
    stream = stub.ModelStreamInfer(iter([make_long_request(MAX_REQUEST_BYTES * 2 // 5)] * 8), timeout=30)
    bench.wait_for_submitted(3)
    for _ in range(50):  # in which more would come
        assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
    assert len(bench.scheduler.works) == 3  # the third one made them larger than one message may be
    bench.gate.opened.set()
    assert sum(not one.error_message for one in stream) == 8


def test_a_stream_whose_answers_are_not_read_is_not_read_on(address, bench):
    facts = make_facts("wide", inputs=(tensor("x", "FP32", -1, 1),), outputs=(tensor("y", "FP32", -1, MAX_REQUEST_BYTES // 8),))
    wide = NumpyVersion(facts, lambda inputs: {"y": np.zeros((1, MAX_REQUEST_BYTES // 8), np.float32)})
    bench.host.versions["wide"] = wide
    bench.host.loaded.add("wide")

    def ask():
        for _ in range(2):  # two answers fill the stream's room
            yield make_request("wide")
            bench.wait_for_ended(1)
        yield from [make_request("wide")] * 8

    with grpc.insecure_channel(address, options=[("grpc.http2.bdp_probe", 0)]) as channel:  # it takes no more than 64 KB unread
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stream = stub.ModelStreamInfer(ask(), timeout=30)
        bench.wait_for_submitted(2)
        for _ in range(50):  # in which more would come
            assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
        assert len(bench.scheduler.works) <= 4  # one answer may be under way beside the two
        assert sum(not one.error_message for one in stream) == 10


def test_few_messages_at_once_may_be_slow_to_come(bench, monkeypatch):
    monkeypatch.setattr(dispatch, "PROMPT_S", 0.1)
    monkeypatch.setattr(dispatch, "MAX_SLOW", 1)
    release = threading.Event()

    def stall():
        release.wait(30)
        yield make_request().SerializeToString()

    with run_grpc(bench) as address, grpc.insecure_channel(address) as channel:
        call = channel.stream_unary(METHOD + "ModelInfer")
        slow = [call.future(stall()) for _ in range(2)]
        failures = queue.SimpleQueue()
        for one in slow:
            one.add_done_callback(failures.put)
        failed = failures.get(timeout=30)
        assert service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=30).model_name == "gate"
        release.set()
        [other] = [one for one in slow if one is not failed]
        assert theirs.ModelInferResponse.FromString(other.result(30)).model_name == "gate"
    assert failed.code() == grpc.StatusCode.UNAVAILABLE and "1 slow messages" in failed.details()


def test_so_many_streams_are_open_at_once(bench, monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_STREAMS", 1)
    release = threading.Event()

    def ask_twice():
        yield make_request()
        release.wait(30)
        yield make_request()

    with run_grpc(bench) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        first = stub.ModelStreamInfer(ask_twice(), timeout=30)
        next(first)
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.ModelStreamInfer(iter([make_request()]), timeout=30))
        release.set()
        assert len(list(first)) == 1
        assert len(list(stub.ModelStreamInfer(iter([make_request()]), timeout=30))) == 1
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE and "1 streams are open" in raised.value.details()


def test_so_many_messages_are_on_their_way_at_once_and_others_wait(bench):
    with run_grpc(bench, max_messages=1) as address, DeafClient(address) as slow, grpc.insecure_channel(address) as channel:
        stalled = slow.call("ModelInfer", lacks_bytes=1)
        waiting = slow.call("ModelInfer", bytes(1000), lacks_bytes=MAX_REQUEST_BYTES // 2)
        slow.call("ServerLive")
        came = slow.wait_for_heads()
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        polite = stub.ModelInfer.future(make_request())
        for _ in range(50):  # in which it would be answered
            assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
        assert not polite.done()
        assert (WINDOW_UPDATE, waiting) not in came  # nor is more asked for than fits a window
        slow.cancel(stalled)
        slow.wait_for(WINDOW_UPDATE, waiting)
        slow.cancel(waiting)
        assert polite.result(30).model_name == "gate"


def test_half_of_the_messages_on_their_way_are_one_callers(bench):
    with (
        run_grpc(bench, max_messages=2) as address,
        DeafClient(address, "127.0.0.2") as slow,
        grpc.insecure_channel(address) as channel,
    ):
        slow.call("ModelInfer", lacks_bytes=1, count=3)
        slow.call("ServerLive", lacks_bytes=1, count=3)
        slow.call("ServerReady")
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(make_request(), timeout=4).model_name == "gate"  # sooner than a message is slow
        assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=4).live
