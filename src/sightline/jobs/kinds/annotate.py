"""Jobs that annotate: a model proposes labels for the pictures of a Dataset that no person looked at.

Proposals go into the Dataset's journal, an edit for each picture, while people may go on labelling: a picture that somebody
edits first is left as it is, since the proposal was made on another revision. The ids of the edits follow from the job, so one
that goes on after its process died writes no picture twice.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import msgspec

from sightline.core.annotations import Annotation
from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.folders import write_file_atomic
from sightline.core.progress import ProgressEvent
from sightline.core.workspace import ID_LENGTH, NAME_PATTERN, Workspace
from sightline.data.editing import Operation, Put, Remove, Review
from sightline.data.items import Item
from sightline.jobs.folder import Made
from sightline.jobs.kinds.kind import Call, Kind
from sightline.jobs.kinds.measure import pin_subject, runs_on_gpu
from sightline.jobs.leases import Needs
from sightline.store.database import DATABASE_NAME, open_database
from sightline.store.datasets import Dataset, DatasetStore
from sightline.store.records import ItemRow, LabelledItem

BATCH_SIZE = 8
DONE_NAME = "done.json"  # in `making`: what was done before the process died


class AnnotateArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `annotate` is called with: a Dataset, and `with`, what predicts. `confidence_threshold`: None is the predictor's."""

    dataset: str
    subject: str = msgspec.field(name="with")
    confidence_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class Done(msgspec.Struct, kw_only=True):
    """How far a job has come. `position`: of the next picture."""

    position: int = 0
    annotated: int = 0
    without: int = 0
    left: int = 0
    annotations: int = 0


def prepare(arguments: AnnotateArguments, workspace: Workspace) -> AnnotateArguments:
    """Name what predicts. Raises: InvalidInput, NotFound."""
    if not NAME_PATTERN.fullmatch(arguments.dataset):
        raise InvalidInput(f"expected the name of a dataset, got {arguments.dataset!r}; a frozen version is never changed")
    workspace.find("datasets", arguments.dataset)
    return msgspec.structs.replace(arguments, subject=pin_subject(workspace, arguments.subject))


def find_needs(arguments: AnnotateArguments, workspace: Workspace) -> Needs:
    """A GPU where the predictor was compiled for one, and a share of the cores."""
    return Needs(cores="share", wants_gpu=runs_on_gpu(workspace, arguments.subject))


def run(call: Call) -> Made:
    """Look at each picture that no person looked at, and write what is found there."""
    from sightline.serving.loading import open_subject

    arguments: AnnotateArguments = call.arguments
    database = open_database(call.workspace.root / DATABASE_NAME)
    try:
        dataset = DatasetStore(call.workspace, database).open(arguments.dataset)
        with open_subject(arguments.subject, call.workspace) as predictor:
            done = _annotate(call, dataset, predictor)
        facts: dict[str, float | int | str] = {
            "with": arguments.subject,
            "images_annotated": done.annotated,
            "images_without": done.without,
            "images_left": done.left,
            "annotations": done.annotations,
        }
        return Made(shelf="datasets", name=dataset.name, id=dataset.version.id[:ID_LENGTH], facts=facts)
    finally:
        database.close()


def _annotate(call: Call, dataset: Dataset, predictor: object) -> Done:
    from sightline.bench.annotating import propose_annotations
    from sightline.data.conversion import ConversionReport
    from sightline.imaging.files.reading import decode_image

    place, total = call.folder.making / DONE_NAME, dataset.version.count()
    done = msgspec.json.decode(place.read_bytes(), type=Done) if place.is_file() else Done()
    pictures = iterate_unseen(dataset, done)
    author = f"model {call.arguments.subject}"
    while batch := list(islice(pictures, BATCH_SIZE)):
        items = [_make_item(picture) for picture in batch]
        images = [decode_image(dataset.read_picture(picture.position), name=picture.file_name) for picture in batch]
        threshold = call.arguments.confidence_threshold
        found = propose_annotations(predictor, items, images, threshold, ConversionReport())  # type: ignore[arg-type]
        for picture, annotations in zip(batch, found, strict=True):
            _write(dataset, picture, annotations, f"{call.job_id}-{picture.position}-{picture.blob[:8]}", author, done)
        done.position = batch[-1].position + 1
        write_file_atomic(place, msgspec.json.encode(done))
        metrics = {"annotations": float(done.annotations)}
        call.on_progress(ProgressEvent(stage="annotating", progress=done.position / max(total, 1), metrics=metrics))
    return done


def iterate_unseen(dataset: Dataset, done: Done) -> Iterator[LabelledItem]:
    """The pictures that no person looked at, from where the job is; the others are counted as left."""
    cursor: int | None = done.position
    while cursor is not None:
        page = dataset.list_items(cursor=cursor)
        cursor = page.next_cursor
        for row in page.items:
            if row.state == "labelled":
                done.left += 1
                continue
            picture = _find(dataset, row)
            if picture is None:  # pictures were removed since they were listed: listed anew from here
                cursor = row.position
                break
            if picture.state == "labelled":  # by a person who was quicker
                done.left += 1
            else:
                yield picture


def _find(dataset: Dataset, row: ItemRow) -> LabelledItem | None:
    """A listed picture as it is by now; None where its place is another's or nobody's."""
    try:
        picture = dataset.read_item(row.position)
    except NotFound:
        return None
    return picture if picture.blob == row.blob else None


def _write(dataset: Dataset, picture: LabelledItem, found: list[Annotation], edit_id: str, author: str, done: Done) -> None:
    """Put what was found in place of what an earlier model had found; not where a person was quicker."""
    known = {category.name for category in dataset.categories}
    for name in Counter(one.category for one in found):
        if name not in known:
            dataset.add_category(name, author)
    operations: list[Operation] = [Remove(id=label.id) for label in picture.labels]
    operations += [Put(id=f"{edit_id}-{place}", annotation=one) for place, one in enumerate(found)]
    operations.append(Review(seen_by="model"))
    try:
        dataset.append_edit(picture.position, edit_id, picture.revision, operations, author, blob=picture.blob)
    except Conflict:
        done.left += 1
        return
    done.annotated, done.without = done.annotated + bool(found), done.without + (not found)
    done.annotations += len(found)


def _make_item(picture: LabelledItem) -> Item:
    return Item(blob=picture.blob, file_name=picture.file_name, width=picture.width, height=picture.height)


ANNOTATE = Kind(AnnotateArguments, prepare, find_needs, run, is_resumable=True, uses_version=False)
