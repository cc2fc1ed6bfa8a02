"""Large blocks of memory go back to the system as soon as they are freed: a server that decoded a large picture shrinks again.

glibc maps a block of its own from the system when it is large enough, and unmaps it when it is freed. By default it calls ever
larger blocks small, up to 32 MB, once such have been freed; those lie in the arena of their thread, which grows to its largest
request and keeps that for good: a few pictures of 49 million pixels left 1 GB behind. A fixed bound, above what an ordinary
request allocates, costs such requests nothing.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE_BYTES = 4 << 20


def return_large_blocks() -> bool:
    """Map blocks of `LARGE_BYTES` and more by themselves from now on. Returns: whether the C library can; glibc's does."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Setting one stops glibc from moving the other, which it keeps at twice the first; else each arena's end would be given
    # back above 128 kB, and mapped again for the next request.
    return all(
        mallopt(option, size) == 1 for option, size in ((M_MMAP_THRESHOLD, LARGE_BYTES), (M_TRIM_THRESHOLD, 2 * LARGE_BYTES))
    )
