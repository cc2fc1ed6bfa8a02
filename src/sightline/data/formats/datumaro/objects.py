"""Which pieces of a picture are one object, read and written.

Pieces of one `group` other than 0 belong together. Those of one category in it are one object: the parts of its outline, its
box, its mask, its label. COCO's objects come so in Datumaro, a polygon a part. Several boxes, or several masks, are an object
each: people group those in CVAT. What then shares a group keeps its number as the attribute `group`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.datumaro.labels import LabelTable
from sightline.data.formats.datumaro.pieces import Piece, Shape, read_piece

GROUP = "group"
LONGEST_NUMBER = 9  # digits of a group


def read_objects(
    records: list[Any], labels: LabelTable, size: tuple[int, int] | None, report: ConversionReport, where: str
) -> tuple[Annotation, ...]:
    """The annotations of a picture, what lies on top last.

    Args:
        records: the value of "annotations".
        labels: category of each label id.
        size: `(width, height)` that the picture is said to have.
        report: is told of what is not kept.
        where: the picture.
    """
    read = (read_piece(record, labels, size, report, where) for record in records)
    pieces = _name_pieces([piece for piece in read if piece is not None])
    named = [piece for piece in pieces if piece.category is not None]
    if len(named) < len(pieces):
        report.drop("annotation", "annotation without a label", where, count=len(pieces) - len(named))
    objects = _join_pieces(named)
    objects.sort(key=lambda parts: max(piece.z_order for piece in parts))  # stable: equals stay in the file's order
    shared = Counter(parts[0].group for parts in objects if parts[0].group)
    return tuple(_make_annotation(parts, is_shared=shared[parts[0].group] > 1) for parts in objects)


def _name_pieces(pieces: list[Piece]) -> list[Piece]:
    """The pieces; those without a category have that of their group, where it has but one."""
    names: dict[int, set[str]] = {}
    for piece in pieces:
        if piece.group and piece.category is not None:
            names.setdefault(piece.group, set()).add(piece.category)
    return [
        replace(piece, category=next(iter(names[piece.group])))
        if piece.category is None and len(names.get(piece.group, ())) == 1
        else piece
        for piece in pieces
    ]


def _join_pieces(pieces: list[Piece]) -> list[list[Piece]]:
    """The pieces of each object, in the order of their first ones."""
    together: dict[tuple[int, str | int | None], list[Piece]] = {}
    for number, piece in enumerate(pieces):
        together.setdefault((piece.group, piece.category if piece.group else number), []).append(piece)
    places = {id(piece): number for number, piece in enumerate(pieces)}
    objects = [parts for group in together.values() for parts in _part_objects(group)]
    return sorted(objects, key=lambda parts: places[id(parts[0])])


def _part_objects(pieces: list[Piece]) -> list[list[Piece]]:
    """The objects that pieces of one group and category are."""
    boxes = [piece for piece in pieces if piece.shape.box is not None]
    rings = [piece for piece in pieces if piece.shape.ring is not None]
    masks = [piece for piece in pieces if piece.shape.mask is not None]
    labels = [piece for piece in pieces if piece.shape == Shape()]
    if len(boxes) <= 1 and len(masks) <= 1:
        return [pieces] if boxes or rings or masks else [[label] for label in labels]
    return [*([rings] if rings else []), *([piece] for piece in (*boxes, *masks, *labels))]


def _make_annotation(parts: Sequence[Piece], is_shared: bool) -> Annotation:
    """One object. Args: is_shared: others have its group, whose number is then kept."""
    attributes: dict[str, str] = {GROUP: str(parts[0].group)} if is_shared else {}
    for piece in parts:
        attributes = {**attributes, **piece.attributes}
    confidence = next((piece.confidence for piece in parts if piece.confidence is not None), None)
    origin = next((piece.origin for piece in parts if piece.origin is not None), None)
    return Annotation(
        category=parts[0].category or "",
        box_xyxy=next((piece.shape.box for piece in parts if piece.shape.box is not None), None),
        polygons=tuple(piece.shape.ring for piece in parts if piece.shape.ring is not None) or None,
        mask=next((piece.shape.mask for piece in parts if piece.shape.mask is not None), None),
        confidence=confidence,
        origin=origin or ("human" if confidence is None else "model"),
        is_crowd=any(piece.is_crowd for piece in parts),
        attributes=attributes,
    )


def find_shared_groups(annotations: Sequence[Annotation]) -> list[int]:
    """The number of the group that each annotation of a picture is written with for its attribute `group`; 0 for none.

    A group is one only where reading finds the same objects in it: several, and of a category one, or boxes alone.
    """
    numbers = [_read_group(annotation.attributes.get(GROUP, "")) for annotation in annotations]
    members: dict[int, dict[str, list[Annotation]]] = {}
    for number, annotation in zip(numbers, annotations, strict=True):
        members.setdefault(number, {}).setdefault(annotation.category, []).append(annotation)
    shared = {number for number, by_category in members.items() if number and _is_read_back(by_category)}
    return [number if number in shared else 0 for number in numbers]


def _read_group(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER and not text.startswith("0")
    return int(text) if is_number else 0


def _is_read_back(by_category: dict[str, list[Annotation]]) -> bool:
    several = sum(map(len, by_category.values())) > 1
    return several and all(
        len(same) == 1 or all(annotation.geometry == "box" for annotation in same) for same in by_category.values()
    )
