"""How many connections there may be, and how one that must end is found."""

import asyncio
import socket
import threading
import warnings
from contextlib import ExitStack

import grpc
import pytest
from deaf_client import DeafClient
from grpc_fakes import make_request, run_grpc

from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.v2_grpc import connections
from sightline.serving.v2_grpc.connections import Connections, read_peer

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2_grpc

OTHER = "127.0.0.2"  # an address on loopback that is not the polite client's


def test_of_one_address_those_that_come_last_are_ended(bench, monkeypatch):
    looks = threading.Semaphore(0)

    def find_connections(port):
        yield from connections_of(port)
        looks.release()

    connections_of = connections.find_connections
    monkeypatch.setattr(connections, "find_connections", find_connections)
    monkeypatch.setattr(connections, "SWEEP_S", 0.02)
    limits = ConnectionLimits(max_connections=8, max_connections_per_address=3)
    with run_grpc(bench, limits=limits) as address, grpc.insecure_channel(address) as channel, ExitStack() as ends:

        def open_one():
            one = ends.enter_context(DeafClient(address, OTHER))
            one.call("ServerLive")
            return one

        first = [open_one() for _ in range(3)]
        for one in first:
            one.wait_for_heads()
        while looks.acquire(blocking=False):
            pass
        assert all(looks.acquire(timeout=30) for _ in range(2))  # the first one may have begun before
        for one in [open_one() for _ in range(2)]:
            one.wait_until_cut()
        for one in first:
            one.call("ServerLive")
            one.wait_for_heads()
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(make_request(), timeout=30).model_name == "gate"


def test_so_many_connections_are_open_at_once(bench):
    with run_grpc(bench, limits=ConnectionLimits(max_connections=1)) as address, DeafClient(address) as first:
        first.call("ServerLive")
        first.wait_for_heads()
        with DeafClient(address) as second:
            second.wait_until_cut()


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("ipv6:%5B::1%5D:50051", ("::1", 50051)),
        ("unix:", ("", 0)),
    ],
)
def test_a_peer_is_read_as_grpc_writes_it(peer, expected):
    assert read_peer(peer) == expected


def test_a_connection_is_found_by_both_its_ends_also_where_ipv4_comes_through_ipv6(monkeypatch):
    if not socket.has_dualstack_ipv6():
        pytest.skip("needs sockets for IPv4 and IPv6 at once")
    monkeypatch.setattr(connections, "CUT_DELAY_S", 0)

    async def cut(port, peer):
        watched = Connections()
        watched.watch(port, most_of_one=512)
        watched.cut(peer)
        for _ in range(3):
            await asyncio.sleep(0)
        watched.close()

    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as client,
            listener.accept()[0],
            socket.create_connection(("127.0.0.1", port), timeout=20) as bystander,
            listener.accept()[0] as theirs_end,
        ):
            asyncio.run(cut(port + 1, f"ipv4:127.0.0.1:{bystander.getsockname()[1]}"))  # of another server
            asyncio.run(cut(port, f"ipv4:127.0.0.1:{client.getsockname()[1]}"))
            assert client.recv(1) == b""
            theirs_end.sendall(b"x")
            assert bystander.recv(1) == b"x"
