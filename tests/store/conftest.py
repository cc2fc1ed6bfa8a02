"""A workspace with a small dataset of generated pictures, and stores opened on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from argon2 import PasswordHasher

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.truth import note_viewer
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.store import passwords
from sightline.store.database import open_database
from sightline.store.datasets import Dataset, DatasetStore

RED = Annotation(category="red", box_xyxy=(1, 2, 11, 12))
BLUE = Annotation(category="blue", box_xyxy=(3, 4, 13, 14))
GUESS = Annotation(category="blue", box_xyxy=(5, 6, 15, 16), confidence=0.5, origin="model")

WriteVersion = Callable[..., DatasetVersion]
OpenStore = Callable[[], DatasetStore]


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost little, where the test is of something else."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", hasher)
    monkeypatch.setattr(passwords, "UNKNOWN", hasher.hash(b"nobody has this one"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def write_version(workspace: Workspace) -> WriteVersion:
    """Writes a version of four pictures: labelled, proposed, empty as nobody looked, and labelled with two."""

    def write(name: str = "parts", categories=("red", "blue"), order=(0, 1, 2, 3), shade=0, target=workspace) -> DatasetVersion:
        blobs = BlobStore(target.blobs)
        labels = [(RED,), (GUESS,), (), (RED, BLUE)]
        with VersionWriter(target, name, Categories(categories), blobs, unlabelled_pixels="ignore", seed=7) as writer:
            for number in order:
                image = np.full((50, 100, 3), 10 * number + shade, np.uint8)
                writer.add(
                    Item(
                        blob=blobs.put_bytes(encode_image(image, "png")),
                        file_name=f"Part {number}.png",
                        width=100,
                        height=50,
                        split=[None, "train", "train", "val"][number],
                        seen_by=note_viewer("nobody", ()) if number == 2 else None,
                        annotations=labels[number],
                    )
                )
            return writer.close()

    return write


@pytest.fixture
def open_store(workspace: Workspace) -> Iterator[OpenStore]:
    """Opens stores as further processes would: each with its own connections."""
    opened = []

    def open_one() -> DatasetStore:
        database = open_database(workspace.root / "sightline.db")
        opened.append(database)
        return DatasetStore(workspace, database)

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def dataset(write_version: WriteVersion, open_store: OpenStore) -> Dataset:
    write_version()
    return open_store().open("parts")
