import resource

import pytest

from sightline.core.errors import Exhausted
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits


def test_what_is_held_beside_bodies_is_counted_while_it_is_held_and_bounded() -> None:
    edge = Edge(ConnectionLimits(max_buffered_bytes=100))
    edge.buffered_bytes = 10
    with edge.hold(60):
        assert edge.buffered_bytes == 70
        with pytest.raises(Exhausted, match="in a moment"), edge.hold(31):
            pass
        with edge.hold(30):
            assert edge.buffered_bytes == 100
    assert edge.buffered_bytes == 10


@pytest.mark.parametrize(
    ("most_files", "connections", "of_one_address"),
    [(1_000_000, 1024, 512), (1024, 896, 448), (200, 72, 36), (64, 16, 8), (2, 1, 1)],
)
def test_connections_leave_files_for_models(
    most_files: int, connections: int, of_one_address: int, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge()
    edge.spare_files(most_files)
    assert (edge.limits.max_connections, edge.limits.max_connections_per_address) == (connections, of_one_address)
    assert ("ulimit -n" in caplog.text) == (connections < 1024)
    few = ConnectionLimits(max_connections=10)
    edge = Edge(few)
    edge.spare_files(200)
    assert edge.limits == few


@pytest.mark.parametrize(
    ("given", "granted"),
    [
        ((4096, 16), (896, 16)),
        ((4096, 448), (896, 448)),
        ((2000, 512), (896, 448)),  # no address may take more than half, as before
        ((1024, 1024), (896, 896)),  # behind a proxy all have one address
        ((1024, 600), (896, 600)),
    ],
)
def test_one_address_keeps_its_connections_where_they_fit(
    given: tuple[int, int], granted: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge(ConnectionLimits(max_connections=given[0], max_connections_per_address=given[1]))
    edge.spare_files(1024)
    assert (edge.limits.max_connections, edge.limits.max_connections_per_address) == granted
    words = f"at most {granted[0]} connections, {granted[1]} of one address, instead of {given[0]} and {given[1]}: this process"
    assert words in caplog.text


def test_unlimited_files_leave_the_limits_as_they_are() -> None:
    edge = Edge()
    edge.spare_files(resource.RLIM_INFINITY)
    assert edge.limits == ConnectionLimits()


@pytest.mark.parametrize(("most_files", "connections", "of_one_address"), [(1024, 448, 224), (200, 36, 18), (2, 1, 1)])
def test_connections_over_grpc_share_the_files(
    most_files: int, connections: int, of_one_address: int, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge(listeners=2)
    edge.spare_files(most_files)
    assert (edge.limits.max_connections, edge.limits.max_connections_per_address) == (connections, of_one_address)
    words = f"at most {connections} connections over HTTP and as many over gRPC, {of_one_address} of one address"
    assert words in caplog.text
