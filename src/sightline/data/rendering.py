"""Draw one inspection picture: a machined part on a textured ground, with defects whose masks are exact by construction.

A defect is drawn from its mask, so the mask is the truth and no annotator's opinion. Light comes from one direction a picture
and shades part, drilled holes and dents alike; drilled holes and grooves belong to a good part and make the task worth
learning. All surfaces are float32 `(H, W, 3)` RGB, 0..1, until light and noise have been applied.
"""

from collections.abc import Callable
from typing import Any

import cv2
import msgspec
import numpy as np

DEFECTS = ("scratch", "dent", "stain", "hole")
Surface = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
MIN_VISIBLE_PX = 12  # a defect of fewer pixels could not be seen
TRIES = 12


class Picture(msgspec.Struct, frozen=True):
    """A drawn picture and its truth.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        part: `(H, W)` bool: the part with its defects, without its drilled holes.
        defects: category and `(H, W)` bool mask of each; masks do not touch.
    """

    image: np.ndarray[Any, np.dtype[np.uint8]]
    part: Mask
    defects: list[tuple[str, Mask]]


def draw_picture(rng: np.random.Generator, kinds: list[str], width: int, height: int) -> Picture:
    """Draw a part with the wanted defects; one that finds no room is left out.

    Args:
        rng: the only source of chance.
        kinds: categories of the defects, among `DEFECTS`.
        width, height: of the picture, pixels; made for about 320 x 240.
    """
    angle = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(angle), np.sin(angle)], np.float32)
    ground = _draw_ground(rng, width, height)
    part, drilled = _draw_outline(rng, width, height)
    surface = _draw_material(rng, part, drilled, light)
    free = _erode(part & ~_dilate(drilled, 3), 3)
    defects: list[tuple[str, Mask]] = []
    for kind in kinds:
        for _ in range(TRIES):
            mask, paint = SHAPERS[kind](rng, free, light)
            if np.count_nonzero(mask) >= MIN_VISIBLE_PX and not (mask & ~free).any():
                paint(surface)
                free = free & ~_dilate(mask, 4)
                defects.append((kind, mask))
                break
    whole = part & ~drilled
    shadow = cv2.GaussianBlur(np.roll(whole, tuple((-light[::-1] * 5).astype(int)), (0, 1)).astype(np.float32), (0, 0), 4)
    picture = ground * (1 - 0.55 * shadow[..., None])
    alpha = _soften(whole)[..., None]
    picture = picture * (1 - alpha) + surface * alpha
    return Picture(_expose(rng, picture), whole, defects)


def _draw_ground(rng: np.random.Generator, width: int, height: int) -> Surface:
    """A conveyor belt with ribs, speckled stone or a woven cloth."""
    kind = rng.integers(3)
    tone = np.array([(0.16, 0.17, 0.18), (0.45, 0.44, 0.42), (0.18, 0.26, 0.36)][kind], np.float32) * rng.uniform(0.7, 1.4)
    ground = np.empty((height, width, 3), np.float32)
    ground[:] = tone
    y, x = _make_grid(width, height)
    tilt = rng.uniform(-0.6, 0.6)
    cosine, sine = _turn_by(tilt)
    across = x * cosine + y * sine
    if kind == 0:
        period = rng.uniform(9, 22)
        ground *= (1 + 0.18 * np.clip(np.sin(across * (2 * np.pi / period)) * 3, -1, 1))[..., None]
    elif kind == 2:
        along = y * cosine - x * sine
        period = rng.uniform(4, 7)
        ground *= (1 + 0.14 * np.sin(across * (2 * np.pi / period)) * np.sin(along * (2 * np.pi / period)))[..., None]
    grain = _noise(rng, width, height, 1) * (0.10 if kind == 1 else 0.04) + _noise(rng, width, height, 40) * 0.10
    drawn: Surface = ground * (1 + grain)[..., None]
    return drawn


def _draw_outline(rng: np.random.Generator, width: int, height: int) -> tuple[Mask, Mask]:
    """A plate, a flange or a bracket, and what is drilled into it; both `(H, W)` bool."""
    centre = (width / 2 + rng.uniform(-18, 18), height / 2 + rng.uniform(-12, 12))
    turn = rng.uniform(-180, 180)
    scale = min(width / 320, height / 240) * rng.uniform(0.82, 1.05)
    kind = rng.integers(3)
    part, drilled = np.zeros((2, height, width), np.uint8)
    transform = cv2.getRotationMatrix2D((0, 0), turn, scale)

    def place(points: list[tuple[float, float]]) -> np.ndarray:
        placed = np.array(points) @ transform[:, :2].T + centre
        drawn: np.ndarray[Any, Any] = np.round(placed * 16).astype(np.int32)
        return drawn

    if kind == 0:  # plate with holes in its corners
        half_w, half_h = rng.uniform(95, 120), rng.uniform(62, 82)
        cv2.fillPoly(part, [place(_round_corners(half_w, half_h, rng.uniform(6, 22)))], 1, shift=4)
        drills = [(sx * (half_w - 17), sy * (half_h - 17), 6.0) for sx in (-1, 1) for sy in (-1, 1)]
    elif kind == 1:  # flange: disc with a bore and a ring of holes
        radius, bore, count = rng.uniform(88, 102), rng.uniform(16, 30), int(rng.integers(4, 8))
        ring = [(radius * np.cos(a), radius * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 90)]
        cv2.fillPoly(part, [place(ring)], 1, shift=4)
        drills = [(0.0, 0.0, bore)]
        drills += [(0.78 * radius * np.cos(a), 0.78 * radius * np.sin(a), 5.0) for a in np.arange(count) * 2 * np.pi / count]
    else:  # bracket with a slot
        arm = rng.uniform(72, 86)
        corners = [(-110, -78), (110, -78), (110, -78 + arm), (-110 + 1.3 * arm, -78 + arm), (-110 + 1.3 * arm, 80), (-110, 80)]
        cv2.fillPoly(part, [place(corners)], 1, shift=4)
        drills = [(-82.0, -52.0, 8.0), (84.0, -52.0, 8.0), (-82.0, 56.0, 8.0)]
    for x, y, radius in drills:
        cv2.circle(drilled, place([(x, y)])[0].tolist(), round(radius * scale * 16), 1, -1, cv2.LINE_8, 4)
    return part.astype(bool), drilled.astype(bool)


def _round_corners(half_w: float, half_h: float, radius: float) -> list[tuple[float, float]]:
    points = []
    for quarter, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        for step in np.linspace(0, np.pi / 2, 8):
            a = quarter * np.pi / 2 + step
            points.append((sx * (half_w - radius) + radius * np.cos(a), sy * (half_h - radius) + radius * np.sin(a)))
    return points


def _draw_material(rng: np.random.Generator, part: Mask, drilled: Mask, light: np.ndarray) -> Surface:
    """Brushed aluminium, rough casting or moulded plastic, with a bevelled rim and now and then a groove."""
    height, width = part.shape
    kind = rng.integers(3)
    surface = np.empty((height, width, 3), np.float32)
    if kind == 0:
        surface[:] = np.array((0.62, 0.63, 0.65), np.float32) * rng.uniform(0.8, 1.15)
        streaks = cv2.GaussianBlur(_noise(rng, width, height, 1), (0, 0), sigmaX=14, sigmaY=0.6) * 0.55
        surface *= (1 + _turn(streaks, rng.uniform(-180, 180)))[..., None]
    elif kind == 1:
        surface[:] = np.array((0.36, 0.35, 0.34), np.float32) * rng.uniform(0.8, 1.3)
        surface *= (1 + _noise(rng, width, height, 2) * 0.16 + _noise(rng, width, height, 9) * 0.10)[..., None]
    else:
        colours = ((0.70, 0.35, 0.14), (0.18, 0.38, 0.58), (0.72, 0.68, 0.58), (0.28, 0.46, 0.30))
        surface[:] = np.array(colours[rng.integers(len(colours))], np.float32) * rng.uniform(0.8, 1.2)
        surface *= (1 + _noise(rng, width, height, 3) * 0.035)[..., None]
    if rng.random() < 0.4:
        groove = np.zeros((height, width), np.uint8)
        middle, along = np.array((width, height)) / 2, rng.normal(size=2)
        along *= width / np.linalg.norm(along)
        offset = rng.uniform(-25, 25, 2)
        start, end = (np.round(middle + offset + sign * along).astype(int).tolist() for sign in (-1, 1))
        cv2.line(groove, start, end, 1, int(rng.integers(4, 7)))
        surface *= (1 - 0.22 * _soften(groove.astype(bool)))[..., None]
    rim = _slope(part & ~drilled, light, 2.5)
    sheen = _noise(rng, width, height, 90) * 0.12
    return surface * (1 + 0.9 * rim + sheen)[..., None]


Paint = Callable[[Surface], None]


def _shape_scratch(rng: np.random.Generator, free: Mask, light: np.ndarray) -> tuple[Mask, Paint]:
    """A thin bent line that lost its surface: bright with a dark side, or dark."""
    x, y = _pick_point(rng, free)
    angle, length, bend = rng.uniform(0, 2 * np.pi), rng.uniform(22, 95), rng.normal(0, 0.16)
    steps = np.linspace(-0.5, 0.5, 24)
    along, aside = steps * length, bend * length * (0.25 - steps**2) * 4
    points = np.stack(
        [x + along * np.cos(angle) - aside * np.sin(angle), y + along * np.sin(angle) + aside * np.cos(angle)], axis=1
    )
    mask = np.zeros(free.shape, np.uint8)
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 1, int(rng.integers(1, 4)), cv2.LINE_8, 4)
    strength = rng.uniform(0.16, 0.42) * rng.choice([1, 1, -0.7])
    scratched = mask.astype(bool)

    def paint(surface: Surface) -> None:
        surface += (strength * _soften(scratched, 0.6))[..., None]
        surface *= (1 + 0.8 * _slope(scratched, light, 1.0))[..., None]

    return scratched, paint


def _shape_dent(rng: np.random.Generator, free: Mask, light: np.ndarray) -> tuple[Mask, Paint]:
    """A smooth hollow: only its shading shows, dark towards the light and bright away from it."""
    x, y = _pick_point(rng, free)
    long, short = (radius := rng.uniform(6, 19)), radius * rng.uniform(0.6, 1.0)
    cosine, sine = _turn_by(rng.uniform(0, np.pi))
    rows, columns = _make_grid(free.shape[1], free.shape[0])
    u = ((columns - x) * cosine + (rows - y) * sine) / long
    v = ((rows - y) * cosine - (columns - x) * sine) / short
    distance = u * u + v * v
    mask = distance < 1
    depth = rng.uniform(0.45, 0.85)
    # Height -(1 - r2)^2; its slope along the light, in units that peak near 1.
    slope_u, slope_v = (4 * (1 - distance) * axis * mask for axis in (u, v))
    slope_x = slope_u * cosine - slope_v * sine
    slope_y = slope_u * sine + slope_v * cosine
    shade = depth * (slope_x * light[0] + slope_y * light[1]) * 0.65

    def paint(surface: Surface) -> None:
        surface *= np.maximum(1 - shade, 0.15)[..., None]

    return mask, paint


def _shape_stain(rng: np.random.Generator, free: Mask, light: np.ndarray) -> tuple[Mask, Paint]:
    """Oil, rust or residue: a ragged blot that tints the surface, strongest in its middle."""
    x, y = _pick_point(rng, free)
    radius = rng.uniform(7, 20)
    rows, columns = _make_grid(free.shape[1], free.shape[0])
    angles = np.arctan2(rows - y, columns - x)
    edge = np.ones_like(angles)
    for wave in range(2, 7):
        edge += float(rng.normal(0, 0.42 / wave)) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    inside = 1 - np.hypot(columns - x, rows - y) / (radius * np.maximum(edge, 0.35))
    mask = inside > 0
    tint = np.array([(0.42, 0.24, 0.12), (0.10, 0.09, 0.08), (0.52, 0.46, 0.22)][rng.integers(3)], np.float32)
    strength = rng.uniform(0.35, 0.75)
    alpha = (strength * np.clip(inside * 3 + 0.35, 0, 1) * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8))[..., None]

    def paint(surface: Surface) -> None:
        surface *= 1 - alpha
        surface += alpha * tint

    return mask, paint


def _shape_hole(rng: np.random.Generator, free: Mask, light: np.ndarray) -> tuple[Mask, Paint]:
    """A pit with a ragged edge: dark, its far rim catching the light; drilled holes are round and go through."""
    x, y = _pick_point(rng, free)
    count, radius = int(rng.integers(6, 11)), rng.uniform(3.0, 8.5)
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    reach = radius * rng.uniform(0.6, 1.25, count)
    points = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1)
    mask = np.zeros(free.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    pit = mask.astype(bool)
    dark = rng.uniform(0.03, 0.12)

    def paint(surface: Surface) -> None:
        alpha = _soften(pit)[..., None]
        surface *= 1 - alpha * (1 - dark)
        surface *= (1 - 0.7 * _slope(pit, light, 1.5))[..., None]

    return pit, paint


SHAPERS: dict[str, Callable[[np.random.Generator, Mask, np.ndarray], tuple[Mask, Paint]]] = {
    "scratch": _shape_scratch,
    "dent": _shape_dent,
    "stain": _shape_stain,
    "hole": _shape_hole,
}


def _expose(rng: np.random.Generator, picture: Surface) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Uneven light, a lamp's reflection, colour temperature, blur and sensor noise."""
    height, width = picture.shape[:2]
    y, x = _make_grid(width, height)
    slope_x, slope_y = rng.uniform(-0.28, 0.28, 2).tolist()
    light = 1 + slope_x * (x / width - 0.5) + slope_y * (y / height - 0.5)
    spot = np.exp(-(((x - rng.uniform(0, width)) / (0.4 * width)) ** 2 + ((y - rng.uniform(0, height)) / (0.4 * height)) ** 2))
    warmth = rng.normal(0, 0.035)
    white = np.array([1 + warmth, 1, 1 - warmth], np.float32) * rng.uniform(0.72, 1.22)
    exposed = picture * (light + rng.uniform(0, 0.35) * spot)[..., None] * white
    exposed = cv2.GaussianBlur(exposed.astype(np.float32), (0, 0), rng.uniform(0.3, 0.9))
    noise = rng.standard_normal((height, width, 3), np.float32) * rng.uniform(0.006, 0.028)
    drawn: np.ndarray[Any, np.dtype[np.uint8]] = (np.clip(exposed + noise, 0, 1) * 255).astype(np.uint8)
    return drawn


def _make_grid(width: int, height: int) -> tuple[Surface, Surface]:
    """Rows `(H, 1)` and columns `(1, W)` as float32: they broadcast to the picture."""
    return np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]


def _turn_by(angle: float) -> tuple[float, float]:
    """Cosine and sine as plain floats: numpy's own would make float64 of a float32 picture."""
    return float(np.cos(angle)), float(np.sin(angle))


def _noise(rng: np.random.Generator, width: int, height: int, grain_px: int) -> Surface:
    """Smooth noise of standard deviation near 1 with features of about `grain_px`; `(H, W)` float32."""
    if grain_px == 1:
        return rng.standard_normal((height, width), np.float32)
    coarse = rng.standard_normal((height // grain_px + 2, width // grain_px + 2), np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _turn(field: Surface, angle: float) -> Surface:
    height, width = field.shape
    transform = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    return np.asarray(cv2.warpAffine(field, transform, (width, height), borderMode=cv2.BORDER_REFLECT), np.float32)


def _slope(mask: Mask, light: np.ndarray, width_px: float) -> Surface:
    """Shading of a raised shape's rim, -1..1: bright where it faces the light."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), width_px)
    down_x, down_y = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    drawn: Surface = np.clip((down_x * light[0] + down_y * light[1]) * -0.25 * width_px, -0.5, 0.5)
    return drawn


def _soften(mask: Mask, sigma: float = 0.7) -> Surface:
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma), np.float32)


def _dilate(mask: Mask, radius: int) -> Mask:
    drawn: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)).astype(bool)
    return drawn


def _erode(mask: Mask, radius: int) -> Mask:
    drawn: Mask = cv2.erode(mask.astype(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)).astype(bool)
    return drawn


def _pick_point(rng: np.random.Generator, free: Mask) -> tuple[float, float]:
    """A point of the free area, `(x, y)` pixels; the middle of the picture when nothing is free."""
    places = np.flatnonzero(free)
    if not len(places):
        return free.shape[1] / 2, free.shape[0] / 2
    row, column = divmod(int(rng.choice(places)), free.shape[1])
    return column + rng.random(), row + rng.random()
