"""Items and `items.parquet`: one row per image or frame, annotations nested in it, written and read as a stream.

The one idea: Python objects exist only for the rows being looked at. Row groups are bounded in rows and in bytes, so writing,
filtering and reading a million images takes the memory of one row group; `ItemTable` keeps the compact Arrow columns and makes
an `Item` when a row is asked for.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, overload

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sightline.core.annotations import Annotation, MaskRle
from sightline.core.errors import CorruptFile, InvalidInput

ROWS_PER_GROUP = 4096
BYTES_PER_GROUP = 16 << 20  # estimated Arrow bytes: masks are long, and 4096 rows of them would not fit a small machine
ROWS_PER_BATCH = 512
SEEN_BY, ATTRIBUTES = "seen_by", "attributes"
ADDED_COLUMNS = (SEEN_BY, ATTRIBUTES)  # in the order in which they came: versions made before lack the last, or both

Viewer = Literal["human", "model", "nobody"]

BOX_TYPE = pa.struct([(name, pa.float64()) for name in ("x_min", "y_min", "x_max", "y_max")])
MASK_TYPE = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("counts", pa.string())])
ATTRIBUTES_TYPE = pa.map_(pa.string(), pa.string())
ANNOTATION_TYPE = pa.struct(
    [
        ("category", pa.string()),
        ("box", BOX_TYPE),
        ("polygons", pa.list_(pa.list_(pa.float64()))),
        ("mask", MASK_TYPE),
        ("confidence", pa.float64()),
        ("origin", pa.string()),
        ("is_crowd", pa.bool_()),
        (ATTRIBUTES, ATTRIBUTES_TYPE),
    ]
)
ITEM_SCHEMA = pa.schema(
    [
        pa.field("blob", pa.string(), nullable=False),
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("orientation", pa.int8(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("source_video", pa.string()),
        pa.field("frame_pts", pa.int64()),
        pa.field(SEEN_BY, pa.string()),
        pa.field(ATTRIBUTES, ATTRIBUTES_TYPE),
        pa.field("annotations", pa.list_(ANNOTATION_TYPE), nullable=False),
    ]
)
KNOWN_SCHEMAS = [
    pa.schema([field for field in ITEM_SCHEMA if field.name not in ADDED_COLUMNS[count:]])
    for count in range(len(ADDED_COLUMNS) + 1)
]
DICTIONARY_COLUMNS = [
    "split",
    "source_video",
    SEEN_BY,
    "attributes.key_value.key",
    "attributes.key_value.value",
    "annotations.list.element.category",
    "annotations.list.element.origin",
    "annotations.list.element.attributes.key_value.key",
    "annotations.list.element.attributes.key_value.value",
]


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One picture of a DatasetVersion, with its labels.

    Attributes:
        blob: SHA-256 of the encoded picture.
        file_name: unique within the version, POSIX separators.
        width, height: of the upright (EXIF-corrected) picture, pixels.
        orientation: EXIF orientation of the stored picture, 1..8; 1 is upright.
        split: "train", "val", "test", any other name, or None.
        source_video: file name of the video a frame was taken from.
        frame_pts: presentation time stamp of that frame, in the video's time base.
        seen_by: who looked at the picture to label it, where its annotations do not tell: "human" (without annotations of
            people it shows nothing), "model" (a model alone) or "nobody". None: a picture without annotations counts as one
            that shows nothing.
        attributes: further facts of the picture, text to text ("line": "3").
        annotations: in pixels of the upright picture.
    """

    blob: str
    file_name: str
    width: int
    height: int
    orientation: int = 1
    split: str | None = None
    source_video: str | None = None
    frame_pts: int | None = None
    seen_by: Viewer | None = None
    attributes: dict[str, str] = {}
    annotations: tuple[Annotation, ...] = ()


def read_viewer(word: object) -> Viewer | None:
    """What a file says of who looked at a picture; None for any other word."""
    return next((viewer for viewer in get_args(Viewer) if viewer == word), None)


class ItemWriter:
    """Writes `items.parquet` row by row; holds at most one row group."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(
            path, ITEM_SCHEMA, compression="zstd", use_dictionary=DICTIONARY_COLUMNS, write_page_index=True
        )
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, item: Item) -> None:
        """Append one item."""
        self._rows.append(_item_to_row(item))
        self._bytes += _estimate_bytes(item)
        if len(self._rows) >= ROWS_PER_GROUP or self._bytes >= BYTES_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last row group and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=ITEM_SCHEMA))
            self._rows, self._bytes = [], 0


def read_items(path: Path, splits: Sequence[str] | None = None) -> Iterator[Item]:
    """Stream the items of the named splits (all when None) in file order, holding one row group.

    Raises: CorruptFile when the file is no `items.parquet`.
    """
    with open_items_file(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
            for row in _choose_rows(batch, splits).to_pylist():
                yield _row_to_item(row)


def read_file_names(path: Path) -> Iterator[str]:
    """Stream the items' file names, without touching other columns."""
    with open_items_file(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=["file_name"]):
            yield from batch.column(0).to_pylist()


def read_video_splits(path: Path) -> dict[str, str | None]:
    """The split of the first frame of each video, by the video's name, without touching other columns."""
    splits: dict[str, str | None] = {}
    with open_items_file(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=["source_video", "split"]):
            for row in batch.filter(pc.is_valid(batch.column("source_video"))).to_pylist():
                splits.setdefault(row["source_video"], row["split"])
    return splits


def load_item_table(path: Path, splits: Sequence[str] | None = None) -> "ItemTable":
    """The items of the named splits as compact Arrow columns for random access, e.g. by a shuffling trainer."""
    with open_items_file(path) as file:
        parts = [_choose_rows(_add_columns(batch), splits) for batch in file.iter_batches(batch_size=ROWS_PER_GROUP)]
    return ItemTable(pa.Table.from_batches(parts, schema=ITEM_SCHEMA).combine_chunks())


def read_row_group(path: Path, group: int) -> "ItemTable":
    """The items of one row group. Raises: CorruptFile when the file is no `items.parquet`."""
    with open_items_file(path) as file:
        parts = [_add_columns(batch) for batch in file.read_row_group(group).to_batches()]
    return ItemTable(pa.Table.from_batches(parts, schema=ITEM_SCHEMA).combine_chunks())


class ItemTable(Sequence[Item]):
    """A read-only sequence of items that lies in memory as Arrow columns; an `Item` is made when it is asked for.

    An image with three boxes takes 0.34 KB here and 1.8 KB as Python objects; making one from its row costs some 40 µs.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __repr__(self) -> str:
        return f"ItemTable({len(self)} items)"

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "ItemTable": ...
    def __getitem__(self, index: int | slice) -> "Item | ItemTable":
        if isinstance(index, slice):
            return ItemTable(self._table.take(pa.array(range(*index.indices(len(self))), pa.int64())))
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return _row_to_item(self._table.slice(position, 1).to_pylist()[0])

    def read_sizes(self) -> NDArray[np.int64]:
        """`(N, 2)` width and height of each item, pixels, without making the items."""
        columns = [self._table.column(name).to_numpy() for name in ("width", "height")]
        return np.stack(columns, axis=1).astype(np.int64)

    def drop_unknown(self) -> "ItemTable":
        """The items without those that have no annotation and that no person looked at: nothing can be learned from them."""
        seen_by = self._table.column(SEEN_BY)
        known = pc.fill_null(pc.equal(seen_by, "human"), True)  # null: counts as a picture that shows nothing
        return ItemTable(
            self._table.filter(pc.or_(known, pc.greater(pc.list_value_length(self._table.column("annotations")), 0)))
        )

    def __iter__(self) -> Iterator[Item]:
        for batch in self._table.to_batches(max_chunksize=ROWS_PER_BATCH):
            for row in batch.to_pylist():
                yield _row_to_item(row)


def open_items_file(path: Path) -> pq.ParquetFile:
    """The opened file, for readers of single columns or row groups. Raises: CorruptFile when it is no `items.parquet`."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptFile(f"{path} is no readable items.parquet: {str(error).splitlines()[0]}; make it again") from error
    if not any(file.schema_arrow.equals(schema) for schema in KNOWN_SCHEMAS):
        file.close()
        raise CorruptFile(f"{path} has other columns than items.parquet of this version; import the dataset again")
    return file


def _add_columns(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with all columns: older versions lack some, of which they say nothing."""
    there = set(batch.schema.names)
    columns = [batch.column(field.name) if field.name in there else pa.nulls(len(batch), field.type) for field in ITEM_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=ITEM_SCHEMA)


def _choose_rows(batch: pa.RecordBatch, splits: Sequence[str] | None) -> pa.RecordBatch:
    if splits is None:
        return batch
    return batch.filter(pc.is_in(batch.column("split"), value_set=pa.array(splits, pa.string())))


def _estimate_bytes(item: Item) -> int:
    size = 200 + _count_letters(item.attributes)
    for annotation in item.annotations:
        size += 100
        if annotation.polygons is not None:
            size += sum(8 * len(ring) + 8 for ring in annotation.polygons)
        if annotation.mask is not None:
            size += len(annotation.mask.counts)
    return size


def _count_letters(attributes: dict[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in attributes.items())


def _item_to_row(item: Item) -> dict[str, Any]:
    return {
        "blob": item.blob,
        "file_name": item.file_name,
        "width": item.width,
        "height": item.height,
        "orientation": item.orientation,
        "split": item.split,
        "source_video": item.source_video,
        "frame_pts": item.frame_pts,
        SEEN_BY: item.seen_by,
        ATTRIBUTES: _sort_attributes(item.attributes),
        "annotations": [_annotation_to_row(annotation) for annotation in item.annotations],
    }


def _annotation_to_row(annotation: Annotation) -> dict[str, Any]:
    box, mask = annotation.box_xyxy, annotation.mask
    if box is not None and len(box) != 4:
        raise InvalidInput(f"a box is (x_min, y_min, x_max, y_max), got {len(box)} numbers; pass four")
    return {
        "category": annotation.category,
        "box": None if box is None else {"x_min": box[0], "y_min": box[1], "x_max": box[2], "y_max": box[3]},
        "polygons": annotation.polygons,
        "mask": None if mask is None else {"height": mask.height, "width": mask.width, "counts": mask.counts},
        "confidence": annotation.confidence,
        "origin": annotation.origin,
        "is_crowd": annotation.is_crowd,
        ATTRIBUTES: _sort_attributes(annotation.attributes),
    }


def _sort_attributes(attributes: dict[str, str]) -> list[tuple[str, str]]:
    """Sorted, so that the same facts give the same bytes and so the same version id."""
    return sorted(attributes.items())


def _row_to_item(row: dict[str, Any]) -> Item:
    row[ATTRIBUTES] = dict(row.get(ATTRIBUTES) or ())
    row["annotations"] = tuple(_row_to_annotation(annotation) for annotation in row["annotations"])
    return Item(**row)


def _row_to_annotation(row: dict[str, Any]) -> Annotation:
    box, polygons, mask = row["box"], row["polygons"], row["mask"]
    return Annotation(
        category=row["category"],
        box_xyxy=None if box is None else (box["x_min"], box["y_min"], box["x_max"], box["y_max"]),
        polygons=None if polygons is None else tuple(tuple(ring) for ring in polygons),
        mask=None if mask is None else MaskRle(**mask),
        confidence=row["confidence"],
        origin=row["origin"],
        is_crowd=row["is_crowd"],
        attributes=dict(row[ATTRIBUTES]),
    )
