"""The pictures of an inference sweep: from a version, a folder or an LMDB, in order, as prepared batches.

A point that needs fewer pictures than there are takes every k-th one: still in their order, but over the whole set, so that a
set sorted by class does not become a test of its first class. A point that needs more begins again from the first.
"""

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.compiler.pictures import TRAINING_SPLITS, VALIDATION_SPLITS, PreparedSamples
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.folders import MANIFEST_NAME
from sightline.core.manifests import InputSpec
from sightline.core.progress import OnProgress
from sightline.core.workspace import Workspace
from sightline.data.archives import is_archive
from sightline.data.blobs import BlobStore
from sightline.data.formats.lmdb.format import find_class_names, find_databases
from sightline.data.formats.table import detect_format
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, open_version
from sightline.imaging.preprocessing import batch_shape, prepare_batch
from sightline.imaging.resizing import Placement

CALIBRATION_BATCH = 50  # pictures
BLOCK_BYTES = 128 << 20  # prepared batches held at once
BLOCK_BATCHES = 10
MEASURED_SPLITS = ("test", *VALIDATION_SPLITS)  # the first that is there, when nobody names one


@dataclass(frozen=True)
class PreparedBatch:
    """A batch as the network takes it, `(N, ...)` float32; placements and the true label of each picture (None without one)."""

    inputs: np.ndarray
    placements: list[Placement]
    labels: list[str | None]


@dataclass(frozen=True)
class Block:
    """A few batches that are measured one after the other, and the seconds it took to prepare them."""

    batches: list[PreparedBatch]
    prepared_s: float


@contextmanager
def open_sweep_pictures(
    reference: str,
    workspace: Workspace,
    class_names: Sequence[str] | None,
    network_names: Sequence[str],
    on_progress: OnProgress,
) -> Iterator[tuple[DatasetVersion, list[str]]]:
    """Open a dataset version by name or folder, or import a folder, archive or LMDB for as long as the block runs.

    Args:
        class_names: names of the class numbers of an LMDB or list, where a person gives them.
        network_names: the network's; they name the class numbers of an LMDB that has no names of its own.

    Returns: the version, and what a reader should know of the import, a line each.

    Raises: NotFound, InvalidInput, UnreadableDataset.
    """
    path = Path(reference)
    is_known = (path / MANIFEST_NAME).is_file() or reference.partition("@")[0] in workspace.names("datasets")
    if is_known or not path.exists():
        try:
            version = open_version(workspace.find("datasets", reference))
        except NotFound as error:
            raise NotFound(f"{error}; a path to a folder or LMDB of pictures may be given too") from error
        yield version, []
        return
    with tempfile.TemporaryDirectory(prefix="sightline-sweep-") as folder:
        version, report = import_dataset(
            path,
            Path(folder) / "version",
            name_pictures(path),
            blobs=BlobStore(Path(folder) / "blobs"),
            split="given",
            verify="header",  # what cannot be decoded is found when it is read
            format_options=choose_options(path, class_names, network_names),
            on_progress=on_progress,
        )
        yield version, [line for line in report.lines() if line.startswith("dropped")]


def name_pictures(path: Path) -> str:
    """A dataset's name for a folder or file: its own, with "-" for what a name cannot hold."""
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", path.resolve().name).strip("-._")
    return kept[:100] or "pictures"


def choose_options(source: Path, class_names: Sequence[str] | None, network_names: Sequence[str]) -> dict[str, object]:
    """Options for the reader of a source: names for class numbers, where its format has numbers."""
    if is_archive(source):
        return {}
    name = detect_format(source).name
    if name == "lmdb" and class_names is None and not find_class_names(source, find_databases(source), None):
        return {"classes": list(network_names)}
    return {"classes": list(class_names)} if class_names is not None and name in ("lmdb", "class_list") else {}


def choose_sweep_split(version: DatasetVersion, wanted: str | None) -> str | None:
    """The split to measure on: the wanted one ("all" is None), else test or validation where there is one, else all pictures.

    Raises: NotFound; InvalidInput for a split without pictures.
    """
    if wanted is None:
        split = next((name for name in MEASURED_SPLITS if version.splits.get(name)), None)
    else:
        split = None if wanted == "all" else wanted
    if not version.count(split):
        raise InvalidInput(f"expected pictures in {version.name!r}, got none in {split or 'it'}; give others")
    return split


class SweepPictures:
    """The pictures of one split and how they are fed; random access, one decoded picture at a time."""

    def __init__(self, version: DatasetVersion, split: str | None, spec: InputSpec) -> None:
        self._version, self._spec = version, spec
        self._items: Sequence[Item] = version.load_items(split)

    def __len__(self) -> int:
        return len(self._items)

    def iterate_blocks(self, batch_size: int, iterations: int) -> Iterator[Block]:
        """All batches of a point, a few at a time."""
        places = spread_places(len(self), batch_size * iterations)
        batch_bytes = 4 * int(np.prod(batch_shape(self._spec, batch_size)))
        held = max(1, min(BLOCK_BATCHES, BLOCK_BYTES // batch_bytes)) * batch_size
        for first in range(0, len(places), held):
            started = time.perf_counter()
            chosen = places[first : first + held]
            batches = [self._prepare(chosen[start : start + batch_size]) for start in range(0, len(chosen), batch_size)]
            yield Block(batches, time.perf_counter() - started)

    def _prepare(self, places: Sequence[int]) -> PreparedBatch:
        items = [self._items[place] for place in places]
        inputs, placements = prepare_batch([self._version.read_image(item) for item in items], self._spec)
        return PreparedBatch(inputs, placements, [find_label(item) for item in items])


def spread_places(total: int, wanted: int) -> list[int]:
    """Places of so many of `total` pictures, in order: every k-th one, or round and round when there are too few.

    Example: `spread_places(10, 5) == [0, 2, 4, 6, 8]`, `spread_places(2, 5) == [0, 1, 0, 1, 0]`.
    """
    if wanted <= total:
        return [index * total // wanted for index in range(wanted)]
    return [index % total for index in range(wanted)]


def find_label(item: Item) -> str | None:
    """The category that people gave a picture; None when they gave none or several."""
    names = {one.category for one in item.annotations if one.geometry == "image" and one.origin == "human"}
    return names.pop() if len(names) == 1 else None


@dataclass(frozen=True)
class CalibrationPictures:
    """What the quantiser is given.

    Attributes:
        samples: prepared inputs `(1, ...)` float32.
        source: where the pictures came from, in words.
        batches, first_batch: so many calibration batches, from this one on.
        are_measured: whether they are among the pictures that are measured.
    """

    samples: PreparedSamples
    source: str
    batches: int
    first_batch: int
    are_measured: bool


def choose_calibration(
    version: DatasetVersion,
    measured: tuple[DatasetVersion, str | None],
    spec: InputSpec,
    batches: int,
    first_batch: int,
) -> CalibrationPictures:
    """Pictures to calibrate with: of the training split, else of the split that is measured.

    A calibration batch has 50 pictures. Batch b of B holds every B-th picture from the b-th on, so each one goes over the whole
    set, sorted by class or not.

    Args:
        measured: the version and the split that are measured.
        batches, first_batch: so many batches, from this one on, counted from 0.

    Raises: InvalidInput when there is no such batch.
    """
    is_other, measured_split = version.id != measured[0].id, measured[1]
    training = next((name for name in TRAINING_SPLITS if version.splits.get(name)), None)
    split = training or (None if is_other else measured_split)
    items = version.load_items(split)
    known = max(1, -(-len(items) // CALIBRATION_BATCH))
    if first_batch >= known:
        raise InvalidInput(
            f"expected a first calibration batch below {known}, got {first_batch}: {len(items)} pictures make {known} batches "
            f"of {CALIBRATION_BATCH}"
        )
    chosen = range(first_batch, min(first_batch + batches, known))
    places = sorted(place for batch in chosen for place in range(batch, len(items), known))
    samples = PreparedSamples(version, [items[place] for place in places], spec)
    source = f"{version.name}, {f'split {split}' if split else 'all pictures'}"
    is_measured = not is_other and measured_split in (split, None)
    return CalibrationPictures(samples, source, len(chosen), first_batch, is_measured)
