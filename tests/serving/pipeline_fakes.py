"""Models for pipelines whose answers can be read off the picture: squares are painted in the colour that says what they are."""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.errors import NotFound
from sightline.core.manifests import DecodeSpec, InputSpec, Task
from sightline.imaging.files.reading import encode_image
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.resizing import Placement
from sightline.serving.inference.calls import Call, Inferred, ServedFacts, TensorFacts, Upload
from sightline.serving.pipelines.declaration import Pipeline, parse_pipeline
from sightline.serving.pipelines.pipeline_model import PipelineModel
from sightline.serving.scheduling.work import QueueSettings, Work

ANIMALS = ("cat", "dog")
BREEDS = ("husky", "poodle", "terrier")
Square = tuple[tuple[int, int, int, int], str, float, str]  # box, animal, confidence, breed


def paint(width: int, height: int, squares: Sequence[Square]) -> np.ndarray:
    """A black picture with squares: red tells the animal, green the confidence in 1/250, blue the breed."""
    image = np.zeros((height, width, 3), np.uint8)
    for (left, top, right, bottom), animal, confidence, breed in squares:
        colour = (50 + 50 * ANIMALS.index(animal), round(250 * confidence), 10 + 10 * BREEDS.index(breed))
        image[top:bottom, left:right] = colour
    return image


def upload(image: np.ndarray, name: str = "image") -> Upload:
    return Upload(name, encode_image(image, "png"))


def make_facts(
    name: str,
    task: Task = "raw",
    categories: tuple[str, ...] = (),
    spec: InputSpec | None = None,
    decode: DecodeSpec | None = None,
    inputs: Sequence[TensorFacts] = (),
    outputs: Sequence[TensorFacts] = (),
    max_batch: int = 64,
) -> ServedFacts:
    return ServedFacts(
        name=name, version=1, task=task, categories=categories, input=spec, decode=decode, inputs=tuple(inputs),
        outputs=tuple(outputs), max_batch=max_batch, device="cpu", engine="fake", precision="fp32", streams=1, threads=1,
    )  # fmt: skip


def floats(name: str, *shape: int) -> TensorFacts:
    return TensorFacts(name=name, datatype="FP32", shape=(-1, *shape))


def place_as_is(image: np.ndarray) -> Placement:
    height, width = image.shape[:2]
    return Placement(
        source_width=width, source_height=height, input_width=width, input_height=height, scale_x=1, scale_y=1, offset_x=0,
        offset_y=0,
    )  # fmt: skip


class FakeModel:
    """A served model whose network is a function; counts what it runs."""

    def __init__(self, facts: ServedFacts, run: Callable[[Any], dict[str, np.ndarray]]) -> None:
        self.name = facts.name
        self.facts = facts
        self.is_resident = True
        self.queue = QueueSettings()
        self.batches: list[int] = []
        self.shapes: list[tuple[int, ...]] = []
        self._run = run

    def run_pictures(self, images: Sequence[np.ndarray], alone: bool = False) -> tuple[dict[str, np.ndarray], list[Placement]]:
        self.batches.append(len(images))
        self.shapes += [image.shape for image in images]
        return self._run(images), [place_as_is(image) for image in images]

    def run_tensors(self, tensors: Mapping[str, np.ndarray], alone: bool = False) -> dict[str, np.ndarray]:
        self.batches.append(len(next(iter(tensors.values()))))
        return self._run(tensors)

    def check(self, call: Call) -> int:
        raise AssertionError("a step is not asked through its queue")

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        raise AssertionError("a step does not run through its queue")


class FakeHost:
    """Models by name; tells who is held."""

    def __init__(self, *models: FakeModel) -> None:
        self.models: dict[str, Any] = {model.name: model for model in models}
        self.asked: list[tuple[str, str]] = []
        self.held: list[Any] = []
        self._lock = threading.Lock()

    def acquire(self, name: str, version: str = "") -> Any:
        with self._lock:
            self.asked.append((name, version))
            if name not in self.models:
                raise NotFound(f"no model {name!r}")
            self.held.append(self.models[name])
            return self.models[name]

    def is_pipeline(self, name: str) -> bool:
        return False

    def release(self, served: Any) -> None:
        with self._lock:
            self.held.remove(served)


def find_squares(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Scores `(N, 8, 2)` and boxes `(N, 8, 4)` in pixels of the squares in each picture."""
    scores, boxes = np.zeros((len(images), 8, len(ANIMALS)), np.float32), np.zeros((len(images), 8, 4), np.float32)
    for row, image in enumerate(images):
        colours = [colour for colour in np.unique(image.reshape(-1, 3), axis=0).tolist() if colour[0] in (50, 100)]
        for place, colour in enumerate(colours):
            rows, columns = np.nonzero((image == colour).all(axis=2))
            boxes[row, place] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            scores[row, place, ANIMALS.index("cat" if colour[0] == 50 else "dog")] = colour[1] / 250
    return {"scores": scores, "boxes": boxes}


def tell_breed(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """0.9 for the breed in the middle of each picture, 0.05 for the others."""
    probabilities = np.full((len(images), len(BREEDS)), 0.05, np.float32)
    for row, image in enumerate(images):
        blue = int(image[image.shape[0] // 2, image.shape[1] // 2, 2])
        probabilities[row, min(2, max(0, blue // 10 - 1))] = 0.9
    return {"probabilities": probabilities}


def make_detector(name: str = "detector", categories: tuple[str, ...] = ANIMALS, max_batch: int = 64) -> FakeModel:
    decode = DecodeSpec(
        head="scored_boxes", outputs=("scores", "boxes"), parameters={"normalised": False}, confidence_threshold=0.25
    )
    facts = make_facts(
        name, "detection", categories, InputSpec(width=64, height=64), decode, [floats("images", 3, 64, 64)],
        [floats("scores", 8, 2), floats("boxes", 8, 4)], max_batch,
    )  # fmt: skip
    return FakeModel(facts, find_squares)


def make_breeds(name: str = "breeds", task: Task = "classification", max_batch: int = 64) -> FakeModel:
    head, parameters = ("probabilities", {}) if task == "classification" else ("sigmoid", {"activated": True})
    decode = DecodeSpec(head=head, outputs=("probabilities",), parameters=parameters, confidence_threshold=0.04)
    facts = make_facts(
        name, task, BREEDS, InputSpec(width=32, height=32), decode, [floats("images", 3, 32, 32)],
        [floats("probabilities", 3)], max_batch,
    )  # fmt: skip
    return FakeModel(facts, tell_breed)


def open_pipeline(declaration: bytes | Pipeline, *models: FakeModel, host: FakeHost | None = None) -> PipelineModel:
    pipeline = parse_pipeline(declaration) if isinstance(declaration, bytes) else declaration
    model = PipelineModel("zoo", 1, pipeline, host or FakeHost(*models), QueueSettings(max_batch=8), 1_000_000)
    model.open()
    return model


def read_annotations(facts: ServedFacts, inferred: Inferred) -> list[list[Annotation]]:
    """What protocols do to write an answer of annotations."""
    from sightline.core.categories import Categories

    assert facts.decode is not None
    return decode_outputs(facts.decode, inferred.outputs, inferred.placements, Categories(facts.categories))


def make_work(model: PipelineModel, write_answer: Callable[..., Any] = read_annotations, **fields: Any) -> Work:
    call = Call(model=model.name, write_answer=write_answer, **fields)
    return Work(model, call, lambda work: None, rows=model.check(call))


def run(model: PipelineModel, *images: np.ndarray, write_answer: Callable[..., Any] = read_annotations) -> Any:
    """The answer to one call with these pictures; raises its error."""
    work = make_work(model, write_answer, pictures=tuple(upload(image) for image in images))
    model.execute([work], alone=True)
    if work.error is not None:
        raise work.error
    return work.result


# A detector, and a classifier on the dogs that it found; and what a picture may show to both.
ZOO = b"""{"steps": [{"name": "find", "model": "detector", "confidence": 0.5},
                     {"name": "dogs", "of": "find", "crop": {"categories": ["dog"], "max_crops": 2}},
                     {"name": "breed", "of": "dogs", "model": "breeds"}]}"""
SQUARES: list[Square] = [
    ((5, 5, 15, 20), "dog", 0.8, "poodle"),
    ((20, 5, 40, 15), "cat", 0.9, "husky"),
    ((40, 30, 50, 39), "dog", 0.6, "terrier"),
    ((0, 25, 10, 35), "dog", 0.4, "husky"),  # below the step's confidence
]


def run_beside_one_that_fails(error: Exception) -> list[Work]:
    """Three requests run together, on the second of which the detector raises an error. Returns: them, executed."""
    detector = make_detector()
    real = detector._run

    def fail_on_red(images: Any) -> Any:
        if any(image[0, 0, 0] == 255 for image in images):
            raise copy.copy(error)  # each time anew: who passes it on writes into it
        return real(images)

    detector._run = fail_on_red  # type: ignore[method-assign]
    model = open_pipeline(ZOO, detector, make_breeds())
    bad = paint(60, 40, SQUARES)
    bad[0, 0] = 255, 0, 0
    works = [make_work(model, images=(image,)) for image in (paint(60, 40, SQUARES), bad, paint(60, 40, SQUARES[:1]))]
    model.execute(works, alone=False)
    return works
