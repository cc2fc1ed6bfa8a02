"""Shares as people read them: the one place that writes a percent sign behind a number."""


def format_percent(share: float, digits: int = 2) -> str:
    """`34.77 %` of 0.3477. Args: share: of 1, so 1 is 100 %; digits: behind the point."""
    return f"{100 * share:.{digits}f} %"
