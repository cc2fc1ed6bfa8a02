import msgspec
from test_report import make_report

from sightline.compiler.page import render_page
from sightline.compiler.report import PeakFacts


def test_a_peak_that_no_probe_reached_is_a_lower_bound_and_gives_no_share() -> None:
    facts = PeakFacts(gflops={"int8": 300.0}, reached_gflops=240.0, share=0.8, method="")
    report = msgspec.structs.replace(make_report(0.25, -0.25), peak=facts, requested={"objective": "throughput"})
    assert "80 %" in render_page(report, {})
    own = msgspec.structs.replace(report, peak=msgspec.structs.replace(facts, is_own=True))
    page = render_page(own, {})
    assert "80 %" not in page
    assert "of a peak of at least 300 here" in page
