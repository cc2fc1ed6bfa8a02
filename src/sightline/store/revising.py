"""What a freeze changes of the pictures that a Dataset has: some come, some go, some change their split.

The one idea: a Dataset grows and shrinks as its labels change, by the next version. `ItemChanges` is what was asked for, in
the caller's words; `Revision` is the same after a look at the version that it is made on: which of its pictures stay, and
under which name and in which split each new one comes. Nothing is written here, and a picture costs some bytes.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from sightline.core.errors import Conflict, InvalidInput
from sightline.data.conversion import ConversionReport
from sightline.data.item_index import ItemIndex
from sightline.data.items import Item
from sightline.data.splits import SplitDrawer, check_rule, parse_fractions
from sightline.data.unique_names import UniqueNames
from sightline.data.versions import UNSPLIT, DatasetVersion, check_split, sort_splits
from sightline.store.added_videos import rename_videos

THERE_ALREADY = "the dataset has a picture of the same bytes already, which stays as it is"
OTHER_GROUND = "its labels mean something else by a pixel without a mask; the dataset's meaning holds"
OTHER_VIDEO = "the dataset has another video of this name, so this one gets another"
RENAMED = "the dataset has another picture of this file name, renamed"
DRAWN = "without a split of their own, drawn in the shares that the dataset has: "


class ItemChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures that come, go, and change their split; see `Dataset.revise`.

    Attributes:
        added: a version whose items come last; their pictures lie among the Dataset's blobs already.
        split_rule: of those added: "given" keeps their splits; shares such as "0.8/0.1/0.1" draw; "auto" keeps them, or draws
            in the shares that the Dataset has where none of them has a split.
        seed: of that draw.
        removed: blobs of the pictures to leave out, by position.
        moved: blobs of the pictures that shall be in `split`, by position.
        split: None: in none.
    """

    added: DatasetVersion | None = None
    split_rule: str = "auto"
    seed: int = 0
    removed: Mapping[int, str] = {}
    moved: Mapping[int, str] = {}
    split: str | None = None

    def __post_init__(self) -> None:
        """Find what can never be. Raises: InvalidInput."""
        check_split(self.split)
        if self.split == UNSPLIT:
            raise InvalidInput(f"expected the name of a split, got {UNSPLIT!r}, which means none; pass None")
        check_rule(self.split_rule)


class Revision:
    """What a freeze does with the items of a base, and which items it appends.

    Args:
        base: the version that is revised.
        changes: what was asked for.
        report: of the import that made what is added; it is told what becomes of those pictures here.

    Attributes:
        added_count: pictures that come.
        removed, moved: `(N,)` whether each of the base's items is left out, or changes its split.

    Raises: Conflict when another picture has one of the positions, or none would be left.
    """

    def __init__(self, base: DatasetVersion, changes: ItemChanges, report: ConversionReport) -> None:
        index = base.load_index()
        self._changes, self._base = changes, base
        self.removed = _mark(index, changes.removed, base.name)
        code = index.splits.index(changes.split) if changes.split in index.splits else -1
        is_there = index.split_codes == code if changes.split is None or code >= 0 else np.zeros(len(index), bool)
        self.moved = _mark(index, changes.moved, base.name) & ~is_there & ~self.removed
        self._left_out = np.zeros(0, bool)
        self._names: dict[int, str] = {}  # new ones, by position in `added`
        self._videos: dict[str, str] = {}  # new names of videos
        self._splits: list[str | None] | None = None
        if changes.added is not None:
            self._left_out = index.find_blobs(changes.added.load_index())
            self._look_at_added(changes.added, index, report)
        self.added_count = int((~self._left_out).sum())
        if self.item_count == 0:
            raise Conflict(f"expected a picture that stays in {base.name!r}, got none; remove the whole dataset instead")

    @property
    def item_count(self) -> int:
        """Items of the version that is to be."""
        return len(self.removed) - int(self.removed.sum()) + self.added_count

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.added_count or self.removed.any() or self.moved.any())

    @property
    def new_categories(self) -> tuple[str, ...]:
        """Of what is added, all categories; some may be the Dataset's."""
        added = self._changes.added
        return added.manifest.categories if added is not None and self.added_count else ()

    def count(self) -> dict[str, int]:
        """How many pictures are added, removed and moved."""
        return {"added": self.added_count, "removed": int(self.removed.sum()), "moved": int(self.moved.sum())}

    def describe(self) -> dict[str, Any]:
        """What the new version's manifest says of it."""
        return {name: count for name, count in self.count().items() if count}

    def change(self, position: int, item: Item) -> Item | None:
        """What becomes of one of the base's items; None when it is left out."""
        if self.removed[position]:
            return None
        return replace(item, split=self._changes.split) if self.moved[position] else item

    def items(self) -> Iterator[Item]:
        """The items to append."""
        if self._changes.added is None or not self.added_count:
            return
        for position, item in enumerate(self._changes.added.items()):
            if not self._left_out[position]:
                name = self._names.get(position, item.file_name)
                split = item.split if self._splits is None else self._splits[position]
                video = self._name_video(item)
                yield replace(item, file_name=name, split=split, source_video=video)

    def _look_at_added(self, added: DatasetVersion, index: ItemIndex, report: ConversionReport) -> None:
        """Give names and splits to what comes, and tell what becomes of it."""
        taken = UniqueNames()
        for name in index.file_names:
            taken.take(name.as_py(), None)
        self._videos = rename_videos(index, added.load_index())
        for old, new in self._videos.items():
            report.change("file", OTHER_VIDEO, f"{old} -> {new}")
        shares = self._find_shares(added)
        videos = self._base.find_video_splits() if shares else {}
        differs = added.manifest.unlabelled_pixels != self._base.manifest.unlabelled_pixels
        drawer, drawn = SplitDrawer(), array("q")
        splits: list[str | None] = [None] * len(self._left_out)
        for position, item in enumerate(added.items()):
            if self._left_out[position]:
                report.leave_out("image", THERE_ALREADY, item.file_name)
                if item.annotations:
                    report.leave_out("annotation", THERE_ALREADY, item.file_name, count=len(item.annotations))
                continue
            if differs and any(annotation.geometry in ("polygons", "mask") for annotation in item.annotations):
                report.warn("image", OTHER_GROUND, item.file_name)
            video = self._name_video(item)
            wanted = _name_frame(item, video)
            name = taken.take(wanted, item.split)
            if name != item.file_name:
                self._names[position] = name
            if name != wanted:
                report.change("image", RENAMED, f"{item.file_name} -> {name}")
            if video in videos:
                splits[position] = videos[video]
            else:
                labels = (added.categories.index(annotation.category) for annotation in item.annotations)
                drawer.add(item.blob, labels, video)
                drawn.append(position)
        if shares:
            chosen = drawer.draw_further(shares, self._make_seed())
            for position, split in zip(drawn, chosen, strict=True):
                splits[position] = split
            self._splits = splits
            if chosen and self._changes.split_rule == "auto":
                counts = Counter(chosen)
                told = ", ".join(f"{counts[name]} {name}" for name in sort_splits(counts))
                report.warn("image", DRAWN + told, count=len(chosen))

    def _name_video(self, item: Item) -> str | None:
        """The video that an added item is a frame of, under the name that it has here."""
        return None if item.source_video is None else self._videos.get(item.source_video, item.source_video)

    def _find_shares(self, added: DatasetVersion) -> dict[str, float]:
        """Shares to draw splits in; empty when those of the source stay."""
        rule = self._changes.split_rule
        if rule not in ("auto", "given"):
            return parse_fractions(rule)
        if rule == "given" or added.manifest.split_counts.keys() - {UNSPLIT}:
            return {}
        counts = {name: count for name, count in self._base.splits.items() if name != UNSPLIT}
        return {name: count / sum(counts.values()) for name, count in counts.items()}

    def _make_seed(self) -> int:
        """Another for each version that is revised: with one for all, pictures that come singly would fall alike."""
        return int(np.random.SeedSequence([self._changes.seed, int(self._base.id, 16)]).generate_state(1)[0])


def _name_frame(item: Item, video: str | None) -> str:
    """The file name of a frame whose video has this name now: an import names a frame by its video, as if by a folder."""
    if item.source_video is None or not item.file_name.startswith(f"{item.source_video}/"):
        return item.file_name
    return f"{video}{item.file_name.removeprefix(item.source_video)}"


def _mark(index: ItemIndex, pictures: Mapping[int, str], name: str) -> NDArray[np.bool_]:
    """`(N,)` which items are meant. Raises: Conflict when a picture is not where it is thought to be."""
    marked = np.zeros(len(index), bool)
    for position, blob in pictures.items():
        if not 0 <= position < len(index) or index.read_blob(position) != blob:
            raise Conflict(
                f"picture {position} of {name!r} is another by now, so nothing was changed; load the dataset again, choose anew"
            )
        marked[position] = True
    return marked
