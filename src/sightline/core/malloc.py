"""Options of the C library's memory allocator, for this process. Only glibc has them (mallopt(3))."""

import ctypes
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h


def set_malloc_options(options: Mapping[int, int]) -> bool:
    """Set options by number. Returns: whether the C library can and did; glibc's does."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(option, value) == 1 for option, value in options.items())
