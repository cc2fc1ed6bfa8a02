"""The connections of the gRPC server: how many one address has, and the end of those that must end.

The library shows none of them, lets one address take all there are, and has no way to give one up. So they are found among this
process's sockets by the addresses of their two ends, and shut down below the library.
"""

import asyncio
import os
import socket
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import unquote

SWEEP_S = 1.0  # between two looks at how many one address has
CUT_DELAY_S = 0.1  # many calls of a connection are late at once: descriptors are looked through once for all
DESCRIPTORS = Path("/dev/fd")

Peer = tuple[str, int]  # address and port


class Connections:
    """The connections of one server. Used on the event loop only."""

    def __init__(self) -> None:
        self._port = 0
        self._condemned: set[Peer] = set()
        self._known: dict[Peer, None] = {}  # those seen at the last look, in the order in which they came
        self._sweeping: asyncio.Task[None] | None = None

    def watch(self, port: int, most_of_one: int) -> None:
        """Begin to end connections of an address beyond so many, soon after they came. Args: port: of the server."""
        self._port = port
        self._sweeping = asyncio.create_task(self._sweep(most_of_one), name="gRPC connections")

    def close(self) -> None:
        """The server has ended."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def cut(self, peer: str) -> None:
        """End a connection in a moment, and with it its calls. Args: peer: as gRPC writes it."""
        address, port = read_peer(peer)
        self._condemn((_unwrap(address), port))

    async def _sweep(self, most_of_one: int) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            if len(list_descriptors()) <= most_of_one:  # nobody can have more
                self._known.clear()
                continue
            there = await asyncio.to_thread(lambda: [peer for peer, _ in find_connections(self._port)])
            self._known = dict.fromkeys([*filter(set(there).__contains__, self._known), *there])
            of_one: Counter[str] = Counter()
            for peer in self._known:
                of_one[peer[0]] += 1
                if of_one[peer[0]] > most_of_one:
                    self._condemn(peer)

    def _condemn(self, peer: Peer) -> None:
        if not self._condemned:
            asyncio.get_running_loop().call_later(CUT_DELAY_S, self._cut_condemned)
        self._condemned.add(peer)

    def _cut_condemned(self) -> None:
        condemned, self._condemned = self._condemned, set()
        for peer, found in find_connections(self._port):
            if peer in condemned:
                with suppress(OSError):  # it has ended by now
                    found.shutdown(socket.SHUT_RDWR)


def read_peer(peer: str) -> Peer:
    """Address and port of a peer as gRPC writes it: "ipv4:ADDRESS:PORT", or "ipv6:%5BADDRESS%5D:PORT"; port 0 without one."""
    address, _, port = unquote(peer).partition(":")[2].rpartition(":")
    return address.strip("[]"), int(port) if port.isdecimal() else 0


def list_descriptors() -> list[int]:
    """Open file descriptors of this process; none where the system does not tell."""
    try:
        return [int(entry.name) for entry in DESCRIPTORS.iterdir()]
    except OSError:
        return []


def find_connections(port: int) -> Iterator[tuple[Peer, socket.socket]]:
    """Every connection from a port of this process, with its peer.

    Each is looked at through a copy, so that nobody can close it and open another under its number meanwhile.
    """
    for descriptor in list_descriptors():
        with suppress(OSError):  # it may be closed by now, or connected to nobody
            copy = os.dup(descriptor)
            if not stat.S_ISSOCK(os.fstat(copy).st_mode):
                os.close(copy)
                continue
            with socket.socket(fileno=copy) as found:
                if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == port:
                    address, peer_port = found.getpeername()[:2]
                    yield (_unwrap(address), peer_port), found


def _unwrap(address: str) -> str:
    """The IPv4 address inside an IPv6 one, as a socket for both has it and gRPC does not; else the address."""
    with suppress(ValueError):
        read = ip_address(address)
        return str(read.ipv4_mapped or read) if isinstance(read, IPv6Address) else address
    return address
