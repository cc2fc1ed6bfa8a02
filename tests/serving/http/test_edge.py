import pytest

from sightline.core.errors import Exhausted
from sightline.serving.http.connection_rules import ConnectionLimits
from sightline.serving.http.edge import Edge


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
