"""Fetch a picture from a URL that a stranger gave, without becoming his hand inside this network. Off unless it is allowed.

Server-side request forgery is prevented at the address, not at the name: the name is resolved once, every address it has must
be a public one, unless the operator named that very host, and the connection goes to the address that was checked, so that a
second answer of the name server changes nothing (DNS rebinding). Redirects are new URLs and are checked as such. Addresses
that carry an IPv4 address inside are judged by that one, too. What comes back is bounded in bytes and time and must be called
a picture.
"""

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

import msgspec

from sightline.core.errors import Exhausted, InvalidInput
from sightline.serving.http.named_hosts import is_named, spell_host

if TYPE_CHECKING:
    import httpx  # imported where it is used: most servers fetch nothing, and it takes a tenth of a second

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215
IPV4_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 §2.5.5.1, deprecated
HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
REDIRECTS = frozenset((301, 302, 303, 307, 308))
DEFAULT_PORTS = {"http": 80, "https": 443}
PICTURE_TYPES = frozenset(("", "application/octet-stream", "binary/octet-stream"))
FAILED = "the imageUrl could not be fetched; check that a browser shows it, or send the picture itself"


class UrlRules(msgspec.Struct, frozen=True, kw_only=True):
    """What may be fetched.

    Attributes:
        hosts: that may stand in URLs, as `read_hosts` has them. None: any. A host that is named itself may have private
            addresses; all others must have public ones only.
        ports: of the URLs.
        max_bytes: of a picture.
        timeout_s: for everything together, the wait for a place and redirects too.
        max_redirects: that are followed.
        max_fetches: at once; further ones wait for a place.
    """

    hosts: tuple[str, ...] | None = None
    ports: tuple[int, ...] = (80, 443)
    max_bytes: int = 32 * 1024 * 1024
    timeout_s: float = 10.0
    max_redirects: int = 3
    max_fetches: int = 8


class ImageFetcher:
    """Fetches pictures under rules. One per server; close it.

    Args:
        rules: what may be fetched.
        resolve: addresses of a name and port, as text; by default a `Resolver`.
        transport: of HTTP; by default httpx's own.
    """

    def __init__(
        self, rules: UrlRules | None = None, resolve: Resolve | None = None, transport: "httpx.AsyncBaseTransport | None" = None
    ) -> None:
        import httpx

        self.rules = rules or UrlRules()
        self._resolve = resolve or Resolver(self.rules.max_fetches)
        self._places = asyncio.Semaphore(self.rules.max_fetches)
        # trust_env=False: a proxy of the environment would connect where it likes. No cookies are kept between callers.
        self._http = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=self.rules.timeout_s,
            limits=httpx.Limits(max_keepalive_connections=0),  # a kept one was made, and its certificate read, for another name
            headers={"User-Agent": "sightline", "Accept": "image/*", "Accept-Encoding": "identity"},
        )

    async def fetch(self, url: str) -> bytes:
        """The bytes behind a URL.

        Raises: InvalidInput for a URL that may not be fetched, and, with the same words for every cause, for one that could
            not be: whoever asks learns nothing of the network; Exhausted when no place became free in time.
        """
        import httpx

        has_place = False
        try:
            async with asyncio.timeout(self.rules.timeout_s), self._places:
                has_place = True
                return await self._follow(url)
        except (TimeoutError, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if not has_place:
                raise Exhausted("too many pictures are being fetched; send the request again in a moment") from error
            raise InvalidInput(FAILED) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _follow(self, url: str) -> bytes:
        for _ in range(self.rules.max_redirects + 1):
            found = await self._fetch_once(url)
            if isinstance(found, bytes):
                return found
            url = found
        raise InvalidInput(f"the imageUrl redirects more than {self.rules.max_redirects} times; give the last URL")

    async def _fetch_once(self, text: str) -> bytes | str:
        """The picture, or the URL that it is redirected to."""
        url = check_url(text, self.rules)
        port = url.port or DEFAULT_PORTS[url.scheme]
        host = url.raw_host.decode("ascii")
        address = await self._find_address(host, port)
        # The connection goes to the checked address; the name stands in Host and, for https, is what the certificate must hold.
        pinned = url.copy_with(host=str(address))
        extensions = {"sni_hostname": host}
        self._http.cookies.clear()
        headers = {"Host": url.netloc.decode("ascii")}
        async with self._http.stream("GET", pinned, headers=headers, extensions=extensions) as answer:
            if answer.status_code in REDIRECTS:
                return str(url.join(answer.headers.get("location", "")))
            return await self._read(answer)

    async def _find_address(self, host: str, port: int) -> Address:
        addresses = [ip_address(text.partition("%")[0]) for text in await self._resolve(host, port)]
        is_trusted = host[:1] != "." and spell_host(host) in (self.rules.hosts or ())
        if not addresses or not (is_trusted or all(is_public(address) for address in addresses)):
            raise InvalidInput("the imageUrl's host is not on the public internet; this server fetches from no other")
        return addresses[0]

    async def _read(self, answer: "httpx.Response") -> bytes:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status_code != 200 or answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise InvalidInput(FAILED)
        if kind not in PICTURE_TYPES and not kind.startswith("image/"):
            raise InvalidInput("the imageUrl does not lead to a picture; give the URL of the picture itself")
        content = bytearray()
        async for chunk in answer.aiter_raw():
            content += chunk
            if len(content) > self.rules.max_bytes:
                raise InvalidInput(
                    f"the picture behind the imageUrl is larger than {self.rules.max_bytes} bytes; send it smaller"
                )
        return bytes(content)


def check_url(text: str, rules: UrlRules) -> "httpx.URL":
    """Parse a URL and hold it against the rules; addresses are judged later. Raises: InvalidInput."""
    import httpx

    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise InvalidInput("expected imageUrl to be a URL like https://example.org/dog.jpg; correct it") from None
    if url.scheme not in DEFAULT_PORTS or not HOST.fullmatch(url.raw_host):
        raise InvalidInput("expected imageUrl to begin with http:// or https://; give such a URL")
    if url.userinfo:
        raise InvalidInput("expected an imageUrl without a user name or password; leave them out")
    if (url.port or DEFAULT_PORTS[url.scheme]) not in rules.ports:
        raise InvalidInput(f"expected a port of {', '.join(map(str, rules.ports))} in imageUrl; this server asks no other")
    if rules.hosts is not None and not is_named(spell_host(url.raw_host.decode("ascii")), rules.hosts):
        raise InvalidInput("the imageUrl's host is not on this server's list; send the picture itself")
    return url


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet: no private, loopback, link-local, shared, reserved or multicast one.

    IPv6 addresses that carry an IPv4 address (mapped, compatible, 6to4, Teredo, NAT64) are public only when both are.
    """
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, IPv4Address):
        return True
    return not address.is_site_local and all(is_public(inner) for inner in _find_inner_addresses(address))


def _find_inner_addresses(address: IPv6Address) -> list[IPv4Address]:
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in IPV4_COMPATIBLE or any(address in network for network in NAT64):
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in inner if one is not None]


class Resolver:
    """Addresses of names, as the system knows them.

    Each is asked for in a thread of its own: a name server that is silent holds no others, and, as the thread is a daemon, not
    the end of the process either, which would wait for those of an executor.

    Args:
        threads: names that are looked up at once.
        ask: as `socket.getaddrinfo`; blocking.
    """

    def __init__(self, threads: int, ask: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._places = asyncio.Semaphore(threads)
        self._ask = ask

    async def __call__(self, host: str, port: int) -> list[str]:
        """Raises: OSError, UnicodeError when there is none."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._places.acquire()
        try:
            threading.Thread(target=self._look_up, args=(host, port, answer), name="host-look-up", daemon=True).start()
        except RuntimeError as error:  # the system has no thread to give
            self._places.release()
            raise OSError(str(error)) from error
        return [str(address[0]) for *_, address in await answer]

    def _look_up(self, host: str, port: int, answer: "asyncio.Future[Any]") -> None:
        try:
            outcome = partial(answer.set_result, self._ask(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - the border of a thread: whoever asked gets it
            outcome = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            answer.get_loop().call_soon_threadsafe(self._tell, answer, outcome)

    def _tell(self, answer: "asyncio.Future[Any]", outcome: Callable[[], None]) -> None:
        self._places.release()  # not before: whoever gives up waiting does not end the look-up
        if not answer.done():
            outcome()
