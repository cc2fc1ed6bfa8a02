"""Where in a file there is room."""

import itertools
import random

from sightline.training.swapping.free_space import BLOCK_BYTES, FreeSpace


def test_stretches_follow_each_other_and_are_whole_blocks() -> None:
    space = FreeSpace()
    assert [space.take(1), space.take(BLOCK_BYTES), space.take(BLOCK_BYTES + 1)] == [0, BLOCK_BYTES, 2 * BLOCK_BYTES]
    assert space.end_bytes == 4 * BLOCK_BYTES


def test_the_lowest_stretch_that_fits_is_used_again() -> None:
    space = FreeSpace()
    offsets = [space.take(size * BLOCK_BYTES) for size in (2, 1, 3, 1)]
    space.give(offsets[0], 2 * BLOCK_BYTES)
    space.give(offsets[2], 3 * BLOCK_BYTES)
    assert space.take(3 * BLOCK_BYTES) == offsets[2]
    assert space.take(BLOCK_BYTES) == offsets[0]
    assert space.take(BLOCK_BYTES) == offsets[0] + BLOCK_BYTES
    assert space.end_bytes == 7 * BLOCK_BYTES


def test_neighbours_grow_together_and_the_end_comes_back() -> None:
    space = FreeSpace()
    offsets = [space.take(BLOCK_BYTES) for _ in range(4)]
    for index in (0, 2, 1):
        space.give(offsets[index], BLOCK_BYTES)
    assert space.take(3 * BLOCK_BYTES) == 0
    space.give(0, 3 * BLOCK_BYTES)
    space.give(offsets[3], BLOCK_BYTES)
    assert space.end_bytes == 0


def test_whatever_is_taken_and_given_no_two_stretches_overlap() -> None:
    chance, space, taken = random.Random(0), FreeSpace(), {}
    for _ in range(2000):
        if taken and chance.random() < 0.5:
            offset = chance.choice(list(taken))
            space.give(offset, taken.pop(offset))
        else:
            size = chance.randint(1, 5 * BLOCK_BYTES)
            taken[space.take(size)] = size
        stretches = sorted((offset, offset + size) for offset, size in taken.items())
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(stretches))
        assert not stretches or stretches[-1][1] <= space.end_bytes
    for offset, size in taken.items():
        space.give(offset, size)
    assert space.end_bytes == 0
