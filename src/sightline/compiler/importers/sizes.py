"""Arithmetic of sizes that the readers of several frameworks share: SAME padding, and the factors of a Resize."""

import numpy as np


def find_same_pads(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros in front and behind that TensorFlow's SAME padding adds: the output has ceil(size / stride) elements."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def find_resize_factor(before: int, after: int, stated: float | None = None) -> np.float32:
    """The first float32 from `after / before` on by which `before` pixels, rounded down, become `after`.

    Args: stated: a factor that the file gives itself, to begin with.
    """
    factor = np.float32(after / before if stated is None else stated)
    while int(before * float(factor)) < after:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor
