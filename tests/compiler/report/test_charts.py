import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sightline.compiler.comparison import CategoryChange, CompiledComparison
from sightline.compiler.report import charts
from sightline.compiler.report.charts import draw_category_chart, draw_sweep_chart
from sightline.compiler.report.records import SpeedRow


@pytest.mark.parametrize("name", ["$\\frac$", "from $5 to $10", "日本", "<b>&</b>"])
def test_a_category_of_any_name_stands_in_the_chart_as_it_is(name: str) -> None:
    comparison = CompiledComparison(
        metric="top1",
        category_metric="recall",
        images=9,
        baseline=0.5,
        candidate=0.4,
        change=-0.1,
        low=-0.3,
        high=0.1,
        method="",
        agreement_name="",
        agreement=1.0,
        mean_iou=None,
        per_category=(CategoryChange(category=name, baseline=0.5, candidate=0.4, low=-0.3, high=0.1),),
    )
    svg = ElementTree.fromstring(draw_category_chart(comparison))
    assert name in [text.strip() for text in svg.itertext()]


def test_the_legend_of_a_sweep_lies_above_the_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(charts, "to_svg", lambda figure, title: drawn.append(figure) or "")
    rows = [
        SpeedRow(batch=batch, streams=streams, threads=1, throughput=9.0, latency_ms=1.0 if streams == 1 else None, cpu_ms=1.0)
        for batch in (1, 2)
        for streams in (1, 2)
    ]
    draw_sweep_chart(rows)
    (figure,) = drawn
    FigureCanvasAgg(figure).draw()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1 stream × 1 thread", "2 streams × 1 thread"]
    assert all(figure.legends[0].get_window_extent().y0 >= axes.get_window_extent().y1 for axes in figure.axes)
    assert all(axes.get_legend() is None for axes in figure.axes)
