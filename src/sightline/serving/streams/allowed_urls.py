"""Which cameras may be opened: those whose host the operator named; "*" allows every host on the public internet besides.

A host that is named may be a private address, since that is where cameras are. Any other must have public addresses only; what
its name leads to a moment later, when the decoder opens it, is beyond this check, so "*" is for networks without secrets.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from sightline.core.errors import Exhausted, InvalidInput, UnknownHost
from sightline.serving.http.image_url import Resolve, Resolver, is_public
from sightline.serving.http.named_hosts import ANY, is_named, read_hosts, spell_host

LOOK_UPS = 4  # at once
LOOK_UP_S = 5.0
ANY_PORT = 0  # it is the decoder that connects


class UrlRule:
    """A check for `StreamManager`.

    Args:
        hosts: names or addresses, ".example" for all names that end so, or "*".
        resolve: addresses of a name and port, as text; by default a `Resolver`.
        timeout_s: for a look-up and the wait for its turn.

    Raises: InvalidInput for what no host can be.
    """

    def __init__(self, hosts: Sequence[str], resolve: Resolve | None = None, timeout_s: float = LOOK_UP_S) -> None:
        self._hosts = read_hosts(hosts, "--allow-stream-urls")
        self._resolve = resolve or Resolver(LOOK_UPS)
        self._timeout_s = timeout_s

    async def __call__(self, url: str) -> None:
        """Raises: InvalidInput for an address that may not be opened; UnknownHost; Exhausted when that is not known in time."""
        host = spell_host(urlsplit(url).hostname or "")
        if is_named(host, self._hosts):
            return
        if ANY not in self._hosts:
            raise InvalidInput(f"this server opens no streams of {host[:100]!r}; ask its operator to name that host")
        if not all(is_public(ip_address(address.partition("%")[0])) for address in await self._look_up(host)):
            raise InvalidInput("the stream's host is not on the public internet; the server's operator can name it")

    async def _look_up(self, host: str) -> list[str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._resolve(host, ANY_PORT)
        except TimeoutError:
            raise Exhausted(f"the stream's host {host[:100]!r} was not found within {self._timeout_s:g} s; try again") from None
        except (OSError, UnicodeError):
            raise UnknownHost(f"the stream's host {host[:100]!r} is not known; check the address") from None
