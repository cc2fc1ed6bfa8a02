import os

import numpy as np

from sightline.training.picture_cache import PictureCache


def test_what_does_not_fit_has_no_place() -> None:
    cache = PictureCache([12, 12, 12], 3, 30)
    for index in range(3):
        assert cache.find(index) is None
        cache.put(index, np.full((2, 2, 3), index, np.uint8))
    assert [None if (kept := cache.find(index)) is None else kept.tolist() for index in range(3)] == [[0] * 12, [1] * 12, None]


def test_no_memory_keeps_nothing() -> None:
    cache = PictureCache([12], 1, 0)
    cache.put(0, np.zeros((2, 2, 3), np.uint8))
    assert cache.find(0) is None


def test_parts_lie_one_after_another_and_another_size_is_left_out() -> None:
    cache = PictureCache([4, 4], 2, 100)
    cache.put(0, np.zeros((1, 1, 3), np.uint8), np.full((1, 1), 9, np.uint8))
    cache.put(1, np.zeros((1, 1, 3), np.uint8))
    assert cache.find(0).tolist() == [0, 0, 0, 9]
    assert cache.find(1) is None


def test_a_forked_process_keeps_for_all() -> None:
    cache = PictureCache([3], 1, 100)
    child = os.fork()
    if child == 0:
        cache.put(0, np.full((1, 1, 3), 7, np.uint8))
        os._exit(0)
    os.waitpid(child, 0)
    assert cache.find(0).tolist() == [7, 7, 7]
