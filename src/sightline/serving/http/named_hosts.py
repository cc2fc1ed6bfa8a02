"""Hosts that an operator names in an option: what form they have, and which hosts of a URL they stand for."""

import re
from collections.abc import Collection, Iterable
from ipaddress import ip_address

from sightline.core.errors import InvalidInput

ANY = "*"
NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def read_hosts(texts: Iterable[str], option: str) -> tuple[str, ...]:
    """The hosts of an option as they are compared. Raises: InvalidInput for what no host can be, such as a URL or a port."""
    return tuple(_read_host(text, option) for text in texts)


def _read_host(text: str, option: str) -> str:
    host = spell_host(text.removeprefix("[").removesuffix("]"))
    if text != ANY and not NAME.fullmatch(host) and not is_address(host):
        raise InvalidInput(
            f"expected {option} to be a name like cam.example, an address, .example for all names that end so, or '*', "
            f"got {text[:200]!r}; leave out scheme, user, port and path"
        )
    return host


def spell_host(host: str) -> str:
    """One spelling for all that mean the same: lower case, no dot at the end, addresses as short as can be."""
    host = host.lower().rstrip(".")
    return str(ip_address(host)) if is_address(host) else host


def is_address(host: str) -> bool:
    """Whether this is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_named(host: str, names: Collection[str]) -> bool:
    """Whether a host is among these names, all in one spelling; one that begins with "." stands for all that end so."""
    return any(host == name or (name[:1] == "." and host.endswith(name)) for name in names)
