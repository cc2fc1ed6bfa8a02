"""Small pictures and versions for the tests of the formats; every picture is different, so that blobs tell them apart."""

import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec.structs import replace
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.data.blobs import BlobStore
from sightline.data.conversion import ConversionReport
from sightline.data.exporting import export_version
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.table import load_format
from sightline.data.importing import import_dataset
from sightline.data.items import Item, Viewer
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import decode_image, encode_image


def write_picture(path: Path, width: int = 20, height: int = 10) -> Path:
    """A PNG or JPEG whose content depends on its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(str(path).encode()))
    assert cv2.imwrite(str(path), rng.integers(0, 255, (height, width, 3), np.uint8))
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_mask(path: Path, values: Sequence[Sequence[int]] | np.ndarray) -> Path:
    """A gray PNG of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(values, np.uint8))
    return path


def encode_turned(pixels: np.ndarray, orientation: int) -> bytes:
    """A PNG of an upright picture, stored so that EXIF turns it."""
    if orientation == 1:
        return encode_image(pixels, "png")
    turns = {3: 2, 6: 1, 8: 3}[orientation]  # quarters, against the clock, that the file lies turned by
    picture = Image.fromarray(np.rot90(pixels, turns))
    exif = picture.getexif()
    exif[0x0112] = orientation
    content = BytesIO()
    picture.save(content, "png", exif=exif)
    assert np.array_equal(decode_image(content.getvalue()), pixels)
    return content.getvalue()


def read(name: str, source: Path, **options: Any) -> tuple[SourceDataset, dict[str, SourceItem], ConversionReport]:
    """Everything a reader gives: the dataset, its items by file name, the report."""
    report = ConversionReport()
    dataset = load_format(name).read(source, report, options)
    items = list(dataset.items)
    assert len({item.file_name for item in items}) == len(items), "file names are unique"
    return dataset, {item.file_name: item for item in items}, report


def make_version(
    folder: Path,
    rows: Sequence[tuple[str, str | None, Sequence[Annotation]]],
    categories: Sequence[str],
    size: tuple[int, int] = (20, 10),
    unlabelled_pixels: Any = "background",
    viewers: Mapping[str, Viewer | None] = {},
) -> DatasetVersion:
    """A version of the given (file name, split, annotations). Args: viewers: who looked at a picture, by its name."""
    blobs = BlobStore(folder / "blobs")
    with VersionWriter(
        folder / "version", "sample", Categories(categories), blobs, unlabelled_pixels=unlabelled_pixels
    ) as writer:
        for number, (file_name, split, annotations) in enumerate(rows):
            suffix = Path(file_name).suffix or ".png"
            content = write_picture(folder / f"source-{number}{suffix}", *size).read_bytes()
            blob = blobs.put_bytes(content)
            item = Item(blob=blob, file_name=file_name, width=size[0], height=size[1], split=split)
            writer.add(replace(item, annotations=tuple(annotations), seen_by=viewers.get(file_name)))
        return writer.close()


def round_trip(
    version: DatasetVersion, name: str, folder: Path, allow_loss: bool = False
) -> tuple[DatasetVersion, ConversionReport]:
    """Export, and import what came out."""
    export_version(version, folder / f"export-{name}", name, allow_loss=allow_loss)
    return import_dataset(
        folder / f"export-{name}",
        folder / f"again-{name}",
        "again",
        blobs=BlobStore(folder / "again"),
        format=name,
        split="given",
    )


def by_blob(version: DatasetVersion) -> dict[str, Item]:
    return {item.blob: item for item in version.items()}
