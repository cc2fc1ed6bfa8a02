import cv2
import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.imaging.masks import draw_polygons
from sightline.imaging.tracing import has_holes, trace_mask, trace_mask_with_holes


def draw_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 50, 2)
    noise = rng.random((height, width)).astype(np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 1.5) > 0.5) if seed % 2 else noise < rng.random()


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Everything that the outside cannot reach through unset pixels, diagonals not allowed."""
    padded = np.pad(mask, 1).astype(np.uint8)
    _, parts = cv2.connectedComponents(1 - padded, connectivity=4)
    return (parts != parts[0, 0])[1:-1, 1:-1]


@pytest.mark.parametrize("seed", range(60))
def test_drawing_the_outline_gives_back_the_mask(seed):
    mask = draw_mask(seed)
    drawn = draw_polygons(trace_mask(mask), *mask.shape)
    if has_holes(mask):
        assert (drawn >= mask).all() and (drawn <= fill_holes(mask)).all()
        assert drawn.sum() > mask.sum()
    else:
        np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize("seed", range(60))
def test_with_its_holes_an_outline_gives_back_every_mask(seed):
    mask = draw_mask(seed)
    assert np.array_equal(draw_polygons(trace_mask_with_holes(mask), *mask.shape), mask)


def test_an_island_in_a_hole_is_an_outline_of_its_own():
    mask = np.ones((9, 9), bool)
    mask[1:8, 1:8] = False
    mask[2:7, 2:7] = True
    mask[4, 4] = False  # a hole of the island, not of what is around it
    rings = trace_mask_with_holes(mask)
    assert [len(ring) // 2 for ring in rings] == [11, 11]  # 4 corners and back, there, 4 corners and back
    assert np.array_equal(draw_polygons(rings, 9, 9), mask)


def test_one_pixel_is_a_square_along_its_edges():
    mask = np.zeros((3, 3), bool)
    mask[1, 2] = True
    (ring,) = trace_mask(mask)
    assert sorted(zip(ring[0::2], ring[1::2], strict=True)) == [(2, 1), (2, 2), (3, 1), (3, 2)]


def test_two_objects_are_two_rings():
    mask = np.zeros((4, 9), bool)
    mask[1:3, 1:3] = mask[1:3, 5:8] = True
    assert len(trace_mask(mask)) == 2
    assert not has_holes(mask)


def test_a_ring_shaped_mask_has_a_hole_that_polygons_fill():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    assert has_holes(mask)
    assert draw_polygons(trace_mask(mask), 5, 5).all()


def test_straight_edges_hold_no_extra_points():
    assert len(trace_mask(np.ones((40, 70), bool))[0]) == 8


def test_an_empty_mask_has_no_outline():
    assert trace_mask(np.zeros((4, 4), bool)) == ()
    assert trace_mask(np.zeros((0, 4), bool)) == ()
    assert not has_holes(np.zeros((4, 4), bool))


def test_only_one_mask_at_a_time_is_traced():
    with pytest.raises(InvalidInput):
        trace_mask(np.zeros((2, 3, 3), bool))
