"""`POST /api/datasets/ID/files`: pictures, videos or an archive join a dataset, and each says what became of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from sightline.api.importing import UploadRequest
from sightline.api.multipart import FormReceiver, receive_form
from sightline.api.mvi.answers import SUCCESS, answer
from sightline.api.mvi.bodies import LabelChange, UserMetadata
from sightline.api.mvi.faults import describe_refusal
from sightline.api.mvi.labels import make_name, read_label
from sightline.api.mvi.lookup import DatasetOf, File, make_file_id, walk_rows
from sightline.api.mvi.user_metadata import find_new, read_pairs
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.api.uploads import check_room, open_folder, run_import
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.folders import compute_file_hash
from sightline.data.archives import is_archive
from sightline.data.conversion import ConversionReport
from sightline.data.editing import LabelState, Put, SetAttribute, apply_operations, check_operations
from sightline.data.splits import DEFAULT_FRACTIONS, SPLIT_NAMES
from sightline.data.versions import open_version
from sightline.data.video.containers import VIDEO_SUFFIXES
from sightline.store.adding import add_version
from sightline.store.datasets import Dataset, ItemRow

METADATA, LABELS = "user-metadata", "labels"
LABEL_LIST, PAIRS = TypeAdapter(list[LabelChange]), TypeAdapter(UserMetadata)

router = APIRouter(prefix="/datasets/{dataset_id}/files")


@router.post("")
async def upload_files(request: Request, dataset: DatasetOf, parts: PartsOf, person: PersonOf) -> Response:
    """Pictures, a frame each second of videos, or what an archive holds join a dataset's next version, each with a result.

    Pictures that the dataset has already do not come twice, and count as a success. Splits are drawn in the dataset's shares,
    or 0.8/0.1/0.1 in one without a `val`. `labels`: object labels of the one picture that is sent. `user-metadata`: an object
    of keys and values, which all of these pictures are given.
    """
    check_room(parts.workspace.root, request.headers.get("content-length", ""))
    async with open_folder(parts.workspace.root) as folder:
        files = folder / "upload"
        files.mkdir()
        form = await receive_form(request, files, lambda fields: None, (METADATA, LABELS))
        if not form.paths:
            raise InvalidInput("expected pictures, videos or an archive as `files`, got none; choose some")
        labels = await anyio.to_thread.run_sync(read_labels, dataset, form)
        pairs = await anyio.to_thread.run_sync(read_metadata, form)
        wanted = make_request(dataset, parts, form, files, folder / "added")
        try:
            report = ConversionReport.from_dict((await run_import(wanted, request, folder)).read())
        except InvalidInput as error:  # no picture of them can be read
            results = [describe_result(dataset, str(path.relative_to(files)), None) for path in form.paths]
            return describe_refusal(error, resultList=results)

        def add() -> Response:
            split = "auto" if SPLIT_NAMES[1] in dataset.summarise().splits else DEFAULT_FRACTIONS
            added = add_version(dataset, open_version(folder / "added"), person.name, report, split=split)
            new = [dataset.find_picture(position) for position in added.positions]
            matched = match_files(dataset, files, form.paths, new)
            for place, (_, row) in enumerate(matched):
                if row is not None:
                    edit_picture(dataset, row, labels if place == 0 else [], pairs, person.name)
            return answer({"resultList": [describe_result(dataset, *match) for match in matched], **SUCCESS})

        return await anyio.to_thread.run_sync(add, limiter=parts.revising)


def make_request(dataset: Dataset, parts: Parts, form: FormReceiver, files: Path, target: Path) -> UploadRequest:
    """What the import shall do."""
    return UploadRequest(
        source=str(form.paths[0] if len(form.paths) == 1 and is_archive(form.paths[0]) else files),
        workspace=str(parts.workspace.root),
        name=dataset.name,
        categories=[],
        target=str(target),
        blobs=dataset.version.blobs.url,
    )


def read_labels(dataset: Dataset, form: FormReceiver) -> list[Annotation]:
    """The labels that came with a picture. Raises: InvalidInput for what are none."""
    if not (text := form.fields.get(LABELS, "").strip()):
        return []
    if len(form.paths) != 1:
        raise InvalidInput(f"expected one picture beside `labels`, got {len(form.paths)} files; send it by itself")
    try:
        return [read_label(dataset, change) for change in LABEL_LIST.validate_json(text)]
    except ValidationError as error:
        raise InvalidInput(f"expected `labels` as a list of object labels, got another: {error.errors()[0]['msg']}") from error


def read_metadata(form: FormReceiver) -> dict[str, str]:
    """The keys and values that came with pictures. Raises: InvalidInput for what are none, or cannot be kept."""
    if not (text := form.fields.get(METADATA, "").strip()):
        return {}
    try:
        pairs = read_pairs(PAIRS.validate_json(text))
    except ValidationError as error:
        raise InvalidInput(
            f"expected `user-metadata` as an object of keys and texts, got another: {error.errors()[0]['msg']}"
        ) from error
    operations = [SetAttribute(key=key, value=value) for key, value in pairs.items()]
    apply_operations(LabelState(), check_operations(operations, 1, 1, Categories(())))  # before any picture joins
    return pairs


def match_files(
    dataset: Dataset, files: Path, paths: Sequence[Path], new: Sequence[ItemRow]
) -> list[tuple[str, ItemRow | None]]:
    """The picture that each file is now, None where it is none; for an archive or a video each new picture of it."""
    by_blob = {row.blob: row for row in new}
    blobs = {
        str(path.relative_to(files)): compute_file_hash(path).sha256
        for path in paths
        if not is_archive(path) and path.suffix.lower() not in VIDEO_SUFFIXES
    }
    if not by_blob.keys() >= set(blobs.values()):  # what the dataset had before, or what is no picture
        by_blob = {row.blob: row for row in walk_rows(dataset)}
    matched: list[tuple[str, ItemRow | None]] = [(name, by_blob.get(blob)) for name, blob in blobs.items()]
    return matched + [(row.file_name, row) for row in new if row.blob not in blobs.values()]


def describe_result(dataset: Dataset, name: str, row: ItemRow | None) -> dict[str, Any]:
    """What became of a file."""
    if row is None:
        return {"result": "fail", "fileName": name, "fault": "no picture that can be read"}
    file_id = make_file_id(dataset.name, row.file_name, row.blob)
    return {"result": "success", "_id": file_id, "file_id": file_id, "fileName": name, "original_file_name": row.file_name}


def edit_picture(dataset: Dataset, row: ItemRow, labels: Sequence[Annotation], pairs: Mapping[str, str], author: str) -> None:
    """Put the labels and set the metadata that came with a picture, in one edit."""
    puts = [Put(id=make_name(), annotation=annotation) for annotation in labels]
    if puts or pairs:
        file = File(dataset, make_file_id(dataset.name, row.file_name, row.blob), dataset.read_item(row.position))
        file.edit(author, lambda item: [*puts, *find_new(item, pairs)])
