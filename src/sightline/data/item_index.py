"""What lists and filters of a version's items need, as compact columns; an item's annotations are read when it is asked for.

The one idea: a million pictures are listed, counted and filtered without making an object for any of them, and without their
boxes, polygons and masks, which stay in `items.parquet`. A million pictures with three boxes each take 101 MB here.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, get_args

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sightline.data.editing import ItemState
from sightline.data.items import ROWS_PER_GROUP, SEEN_BY, Item, ItemTable, open_items_file, read_row_group

STATES: tuple[ItemState, ...] = get_args(ItemState)
LABELLED, PROPOSED, UNLABELLED = range(3)
NO_PTS = np.iinfo(np.int64).min
KEPT_GROUPS = 4  # row groups of at most some 16 MB each
CATEGORY_AND_ORIGIN = ["annotations.list.element.category", "annotations.list.element.origin"]


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """The frames of one video.

    Attributes:
        video: its name.
        positions: `(N,)` int64 places of the frames among the items, in the order of their times.
        pts: `(N,)` int64 time stamps, in ticks of the video's clock; `NO_PTS` where a frame has none.
    """

    video: str
    positions: NDArray[np.int64]
    pts: NDArray[np.int64]


class ItemIndex:
    """Columns over the N items of a version, in their order.

    Attributes:
        file_names: `(N,)` text.
        widths, heights: `(N,)` int32, of the upright pictures, pixels.
        splits: names of the splits; split_codes: `(N,)` int16 indices into them, -1 for none.
        videos: names of the videos; video_codes: `(N,)` int32 indices into them, -1 for what is no frame.
        pts: `(N,)` int64 time stamps of frames, `NO_PTS` where there is none.
        states: `(N,)` uint8 indices into `STATES`.
        offsets: `(N + 1,)` int64: the annotations of item n are those from `offsets[n]` to `offsets[n + 1]`.
        codes: the index of the category of each annotation.
    """

    def __init__(self, path: Path, columns: "_Columns", group_ends: NDArray[np.int64]) -> None:
        self._path, self._group_ends = path, group_ends
        self._blobs = columns.join("blob", np.uint8).reshape(-1, 32)
        self.file_names = pa.chunked_array(columns.names, pa.string())
        self.widths, self.heights = columns.join("width", np.int32), columns.join("height", np.int32)
        self.splits, self.split_codes = tuple(columns.splits), columns.join("split", np.int16)
        self.videos, self.video_codes = tuple(columns.videos), columns.join("video", np.int32)
        self.pts = columns.join("pts", np.int64)
        self.states = columns.join("state", np.uint8)
        self.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(columns.join("count", np.int32), dtype=np.int64)])
        self.codes: NDArray[Any] = columns.join("code", columns.code_type)
        self._groups: OrderedDict[int, ItemTable] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.widths)

    def read_item(self, position: int) -> Item:
        """The whole item; its row group is kept for its neighbours."""
        group = int(np.searchsorted(self._group_ends, position, side="right"))
        with self._lock:
            if group not in self._groups:
                self._groups[group] = read_row_group(self._path, group)
                if len(self._groups) > KEPT_GROUPS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(group)
            table = self._groups[group]
        return table[position - int(self._group_ends[group - 1] if group else 0)]

    def read_blob(self, position: int) -> str:
        """SHA-256 of the item's picture."""
        return bytes(self._blobs[position]).hex()

    def find_positions(self, file_names: Sequence[str]) -> NDArray[np.int64]:
        """Position of each name, -1 where there is no such item."""
        found = pc.index_in(pa.array(file_names, pa.string()), value_set=self.file_names)
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)

    def find_blobs(self, other: "ItemIndex") -> NDArray[np.bool_]:
        """`(M,)` whether each of the M pictures of another index has the bytes of one of these."""
        mine, theirs = (
            pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(one), [None, pa.py_buffer(one._blobs.tobytes())])
            for one in (self, other)
        )
        return np.asarray(pc.is_in(theirs, value_set=mine).to_numpy(zero_copy_only=False), bool)

    def find_frames(self, position: int) -> Frames | None:
        """The frames of the video that an item is a frame of; None for one that is none."""
        code = int(self.video_codes[position])
        if code < 0:
            return None
        positions = np.flatnonzero(self.video_codes == code)
        positions = positions[np.argsort(self.pts[positions], kind="stable")]
        return Frames(video=self.videos[code], positions=positions, pts=self.pts[positions])

    def count_frames(self) -> dict[str, int]:
        """The videos in the order in which they came, each with how many of its frames there are."""
        counts = np.bincount(self.video_codes[self.video_codes >= 0], minlength=len(self.videos))
        return dict(zip(self.videos, counts.tolist(), strict=True))

    def find_category(self, code: int) -> NDArray[np.int64]:
        """Positions of the items with an annotation of this category; one may come several times."""
        return np.searchsorted(self.offsets, np.flatnonzero(self.codes == code), side="right") - 1


def load_item_index(path: Path, categories: Sequence[str]) -> ItemIndex:
    """Read the index of an `items.parquet`. Raises: CorruptFile when it is none."""
    with open_items_file(path) as file:
        names = ["blob", "file_name", "width", "height", "split", "source_video", "frame_pts", *CATEGORY_AND_ORIGIN]
        if SEEN_BY in file.schema_arrow.names:
            names.append(SEEN_BY)
        columns = _Columns(categories)
        for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=names):
            columns.add(batch)
        return ItemIndex(path, columns, np.cumsum(list(_count_rows(file)), dtype=np.int64))


def _count_rows(file: pq.ParquetFile) -> Iterator[int]:
    return (file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups))


class _Columns:
    """Collects columns batch by batch."""

    def __init__(self, categories: Sequence[str]) -> None:
        self._categories = pa.array(categories, pa.string())
        self.code_type = np.min_scalar_type(max(len(categories) - 1, 0))
        self.names: list[pa.Array] = []
        self.splits: dict[str, int] = {}
        self.videos: dict[str, int] = {}
        self._parts: dict[str, list[NDArray[Any]]] = {}

    def join(self, name: str, kind: Any) -> NDArray[Any]:
        """The whole column."""
        return np.concatenate([np.empty(0, kind), *self._parts.pop(name, [])]).astype(kind, copy=False)

    def add(self, batch: pa.RecordBatch) -> None:
        labels, looked = batch.column("annotations"), batch.schema.get_field_index(SEEN_BY)
        counts = pc.list_value_length(labels).to_numpy().astype(np.int32)
        flat = labels.flatten()
        category, origin = flat.field("category"), flat.field("origin")
        seen_by = batch.column(looked) if looked >= 0 else pa.nulls(len(batch), pa.string())
        self.names.append(batch.column("file_name"))
        self._put("blob", np.frombuffer(bytes.fromhex("".join(batch.column("blob").to_pylist())), np.uint8))
        self._put("width", batch.column("width").to_numpy())
        self._put("height", batch.column("height").to_numpy())
        self._put("split", _number_names(batch.column("split"), self.splits).astype(np.int16))
        self._put("video", _number_names(batch.column("source_video"), self.videos))
        self._put("pts", pc.fill_null(batch.column("frame_pts"), NO_PTS).to_numpy())
        self._put("count", counts)
        self._put("code", pc.index_in(category, value_set=self._categories).to_numpy().astype(self.code_type))
        self._put("state", _find_states(counts, _equals(origin, "human"), seen_by))

    def _put(self, name: str, part: NDArray[Any]) -> None:
        self._parts.setdefault(name, []).append(part)


def _number_names(column: pa.Array, numbers: dict[str, int]) -> NDArray[np.int32]:
    """The number of each name, -1 for null. Args: numbers: of the names that came before; grows."""
    coded = column.dictionary_encode()
    found = [numbers.setdefault(name, len(numbers)) for name in coded.dictionary.to_pylist()]
    table = np.array([*found, -1], np.int32)  # the last one is for nulls
    return np.asarray(table[pc.fill_null(coded.indices, len(found)).to_numpy()], np.int32)


def _equals(column: pa.Array, word: str) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.equal(column, word), False).to_numpy(zero_copy_only=False), bool)


def _find_states(counts: NDArray[np.int32], by_person: NDArray[np.bool_], seen_by: pa.Array) -> NDArray[np.uint8]:
    """What `name_state(find_viewer(...))` says of each item. Args: by_person: of each annotation of all items."""
    sums = np.concatenate([[0], np.cumsum(by_person)])
    ends = np.cumsum(counts)
    human = (sums[ends] > sums[ends - counts]) | _equals(seen_by, "human")
    model = (counts > 0) | _equals(seen_by, "model")
    return np.where(human, LABELLED, np.where(model, PROPOSED, UNLABELLED)).astype(np.uint8)
