"""Real pictures for calibrating, checking and gating: chosen by seed, prepared exactly as at inference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.data.items import Item
from sightline.data.truth import find_truth, find_viewer
from sightline.data.versions import DatasetVersion
from sightline.imaging.preprocessing import prepare_batch

TRAINING_SPLITS = ("train", "trainval")
VALIDATION_SPLITS = ("val", "valid", "validation")
TEST_SPLIT = "test"  # kept for the last measurement: it neither calibrates nor chooses
HELD_OUT_SHARE = 0.5  # of the pictures, for gating, when a version has one split only


@dataclass(frozen=True)
class ChosenPictures:
    """Which pictures do what.

    Attributes:
        calibration, validation: items in the order they were drawn; no picture is in both.
        calibration_split, validation_split: where they came from, for the report.
        labelled_by_models: validation pictures that a model alone looked at. They are left out, or stay as pictures without
            labels where people labelled none. Those that nobody looked at always stay as such.
    """

    calibration: list[Item]
    validation: list[Item]
    calibration_split: str
    validation_split: str
    labelled_by_models: int = 0


def choose_pictures(
    version: DatasetVersion, calibration: int, validation: int, seed: int, calibrate_on: DatasetVersion | None = None
) -> ChosenPictures:
    """Choose calibration pictures from the training split and validation pictures from another one.

    A version without one of the two is divided: its training split, or the one it has, or all that is no test split. The same
    picture under two names validates nothing that it calibrated. Only what people labelled judges by labels.

    Args:
        calibration, validation: how many at most.
        seed: of the choice.
        calibrate_on: another version to calibrate on; then all of `version` may validate that is no test split.

    Raises: InvalidInput when the version has too few pictures.
    """
    rng = np.random.default_rng(seed)
    if calibrate_on is not None:
        return _keep_truth(_choose_apart(version, calibrate_on, calibration, validation, rng))
    splits = version.splits
    training = next((name for name in TRAINING_SPLITS if splits.get(name)), None)
    held_out = next((name for name in VALIDATION_SPLITS if splits.get(name)), None)
    if training and held_out:
        chosen = ChosenPictures(
            _draw_items(version, training, calibration, rng),
            _draw_items(version, held_out, validation, rng),
            training,
            held_out,
        )
    else:
        chosen = _divide_items(version, training or held_out, calibration, validation, rng)
    calibrated = {item.blob for item in chosen.calibration}
    chosen = replace(chosen, validation=[item for item in chosen.validation if item.blob not in calibrated])
    if not chosen.calibration or not chosen.validation:
        raise InvalidInput(
            f"expected pictures to calibrate and others to check with, got {splits} in {version.name!r}; "
            "import a dataset with at least two different pictures outside its test split"
        )
    return _keep_truth(chosen)


def _keep_truth(chosen: ChosenPictures) -> ChosenPictures:
    """Validation by what people labelled, or by pictures without labels where they labelled none."""
    seen = [item for item in chosen.validation if find_viewer(item.annotations, item.seen_by) != "model"]
    judging = [find_truth(item) or item for item in seen]
    if not any(item.annotations for item in judging):
        judging = [msgspec.structs.replace(item, annotations=()) for item in chosen.validation]
    return replace(chosen, validation=judging, labelled_by_models=len(chosen.validation) - len(seen))


def _choose_apart(
    version: DatasetVersion, calibrate_on: DatasetVersion, calibration: int, validation: int, rng: np.random.Generator
) -> ChosenPictures:
    """Calibration and validation from two versions; a picture that is in both validates nothing."""
    training = next((name for name in TRAINING_SPLITS if calibrate_on.splits.get(name)), None)
    held_out = next((name for name in VALIDATION_SPLITS if version.splits.get(name)), None)
    calibrated = _draw_items(calibrate_on, training, calibration, rng)
    blobs = {item.blob for item in calibrated}
    validated = [item for item in _draw_items(version, held_out, validation + len(blobs), rng) if item.blob not in blobs]
    if not calibrated or not validated:
        raise InvalidInput(
            f"expected pictures to calibrate in {calibrate_on.name!r} and others to check with in "
            f"{version.name!r}, got {len(calibrated)} and {len(validated)}; import more"
        )
    source = f"{training or 'all'} of {calibrate_on.name}"
    return ChosenPictures(calibrated, validated[:validation], source, held_out or "all but test")


def _draw_items(version: DatasetVersion, split: str | None, count: int, rng: np.random.Generator) -> list[Item]:
    """So many items of a split, or of all that is no test split, in the order they were drawn: so the first of them are a
    sample too where a dataset is sorted by category."""
    total = version.count(split) - (version.splits.get(TEST_SPLIT, 0) if split is None else 0)
    places = {place: rank for rank, place in enumerate(rng.permutation(total)[:count].tolist())}
    items = version.items(split) if split else (item for item in version.items() if item.split != TEST_SPLIT)
    drawn = {places[index]: item for index, item in enumerate(items) if index in places}
    return [drawn[rank] for rank in sorted(drawn)]


def _divide_items(
    version: DatasetVersion, split: str | None, calibration: int, validation: int, rng: np.random.Generator
) -> ChosenPictures:
    """Two parts of one split, or of all pictures outside the test split when none has a known name."""
    items = _draw_items(version, split, calibration + validation, rng)
    kept = min(calibration, int(len(items) * (1 - HELD_OUT_SHARE)))
    source = split or ", ".join(name for name in version.splits if name != TEST_SPLIT)
    return ChosenPictures(
        items[:kept],
        items[kept : kept + validation],
        f"{source} (divided by seed)",
        f"{source} (divided by seed)",
    )


class PreparedSamples(Sequence[np.ndarray]):
    """Network inputs `(1, ...)` float32, one for each item, prepared when asked for: they need not fit in memory together."""

    def __init__(self, version: DatasetVersion, items: Sequence[Item], spec: InputSpec) -> None:
        self._version, self._items, self._spec = version, items, spec

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "PreparedSamples": ...
    def __getitem__(self, index: int | slice) -> "np.ndarray | PreparedSamples":
        if isinstance(index, slice):
            return PreparedSamples(self._version, self._items[index], self._spec)
        return prepare_batch([self._version.read_image(self._items[index])], self._spec)[0]


def read_contents(version: DatasetVersion, items: Sequence[Item]) -> Iterator[bytes]:
    """The encoded pictures, one after the other."""
    return (version.blobs.read(item.blob) for item in items)


def draw_noise(spec: InputSpec, count: int, seed: int) -> list[np.ndarray]:
    """Pictures of seeded noise, for a compilation without any: an Artifact made so is marked unverified.

    They are fed as pictures are, so that a network of pixels 0..255 is not calibrated on values around 0.
    """
    rng = np.random.default_rng(seed)
    images = (rng.integers(0, 256, (spec.height, spec.width, 3), np.uint8) for _ in range(count))
    return [prepare_batch([image], spec)[0] for image in images]
