"""Label Studio's brush code against a reader of it written bit by bit in the plainest way, and against bytes packed by hand."""

from contextlib import suppress

import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.data.formats.label_studio.brush import decode_brush, encode_brush


def unpack_slowly(packed: list[int]) -> list[int]:
    """All values, as the code of `@thi.ng/rle-pack` is described: a string of bits, read from the left."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    place = 0

    def take(width: int) -> int:
        nonlocal place
        place += width
        assert place <= len(bits)
        return int(bits[place - width : place], 2)

    count, width = take(32), take(5) + 1
    kinds = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        is_run, length = take(1), take(kinds[take(2)]) + 1
        values += [take(width)] * length if is_run else [take(width) for _ in range(length)]
    return values


def pack(*fields: tuple[int, int]) -> list[int]:
    """Numbers of the given widths, one behind the other, as bytes."""
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


HEADER = ((7, 5), (2, 4), (3, 4), (7, 4), (15, 4))


def test_runs_and_single_values_packed_by_hand() -> None:
    # 2 x 1 pixels: the first is (1, 2, 3, 0), written value by value; the second a run of four 9s.
    literals = ((0, 1), (0, 2), (3, 3), (1, 8), (2, 8), (3, 8), (0, 8))
    packed = pack((8, 32), *HEADER, *literals, (1, 1), (0, 2), (3, 3), (9, 8))
    assert unpack_slowly(packed) == [1, 2, 3, 0, 9, 9, 9, 9]
    assert decode_brush(bytes(packed), 2, 1).tolist() == [[False, True]]  # alpha alone counts


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (13, 5), (300, 400)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_masks_come_back_and_are_what_a_plain_reader_reads(height: int, width: int, share: float) -> None:
    rng = np.random.default_rng(height * width)
    mask = rng.random((height, width)) < share
    packed = encode_brush(mask)
    assert np.array_equal(decode_brush(bytes(packed), width, height), mask)
    if height < 100:
        values = np.array(unpack_slowly(packed)).reshape(height, width, 4)
        assert np.array_equal(values, np.repeat(mask[..., None] * 255, 4, axis=2))


def test_runs_longer_than_a_count_holds() -> None:
    mask = np.ones((400, 500), bool)  # 800,000 equal values; a count holds 65,536
    assert np.array_equal(decode_brush(bytes(encode_brush(mask)), 500, 400), mask)


@pytest.mark.parametrize("cut", [0, 3, 6, -1])
def test_cut_code_is_an_error_of_ours(cut: int) -> None:
    packed = encode_brush(np.eye(9, dtype=bool))
    with pytest.raises(InvalidInput):
        decode_brush(bytes(packed[:cut]), 9, 9)


def test_a_brush_of_another_size_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="expected a brush of 3 x 2 pixels, got one of 4; draw it again"):
        decode_brush(bytes(encode_brush(np.ones((2, 2), bool))), 3, 2)


def test_runs_that_do_not_fit_are_an_error() -> None:
    packed = pack((8, 32), *HEADER, (1, 1), (2, 2), (255, 8), (9, 8))
    with pytest.raises(InvalidInput, match="got more"):
        decode_brush(bytes(packed), 2, 1)


def test_random_bytes_are_an_error_or_a_mask() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        packed = bytes(pack((8 * 8 * 4, 32), *HEADER)) + rng.bytes(int(rng.integers(0, 60)))
        with suppress(InvalidInput):
            assert decode_brush(packed, 8, 8).shape == (8, 8)
