"""A Dataset as it is now, for lists and counts: the index of its base, and over it what the edited pictures say.

The one idea: arrays over all pictures, laid out once when the base is opened, of which an edit changes one place. A list is a
mask over these arrays, so it costs a few passes over compact columns, whatever the pictures hold. Other processes write, too:
the Dataset's counters say what was missed, and only that is read.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import islice

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Connection

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.workspace import Workspace
from sightline.data.editing import ItemState
from sightline.data.item_index import NO_PTS, STATES
from sightline.data.versions import UNSPLIT, sort_splits
from sightline.store.bases import Base, open_base, read_base, read_counters
from sightline.store.categories import CategoryTable, read_categories
from sightline.store.journal import Head, read_heads
from sightline.store.records import DatasetSummary, ItemRow

HEADS_AT_ONCE = 50_000


class Present:
    """What a Dataset holds; not thread safe.

    Attributes:
        base, version: that edits are made on.
        index: of the version's items.
        to_ids: from names of the version's categories to ids, as text.
        counters: up to which this knows the journal.
        categories: the present ones.
        revisions: `(N,)` int32, number of edits of each picture.
        knows_all_heads: False when the table of heads lacks edits of the journal and is to be made anew.
    """

    def __init__(self, connection: Connection, workspace: Workspace, dataset_id: int, name: str) -> None:
        self.name, self._dataset_id = name, dataset_id
        self.counters = read_counters(connection, dataset_id)
        self.base: Base = read_base(connection, dataset_id, self.counters.base_number)
        self.version = open_base(workspace, name, self.base)
        self.to_ids = self.base.name_categories(self.version)
        self.index = self.version.load_index()
        self.categories: CategoryTable = read_categories(connection, dataset_id)
        self.revisions = np.zeros(len(self.index), np.int32)
        self._states = self.index.states.copy()
        self._counts = np.diff(self.index.offsets).astype(np.int32)
        self._edited: dict[int, dict[int, int]] = {}  # annotations by category id of pictures edited since the base
        self._state_counts = np.bincount(self._states, minlength=len(STATES))
        self._category_counts: Counter[int] = Counter()
        for category_id, count in zip(self.base.category_ids, self._count_codes(self.index.codes), strict=True):
            self._category_counts[category_id] = count
        newest = self._read_heads(connection, 0)
        self.knows_all_heads = newest == self.counters.edit_count

    def catch_up(self, connection: Connection) -> bool:
        """Read what others wrote. Returns: False when the base is another by now; then this is no longer the present."""
        counters = read_counters(connection, self._dataset_id)
        if counters.base_number != self.counters.base_number:
            return False
        if counters.category_edit_count > self.counters.category_edit_count:
            self.categories = read_categories(connection, self._dataset_id)
        if counters.edit_count > self.counters.edit_count:
            self._read_heads(connection, self.counters.edit_count)
        self.counters = counters
        return True

    def put_head(self, position: int, head: Head) -> None:
        """Take over the state of a picture that was edited."""
        self.revisions[position] = head.revision
        if head.number <= self.base.through:
            return  # the base says it
        self._category_counts.subtract(self.count_categories(position))
        self._category_counts.update(head.category_counts)
        self._edited[position] = head.category_counts
        self._state_counts[self._states[position]] -= 1
        self._states[position] = STATES.index(head.state)
        self._state_counts[self._states[position]] += 1
        self._counts[position] = sum(head.category_counts.values())

    def check_position(self, position: int) -> int:
        """The position itself. Raises: NotFound."""
        if not 0 <= position < len(self.index):
            raise NotFound(f"no picture {position} in {self.name!r}, which has {len(self.index)}; the first one is 0")
        return position

    def count_categories(self, position: int) -> Mapping[int, int]:
        """Annotations of a picture by category id."""
        if position in self._edited:
            return self._edited[position]
        codes = self.index.codes[self.index.offsets[position] : self.index.offsets[position + 1]]
        return Counter(self.base.category_ids[code] for code in codes.tolist())

    def count_category(self, category_id: int) -> int:
        """Annotations of a category in all pictures."""
        return self._category_counts[category_id]

    def count_unfrozen(self) -> int:
        """Edits of pictures and categories that the base does not hold."""
        edits = self.counters.edit_count - self.base.through
        return edits + self.counters.category_edit_count - self.base.category_through

    def make_row(self, position: int) -> ItemRow:
        """What lists show of a picture."""
        index, code, video = self.index, int(self.index.split_codes[position]), int(self.index.video_codes[position])
        pts = int(index.pts[position])
        return ItemRow(
            position=position,
            file_name=index.file_names[position].as_py(),
            width=int(index.widths[position]),
            height=int(index.heights[position]),
            split=None if code < 0 else index.splits[code],
            state=STATES[self._states[position]],
            annotation_count=int(self._counts[position]),
            revision=int(self.revisions[position]),
            blob=index.read_blob(position),
            source_video=None if video < 0 else index.videos[video],
            frame_pts=None if pts == NO_PTS else pts,
        )

    def find(
        self,
        state: ItemState | None,
        category: str | None,
        split: str | None,
        search: str | None,
        video: str | None,
    ) -> NDArray[np.int64]:
        """Positions of the pictures that fit all filters, rising. Raises: NotFound, InvalidInput."""
        fits = np.ones(len(self.index), bool)
        if state is not None:
            if state not in STATES:
                raise InvalidInput(f"expected a state of {', '.join(STATES)}, got {state!r}; choose one of these")
            fits &= self._states == STATES.index(state)
        if split is not None:
            fits &= self.index.split_codes == self._find_split(split)
        if search:
            found = pc.match_substring(self.index.file_names, search, ignore_case=True)
            fits &= np.asarray(found.to_numpy(), bool)
        if category is not None:
            fits &= self._find_category(self.categories.find_id(category))
        if video is not None:
            if video not in self.index.videos:
                raise NotFound(f"no frame of a video {video!r} in {self.name!r}; choose one of its videos")
            fits &= self.index.video_codes == self.index.videos.index(video)
        return np.flatnonzero(fits)

    def summarise(self, newer_version: str | None) -> DatasetSummary:
        """What the Dataset holds."""
        splits = self.version.manifest.split_counts
        return DatasetSummary(
            name=self.name,
            base_id=self.base.version_id,
            item_count=len(self.index),
            states={state: int(count) for state, count in zip(STATES, self._state_counts, strict=True)},
            splits={split: splits[split] for split in sort_splits(splits)},
            annotation_counts={one.name: self._category_counts[one.id] for one in self.categories.list()},
            categories=tuple(self.categories.list()),
            unfrozen_edits=self.count_unfrozen(),
            newer_version=newer_version,
        )

    def _read_heads(self, connection: Connection, after: int) -> int:
        """Returns: the number of the newest edit that a head speaks of."""
        heads = read_heads(connection, self._dataset_id, after, self.base.through)
        while some := list(islice(heads, HEADS_AT_ONCE)):
            positions = self.index.find_positions([head.file_name for head in some])
            for position, head in zip(positions.tolist(), some, strict=True):
                if position >= 0:  # else the picture was in an earlier base
                    self.put_head(position, head)
            after = some[-1].number
        return after

    def _count_codes(self, codes: NDArray[np.integer]) -> list[int]:
        return [int(count) for count in np.bincount(codes, minlength=len(self.base.category_ids))]

    def _find_split(self, split: str) -> int:
        if split == UNSPLIT:
            return -1
        if split not in self.index.splits:
            raise NotFound(f"no split {split!r} in {self.name!r}; there is {', '.join(self.version.splits) or 'none'}")
        return self.index.splits.index(split)

    def _find_category(self, category_id: int) -> NDArray[np.bool_]:
        has = np.zeros(len(self.index), bool)
        if category_id in self.base.category_ids:
            has[self.index.find_category(self.base.category_ids.index(category_id))] = True
        for position, counts in self._edited.items():
            has[position] = category_id in counts
        return has
