"""Pictures of a white square on a grid of cells, labelled for detection and for segmentation."""

from pathlib import Path

import numpy as np
from toy import write_version

from sightline.core.annotations import Annotation
from sightline.core.manifests import Task
from sightline.data.versions import DatasetVersion
from sightline.imaging.masks import encode_mask

SIDE, CELL = 32, 8


def draw_square(rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int]]:
    """A gray noisy picture with one white square on the grid of cells; and the cell (row, column)."""
    image = rng.integers(20, 70, (SIDE, SIDE, 3)).astype(np.uint8)
    row, column = (int(place) for place in rng.integers(0, SIDE // CELL, 2))
    image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = rng.integers(210, 250)
    return image, (row, column)


def annotate(task: Task, cell: tuple[int, int]) -> tuple[Annotation, ...]:
    row, column = cell
    if task == "detection":
        left, top = CELL * column, CELL * row
        return (Annotation(category="square", box_xyxy=(left, top, left + CELL, top + CELL)),)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = True
    return (Annotation(category="square", mask=encode_mask(mask)), Annotation(category="ground", mask=encode_mask(~mask)))


def make_squares(folder: Path, task: Task, names: tuple[str, ...]) -> DatasetVersion:
    rng = np.random.default_rng(3)

    def draw(_: int) -> tuple[np.ndarray, tuple[Annotation, ...]]:
        image, cell = draw_square(rng)
        return image, annotate(task, cell)

    return write_version(folder, "squares", names, {"train": 20, "val": 30}, draw)
