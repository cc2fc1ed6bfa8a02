import pytest

from sightline.core.percentiles import FEW_MARK, has_percentile, mark_few


@pytest.mark.parametrize(("name", "needed"), [("p50", 2), ("p90", 10), ("p95", 20), ("p99", 100), ("p999", 1000), ("mean", 1)])
def test_a_percentile_needs_one_over_what_lies_beyond_it(name: str, needed: int) -> None:
    assert has_percentile(name, needed) and not has_percentile(name, needed - 1)
    assert (mark_few(name, needed), mark_few(name, needed - 1)) == ("", FEW_MARK)
