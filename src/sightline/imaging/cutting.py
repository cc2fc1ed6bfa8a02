"""Cut the thing within a box out of its surroundings, and let strokes correct the cut.

GrabCut: Rother, Kolmogorov and Blake 2004, "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts", figure 3.
What lies outside the box is background; what lies inside is sorted by two colour models that are learned from the picture
itself, and by a cut that prefers to run along edges. Strokes are the paper's "user editing": pixels whose side is known.

Two things are ours. The work is done on the surroundings of the box alone, brought to a fixed range of sizes: the weight that
the cut gives to edges fits pictures of some hundred pixels, and things of a few pixels vanish unless they are enlarged first.
And a person draws a box that touches the thing on all sides (Lempitsky et al. 2009, "Image Segmentation with a Bounding Box
Prior"): where the first cut does not, as with scratches, whose box holds mostly background, a second one starts from the
pixels that differ most from what lies around the box, and the tighter of both is the answer.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import msgspec
import numpy as np

from sightline.core.annotations import BoxXyxy
from sightline.core.errors import InvalidInput
from sightline.imaging.masks import find_mask_box

Image = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Region = tuple[int, int, int, int]

SMALLEST, LARGEST = 256, 512  # the longer side of what is worked on, pixels
MARGIN = 0.25  # of the region's longer side lies around it, to learn the background from
LEAST_MARGIN = 4  # pixels
ITERATIONS = 4
TIGHT = 0.9  # of its region that the box around a cut fills; below, another start is tried
FARTHEST, BROADEST = 1 << 20, (1 << 14) - 1  # pixels of what is worked on, to which OpenCV draws lines; far more than it has
SENSOR_NOISE = 4.0  # variance of a channel, levels squared: a smooth background is not sure of every level


class Stroke(msgspec.Struct, frozen=True):
    """A line drawn by hand, which says of the pixels under it whether they belong to the thing.

    Attributes:
        points: x0, y0, x1, y1, ... pixels of the picture; one point is a dab.
        radius: pixels of the picture.
        adds: whether they belong to it.
    """

    points: tuple[float, ...]
    radius: float
    adds: bool


class Window(msgspec.Struct, frozen=True):
    """A region of a picture with what lies around it, brought to another size: all that is cut from.

    Attributes:
        region: left, top, right and bottom of what may belong to the thing, whole pixels of the picture.
        pixels: `(h, w, 3)` uint8, at the size that is worked on.
        left, top, width, height: the part, whole pixels of the picture.
    """

    region: Region
    pixels: Image
    left: int
    top: int
    width: int
    height: int

    def place(self, points: Sequence[float]) -> Floats:
        """Points x0, y0, x1, y1, ... of the picture as `(P, 2)` points of `pixels`."""
        height, width = self.pixels.shape[:2]
        scale = np.array([width / self.width, height / self.height])
        offsets = np.asarray(points, np.float64).reshape(-1, 2) - (self.left, self.top)
        return np.asarray(offsets * scale, np.float64)


def cut_out(image: Image, box_xyxy: BoxXyxy, strokes: Sequence[Stroke] = ()) -> Mask:
    """The pixels of the thing within a box.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        box_xyxy: around the thing, as tight as a hand draws it, pixels; what lies outside the picture is left out.
        strokes: later ones lie above earlier ones. One that adds beyond the box widens it.

    Returns:
        `(H, W)` bool; all unset where the strokes leave nothing.

    Raises:
        InvalidInput: nothing of the box lies in the picture, or a stroke is no line of points.
    """
    height, width = image.shape[:2]
    window = open_window(image, find_region(height, width, box_xyxy, strokes))
    return cut_window(window, strokes, height, width)


def cut_window(window: Window, strokes: Sequence[Stroke], height: int, width: int) -> Mask:
    """What `cut_out` returns of a picture of which only the window is at hand."""
    marks = _mark(window, strokes)
    mask = np.zeros((height, width), bool)
    if not (marks & 1).any():  # GC_FGD and GC_PR_FGD are odd: nothing may be the thing any more
        return mask
    cut = _cut(window, marks)
    grown = cv2.resize(cut.astype(np.float32), (window.width, window.height), interpolation=cv2.INTER_LINEAR) > 0.5
    mask[window.top : window.top + window.height, window.left : window.left + window.width] = grown
    return mask


def find_region(height: int, width: int, box_xyxy: BoxXyxy, strokes: Sequence[Stroke]) -> Region:
    """What may belong to the thing. Args, Raises: as of `cut_out`, of a picture of this size."""
    boxes = [box_xyxy]
    for stroke in strokes:
        if len(stroke.points) < 2 or len(stroke.points) % 2:
            raise InvalidInput(f"expected x and y of each point of a stroke, got {len(stroke.points)} numbers; draw it again")
        if stroke.adds:
            xs, ys = stroke.points[::2], stroke.points[1::2]
            boxes.append((min(xs) - stroke.radius, min(ys) - stroke.radius, max(xs) + stroke.radius, max(ys) + stroke.radius))
    lows, highs = np.array(boxes)[:, :2].min(axis=0), np.array(boxes)[:, 2:].max(axis=0)
    left, top = (int(low) for low in np.floor(np.clip(lows, 0, (width, height))))
    right, bottom = (int(high) for high in np.ceil(np.clip(highs, 0, (width, height))))
    if left >= right or top >= bottom:
        raise InvalidInput(f"expected a box within {width} x {height} pixels, got {box_xyxy}; draw it on the picture")
    return left, top, right, bottom


def open_window(image: Image, region: Region) -> Window:
    """The region of a picture `(H, W, 3)` with what lies around it, at the size that is worked on."""
    left, top, right, bottom = region
    margin = max(LEAST_MARGIN, round(MARGIN * max(right - left, bottom - top)))
    x_min, y_min = max(0, left - margin), max(0, top - margin)
    part = image[y_min : bottom + margin, x_min : right + margin]
    height, width = part.shape[:2]
    scale = min(LARGEST, max(SMALLEST, height, width)) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return Window(region, np.asarray(pixels, np.uint8), x_min, y_min, width, height)


def _mark(window: Window, strokes: Sequence[Stroke]) -> Image:
    """What is known of each pixel of a window, in OpenCV's words: `(h, w)` uint8."""
    marks = np.full(window.pixels.shape[:2], cv2.GC_BGD, np.uint8)
    (left, top), (right, bottom) = np.rint(window.place(window.region)).astype(int)
    marks[top : max(bottom, top + 1), left : max(right, left + 1)] = cv2.GC_PR_FGD
    if (marks == cv2.GC_PR_FGD).all():  # a box around everything: its rim is the best guess at a background
        marks[[0, -1]] = marks[:, [0, -1]] = cv2.GC_PR_BGD
    for stroke in strokes:
        points = np.rint(np.clip(window.place(stroke.points), -FARTHEST, FARTHEST)).astype(np.int32)
        radius = min(max(1, round(stroke.radius * marks.shape[1] / window.width)), BROADEST)
        colour = cv2.GC_FGD if stroke.adds else cv2.GC_BGD
        for start, end in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            cv2.line(marks, start.tolist(), end.tolist(), colour, 2 * radius)
    return marks


def _cut(window: Window, marks: Image) -> Mask:
    """The tighter one of two cuts, `(h, w)` bool; the second is made where the first is not tight."""
    pixels, extent = window.pixels, window.place(window.region)
    first = _grab(pixels, marks)
    if _fill_share(first, extent) >= TIGHT:
        return first
    started = _start_from_contrast(pixels, marks)
    if not (started & 1).any():
        return first
    second = _grab(pixels, started)
    return max(first, second, key=lambda cut: _fill_share(cut, extent))


def _grab(pixels: Image, marks: Image) -> Mask:
    if not (marks & 1 == 0).any():  # strokes say that all is the thing
        return np.ones(marks.shape, bool)
    if (pixels == pixels[0, 0]).all():  # all cuts are alike: OpenCV would try them for seconds, and end with the strokes alone
        return np.asarray(marks == cv2.GC_FGD)
    cv2.setRNGSeed(0)  # of this thread: colour models start from random centres
    known = marks.copy()
    background, thing = np.zeros((1, 65)), np.zeros((1, 65))  # the colour models, which OpenCV keeps between calls
    cv2.grabCut(pixels, known, (0, 0, 0, 0), background, thing, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.asarray(known & 1 == 1)


def _fill_share(cut: Mask, extent: Floats) -> float:
    """How much of the region the box around a cut fills, 0..1."""
    box = find_mask_box(cut)
    if box is None:
        return 0.0
    low, high = np.maximum(box[:2], extent[0]), np.minimum(box[2:], extent[1])
    return float(np.prod(np.maximum(0, high - low)) / np.prod(extent[1] - extent[0]))


def _start_from_contrast(pixels: Image, marks: Image) -> Image:
    """Marks that call background what looks like the background, by Otsu's threshold on Mahalanobis distances from it."""
    around = pixels[marks == cv2.GC_BGD].astype(np.float64)
    if len(around) < 2:
        return marks
    spread = np.linalg.inv(np.cov(around.T) + SENSOR_NOISE * np.eye(3))
    offsets = pixels.astype(np.float64) - np.median(around, axis=0)
    distances = np.sqrt(np.einsum("hwc,cd,hwd->hw", offsets, spread, offsets))
    open_pixels = marks == cv2.GC_PR_FGD
    levels = np.minimum(255, distances / max(distances[open_pixels].max(initial=0), 1e-9) * 255).astype(np.uint8)
    threshold, _ = (
        cv2.threshold(levels[open_pixels].reshape(-1, 1), 0, 255, cv2.THRESH_OTSU) if open_pixels.any() else (0, None)
    )
    started = marks.copy()
    started[open_pixels & (levels <= threshold)] = cv2.GC_PR_BGD
    return started
