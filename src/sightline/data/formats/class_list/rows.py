"""Text lists of pictures and labels, whoever wrote them: find the delimiter, the header and what each column means.

Known shapes: `path,label` with or without a header, `file label` parted by spaces, a class number with names elsewhere, several
labels in one cell (`cat;dog`) or a row for each, and a column of 0 and 1 a class.
"""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
from msgspec.structs import replace

from sightline.core.errors import UnreadableDataset
from sightline.data.formats.picture_files import is_picture
from sightline.data.formats.text_files import UTF_8, find_encoding

DELIMITERS = (",", "\t", ";", "|")
SEPARATORS = (";", "|")  # between several labels of one cell
QUOTED = re.compile(r'"(?:[^"]|"")*"')  # a whole label in quotes, as `join_labels` writes one that holds a quote
SNIFFED_ROWS = 50
FILE_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "img", "image_path", "image_name",
                "image_id", "id", "picture", "photo")  # fmt: skip
NAME_COLUMNS = ("label", "labels", "class", "classes", "category", "categories", "class_name", "category_name", "label_name",
                "name", "tag", "tags", "target", "species", "breed", "choice")  # fmt: skip
NUMBER_COLUMNS = ("class_index", "class_id", "label_index", "label_id", "category_id", "class_number")
INDEX_COLUMNS = ("index",)  # of classes, or of rows (the reset_index of pandas)
SPLIT_COLUMNS = ("split", "subset", "set", "phase", "partition")
GEOMETRY_COLUMNS = frozenset({"xmin", "ymin", "xmax", "ymax", "x_min", "bbox", "x1", "y1", "width", "height", "segmentation"})
csv.field_size_limit(1 << 20)


class ListColumns(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of a list are to be read.

    Attributes:
        delimiter: between cells; " " stands for any white space.
        has_header: whether the first row names the columns.
        file: index of the column of pictures.
        label: index of the column of class names (or numbers, where there is nothing else), or None.
        number: index of the column of class numbers beside the names, or None.
        is_index: whether that column may as well number the rows.
        split: index of the column of splits, or None.
        extra: index of a further column that tells equal names apart (a WordNet id), or None.
        hot: category name by index of its 0/1 column; empty for the other shapes.
        encoding: of the file.
    """

    delimiter: str
    has_header: bool
    file: int
    label: int | None = None
    number: int | None = None
    is_index: bool = False
    split: int | None = None
    extra: int | None = None
    hot: dict[int, str] = {}
    encoding: str = UTF_8


class ListRow(msgspec.Struct, frozen=True):
    """One picture of a list: labels are names, or numbers as text."""

    file: str
    labels: tuple[str, ...]
    number: int | None = None
    split: str | None = None
    extra: str | None = None


def find_columns(path: Path) -> ListColumns:
    """Tell how a list is written from its first rows. Raises: UnreadableDataset when it is no list of pictures and labels."""
    encoding = find_encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        lines = [line.rstrip("\r\n") for line in islice(file, SNIFFED_ROWS) if line.strip()]
    for delimiter in (*DELIMITERS, " "):
        rows = list(split_lines(iter(lines), delimiter))
        if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            columns = name_columns(rows, delimiter)
            if columns is not None:
                return replace(columns, encoding=encoding)
    raise UnreadableDataset(f"expected rows of a picture's file name and a label in {path.name}, got {describe(lines)}")


def describe(lines: list[str]) -> str:
    """The first row, short."""
    return repr(lines[0][:60]) if lines else "an empty file"


def split_lines(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """Cells of each row. With spaces, the last word is the label and all before it the file's name."""
    if delimiter == " ":
        for line in lines:
            if line.strip():
                yield line.strip().rsplit(maxsplit=1)
    else:
        for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
            if row:
                yield [cell.strip() for cell in row]


def name_columns(rows: list[list[str]], delimiter: str) -> ListColumns | None:
    """What the columns mean, by the header or, without one, by what the cells look like; None when they make no sense."""
    header = [cell.lower() for cell in rows[0]]
    file = find_column(header, FILE_COLUMNS)
    if file is not None and not any(is_picture(cell) for cell in rows[0]):
        return name_headed_columns(header, rows, delimiter, file)
    if len(rows[0]) == 2 and all(is_picture(row[0]) and row[1] and not is_path(row[1]) for row in rows):
        return ListColumns(delimiter=delimiter, has_header=False, file=0, label=1)
    return None


def name_headed_columns(header: list[str], rows: list[list[str]], delimiter: str, file: int) -> ListColumns | None:
    """Columns of a list whose header names the file's column."""
    if GEOMETRY_COLUMNS & set(header):
        return None  # boxes: another format's business
    label, number, split = (find_column(header, names) for names in (NAME_COLUMNS, NUMBER_COLUMNS, SPLIT_COLUMNS))
    index = find_column(header, INDEX_COLUMNS)
    if label is None and number is None:
        hot = {place: rows[0][place] for place in range(len(header)) if place not in (file, split, index)}
        if hot and all(row[place] in ("0", "1", "0.0", "1.0") for row in rows[1:] for place in hot):
            return ListColumns(delimiter=delimiter, has_header=True, file=file, split=split, hot=hot)
        if index is None or len({row[index] for row in rows}) == len(rows) > 2:
            return None
    is_index = number is None and index is not None and all(row[index].isdigit() for row in rows[1:])
    number = index if is_index else number
    rest = [place for place in range(len(header)) if place not in (file, label, number, split, index)]
    return ListColumns(
        delimiter=delimiter,
        has_header=True,
        file=file,
        label=number if label is None else label,
        number=None if label is None else number,
        is_index=is_index,
        split=split,
        extra=rest[0] if rest and number is not None else None,
    )


def find_column(header: list[str], names: tuple[str, ...]) -> int | None:
    """Index of the first column that has one of these names; the names' order decides."""
    return next((header.index(name) for name in names if name in header), None)


def is_path(cell: str) -> bool:
    """Whether a cell names a file: then the list pairs pictures with masks, not with labels."""
    return is_picture(cell) or "/" in cell


def read_rows(path: Path, columns: ListColumns) -> Iterator[ListRow]:
    """Every row of a list, as a stream. Raises: UnreadableDataset naming the row that has too few cells."""
    with path.open(encoding=columns.encoding, newline="") as file:
        rows = split_lines((line.replace("\0", "") for line in file), columns.delimiter)
        for place, cells in enumerate(rows, 1):
            if place == 1 and columns.has_header:
                continue
            try:
                yield read_row(cells, columns)
            except (IndexError, ValueError):
                raise UnreadableDataset(f"row {place} of {path.name} is not like the others: {cells[:4]}; mend it") from None


def read_row(cells: list[str], columns: ListColumns) -> ListRow:
    """One row. Raises: IndexError, ValueError for cells that are missing or no numbers."""
    if columns.hot:
        labels = tuple(name for index, name in columns.hot.items() if float(cells[index]) > 0)
    else:
        labels = split_labels(cells[columns.label or 0], columns.delimiter)
    return ListRow(
        file=cells[columns.file],
        labels=labels,
        number=int(cells[columns.number]) if columns.number is not None else None,
        split=cells[columns.split] if columns.split is not None else None,
        extra=cells[columns.extra] if columns.extra is not None else None,
    )


def split_labels(cell: str, delimiter: str) -> tuple[str, ...]:
    """The labels of one cell: none, one, or several parted by `;` or `|`; a label that holds those stands in quotes."""
    for separator in SEPARATORS:
        if separator != delimiter and separator in cell:
            parts = next(csv.reader([cell], delimiter=separator, skipinitialspace=True))
            return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if QUOTED.fullmatch(cell):
        cell = cell[1:-1].replace('""', '"')
    return (cell,) if cell else ()


def join_labels(labels: list[str]) -> str:
    """Labels as one cell that `split_labels` takes apart again."""
    quoted = (f'"{label.replace(chr(34), chr(34) * 2)}"' if {";", "|", '"'} & set(label) else label for label in labels)
    return ";".join(quoted)
