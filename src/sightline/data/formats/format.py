"""The seam every dataset format stands behind: a streaming reader, a loss check and a writer.

A reader yields one `SourceItem` at a time and never holds the pictures; what it cannot keep it tells the ConversionReport.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Unsupported
from sightline.core.manifests import UnlabelledPixels
from sightline.core.workspace import StrPath
from sightline.data.conversion import ConversionReport
from sightline.data.items import Item, Viewer, read_viewer
from sightline.data.versions import DatasetVersion

# Whoever drew what is not kept did not say that nothing is there.
NONE_KEPT = "none of its annotations is kept: it comes as a picture that nobody looked at"
UNKNOWN = "unknown"  # what our own exports say where nobody says who looked, in formats whose empty file means a person


class SourceItem(msgspec.Struct, frozen=True, kw_only=True):
    """One picture with its labels, read from a format or made by a program: what `import_dataset` takes.

    Attributes:
        file_name: unique within the dataset, with POSIX separators: the path below the source's picture folder.
        path: the picture on disk, or None when `content` holds it.
        content: the encoded picture, or `uint8 (H, W, 3)` RGB, which is stored as PNG.
        split: "train", "val", "test", any other name, or None.
        annotations: in pixels of the upright picture, its EXIF orientation applied; what reaches over the edge is clipped.
        declared_size: `(width, height)` that the labels claim, checked against the picture; None if they claim none.
        warning: why the picture comes without labels; counted only when the picture itself arrives.
        is_upright: the labels are known to belong to the upright picture; else an import warns where EXIF turns it.
        seen_by: who looked at the picture to label it, where `annotations` do not tell: "human", "model", "nobody"; see `Item`.
        source_video, frame_pts: of a frame: its video's name, whose frames a drawn split keeps together, and its time there.
        attributes: further facts of the picture, text to text.
    """

    file_name: str
    path: StrPath | None = None
    content: bytes | np.ndarray | None = None
    split: str | None = None
    annotations: Sequence[Annotation] = ()
    declared_size: tuple[int, int] | None = None
    warning: str | None = None
    is_upright: bool = False
    seen_by: Viewer | None = None
    source_video: str | None = None
    frame_pts: int | None = None
    attributes: dict[str, str] = {}


class SourceDataset(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader returns: the categories first, then a stream of items that can be walked once."""

    categories: Categories
    items: Iterator[SourceItem]
    unlabelled_pixels: UnlabelledPixels = "background"


class DatasetFormat(Protocol):
    """A dataset format: found by `detect`, read and written as a stream."""

    name: str
    description: str

    def detect(self, source: Path) -> float:
        """How sure it is that `source` is its own, 0..1; looks at names and first bytes only."""

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open `source`. Raises: UnreadableDataset when it is not of this format."""

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would change or drop, found without writing."""

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write the version below the new folder (or as the new file) `target`."""


class ReadOnlyFormat:
    """What a format that is read, but not written, says of an export: everything would be lost.

    Attributes:
        not_written: the reason, as the beginning of a line.
        instead: what to export to.
    """

    not_written: str
    instead = "another format"

    def check(self, version: DatasetVersion) -> ConversionReport:
        """Everything would be lost."""
        report = ConversionReport()
        report.drop("image", self.not_written, count=version.count())
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Raises: Unsupported."""
        raise Unsupported(f"{self.not_written}; export to {self.instead}")


def find_viewer_of_file(annotations: Sequence[Annotation], told: str | None = None) -> Viewer | None:
    """Who looked at a picture that has a label file of its own: a person, even if it is empty, unless it holds a model's.

    Args: told: what the file itself says, as `name_viewer` gave it; it counts first.
    """
    if told == UNKNOWN and not annotations:
        return None
    return read_viewer(told) or (None if any(annotation.origin == "model" for annotation in annotations) else "human")


def name_viewer(item: Item, is_empty: bool) -> str | None:
    """What a label file of its own must say of who looked at a picture; None where its annotations tell.

    Args: is_empty: it holds no annotation: of those that are not written nobody will know.
    """
    if item.seen_by is not None or not is_empty:
        return item.seen_by
    return "nobody" if item.annotations else UNKNOWN
