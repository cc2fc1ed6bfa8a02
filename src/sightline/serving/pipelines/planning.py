"""Whether the steps of a pipeline fit the models that answer now, and what the pipeline as a whole is to its callers.

A plan is made when a pipeline is opened, and again when one of its models was swapped: new versions may have other categories
or tensors. Everything that can be wrong between two steps is found here, before a picture is decoded.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import msgspec

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound, SightlineError
from sightline.core.manifests import DecodeSpec, InputSpec, Task
from sightline.imaging.heads.annotation_tensors import ANNOTATIONS
from sightline.imaging.heads.checks import check_decode_spec, check_decoding
from sightline.imaging.heads.decoding import RAW, TASK_OF_HEAD
from sightline.imaging.heads.pictures import PICTURE
from sightline.serving.inference.calls import ServedFacts, TensorFacts
from sightline.serving.pipelines.declaration import Pipeline, Step

ANNOTATING: tuple[Task, ...] = ("classification", "multilabel", "detection", "instance", "semantic")
SORTING: tuple[Task, ...] = ("classification", "multilabel")  # what may say something of a crop
NO_CATEGORIES = Categories(())
Takes = Literal["pictures", "tensors"]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A step with what its model is.

    Attributes:
        step: as declared.
        facts: of the model's version; None for a crop.
        takes: pictures (of the request, crops, or drawn by a network) or tensors.
        input: how pictures are prepared; None when it takes tensors.
        is_prepared_here: whether the pipeline prepares them, since the model is served as tensors.
        task, decode, categories: what its outputs mean. table: the categories, for decoding.
        is_decoded: whether the pipeline itself needs its annotations.
        tensors: input of its graph -> output of the step it is `of`.
    """

    step: Step
    facts: ServedFacts | None = None
    takes: Takes = "pictures"
    input: InputSpec | None = None
    is_prepared_here: bool = False
    task: Task = "raw"
    decode: DecodeSpec | None = None
    categories: tuple[str, ...] = ()
    table: Categories = NO_CATEGORIES
    is_decoded: bool = False
    tensors: Mapping[str, str] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline over certain versions of its models.

    Attributes:
        stages: in the order they run.
        answers: names of the answering steps.
        facts: of the pipeline as a model.
        made_from: facts of the models by step; when others answer, the plan is made anew.
        is_written: whether the answer is annotations written by the pipeline; else it is the outputs of one step as they are.
        takes_pictures: what a request must hold; else tensors.
        is_free_size: whether pictures keep their sizes somewhere, so that requests cannot share an execution.
    """

    stages: tuple[Stage, ...]
    answers: tuple[str, ...]
    facts: ServedFacts
    made_from: Mapping[str, ServedFacts]
    is_written: bool
    takes_pictures: bool
    is_free_size: bool

    def find(self, name: str) -> Stage:
        """The stage of a step."""
        return next(stage for stage in self.stages if stage.step.name == name)


def make_plan(name: str, version: int, pipeline: Pipeline, models: Mapping[str, ServedFacts], largest_request: int) -> Plan:
    """Check the steps against their models.

    Args:
        name, version: of the pipeline.
        models: facts of the model of each step that has one, by the step's name.
        largest_request: rows of one request at most.

    Raises: InvalidInput or NotFound, one line that names the step.
    """
    stages: dict[str, Stage] = {}
    for step in pipeline.steps:
        with naming(step):
            stages[step.name] = _plan_step(step, models.get(step.name), stages)
    entries = [stage for stage in stages.values() if not stage.step.of]
    takes = {stage.takes for stage in entries}
    if len(takes) > 1 or (takes == {"tensors"} and len(entries) > 1):
        words = ", ".join(f"{stage.step.name!r} takes {stage.takes}" for stage in entries)
        raise InvalidInput(f"expected steps without 'of' that all take pictures, or one that takes tensors, got {words}")
    answering = [stages[one] for one in pipeline.answers]
    is_written = len(answering) > 1 or _has_amenders(pipeline, answering[0].step)
    if is_written and (strange := [stage for stage in answering if stage.task not in ANNOTATING]):
        raise InvalidInput(
            f"step {strange[0].step.name!r}: expected a model that annotates in a joined answer, got {strange[0].task}"
        )
    return Plan(
        stages=tuple(_mark_decoded(stage, stages, pipeline, is_written) for stage in stages.values()),
        answers=pipeline.answers,
        facts=_describe(name, version, entries[0], answering, is_written, largest_request),
        made_from=dict(models),
        is_written=is_written,
        takes_pictures=takes == {"pictures"},
        is_free_size=any(stage.input is not None and stage.input.resize == "pad" for stage in stages.values()),
    )


@contextmanager
def naming(step: Step) -> Iterator[None]:
    """Errors raised inside say which step they are of."""
    try:
        yield
    except SightlineError as error:
        error.args = (f"step {step.name!r}: {error}",)
        raise


def _plan_step(step: Step, facts: ServedFacts | None, stages: Mapping[str, Stage]) -> Stage:
    source = stages[step.of] if step.of else None
    if step.crop is not None:
        assert source is not None  # the declaration says so
        return _plan_crop(step, source)
    assert facts is not None
    spec, is_prepared_here = _choose_input(step, facts)
    decode, categories = _choose_decode(step, facts)
    task = facts.task if step.decode is None else TASK_OF_HEAD[step.decode.head]
    gives_pictures = source is None or source.step.crop is not None or source.task == "image"
    takes: Takes = "pictures" if gives_pictures and spec is not None else "tensors"
    stage = Stage(
        step=step, facts=facts, takes=takes, task=task, decode=decode, categories=categories, table=Categories(categories),
        input=spec if takes == "pictures" else None,
        is_prepared_here=is_prepared_here and takes == "pictures",
    )  # fmt: skip
    if source is None:
        return stage
    if source.step.crop is not None:
        _check_sorter(stage)
        return stage
    if takes == "pictures":
        return stage
    assert source.facts is not None
    return msgspec.structs.replace(stage, tensors=join_tensors(step, source.facts.outputs, facts.inputs))


def _plan_crop(step: Step, source: Stage) -> Stage:
    assert step.crop is not None
    if source.task not in ("detection", "instance"):
        raise InvalidInput(
            f"expected crops of a step that finds boxes (detection, instance), got {source.step.name!r} of {source.task}"
        )
    unknown = [name for name in step.crop.categories if name not in source.categories]
    if unknown:
        raise NotFound(f"category {unknown[0]!r} is not one that {source.step.name!r} finds: {_list_names(source.categories)}")
    return Stage(step=step)


def _choose_input(step: Step, facts: ServedFacts) -> tuple[InputSpec | None, bool]:
    """How pictures become the input, and whether that is done by the pipeline."""
    if step.input is None:
        return facts.input, False
    if facts.input is not None:
        raise InvalidInput(f"model {step.model!r} has its own input spec; leave 'input' out")
    names = [tensor.name for tensor in facts.inputs]
    if names != [step.input.name]:
        raise InvalidInput(f"'input' names {step.input.name!r}, the graph of {step.model!r} takes {names}; correct the name")
    return step.input, True


def _choose_decode(step: Step, facts: ServedFacts) -> tuple[DecodeSpec | None, tuple[str, ...]]:
    """What the outputs mean: the model's own, with the step's confidence, or the step's for a model of raw tensors."""
    if step.decode is None:
        if step.categories:
            raise InvalidInput("'categories' belong to a 'decode'; leave them out, or say how outputs are decoded")
        decode, categories = facts.decode, facts.categories
    else:
        decode, categories = step.decode, step.categories
        _check_decode(step, decode, facts)
    if step.confidence is None:
        return decode, categories
    if decode is None or decode.head in (RAW, PICTURE):
        raise InvalidInput(f"'confidence' needs a model that annotates, got {step.model!r} of {facts.task}")
    return msgspec.structs.replace(decode, confidence_threshold=step.confidence), categories


def _check_decode(step: Step, decode: DecodeSpec, facts: ServedFacts) -> None:
    if facts.task != "raw":
        raise InvalidInput(f"model {step.model!r} is of {facts.task} already; leave 'decode' out")
    if decode.head not in TASK_OF_HEAD or decode.head == RAW:
        heads = ", ".join(head for head in TASK_OF_HEAD if head != RAW)
        raise NotFound(f"expected a decode head of {heads}, got {decode.head!r}")
    there = [tensor.name for tensor in facts.outputs]
    if missing := [name for name in decode.outputs if name not in there]:
        raise NotFound(f"'decode' names the outputs {missing}, the graph of {step.model!r} has {there}")
    check_decode_spec(decode, "decode")
    if decode.head != PICTURE and not step.categories:
        raise InvalidInput("'decode' needs 'categories', the names of its classes")
    shapes = {tensor.name: tensor.shape for tensor in facts.outputs if tensor.name in decode.outputs}
    if all(shape and -1 not in shape[1:] for shape in shapes.values()):  # else only a picture's outputs could tell
        check_decoding(decode, {name: (1, *shape[1:]) for name, shape in shapes.items()}, Categories(step.categories))


def _check_sorter(stage: Stage) -> None:
    if stage.takes != "pictures" or stage.task not in SORTING:
        raise InvalidInput(
            f"expected a model that sorts pictures ({', '.join(SORTING)}) of crops, got {stage.step.model!r} of {stage.task}"
        )


def join_tensors(step: Step, outputs: Sequence[TensorFacts], inputs: Sequence[TensorFacts]) -> dict[str, str]:
    """Which output of the step before goes into which input. Raises: InvalidInput for what does not fit; NotFound."""
    there = {tensor.name: tensor for tensor in outputs}
    if unknown := sorted(set(step.tensors) - {tensor.name for tensor in inputs}):
        raise NotFound(f"'tensors' names the input {unknown[0]!r}, {step.model!r} takes {[one.name for one in inputs]}")
    joined = {}
    for tensor in inputs:
        name = step.tensors.get(tensor.name, tensor.name)
        if name not in there and tensor.name not in step.tensors and len(inputs) == len(outputs) == 1:
            name = outputs[0].name
        if name not in there:
            raise NotFound(
                f"nothing goes into the input {tensor.name!r}: {step.of!r} gives {list(there)}; say so in 'tensors', "
                f'{{"{tensor.name}": OUTPUT}}'
            )
        _check_fit(tensor, there[name])
        joined[tensor.name] = name
    return joined


def _check_fit(taken: TensorFacts, given: TensorFacts) -> None:
    same_rank = len(taken.shape) == len(given.shape)
    fits = same_rank and all(-1 in pair or pair[0] == pair[1] for pair in zip(taken.shape, given.shape, strict=True))
    if taken.datatype != given.datatype or not fits:
        raise InvalidInput(
            f"expected {taken.datatype} {list(taken.shape)} for the input {taken.name!r}, got {given.datatype} "
            f"{list(given.shape)} from {given.name!r}; these networks do not follow each other"
        )


def _has_amenders(pipeline: Pipeline, answering: Step) -> bool:
    """Whether models say something of crops that are cut around this step's annotations."""
    return any(pipeline.is_of_crop(step) and pipeline.find(step.of).of == answering.name for step in pipeline.steps)


def _mark_decoded(stage: Stage, stages: Mapping[str, Stage], pipeline: Pipeline, is_written: bool) -> Stage:
    """The stage, told whether it is decoded: it is cropped, sorts crops, or stands in a joined answer."""
    name = stage.step.name
    is_cropped = any(other.step.crop is not None and other.step.of == name for other in stages.values())
    answers = is_written and name in pipeline.answers
    return msgspec.structs.replace(stage, is_decoded=is_cropped or pipeline.is_of_crop(stage.step) or answers)


def _describe(
    name: str, version: int, entry: Stage, answering: Sequence[Stage], is_written: bool, largest_request: int
) -> ServedFacts:
    """The pipeline in the words in which models are described; where it runs is told of the step that answers."""
    first = answering[0]
    assert first.facts is not None and entry.facts is not None
    tasks = {stage.task for stage in answering}
    written = DecodeSpec(head=ANNOTATIONS, outputs=(ANNOTATIONS,), confidence_threshold=find_threshold(answering))
    pictures = None if entry.input is None else TensorFacts(name=entry.input.name, datatype="BYTES", shape=(-1, 1))
    return ServedFacts(
        name=name,
        version=version,
        task=first.task if len(tasks) == 1 else "detection",
        categories=tuple(dict.fromkeys(category for stage in answering for category in stage.categories)),
        input=entry.input,
        decode=written if is_written else first.decode,
        inputs=entry.facts.inputs if pictures is None else (pictures,),
        outputs=(TensorFacts(name=ANNOTATIONS, datatype="BYTES", shape=(-1,)),) if is_written else first.facts.outputs,
        max_batch=largest_request if pictures is not None else min(largest_request, entry.facts.max_batch),
        device=first.facts.device,
        engine=first.facts.engine,
        precision=first.facts.precision,
        streams=first.facts.streams,
        threads=first.facts.threads,
        labels={} if is_written else first.facts.labels,
    )


def find_threshold(answering: Sequence[Stage]) -> float:
    """The least confidence in a joined answer, 0..1: the steps have applied theirs, and what they let through stays.

    A classification gives its best category whatever its confidence.
    """
    return min(
        0.0 if stage.decode is None or stage.task == "classification" else stage.decode.confidence_threshold
        for stage in answering
    )


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
