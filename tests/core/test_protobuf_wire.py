import pytest
from google.protobuf import descriptor_pb2

from sightline.core.errors import InvalidInput
from sightline.core.protobuf_wire import Field, read_fields, write_field

EXAMPLES = [  # of protobuf's documentation, "Encoding"
    (1, 150, "08 96 01"),
    (2, b"testing", "12 07 74 65 73 74 69 6e 67"),
    (1, -2, "08 fe ff ff ff ff ff ff ff ff 01"),
]
PACKED = bytes.fromhex("32 06 03 8e 02 9e a7 05")  # field 6: 3, 270, 86942


def read(content: bytes) -> list[Field]:
    return list(read_fields(memoryview(content)))


@pytest.mark.parametrize(("number", "value", "content"), EXAMPLES)
def test_the_published_examples_are_read_and_written(number: int, value: int | bytes, content: str) -> None:
    (field,) = read(bytes.fromhex(content))
    assert field.number == number
    assert (field.as_integer() if isinstance(value, int) else bytes(field.as_bytes())) == value
    assert write_field(number, value) == bytes.fromhex(content)


def test_repeated_numbers_may_be_packed_or_not() -> None:
    (packed,) = read(PACKED)
    assert list(packed.as_integers()) == [3, 270, 86942]
    single = [*read(write_field(6, 3)), *read(write_field(6, -1))]
    assert [number for field in single for number in field.as_integers()] == [3, -1]
    assert list(read(write_field(6, b""))[0].as_integers()) == []
    assert list(read(write_field(6, write_field(1, -5)[1:]))[0].as_integers()) == [-5]


def test_an_empty_message_has_no_fields() -> None:
    assert read(b"") == []


def test_fixed_fields_are_bytes_and_those_behind_them_are_found() -> None:
    content = bytes([9 << 3 | 5, *range(4), 10 << 3 | 1, *range(8)]) + write_field(900, 7)
    assert [(field.number, field.value) for field in read(content)] == [(9, bytes(range(4))), (10, bytes(range(8))), (900, 7)]


def test_a_message_that_protobuf_wrote_is_read_and_written_alike() -> None:
    theirs = descriptor_pb2.FieldDescriptorProto(
        name="size" * 100, number=2**31 - 1, label=3, json_name="s"
    ).SerializeToString()
    values = {field.number: field.value for field in read(theirs)}
    assert values == {1: b"size" * 100, 3: 2**31 - 1, 4: 3, 10: b"s"}
    assert (
        b"".join(write_field(number, value if isinstance(value, int) else bytes(value)) for number, value in values.items())
        == theirs
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes([5 << 3 | 2, *[255] * 8, 15]), "where 0 are left"),
        (bytes([4 << 3 | 2, 5, 1, 2]), "a field of 5 bytes stands where 2 are left"),
        (bytes([4 << 3 | 5, 1, 2, 3]), "a field of 4 bytes stands where 3 are left"),
        (bytes([5 << 3 | 3]), "kind 3"),
        (bytes([5 << 3 | 7, 0]), "kind 7"),
        (bytes([0x80] * 11), "more than 10 bytes"),
        (bytes([0x80] * 10), "more than 10 bytes"),
        (bytes([0x80] * 9), "ends inside a number"),
        (bytes([8]), "ends inside a number"),
        (bytes([2, 0]), "number 0"),
    ],
)
def test_damage_is_told_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_a_field_of_the_other_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="field 5 holds a number where bytes belong"):
        Field(5, 3).as_bytes()
    with pytest.raises(InvalidInput, match="field 1 holds bytes where a number belongs"):
        Field(1, memoryview(b"3")).as_integer()
    with pytest.raises(InvalidInput, match="ends inside a number"):
        list(Field(1, memoryview(b"\x01\x80")).as_integers())


def test_empty_fields_without_end_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than 1000000 fields"):
        for _ in read_fields(memoryview(write_field(1000, 0) * 1_000_001)):
            pass
