"""`pipeline.json`: a short list of steps that is served as one model.

A step either runs a model of the same repository or cuts crops around what an earlier step found, and `of` names that earlier
step; a step without `of` takes what the request holds. What can be told from the file alone is checked here, once; what depends
on the models is checked by `planning`.

    {"steps": [{"name": "find", "model": "detector", "confidence": 0.5},
               {"name": "dogs", "of": "find", "crop": {"categories": ["dog"], "margin": 0.1, "max_crops": 8}},
               {"name": "breed", "of": "dogs", "model": "breeds"}]}
"""

from collections.abc import Sequence

import msgspec

from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.core.workspace import NAME_PATTERN

PIPELINE_NAME = "pipeline.json"
MOST_CROPS = 64
MOST_STEPS = 32


class CropSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the boxes found by a step become pictures of their own.

    Attributes:
        categories: of the boxes; empty takes all.
        margin: added on each side, as a share of the box's width and height, 0..2; nothing is added beyond the picture.
        max_crops: of one picture, the most confident first; the others stay in the answer and go no further.
    """

    categories: tuple[str, ...] = ()
    margin: float = 0.0
    max_crops: int = 16


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step; exactly one of `model` and `crop` is given.

    Attributes:
        name: unique in the pipeline; of a model that sorts crops, also the name of the attribute it writes.
        of: the earlier step whose result it takes; "" takes the request's pictures or tensors.
        model: name in the repository. version: its version; None follows the version policy.
        input: how pictures are prepared for a model that is served as tensors.
        decode, categories: what the outputs of such a model mean, and the names of its classes.
        tensors: input of this model -> output of the step that it is `of`; without it names must agree, or be one and one.
        confidence: threshold 0..1 instead of the model's own.
        crop: cut pictures instead of running a model.
    """

    name: str
    of: str = ""
    model: str = ""
    version: int | None = None
    input: InputSpec | None = None
    decode: DecodeSpec | None = None
    categories: tuple[str, ...] = ()
    tensors: dict[str, str] = {}
    confidence: float | None = None
    crop: CropSettings | None = None


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A declared chain.

    Attributes:
        steps: run one after another in this order.
        answer: the step, or steps, whose result is answered. Annotations of several are joined, best first, and what models say
            of their crops stands in their attributes. By default the last step, or what its crops were cut around.
    """

    steps: tuple[Step, ...]
    answer: str | tuple[str, ...] = ()

    def find(self, name: str) -> Step:
        """The step of this name; there is one."""
        return next(step for step in self.steps if step.name == name)

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of the answering steps, the default worked out."""
        if self.answer:
            return (self.answer,) if isinstance(self.answer, str) else self.answer
        last = self.steps[-1]
        while last.crop is not None or self.is_of_crop(last):
            last = self.find(last.of)
        return (last.name,)

    def is_of_crop(self, step: Step) -> bool:
        """Whether it runs on crops."""
        return bool(step.of) and self.find(step.of).crop is not None


def parse_pipeline(content: bytes) -> Pipeline:
    """A pipeline from JSON, checked as far as it tells by itself. Raises: InvalidInput."""
    try:
        pipeline = msgspec.json.decode(content, type=Pipeline)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{PIPELINE_NAME} does not fit: {error}") from error
    check_pipeline(pipeline)
    return pipeline


def check_pipeline(pipeline: Pipeline) -> None:
    """Raises: InvalidInput for what is wrong whatever the models are."""
    if not 1 <= len(pipeline.steps) <= MOST_STEPS:
        raise InvalidInput(f"expected 1 to {MOST_STEPS} steps, got {len(pipeline.steps)}; write them under 'steps'")
    names = [step.name for step in pipeline.steps]
    for step in pipeline.steps:
        if not NAME_PATTERN.fullmatch(step.name) or names.count(step.name) > 1:
            raise InvalidInput(f"expected unique step names of letters, digits, '.', '_', '-', got {step.name[:100]!r}")
        _check_step(step)
    for place, step in enumerate(pipeline.steps):
        _check_order(step, names, place, pipeline)
    _check_answers(pipeline, names)


def _check_step(step: Step) -> None:
    where = f"step {step.name!r}"
    if bool(step.model) == (step.crop is not None):
        raise InvalidInput(f"{where}: expected either 'model' or 'crop', got {'both' if step.model else 'neither'}")
    if step.confidence is not None and not 0 <= step.confidence <= 1:
        raise InvalidInput(f"{where}: expected a confidence from 0 to 1, got {step.confidence}")
    if step.model and not NAME_PATTERN.fullmatch(step.model):
        raise InvalidInput(f"{where}: expected the name of a model, got {step.model[:100]!r}")
    if step.version is not None and step.version < 1:
        raise InvalidInput(f"{where}: expected a version from 1, got {step.version}")
    if step.crop is None:
        return
    alien = [name for name in ("version", "input", "decode", "categories", "tensors", "confidence") if getattr(step, name)]
    if alien:
        raise InvalidInput(f"{where}: {alien[0]!r} belongs to a step with a model, not to a crop")
    if not step.of:
        raise InvalidInput(f"{where}: a crop needs 'of', the step that finds boxes")
    if not (0 <= step.crop.margin <= 2 and 1 <= step.crop.max_crops <= MOST_CROPS):
        raise InvalidInput(
            f"{where}: expected a margin from 0 to 2 and max_crops from 1 to {MOST_CROPS}, got {step.crop.margin} and "
            f"{step.crop.max_crops}"
        )


def _check_order(step: Step, names: Sequence[str], place: int, pipeline: Pipeline) -> None:
    if not step.of:
        return
    if step.of not in names:
        raise InvalidInput(f"step {step.name!r} is of {step.of!r}, which is no step; there is {', '.join(names)}")
    if step.of in names[:place]:
        if step.crop is not None and pipeline.is_of_crop(step):
            raise InvalidInput(f"step {step.name!r} is of {step.of!r}, which is a crop itself; crop what a model finds")
        if pipeline.is_of_crop(pipeline.find(step.of)):
            raise InvalidInput(f"step {step.name!r} is of {step.of!r}, which sorts crops; a chain ends there")
        return
    way = [step.name]
    while (following := pipeline.find(way[-1]).of) in names and following not in way:
        way.append(following)
    if following in way:
        raise InvalidInput(f"steps {' -> '.join([*way[way.index(following) :], following])} are a cycle; break it")
    raise InvalidInput(f"step {step.name!r} is of {step.of!r}, which comes later; steps run in the order written")


def _check_answers(pipeline: Pipeline, names: Sequence[str]) -> None:
    answers = pipeline.answers
    if len(set(answers)) != len(answers) or not answers:
        raise InvalidInput(f"expected 'answer' to name steps, each once, got {list(answers)}")
    for name in answers:
        if name not in names:
            raise InvalidInput(f"'answer' names {name!r}, which is no step; there is {', '.join(names)}")
        if pipeline.find(name).crop is not None or pipeline.is_of_crop(pipeline.find(name)):
            raise InvalidInput(f"'answer' names {name!r}, which is of crops; name the step that the crops are cut around")
    used = {step.of for step in pipeline.steps} | set(answers)
    for step in pipeline.steps:
        # What a model says of crops goes into the annotations they were cut around, when these are answered.
        root = pipeline.find(pipeline.find(step.of).of) if pipeline.is_of_crop(step) else step
        if step.name not in used and root.name not in answers:
            raise InvalidInput(f"step {step.name!r} is used by no step and no answer; name it in 'answer' or leave it out")
