import pytest

from sightline.core.errors import InvalidInput
from sightline.training.budget import Budget, BudgetMeter, Spent


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("10min", "wall", 600),
        ("90s", "wall", 90),
        ("1.5h", "wall", 5400),
        ("360cpu-s", "cpu", 360),
        ("2cpu-min", "cpu", 120),
        ("30epochs", "epochs", 30),
        ("1 epoch", "epochs", 1),
        ("4000it", "iterations", 4000),
    ],
)
def test_budgets_are_read_with_their_units(text: str, kind: str, amount: float) -> None:
    assert Budget.parse(text) == Budget(kind, amount)


@pytest.mark.parametrize("text", ["", "10", "min", "-3min", "0it", "5 parsecs", "1e3it", "3,5h", f"{'9' * 400}it"])
def test_what_is_no_budget_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInput, match="10min, 360cpu-s, 30epochs or 4000it"):
        Budget.parse(text)


def test_epochs_become_steps_rounded_up() -> None:
    assert Budget.parse("3epochs").total_steps(items=10, batch_size=4) == 8  # 30 pictures in batches of 4
    assert Budget.parse("1epoch").total_steps(items=1, batch_size=64) == 1
    assert Budget.parse("1min").total_steps(items=10, batch_size=4) is None


def test_progress_of_iterations_depends_on_steps_alone() -> None:
    clock = Clock()
    meter = BudgetMeter(Budget.parse("4it"), 10, 2, clock, clock)
    clock.now_s += 1e6
    assert meter.progress() == 0
    meter.count_step()
    assert meter.progress() == 0.25
    assert meter.progress(3) == 0.75


def test_a_resumed_clock_budget_goes_on_where_it_stopped() -> None:
    wall, cpu = Clock(), Clock()
    meter = BudgetMeter(Budget.parse("100cpu-s"), 10, 2, wall, cpu, Spent(steps=7, wall_s=50, cpu_s=30))
    assert meter.progress() == pytest.approx(0.3)
    cpu.now_s += 20
    wall.now_s += 10
    assert meter.progress() == pytest.approx(0.5)
    assert meter.spent() == Spent(steps=7, wall_s=60, cpu_s=50)
    assert meter.remaining_s() == pytest.approx(60)  # half is used after 60 s
    cpu.now_s += 1000
    assert meter.progress() == 1


def test_the_progress_of_later_steps_follows_the_usual_pace() -> None:
    clock = Clock()
    meter = BudgetMeter(Budget.parse("100s"), 10, 2, clock, clock)
    assert meter.progress(30) == 0  # no step has been taken that would tell
    clock.now_s += 20
    meter.count_step()
    assert meter.progress(30) == pytest.approx(0.2)  # the first loads libraries
    for step_s in (0.1, 0.1, 2.8):  # as they come from three processes
        clock.now_s += step_s
        meter.count_step()
    assert meter.progress() == meter.progress(4) == pytest.approx(0.23)
    assert meter.progress(34) == pytest.approx(0.53)
    assert meter.progress(500) == 1


def test_the_time_left_is_unknown_before_the_first_step() -> None:
    clock = Clock()
    assert BudgetMeter(Budget.parse("4it"), 10, 2, clock, clock).remaining_s() is None
