"""gRPC's health protocol; messages by hand: field 1 is the service of a request (0a), and the status of an answer (08)."""

import grpc
import pytest
from grpc_fakes import GrpcBench, read_failure, run_grpc

from sightline.serving.http.keys import Authenticator


def test_the_health_protocol_of_grpc_tells_whether_the_server_is_ready_and_needs_no_key(bench: GrpcBench) -> None:
    of_protocol, of_another = b"\x0a\x1e" + b"inference.GRPCInferenceService", b"\x0a\x05other"
    with run_grpc(bench, Authenticator([])) as address, grpc.insecure_channel(address) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=30) == check(of_protocol, timeout=30) == b"\x08\x01"  # SERVING
        bench.is_ready = False
        assert check(b"", timeout=30) == b"\x08\x02"  # NOT_SERVING
        assert read_failure(check, of_another).code() == grpc.StatusCode.NOT_FOUND
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        with pytest.raises(grpc.RpcError) as raised:
            list(watch(b"", timeout=30))
        assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED  # upon which clients ask no more
