import numpy as np
import psutil

from sightline.bench.process import LoadWatch, read_memory, read_peak_rss_bytes


def test_memory_grows_by_what_is_allocated_and_touched() -> None:
    before = read_memory()
    block = np.ones(32 << 20, np.uint8)  # 32 MiB, every page written
    after = read_memory()
    assert after.kind == before.kind
    assert after.size_bytes - before.size_bytes > 0.8 * block.nbytes


def test_the_peak_is_at_least_what_is_resident_now() -> None:
    peak = read_peak_rss_bytes()
    assert peak is not None
    # The kernel updates the counters of both in batches of pages.
    assert peak >= 0.95 * psutil.Process().memory_info().rss


def test_a_watch_too_short_to_tell_gives_no_other_load() -> None:
    load = LoadWatch().close()
    assert load.other_cores is None
    assert load.average_before >= 0
