"""Walk the B+tree of an LMDB file (Lightning Memory-Mapped Database, data format 1) and give its pairs of key and value.

The library itself maps the file and trusts every number in it: one that was cut ends the process with SIGBUS, a flipped bit can
send it anywhere. Files come from strangers, so this reader takes bytes with `pread` and holds every number against the file
before it uses it. It reads the newest committed state, needs no lock file, and never writes.

Layout, after `mdb.c` of LMDB 0.9 (64-bit, little-endian): pages of one size, each headed by number (u64), pad, flags, lower and
upper (u16 each; a large value's page counts its pages in the last two). Pages 0 and 1 hold the two newest roots. A branch or
leaf lists the places of its nodes after the header; a node is a size or child in parts (u16 low, high, flags), the key's size
(u16), the key, and in a leaf the value or the number of the page where a large one begins.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from sightline.core.errors import UnreadableDataset

MAGIC, FORMAT_VERSION = 0xBEEFC0DE, 1
HEADER = struct.Struct("<QHHHH")  # page number, pad, flags, lower, upper
OVERFLOW_COUNT = struct.Struct("<I")  # in the place of lower and upper
NODE = struct.Struct("<HHHH")  # size low, size high (or child in three parts with the flags), flags, key size
TREE = "IHHQQQQQ"  # page size or pad, flags, depth, branch, leaf and overflow pages, entries, root
META = struct.Struct(f"<IIQQ{TREE}{TREE}QQ")  # magic, version, address, map size, free pages, main tree, last page, transaction
BRANCH, LEAF, OVERFLOW = 0x01, 0x02, 0x04
LARGE_VALUE, SUBTREE, DUPLICATES = 0x01, 0x02, 0x04
NO_PAGE = 0xFFFF_FFFF_FFFF_FFFF
PAGE_SIZES = tuple(1 << power for power in range(8, 17))
LARGEST_DEPTH = 32


class Root(NamedTuple):
    """The newest state of the main tree."""

    transaction: int
    page_size: int
    depth: int
    entries: int
    page: int


class LmdbFile:
    """An opened `data.mdb`; a context manager.

    Attributes:
        entries: how many pairs the file says it holds.

    Raises: UnreadableDataset when it is no LMDB file of this format.
    """

    def __init__(self, path: Path) -> None:
        self._name = f"{path.parent.name}/{path.name}"
        self._bytes_given = 0
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            self._size = os.fstat(self._descriptor).st_size
            self._root = self._find_root()
        except BaseException:
            self.close()
            raise
        self.entries = self._root.entries

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of every entry in the order of the keys; one value is held at a time.

        Raises: UnreadableDataset at the first damaged page.
        """
        self._bytes_given = 0
        if self._root.page != NO_PAGE:
            yield from self._walk(self._root.page, 1, set())

    def _walk(self, number: int, depth: int, seen: set[int]) -> Iterator[tuple[bytes, bytes]]:
        """The pairs below a page. `seen` holds the pages met so far: one that is met twice would make the walk endless."""
        if depth > self._root.depth or number in seen:
            raise self._damaged(number, "its tree leads back into itself")
        seen.add(number)
        page, flags = self._read_page(number)
        if not flags & (BRANCH | LEAF):
            raise self._damaged(number, "it is no page of a tree")
        for low, high, node_flags, key, rest in self._read_nodes(number, page):
            if flags & LEAF:
                yield key, self._read_value(number, page, low | high << 16, node_flags, rest)
            else:
                yield from self._walk(low | high << 16 | node_flags << 32, depth + 1, seen)

    def _read_nodes(self, number: int, page: bytes) -> Iterator[tuple[int, int, int, bytes, int]]:
        """Size low, size high, flags, key and the place after the key of each node."""
        lower = HEADER.unpack_from(page)[3]
        count = (lower - HEADER.size) // 2
        if not 0 <= count <= (len(page) - HEADER.size) // 2:
            raise self._damaged(number, "it claims more entries than it has room for")
        for place in struct.unpack_from(f"<{count}H", page, HEADER.size):
            if place + NODE.size > len(page):
                raise self._damaged(number, "an entry lies outside of it")
            low, high, flags, key_size = NODE.unpack_from(page, place)
            end = place + NODE.size + key_size
            if end > len(page):
                raise self._damaged(number, "a key ends outside of it")
            yield low, high, flags, page[place + NODE.size : end], end

    def _read_value(self, number: int, page: bytes, size: int, flags: int, place: int) -> bytes:
        if flags & (SUBTREE | DUPLICATES):
            raise UnreadableDataset(
                f"expected an LMDB of one value a key, got several values or named databases in {self._name}; export it again"
            )
        self._bytes_given += size
        if self._bytes_given > self._size:  # a few bytes can name the same large value again and again
            raise self._damaged(number, "its values together are larger than the file")
        if not flags & LARGE_VALUE:
            if place + size > len(page):
                raise self._damaged(number, "a value ends outside of it")
            return page[place : place + size]
        if place + 8 > len(page):
            raise self._damaged(number, "the place of a large value lies outside of it")
        (first,) = struct.unpack_from("<Q", page, place)
        head, kind = self._read_page(first)
        pages = OVERFLOW_COUNT.unpack_from(head, 12)[0]
        if not kind & OVERFLOW or HEADER.size + size > pages * len(page):
            raise self._damaged(first, "it does not hold the large value it should")
        return self._read_bytes(first * len(page) + HEADER.size, size)

    def _read_page(self, number: int) -> tuple[bytes, int]:
        """A page and its flags, after checking that it is the one it should be."""
        page = self._read_bytes(number * self._root.page_size, self._root.page_size)
        found, _, flags, *_ = HEADER.unpack_from(page)
        if found != number:
            raise self._damaged(number, f"it says it is page {found}")
        return page, flags

    def _read_bytes(self, start: int, size: int) -> bytes:
        """Raises: UnreadableDataset when the file does not reach that far; nothing is allocated before that is known."""
        if start + size > self._size:
            raise UnreadableDataset(
                f"expected {self._name} to hold {start + size:,} bytes or more, got {self._size:,}: it was cut; copy it again"
            )
        content = os.pread(self._descriptor, size, start)
        if len(content) != size:
            raise UnreadableDataset(f"{self._name} changed while it was read; read it again when nothing writes to it")
        return content

    def _find_root(self) -> Root:
        """The newer of the two roots, which lie on pages 0 and 1; where page 1 begins is what the root of page 0 tells."""
        first = self._read_root(0)
        sizes = PAGE_SIZES if first is None else (first.page_size,)
        roots = [root for root in (first, *map(self._read_root, sizes)) if root is not None]
        if not roots:
            raise UnreadableDataset(f"expected an LMDB file of format {FORMAT_VERSION}, got something else in {self._name}")
        return max(roots)

    def _read_root(self, start: int) -> Root | None:
        if start + HEADER.size + META.size > self._size:
            return None
        fields = META.unpack(self._read_bytes(start + HEADER.size, META.size))
        magic, version, page_size, transaction = fields[0], fields[1], fields[4], fields[21]
        if (magic, version) != (MAGIC, FORMAT_VERSION) or page_size not in PAGE_SIZES:
            return None
        depth, entries, root = fields[14], fields[18], fields[19]
        return Root(transaction, page_size, min(depth, LARGEST_DEPTH), entries, root)

    def _damaged(self, number: int, how: str) -> UnreadableDataset:
        return UnreadableDataset(f"page {number} of {self._name} is damaged: {how}; copy or make the LMDB again")


def is_lmdb_file(path: Path) -> bool:
    """Whether a file begins like an LMDB."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(HEADER.size + 8)
    except OSError:
        return False
    return len(head) == HEADER.size + 8 and struct.unpack_from("<II", head, HEADER.size) == (MAGIC, FORMAT_VERSION)
