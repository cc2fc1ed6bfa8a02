"""Which cameras may be opened: those whose host the operator named; "*" allows every host on the public internet besides.

A host that is named may be a private address, since that is where cameras are. Any other must have public addresses only; what
its name leads to a moment later, when the decoder opens it, is beyond this check, so "*" is for networks without secrets.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from sightline.core.errors import InvalidInput
from sightline.serving.http.image_url import is_public

ANY_PUBLIC = "*"


def make_url_rule(hosts: Sequence[str]) -> Callable[[str], None]:
    """A check for `StreamManager`. Blocking: it resolves names. Args: hosts: names or addresses, or "*"."""
    named = {host.lower() for host in hosts}

    def check(url: str) -> None:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if host in named:
            return
        if ANY_PUBLIC not in named:
            raise InvalidInput(f"this server opens no streams of {host[:100]!r}; ask its operator to name that host")
        if not all(is_public(ip_address(address.partition("%")[0])) for address in find_addresses(host)):
            raise InvalidInput("the stream's host is not on the public internet; the server's operator can name it")

    return check


def find_addresses(host: str) -> list[str]:
    """Addresses of a name. Raises: InvalidInput when it has none."""
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise InvalidInput(f"the stream's host {host[:100]!r} is not known; check the address") from None
