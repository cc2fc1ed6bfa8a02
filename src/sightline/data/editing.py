"""Edits of one picture's labels: operations, the checks that they must pass, and the fold that applies them. Pure, no SQL.

The one idea: what a person does to a picture is a list of operations, and the picture's labels are the fold of all operations
over the labels it began with. An operation speaks of a label by an id that stays the same as long as the label lives, so that
a list can be kept, sent again and played back. What an operation brings is cleaned once, when it arrives, by the rules of an
import (`data.cleaning`): what reaches over the edge of the picture is clipped, what names no place in it is refused.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from sightline.core.annotations import Annotation, read_annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.data.cleaning import LONGEST_KEY, LONGEST_VALUE, MAX_ATTRIBUTES, OVER_EDGE, clean_annotations, is_key
from sightline.data.conversion import SURROGATES, ConversionReport
from sightline.data.items import Viewer, read_viewer
from sightline.data.truth import find_viewer, note_viewer

MAX_OPERATIONS = 10_000  # of one edit
MAX_LABELS = 100_000  # of one picture
MAX_EDIT_BYTES = 32 << 20  # of one edit: 8 a coordinate, 1 a character of masks and attributes
LABEL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

ItemState = Literal["labelled", "proposed", "unlabelled"]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation and the id by which operations speak of it."""

    id: str
    annotation: Annotation


class LabelState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is said of one picture.

    Attributes:
        labels: in order; later ones lie above earlier ones.
        seen_by: who looked at the picture, as `Item` has it; `find_viewer` tells who did.
        attributes: further facts of the picture, text to text.
    """

    labels: tuple[Label, ...] = ()
    seen_by: Viewer | None = None
    attributes: dict[str, str] = {}

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """The labels without their ids."""
        return tuple(label.annotation for label in self.labels)

    @property
    def viewer(self) -> Viewer | None:
        """Who looked at the picture to label it."""
        return find_viewer(self.annotations, self.seen_by)


class Put(msgspec.Struct, frozen=True, kw_only=True, tag="put", tag_field="kind", forbid_unknown_fields=True):
    """Adds an annotation, or replaces the one of this id.

    Attributes: place: its index among the labels then; None: where it was, or last.
    """

    id: str
    annotation: Annotation
    place: int | None = None


class Remove(msgspec.Struct, frozen=True, kw_only=True, tag="remove", tag_field="kind", forbid_unknown_fields=True):
    """Takes the label of this id away."""

    id: str


class Review(msgspec.Struct, frozen=True, kw_only=True, tag="review", tag_field="kind", forbid_unknown_fields=True):
    """Says who looked at the picture; None where its annotations alone shall tell."""

    seen_by: Viewer | None


class SetAttribute(msgspec.Struct, frozen=True, kw_only=True, tag="set", tag_field="kind", forbid_unknown_fields=True):
    """Gives an attribute of the picture a value; None takes the attribute away. Who looked at the picture stays as it was."""

    key: str
    value: str | None


Operation = Put | Remove | Review | SetAttribute


def name_state(viewer: Viewer | None) -> ItemState:
    """What lists call a picture that this viewer looked at: only what a person looked at is labelled."""
    return "labelled" if viewer == "human" else "proposed" if viewer == "model" else "unlabelled"


def number_labels(annotations: Iterable[Annotation], ids: Sequence[str] | None = None) -> tuple[Label, ...]:
    """Annotations of an item as labels: with these ids, or "0", "1", ... by position."""
    annotations = tuple(annotations)
    names = ids if ids is not None else [str(place) for place in range(len(annotations))]
    return tuple(Label(id=name, annotation=annotation) for name, annotation in zip(names, annotations, strict=True))


def check_operations(operations: Sequence[Operation], width: int, height: int, categories: Categories) -> tuple[Operation, ...]:
    """An edit's operations as they may be kept: boxes and polygons clipped to the picture, boxes of outlines drawn anew.

    Args:
        operations: as a client sent them.
        width, height: of the upright picture, pixels.
        categories: that annotations may have.

    Raises: InvalidInput naming the operation, for an unknown category, a place outside of the picture or without area, a number
        that is none, a ring of less than three points, polygons beside a mask, a mask that is broken or of another size, an id,
        an attribute or a size beyond the limits.
    """
    if len(operations) > MAX_OPERATIONS:
        raise InvalidInput(
            f"expected at most {MAX_OPERATIONS} operations in one edit, got {len(operations)}; send several edits"
        )
    checked: list[Operation] = []
    size = 0
    for number, operation in enumerate(operations):
        where = f"operation {number}"
        if isinstance(operation, Put):
            annotation = read_annotation(operation.annotation)
            size += _estimate_bytes(annotation)
            _check_size(size)
            _check_id(operation.id, where)
            _check_place(operation.place, where)
            operation = replace(operation, annotation=_clean_annotation(annotation, width, height, categories, where))
        elif isinstance(operation, Remove):
            _check_id(operation.id, where)
        elif isinstance(operation, SetAttribute):
            _check_attribute(operation.key, operation.value, where)
            size += len(operation.key) + len(operation.value or "")
            _check_size(size)
        elif not isinstance(operation, Review):
            raise InvalidInput(
                f"{where}: expected a Put, Remove, Review or SetAttribute, got {operation!r}; see sightline.data.editing"
            )
        elif operation.seen_by is not None and read_viewer(operation.seen_by) is None:
            raise InvalidInput(f"{where}: expected human, model, nobody or null, got {operation.seen_by!r}; say who looked")
        checked.append(operation)
    return tuple(checked)


def apply_operations(state: LabelState, operations: Iterable[Operation]) -> LabelState:
    """The labels after an edit.

    What touches a person's label makes the picture seen by a person. What touches proposals of a model alone does not: nobody
    knows what is in a picture whose proposals were not accepted, even when one of them was taken away.

    Args: operations: as `check_operations` returned them, in order.

    Raises: InvalidInput for a label that is not there to be removed, too many labels, or too many attributes.
    """
    folding = _Folding(state)
    for number, operation in enumerate(operations):
        if isinstance(operation, Put):
            folding.put(operation)
        elif isinstance(operation, Remove):
            folding.remove(operation.id, f"operation {number}")
        elif isinstance(operation, Review):
            folding.seen_by = operation.seen_by
        elif operation.value is None:
            folding.attributes.pop(operation.key, None)
        else:
            folding.attributes[operation.key] = operation.value
    return folding.finish()


class _Folding:
    """Labels while operations change them; removed ids leave the list together, so that many cost no more than one."""

    def __init__(self, state: LabelState) -> None:
        self._ids = [label.id for label in state.labels]
        self._annotations = {label.id: label.annotation for label in state.labels}
        self._removed: set[str] = set()
        self._before = state  # a picture that came with more may be edited, too
        self.seen_by = state.seen_by
        self.attributes = dict(state.attributes)

    def put(self, operation: Put) -> None:
        old = self._annotations.get(operation.id)
        if old is None or operation.place is not None:
            self._drop_removed()
            if old is not None:
                self._ids.remove(operation.id)
            self._ids.insert(len(self._ids) if operation.place is None else operation.place, operation.id)
        self._annotations[operation.id] = operation.annotation
        self._note(operation.annotation, old)

    def remove(self, label_id: str, where: str) -> None:
        old = self._annotations.pop(label_id, None)
        if old is None:
            raise InvalidInput(f"{where}: expected the id of a label of this picture, got {label_id!r}; load its labels again")
        self._removed.add(label_id)
        self._note(old)

    def finish(self) -> LabelState:
        self._drop_removed()
        _check_count("labels", len(self._ids), max(MAX_LABELS, len(self._before.labels)))
        _check_count("attributes", len(self.attributes), max(MAX_ATTRIBUTES, len(self._before.attributes)))
        labels = tuple(Label(id=label_id, annotation=self._annotations[label_id]) for label_id in self._ids)
        annotations = [label.annotation for label in labels]
        return LabelState(
            labels=labels,
            seen_by=note_viewer(find_viewer(annotations, self.seen_by), annotations),
            attributes=dict(sorted(self.attributes.items())),  # as a frozen version has them
        )

    def _note(self, *touched: Annotation | None) -> None:
        if any(annotation is not None and annotation.origin == "human" for annotation in touched):
            self.seen_by = "human"
        elif self.seen_by != "human":
            self.seen_by = "model"

    def _drop_removed(self) -> None:
        if self._removed:
            self._ids = [label_id for label_id in self._ids if label_id not in self._removed]
            self._removed = set()


def find_changes(before: LabelState, after: LabelState) -> tuple[Operation, ...]:
    """Operations that lead from one state to the other: what brings an earlier revision back."""
    wanted = {label.id for label in after.labels}
    operations: list[Operation] = [Remove(id=label.id) for label in before.labels if label.id not in wanted]
    present = [label.id for label in before.labels if label.id in wanted]
    annotations = {label.id: label.annotation for label in before.labels}
    for place, label in enumerate(after.labels):
        if place < len(present) and present[place] == label.id:
            if annotations[label.id] != label.annotation:
                operations.append(Put(id=label.id, annotation=label.annotation))
            continue
        if label.id in annotations:
            present.remove(label.id)
        operations.append(Put(id=label.id, annotation=label.annotation, place=None if place == len(present) else place))
        present.insert(place, label.id)
    operations += [SetAttribute(key=key, value=None) for key in before.attributes if key not in after.attributes]
    for key, value in after.attributes.items():
        if before.attributes.get(key) != value:
            operations.append(SetAttribute(key=key, value=value))
    return (*operations, Review(seen_by=after.seen_by))


def describe_operations(operations: Sequence[Operation], before: LabelState) -> str:
    """A short line of what an edit does, for the history.

    Example: "added 2 cell, 1 platelet; changed 1 cell; removed 1 cell; set attribute line; reviewed by a person".
    """
    known = {label.id: label.annotation.category for label in before.labels}
    done: dict[str, Counter[str]] = {"added": Counter(), "changed": Counter(), "removed": Counter()}
    attributes: dict[str, str | None] = {}
    review = ""
    for operation in operations:
        if isinstance(operation, Put):
            done["changed" if operation.id in known else "added"][operation.annotation.category] += 1
            known[operation.id] = operation.annotation.category
        elif isinstance(operation, Remove):
            done["removed"][known.pop(operation.id, "label")] += 1
        elif isinstance(operation, SetAttribute):
            attributes[operation.key] = operation.value
        else:
            review = REVIEWS[operation.seen_by]
    parts = [f"{word} {_list_counts(counts)}" for word, counts in done.items() if counts]
    for word, keys in (
        ("set", [key for key, value in attributes.items() if value is not None]),
        ("removed", [key for key, value in attributes.items() if value is None]),
    ):
        if keys:
            parts.append(f"{word} attribute{'s' if len(keys) > 1 else ''} {_list_names(keys)}")
    return "; ".join([*parts, review] if review else parts) or "nothing"


REVIEWS: dict[Viewer | None, str] = {
    "human": "reviewed by a person",
    "model": "left to a model",
    "nobody": "marked as not looked at",
    None: "left to what its annotations tell",
}
LISTED = 5  # categories or attributes that a line of the history names


def _list_counts(counts: Counter[str]) -> str:
    shown = [f"{count} {name}" for name, count in counts.most_common(LISTED)]
    rest = counts.total() - sum(count for _, count in counts.most_common(LISTED))
    return ", ".join([*shown, f"{rest} others"] if rest else shown)


def _list_names(names: Sequence[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join([*names[:LISTED], f"{rest} others"] if rest > 0 else names)


def _clean_annotation(annotation: Annotation, width: int, height: int, categories: Categories, where: str) -> Annotation:
    """The annotation as an import would keep it, where an import would keep all of it but what is over the edge."""
    if annotation.category not in categories:
        raise InvalidInput(
            f"{where}: category {annotation.category!r} is not one of {list(categories.names)}; add it to the dataset first"
        )
    if annotation.polygons is not None and annotation.mask is not None:
        raise InvalidInput(f"{where}: expected polygons or a mask, got both; keep one of them")
    for text in (text for pair in annotation.attributes.items() for text in pair):
        if SURROGATES.search(text):
            raise InvalidInput(f"{where}: expected attributes of text, got {text[:40]!r}, which UTF-8 cannot write; drop it")
    if annotation.geometry in ("polygons", "mask"):
        annotation = replace(annotation, box_xyxy=None)  # drawn anew: the bounds of what is drawn
    report = ConversionReport()
    cleaned = clean_annotations([annotation], width, height, categories, report, where)
    problems = [found.reason for found in report.findings() if not found.reason.endswith(OVER_EDGE)]
    if problems:
        raise InvalidInput(
            f"{where}: expected an annotation that fits {width} x {height} pixels, got: {problems[0]}; draw it again"
        )
    return cleaned[0]


def _check_id(label_id: str, where: str) -> None:
    if not isinstance(label_id, str) or not LABEL_ID.fullmatch(label_id):
        raise InvalidInput(f"{where}: expected an id of 1 to 64 letters, digits, '-' or '_', got {label_id!r}; make another")


def _check_attribute(key: str, value: str | None, where: str) -> None:
    is_text = isinstance(key, str) and not SURROGATES.search(key)
    if not is_text or not is_key(key):
        raise InvalidInput(
            f"{where}: expected a key of one line of 1 to {LONGEST_KEY} characters, got {key!r:.120}; choose another"
        )
    if value is not None and (not isinstance(value, str) or len(value) > LONGEST_VALUE or SURROGATES.search(value)):
        raise InvalidInput(
            f"{where}: expected as {key!r} a text of at most {LONGEST_VALUE} characters, got {value!r:.60}; shorten it"
        )


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidInput(f"expected at most {most} {what} in one picture, got {count}; remove some")


def _check_size(size: int) -> None:
    if size > MAX_EDIT_BYTES:
        raise InvalidInput(
            f"expected at most {MAX_EDIT_BYTES >> 20} MiB of coordinates, masks and attributes in one edit; send several edits"
        )


def _check_place(place: int | None, where: str) -> None:
    if place is not None and (not isinstance(place, int) or place < 0):
        raise InvalidInput(f"{where}: expected a place from 0 on, or null, got {place!r}; leave it out")


def _estimate_bytes(annotation: Annotation) -> int:
    numbers = sum(map(len, annotation.polygons or ()))
    texts = sum(len(key) + len(value) for key, value in annotation.attributes.items())
    return 100 + 8 * numbers + texts + (0 if annotation.mask is None else len(annotation.mask.counts))
