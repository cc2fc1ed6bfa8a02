"""The chunks of a PNG (ISO/IEC 15948, 5.3), looked at before a decoder believes what they say of themselves.

OpenCV makes room for the length that a chunk states before it reads it: a file of 121 bytes took 4 GB and 20 s. Pillow reads
chunks one by one in Python: a file of 6 MB of empty ones took 4 s. OpenCV inflates the pixels' chunks to their end, whatever
the picture needs of it, and deflate makes up to 1032 bytes of one: 1 MB took 4 s. Pillow stops at the last row.
"""

from collections.abc import Iterator

from sightline.core.errors import UnreadableImage

SIGNATURE_BYTES = 8
FRAME_BYTES = 12  # length, kind and checksum of a chunk
MAX_CHUNKS = 65_536  # 512 MB in the usual chunks of 8 kB
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
SPARE_BYTES = 65_536  # for tables, checksums and flushes of an encoder
MAX_UNTRUSTED_BYTES = 1 << 19  # of pixels' chunks for a decoder that inflates them to their end: 512 MB at worst


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


def is_quickly_inflated(content: bytes) -> bool:
    """Whether the pixels' chunks are small enough to be inflated to their end, whatever is in them."""
    return len(content) <= MAX_UNTRUSTED_BYTES or measure_data(content) <= MAX_UNTRUSTED_BYTES


def measure_data(content: bytes) -> int:
    """Bytes in the chunks of the pixels, as their lengths say."""
    total, before = 0, SIGNATURE_BYTES
    for kind, end in walk_chunks(content):
        total += end - before - FRAME_BYTES if kind == b"IDAT" else 0
        before = end
    return total


def check_chunks(content: bytes, name: str) -> None:
    """Raises: UnreadableImage for more than `MAX_CHUNKS` chunks, or far more bytes of pixels than the picture can need."""
    for number, _ in enumerate(walk_chunks(content)):
        if number >= MAX_CHUNKS:
            raise UnreadableImage(f"expected {name} to have at most {MAX_CHUNKS:,} PNG chunks, got more; save it again")
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if len(content) < 26 or not (samples := SAMPLES.get(content[25])):
        return  # Pillow says what is wrong
    row_bytes = 1 + (width * samples * content[24] + 7) // 8
    most = 4 * row_bytes * height + SPARE_BYTES  # four times what no compression at all takes: also for interlaced ones
    if len(content) > most and (found := measure_data(content)) > most:
        raise UnreadableImage(
            f"expected at most {most:,} bytes of compressed pixels in {name}, a PNG of {width} x {height}, got {found:,}; "
            "save it again"
        )
