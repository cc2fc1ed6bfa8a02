"""`/api/datasets/ID/files/.../user-metadata` and `files/user-keys`: the attributes of pictures.

A key is there as long as a picture has it: nothing is kept of keys by themselves. Every change is an edit of a picture, which
its history tells and can undo. Values are text here; numbers and truth values become text as JSON writes them.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer
from sightline.api.mvi.files import describe_files
from sightline.api.mvi.lookup import DatasetOf, File, FileOf, make_dataset_id, make_file_id, walk_items
from sightline.api.mvi.queries import PagingOf, QueryOf, parse_query, split_list
from sightline.api.parts import PartsOf
from sightline.api.people import PersonOf
from sightline.core.errors import Conflict, NotFound, Unsupported
from sightline.data.editing import SetAttribute
from sightline.store.datasets import Dataset, LabelledItem

DELIMITERS = {"comma": ",", "pipe": "|"}

router = APIRouter(prefix="/datasets/{dataset_id}/files")


@router.get("/user-keys")
def list_keys(dataset: DatasetOf, paging: PagingOf) -> Response:
    """The keys that pictures have, by name, each with how many have it as `use_count`."""
    counts = count_keys(dataset)
    return answer(paging.cut([describe_key(dataset, key, counts) for key in sorted(counts)]))


@router.post("/user-keys")
def create_key(dataset: DatasetOf, body: bodies.NewKey) -> Response:
    """Told is how many pictures have the key. A key need not be made: it is listed once a picture has it. No `description`."""
    return answer({**describe_key(dataset, body.name, count_keys(dataset)), **SUCCESS})


@router.get("/user-keys/{key:path}")
def read_key(dataset: DatasetOf, key: str) -> Response:
    """One key. Not found where no picture has it."""
    counts = count_keys(dataset)
    check_known(dataset, key, counts)
    return answer(describe_key(dataset, key, counts))


@router.put("/user-keys/{key:path}")
def rename_key(dataset: DatasetOf, person: PersonOf, key: str, body: bodies.KeyChange) -> Response:
    """`name`: another name in all pictures, which none may have yet: one edit for each. A `description` alone is refused."""
    if body.name is None:
        raise Unsupported("keys have names and no descriptions here; send a new `name`, or leave the key as it is")
    counts, name = count_keys(dataset), body.name
    check_known(dataset, key, counts)
    if name != key and counts[name]:
        raise Conflict(f"expected a key that no picture of {dataset.name!r} has, got {name[:100]!r}; choose another")

    def rename(item: LabelledItem) -> list[SetAttribute]:
        if name == key or key not in item.attributes:
            return []
        return [SetAttribute(key=key, value=None), SetAttribute(key=name, value=item.attributes[key])]

    for file in walk_files_with(dataset, key):
        file.edit(person.name, rename)
    return answer({**describe_key(dataset, name, count_keys(dataset)), **SUCCESS})


@router.delete("/user-keys/{key:path}")
def delete_key(dataset: DatasetOf, person: PersonOf, key: str) -> Response:
    """Take a key and its values away from all pictures that have it: one edit for each, which its history can undo."""
    count = sum(len(remove_keys(file, [key], person.name)) for file in walk_files_with(dataset, key))
    return answer({"deleted_count": count, **SUCCESS})


@router.get("/user-metadata")
def export_metadata(
    dataset: DatasetOf,
    parts: PartsOf,
    person: PersonOf,
    format: Literal["comma", "pipe"] = "comma",
    keys: str | None = None,
    query: QueryOf = None,
) -> Response:
    """CSV with a line for each picture that `query` lets through: `#file_id`, then the values of `keys`, or of all keys."""
    terms = parse_query(query) if query else []
    files = [file for file in describe_files(parts, person.name, dataset) if all(term.fits(file) for term in terms)]
    columns = split_list(keys)
    if columns is None:
        columns = sorted({key for file in files for key in file["user_metadata"]})
    text = io.StringIO()
    writer = csv.writer(text, delimiter=DELIMITERS[format], lineterminator="\n")
    writer.writerow(["#file_id", *columns])
    writer.writerows([file["_id"], *(file["user_metadata"].get(key, "") for key in columns)] for file in files)
    return Response(text.getvalue(), media_type="text/csv")


@router.get("/{file_id}/user-metadata")
def list_metadata(file: FileOf) -> Response:
    """The keys and values of a picture."""
    return answer(file.item.attributes)


@router.post("/{file_id}/user-metadata")
def add_metadata(file: FileOf, person: PersonOf, body: bodies.UserMetadata) -> Response:
    """Set keys of a picture; others stay. Values are kept as text. All that it has then is told."""
    return answer(set_pairs(file, read_pairs(body), person.name).attributes)


@router.delete("/{file_id}/user-metadata")
def delete_metadata(file: FileOf, person: PersonOf, body: Annotated[list[str], Body()]) -> Response:
    """Take keys of a picture away, by a list of them. Told are those that it had."""
    return answer(remove_keys(file, body, person.name))


@router.get("/{file_id}/user-metadata/{key:path}")
def read_metadata(file: FileOf, key: str) -> Response:
    """One key of a picture with its value."""
    if key not in file.item.attributes:
        raise NotFound(f"Could not find key {key[:100]!r} of {file.item.file_name!r}; GET .../user-metadata lists those it has")
    return answer({key: file.item.attributes[key]})


def read_pairs(given: bodies.UserMetadata) -> dict[str, str]:
    """Keys and values as text."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}


def set_pairs(file: File, pairs: Mapping[str, str], author: str) -> LabelledItem:
    """Give a picture these attributes; those that it has already make no edit."""
    return file.edit(author, lambda item: find_new(item, pairs))


def find_new(item: LabelledItem, pairs: Mapping[str, str]) -> list[SetAttribute]:
    """What changes a picture so that it has these attributes, too."""
    return [SetAttribute(key=key, value=value) for key, value in pairs.items() if item.attributes.get(key) != value]


def remove_keys(file: File, keys: Iterable[str], author: str) -> list[str]:
    """Take attributes of a picture away. Returns: those that it had."""
    wanted = list(dict.fromkeys(keys))
    removed: list[str] = []

    def remove(item: LabelledItem) -> list[SetAttribute]:
        removed[:] = [key for key in wanted if key in item.attributes]
        return [SetAttribute(key=key, value=None) for key in removed]

    file.edit(author, remove)
    return removed


def walk_files_with(dataset: Dataset, key: str) -> Iterable[File]:
    """The pictures that have a key."""
    for item in walk_items(dataset):
        if key in item.attributes:
            yield File(dataset, make_file_id(dataset.name, item.file_name, item.blob), item)


def count_keys(dataset: Dataset) -> Counter[str]:
    """How many pictures have each key."""
    return Counter(key for item in walk_items(dataset) for key in item.attributes)


def check_known(dataset: Dataset, key: str, counts: Mapping[str, int]) -> None:
    """Raises: NotFound for a key that no picture has."""
    if not counts.get(key):
        raise NotFound(f"Could not find key {key[:100]!r} in {dataset.name!r}: no picture has it; GET .../user-keys lists all")


def describe_key(dataset: Dataset, key: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """A key as it is answered."""
    return {"name": key, "dataset_id": make_dataset_id(dataset.name), "use_count": counts.get(key, 0)}
