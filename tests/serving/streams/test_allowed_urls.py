import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.streams.allowed_urls import make_url_rule


def test_named_hosts_are_allowed_wherever_they_are() -> None:
    check = make_url_rule(["Camera.local", "127.0.0.1", "::1"])
    for url in ("rtsp://user:word@camera.LOCAL:554/a", "http://127.0.0.1/", "rtsp://[::1]:8554/x"):
        check(url)


def test_hosts_that_are_not_named_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no streams of 'localhost'.*operator") as raised:
        make_url_rule(["camera"])("http://localhost/")
    assert "camera" not in str(raised.value)  # which hosts there are is the operator's


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "localhost"])
def test_a_star_allows_no_address_of_the_own_network(host: str) -> None:
    with pytest.raises(InvalidInput):
        make_url_rule(["*"])(f"http://{host}/")


def test_a_star_allows_public_addresses() -> None:
    make_url_rule(["*"])("rtsp://8.8.8.8/live")


@pytest.mark.parametrize("host", ["x" * 70, "absent.invalid"])
def test_a_host_without_an_address_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match="not known"):
        make_url_rule(["*"])(f"http://{host}/")
