"""Label Studio's code for brush masks: runs of the bytes of an RGBA picture, packed bit by bit.

It is that of the package `@thi.ng/rle-pack`. A header holds the count of values (32 bits), the width of a value less one (5
bits) and the widths of four kinds of counts less one (4 bits each). Then come blocks: a flag, the kind of count (2 bits), the
count less one, and either one value for all of them (flag 1) or each value (flag 0). The mask is where alpha is not 0.
"""

import numpy as np

from sightline.core.errors import InvalidInput
from sightline.imaging.masks import Mask

CHANNELS = 4
VALUE_BITS = 8
COUNT_BITS = (3, 4, 8, 16)
LONGEST_RUN = 1 << COUNT_BITS[-1]


def decode_brush(packed: bytes, width: int, height: int) -> Mask:
    """The mask `(height, width)` of a brush region. Raises: InvalidInput when the bytes are no code of such a picture."""
    bits = _Bits(packed)
    count, value_bits = bits.take(32), bits.take(5) + 1
    if count != width * height * CHANNELS:
        raise InvalidInput(f"expected a brush of {width} x {height} pixels, got one of {count // CHANNELS:,}; draw it again")
    count_bits = [bits.take(4) + 1 for _ in COUNT_BITS]
    values = np.zeros(count, bool)
    place = 0
    while place < count:
        is_run = bits.take(1)
        end = place + 1 + bits.take(count_bits[bits.take(2)])
        if end > count:
            raise InvalidInput(f"expected runs of {count:,} values in a brush, got more; draw it again")
        values[place:end] = bits.take(value_bits) != 0 if is_run else bits.take_set(end - place, value_bits)
        place = end
    # (height * width * CHANNELS) -> (height, width, CHANNELS)
    return np.ascontiguousarray(values.reshape(height, width, CHANNELS)[:, :, -1])


def encode_brush(mask: Mask) -> list[int]:
    """The bytes of a mask `(H, W)`: 255 in all channels where it is set, else 0."""
    flat = mask.ravel()
    borders = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    parts = [f"{flat.size * CHANNELS:032b}{VALUE_BITS - 1:05b}", *(f"{width - 1:04b}" for width in COUNT_BITS)]
    for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        value = f"{255 * int(flat[start]):0{VALUE_BITS}b}"
        left = (end - start) * CHANNELS
        while left:
            length = min(left, LONGEST_RUN)
            kind = next(kind for kind, width in enumerate(COUNT_BITS) if length <= 1 << width)
            parts.append(f"1{kind:02b}{length - 1:0{COUNT_BITS[kind]}b}{value}")
            left -= length
    bits = "".join(parts)
    size = -(-len(bits) // 8)
    return list(int(bits.ljust(size * 8, "0"), 2).to_bytes(size, "big"))


class _Bits:
    """A place in bytes that moves on bit by bit, the highest of a byte first."""

    def __init__(self, packed: bytes) -> None:
        self._packed, self._place = packed, 0

    def take(self, width: int) -> int:
        """The next number. Raises: InvalidInput at the end."""
        start, end = self._place, self._advance(width)
        chunk = int.from_bytes(self._packed[start >> 3 : (end + 7) >> 3], "big")
        return chunk >> (-end & 7) & ((1 << width) - 1)

    def take_set(self, count: int, width: int) -> Mask:
        """Which of the next `count` numbers are not 0, `(count,)`. Raises: InvalidInput at the end."""
        start, end = self._place, self._advance(count * width)
        chunk = np.frombuffer(self._packed[start >> 3 : (end + 7) >> 3], np.uint8)
        bits = np.unpackbits(chunk)[start & 7 :][: count * width]
        return np.asarray(bits.reshape(count, width).any(axis=1))

    def _advance(self, width: int) -> int:
        self._place += width
        if self._place > len(self._packed) * 8:
            raise InvalidInput("expected more bytes in a brush, got the end; draw it again")
        return self._place
