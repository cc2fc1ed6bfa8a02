"""The encoded pictures that load is made with: from a DatasetVersion, a folder, or a single file, in a seeded order."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sightline.bench.load.records import PictureFacts
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.folders import MANIFEST_NAME
from sightline.core.workspace import Workspace
from sightline.data.formats.picture_files import walk_pictures
from sightline.data.versions import open_version

MOST_BYTES = 256 << 20  # of pictures held at once; of a larger set a seeded part is sent
Read = Callable[[], bytes]


def read_pictures(
    reference: str, workspace: Workspace, split: str | None, seed: int, most_bytes: int = MOST_BYTES
) -> tuple[list[bytes], PictureFacts]:
    """Pictures in the order they are sent, and what is to be said of them.

    Args:
        reference: name or folder of a DatasetVersion, a folder with pictures in it and below, or a picture file.
        split: of a DatasetVersion; None takes every picture.

    Raises: NotFound; InvalidInput for a split of something that has none, or when there is no picture.
    """
    path = Path(reference)
    readers: list[Read]
    if (path / MANIFEST_NAME).is_file() or not path.exists():
        source, version, readers = open_pictures_of_version(reference, workspace, split)
    else:
        if split is not None:
            raise InvalidInput(f"expected `split` with a dataset version only, got the path {reference}; leave it out")
        files = [path] if path.is_file() else list(walk_pictures(path))
        source, version, readers = path.resolve().name, None, [file.read_bytes for file in files]
    pictures = read_some(readers, seed, most_bytes)
    if not pictures:
        raise InvalidInput(f"expected at least one picture in {reference}, got none; give a folder with JPEG or PNG files")
    sizes = [len(picture) for picture in pictures]
    facts = PictureFacts(
        source=source,
        version=version,
        split=split,
        pictures=len(pictures),
        available=len(readers),
        mean_bytes=int(np.mean(sizes)),
        median_bytes=int(np.median(sizes)),
        largest_bytes=max(sizes),
    )
    return pictures, facts


def open_pictures_of_version(reference: str, workspace: Workspace, split: str | None) -> tuple[str, str, list[Read]]:
    """Name, id and a reader for each picture. Raises: NotFound, also saying that a folder may be given."""
    try:
        version = open_version(workspace.find("datasets", reference))
    except NotFound as error:
        raise NotFound(f"{error}; a path to a picture or to a folder of pictures may be given too") from error

    def make_reader(blob: str) -> Read:
        return lambda: version.blobs.read(blob)

    return version.name, version.id, [make_reader(item.blob) for item in version.items(split)]


def read_some(readers: Sequence[Read], seed: int, most_bytes: int) -> list[bytes]:
    """Contents in a seeded order, as many as fit into `most_bytes`, at least one."""
    pictures: list[bytes] = []
    size_bytes = 0
    for index in np.random.default_rng(seed).permutation(len(readers)):
        content = readers[index]()
        size_bytes += len(content)
        if pictures and size_bytes > most_bytes:
            break
        pictures.append(content)
    return pictures
