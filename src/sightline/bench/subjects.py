"""Anything with `predict(images)` can be measured and can annotate; this file says what else we look for, and describes it.

A Predictor opened in this process takes encoded pictures too, and offers `predict_stream` and `predict_raw`; a remote one has
`predict_encoded`, so that a picture's bytes travel as they are. Each is used where it is there, and the Report says what was.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, get_args, runtime_checkable

import numpy as np

from sightline.bench.records import SubjectFacts
from sightline.core.annotations import Annotation, read_annotation
from sightline.core.errors import InvalidInput
from sightline.core.folders import MANIFEST_NAME, read_kind
from sightline.core.manifests import ArtifactManifest, InputSpec, ModelManifest, Task, compute_manifest_id
from sightline.core.workspace import find_shelved_name
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion
from sightline.imaging.files.headers import check_pixel_limit
from sightline.imaging.files.reading import decode_image
from sightline.runtime.predictor import Predictor, read_runnable_manifest


class Subject(Protocol):
    """What can be measured, and can annotate; to be measured it also states its `precision`, such as "fp32".

    Images are `uint8 (H, W, 3)` RGB; the answer is one list of annotations per image, best first.
    """

    @property
    def task(self) -> str:
        """What it answers, a `Task`."""

    @property
    def categories(self) -> Iterable[str]:
        """What it can name, in order."""

    def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """Annotations of each image with at least this confidence, or the subject's own threshold when None."""


@runtime_checkable
class Streams(Protocol):
    """A subject that keeps several inferences in flight."""

    def predict_stream(
        self, pictures: Iterable[bytes], confidence_threshold: float | None = None
    ) -> Iterator[list[Annotation]]:
        """Annotations of each encoded picture, in order; decoding is part of its work."""


@runtime_checkable
class TakesEncoded(Protocol):
    """A subject that takes encoded pictures as they are: a remote one."""

    def predict_encoded(self, contents: Sequence[bytes], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """Annotations of each encoded picture."""


@runtime_checkable
class RunsRaw(Protocol):
    """A subject whose network can be run alone."""

    @property
    def input(self) -> InputSpec:
        """How a picture becomes the network's input."""

    def predict_raw(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """The network's outputs for a prepared batch."""


BACKGROUND = "background"  # what a segmenter calls the pixels it gives no annotation; see `training.learned_categories`

OpenVariant = Callable[[int, int], Subject]
"""Opens the subject afresh with `(streams, threads per stream)`."""


def read_task(subject: Subject) -> Task:
    """What a subject answers. Raises: InvalidInput for what is no task."""
    task = subject.task
    if task not in get_args(Task):
        raise InvalidInput(
            f"expected a task of {', '.join(get_args(Task))}, got {task!r}; set the predictor's attribute `task`"
        )
    return cast(Task, task)


def list_answers(subject: Subject) -> tuple[str, ...]:
    """Categories the subject gives annotations of: all it knows, but a segmenter's background."""
    return tuple(name for name in subject.categories if not (subject.task == "semantic" and name == BACKGROUND))


def predict_contents(subject: Subject, contents: Sequence[bytes]) -> list[list[Annotation]]:
    """Encoded pictures to annotations, decoding included: what a user waits for."""
    if isinstance(subject, Predictor):
        return subject.predict(contents)
    if isinstance(subject, TakesEncoded):
        return subject.predict_encoded(contents)
    return subject.predict([decode_image(content) for content in contents])


def predict_pictures(subject: Subject, images: Sequence[np.ndarray], threshold: float | None) -> list[list[Annotation]]:
    """What `predict` answers to pictures, checked: it may be anybody's.

    Raises: InvalidInput for another number of answers than of pictures, or what is no prediction.
    """
    answers = subject.predict(images, confidence_threshold=threshold)
    if len(answers) != len(images):
        raise InvalidInput(
            f"expected a list of annotations for each of {len(images)} pictures, got {len(answers)}; mend predict"
        )
    return answers if isinstance(subject, Predictor) else [[_read_prediction(one) for one in answer] for answer in answers]


def _read_prediction(made: Annotation) -> Annotation:
    prediction = read_annotation(made)
    if prediction.confidence is None:
        raise InvalidInput(f"expected predictions with a confidence, got {prediction.category!r} without; set it in 0..1")
    return prediction


def read_pictures(subject: Subject, version: DatasetVersion, items: Sequence[Item]) -> list[np.ndarray]:
    """Pictures of a version for `predict`. Raises: ImageTooLarge for one that a Predictor would not decode."""
    if isinstance(subject, Predictor):
        for item in items:
            check_pixel_limit(item.width, item.height, subject.max_pixels, item.file_name)
    return [version.read_image(item) for item in items]


def describe_subject(subject: Subject, folder: Path | None = None) -> SubjectFacts:
    """All that is known of the subject: from its attributes first, then from its manifest.

    Args:
        subject: anything with `predict`, `task` and `categories`.
        folder: of the Model or Artifact it was opened from; a Predictor knows its own.

    Raises: InvalidInput when it does not say its task and categories.
    """
    task, categories = getattr(subject, "task", None), getattr(subject, "categories", None)
    if task is None or categories is None:
        raise InvalidInput(
            f"expected a predictor with task and categories, got {type(subject).__name__} without; give it both attributes"
        )
    own = subject if isinstance(subject, Predictor) else None
    manifest = read_runnable_manifest(folder) if folder is not None else own.manifest if own else None
    place = folder if folder is not None else own.folder if own else None
    url = getattr(subject, "url", None)
    spec, decode = getattr(subject, "input", None), getattr(subject, "decode", None)

    def find(field: str) -> Any:
        value = getattr(subject, field, None)
        return value if value is not None else getattr(manifest, field, None)

    return SubjectFacts(
        kind="deployment" if url else _name_kind(subject, manifest),
        task=read_task(subject),
        categories=tuple(categories),
        name=name_subject(place, manifest) if place is not None and manifest is not None else find("name"),
        id=compute_manifest_id(manifest) if manifest is not None else find("id"),
        model_id=find("model_id"),
        network=find("network"),
        engine=find("engine"),
        device=find("device"),
        precision=find("precision") or ("fp32" if isinstance(manifest, ModelManifest) else None),
        streams=find("streams"),
        threads=find("threads"),
        input_width=spec.width if spec else None,
        input_height=spec.height if spec else None,
        confidence_threshold=decode.confidence_threshold if decode else None,
        url=str(url) if url else None,
    )


def name_subject(folder: Path, manifest: ModelManifest | ArtifactManifest) -> str:
    """What a workspace calls a Model or an Artifact, or a repository its Deployment; elsewhere, its manifest's name."""
    place, identity = folder.absolute(), compute_manifest_id(manifest)
    if place.name.isdigit() and (place.parent / MANIFEST_NAME).is_file() and read_kind(place.parent) == "deployment":
        return place.parent.name
    names = (find_shelved_name(place, "artifacts", identity), find_shelved_name(place, "models", identity))
    return names[0] or names[1] or manifest.name


def _name_kind(subject: object, manifest: ModelManifest | ArtifactManifest | None) -> str:
    if manifest is None:
        return type(subject).__name__
    return "model" if isinstance(manifest, ModelManifest) else "artifact"
