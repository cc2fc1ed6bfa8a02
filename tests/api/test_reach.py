import pytest

from sightline.api.reach import Reach
from sightline.core.errors import InvalidInput

REMOTE = Reach(host="0.0.0.0", has_tls=True, machine="box.lab.example")
PROXIED = Reach(behind_proxy=True, names=("vision.example",))


def test_this_machine_alone_needs_nothing() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        Reach(host=host).check(has_users=False)
    Reach(has_tls=True).check(has_users=False)


@pytest.mark.parametrize(
    ("reach", "users", "words"),
    [
        (REMOTE, False, "sightline users add NAME"),
        (PROXIED, False, "sightline users add NAME"),
        (Reach(host="0.0.0.0"), False, "users"),
        (Reach(host="0.0.0.0"), True, "`tls_certificate` for 0.0.0.0"),
        (Reach(host="::"), True, "`tls_certificate`"),
        (Reach(host="192.0.2.1"), True, "`tls_certificate`"),
        (Reach(host="box.lab.example"), True, "`tls_certificate`"),
        (Reach(behind_proxy=True), True, "`server_name`"),
        (Reach(behind_proxy=True, has_tls=True, names=("a.example",)), True, "leave one out"),
    ],
)
def test_others_come_in_only_as_users_and_encrypted(reach: Reach, users: bool, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        reach.check(users)


def test_users_and_encryption_open_the_network() -> None:
    REMOTE.check(has_users=True)
    PROXIED.check(has_users=True)
    Reach(host="0.0.0.0", behind_proxy=True, names=("vision.example",)).check(has_users=True)  # in a container


def test_loopback_answers_to_its_own_names_with_its_port() -> None:
    hosts = Reach().make_hosts(8000)
    assert all(map(hosts.allow, ("127.0.0.1:8000", "LOCALHOST:8000", "[::1]:8000")))
    others = ("127.0.0.1", "127.0.0.1:8001", "192.0.2.1:8000", "evil.example:8000", "localhost.evil.example:8000")
    assert not any(map(hosts.allow, (*others, "", ":8000", "[::1", "a b:8000")))
    assert Reach(host="127.0.0.2").make_hosts(8000).allow("127.0.0.2:8000")


def test_the_network_answers_to_addresses_and_known_names_and_no_others() -> None:
    hosts = Reach(host="0.0.0.0", has_tls=True, machine="box.lab.example", names=("vision.example",)).make_hosts(8443)
    known = ("192.0.2.1", "[2001:db8::1]", "box", "box.lab.example", "vision.example", "Vision.Example", "localhost")
    assert all(hosts.allow(f"{name}:8443") for name in known)
    assert not any(hosts.allow(name) for name in known)  # 443 is another port
    unknown = ("evil.example", "vision.example.evil.example", "192.0.2.1.evil.example", "0x7f.1", "2130706433")
    assert not any(hosts.allow(f"{name}:8443") for name in unknown)
    default = REMOTE.make_hosts(443)
    assert default.allow("box") and default.allow("box:443") and not default.allow("box:80")


def test_behind_a_proxy_its_name_counts_with_any_port() -> None:
    hosts = PROXIED.make_hosts(8000)
    assert hosts.allow("vision.example") and hosts.allow("vision.example:8443") and hosts.allow("127.0.0.1:8000")
    assert not hosts.allow("evil.example") and not hosts.allow("192.0.2.1:8000")


@pytest.mark.parametrize(
    ("reach", "port", "url"),
    [
        (Reach(), 8000, "http://127.0.0.1:8000"),
        (Reach(host="::1"), 8000, "http://[::1]:8000"),
        (Reach(), 80, "http://127.0.0.1"),
        (REMOTE, 8000, "https://box.lab.example:8000"),
        (Reach(host="192.0.2.1", has_tls=True), 443, "https://192.0.2.1"),
        (Reach(host="::", has_tls=True, names=("vision.example",)), 8443, "https://vision.example:8443"),
        (PROXIED, 8000, "https://vision.example"),
    ],
)
def test_the_link_names_what_a_browser_reaches(reach: Reach, port: int, url: str) -> None:
    assert reach.make_url(port) == url


def test_one_address_takes_only_its_share_where_others_come() -> None:
    limits = REMOTE.limits
    assert limits.max_connections_per_address <= limits.max_connections / 8
    for reach in (Reach(), PROXIED):  # where all have one address
        assert reach.limits.max_connections_per_address == reach.limits.max_connections
