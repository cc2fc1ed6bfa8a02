"""What becomes of memory that is freed, in a process that swaps: it has to go back to the system, and come back cheaply."""

import os

import torch

from sightline.core.malloc import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, set_malloc_options

MAPPED_BYTES = 1 << 20
KEPT_BYTES = 32 << 20
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # PyTorch reads it when it first allocates a tensor


def return_freed_blocks() -> None:
    """Blocks of 1 MiB and more are mapped one by one from now on, where the C library is glibc.

    Else freed activations stay in the heap, between others, and little is gained: ten convolutions in 24 MB of saved tensors
    took 285 MB above their start, and 65 MB with this.
    """
    set_malloc_options({M_MMAP_THRESHOLD: MAPPED_BYTES, M_TRIM_THRESHOLD: MAPPED_BYTES})


def keep_freed_blocks() -> None:
    """Freed blocks of up to 32 MiB stay in the heap again, which is where glibc ends by itself in a process that frees such."""
    set_malloc_options({M_MMAP_THRESHOLD: KEPT_BYTES, M_TRIM_THRESHOLD: 2 * KEPT_BYTES})


def use_huge_pages() -> None:
    """Have PyTorch ask for pages of 2 MB, if it has not allocated anything yet.

    Mapped blocks come back as pages that the system has to clear and enter one by one: with 4 kB pages the ten convolutions
    took 6.7 seconds of the system's time, with these 3.2.
    """
    if HUGE_PAGES not in os.environ:
        os.environ[HUGE_PAGES] = "1"
        torch.empty(1)  # has it read
        del os.environ[HUGE_PAGES]  # programs that are started from here choose for themselves
