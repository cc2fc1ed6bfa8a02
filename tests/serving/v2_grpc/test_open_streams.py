"""Which streams have a place, and which one gives way."""

import queue
import warnings

import grpc
import pytest
from deaf_client import DeafClient
from grpc_fakes import make_request, run_grpc

from sightline.serving.http.keys import Authenticator, create_key
from sightline.serving.v2_grpc import dispatch, open_streams

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2_grpc

OTHER = "127.0.0.2"  # an address on loopback that is not the other clients'


class Talk:
    """A stream that is open, of whose first message the answer has come."""

    def __init__(self, channel, metadata=()):
        self._requests = queue.SimpleQueue()
        self.answers = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(
            iter(self._requests.get, None), timeout=60, metadata=metadata
        )
        self.say()
        try:
            self.hear()
        except grpc.RpcError:
            self._requests.put(None)
            raise

    def say(self):
        self._requests.put(make_request())

    def hear(self):
        assert next(self.answers).infer_response.model_name == "gate"

    def end(self):
        self._requests.put(None)
        assert list(self.answers) == []

    def read_end(self):
        """What the server ended it with."""
        with pytest.raises(grpc.RpcError) as raised:
            next(self.answers)
        self._requests.put(None)
        return raised.value


def open_in_place_of_another(channel):
    """A stream that is refused until another is silent: a client has its answer before the server knows that it is sent."""
    for _ in range(1000):
        try:
            return Talk(channel)
        except grpc.RpcError as error:
            assert "streams are open" in error.details()
    raise AssertionError("no stream gave way")


def read_refusal(channel, metadata=()):
    with pytest.raises(grpc.RpcError) as raised:
        list(service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(()), timeout=30, metadata=metadata))
    return raised.value.code()


def test_half_of_the_streams_are_one_addresses(bench, monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_STREAMS", 4)
    with run_grpc(bench) as address, DeafClient(address, OTHER) as silent, grpc.insecure_channel(address) as channel:
        silent.call("ModelStreamInfer", lacks_bytes=1, count=4)
        silent.wait_for_heads(2)  # the refusals of the third and the fourth
        talks = [Talk(channel), Talk(channel)]
        assert read_refusal(channel) == grpc.StatusCode.RESOURCE_EXHAUSTED
        with DeafClient(address, "127.0.0.3") as third:
            third.call("ModelStreamInfer", lacks_bytes=1)
            third.wait_for_heads()
        for talk in talks:
            talk.end()


def test_half_of_the_streams_are_one_keys(bench, monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_STREAMS", 2)
    (greedy, first), (modest, second) = create_key("greedy"), create_key("modest")
    keys = Authenticator([first, second])
    with run_grpc(bench, keys) as address, grpc.insecure_channel(address) as channel:
        talk = Talk(channel, (("x-api-key", greedy),))
        assert read_refusal(channel, (("x-api-key", greedy),)) == grpc.StatusCode.RESOURCE_EXHAUSTED
        Talk(channel, (("x-api-key", modest),)).end()
        talk.end()


@pytest.mark.parametrize("count", [1, 4])
def test_the_stream_that_has_been_silent_longest_gives_way(bench, monkeypatch, count):
    monkeypatch.setattr(dispatch, "MAX_STREAMS", count)
    monkeypatch.setattr(open_streams, "SILENT_S", 1e-6)
    with run_grpc(bench) as address, grpc.insecure_channel(address) as channel:
        first, *others = [Talk(channel) for _ in range(max(1, count // 2))]
        newcomer = open_in_place_of_another(channel)
        failure = first.read_end()
        for talk in (newcomer, *others):
            talk.say()
            talk.hear()
            talk.end()
    assert failure.code() == grpc.StatusCode.UNAVAILABLE and "another stream needs the place" in failure.details()
    assert dict(failure.trailing_metadata())["retry-after"] == "1"


def test_a_stream_with_something_in_work_does_not_give_way(bench, monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_STREAMS", 1)
    monkeypatch.setattr(open_streams, "SILENT_S", 1e-6)
    with run_grpc(bench) as address, grpc.insecure_channel(address) as channel:
        talk = Talk(channel)
        bench.gate.opened.clear()
        talk.say()
        bench.wait_for_submitted(2)
        assert read_refusal(channel) == grpc.StatusCode.UNAVAILABLE
        bench.gate.opened.set()
        talk.hear()
        talk.end()


def test_a_caller_that_has_its_half_loses_a_stream_of_its_own(bench, monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_STREAMS", 4)
    with run_grpc(bench) as address, DeafClient(address, OTHER) as silent, grpc.insecure_channel(address) as channel:
        silent.call("ModelStreamInfer", lacks_bytes=1)
        talks = [Talk(channel), Talk(channel)]
        assert read_refusal(channel) == grpc.StatusCode.RESOURCE_EXHAUSTED
        monkeypatch.setattr(open_streams, "SILENT_S", 1e-6)
        newcomer = open_in_place_of_another(channel)
        talks.pop(0).read_end()
        for talk in (newcomer, *talks):
            talk.say()
            talk.hear()
            talk.end()


def test_a_stream_keeps_its_place_however_silent_while_nobody_needs_it(bench, monkeypatch):
    monkeypatch.setattr(open_streams, "SILENT_S", 1e-6)
    with run_grpc(bench) as address, grpc.insecure_channel(address) as channel:
        talks = [Talk(channel) for _ in range(4)]
        for talk in talks:
            talk.say()
            talk.hear()
            talk.end()
