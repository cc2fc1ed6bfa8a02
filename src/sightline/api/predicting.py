"""What can propose labels in a workspace, and the one predictor that is kept open: the one that was asked last."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from sightline.bench.annotating import propose_annotations
from sightline.bench.subjects import predict_pictures
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound, SightlineError
from sightline.core.manifests import TENSOR_TASKS, Task
from sightline.core.workspace import NAME_PATTERN, Workspace
from sightline.data.conversion import ConversionReport
from sightline.data.items import Item
from sightline.imaging.files.reading import decode_image
from sightline.runtime.predictor import Predictor, read_runnable_manifest
from sightline.serving.client.predictor import RemotePredictor
from sightline.serving.deployments import list_names
from sightline.serving.loading import find_subject, open_subject

Kind = Literal["deployment", "artifact", "model"]


class Proposals(msgspec.Struct, frozen=True):
    """What a predictor found in one picture.

    Attributes:
        annotations: of the dataset's categories.
        unknown_categories: others, with how many annotations of each were left out.
    """

    annotations: list[Annotation]
    unknown_categories: dict[str, int]


class PredictorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A name that predicts, and what its manifest says of it."""

    name: str
    kind: Kind
    task: Task
    categories: tuple[str, ...]


class PredictorShelf:
    """The predictors of a workspace. `propose` takes one caller at a time.

    Args:
        workspace: where names are looked up.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder: Path | None = None
        self._opened: Predictor | RemotePredictor | None = None

    def list(self) -> Iterator[PredictorFacts]:
        """What gives annotations, by name: a Deployment before an Artifact before a Model of the same name."""
        kinds: dict[str, Kind] = dict.fromkeys(self._workspace.names("models"), "model")
        kinds |= dict.fromkeys(self._workspace.names("artifacts"), "artifact")
        kinds |= dict.fromkeys(list_names(self._workspace.deployments), "deployment")
        for name in sorted(kinds):
            try:
                manifest = read_runnable_manifest(find_subject(name, self._workspace))
            except SightlineError:  # `propose` says what is wrong with it
                continue
            if manifest.task not in TENSOR_TASKS:
                yield PredictorFacts(name=name, kind=kinds[name], task=manifest.task, categories=manifest.categories)

    def propose(self, name: str, item: Item, content: bytes, categories: Collection[str], threshold: float | None) -> Proposals:
        """What the predictor of this name finds in a picture that people did not label there.

        Args:
            item: the picture's facts and its labels as they are now.
            content: its file.
            categories: what the dataset knows.
            threshold: 0..1; None takes the predictor's own.

        Raises: NotFound; InvalidInput for one that gives no annotations; what opening and predicting raise.
        """
        predictor = self._open(name)
        found = propose_annotations(predictor, [item], [decode_image(content)], threshold, ConversionReport())[0]
        unknown = Counter(one.category for one in found if one.category not in categories)
        return Proposals([one for one in found if one.category in categories], dict(unknown))

    def predict(self, name: str, image: np.ndarray, threshold: float | None) -> tuple[Sequence[Annotation], Categories]:
        """What the predictor of this name finds in a picture, and its categories.

        Args: image: `uint8 (H, W, 3)` RGB.

        Raises: as `propose`.
        """
        predictor = self._open(name)
        return predict_pictures(predictor, [image], threshold)[0], Categories(tuple(predictor.categories))

    def close(self) -> None:
        """Close what is open."""
        if self._opened is not None:
            self._opened.close()
        self._opened = self._folder = None

    def _open(self, name: str) -> Predictor | RemotePredictor:
        if not NAME_PATTERN.fullmatch(name):
            raise NotFound(f"no deployment, artifact or model {name[:100]!r}; GET /v1/predictors lists them")
        folder = find_subject(name, self._workspace)
        if self._opened is not None and folder == self._folder:
            return self._opened
        if (task := read_runnable_manifest(folder).task) in TENSOR_TASKS:
            raise InvalidInput(
                f"expected a predictor that gives annotations, got {name!r}, whose task is {task}; choose another"
            )
        self.close()
        self._opened, self._folder = open_subject(name, self._workspace), folder
        return self._opened
