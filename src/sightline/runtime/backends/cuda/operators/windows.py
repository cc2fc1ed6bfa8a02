"""Where the windows of a convolution or a pool lie: kernel, strides, dilations and pads of each spatial axis."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.operator import Node

Pads = tuple[tuple[int, int], ...]  # before and behind, for each spatial axis


class Window(NamedTuple):
    """Geometry of the windows over the spatial axes.

    Attributes:
        kernel: numbers in a window, for each axis.
        strides: from one window to the next.
        dilations: from one number of a window to the next.
        pads: numbers before and behind.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pads

    @property
    def extents(self) -> tuple[int, ...]:
        """What a window spans, gaps included."""
        return tuple((kernel - 1) * step + 1 for kernel, step in zip(self.kernel, self.dilations, strict=True))

    @property
    def is_even(self) -> bool:
        """Whether each axis has as much before as behind."""
        return all(before == behind for before, behind in self.pads)

    @property
    def befores(self) -> tuple[int, ...]:
        """Pads before each axis."""
        return tuple(before for before, _ in self.pads)


def read_window(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """The windows of a node that slides over an input.

    Args:
        sizes: of the input's spatial axes.
        kernel: sizes of a window, unless the node states them.
    """
    rank = len(sizes)
    kernel = tuple(node.attributes.get("kernel_shape", kernel))
    strides = tuple(node.attributes.get("strides", (1,) * rank))
    dilations = tuple(node.attributes.get("dilations", (1,) * rank))
    window = Window(kernel, strides, dilations, read_pads(node, rank))
    if not fits_size(node):
        return window
    outputs = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
    totals = [
        max((count - 1) * stride + extent - size, 0)
        for size, count, stride, extent in zip(sizes, outputs, strides, window.extents, strict=True)
    ]
    return window._replace(pads=share_pads(totals, more_behind=node.attributes["auto_pad"] == "SAME_UPPER"))


def read_pads(node: Node, rank: int) -> Pads:
    """The pads that a node states; none where it says "VALID"."""
    pads = node.attributes.get("pads")
    if pads is None or node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        return ((0, 0),) * rank
    return tuple(zip(pads[:rank], pads[rank:], strict=True))


def fits_size(node: Node) -> bool:
    """Whether the pads follow from the input's size, so that each stride has its window."""
    return node.attributes.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")


def share_pads(totals: Sequence[int], *, more_behind: bool) -> Pads:
    """Halve each axis's pads; an odd one out goes behind or before."""
    lesser = [total // 2 for total in totals]
    pads = [(less, total - less) for less, total in zip(lesser, totals, strict=True)]
    return tuple(pads if more_behind else [(more, less) for less, more in pads])


def pad_spatially(x: torch.Tensor, pads: Pads, value: float = 0.0) -> torch.Tensor:
    """`x` `(N, C, *spatial)` with constants around it; negative pads cut."""
    if not any(map(any, pads)):
        return x
    return F.pad(x, [number for pair in reversed(pads) for number in pair], value=value)  # the last axis first
