"""COCO's run-length code for masks, in numpy: runs down the columns, packed five bits a character.

The code is that of the COCO API (Lin et al. 2014, `rleToString` in its maskApi.c): runs alternate between 0 and 1 and begin
with 0; from the fourth run on the difference to the run two before is stored; a number is cut into groups of five bits, lowest
first, with a sixth bit while more groups follow, two's complement, offset by 48 into printable characters.
"""

from typing import Any

import numpy as np

from sightline.core.annotations import MaskRle
from sightline.core.errors import InvalidInput

Runs = np.ndarray[Any, np.dtype[np.int64]]
MAX_GROUPS = 8  # 40 bits hold every run of a picture
FIRST_CHARACTER = 48


def pack_runs(runs: Runs, height: int, width: int) -> MaskRle:
    """Pack run lengths `(K,)`, alternating 0 and 1, the first of 0 (it may be 0 long); their sum is height * width."""
    values = np.asarray(runs, np.int64).copy()
    values[3:] -= np.asarray(runs, np.int64)[1:-2]
    characters = np.zeros((len(values), MAX_GROUPS), np.uint8)
    used = np.zeros((len(values), MAX_GROUPS), bool)
    active = np.ones(len(values), bool)
    for group in range(MAX_GROUPS):
        bits = values & 0x1F
        values = values >> 5  # arithmetic: keeps the sign
        more = np.where(bits & 0x10, values != -1, values != 0)
        characters[:, group] = bits + 0x20 * more + FIRST_CHARACTER
        used[:, group] = active
        active = active & more
        if not active.any():
            break
    return MaskRle(height=height, width=width, counts=characters[used].tobytes().decode("ascii"))


def unpack_runs(rle: MaskRle) -> Runs:
    """Run lengths `(K,)` int64 of a mask, alternating 0 and 1, first of 0.

    Raises:
        InvalidInput: the string is no such code, or its runs do not fill height x width.
    """
    try:
        groups = np.frombuffer(rle.counts.encode("ascii"), np.uint8).astype(np.int64) - FIRST_CHARACTER
    except UnicodeEncodeError as error:
        raise InvalidInput(f"expected a COCO run-length string, got {rle.counts[:20]!r}; encode the mask again") from error
    if len(groups) and (groups.min() < 0 or groups.max() > 0x3F or groups[-1] & 0x20):
        raise InvalidInput(f"expected a COCO run-length string, got {rle.counts[:20]!r}; encode the mask again")
    ends = np.flatnonzero((groups & 0x20) == 0)  # last group of each number
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = ends - starts + 1
    if len(lengths) and lengths.max() > MAX_GROUPS:
        raise InvalidInput(f"expected runs below 2**40, got {lengths.max()} groups in one number; encode the mask again")
    places = np.arange(len(groups)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((groups & 0x1F) << (5 * places), starts) if len(starts) else np.empty(0, np.int64)
    negative = (groups[ends] & 0x10) != 0
    runs[negative] -= np.int64(1) << (5 * lengths[negative])
    # Undo the differences: odd runs add up from the second on, even runs from the third on.
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    # Each by itself, too: long runs can add up to any number once their sum is beyond 64 bits.
    if (runs < 0).any() or (runs > rle.height * rle.width).any() or runs.sum() != rle.height * rle.width:
        raise InvalidInput(
            f"expected runs that fill {rle.height} x {rle.width} = {rle.height * rle.width} pixels, got {runs.sum()}; "
            "encode the mask again"
        )
    return runs


def encode_mask(mask: np.ndarray[Any, Any]) -> MaskRle:
    """Encode a mask. Args: mask: `(H, W)` bool, or any number where non-zero means set. Raises: InvalidInput."""
    if mask.ndim != 2:
        raise InvalidInput(f"expected a mask (H, W), got shape {mask.shape}; pass one mask at a time")
    height, width = mask.shape
    # Column-major: (H, W) -> (W, H) -> (W * H)
    flat = np.ascontiguousarray((mask if mask.dtype == bool else mask != 0).T).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0] if flat.size and flat[0] else []
    borders = np.concatenate([first, [0], edges, [flat.size]]).astype(np.int64)
    return pack_runs(borders[1:] - borders[:-1], height, width)


def encode_patch(patch: np.ndarray[Any, np.dtype[np.bool_]], left: int, top: int, height: int, width: int) -> MaskRle:
    """Encode a mask of which only a part may be set, without drawing the rest.

    Args:
        patch: `(h, w)` bool, the part; it lies inside the mask.
        left, top: where its first pixel lies in the mask.
        height, width: of the mask, pixels.
    """
    # A row for each column, with an unset pixel at both ends: a run ends with its column.
    flat = np.zeros((patch.shape[1], patch.shape[0] + 2), np.int8)
    flat[:, 1:-1] = patch.T
    edges = np.diff(flat, axis=1)  # (w, h + 1): where a run begins (1), and where one has ended (-1)
    columns, rows = np.nonzero(edges)
    borders = (columns + left) * height + rows + top  # start, end, start, end, ... of runs down the columns
    joined = np.flatnonzero(borders[2::2] == borders[1:-1:2])  # one touches the bottom, the next the top of the next column
    borders = np.delete(borders, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    runs = np.diff(borders, prepend=0, append=height * width).astype(np.int64)
    return pack_runs(runs[:-1] if len(runs) > 1 and runs[-1] == 0 else runs, height, width)


def decode_mask(rle: MaskRle) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Decode to `(H, W)` bool, contiguous. Raises: InvalidInput when the code is broken."""
    runs = unpack_runs(rle)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    # (W * H) -> (W, H) -> (H, W)
    return np.ascontiguousarray(flat.reshape(rle.width, rle.height).T)


def count_mask_pixels(rle: MaskRle) -> int:
    """How many pixels a mask sets, without decoding it."""
    return int(unpack_runs(rle)[1::2].sum())
