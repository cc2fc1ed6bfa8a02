from pathlib import Path

import cv2

from sightline.training.curve import Curve, CurvePoint, draw_curves, read_curve


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
