"""Splits: drawn stratified and seeded, and checked for leaks; equal pictures, and frames of one video, always stay together.

Stratification follows Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011, Algorithm 1:
the rarest category is dealt out first, each picture to the split that still lacks most of that category. A picture costs 8
bytes here plus 4 per category, so a million of them fit anywhere.
"""

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np

from sightline.core.errors import InvalidInput

SPLIT_NAMES = ("train", "val", "test")
DEFAULT_FRACTIONS = "0.8/0.1/0.1"
NO_SPLIT = -1


def parse_fractions(text: str) -> dict[str, float]:
    """Read "0.8/0.1/0.1" as shares of train, val and test (two numbers: train and val). Raises: InvalidInput."""
    hint = f"expected shares of train/val/test that sum to 1, such as {DEFAULT_FRACTIONS}, got {text!r}"
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        raise InvalidInput(f"{hint}; use numbers 0..1 and '/'") from None
    if len(shares) not in (2, 3) or not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InvalidInput(f"{hint}; give two or three numbers 0..1")
    return {name: share for name, share in zip(SPLIT_NAMES, shares, strict=False) if share > 0}


def check_rule(rule: str) -> None:
    """Raises: InvalidInput for what says not where splits come from: "auto", "given" or shares."""
    if rule not in ("auto", "given"):
        parse_fractions(rule)


class SplitDrawer:
    """Collects what a stratified draw needs, picture by picture; then `draw`.

    Example: `drawer.add(item.blob, [0, 2])` for each picture, then `drawer.draw({"train": 0.8, "val": 0.2}, seed=0)`.
    """

    def __init__(self) -> None:
        self._keys = array("Q")
        self._labels = array("i")
        self._ends = array("q")
        self._frames = array("q")  # positions of the frames, and the number of the video of each
        self._videos = array("i")
        self._numbers: dict[str, int] = {}

    def add(self, blob: str, labels: Iterable[int], video: str | None = None) -> None:
        """Take the next picture: its SHA-256, the indices of the categories in it, and the video that it is a frame of."""
        if video is not None:
            self._frames.append(len(self._keys))
            self._videos.append(self._numbers.setdefault(video, len(self._numbers)))
        self._keys.append(blob_key(blob))
        self._labels.extend(sorted(set(labels)))
        self._ends.append(len(self._labels))

    @property
    def has_frames(self) -> bool:
        """Whether any of the pictures is a frame of a video."""
        return len(self._frames) > 0

    def draw(self, fractions: dict[str, float], seed: int) -> list[str]:
        """The split of each picture, in the order of `add`; the same pictures and seed give the same splits.

        Args:
            fractions: share of each split, summing to 1.
            seed: of the draw.
        """
        if not self._keys:
            return []
        names = list(fractions)
        groups = self._find_groups()
        sizes = np.bincount(groups)
        labels_of = [array("i") for _ in sizes]
        for item, group in enumerate(groups.tolist()):
            labels_of[group].extend(self._labels[(self._ends[item - 1] if item else 0) : self._ends[item]])
        chosen = _stratify(labels_of, sizes, np.array([fractions[name] for name in names]), np.random.default_rng(seed))
        return [names[split] for split in chosen[groups]]

    def draw_further(self, fractions: dict[str, float], seed: int) -> list[str]:
        """As `draw`, for pictures that join others: each split gets its share on average, however few of them come at a time.

        `draw` would always give a single picture to the largest split. Here one random offset rounds the shares to whole groups
        (systematic sampling: Madow, "On the Theory of Systematic Sampling, II", Annals of Mathematical Statistics 20, 1949).
        """
        if not self._keys:
            return []
        count = int(self._find_groups().max()) + 1
        ends = np.floor(np.cumsum(list(fractions.values())) * count + np.random.default_rng(seed).random())
        ends[-1] = count  # the shares sum to 1 but for rounding
        return self.draw(dict(zip(fractions, (np.diff(ends, prepend=0) / count).tolist(), strict=True)), seed)

    def _find_groups(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """A number for each picture, the same for equal pictures and for frames of one video."""
        _, groups = np.unique(np.frombuffer(self._keys, np.uint64), return_inverse=True)
        if not self._frames:
            return groups
        parents = list(range(int(groups.max()) + 1))

        def find_root(group: int) -> int:
            while parents[group] != group:
                parents[group] = group = parents[parents[group]]
            return group

        first_of: dict[int, int] = {}  # group of a video's first frame: equal frames join their videos, too
        for item, video in zip(self._frames, self._videos, strict=True):
            roots = find_root(int(groups[item])), find_root(first_of.setdefault(video, int(groups[item])))
            parents[max(roots)] = min(roots)
        return np.unique(np.array([find_root(group) for group in groups.tolist()]), return_inverse=True)[1]


def _stratify(
    labels_of: "list[array[int]]", sizes: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> "np.ndarray[tuple[int], np.dtype[np.int8]]":
    """Index of the split of each group of pictures that stay together.

    Args: labels_of: of each group, those of all its pictures; sizes: pictures in each group; shares: of each split.
    """
    chosen = np.full(len(labels_of), NO_SPLIT, np.int8)
    order = rng.permutation(len(labels_of))
    groups_with: dict[int, list[int]] = {}
    for group in order.tolist():
        for label in dict.fromkeys(labels_of[group]):
            groups_with.setdefault(label, []).append(group)
    left = Counter(label for labels in labels_of for label in labels)
    wanted = {label: shares * count for label, count in left.items()}  # pictures each split still lacks
    wanted_in_all = shares * sizes.sum()

    def assign(group: int, lacking: np.ndarray) -> None:
        # The split that lacks most of this category; among equals the one that lacks most pictures; then by chance. Not in the
        # paper: a full split takes no more, or categories of a single picture would all go to the largest split.
        size = int(sizes[group])
        room = wanted_in_all >= min(size / 2, wanted_in_all.max()) - 1e-9
        best = np.flatnonzero(room & (lacking >= lacking[room].max() - 1e-9))
        best = best[wanted_in_all[best] >= wanted_in_all[best].max() - 1e-9]
        split = int(best[0] if len(best) == 1 else rng.choice(best))
        chosen[group] = split
        wanted_in_all[split] -= size
        for label in labels_of[group]:
            wanted[label][split] -= 1
            left[label] -= 1

    while any(left.values()):
        rarest = min((label for label, count in left.items() if count), key=lambda label: (left[label], label))
        for group in groups_with[rarest]:
            if chosen[group] == NO_SPLIT:
                assign(group, wanted[rarest])
    for group in order.tolist():
        if chosen[group] == NO_SPLIT:
            assign(group, wanted_in_all)
    return chosen


class DuplicateFinder:
    """Finds pictures with equal bytes, and whether they lie in different splits; 16 bytes a picture."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._splits = array("i")
        self._names: dict[str | None, int] = {}

    def add(self, blob: str, split: str | None) -> None:
        """Take the next picture."""
        self._keys.append(blob_key(blob))
        self._splits.append(self._names.setdefault(split, len(self._names)))

    def find(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Pairs (first, later) of positions, in the order of `add`, whose pictures are equal.

        Returns: pairs in different splits (leaks), pairs within one split.
        """
        keys = np.frombuffer(self._keys, np.uint64)
        splits = np.frombuffer(self._splits, np.int32)
        order = np.argsort(keys, kind="stable")
        repeats = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
        leaks: list[tuple[int, int]] = []
        twins: list[tuple[int, int]] = []
        first = -1
        previous = -2
        for position in map(int, repeats):
            if position != previous + 1:
                first = int(order[position - 1])
            previous, later = position, int(order[position])
            (leaks if splits[later] != splits[first] else twins).append((first, later))
        return sorted(leaks), sorted(twins)


def blob_key(blob: str) -> int:
    """The first 64 bits of a SHA-256: among a million pictures two share them by chance with p = 3e-8."""
    return int(blob[:16], 16)
