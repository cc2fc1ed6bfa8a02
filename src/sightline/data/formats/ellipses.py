"""Circles and ellipses as polygons, which is what annotations hold."""

import math

from sightline.core.annotations import Ring

ERROR_PX = 0.1
FEWEST_POINTS, MOST_POINTS = 12, 720


def outline_ellipse(centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> Ring:
    """An ellipse as a polygon with its corners on it and its sides at most 0.1 px inside.

    Args:
        centre: x and y, pixels.
        radii: half of the extent along its own x and y axis, pixels.
        turn: radians from the picture's x axis to its own, clockwise as the picture is seen.
    """
    largest = max(radii)
    # The middle of a side is radius * (1 - cos(pi / count)) inside of the circle.
    angle = math.acos(1 - min(ERROR_PX / largest, 1)) if largest > 0 else math.pi
    count = min(max(math.ceil(math.pi / angle), FEWEST_POINTS), MOST_POINTS) if angle > 0 else MOST_POINTS
    cosine, sine = math.cos(turn), math.sin(turn)
    ring: list[float] = []
    for number in range(count):
        x = radii[0] * math.cos(2 * math.pi * number / count)
        y = radii[1] * math.sin(2 * math.pi * number / count)
        ring += [centre[0] + x * cosine - y * sine, centre[1] + x * sine + y * cosine]
    return tuple(ring)
