"""Protobuf's wire format without a schema: the fields of a message, every length checked against the bytes that are there.

A message is a row of fields, each a tag (number << 3 | kind) and a value: a varint, 8 bytes, a length with so many bytes, or
4 bytes. Nothing is allocated by a number that a file states: values are views of the content. What the fields mean, the reader
of a format knows. Format: protobuf's documentation, "Encoding".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sightline.core.errors import InvalidInput

MOST_FIELDS = 1_000_000  # of one message; a network has thousands
MOST_VARINT_BYTES = 10
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
ALL_BITS = 2**64 - 1


@dataclass(frozen=True)
class Field:
    """One field of a message: an int for a varint, else its bytes."""

    number: int
    value: int | memoryview

    def as_bytes(self) -> memoryview:
        """The bytes of a length-delimited or fixed field. Raises: InvalidInput."""
        if isinstance(self.value, int):
            raise _damaged(f"field {self.number} holds a number where bytes belong")
        return self.value

    def as_integer(self) -> int:
        """The value of a varint, as a signed 64-bit number. Raises: InvalidInput."""
        if not isinstance(self.value, int):
            raise _damaged(f"field {self.number} holds bytes where a number belongs")
        return _to_signed(self.value)

    def as_integers(self) -> Iterator[int]:
        """The signed numbers that one field of a repeated varint holds: many when packed, else one. Raises: InvalidInput."""
        if isinstance(self.value, int):
            yield _to_signed(self.value)
            return
        place = 0
        while place < len(self.value):
            number, place = _read_varint(self.value, place)
            yield _to_signed(number)


def read_fields(content: memoryview) -> Iterator[Field]:
    """The fields of a message. Raises: InvalidInput where a length leaves the bytes there are."""
    place = count = 0
    while place < len(content):
        count += 1
        if count > MOST_FIELDS:
            raise _damaged(f"it has more than {MOST_FIELDS} fields")
        tag, place = _read_varint(content, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise _damaged("a field has the number 0")
        if kind == VARINT:
            value, place = _read_varint(content, place)
            yield Field(number, value)
            continue
        if kind == DELIMITED:
            size, place = _read_varint(content, place)
        elif kind in FIXED_SIZES:
            size = FIXED_SIZES[kind]
        else:
            raise _damaged(f"it has a field of kind {kind} at byte {place}")
        if size > len(content) - place:
            raise _damaged(f"a field of {size} bytes stands where {len(content) - place} are left")
        yield Field(number, content[place : place + size])
        place += size


def write_field(number: int, value: int | bytes) -> bytes:
    """A varint field, of a number from -2^63 to 2^64 - 1, or a length-delimited one."""
    if isinstance(value, int):
        return _write_varint(number << 3 | VARINT) + _write_varint(value)
    return b"".join((_write_varint(number << 3 | DELIMITED), _write_varint(len(value)), value))


def _read_varint(content: memoryview, place: int) -> tuple[int, int]:
    """The number, unsigned, and the place behind it: seven bits a byte, low ones first."""
    value = 0
    for index, byte in enumerate(content[place : place + MOST_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & ALL_BITS, place + index + 1
    if len(content) - place < MOST_VARINT_BYTES:
        raise _damaged("it ends inside a number")
    raise _damaged(f"a number has more than {MOST_VARINT_BYTES} bytes")


def _write_varint(value: int) -> bytes:
    rest, parts = value & ALL_BITS, bytearray()  # a negative number fills all 64 bits
    while rest > 0x7F:
        parts.append(rest & 0x7F | 0x80)
        rest >>= 7
    parts.append(rest)
    return bytes(parts)


def _to_signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _damaged(what: str) -> InvalidInput:
    return InvalidInput(f"expected a protobuf message, but {what}; it is damaged or of another kind")
