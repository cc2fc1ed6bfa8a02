"""A pipeline behind a queue: to the scheduler and the protocols it is a model like any other.

It holds no graph. Each execution takes from the host the versions of its models that answer at that moment, runs through the
steps in its slot thread, and lets them go; so a swapped model is used from the next execution on, and no old one is kept.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from sightline.core.errors import Exhausted, InvalidInput, SightlineError
from sightline.imaging.resizing import Placement
from sightline.runtime.backend import Tensors
from sightline.serving.inference.answering import answer_work, execute_together, prepare_work
from sightline.serving.inference.calls import Call, ServedFacts
from sightline.serving.inference.pictures import FULL_PICTURES, decode_pictures
from sightline.serving.inference.service import Host
from sightline.serving.inference.source import LARGEST_REQUEST
from sightline.serving.inference.tensor_facts import check_call, cut_rows, join_rows
from sightline.serving.pipelines.declaration import Pipeline, Step
from sightline.serving.pipelines.planning import Plan, make_plan, naming
from sightline.serving.pipelines.running import Execution, StepModel
from sightline.serving.scheduling.work import Laps, QueueSettings, Work, fail_works

logger = logging.getLogger("sightline.serving")


class StepHost(Host, Protocol):
    """A host that knows which of its models are pipelines."""

    def is_pipeline(self, name: str) -> bool:
        """Whether a name is that of a pipeline, which may not be open; False for an unknown one."""


class PipelineModel:
    """One version of a pipeline. Executions may overlap.

    Args:
        name, version: in the repository.
        pipeline: as declared.
        host: where the models of its steps are.
        queue: how its requests wait.
        max_pixels: largest picture that is decoded.
        largest_request: rows of one request at most.
    """

    def __init__(
        self,
        name: str,
        version: int,
        pipeline: Pipeline,
        host: StepHost,
        queue: QueueSettings,
        max_pixels: int,
        largest_request: int = LARGEST_REQUEST,
    ) -> None:
        self.name = name
        self.version = version
        self.pipeline = pipeline
        self.queue = queue
        self._host = host
        self._max_pixels = max_pixels
        self._largest_request = largest_request
        self._plan: Plan | None = None
        self._last_models: tuple[StepModel, ...] = ()

    @property
    def facts(self) -> ServedFacts:
        """What it takes and answers, over the versions of its models that it last met."""
        if self._plan is None:
            raise Exhausted(f"{self.name} version {self.version} is not opened yet; ask again in a moment")
        return self._plan.facts

    @property
    def memory_bytes(self) -> int:
        """None of its own: the models count for themselves."""
        return 0

    @property
    def plan_count(self) -> int:
        """None of its own."""
        return 0

    @property
    def is_resident(self) -> bool:
        """Whether all its models could run now. Where one is not, the host is asked for it, which pages it in."""
        if self._last_models and all(model.is_resident for model in self._last_models):
            return True
        try:
            with self._hold_models() as models:
                return all(model.is_resident for model in models.values())
        except SightlineError:
            return True  # a model is gone: the execution says so to those who wait

    def open(self) -> None:
        """Check the steps against their models. Raises: SightlineError in one line that names the step."""
        with self._hold_models() as models:
            self._update_plan(models)

    def warm_up(self) -> None:
        """Nothing to do: models are warm before they answer."""

    def suspend(self) -> None:
        """Nothing to do: a host never pages out what holds no memory of its own."""

    def resume(self) -> None:
        """Nothing to take back."""

    def page_out(self) -> None:
        """Nothing to give back."""

    def close(self) -> None:
        """Forget the models."""
        self._last_models = ()

    def check(self, call: Call) -> int:
        """Rows of a call. Raises: InvalidInput for what does not fit; NotFound, Exhausted for a step's model."""
        with self._hold_models():  # paging in begins while the call waits in the queue
            facts = self.facts
        takes_pictures = self._plan is not None and self._plan.takes_pictures
        if (call.tensors is None) != takes_pictures:
            wanted, got = ("pictures", "tensors") if takes_pictures else ("tensors", "pictures")
            raise InvalidInput(f"the pipeline {self.name} takes {wanted}, got {got}; GET its metadata to see its inputs")
        return check_call(call, facts)

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        """Answer one batch in the calling thread. Each Work gets a result or an error; what fails spoils no other answer."""
        ready: list[Ready] = []
        laps = Laps(works[0].started_s)
        most, pixels = FULL_PICTURES * self._max_pixels, 0
        for work in works:
            if (images := prepare_work(work, self._decode, laps)) is None:
                continue
            ready.append(Ready(work, images))
            pixels += sum(image.shape[0] * image.shape[1] for image in images)
            if pixels > most:  # crops are cut from whole pictures, so these are kept: no more than a request may have
                self._execute_ready(ready, alone, laps)
                ready, pixels = [], 0
        if ready:
            self._execute_ready(ready, alone, laps)

    def _execute_ready(self, ready: "Sequence[Ready]", alone: bool, laps: Laps) -> None:
        """Run decoded calls over the versions that answer now; what is raised is the answer of those that have none yet."""
        try:
            with self._hold_models() as models:
                plan = self._update_plan(models)
                for group in _group_works(ready, plan):
                    self._execute_group(group, plan, models, alone, laps)
        except Exception as error:  # noqa: BLE001 - the border of the requests that are run together
            laps.end()
            if unanswered := [work for work, _ in ready if not work.finished_s]:
                fail_works(unanswered, error)

    def _execute_group(
        self, group: "Sequence[Ready]", plan: Plan, models: Mapping[str, StepModel], alone: bool, laps: Laps
    ) -> None:
        """Run several calls together, and write their answers."""

        def answer(some: "Sequence[Ready]", ran: tuple[Tensors, list[Placement]]) -> None:
            outputs, placements = ran
            first = 0
            for work, images in some:
                end = first + work.rows
                kept = images if work.payload.keep_images else ()
                answer_work(work, plan.facts, cut_rows(outputs, first, end), placements[first:end], kept, laps)
                first = end

        execute_together(group, lambda some: run_plan(plan, models, some, alone), answer, laps)

    def _decode(self, work: Work) -> list[np.ndarray]:
        """The decoded pictures of a Work; none for tensors."""
        call: Call = work.payload
        return list(decode_pictures(work, self._max_pixels)) if call.tensors is None else []

    @contextmanager
    def _hold_models(self) -> Iterator[dict[str, StepModel]]:
        """The versions that answer now, by step, held open; steps with one model share it. Raises: SightlineError."""
        with ExitStack() as held:
            found: dict[tuple[str, int | None], StepModel] = {}
            models: dict[str, StepModel] = {}
            for step in self.pipeline.steps:
                if not step.model:
                    continue
                key = (step.model, step.version)
                if key not in found:
                    found[key] = self._acquire(step, held)
                models[step.name] = found[key]
            self._last_models = tuple(found.values())
            yield models

    def _acquire(self, step: Step, held: ExitStack) -> StepModel:
        with naming(step):
            if step.model == self.name:
                raise InvalidInput("a pipeline cannot run itself; name a model")
            try:
                served = self._host.acquire(step.model, "" if step.version is None else str(step.version))
            except SightlineError as error:
                if self._host.is_pipeline(step.model):  # so why that cannot answer is not to be mended
                    raise _refuse_nesting(step) from error
                raise
            held.callback(self._host.release, served)
            if not hasattr(served, "run_pictures"):
                raise _refuse_nesting(step)
        return cast(StepModel, served)

    def _update_plan(self, models: Mapping[str, StepModel]) -> Plan:
        """The plan over these versions, made anew when one of them is another than before. Raises: SightlineError."""
        plan, facts = self._plan, {name: model.facts for name, model in models.items()}
        if plan is None or any(plan.made_from[name] is not one for name, one in facts.items()):
            plan = self._plan = make_plan(self.name, self.version, self.pipeline, facts, self._largest_request)
        return plan


class Ready(NamedTuple):
    """A Work with its decoded pictures; none for tensors."""

    work: Work
    images: list[np.ndarray]


def run_plan(
    plan: Plan, models: Mapping[str, StepModel], group: Sequence[Ready], alone: bool
) -> tuple[Tensors, list[Placement]]:
    """Outputs of the answer for several calls of one kind, rows in their order; no placements for tensors."""
    execution = Execution(plan, models, alone)
    if plan.takes_pictures:
        return execution.run_pictures([image for _, images in group for image in images])
    return execution.run_tensors(join_rows([work.payload.tensors for work, _ in group])), []


def _refuse_nesting(step: Step) -> InvalidInput:
    return InvalidInput(f"{step.model!r} is a pipeline itself; write its steps here")


def _group_works(ready: Sequence[Ready], plan: Plan) -> list[list[Ready]]:
    """Calls that can share an execution: all with pictures, but for networks of free size; tensors of one shape."""
    if plan.is_free_size:
        return [[one] for one in ready]
    if plan.takes_pictures:
        return [list(ready)]
    groups: dict[Any, list[Ready]] = {}
    for work, images in ready:
        shapes = tuple(sorted((name, array.shape[1:]) for name, array in work.payload.tensors.items()))
        groups.setdefault(shapes, []).append(Ready(work, images))
    return list(groups.values())
