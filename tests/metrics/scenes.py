"""Random scenes of objects with believable predictions: shaken, doubled, mistaken, missed and invented."""

import numpy as np

from sightline.core.annotations import Annotation

NAMES = ("a", "b", "c", "d")
SIZE = 640
Scene = tuple[list[Annotation], list[Annotation]]


def make_scene(rng: np.random.Generator, crowds: bool, ties: bool) -> Scene:
    truth, predicted = [], []
    for _ in range(rng.integers(0, 15)):
        (x, y), (width, height) = rng.uniform(0, 500, 2), rng.uniform(5, 140, 2)
        name = NAMES[rng.integers(3)]  # nothing is a "d"
        truth.append(box(name, (x, y, x + width, y + height), is_crowd=bool(crowds and rng.random() < 0.1)))
        for _ in range(rng.integers(0, 4)):
            shift = rng.normal(0, 0.08, 4) * [width, height, width, height]
            seen = np.array([x, y, x + width, y + height]) + shift
            confidence = round(float(rng.random()), 2 if ties else 15)
            predicted.append(box(name if rng.random() < 0.9 else "d", seen, confidence=confidence))
    for _ in range(rng.integers(0, 20)):
        (x, y), (width, height) = rng.uniform(0, 500, 2), rng.uniform(5, 140, 2)
        name = NAMES[rng.integers(4)]
        predicted.append(box(name, (x, y, x + width, y + height), confidence=float(rng.random() * 0.5)))
    return truth, predicted


def make_scenes(count: int, seed: int, crowds: bool = True, ties: bool = True) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [make_scene(rng, crowds, ties) for _ in range(count)]


def box(name: str, box_xyxy, **fields) -> Annotation:
    x_min, y_min, x_max, y_max = (float(value) for value in box_xyxy)
    if "confidence" in fields:
        fields["origin"] = "model"
    return Annotation(category=name, box_xyxy=(x_min, y_min, x_max, y_max), **fields)


def label(name: str, confidence: float | None = None) -> Annotation:
    return Annotation(category=name, confidence=confidence, origin="human" if confidence is None else "model")
