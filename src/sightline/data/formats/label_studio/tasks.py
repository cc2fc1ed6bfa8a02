"""Tasks of an export: the two kinds of JSON brought to one form, and the annotation of several that counts.

A record of JSON_MIN holds the task's data, its id, then what each control gave under the control's name, then who annotated it
and when. Each annotation of a task has a record of its own; those of one task follow each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.format import UNKNOWN
from sightline.data.formats.json_stream import stream_elements
from sightline.data.formats.label_studio.labelling import Labelling
from sightline.data.items import Viewer

ANNOTATOR = "annotator"
SEEN_BY = "seen_by"  # our own, in the data of a task without annotations
VALUE_KEYS = {"choices": "choices", "text": "textarea", "rating": "rating", "number": "number", "taxonomy": "taxonomy"}

OF_SOME_REGION = "choice or text of a region: JSON_MIN does not say of which; export JSON"
OTHERS = "of another annotation of its task: the ground truth counts, else the latest that was not cancelled"
CANCELLED = "of a cancelled (skipped) annotation"
SUPERSEDED = "a model's, of a picture that a person looked at"
OLDER = "a model's, of a prediction that a later one replaces"


class Task(msgspec.Struct, frozen=True):
    """A task with what counts of it.

    Attributes:
        data: what is shown, by its key: the picture's address, ...
        results: regions, classes and other facts that a person or a model gave.
        viewer: who gave them; None where our own export says that nobody knows who looked.
        score: of the prediction, for those of its results that have none.
    """

    data: dict[str, Any]
    results: list[dict[str, Any]]
    viewer: Viewer | None
    score: Any = None


def is_small(record: Any) -> bool:
    """Whether a record is JSON_MIN's."""
    return (
        isinstance(record, dict)
        and not isinstance(record.get("data"), dict)
        and {ANNOTATOR, "annotation_id"} & record.keys() != set()
    )


def stream_tasks(path: Path, labelling: Labelling, report: ConversionReport) -> Iterator[Task]:
    """The tasks of a JSON of either kind.

    Args: labelling: what the labelling configuration says; may be empty.

    Raises: UnreadableDataset when the file is no JSON list.
    """
    for identity, records in groupby(enumerate(stream_elements(path)), key=_find_group):
        group = [record for _, record in records]
        where = f"{path.name}: task {identity}"
        if all(map(is_small, group)):
            yield _choose(_unpack_records(group, labelling, report), where, report)
        else:
            for record in group:
                if isinstance(record, dict) and isinstance(record.get("data"), dict):
                    yield _choose(record, f"{path.name}: task {_name_task(record)}", report)
                else:
                    report.drop("image", "record that is no task", f"{path.name}: {record!r:.80}")


def _find_group(numbered: tuple[int, Any]) -> str:
    """What records of one task share: JSON_MIN's their id; all others stand alone."""
    number, record = numbered
    return _name_task(record) if is_small(record) and "id" in record else f"#{number}"


def _name_task(record: dict[str, Any]) -> str:
    return clean_name(str(record.get("id"))[:20])


def _unpack_records(records: list[dict[str, Any]], labelling: Labelling, report: ConversionReport) -> dict[str, Any]:
    """JSON_MIN's records of one task as the full JSON has it; lists of pictures, which it does not tell apart, are left out."""
    annotations = []
    data: dict[str, Any] = {}
    for record in records:
        outputs = _list_outputs(record, labelling.controls)
        data = {name: value for name, value in record.items() if name not in outputs and name != "id" and not _is_list(value)}
        results = [result for name in outputs for result in _unpack_output(name, record[name], labelling, report)]
        if record.get("annotation_id") is not None:
            times = {name: record.get(name) for name in ("created_at", "updated_at")}
            annotations.append({"result": results, **times})
    return {"data": data, "annotations": annotations}


def _list_outputs(record: dict[str, Any], controls: Mapping[str, str]) -> list[str]:
    """Names of the controls of a record: those that are known, and what lies between the task's id and the annotator.

    Where controls are known, a text under another name is no output but data.
    """
    names = list(record)
    first = names.index("id") + 1 if "id" in names else 0
    last = names.index(ANNOTATOR) if ANNOTATOR in names else len(names)
    between = {name for name in names[first:last] if not controls or _has_object(record[name])}
    return [name for name in names if name in controls or name in between]


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1


def _has_object(output: Any) -> bool:
    return any(isinstance(value, dict) for value in (output if isinstance(output, list) else [output]))


def _unpack_output(name: str, output: Any, labelling: Labelling, report: ConversionReport) -> Iterator[dict[str, Any]]:
    """The results of one control."""
    control = {"from_name": name}
    if name in labelling.targets:
        control["to_name"] = labelling.targets[name]
    for value in output if isinstance(output, list) else [output]:
        if isinstance(value, dict):
            kinds = [key for key in value if key.endswith("labels")] + [VALUE_KEYS[key] for key in VALUE_KEYS if key in value]
            sizes = {key: value[key] for key in ("original_width", "original_height") if key in value}
            kind = kinds[0] if kinds else labelling.controls.get(name, "result").lower()
            yield {**control, "type": kind, "value": value, **sizes}
        elif isinstance(value, str) and name in labelling.of_regions:
            report.drop("attribute", OF_SOME_REGION, name)
        elif isinstance(value, str):
            if name not in labelling.controls:
                report.warn("category", "text of JSON_MIN is taken for a class; a label_config.xml beside it would tell", name)
            kind = labelling.controls.get(name, "Choices").lower()
            yield {**control, "type": kind, "value": {kind: [value]}}


def _choose(task: dict[str, Any], where: str, report: ConversionReport) -> Task:
    """What counts of a task; what does not is told."""
    annotations = _list_records(task.get("annotations", task.get("completions")))
    submitted = []
    for one in annotations:
        if one.get("was_cancelled") or one.get("skipped"):
            _drop_results(one, CANCELLED, where, report)
        else:
            submitted.append(one)
    counted = [one for one in submitted if _is_answer(one, where, report)]
    drafts = [one for one in _list_records(task.get("drafts")) if not counted]
    for draft in drafts:
        _drop_results(draft, "of a draft that was not submitted", where, report)
    predictions = _list_records(task.get("predictions"))
    if counted:
        chosen = _take_latest(counted, OTHERS, where, report)
        for one in predictions:
            _drop_results(one, SUPERSEDED, where, report)
        return Task(task["data"], _list_objects(chosen["result"], where, report), "human")
    if annotations and not submitted:
        report.warn("image", "everybody skipped it: counts as a picture that nobody looked at", where)
    answers = [one for one in predictions if _is_answer(one, where, report)]
    if answers:
        chosen = _take_latest(answers, OLDER, where, report)
        return Task(task["data"], _list_objects(chosen["result"], where, report), "model", chosen.get("score"))
    return Task(task["data"], [], None if not annotations and task["data"].get(SEEN_BY) == UNKNOWN else "nobody")


def _is_answer(annotation: dict[str, Any], where: str, report: ConversionReport) -> bool:
    """Whether an annotation or prediction says anything, be it that nothing is there; null and lists of odd things do not."""
    results = annotation.get("result")
    if not isinstance(results, list):
        report.drop("annotation", "result that is no list: counts as nobody's answer", where)
        return False
    if results and not any(isinstance(result, dict) for result in results):
        _list_objects(results, where, report)
        return False
    return True


def _take_latest(records: list[dict[str, Any]], reason: str, where: str, report: ConversionReport) -> dict[str, Any]:
    """The ground truth, else the latest of some annotations."""

    def rank(place: int) -> tuple[bool, str, int]:
        record = records[place]
        return bool(record.get("ground_truth")), str(record.get("updated_at") or record.get("created_at") or ""), place

    best = max(range(len(records)), key=rank)
    for place, record in enumerate(records):
        if place != best:
            _drop_results(record, reason, where, report)
    return records[best]


def _list_objects(results: list[Any], where: str, report: ConversionReport) -> list[dict[str, Any]]:
    """The results that are objects with a value, or relations."""
    kept = [result for result in results if isinstance(result, dict)]
    if len(kept) < len(results):
        report.drop("annotation", "result that is no object", where, count=len(results) - len(kept))
    return kept


def _drop_results(annotation: dict[str, Any], reason: str, where: str, report: ConversionReport) -> None:
    results = annotation.get("result")
    if isinstance(results, list) and results:
        report.drop("annotation", reason, where, count=len(results))


def _list_records(records: Any) -> list[dict[str, Any]]:
    return (
        [record for record in records if isinstance(record, dict)]
        if isinstance(records, Iterable) and not isinstance(records, str)
        else []
    )
