"""Percentiles of times, and how many times they need: from 1 / (1 - p) on at least one lies beyond.

A 99th percentile of 40 calls is nearly the slowest of them. Such a number stays in the records, with its count beside it;
where people read it, it is marked.
"""

PERMILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
FEW_MARK = "*"
FEW_MEANING = f"{FEW_MARK} read from too few to have such a percentile: p90 needs 10, p95 20, p99 100"


def has_percentile(name: str, count: int) -> bool:
    """Whether so many times have the percentile of this name; any have what is none, a mean."""
    return count * (1000 - PERMILLE.get(name, 0)) >= 1000


def mark_few(name: str, count: int) -> str:
    """What stands behind a percentile of so many times: a mark where they are too few, else nothing."""
    return "" if has_percentile(name, count) else FEW_MARK
