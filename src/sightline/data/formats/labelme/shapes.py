"""From LabelMe's shapes to annotations: what each kind of shape outlines, and which shapes are parts of one object.

Some facts stand in keys of our own, which the tool keeps as it keeps all that it does not know: `score`, `origin`,
`attributes` and `is_crowd`. `score`, `attributes` and `difficult` are X-AnyLabeling's, too.
"""

import base64
import binascii
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle, Ring
from sightline.core.errors import SightlineError
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.ellipses import ERROR_PX, outline_ellipse
from sightline.data.formats.labelme.layout import NO_CATEGORIES
from sightline.imaging.files.reading import decode_label_map, find_pixel_limit
from sightline.imaging.masks import draw_annotation, encode_mask

# Kinds whose points go around an object. The last two are rectangles that are turned, LabelMe's and X-AnyLabeling's.
OUTLINES = ("polygon", "oriented_rectangle", "rotation")
KINDS = (*OUTLINES, "rectangle", "circle", "mask")
OTHER_KINDS = ("point", "points", "line", "linestrip", "cuboid")
GROUP = "group_id"

FindSize = Callable[[], tuple[int, int] | None]


class ShapeHead(msgspec.Struct):
    """What says of which category a shape is, if of any."""

    label: str | int = ""
    shape_type: str | None = None

    @property
    def kind(self) -> str:
        """Which figure it is: old files do not say that of polygons."""
        return self.shape_type or "polygon"

    @property
    def category(self) -> str | None:
        """Its category; None for one that outlines no object."""
        name = clean_name(str(self.label))
        return name if name and name not in NO_CATEGORIES and self.kind in KINDS else None


class Shape(ShapeHead):
    """A whole shape. What is not needed to draw it may be anything."""

    points: list[tuple[float, float]] = []
    mask: str | None = None
    group_id: Any = None
    flags: Any = None
    description: Any = None
    score: Any = None
    origin: Any = None
    attributes: Any = None
    difficult: Any = None
    kie_linking: Any = None
    is_crowd: Any = None


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    """Carries the reason why a shape is dropped."""


def find_categories(shapes: Sequence[msgspec.Raw]) -> Iterator[str]:
    """The categories of the shapes that outline objects."""
    decode = msgspec.json.Decoder(ShapeHead).decode
    for raw in shapes:
        try:
            category = decode(raw).category
        except (msgspec.DecodeError, RecursionError):
            continue
        if category is not None:
            yield category


def find_flags(flags: Any) -> list[str]:
    """The classes of a whole picture: its flags that are set."""
    names = [clean_name(str(key)) for key, is_set in flags.items() if is_set is True] if isinstance(flags, Mapping) else []
    return [name for name in names if name and name not in NO_CATEGORIES]


def parse_flags(flags: Any, report: ConversionReport, where: str) -> list[Annotation]:
    """The labels of a whole picture; told are flags that are set and mean no class."""
    for name in NO_CATEGORIES:
        if isinstance(flags, Mapping) and flags.get(name) is True:
            report.drop("annotation", "flag that asks to ignore a picture or says that it is background", f"{where}: {name}")
    return [Annotation(category=name) for name in find_flags(flags)]


def parse_shapes(
    shapes: Sequence[msgspec.Raw], find_size: FindSize, is_checked: bool, report: ConversionReport, where: str
) -> list[Annotation]:
    """The annotations that shapes stand for, in their order, a group where its first shape is.

    Args:
        find_size: `(width, height)` of the upright picture, asked only when there are masks; None when it cannot be read.
        is_checked: a person said of the whole picture that it is done: a model's shapes are that person's then.
        report: gets one entry per drop and change.
        where: name of the picture, for the examples.
    """
    decode = msgspec.json.Decoder(Shape).decode
    parsed: list[tuple[str | None, Annotation]] = []
    for raw in shapes:
        try:
            shape = decode(raw)
        except (msgspec.DecodeError, RecursionError):
            report.drop("annotation", "shape that is not as LabelMe writes it", where)
            continue
        try:
            annotation = _parse_shape(shape, find_size, report, where)
        except _Unusable as error:
            report.drop("annotation", str(error), f"{where}: {clean_name(str(shape.label))[:40]}")
            continue
        if is_checked:
            annotation = replace(annotation, confidence=None, origin="human")
        parsed.append((_read_group(shape.group_id), annotation))
    return _join_groups(parsed, find_size, report, where)


def _parse_shape(shape: Shape, find_size: FindSize, report: ConversionReport, where: str) -> Annotation:
    """One shape as an annotation of its own. Raises: _Unusable."""
    if shape.kind not in KINDS:
        kind = f"the kind {shape.kind!r}" if shape.kind in OTHER_KINDS else "an unknown kind"
        raise _Unusable(f"shape of {kind} is not kept")
    if shape.category is None:
        raise _Unusable("shape without a label" if not shape.label else "region to ignore or of background, by its label")
    box: BoxXyxy | None = None
    polygons: tuple[Ring, ...] | None = None
    mask: MaskRle | None = None
    if shape.kind == "rectangle":
        box = _bound(shape.points)
    elif shape.kind == "mask":
        mask = _read_mask(shape, find_size)
    elif shape.kind == "circle":
        polygons = (_draw_circle(shape.points),)
        report.change("annotation", f"circle drawn as a polygon that is at most {ERROR_PX} px off", where)
    else:
        polygons = (tuple(value for point in shape.points for value in point),)
    if isinstance(shape.kie_linking, list) and shape.kie_linking:
        report.drop("attribute", "links between shapes are not kept", where)
    is_scored = isinstance(shape.score, int | float) and not isinstance(shape.score, bool)
    is_model = shape.origin == "model" or (is_scored and shape.origin != "human")
    return Annotation(
        category=shape.category,
        box_xyxy=box,
        polygons=polygons,
        mask=mask,
        confidence=float(shape.score) if is_scored else None,
        origin="model" if is_model else "human",
        is_crowd=shape.is_crowd is True,
        attributes=_read_attributes(shape),
    )


def _bound(points: Sequence[tuple[float, float]]) -> BoxXyxy:
    """The box around two corners, or X-AnyLabeling's four."""
    if len(points) < 2:
        raise _Unusable("rectangle without two corners")
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _draw_circle(points: Sequence[tuple[float, float]]) -> Ring:
    """A circle, given by its centre and a point on it."""
    if len(points) != 2:
        raise _Unusable("circle without a centre and a point on it")
    centre, on_it = points
    radius = math.hypot(on_it[0] - centre[0], on_it[1] - centre[1])
    return outline_ellipse(centre, (radius, radius))


def _read_mask(shape: Shape, find_size: FindSize) -> MaskRle:
    """A mask as large as the picture from the piece that the shape holds, whose top left pixel is the first point's.

    The second point is not needed: it is the piece's last pixel in most files, and one further in some.
    """
    size = find_size()
    if size is None or size[0] * size[1] > find_pixel_limit():
        raise _Unusable("mask in a picture that cannot be read")
    if not shape.points or not all(map(math.isfinite, shape.points[0])):
        raise _Unusable("mask without its place")
    try:
        piece = decode_label_map(base64.b64decode(shape.mask or "")) != 0
    except (binascii.Error, ValueError, SightlineError):
        raise _Unusable("mask that cannot be decoded") from None
    left, top = (round(value) for value in shape.points[0])
    height, width = piece.shape
    pixels = np.zeros((size[1], size[0]), bool)
    columns, rows = slice(max(left, 0), max(left + width, 0)), slice(max(top, 0), max(top + height, 0))
    target = pixels[rows, columns]
    target[:] = piece[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    return encode_mask(pixels)


def _read_group(value: Any) -> str | None:
    """A `group_id` as text; None for none and for what cannot be one."""
    is_group = isinstance(value, int | str) and not isinstance(value, bool)
    return str(value).strip() or None if is_group else None


def _read_attributes(shape: Shape) -> dict[str, str]:
    """Flags that are set, the description, and what other tools say of a shape, as text."""
    attributes: dict[str, str] = {}
    if isinstance(shape.attributes, Mapping):
        attributes = {str(name): _write_value(value) for name, value in shape.attributes.items()}
    if isinstance(shape.flags, Mapping):
        attributes |= {str(name): "true" for name, is_set in shape.flags.items() if is_set is True}
    if shape.difficult is True:
        attributes["difficult"] = "true"
    if isinstance(shape.description, str) and shape.description:
        attributes["description"] = shape.description
    return attributes


def _write_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _join_groups(
    parsed: Sequence[tuple[str | None, Annotation]], find_size: FindSize, report: ConversionReport, where: str
) -> list[Annotation]:
    """Shapes of one category and group become one annotation.

    The group stays as an attribute where it says more than that: for a shape alone, and for shapes of several categories.
    """
    parts: dict[tuple[str, str] | int, list[Annotation]] = defaultdict(list)
    for number, (group, annotation) in enumerate(parsed):
        parts[number if group is None else (group, annotation.category)].append(annotation)
    shared = Counter(key[0] for key in parts if isinstance(key, tuple))
    joined = []
    for key, members in parts.items():
        annotation = members[0] if len(members) == 1 else _join(members, find_size, report, where)
        if isinstance(key, tuple) and (len(members) == 1 or shared[key[0]] > 1):
            annotation = replace(annotation, attributes={GROUP: key[0], **annotation.attributes})
        joined.append(annotation)
    return joined


def _join(members: Sequence[Annotation], find_size: FindSize, report: ConversionReport, where: str) -> Annotation:
    """One annotation of several parts: polygons, or a mask when one of them is."""
    first = members[0]
    facts = {(one.confidence, one.origin, one.is_crowd, *sorted(one.attributes.items())) for one in members}
    if len(facts) > 1:
        report.change("annotation", "parts of one group say different things; what the first says is kept", where)
    if any(member.mask is not None for member in members):
        size = find_size()
        assert size is not None  # a mask has been read
        pixels = np.zeros((size[1], size[0]), bool)
        for member in members:
            if member.mask is not None or all(map(_is_drawable, _list_rings(member))):
                pixels |= draw_annotation(member, size[1], size[0])
        return replace(first, box_xyxy=None, polygons=None, mask=encode_mask(pixels))
    return replace(first, box_xyxy=None, polygons=tuple(ring for member in members for ring in _list_rings(member)))


def _is_drawable(ring: Ring) -> bool:
    return len(ring) >= 6 and all(map(math.isfinite, ring))


def _list_rings(part: Annotation) -> tuple[Ring, ...]:
    """The outline of a polygon or box."""
    if part.polygons is not None:
        return part.polygons
    if part.box_xyxy is None:
        return ()
    x0, y0, x1, y1 = part.box_xyxy
    return ((x0, y0, x1, y0, x1, y1, x0, y1),)
