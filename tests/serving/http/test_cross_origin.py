import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.http.cross_origin import read_origins


@pytest.mark.parametrize(
    ("listed", "sent"),
    [
        ("https://Lab.example:443", b"https://lab.example"),
        ("http://lab.example:80/", b"http://lab.example"),
        ("https://lab.example:8443", b"https://lab.example:8443"),
        ("http://[::1]:3000", b"http://[::1]:3000"),
        ("http://[2001:DB8:0:0::1]:3000", b"http://[2001:db8::1]:3000"),
        ("https://lab.example:0443", b"https://lab.example"),
        ("http://lab.example:08080", b"http://lab.example:8080"),
        ("https://lab.example:65535", b"https://lab.example:65535"),
        ("capacitor://localhost", b"capacitor://localhost"),
    ],
)
def test_origins_are_listed_as_people_write_them_and_compared_as_browsers_send_them(listed: str, sent: bytes) -> None:
    assert read_origins([listed]) == {sent}


@pytest.mark.parametrize(
    "listed",
    [
        *("lab.example", "*", "null", "https://lab.example/page", "https://user@lab.example", "https://", ""),
        *("https://lab.example:65536", "https://[1.2.3.4]", "https://[::g]", "https://[1::2::3]"),
    ],
)
def test_origins_that_no_browser_sends_are_refused(listed: str) -> None:
    with pytest.raises(InvalidInput, match="expected --allow-origin https://NAME"):
        read_origins([listed])
