"""Predictors for tests that answer from the pixels, so that what they should find is known by construction."""

from collections.abc import Sequence

import cv2
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
SIZE = 64


class ColourDetector:
    """Finds red and blue squares by their pixels; `blind_to` colours it does not see."""

    task = "detection"
    categories = Categories(COLOURS)
    precision = "fp32"

    def __init__(self, blind_to: Sequence[str] = ()) -> None:
        self.blind_to = blind_to
        self.calls: list[int] = []

    def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        self.calls.append(len(images))
        return [[one for name in COLOURS if name not in self.blind_to for one in find_squares(image, name)] for image in images]


def find_squares(image: np.ndarray, name: str) -> list[Annotation]:
    near = (np.abs(image.astype(int) - COLOURS[name]).sum(axis=2) < 60).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(near)
    boxes = [tuple(float(value) for value in (x, y, x + w, y + h)) for x, y, w, h, _ in stats[1:count]]
    return [Annotation(category=name, box_xyxy=box, confidence=0.9, origin="model") for box in boxes]
