"""A folder of plain pictures as a DatasetVersion without labels: enough to calibrate, and to compare answers with FP32's."""

from collections.abc import Sequence
from pathlib import Path

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound, UnreadableImage
from sightline.data.blobs import BlobStore
from sightline.data.formats.picture_files import walk_pictures
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import read_image

NAME = "pictures"
SPLIT = "unlabelled"


def write_unlabelled(folder: Path, target: Path, categories: Sequence[str] = ()) -> DatasetVersion:
    """Every picture below `folder` that can be read, without labels.

    Args:
        target: new folder, for the version and its blobs.
        categories: names the version is said to have.

    Raises: NotFound for a folder without a picture, InvalidInput when none can be read.
    """
    paths = sorted(walk_pictures(folder))
    if not paths:
        raise NotFound(f"no picture in {folder}; give a folder that holds some")
    blobs = BlobStore(target / "blobs")
    count = 0
    with VersionWriter(target / "version", NAME, Categories(categories), blobs) as writer:
        for path in paths:
            try:
                height, width = read_image(path).shape[:2]
            except (UnreadableImage, InvalidInput):
                continue
            name = path.relative_to(folder).as_posix()
            blob = blobs.put_bytes(path.read_bytes())
            writer.add(Item(blob=blob, file_name=name, width=width, height=height, split=SPLIT, seen_by="nobody"))
            count += 1
        if not count:
            raise InvalidInput(f"none of the {len(paths)} pictures in {folder} can be read; give others")
        return writer.close()
