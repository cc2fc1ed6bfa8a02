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
