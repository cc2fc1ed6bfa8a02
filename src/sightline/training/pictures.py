"""The pictures a training learns from: decoded once, shrunk towards the network's input size, kept as uint8 within a limit.

A picture that does not fit under the limit any more is decoded again each time it is asked for, with the same result, so
neither the limit nor the order of the threads changes what is learned.
"""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.data.items import Item
from sightline.data.versions import DatasetVersion

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
    """Random access to the pictures of some splits.

    Args:
        version: where they come from.
        splits: which of them.
        width, height: the network's input size, pixels; pictures are shrunk to cover it, never enlarged.
        cache_bytes: memory for decoded pictures.
        make_label_map: for semantic tasks.
        headroom: pictures keep this many times the input's size, for zooming in.
    """

    def __init__(
        self,
        version: DatasetVersion,
        splits: Sequence[str],
        width: int,
        height: int,
        cache_bytes: int,
        make_label_map: MakeLabelMap | None = None,
        headroom: float = 1.0,
    ) -> None:
        self.version = version
        self.items = version.load_items(splits)
        self._least_width, self._least_height = width * headroom, height * headroom
        self._make_label_map = make_label_map
        self._free_bytes = cache_bytes
        self._cache: dict[int, CachedPicture] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.items)

    def read(self, index: int) -> CachedPicture:
        """The picture of `items[index]`; callers must not write into it."""
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        picture = self._decode(self.items[index])
        size = picture.image.nbytes + (picture.label_map.nbytes if picture.label_map is not None else 0)
        with self._lock:
            if index not in self._cache and size <= self._free_bytes:
                self._cache[index] = picture
                self._free_bytes -= size
        return picture

    def _decode(self, item: Item) -> CachedPicture:
        image = self.version.read_image(item)
        label_map = self._make_label_map(item) if self._make_label_map else None
        height, width = image.shape[:2]
        scale = max(self._least_width / width, self._least_height / height)
        if scale >= 1:
            return CachedPicture(image, (1.0, 1.0), label_map)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if label_map is not None:
            label_map = np.asarray(cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        return CachedPicture(image, (size[0] / width, size[1] / height), label_map)
