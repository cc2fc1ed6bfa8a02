"""The chunks of a PNG (ISO/IEC 15948, 5.3), looked at before a decoder believes what they say of themselves.

OpenCV makes room for the length that a chunk states before it reads it: a file of 121 bytes took 4 GB and 20 s. Pillow reads
chunks one by one in Python: a file of 6 MB of empty ones took 4 s.
"""

from collections.abc import Iterator

from sightline.core.errors import UnreadableImage

SIGNATURE_BYTES = 8
FRAME_BYTES = 12  # length, kind and checksum of a chunk
MAX_CHUNKS = 65_536  # 512 MB in the usual chunks of 8 kB


def walk_chunks(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind of each chunk, and where it says that it ends; IEND is the last, and one that would end beyond the file."""
    place = SIGNATURE_BYTES
    while place + FRAME_BYTES <= len(content):
        kind = content[place + 4 : place + 8]
        place += FRAME_BYTES + int.from_bytes(content[place : place + 4], "big")
        yield kind, place
        if kind == b"IEND":
            return


def has_whole_chunks(content: bytes) -> bool:
    """Whether every chunk ends inside the file, and the last one is IEND."""
    chunks = list(walk_chunks(content))
    return bool(chunks) and chunks[-1][0] == b"IEND" and chunks[-1][1] <= len(content)


def check_chunk_count(content: bytes, name: str) -> None:
    """Raises: UnreadableImage for more than `MAX_CHUNKS` chunks."""
    for number, _ in enumerate(walk_chunks(content)):
        if number >= MAX_CHUNKS:
            raise UnreadableImage(f"expected {name} to have at most {MAX_CHUNKS:,} PNG chunks, got more; save it again")
