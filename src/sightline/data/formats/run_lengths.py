"""COCO's run-length encoding, as COCO and others write masks into JSON: a compressed text, or a list of lengths."""

from typing import Any

import numpy as np

from sightline.core.annotations import MaskRle
from sightline.imaging.masks import encode_mask

MAX_PIXELS = 1 << 28


def read_rle(rle: dict[str, Any], size: tuple[int, int] | None) -> MaskRle:
    """The mask of `{"size": [height, width], "counts": text or list}`; `size` is the `(width, height)` that its picture states.

    Raises: ValueError, TypeError, KeyError or OverflowError when it is none, or a list that does not fill the picture.
    """
    height, width = (int(value) for value in rle["size"])
    counts = rle["counts"]
    if isinstance(counts, str):
        return MaskRle(height=height, width=width, counts=counts)
    return _encode_runs(counts, height, width, size)


def _encode_runs(counts: list[Any], height: int, width: int, size: tuple[int, int] | None) -> MaskRle:
    """Lengths of runs of 0 and 1 down the columns as a mask."""
    runs = np.array(counts, np.int64)
    if size is not None and (width, height) not in (size, size[::-1]):
        raise ValueError("RLE of another size than its picture")
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != height * width or height * width > MAX_PIXELS:
        raise ValueError("runs do not fill the picture")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return encode_mask(np.ascontiguousarray(flat.reshape(width, height).T))  # (W, H) columns -> (H, W)
