import xml.etree.ElementTree as ElementTree

import pytest

from sightline.compiler.charts import draw_category_chart
from sightline.compiler.comparison import CategoryChange, Comparison


@pytest.mark.parametrize("name", ["$\\frac$", "from $5 to $10", "日本", "<b>&</b>"])
def test_a_category_of_any_name_stands_in_the_chart_as_it_is(name: str) -> None:
    comparison = Comparison(
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
