"""Answers that clients do not read: counted with those over HTTP, and cut off with their connection when they are late.

The library sends an answer as the client's windows allow, waits for ever when they do not, and has no way to give a call up
from here. So the connection is ended below it: its socket is found by the addresses of its two ends, and shut down.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

READ_TIMEOUT_S = 30.0  # as for answers over HTTP
MIN_READ_BYTES_PER_S = 64 * 1024  # on average, beyond that time; only the end of sending shows, and not how far it has come
LARGE_BYTES = 64 * 1024  # what is smaller is not counted
CUT_DELAY_S = 0.1  # many calls of a connection are late at once: descriptors are looked through once for all
DESCRIPTORS = Path("/dev/fd")

CountUnread = Callable[[Any, int], object]


class Unread:
    """Answers of one call that its client has not read.

    Args:
        cut: ends the client's connection.
        count: told of the bytes that there are; `Edge.count_unread` is one, which calls `abort` when others need the room.

    Attributes:
        is_cut: the connection was ended because of them.
    """

    __slots__ = ("_bytes", "_count", "_counted", "_cut", "_is_over", "is_cut")

    def __init__(self, cut: Callable[[], None], count: CountUnread) -> None:
        self._cut, self._count = cut, count
        self._bytes = self._counted = 0
        self._is_over = self.is_cut = False

    def add(self, size_bytes: int) -> None:
        """An answer of so many bytes is there."""
        self._change(size_bytes)

    @contextmanager
    def sending(self, size_bytes: int) -> Iterator[None]:
        """It is sent meanwhile, and read then; if this takes too long, the connection ends."""
        due_s = READ_TIMEOUT_S + size_bytes / MIN_READ_BYTES_PER_S
        timer = asyncio.get_running_loop().call_later(due_s, self.abort)
        try:
            yield
        finally:
            timer.cancel()
            if self._counted:  # who has just read is not among those who have read nothing for longest
                self._counted = 0
                self._count(self, 0)
            self._change(-size_bytes)

    def abort(self) -> None:
        """End the connection; nothing counts any more."""
        self.is_cut = True
        self.close()
        self._cut()

    def close(self) -> None:
        """The call has ended."""
        self._change(-self._bytes)
        self._is_over = True

    def _change(self, size_bytes: int) -> None:
        if self._is_over:
            return
        self._bytes += size_bytes
        counted = self._bytes if self._bytes > LARGE_BYTES else 0
        if counted != self._counted:
            self._counted = counted
            self._count(self, counted)


class Connections:
    """The connections of a server. Attributes: port: where it listens."""

    def __init__(self) -> None:
        self.port = 0
        self._condemned: set[str] = set()

    def cut(self, peer: str) -> None:
        """End a connection in a moment, and with it its calls. Args: peer: as gRPC writes it."""
        if not self._condemned:
            asyncio.get_running_loop().call_later(CUT_DELAY_S, self._cut_condemned)
        self._condemned.add(peer)

    def _cut_condemned(self) -> None:
        peers = {read_peer(peer) for peer in self._condemned}
        self._condemned.clear()
        for descriptor in list_descriptors():
            with suppress(OSError, ValueError):  # it may be closed by now, or connected to nobody
                _shut_down(descriptor, self.port, peers)


def read_peer(peer: str) -> tuple[str, int]:
    """Address and port of a peer as gRPC writes it: "ipv4:ADDRESS:PORT", or "ipv6:%5BADDRESS%5D:PORT"; port 0 without one."""
    address, _, port = unquote(peer).partition(":")[2].rpartition(":")
    return address.strip("[]"), int(port) if port.isdecimal() else 0


def list_descriptors() -> list[int]:
    """Open file descriptors of this process; none where the system does not tell."""
    try:
        return [int(entry.name) for entry in DESCRIPTORS.iterdir()]
    except OSError:
        return []


def _shut_down(descriptor: int, port: int, peers: set[tuple[str, int]]) -> None:
    """Shut a socket down if it is connected from this port to one of these peers.

    It is looked at through a copy, so that nobody can close it and open another under its number meanwhile.
    """
    copy = os.dup(descriptor)
    if not stat.S_ISSOCK(os.fstat(copy).st_mode):
        os.close(copy)
        return
    with socket.socket(fileno=copy) as found:
        if found.family not in (socket.AF_INET, socket.AF_INET6) or found.getsockname()[1] != port:
            return
        address, peer_port = found.getpeername()[:2]
        if {(address, peer_port), (_unwrap(address), peer_port)} & peers:
            found.shutdown(socket.SHUT_RDWR)


def _unwrap(address: str) -> str:
    """The IPv4 address inside an IPv6 one, as a socket for both has it and gRPC does not; else the address."""
    read = ip_address(address)
    return str(read.ipv4_mapped or read) if isinstance(read, IPv6Address) else address
