"""The pictures a training learns from: decoded once, shrunk towards the network's input size, kept as uint8 within a limit.

A picture that does not fit under the limit any more is decoded again each time it is asked for, with the same result, so
neither the limit nor the order of threads or processes changes what is learned.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.data.items import Item
from sightline.data.versions import DatasetVersion
from sightline.training.picture_cache import PictureCache

RGB = 3  # channels
LONGEST_PX = 32_766  # OpenCV warps nothing longer

# Label map of an item at its full size, (H, W) uint8; only semantic tasks have one.
MakeLabelMap = Callable[[Item], NDArray[np.uint8]]


class CachedPicture(NamedTuple):
    """A picture near the network's input size.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        scale_xy: shrunk pixels per original pixel along x and y, each <= 1: multiply boxes and points by them.
        label_map: `(H, W)` uint8, or None.
    """

    image: NDArray[np.uint8]
    scale_xy: tuple[float, float]
    label_map: NDArray[np.uint8] | None


class Pictures:
    """Random access to the pictures of some splits, but those of which nothing is known: no person looked, no model found any.

    Args:
        version: where they come from.
        splits: which of them.
        width, height: the network's input size, pixels; pictures are shrunk to cover it, never enlarged.
        cache_bytes: memory for decoded pictures, shared with processes that are forked later.
        make_label_map: for semantic tasks.

    Raises: Exhausted when the system has no `cache_bytes` of memory.
    """

    def __init__(
        self,
        version: DatasetVersion,
        splits: Sequence[str],
        *,
        width: int,
        height: int,
        cache_bytes: int,
        make_label_map: MakeLabelMap | None = None,
    ) -> None:
        self.version = version
        self.items = version.load_items(splits).drop_unknown()
        self._least_width, self._least_height = width, height
        self._make_label_map = make_label_map
        self._original_sizes = self.items.read_sizes()
        sizes = (self._count_bytes(index) for index in range(len(self.items)))
        self._cache = PictureCache(sizes, len(self.items), cache_bytes)

    def __len__(self) -> int:
        return len(self.items)

    def read(self, index: int) -> CachedPicture:
        """The picture of `items[index]`; callers must not write into it."""
        kept = self._cache.find(index)
        if kept is not None:
            return self._split(index, kept)
        picture = self._decode(self.items[index])
        if picture.image.shape[1::-1] == self._shrink(*self._original_sizes[index].tolist()):  # as the version says
            self._cache.put(index, picture.image, *([] if picture.label_map is None else [picture.label_map]))
        return picture

    def _split(self, index: int, kept: NDArray[np.uint8]) -> CachedPicture:
        original_width, original_height = self._original_sizes[index].tolist()
        width, height = self._shrink(original_width, original_height)
        pixels = width * height
        label_map = kept[RGB * pixels :].reshape(height, width) if self._make_label_map else None
        scale_xy = (width / original_width, height / original_height)
        return CachedPicture(kept[: RGB * pixels].reshape(height, width, RGB), scale_xy, label_map)

    def _count_bytes(self, index: int) -> int:
        width, height = self._shrink(*self._original_sizes[index].tolist())
        return width * height * (RGB + 1 if self._make_label_map else RGB)

    def _shrink(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that cover the network's input, no larger than they are, and none too long to be warped."""
        scale = min(max(self._least_width / width, self._least_height / height), LONGEST_PX / max(width, height))
        return (width, height) if scale >= 1 else (max(1, round(width * scale)), max(1, round(height * scale)))

    def _decode(self, item: Item) -> CachedPicture:
        image = self.version.read_image(item)
        label_map = self._make_label_map(item) if self._make_label_map else None
        height, width = image.shape[:2]
        size = self._shrink(width, height)
        if size == (width, height):
            return CachedPicture(image, (1.0, 1.0), label_map)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if label_map is not None:
            # INTER_NEAREST takes the top left pixel of those that become one, not the middle one: labels off by half a pixel.
            label_map = np.asarray(cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
        return CachedPicture(image, (size[0] / width, size[1] / height), label_map)
