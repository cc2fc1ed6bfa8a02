import math

import numpy as np
import pytest

from sightline.data.formats.ellipses import outline_ellipse
from sightline.imaging.masks import compute_ring_area


@pytest.mark.parametrize("radii", [(0.05, 0.05), (4.0, 4.0), (300.0, 300.0), (40.0, 10.0), (1.0, 90.0)])
@pytest.mark.parametrize("turn", [0.0, 0.5, -2.0])
def test_the_corners_lie_on_the_ellipse_and_little_of_it_is_missing(radii: tuple[float, float], turn: float) -> None:
    ring = outline_ellipse((5.0, 6.0), radii, turn)
    x, y = (np.array(ring).reshape(-1, 2) - (5, 6)).T
    across, along = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    assert (across / radii[0]) ** 2 + (along / radii[1]) ** 2 == pytest.approx(np.ones(len(x)))
    area = math.pi * radii[0] * radii[1]
    perimeter = 2 * math.pi * max(radii)  # or less
    assert 0 <= area - compute_ring_area(ring) <= 0.1 * perimeter


def test_a_turn_is_clockwise_as_the_picture_is_seen() -> None:
    assert outline_ellipse((0.0, 0.0), (2.0, 1.0), math.pi / 2)[:2] == pytest.approx((0.0, 2.0))  # downwards


@pytest.mark.parametrize("radius", [0.0, 1e9])
def test_a_point_and_a_giant_have_few_corners(radius: float) -> None:
    assert len(outline_ellipse((0.0, 0.0), (radius, radius))) <= 2 * 720
