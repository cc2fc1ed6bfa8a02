"""The heap of a long-lived process: what the C library keeps for itself of memory that was freed.

Large blocks. glibc maps a block of its own from the system when it is large enough, and unmaps it when it is freed. By default
it calls ever larger blocks small, up to 32 MB, once such have been freed; those lie in the arena of their thread, which grows
to its largest request and keeps that for good: a few pictures of 49 million pixels left 1 GB behind. A fixed bound, above what
an ordinary request allocates, costs such requests nothing.

Arenas. By default threads spread over eight arenas a core, and each keeps pages that one small block still lies in: over 100
swaps of MobileNetV3-Large, prepared for three numbers of rows, memory grew by 7 %, with two arenas a core by 0.2 %. Pictures
a second were the same (1.00, median of five rounds in turns, 16 and 64 clients).
"""

from sightline.core.malloc import M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, set_malloc_options

LARGE_BYTES = 4 << 20
ARENAS_OF_CORE = 2


def return_large_blocks() -> bool:
    """Map blocks of `LARGE_BYTES` and more by themselves from now on. Returns: whether the C library can; glibc's does."""
    # Setting one stops glibc from moving the other, which it keeps at twice the first; else each arena's end would be given
    # back above 128 kB, and mapped again for the next request.
    return set_malloc_options({M_MMAP_THRESHOLD: LARGE_BYTES, M_TRIM_THRESHOLD: 2 * LARGE_BYTES})


def limit_arenas(cores: int) -> bool:
    """Let threads share `ARENAS_OF_CORE` arenas a core; those that are there stay. Returns: as `return_large_blocks`."""
    return set_malloc_options({M_ARENA_MAX: ARENAS_OF_CORE * cores})
