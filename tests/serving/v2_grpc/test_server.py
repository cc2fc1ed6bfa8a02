"""The server's end of a call: status codes, deadlines, cancellation, keys, limits, TLS, and its own start and stop."""

import asyncio
import logging
import queue
import random
import shutil
import socket
import subprocess
import sys
import threading
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import msgspec
import pytest
from grpc_fakes import METHOD, make_request, read_failure, run_grpc
from v2_fakes import MAX_REQUEST_BYTES

from sightline.core.errors import Conflict, InvalidInput, MissingPackage, NotFound, QueueFull
from sightline.serving.http.keys import Authenticator, KeyRecord, create_key
from sightline.serving.http.limits import TokenBucket
from sightline.serving.http.tls import TlsFiles
from sightline.serving.v2_grpc.server import create_grpc_server

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2 as theirs
    from tritonclient.grpc import service_pb2_grpc


def test_a_full_queue_is_unavailable_and_says_when_to_come_again(stub, bench):
    bench.scheduler.refusal = QueueFull("the queue of gate is full", retry_after_s=0.25)
    failure = read_failure(stub.ModelInfer, make_request())
    assert failure.code() == grpc.StatusCode.UNAVAILABLE
    assert failure.details() == "the queue of gate is full"
    assert dict(failure.trailing_metadata()) == {"grpc-retry-pushback-ms": "250", "retry-after": "1"}


def test_a_client_with_a_retry_policy_comes_again_by_itself(address, bench):
    policy = """{"methodConfig": [{"name": [{"service": "inference.GRPCInferenceService"}], "retryPolicy": {"maxAttempts": 2,
        "initialBackoff": "60s", "maxBackoff": "60s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""
    refusals = [QueueFull("full", retry_after_s=0.01)]
    submit = bench.scheduler.submit

    def refuse_once(work):
        if refusals:
            raise refusals.pop()
        submit(work)

    bench.scheduler.submit = refuse_once
    with grpc.insecure_channel(address, options=[("grpc.service_config", policy), ("grpc.enable_retries", 1)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(make_request(), timeout=30).model_name == "gate"  # after 10 ms, not the policy's 60 s
    assert refusals == []


def test_a_request_that_waited_too_long_has_exceeded_its_deadline(stub, bench):
    bench.scheduler.is_late = True
    failure = read_failure(stub.ModelInfer, make_request())
    assert (failure.code(), failure.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "waited longer than 1 ms")
    assert failure.trailing_metadata() == ()


def test_a_defect_is_internal_and_says_nothing_of_the_inside(stub, bench, caplog):
    def fail():
        raise ValueError("/a/path/of/the/server")

    bench.host.index = fail
    with caplog.at_level(logging.ERROR, "sightline.serving"):
        failure = read_failure(stub.RepositoryIndex, theirs.RepositoryIndexRequest())
    assert failure.code() == grpc.StatusCode.INTERNAL
    assert "path" not in failure.details()
    assert "/a/path/of/the/server" in caplog.text


def test_a_call_that_is_cancelled_drops_its_work(stub, bench):
    bench.gate.opened.clear()
    call = stub.ModelInfer.future(make_request())
    assert bench.gate.entered.acquire(timeout=30)
    call.cancel()
    bench.wait_for_ended(1)
    assert bench.ended[0].is_cancelled


def test_a_call_whose_deadline_passes_drops_its_work(stub, bench):
    bench.gate.opened.clear()
    for timeout_s in (0.2, 2, 20):  # on a busy machine the first may pass before the call has come to the gate
        failure = read_failure(stub.ModelInfer, make_request(), timeout=timeout_s)
        assert failure.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        if bench.gate.entered.acquire(blocking=False):
            break
    bench.wait_for_ended(1)
    assert bench.ended[0].is_cancelled


def test_a_stream_whose_client_has_gone_drops_its_work(address, bench):
    bench.gate.opened.clear()
    channel = grpc.insecure_channel(address)
    call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter([make_request(), make_request()]))
    bench.wait_for_submitted(2)
    channel.close()
    bench.wait_for_ended(2)
    assert all(work.is_cancelled for work in bench.ended)
    del call


def test_polite_clients_are_answered_beside_those_that_hang_up(stub, bench):
    def be_polite(number):
        value = number.to_bytes(4, "little")
        return stub.ModelInfer(make_request(value=value), timeout=30).raw_output_contents[0] == value

    rude = [stub.ModelInfer.future(make_request()) for _ in range(16)]
    with ThreadPoolExecutor(48) as pool:
        polite = pool.map(be_polite, range(48))
        for call in rude:
            call.cancel()
        assert all(polite)


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe", b"\x2a\x03abc" * 1000])
def test_bytes_that_are_no_message_are_an_invalid_argument(address, body):
    with grpc.insecure_channel(address) as channel:
        failure = read_failure(channel.unary_unary(METHOD + "ModelInfer"), body)
        [answer] = channel.stream_stream(METHOD + "ModelStreamInfer")(iter([body]), timeout=30)
    assert failure.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "ModelInferRequest" in failure.details()
    assert "ModelInferRequest" in theirs.ModelStreamInferResponse.FromString(answer).error_message


def test_a_thousand_broken_messages_are_answered_or_refused_in_words(address, jpeg, caplog):
    sound = theirs.ModelInferRequest(model_name="colours", id="a", raw_input_contents=[len(jpeg).to_bytes(4, "little") + jpeg])
    sound.inputs.add(name="images", datatype="BYTES", shape=[1])
    sound.outputs.add(name="logits").parameters["classification"].int64_param = 2
    sound.parameters["priority"].uint64_param = 1
    body, rng = sound.SerializeToString(), random.Random(7)

    def break_body():
        broken = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(120 if rng.random() < 0.8 else len(broken))] = rng.randrange(256)
        return bytes(broken[: rng.randrange(len(broken))] if rng.random() < 0.2 else broken)

    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(METHOD + "ModelInfer")
        asked = [call.future(break_body(), timeout=60) for _ in range(1000)]
        codes = Counter(one.code() for one in asked)
        assert theirs.ModelInferResponse.FromString(call(body, timeout=30)).id == "a"
    assert codes.keys() <= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > 300
    assert caplog.text == ""


def test_a_stream_names_the_request_that_failed(stub):
    request = make_request("nothing")
    request.id = "a-7"
    [answer] = stub.ModelStreamInfer(iter([request]), timeout=30)
    assert "unknown model" in answer.error_message
    assert answer.infer_response.id == "a-7"


def test_a_call_without_a_message_is_an_invalid_argument(address):
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_unary(METHOD + "ModelInfer")
        failure = read_failure(call, iter(()))
    assert (failure.code(), failure.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "expected one message ModelInferRequest, got none",
    )


def test_a_message_that_does_not_come_is_given_up(bench):
    release = threading.Event()

    def stall():
        release.wait(30)
        yield from ()

    with run_grpc(bench, message_timeout_s=0.1) as address, grpc.insecure_channel(address) as channel:
        failure = read_failure(channel.stream_unary(METHOD + "ModelInfer"), stall())
        release.set()
    assert failure.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "not complete after 0.1 s" in failure.details()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_messages_above_the_limit_are_refused_also_when_compression_hides_their_size(stub, caplog, compression):
    request = make_request(value=bytes(MAX_REQUEST_BYTES + 1))
    failure = read_failure(stub.ModelInfer, request, compression=compression)
    assert failure.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
    assert caplog.text == ""


def test_an_oversized_message_ends_its_stream(stub, caplog):
    stream = stub.ModelStreamInfer(iter([make_request(), make_request(value=bytes(MAX_REQUEST_BYTES + 1))]), timeout=30)
    with pytest.raises(grpc.RpcError) as raised:
        list(stream)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
    assert caplog.text == ""


def test_repository_names_are_not_offered(stub):
    for call, request in (
        (stub.RepositoryIndex, theirs.RepositoryIndexRequest(repository_name="r")),
        (stub.RepositoryModelLoad, theirs.RepositoryModelLoadRequest(repository_name="r", model_name="sum")),
    ):
        assert read_failure(call, request).code() == grpc.StatusCode.UNIMPLEMENTED


# Keys


def make_keys(**limits):
    token, record = create_key("line-3")
    return token, Authenticator([KeyRecord(name=record.name, hash=record.hash, **limits)])


def test_a_key_is_asked_for_but_not_by_health(bench):
    token, authenticator = make_keys(is_admin=True)
    with run_grpc(bench, authenticator) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
        assert stub.ServerReady(theirs.ServerReadyRequest(), timeout=30).ready
        for metadata in ((), (("authorization", "Bearer wrong"),), (("x-api-key", token + "x"),), (("authorization", token),)):
            failure = read_failure(stub.ModelInfer, make_request(), metadata=metadata)
            assert failure.code() == grpc.StatusCode.UNAUTHENTICATED
            assert token not in failure.details()
        for call in (stub.ServerMetadata, stub.RepositoryIndex, stub.ModelStatistics):
            assert read_failure(call, theirs.ServerMetadataRequest()).code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.ModelStreamInfer(iter([make_request()]), timeout=30))
        assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert bench.scheduler.works == []
        for metadata in (
            (("authorization", f"Bearer {token}"),),
            (("authorization", f"bearer {token}"),),
            (("x-api-key", token),),
        ):
            stub.ModelInfer(make_request(), metadata=metadata, timeout=30)
        stub.RepositoryModelLoad(theirs.RepositoryModelLoadRequest(model_name="sum"), metadata=metadata, timeout=30)
    assert [work.tenant for work in bench.scheduler.works] == ["line-3"] * 3


def test_a_key_reaches_its_own_models_only_and_may_not_administer(bench):
    token, authenticator = make_keys(models=("gate",))
    metadata = (("x-api-key", token),)
    with run_grpc(bench, authenticator) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def ask(call, request):
            return call(request, metadata=metadata, timeout=30)

        assert ask(stub.ModelInfer, make_request()).model_name == "gate"
        assert [one.name for one in ask(stub.RepositoryIndex, theirs.RepositoryIndexRequest()).models] == ["gate"]
        assert [one.name for one in ask(stub.ModelStatistics, theirs.ModelStatisticsRequest()).model_stats] == ["gate"]
        for call, request in (
            (stub.ModelInfer, make_request("sum")),
            (stub.ModelReady, theirs.ModelReadyRequest(name="sum")),
            (stub.ModelMetadata, theirs.ModelMetadataRequest(name="sum")),
            (stub.ModelConfig, theirs.ModelConfigRequest(name="sum")),
            (stub.ModelStatistics, theirs.ModelStatisticsRequest(name="sum")),
            (stub.RepositoryModelLoad, theirs.RepositoryModelLoadRequest(model_name="gate")),
            (stub.RepositoryModelUnload, theirs.RepositoryModelUnloadRequest(model_name="gate")),
        ):
            assert read_failure(call, request, metadata=metadata).code() == grpc.StatusCode.PERMISSION_DENIED
        [answer] = stub.ModelStreamInfer(iter([make_request("sum")]), metadata=metadata, timeout=30)
        assert "may not use the model 'sum'" in answer.error_message


def test_a_key_is_held_to_its_rate_and_says_when_to_come_again(bench):
    token, authenticator = make_keys(requests_per_s=0.001, burst=2)
    metadata = (("x-api-key", token),)
    with run_grpc(bench, authenticator) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(make_request(), metadata=metadata, timeout=30)
        [first, second] = stub.ModelStreamInfer(iter([make_request(), make_request()]), metadata=metadata, timeout=30)
        failure = read_failure(stub.ModelInfer, make_request(), metadata=metadata)
    assert (first.error_message, second.error_message) == ("", failure.details())  # each message of a stream is a request
    assert failure.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert 900 < int(dict(failure.trailing_metadata())["retry-after"]) <= 1000


def test_a_key_is_held_to_its_requests_at_once(bench):
    token, authenticator = make_keys(max_concurrent=1)
    metadata = (("x-api-key", token),)
    with run_grpc(bench, authenticator) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        bench.gate.opened.clear()
        running = stub.ModelInfer.future(make_request(), metadata=metadata)
        assert bench.gate.entered.acquire(timeout=30)
        assert read_failure(stub.ModelInfer, make_request(), metadata=metadata).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        bench.gate.opened.set()
        running.result(30)
        stub.ModelInfer(make_request(), metadata=metadata, timeout=30)


def test_all_callers_together_are_held_to_a_rate_but_not_health(bench):
    with run_grpc(bench, bucket=TokenBucket(0.01, 1)) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(make_request(), timeout=30)
        failure = read_failure(stub.ModelInfer, make_request())
        assert stub.ServerLive(theirs.ServerLiveRequest(), timeout=30).live
    assert failure.code() == grpc.StatusCode.UNAVAILABLE
    assert 90 < int(dict(failure.trailing_metadata())["retry-after"]) <= 100


def test_a_key_beyond_its_own_rate_does_not_spend_what_all_may_send(bench):
    (greedy, first), (modest, second) = create_key("greedy"), create_key("modest")
    authenticator = Authenticator([msgspec.structs.replace(first, requests_per_s=0.01), second])
    with (
        run_grpc(bench, authenticator, bucket=TokenBucket(0.01, 2)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(make_request(), metadata=(("x-api-key", greedy),), timeout=30)
        for _ in range(3):
            failure = read_failure(stub.ModelInfer, make_request(), metadata=(("x-api-key", greedy),))
            assert failure.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        stub.ModelInfer(make_request(), metadata=(("x-api-key", modest),), timeout=30)


def test_every_request_is_told_of_for_the_access_log(bench):
    records = []
    token, authenticator = make_keys()
    metadata = (("x-api-key", token),)
    with run_grpc(bench, authenticator, observers=[records.append]) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = make_request()
        answer = stub.ModelInfer(request, metadata=metadata, timeout=30)
        read_failure(stub.ModelInfer, make_request())
        read_failure(stub.ModelInfer, make_request("nothing"), metadata=metadata)
        list(stub.ModelStreamInfer(iter([make_request(), make_request("nothing")]), metadata=metadata, timeout=30))
        with pytest.raises(grpc.RpcError):
            list(stub.ModelStreamInfer(iter([make_request()]), timeout=30))
        while bench.gate.entered.acquire(blocking=False):
            pass  # those before
        bench.gate.opened.clear()
        call = stub.ModelInfer.future(request, metadata=metadata)
        assert bench.gate.entered.acquire(timeout=30)
        call.cancel()
        bench.wait_for_ended(3)
    call, stream = "/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ModelStreamInfer"
    assert sorted((one.path, one.status, one.tenant) for one in records) == [
        (call, 200, "line-3"), (call, 401, ""), (call, 404, "line-3"), (call, 499, "line-3"),
        (stream, 200, "line-3"), (stream, 401, ""), (stream, 404, "line-3"),
    ]  # fmt: skip
    assert sorted((one.status, one.bytes_in) for one in records if one.path == call)[1:] == [
        (401, 0), (404, make_request("nothing").ByteSize()), (499, request.ByteSize()),
    ]  # fmt: skip
    assert len({one.request_id for one in records}) == len(records) and all(one.request_id for one in records)
    first = records[0]
    assert (first.method, first.remote) == ("GRPC", "127.0.0.1")
    assert (first.bytes_in, first.bytes_out) == (request.ByteSize(), answer.ByteSize())
    assert first.duration_s > 0


def test_the_id_that_a_client_gives_stands_in_the_access_log(bench):
    records = []
    with run_grpc(bench, observers=[records.append]) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for given in ("line-7/42", "a b" * 3, "x" * 200):
            stub.ModelInfer(make_request(), metadata=(("x-request-id", given),), timeout=30)
    assert records[0].request_id == "line-7/42"
    assert not {records[1].request_id, records[2].request_id} & {"", "a b" * 3, "x" * 200}


def test_what_an_answer_repeats_of_a_request_is_one_short_line(stub):
    failure = read_failure(stub.ModelConfig, theirs.ModelConfigRequest(name="no\nsuch\r\n" * 10_000))
    assert failure.code() == grpc.StatusCode.NOT_FOUND
    assert len(failure.details()) <= 1000
    assert "\n" not in failure.details()


# The server itself


def test_it_also_runs_on_asyncios_own_loop(bench):
    with run_grpc(bench, is_uvloop=False) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(make_request(), timeout=30).model_name == "gate"


def create(bench):
    return create_grpc_server(bench.service, bench.host, bench.statistics, max_request_bytes=1000)


def test_a_port_that_is_taken_is_a_conflict(bench, capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"127.0.0.1 port {port}"):
            asyncio.run(create(bench).start("127.0.0.1", port))
    assert capfd.readouterr().err == ""


def test_a_connection_without_a_call_ends(bench):
    with run_grpc(bench, idle_s=0.1) as address, grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ServerLive(theirs.ServerLiveRequest(), timeout=30)
        states = queue.SimpleQueue()
        channel.subscribe(states.put)
        while states.get(timeout=30) != grpc.ChannelConnectivity.IDLE:
            pass
        stub.ServerLive(theirs.ServerLiveRequest(), timeout=30)  # it connects again by itself


def test_two_servers_do_not_share_a_port(bench, address):
    with pytest.raises(Conflict):
        asyncio.run(create(bench).start("127.0.0.1", int(address.partition(":")[2])))


def test_stopping_lets_running_calls_end(bench):
    bench.gate.opened.clear()
    with ThreadPoolExecutor(1) as pool:
        with run_grpc(bench) as address:
            channel = grpc.insecure_channel(address)
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            answer = pool.submit(stub.ModelInfer, make_request(), timeout=30)
            assert bench.gate.entered.acquire(timeout=30)
        assert answer.result(30).model_name == "gate"  # the gate opened while the server was stopping
        channel.close()


def test_a_server_that_never_started_can_be_stopped(bench):
    asyncio.run(create(bench).stop(1))


def test_without_grpc_the_package_is_asked_for_by_name(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(MissingPackage, match=r"gRPC needs grpc; pip install 'sightline\[grpc\]'"):
        create(bench)


def write_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate of `localhost`, and its key, as PEM files."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl")
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_tls(bench, tmp_path):
    certificate, key = write_certificate(tmp_path)
    with run_grpc(bench, tls=TlsFiles(certificate, key)) as address:
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        options = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(address, credentials, options) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ModelInfer(make_request(), timeout=30).model_name == "gate"
        with grpc.insecure_channel(address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert read_failure(stub.ModelInfer, make_request()).code() == grpc.StatusCode.UNAVAILABLE


def test_only_clients_of_the_authority_are_served(bench, tmp_path):
    certificate, key = write_certificate(tmp_path)
    authority, client_key = write_certificate(tmp_path, "client")
    stranger, stranger_key = write_certificate(tmp_path, "stranger")
    root, options = certificate.read_bytes(), [("grpc.ssl_target_name_override", "localhost")]

    def ask(*client: Path):
        """Args: client: key and certificate; none for a client that has none."""
        credentials = grpc.ssl_channel_credentials(root, *(path.read_bytes() for path in client))
        with grpc.secure_channel(address, credentials, options) as channel:
            return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=30)

    with run_grpc(bench, tls=TlsFiles(certificate, key, authority)) as address:
        for client in ((), (stranger_key, stranger)):
            with pytest.raises(grpc.RpcError) as raised:
                ask(*client)
            assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert bench.scheduler.works == []
        assert ask(client_key, authority).model_name == "gate"


def test_a_key_may_stand_in_the_file_of_its_certificate(bench, tmp_path):
    certificate, key = write_certificate(tmp_path)
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    with run_grpc(bench, tls=TlsFiles(certificate)) as address:
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", "localhost")]) as channel:
            assert service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=30)


def test_tls_files_that_are_none_are_refused(bench, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text("no certificate")
    with pytest.raises(NotFound, match=r"key\.pem"):
        asyncio.run(create(bench).start("127.0.0.1", 0, TlsFiles(certificate, key)))
    key.write_text("no key")
    with pytest.raises(InvalidInput, match=r"cert\.pem"):
        asyncio.run(create(bench).start("127.0.0.1", 0, TlsFiles(certificate, key)))
