"""The guide to labelling names every key of the editor."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ACTION = re.compile(r"^  (\w+): \{ label: .*, keys: \[(.*)\] \},$", re.MULTILINE)
SERIES = {f"{number}" for number in range(2, 9)}  # the guide says `1` to `9`


def test_each_key_of_the_editor_is_in_the_guide() -> None:
    actions = ACTION.findall((ROOT / "web/src/editor/keys.ts").read_text())
    chords = {chord for _, chords in actions for chord in re.findall(r'"([^"]+)"', chords)}
    assert len(actions) > 40
    guide = (ROOT / "docs/guides/label.md").read_text()
    missing = {chord for chord in chords - SERIES if "Arrow" not in chord and f"`{chord}`" not in guide}
    assert missing == set()
    assert "arrows, with `Shift`" in guide
