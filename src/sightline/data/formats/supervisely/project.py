"""A Supervisely project's folder: what `meta.json` says, and the folders of its datasets, nested ones too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.picture_files import find_split, list_folder

META = "meta.json"
ANNOTATIONS, PICTURES, NESTED = "ann", "img", "datasets"
MAX_JSON_BYTES = 256 << 20
IMAGES = "images"
BEFORE_JSON = b"\xef\xbb\xbf"


class Dataset(msgspec.Struct, frozen=True):
    """One dataset: its folder, and its name behind those of the datasets around it; "" where it is the project's own folder."""

    folder: Path
    name: str

    @property
    def split(self) -> str | None:
        """The split whose name it has."""
        return find_split(self.name.rpartition("/")[2])

    def place(self, picture: str) -> str:
        """The name that one of its pictures has among those of the whole project."""
        return f"{self.name}/{picture}" if self.name else picture


class Meta(msgspec.Struct, frozen=True):
    """What a project says of itself.

    Attributes:
        categories: titles of the classes; where there are none, what tags of pictures can say.
        labels_by_tag: of a project without classes, tag -> its values -> category; None stands for the tag itself.
    """

    categories: dict[str, None]
    labels_by_tag: dict[str, dict[str | None, str]]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises: UnreadableDataset."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise UnreadableDataset(f"expected a JSON of at most {MAX_JSON_BYTES >> 20} MB, {path.name} is larger; is it one?")
    try:
        value = msgspec.json.decode(path.read_bytes().removeprefix(BEFORE_JSON))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error)[:120]
        raise UnreadableDataset(f"expected {path.name} to be JSON, cannot parse it ({reason}); mend or remove it") from error
    if not isinstance(value, dict):
        raise UnreadableDataset(f"expected an object in {path.name}, got {type(value).__name__}; mend or remove it")
    return value


def find_datasets(folder: Path, name: str = "") -> Iterator[Dataset]:
    """Every folder of `ann` and `img` in a project's folder, and in the folders `datasets` of its datasets.

    Args: name: of the dataset that `folder` is; "" for the project.
    """
    inside = list_folder(folder)[1]
    if {ANNOTATIONS, PICTURES} <= set(inside):
        yield Dataset(folder, name)
    elif not name:
        for child in inside:
            yield from find_datasets(folder / child, child)
    if NESTED in inside and name:
        for child in list_folder(folder / NESTED)[1]:
            nested = folder / NESTED / child
            if not folder.resolve().is_relative_to(nested.resolve()):  # a link back up would go on for ever
                yield from find_datasets(nested, f"{name}/{child}")


def read_meta(path: Path, report: ConversionReport) -> Meta:
    """Classes and tags. Raises: UnreadableDataset for another project than one of pictures."""
    facts = read_json(path)
    kind = facts.get("projectType") or IMAGES
    if kind != IMAGES:
        raise UnreadableDataset(
            f"expected a Supervisely project of images, {path.name} says {str(kind)[:40]!r}; export its frames as images"
        )
    categories: dict[str, None] = {}
    for record in _list_records(facts, "classes"):
        given = record.get("title")
        name = clean_name(given) if isinstance(given, str) else ""
        if not name:
            report.drop("category", "class without a title", str(record)[:80])
            continue
        if name in categories:
            report.change("category", "two classes have one title and become one category", name)
        if name != given:
            report.change(
                "category", "name with line breaks, spaces at its ends or no Unicode, cleaned", f"{given!r} -> {name!r}"
            )
        categories[name] = None
    labels_by_tag = {} if categories else dict(_list_labels(facts))
    for labels in labels_by_tag.values():
        categories.update(dict.fromkeys(labels.values()))
    return Meta(categories, labels_by_tag)


def _list_labels(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str | None, str]]]:
    """Tags whose values are known beforehand: none, or one of a list. Names of splits say where a picture belongs."""
    for record in _list_records(facts, "tags"):
        given, values = record.get("name"), record.get("values")
        if not isinstance(given, str) or not (name := clean_name(given)) or find_split(name):
            continue
        if record.get("value_type") == "none":
            yield given, {None: name}
        elif record.get("value_type") == "oneof_string" and isinstance(values, list):
            yield (
                given,
                {value: f"{name}: {clean_name(value)}" for value in values if isinstance(value, str) and clean_name(value)},
            )


def _list_records(facts: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = facts.get(key)
    return [record for record in listed if isinstance(record, dict)] if isinstance(listed, list) else []
