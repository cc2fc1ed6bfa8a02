"""The categories of a Datumaro JSON: labels by their place in the list, without the points of skeletons."""

from typing import Any

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport, clean_name

LabelTable = dict[int, str]


def read_labels(categories: Any, where: str, report: ConversionReport) -> LabelTable:
    """Label id -> category.

    Args:
        categories: the value of "categories".
        where: the file, for messages.
        report: is told of parents and of what cannot be a category.

    Raises: UnreadableDataset when there is no list of labels where one belongs.
    """
    listed = _get_list(categories, "label", "labels", where)
    points = _list_skeleton_points(categories, listed, where)
    table: LabelTable = {}
    for label_id, record in enumerate(listed):
        given, parent = (record.get("name"), record.get("parent")) if isinstance(record, dict) else (record, None)
        if (parent, given) in points:
            report.drop("category", "point of a skeleton is no category", f"{given} of {parent}")
            continue
        name = clean_name(str(given)) if isinstance(given, str | int) else ""
        if not name:
            report.drop("category", "label without a name", f"{where}: {str(record)[:80]}")
            continue
        if name in table.values():
            report.change("category", "two labels have one name and become one category", name)
        if name != str(given):
            report.change(
                "category", "name with line breaks, spaces at its ends or no Unicode, cleaned", f"{given!r} -> {name!r}"
            )
        if parent:
            report.warn("category", "parents of labels are not kept", f"{name} of {str(parent)[:40]}")
        table[label_id] = name
    return table


def _get_list(categories: Any, kind: str, key: str, where: str) -> list[Any]:
    """`categories[kind][key]`; empty when the kind is not there."""
    if not isinstance(categories, dict):
        raise UnreadableDataset(
            f'expected an object of "label", "mask" and "points" under "categories" of {where}, '
            f"got {type(categories).__name__}; is it of another format?"
        )
    described = categories.get(kind)
    listed = described.get(key, []) if isinstance(described, dict) else []
    if not isinstance(listed, list):
        raise UnreadableDataset(
            f'expected a list under "{key}" of the {kind} categories of {where}, got {type(listed).__name__}; mend the file'
        )
    return listed


def _list_skeleton_points(categories: Any, labels: list[Any], where: str) -> set[tuple[str, str]]:
    """(skeleton, point) of each label that is but a point of another one."""
    points: set[tuple[str, str]] = set()
    for record in _get_list(categories, "points", "items", where):
        label_id, names = (record.get("label_id"), record.get("labels")) if isinstance(record, dict) else (None, None)
        if not isinstance(label_id, int) or not 0 <= label_id < len(labels) or not isinstance(names, list):
            continue
        skeleton = labels[label_id].get("name") if isinstance(labels[label_id], dict) else None
        points.update((skeleton, name) for name in names if isinstance(skeleton, str) and isinstance(name, str))
    return points
