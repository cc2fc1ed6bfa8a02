"""Shares, and changes of them, as people read them: the one place that writes a percent sign behind a number."""


def format_percent(share: float, digits: int = 2) -> str:
    """`34.77 %` of 0.3477. Args: share: of 1, so 1 is 100 %; digits: behind the point."""
    return f"{100 * share:.{digits}f} %"


def format_points(change: float) -> str:
    """`+0.30` of 0.003, in points; what rounds to nothing is `+0.00`, not a loss of it. Args: change: of a share of 1."""
    return f"{round(100 * change, 2) + 0.0:+.2f}"  # -0.0 + 0.0 is 0.0
