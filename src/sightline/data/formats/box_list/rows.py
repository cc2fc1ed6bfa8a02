"""Text lists with a row a box, whoever wrote them: which column means what, and each row as a box.

Known shapes: a header that names a picture, a class and two corners (Roboflow's and TensorFlow's `filename,...,class,xmin,ymin,
xmax,ymax`, VoTT's, Open Images' `ImageID,Source,LabelName,...`), and RetinaNet's `path,x1,y1,x2,y2,class` without a header.
A row without a box is a picture with nothing on it.
"""

import csv
import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from sightline.core.annotations import BoxXyxy
from sightline.core.errors import UnreadableDataset
from sightline.data.formats.class_list.rows import (
    DELIMITERS,
    FILE_COLUMNS,
    NAME_COLUMNS,
    NUMBER_COLUMNS,
    SNIFFED_ROWS,
    SPLIT_COLUMNS,
    describe,
    find_column,
    split_lines,
)
from sightline.data.formats.picture_files import is_picture
from sightline.data.formats.text_files import find_encoding

CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("left", "top", "right", "bottom"),
)
OPEN_IMAGES_FILE, OPEN_IMAGES_CROWD = "imageid", "isgroupof"
ATTRIBUTES = {"isoccluded": "occluded", "istruncated": "truncated", "isdepiction": "depiction", "isinside": "inside",
              "occluded": "occluded", "truncated": "truncated", "difficult": "difficult"}  # fmt: skip
CONFIDENCES = ("confidence", "score")
BARE_COLUMNS = ("path", "x1", "y1", "x2", "y2", "class")  # of a list without a header
ONLY_CLASS = "object"


class BoxColumns(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of a list are to be read: indices of columns, None for those that it lacks.

    Attributes:
        delimiter: between cells.
        has_header: whether the first row names the columns.
        encoding: of the file.
        file, label, split: of the picture's name, the class and the split.
        corners: of x and y of the upper left and of the lower right corner.
        size: of the picture's width and height.
        confidence: of a prediction's confidence.
        crowd: of the mark of a box around many objects.
        attributes: by name, kept where the cell is 1 or true.
        is_share: coordinates are shares of the picture's size by definition.
    """

    delimiter: str
    has_header: bool
    encoding: str
    file: int
    corners: tuple[int, int, int, int]
    label: int | None = None
    split: int | None = None
    size: tuple[int, int] | None = None
    confidence: int | None = None
    crowd: int | None = None
    attributes: dict[str, int] = {}
    is_share: bool = False


class BoxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row; without a box its picture has nothing on it. A coordinate that is no number is NaN."""

    file: str
    label: str
    box: BoxXyxy | None
    split: str | None = None
    size: tuple[int, int] | None = None
    confidence: float | None = None
    is_crowd: bool = False
    attributes: dict[str, str] = {}


def find_box_columns(path: Path) -> BoxColumns:
    """Tell how a list is written from its first rows. Raises: UnreadableDataset when it is no list of boxes."""
    encoding = find_encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        lines = [line.rstrip("\r\n") for line in islice(file, SNIFFED_ROWS) if line.strip()]
    for delimiter in DELIMITERS:
        rows = list(split_lines(iter(lines), delimiter))
        if rows and len(rows[0]) > 4:
            columns = name_headed(rows[0], delimiter, encoding) or name_bare(rows, delimiter, encoding)
            if columns is not None:
                return columns
    wanted = "a picture's name, a class and xmin, ymin, xmax, ymax"
    raise UnreadableDataset(f"expected columns of {wanted} in {path.name}, got {describe(lines)}")


def name_headed(row: list[str], delimiter: str, encoding: str) -> BoxColumns | None:
    """What the columns mean by their header; None for one that names no picture or no corners."""
    header = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in row]
    file = find_column(header, (OPEN_IMAGES_FILE, *map(plain, FILE_COLUMNS)))
    corners = next((names for names in CORNERS if set(names) <= set(header)), None)
    if file is None or corners is None:
        return None
    is_open_images = header[file] == OPEN_IMAGES_FILE and "source" in header
    return BoxColumns(
        delimiter=delimiter,
        has_header=True,
        encoding=encoding,
        file=file,
        corners=tuple(header.index(name) for name in corners),  # type: ignore[arg-type]
        label=find_column(header, tuple(map(plain, (*NAME_COLUMNS, *NUMBER_COLUMNS)))),
        split=find_column(header, SPLIT_COLUMNS),
        size=(header.index("width"), header.index("height")) if {"width", "height"} <= set(header) else None,
        confidence=None if is_open_images else find_column(header, CONFIDENCES),  # of people's boxes there
        crowd=header.index(OPEN_IMAGES_CROWD) if OPEN_IMAGES_CROWD in header else None,
        attributes={ATTRIBUTES[name]: place for place, name in enumerate(header) if name in ATTRIBUTES},
        is_share=is_open_images,
    )


def plain(name: str) -> str:
    """A column's name without the marks between its words."""
    return name.replace("_", "")


def name_bare(rows: list[list[str]], delimiter: str, encoding: str) -> BoxColumns | None:
    """The columns of a list without a header, whose rows must all look like it."""
    for row in rows:
        if len(row) != len(BARE_COLUMNS) or not is_picture(row[0]):
            return None
        if any(row[1:]) and (not row[5] or any(math.isnan(read_number(cell)) for cell in row[1:5])):
            return None
    return BoxColumns(delimiter=delimiter, has_header=False, encoding=encoding, file=0, corners=(1, 2, 3, 4), label=5)


def read_number(cell: str) -> float:
    """A cell's number, NaN for one that holds none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def is_set(cell: str) -> bool:
    """Whether a mark is set: 1, or true as tables of Python write it."""
    return cell == "1" or cell.lower() == "true"


def read_box_rows(path: Path, columns: BoxColumns) -> Iterator[BoxRow]:
    """Every row of a list, as a stream. Raises: UnreadableDataset naming the row that has too few cells."""
    with path.open(encoding=columns.encoding, newline="") as file:
        rows = split_lines((line.replace("\0", "") for line in file), columns.delimiter)
        try:
            for place, cells in enumerate(rows, 1):
                if place > 1 or not columns.has_header:
                    yield read_box_row(cells, columns)
        except (IndexError, csv.Error):
            raise UnreadableDataset(f"row {place} of {path.name} is not like the others: {cells[:4]}; mend it") from None


def read_box_row(cells: list[str], columns: BoxColumns) -> BoxRow:
    """One row. Raises: IndexError for cells that are missing."""
    corners = [cells[place] for place in columns.corners]
    x0, y0, x1, y1 = map(read_number, corners)
    width = height = math.nan
    if columns.size is not None:
        width, height = (read_number(cells[place]) for place in columns.size)
    confidence = math.nan if columns.confidence is None else read_number(cells[columns.confidence])
    return BoxRow(
        file=cells[columns.file],
        label=ONLY_CLASS if columns.label is None else cells[columns.label],
        box=(x0, y0, x1, y1) if any(corners) else None,
        split=(cells[columns.split] or None) if columns.split is not None else None,
        size=(int(width), int(height)) if 1 <= width < math.inf and 1 <= height < math.inf else None,
        confidence=None if math.isnan(confidence) else confidence,
        is_crowd=columns.crowd is not None and is_set(cells[columns.crowd]),
        attributes={name: "1" for name, place in columns.attributes.items() if is_set(cells[place])},
    )
