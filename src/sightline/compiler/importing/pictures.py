"""Pictures for an import: to compare the graph with its source on, and labelled ones to try the presets on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from sightline.compiler.pictures import TEST_SPLIT
from sightline.core.errors import NotFound
from sightline.data.formats.picture_files import walk_pictures
from sightline.data.items import Item
from sightline.data.rendering import DEFECTS, draw_picture
from sightline.data.versions import DatasetVersion
from sightline.imaging.files.reading import read_image

GENERATED_SIZE = (320, 240)


@dataclass(frozen=True)
class ImportPictures:
    """Decoded pictures `(H, W, 3)` uint8 RGB, what they are, in words, and whether they were drawn for want of others."""

    images: list[np.ndarray]
    source: str
    is_generated: bool = False


def choose_import_pictures(source: DatasetVersion | Path | None, count: int, seed: int) -> ImportPictures:
    """So many pictures of a version or a folder, chosen by seed; generated ones when there is neither.

    Raises: NotFound for a folder without pictures.
    """
    if isinstance(source, DatasetVersion):
        items = choose_items(source, count, seed)
        return ImportPictures([source.read_image(item) for item in items], f"pictures of {source.name}")
    if source is not None:
        paths = sorted(walk_pictures(source))
        if not paths:
            raise NotFound(f"no picture in {source}; give a folder that holds some")
        chosen = [paths[place] for place in sorted(_shuffle_places(len(paths), seed)[:count])]
        return ImportPictures([read_image(path) for path in chosen], "real pictures")
    rng = np.random.default_rng(seed)
    drawn = [draw_picture(rng, [DEFECTS[place % len(DEFECTS)]], *GENERATED_SIZE).image for place in range(count)]
    return ImportPictures(drawn, "generated pictures (none were given)", is_generated=True)


def choose_items(version: DatasetVersion, count: int, seed: int) -> list[Item]:
    """So many items in their order; none of the test split, which is for measuring, where other pictures are."""
    table: Sequence[Item] = version.load_items()
    drawn = iter(_shuffle_places(len(table), seed))
    if any(pictures for name, pictures in version.splits.items() if name != TEST_SPLIT):
        drawn = (place for place in drawn if table[place].split != TEST_SPLIT)
    return [table[place] for place in sorted(islice(drawn, count))]


def _shuffle_places(total: int, seed: int) -> list[int]:
    return [int(place) for place in np.random.default_rng(seed).permutation(total)]
