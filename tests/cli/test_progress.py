import io

import pytest
from rich.console import Console

from sightline.cli.progress import Curve, LiveProgress, PlainProgress, format_numbers, make_bars
from sightline.cli.terminal import format_duration, format_size
from sightline.core.progress import ProgressEvent


def test_plain_progress_prints_a_line_per_tenth() -> None:
    out = io.StringIO()
    show = PlainProgress(Console(file=out, width=200))
    for number in range(101):
        show(ProgressEvent(stage="training", progress=number / 100))
    lines = out.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("training 0 %") and lines[-1].startswith("training 100 %")


def test_every_message_is_printed_and_brackets_are_no_markup() -> None:
    out = io.StringIO()
    show = PlainProgress(Console(file=out, width=200))
    for text in ("[bold]one", "two"):
        show(ProgressEvent(stage="import", message=text))
    assert "import: [bold]one\n" in out.getvalue() and "import: two\n" in out.getvalue()


def test_stages_that_take_turns_do_not_start_over() -> None:
    out = io.StringIO()
    show = PlainProgress(Console(file=out, width=200))
    for number in range(50):
        show(ProgressEvent(stage="training", progress=number / 1000))
        show(ProgressEvent(stage="validating", progress=number / 1000))
    assert len(out.getvalue().splitlines()) == 2


def test_the_live_bar_shows_numbers_and_survives_markup() -> None:
    out = io.StringIO()
    with make_bars(Console(file=out, force_terminal=True, width=200)) as bars:
        show = LiveProgress(bars)
        show(ProgressEvent(stage="[/x]", progress=0.5, metrics={"loss": 0.25}, remaining_s=65, message="[/y]"))
    assert "[/y]" in out.getvalue() and "loss 0.25" in out.getvalue() and "1 min 05 s left" in out.getvalue()


def test_the_live_bar_is_that_of_the_present_stage_and_ends_without_time_left() -> None:
    out = io.StringIO()
    with make_bars(Console(file=out, force_terminal=True, width=80)) as bars:
        show = LiveProgress(bars)
        show(ProgressEvent(stage="timing candidates", progress=0.6, remaining_s=100))
        show(ProgressEvent(stage="gate", progress=0.87, remaining_s=25))
        (task,) = bars.tasks
        assert (task.description, task.completed, task.fields["left"]) == ("gate             ", 0.87, "25 s left")
        show.stop()
        assert task.fields["left"] == ""


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (60, ["step 7"], ["1.276", "0.00123", "▁"]),
        (80, ["step 7", "loss 1.276"], ["0.00123", "▁"]),
        (120, ["step 7", "loss 1.276", "loss ▁", "metric ▁"], ["0.00123"]),
        (160, ["step 7", "loss 1.276", "loss ▁", "metric ▁", "learning_rate 0.00123"], []),
    ],
)
def test_name_percent_and_time_left_stay_whole_and_numbers_go_where_the_terminal_is_narrow(
    width: int, shown: list[str], left_out: list[str]
) -> None:
    out = io.StringIO()
    metrics = {"learning_rate": 0.00123, "step": 7, "loss": 1.276, "metric": 0.5}
    with make_bars(Console(file=out, force_terminal=True, width=width, color_system=None)) as bars:
        LiveProgress(bars)(ProgressEvent(stage="training", progress=0.42, metrics=metrics, remaining_s=200))
    line = next(line for line in out.getvalue().splitlines()[::-1] if "training" in line)
    assert all(part in line for part in ("training", "━", " 42 %", "3 min 20 s left", *shown))
    assert not any(part in line for part in left_out)


def draw(points: list[tuple[float, float]]) -> str:
    curve = Curve()
    for progress, value in points:
        curve.add(progress, value)
    return curve.draw()


def test_a_curve_goes_from_its_lowest_to_its_highest_value() -> None:
    assert draw([(n / 8, n) for n in range(8)]) == "▁▂▃▄▅▆▇█"
    assert draw([]) == ""
    assert draw([(0.0, 5.0)]) == "▁"
    assert draw([(0.0, 2), (0.5, 2), (1.0, 2)]) == "▁▁▁"
    assert draw([(0.0, 0), (0.01, 2), (0.9, 7), (0.91, 7)]) == "▁█"  # means 1 and 7


def test_a_long_training_has_a_short_curve() -> None:
    assert len(draw([(n / 10_000, float(n)) for n in range(10_001)])) == 16


def test_numbers_durations_and_sizes_read_well() -> None:
    event = ProgressEvent(stage="x", progress=0.5, metrics={"loss": 0.123456, "images": 12}, remaining_s=59.6)
    assert format_numbers(event) == "loss 0.1235  images 12  1 min 00 s left"
    assert [format_duration(s) for s in (0, 59.4, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 05 min"]
    assert [format_size(s) for s in (0, 999, 25_276_502_016)] == ["0 B", "999 B", "25.3 GB"]
