"""Datasets for the tests of the platform: a few pictures with labels of every kind."""

from collections.abc import Sequence

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.workspace import Workspace
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import encode_mask

WIDTH, HEIGHT = 64, 48


def paint(number: int) -> np.ndarray:
    """A picture unlike the others."""
    image = np.full((HEIGHT, WIDTH, 3), 40 + 7 * number, np.uint8)
    image[:, : 5 + number] = (200, 30, number)
    return image


def draw_mask() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 5:15] = True
    return mask


LABELS: list[tuple[Annotation, ...]] = [
    (Annotation(category="dent", box_xyxy=(2.0, 3.0, 20.0, 30.0)),),
    (Annotation(category="scratch", polygons=((1.0, 1.0, 30.5, 2.0, 12.0, 40.0),), attributes={"depth": "2"}),),
    (Annotation(category="dent", mask=encode_mask(draw_mask())),),
    (Annotation(category="dent", box_xyxy=(5.0, 5.0, 25.0, 25.0), confidence=0.75, origin="model"),),
    (),
    (),
]


def make_dataset(
    workspace: Workspace, name: str = "parts", labels: Sequence[tuple[Annotation, ...]] = LABELS
) -> DatasetVersion:
    """Pictures 0.png, 1.png ...; of the last two, without labels, nobody looked at one, and people found the other empty."""
    items = [
        SourceItem(
            file_name=f"{number}.png",
            content=encode_image(paint(number), "png"),
            split="train" if number % 2 == 0 else "val",
            annotations=annotations,
            seen_by=None if annotations else ("nobody" if number % 2 == 0 else "human"),
        )
        for number, annotations in enumerate(labels)
    ]
    return import_dataset(items, workspace, name, categories=["dent", "scratch"], split="given")[0]
