import re
from pathlib import Path

import pytest

from sightline.core.percent import format_percent, format_points

SOURCE = Path(__file__).parents[2] / "src" / "sightline"
IN_PICTURES = {SOURCE / "imaging" / "drawing.py"}  # where each letter hides pixels


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [(0.3477, 2, "34.77 %"), (0.84, 0, "84 %"), (1, 1, "100.0 %"), (0, 0, "0 %"), (12.5, 0, "1250 %"), (-0.01, 2, "-1.00 %")],
)
def test_a_share_is_written_with_a_space(share: float, digits: int, text: str) -> None:
    assert format_percent(share, digits) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (0.003, "+0.30"),
        (-0.01, "-1.00"),
        (-1e-6, "+0.00"),
        (1e-6, "+0.00"),
        (-0.0, "+0.00"),
        (-0.00006, "-0.01"),
        (1.0, "+100.00"),
    ],
)
def test_a_change_is_written_in_points_and_nothing_has_no_minus(change: float, text: str) -> None:
    assert format_points(change) == text


def test_nothing_else_writes_percent() -> None:
    files = {path for pattern in ("*.py", "*.html") for path in SOURCE.rglob(pattern)} - IN_PICTURES
    written = re.compile(r":[.\d]*%\}|100 \* [^\n]*\}\}? ?%(?!\})|format\(100 \*")
    assert len(files) > 400
    assert [path.name for path in files if written.search(path.read_text(encoding="utf-8"))] == ["percent.py"]
