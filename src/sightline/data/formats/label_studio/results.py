"""Results of an annotation, in percent of the picture, as annotations in pixels.

Results that share an id are about one region: its shape with its label, or the shape and the label apart (`<Rectangle>` beside
`<Labels>`), and what was chosen or written of it, which becomes its attributes.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle, Ring
from sightline.core.errors import InvalidInput
from sightline.data.conversion import ConversionReport, clean_name, replace_surrogates
from sightline.data.formats.label_studio.brush import decode_brush
from sightline.data.formats.label_studio.tasks import Task
from sightline.imaging.files.reading import find_pixel_limit
from sightline.imaging.masks import encode_mask

ELLIPSE_POINTS = 64
SHAPES = frozenset({"rectangle", "polygon", "ellipse", "brush"})
LONGEST_KIND = 40
PLACES = ("height", "points", "radiusX", "rle")
SHAPE_KINDS = SHAPES | {f"{shape}labels" for shape in SHAPES} | {"labels"}
FACTS = {"choices": "choices", "textarea": "text", "rating": "rating", "number": "number", "datetime": "datetime"}
ELLIPSE = f"ellipse, kept as a polygon of {ELLIPSE_POINTS} points"
UNDECODED = "brush that cannot be decoded"
NOT_PAIRS = "polygon whose points are no pairs of numbers"

Size = tuple[int, int]


class Region(msgspec.Struct):
    """The results that share an id. Two of one kind are two regions all the same: programs give all of them one id."""

    shape: dict[str, Any]
    kinds: list[str] = []
    labels: list[str] = []
    facts: list[dict[str, Any]] = []


def gather_regions(results: Sequence[dict[str, Any]]) -> tuple[dict[Any, Region], list[dict[str, Any]]]:
    """Regions by their id (or place, where they have none), and the results that are about no region."""
    regions: dict[Any, Region] = {}
    others: list[tuple[int, dict[str, Any]]] = []
    for place, result in enumerate(results):
        kind, value = find_kind(result), result.get("value")
        if kind not in SHAPE_KINDS or not isinstance(value, dict) or not is_shape(value):
            others.append((place, result))
            continue
        identity = _identify(result, place)
        if identity in regions and kind in regions[identity].kinds:
            identity = place
        region = regions.setdefault(identity, Region(result))
        region.kinds.append(kind)
        region.labels = list(dict.fromkeys([*region.labels, *list_labels(value.get(kind))]))
    of_none = []
    for place, result in others:
        region_of_it = regions.get(_identify(result, place))
        if find_kind(result) in FACTS and region_of_it is not None and isinstance(result.get("value"), dict):
            region_of_it.facts.append(result)
        else:
            of_none.append(result)
    return regions, of_none


def find_kind(result: dict[str, Any]) -> str:
    """What a result says that it is, if that is a word."""
    kind = str(result.get("type"))
    return kind if kind.isalnum() and len(kind) <= LONGEST_KIND else "result of no known kind"


def is_shape(value: dict[str, Any]) -> bool:
    """Whether a value holds a place in a picture; labels of texts, sounds and key points do not."""
    return any(key in value for key in PLACES) or ("x" in value and "labels" not in value)


def is_object(result: dict[str, Any]) -> bool:
    """Whether a result says that something is there: no remark on a picture, and no relation."""
    return find_kind(result) not in FACTS and find_kind(result) != "relation"


def list_labels(labels: Any) -> list[str]:
    """Names of labels or choices, cleaned; none where there is no list of texts."""
    names = labels if isinstance(labels, list) else [labels]
    cleaned = (clean_name(str(name)) for name in names if isinstance(name, str | int) and not isinstance(name, bool))
    return [name for name in cleaned if name]


def list_categories(task: Task) -> Iterator[str]:
    """Names of all labels and classes of a task."""
    regions, others = gather_regions(task.results)
    for region in regions.values():
        yield from region.labels
    for result in others:
        if find_kind(result) == "choices" and isinstance(result.get("value"), dict):
            yield from list_labels(result["value"].get("choices"))


def find_size(results: Sequence[dict[str, Any]]) -> Size | None:
    """The size `(width, height)` that the results say their picture had."""
    for result in results:
        sides = [result.get(name) for name in ("original_width", "original_height")]
        if all(isinstance(side, int | float) and not isinstance(side, bool) and 1 <= side < 1 << 31 for side in sides):
            return int(sides[0] or 0), int(sides[1] or 0)
    return None


class ResultReader:
    """Makes annotations of the results of one picture; what is lost is told.

    Args:
        task: whose results they are.
        size: `(width, height)` of the picture that the percentages are of, pixels.
        where: name of the picture, for examples.
    """

    def __init__(self, task: Task, size: Size, report: ConversionReport, where: str) -> None:
        self._task, self._size, self._report, self._where = task, size, report, where

    def read(self, results: Sequence[dict[str, Any]]) -> list[Annotation]:
        """The annotations, parts of one object joined, regions before the classes of the whole picture."""
        regions, others = gather_regions(results)
        found: dict[Any, list[Annotation]] = {}
        for identity, region in regions.items():
            made = self._read_region(region)
            whole = _find_whole(region, identity)
            joined = _join(found.get(whole, []), made)
            if joined is not None:
                found[whole] = joined
                continue
            found[identity] = made
            if isinstance(region.shape.get("parentID"), str):
                self._report.drop("attribute", "which region a region belongs to is not kept", self._where)
        annotations = [annotation for each in found.values() for annotation in each]
        for result in others:
            annotations += self._read_classes(result)
        return annotations

    def _read_classes(self, result: dict[str, Any]) -> list[Annotation]:
        """Classes of the whole picture; anything else is told."""
        kind, value = find_kind(result), result.get("value")
        if kind == "relation":
            self._report.drop("attribute", "relations are not kept", self._where)
            return []
        if kind != "choices" or not isinstance(value, dict) or is_shape(value):
            reason = "choice of a region that is not there" if kind == "choices" else f"{kind} is not kept"
            self._report.drop("annotation", reason, self._where)
            return []
        names = list_labels(value.get("choices"))
        if not names:
            self._report.drop("annotation", "choice that names no class", self._where)
        return [self._make(result, name, None, None, None, {}) for name in names]

    def _read_region(self, region: Region) -> list[Annotation]:
        result = region.shape
        if not region.labels:
            self._report.drop("annotation", "region without a label", self._where)
            return []
        if isinstance(result.get("meta"), dict) and result["meta"].get("text"):
            self._report.drop("attribute", "notes on regions are not kept", self._where)
        box: BoxXyxy | None = None
        polygons: tuple[Ring, ...] | None = None
        mask: MaskRle | None = None
        value = result["value"]
        try:
            if "rle" in value:
                mask = self._read_brush(value["rle"], find_size([result]) or self._size)
            elif "points" in value:
                polygons = (self._read_points(value["points"]),)
            elif "radiusX" in value:
                polygons = (self._read_ellipse(value),)
            else:
                box, polygons = self._read_rectangle(value)
        except InvalidInput as error:
            self._report.drop("annotation", str(error).partition(",")[0], f"{self._where}: {region.labels[0]}")
            return []
        if len(region.labels) > 1:
            self._report.change("annotation", "region with several labels becomes one annotation each", self._where)
        attributes = dict(map(_read_fact, region.facts))
        return [self._make(result, name, box, polygons, mask, attributes) for name in region.labels]

    def _make(
        self,
        result: dict[str, Any],
        name: str,
        box: BoxXyxy | None,
        polygons: tuple[Ring, ...] | None,
        mask: MaskRle | None,
        attributes: dict[str, str],
    ) -> Annotation:
        is_model = self._task.viewer == "model"
        score = self._task.score if result.get("score") is None else result["score"]
        confidence = None if score is None or not is_model else read_number(score)
        if confidence is not None and not 0 <= confidence <= 1:
            self._report.drop("attribute", "score that is not 0 to 1", self._where)
            confidence = None
        return Annotation(
            category=name,
            box_xyxy=box,
            polygons=polygons,
            mask=mask,
            confidence=confidence,
            origin="model" if is_model else "human",
            attributes=attributes,
        )

    def _scale(self, x: float, y: float) -> tuple[float, float]:
        return x / 100 * self._size[0], y / 100 * self._size[1]

    def _read_rectangle(self, value: dict[str, Any]) -> tuple[BoxXyxy | None, tuple[Ring, ...] | None]:
        """A box, or the corners of a tilted one: it is turned about its first corner, clockwise, in pixels."""
        x, y = self._scale(read_number(value.get("x")), read_number(value.get("y")))
        width, height = self._scale(read_number(value.get("width")), read_number(value.get("height")))
        angle = read_number(value.get("rotation") or 0)
        if not angle % 360:
            return (x, y, x + width, y + height), None
        corners = [_turn(right, down, angle) for right, down in ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))]
        ring = tuple(number for right, down in corners for number in (x + right, y + down))
        if not angle % 90:
            return (min(ring[::2]), min(ring[1::2]), max(ring[::2]), max(ring[1::2])), None
        self._report.change("annotation", "rotated box, kept as the polygon of its four corners", self._where)
        return None, (ring,)

    def _read_ellipse(self, value: dict[str, Any]) -> Ring:
        x, y = self._scale(read_number(value.get("x")), read_number(value.get("y")))
        across, down = self._scale(read_number(value.get("radiusX")), read_number(value.get("radiusY")))
        angle = read_number(value.get("rotation") or 0)
        turns = (2 * math.pi * step / ELLIPSE_POINTS for step in range(ELLIPSE_POINTS))
        points = [_turn(across * math.cos(turn), down * math.sin(turn), angle) for turn in turns]
        self._report.change("annotation", ELLIPSE, self._where)
        return tuple(number for right, below in points for number in (x + right, y + below))

    def _read_points(self, points: Any) -> Ring:
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise InvalidInput(NOT_PAIRS)
        return tuple(number for x, y in points for number in self._scale(read_number(x), read_number(y)))

    def _read_brush(self, rle: Any, size: Size) -> MaskRle:
        if size not in (self._size, self._size[::-1]):
            raise InvalidInput("mask of another size than its picture")
        if size[0] * size[1] > find_pixel_limit():
            raise InvalidInput("mask with more pixels than the limit")
        if not isinstance(rle, list):
            raise InvalidInput(UNDECODED)
        try:
            return encode_mask(decode_brush(bytes(rle), *size))
        except (TypeError, ValueError, InvalidInput):
            raise InvalidInput(UNDECODED) from None


def read_number(value: Any) -> float:
    """A number of a JSON; NaN for anything else, which makes its region useless."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def _turn(right: float, down: float, angle: float) -> tuple[float, float]:
    """A point turned clockwise about (0, 0) by an angle in degrees."""
    if not math.isfinite(angle):
        return math.nan, math.nan
    if not angle % 90:  # exactly
        for _ in range(int(angle % 360) // 90):
            right, down = -down, right
        return right, down
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return right * cosine - down * sine, right * sine + down * cosine


def _identify(result: dict[str, Any], place: int) -> Any:
    identity = result.get("id")
    return identity if isinstance(identity, str) else place


def _find_whole(region: Region, identity: Any) -> Any:
    """The id of the region that this one is a further part of, as we write parts: its parent's id with a number."""
    parent = region.shape.get("parentID")
    is_part = isinstance(parent, str) and isinstance(identity, str) and identity.startswith(f"{parent}.")
    return parent if is_part and identity[len(str(parent)) + 1 :].isdecimal() else None


def _join(whole: list[Annotation], parts: list[Annotation]) -> list[Annotation] | None:
    """The polygons of one object together; None where they are no polygons of the same label."""
    if len(whole) != 1 or len(parts) != 1 or whole[0].category != parts[0].category:
        return None
    first, second = whole[0].polygons, parts[0].polygons
    return None if first is None or second is None else [msgspec.structs.replace(whole[0], polygons=(*first, *second))]


def _read_fact(result: dict[str, Any]) -> tuple[str, str]:
    """What was chosen or written of a region: the control's name, and the value as text."""
    value = result["value"].get(FACTS[result["type"]])
    values = value if isinstance(value, list) else [value]
    return replace_surrogates(str(result.get("from_name"))), replace_surrogates("\n".join(str(one) for one in values))
