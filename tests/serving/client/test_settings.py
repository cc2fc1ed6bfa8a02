import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.client.settings import make_headers


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it() -> None:
    assert make_headers("k3y") == {"Authorization": "Bearer k3y"}
    for key in ("", "a\r\nX: y", "schlüssel"):
        with pytest.raises(InvalidInput) as refused:
            make_headers(key)
        assert not key or key not in str(refused.value)
