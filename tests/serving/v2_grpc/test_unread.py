"""Clients that do not read their answers: when they are cut off, and what they may not take from others meanwhile."""

import asyncio
import queue
import threading
import time
import warnings

import grpc
import numpy as np
import pytest
from deaf_client import DeafClient
from grpc_fakes import make_request, read_failure, run_grpc
from v2_fakes import NumpyVersion, make_facts, tensor

from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.v2_grpc import dispatch, refusals, unread
from sightline.serving.v2_grpc.unread import Unread

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2 as theirs
    from tritonclient.grpc import service_pb2_grpc

OTHER = "127.0.0.2"  # an address on loopback that is not the polite clients'
CALLS = {
    "ServerLive": theirs.ServerLiveRequest(),
    "ModelInfer": make_request("wide"),
    "ModelStreamInfer": make_request("wide"),
}


def add_wide(bench, columns):
    """The model `wide`: four bytes in, four for each column out."""
    facts = make_facts("wide", inputs=(tensor("x", "FP32", -1, 1),), outputs=(tensor("y", "FP32", -1, columns),))
    bench.host.versions["wide"] = NumpyVersion(facts, lambda inputs: {"y": np.zeros((1, columns), np.float32)})
    bench.host.loaded.add("wide")


@pytest.mark.parametrize("name", CALLS)
def test_who_does_not_read_an_answer_in_time_is_cut_off_and_nobody_else(bench, monkeypatch, name):
    monkeypatch.setattr(unread, "READ_TIMEOUT_S", 0.2)
    add_wide(bench, columns=1)
    is_cut = threading.Event()

    def ask_twice():
        yield make_request()
        assert is_cut.wait(30)
        yield make_request()

    with run_grpc(bench) as address, grpc.insecure_channel(address) as channel, DeafClient(address) as deaf:
        polite = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(ask_twice(), timeout=60)
        next(polite)
        deaf.call(name, CALLS[name].SerializeToString())
        deaf.wait_until_cut()
        is_cut.set()
        assert next(polite).infer_response.model_name == "gate"


@pytest.mark.parametrize("name", CALLS)
def test_who_is_cut_off_without_an_answer_is_logged_as_499(bench, monkeypatch, name):
    monkeypatch.setattr(unread, "READ_TIMEOUT_S", 0.2)
    add_wide(bench, columns=1)
    records = []
    with run_grpc(bench, observers=[records.append]) as address, DeafClient(address) as deaf:
        deaf.call(name, CALLS[name].SerializeToString())
        deaf.wait_until_cut()
    assert [(record.path.rpartition("/")[2], record.status) for record in records] == [(name, 499)]


@pytest.mark.parametrize("end", ["cancel", "hang up"])
def test_who_gives_up_while_the_answer_is_sent_is_logged_as_499_and_nothing_else(bench, caplog, end):
    add_wide(bench, columns=100_000)
    told = queue.SimpleQueue()
    with run_grpc(bench, observers=[told.put]) as address, DeafClient(address) as deaf:
        call = deaf.call("ModelInfer", make_request("wide").SerializeToString())
        deaf.wait_for_heads()
        if end == "cancel":
            deaf.cancel(call)
        else:
            deaf.close()
        record = told.get(timeout=30)
    assert (record.status, record.bytes_out > 400_000) == (499, True)
    assert not caplog.records


def test_an_answer_that_is_being_sent_at_its_deadline_is_logged_as_499_and_nothing_else(bench, caplog):
    add_wide(bench, columns=100_000)
    told = queue.SimpleQueue()
    with run_grpc(bench, observers=[told.put]) as address, DeafClient(address) as deaf:
        for timeout in ("500m", "5S", "20S"):  # on a busy machine the first may pass before anything is sent
            deaf.call("ModelInfer", make_request("wide").SerializeToString(), timeout=timeout)
            record = told.get(timeout=30)
            assert record.status == 499 and not caplog.records
            if record.bytes_out:
                break
    assert record.bytes_out > 400_000


def test_answers_of_a_stream_that_ends_before_they_are_sent_are_logged_as_499(bench, monkeypatch):
    records, is_refused = [], threading.Event()

    def describe_failure(record, error):
        is_refused.set()
        return refusals.describe_failure(record, error)

    monkeypatch.setattr(dispatch, "describe_failure", describe_failure)

    def ask_twice():
        bench.gate.opened.clear()
        yield make_request()
        yield make_request("nothing")  # answered at once, but behind the first

    with run_grpc(bench, observers=[records.append]) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert not next(stub.ModelStreamInfer(iter([make_request()]), timeout=30)).error_message
        cancelled = stub.ModelStreamInfer(ask_twice(), timeout=30)
        assert all(bench.gate.entered.acquire(timeout=30) for _ in range(2))
        assert is_refused.wait(30)
        cancelled.cancel()
        bench.wait_for_ended(2)
    assert [record.status for record in records] == [200, 499, 499]


def test_calls_whose_answers_are_not_read_keep_nobody_out(bench):
    with run_grpc(bench) as address, DeafClient(address, OTHER) as deaf, grpc.insecure_channel(address) as channel:
        deaf.call("ServerLive", count=1200)
        deaf.wait_for_heads(1200)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
        assert stub.ModelInfer(make_request(), timeout=30).model_name == "gate"


def test_half_of_the_calls_are_one_callers_and_health_has_places_of_its_own(bench, monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_CALLS", 4)
    body = make_request().SerializeToString()
    with run_grpc(bench) as address, DeafClient(address, OTHER) as deaf, grpc.insecure_channel(address) as channel:
        deaf.call("ModelInfer", body, count=8)
        deaf.wait_for_heads(8)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(make_request(), timeout=30).model_name == "gate"
        with DeafClient(address) as other:
            other.call("ModelInfer", body, count=8)
            other.wait_for_heads(8)
            failure = read_failure(stub.ModelInfer, make_request())
            assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
    assert failure.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "2 calls run" in failure.details()


def test_large_answers_that_are_not_read_give_way_to_others(bench):
    add_wide(bench, columns=100_000)
    edge = Edge(ConnectionLimits(max_buffered_bytes=900_000))
    options = {"hold": edge.hold, "count_unread": edge.count_unread}
    with run_grpc(bench, **options) as address, DeafClient(address) as deaf, grpc.insecure_channel(address) as channel:
        for name in ("ModelInfer", "ModelStreamInfer"):
            deaf.call(name, make_request("wide").SerializeToString())
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        due_s = time.monotonic() + 20
        while edge.buffered_bytes < 800_000:  # until both are being sent
            assert time.monotonic() < due_s
            assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
        request = make_request()
        request.id = "a" * 500_000
        assert stub.ModelInfer(request, timeout=30).model_name == "gate"
        deaf.wait_until_cut()
    assert edge.buffered_bytes == 0


def test_answers_that_are_read_are_counted_no_more(bench):
    add_wide(bench, columns=100_000)
    edge = Edge()
    with run_grpc(bench, hold=edge.hold, count_unread=edge.count_unread) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert len(stub.ModelInfer(make_request("wide"), timeout=30).raw_output_contents[0]) == 400_000
        assert len(list(stub.ModelStreamInfer(iter([make_request("wide")] * 3), timeout=30))) == 3
    assert edge.buffered_bytes == 0


def test_who_reads_on_is_not_cut_off_before_those_who_read_nothing():
    told = []

    async def send_twice() -> None:
        unread = Unread(lambda: None, lambda _, size_bytes: told.append(size_bytes))
        unread.add(100_000)
        unread.add(200_000)
        with unread.sending(100_000):
            pass
        with unread.sending(200_000):
            pass

    asyncio.run(send_twice())
    assert told == [100_000, 300_000, 0, 200_000, 0]
