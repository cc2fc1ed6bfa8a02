"""Run the steps of a plan on the pictures or tensors of one execution, one after another in the calling thread.

Rows keep their order: row n of a network's outputs belongs to view n that it was given. Whatever is decoded comes out in the
pixels of the request's pictures, since placements are rebased by the views.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.imaging.heads.annotation_tensors import ANNOTATIONS, write_annotation_tensor
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.heads.pictures import find_covered, write_pictures
from sightline.imaging.preprocessing import prepare_batch
from sightline.imaging.resizing import Placement
from sightline.runtime.backend import Tensors
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.inference.tensor_facts import join_rows
from sightline.serving.pipelines.crops import Crop, View, cut_crops, rebase_placement, view_whole
from sightline.serving.pipelines.planning import Plan, Stage, naming

Attributes = dict[str, str]


class StepModel(Protocol):
    """What a step needs of the version that answers; `inference.served_model.ServedModel` has it."""

    @property
    def facts(self) -> ServedFacts:
        """Its tensors, categories and specs."""

    @property
    def is_resident(self) -> bool:
        """Whether it could run now."""

    def run_pictures(self, images: Sequence[np.ndarray], alone: bool = False) -> tuple[Tensors, list[Placement]]:
        """Raw outputs for decoded pictures, and how each lies in the network's input."""

    def run_tensors(self, tensors: Mapping[str, np.ndarray], alone: bool = False) -> Tensors:
        """Raw outputs for tensors as the graph takes them."""


class Result(msgspec.Struct, kw_only=True):
    """What one step gave.

    Attributes:
        views: the pictures it was given, a row each; empty for a network that was given the request's tensors.
        outputs: of its network, rows in the order of the views.
        placements: how each view lies in the network's input.
        crops: of a step that cuts.
        annotations: of each view, in the pixels of the request's picture; empty unless the plan wants them.
    """

    views: Sequence[View] = ()
    outputs: Tensors = {}
    placements: list[Placement] = []
    crops: Sequence[Crop] = ()
    annotations: list[list[Annotation]] = []

    def rebase_placements(self) -> list[Placement]:
        """How the request's picture of each view lies in the network's input."""
        return [rebase_placement(placement, view) for placement, view in zip(self.placements, self.views, strict=True)]


class Execution:
    """One run through a plan.

    Args:
        plan: the steps.
        models: the version that answers, by step.
        alone: whether all threads of the Device may be used.
    """

    def __init__(self, plan: Plan, models: Mapping[str, StepModel], alone: bool) -> None:
        self._plan = plan
        self._models = models
        self._alone = alone
        self._results: dict[str, Result] = {}

    def run_pictures(self, images: Sequence[np.ndarray]) -> tuple[Tensors, list[Placement]]:
        """The answer's outputs and placements, a row for each picture `uint8 (H, W, 3)` RGB.

        Raises: SightlineError whose message names the step.
        """
        views = [view_whole(image, owner) for owner, image in enumerate(images)]
        self._run_stages(views, {})
        if self._plan.is_written:
            return {ANNOTATIONS: write_annotation_tensor(self._join_annotations(len(images)))}, _place_identically(views)
        result = self._results[self._plan.answers[0]]
        return result.outputs, result.rebase_placements()

    def run_tensors(self, tensors: Mapping[str, np.ndarray]) -> Tensors:
        """The answer's outputs, a row for each row of the tensors. Raises: SightlineError whose message names the step."""
        self._run_stages([], tensors)
        return self._results[self._plan.answers[0]].outputs

    def _run_stages(self, views: Sequence[View], tensors: Mapping[str, np.ndarray]) -> None:
        for stage in self._plan.stages:
            with naming(stage.step):
                result = self._results[stage.step.name] = self._run_stage(stage, views, tensors)
                if stage.is_decoded and result.views:
                    assert stage.decode is not None
                    placements = result.rebase_placements()
                    result.annotations = decode_outputs(stage.decode, result.outputs, placements, stage.table)

    def _run_stage(self, stage: Stage, views: Sequence[View], tensors: Mapping[str, np.ndarray]) -> Result:
        if stage.step.crop is not None:
            return self._cut(stage)
        model = self._models[stage.step.name]
        if stage.takes == "pictures":
            return run_views(stage, model, self._find_views(stage) if stage.step.of else views, self._alone)
        if not stage.step.of:
            return Result(outputs=model.run_tensors(tensors, self._alone))
        source = self._results[stage.step.of]
        given = {name: source.outputs[output] for name, output in stage.tensors.items()}
        outputs = run_in_parts(model, given, stage, self._alone)
        return Result(views=source.views, outputs=outputs, placements=source.placements)

    def _find_views(self, stage: Stage) -> Sequence[View]:
        """Pictures that an earlier step gives: crops, or what its network has drawn."""
        before, source = self._plan.find(stage.step.of), self._results[stage.step.of]
        if before.step.crop is not None:
            return [crop.view for crop in source.crops]
        assert before.decode is not None  # of a network that draws
        drawn = write_pictures(before.decode, source.outputs, source.placements)
        return [
            _view_drawn(image, view, placement)
            for image, view, placement in zip(drawn, source.views, source.placements, strict=True)
        ]

    def _cut(self, stage: Stage) -> Result:
        assert stage.step.crop is not None
        source = self._results[stage.step.of]
        pairs = zip(source.views, source.annotations, strict=True)
        return Result(crops=[crop for view, found in pairs for crop in cut_crops(view, found, stage.step.crop)])

    def _join_annotations(self, count: int) -> list[list[Annotation]]:
        """Annotations of all answering steps, with what was said of their crops; several steps' are put best first."""
        joined: list[list[Annotation]] = [[] for _ in range(count)]
        for name in self._plan.answers:
            said = self._collect_said(name)
            for owner, annotations in enumerate(self._results[name].annotations):
                joined[owner] += [_attach(one, said.get((owner, place))) for place, one in enumerate(annotations)]
        if len(self._plan.answers) > 1:
            joined = [sorted(annotations, key=lambda one: -(one.confidence or 0.0)) for annotations in joined]
        return joined

    def _collect_said(self, name: str) -> dict[tuple[int, int], Attributes]:
        """What models said of crops of this step's annotations: (picture, place in its list) -> attributes."""
        said: dict[tuple[int, int], Attributes] = defaultdict(dict)
        for stage in self._plan.stages:
            before = self._plan.find(stage.step.of) if stage.step.of else None
            if before is None or before.step.crop is None or before.step.of != name:
                continue
            crops, sorted_out = self._results[stage.step.of].crops, self._results[stage.step.name].annotations
            for crop, categories in zip(crops, sorted_out, strict=True):
                said[crop.view.owner, crop.place] |= write_attributes(stage, categories)
        return said


def run_views(stage: Stage, model: StepModel, views: Sequence[View], alone: bool) -> Result:
    """Run a network on pictures, at most so many at once as its graph takes; no pictures, no inference."""
    assert stage.facts is not None and stage.input is not None
    most = 1 if stage.input.resize == "pad" else stage.facts.max_batch
    parts: list[Tensors] = []
    placements: list[Placement] = []
    for first in range(0, len(views), most):
        images = [view.image for view in views[first : first + most]]
        if stage.is_prepared_here:
            batch, placed = prepare_batch(images, stage.input)
            parts.append(model.run_tensors({stage.input.name: batch}, alone))
        else:
            outputs, placed = model.run_pictures(images, alone)
            parts.append(outputs)
        placements += placed
    return Result(views=views, outputs=join_parts(parts), placements=placements)


def run_in_parts(model: StepModel, tensors: Mapping[str, np.ndarray], stage: Stage, alone: bool) -> Tensors:
    """Run a network on tensors, at most so many rows at once as its graph takes."""
    assert stage.facts is not None
    rows, most = len(next(iter(tensors.values()))), stage.facts.max_batch
    parts = [
        model.run_tensors({name: array[first : first + most] for name, array in tensors.items()}, alone)
        for first in range(0, rows, most)
    ]
    return join_parts(parts)


def join_parts(parts: Sequence[Tensors]) -> Tensors:
    """Outputs of several inferences as one. Raises: InvalidInput when pictures of several sizes were drawn."""
    if not parts:
        return {}
    sizes = {tuple(array.shape[1:] for array in part.values()) for part in parts}
    if len(sizes) > 1:
        raise InvalidInput("expected pictures of one size for a network that takes them as they are; send a request for each")
    return join_rows(parts)


def write_attributes(stage: Stage, categories: Sequence[Annotation]) -> Attributes:
    """What a step says of a crop, as text: the category, or several with commas, under its name; confidences beside it.

    Args:
        stage: a classification tells only the best category; none tells what is below the confidence its step asks for.
        categories: of the crop, best first.
    """
    least = stage.step.confidence or 0.0  # the head of a classification gives the best one whatever its confidence
    told = [one for one in categories if (one.confidence or 0.0) >= least]
    told = told[:1] if stage.task == "classification" else told
    if not told:
        return {}
    name, confidences = stage.step.name, ", ".join(f"{one.confidence or 0.0:.4f}" for one in told)
    return {name: ", ".join(one.category for one in told), f"{name}_confidence": confidences}


def _attach(annotation: Annotation, said: Attributes | None) -> Annotation:
    return msgspec.structs.replace(annotation, attributes={**annotation.attributes, **said}) if said else annotation


def _place_identically(views: Sequence[View]) -> list[Placement]:
    """Placements that only tell the pictures' sizes."""
    return [
        Placement(
            source_width=view.owner_width, source_height=view.owner_height, input_width=view.owner_width,
            input_height=view.owner_height, scale_x=1.0, scale_y=1.0, offset_x=0.0, offset_y=0.0,
        )
        for view in views
    ]  # fmt: skip


def _view_drawn(image: np.ndarray, view: View, placement: Placement) -> View:
    """The view that a drawn picture gives of the owner; `placement` is that of the view it was drawn from."""
    x_min, y_min, x_max, y_max = find_covered(placement)
    height, width = image.shape[:2]
    return msgspec.structs.replace(
        view,
        image=image,
        left=view.left + x_min / view.scale_x,
        top=view.top + y_min / view.scale_y,
        scale_x=width / (x_max - x_min) * view.scale_x,
        scale_y=height / (y_max - y_min) * view.scale_y,
    )
