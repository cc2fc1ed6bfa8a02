"""Under which names the server answers, and whether a request that changes something comes from its own pages.

A page of the Web can make a browser reach any address under a name of its own (DNS rebinding), so the Host must be a name that
is known: of loopback, of this machine, or one that the operator gave. An address in its place is fine where other machines may
come: a page that was loaded from it is ours.
"""

import re

import msgspec

from sightline.serving.http.named_hosts import is_address, spell_host

LOOPBACK_NAMES = frozenset(("127.0.0.1", "localhost", "::1"))
DEFAULT_PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
SAME_ORIGIN = b"same-origin"
MVI_TOKEN = b"x-auth-token"  # as clients of PowerAI Vision say who they are
CREDENTIALS = (b"authorization", MVI_TOKEN)  # which no page of another site can have a browser send


class Hosts(msgspec.Struct, frozen=True, kw_only=True):
    """What the Host header may hold.

    Attributes:
        names: as `spell_host` writes them.
        port: where the server listens; None: any, since a proxy stands before it.
        scheme: that browsers use; a port that is its default may be left out.
        takes_addresses: whether any IP address is good.
    """

    names: frozenset[str]
    port: int | None
    scheme: str = "http"
    takes_addresses: bool = False

    def allow(self, host: str) -> bool:
        """Whether a Host header names this server."""
        found = HOST.fullmatch(host.lower())
        if found is None:
            return False
        port = int(found["port"]) if found["port"] else DEFAULT_PORTS[self.scheme]
        if self.port is not None and port != self.port:
            return False
        name = found["v6"] or found["name"]
        if is_address(name):
            return self.takes_addresses or spell_host(name) in self.names
        return found["v6"] is None and name in self.names

    def describe(self) -> str:
        """The hosts in words."""
        names = sorted(f"[{name}]" if ":" in name else name for name in self.names)
        told = [name if self.port is None else f"{name}:{self.port}" for name in names]
        return ", ".join([*told, *(("an address of this machine",) if self.takes_addresses else ())])


def is_own(headers: dict[bytes, bytes], scheme: str) -> bool:
    """Whether a request that changes something comes from our own pages, or from a program that is no browser."""
    if b"origin" in headers:
        return headers[b"origin"].lower() == scheme.encode() + b"://" + headers[b"host"].lower()
    if b"sec-fetch-site" in headers:
        return headers[b"sec-fetch-site"] == SAME_ORIGIN
    # A browser's cookie alone does not say whose page asked; without one nothing comes along by itself.
    return b"cookie" not in headers or any(name in headers for name in CREDENTIALS)
