import pytest

from sightline.compiler.stages import Stages
from sightline.core.progress import ProgressEvent


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress_and_time_left_follow_the_shares() -> None:
    events: list[ProgressEvent] = []
    clock = Clock()
    stages = Stages({"short": 1, "long": 3}, events.append, clock)
    stages.begin("short")
    clock.now = 10
    stages.begin("long")
    assert (events[-1].stage, events[-1].progress, events[-1].remaining_s) == ("long", 0.25, 30)
    stages.update(0.5)
    assert events[-1].progress == pytest.approx(0.625)
    stages.update(0.1)  # a stage that repeats its work
    assert events[-1].progress == pytest.approx(0.625)
    clock.now = 40
    stages.finish()
    assert stages.seconds == {"short": 10, "long": 30}
    assert (events[-1].stage, events[-1].progress, events[-1].remaining_s) == ("long", 1.0, None)


def test_a_stage_entered_twice_adds_its_seconds() -> None:
    clock = Clock()
    stages = Stages({"a": 1, "b": 1}, lambda event: None, clock)
    for name in ("a", "b", "a"):
        stages.begin(name)
        clock.now += 2
    stages.finish()
    assert stages.seconds == {"a": 4, "b": 2}
