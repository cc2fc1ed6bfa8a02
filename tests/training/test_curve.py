from pathlib import Path

import cv2
import msgspec

from sightline.training.curve import Curve, CurvePoint, build_figure, draw_curves, read_curve


def make_point(step: int, metric: float | None = None) -> CurvePoint:
    return CurvePoint(
        step=step,
        progress=step / 10,
        loss=1 / step,
        parts={"class": 1 / step},
        learning_rate=0.1,
        wall_s=1,
        cpu_s=2,
        metric=metric,
    )


def test_a_resumed_curve_holds_no_step_twice(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    with Curve(path) as curve:
        for step in range(1, 6):
            curve.add(make_point(step))
    with Curve(path, last_step=3) as again:
        for step in range(4, 7):
            again.add(make_point(step))
    assert [point.step for point in read_curve(path)] == [1, 2, 3, 4, 5, 6]


def test_a_half_written_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    with Curve(path) as curve:
        curve.add(make_point(1))
    with path.open("ab") as file:
        file.write(b'{"step":2,"progr')
    assert [point.step for point in read_curve(path)] == [1]
    with Curve(path, last_step=1):
        pass
    assert path.read_bytes().endswith(b"}\n")


def test_a_new_curve_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    for _ in range(2):
        with Curve(path) as curve:
            assert read_curve(path) == []
            curve.add(make_point(1))
    with Curve(path):
        pass
    assert read_curve(path) == []


def test_curves_are_drawn_with_and_without_validation(tmp_path: Path) -> None:
    for name, points in (("with", [make_point(1), make_point(2, 0.5)]), ("without", [make_point(1)])):
        draw_curves(points, "top1", tmp_path / f"{name}.png")
        image = cv2.imread(str(tmp_path / f"{name}.png"))
        assert image.std() > 5


def test_all_of_the_curve_is_inside_the_plot_and_the_kept_weights_are_marked() -> None:
    points = [make_point(1, 0.25), make_point(2, 0.5), make_point(3, 0.375)]
    points = [msgspec.structs.replace(point, loss=loss) for point, loss in zip(points, (1.625, 1.5, 1.53), strict=True)]
    losses, rates, metrics = build_figure(points, "top1").axes
    assert losses.get_ylim()[0] == 0 and losses.get_ylim()[1] > 1.625
    assert rates.get_ylim()[1] > max(point.learning_rate for point in points)
    assert metrics.lines[-1].get_marker() == "*" and list(metrics.lines[-1].get_ydata()) == [0.5]
    assert not any(line.get_clip_on() for line in metrics.lines)  # a dot at 0 or 1 is whole
