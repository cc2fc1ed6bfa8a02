import msgspec
from report_fakes import make_report

from sightline.compiler.comparison import CategoryChange, ShownChange
from sightline.compiler.report.page import render_page
from sightline.compiler.report.records import Flip, PeakFacts


def test_a_peak_that_no_probe_reached_is_a_lower_bound_and_gives_no_share() -> None:
    facts = PeakFacts(gflops={"int8": 300.0}, reached_gflops=240.0, share=0.8, method="")
    report = msgspec.structs.replace(make_report(0.25, -0.25), peak=facts, requested={"objective": "throughput"})
    assert "80 %" in render_page(report, {})
    own = msgspec.structs.replace(report, peak=msgspec.structs.replace(facts, is_own=True))
    page = render_page(own, {})
    assert "80 %" not in page
    assert "of a peak of at least 300 here" in page


def test_of_a_segmentation_the_page_says_what_counts_as_changed_and_by_how_much_each_picture_did() -> None:
    flip = Flip(file_name="road.png", truth="sky", baseline="pole", candidate="sky", place=0, changed_share=0.031)
    report = make_report(0.25, -0.25)
    assert report.comparison is not None
    comparison = msgspec.structs.replace(report.comparison, evidence="labels", images=25)
    changed = {"task": "semantic", "comparison": comparison, "flips": [flip], "requested": {"objective": "throughput"}}
    page = render_page(msgspec.structs.replace(report, **changed), {})
    assert "On 0 of 25 pictures more than 5 % of the pixels" in page
    assert "changed: 3.10 % of the pixels" in page


def test_the_pictures_asked_for_and_those_used_have_names_of_their_own() -> None:
    requested = {"objective": "throughput", "calibration_images": 300}
    report = msgspec.structs.replace(make_report(0.25, -0.25), requested=requested, pictures={"calibration_images": 205})
    page = render_page(report, {})
    assert "<td>calibration images, at most</td><td>300</td>" in page
    assert "<td>calibration images</td><td>205</td>" in page


def test_where_nothing_changed_the_page_says_so_and_draws_no_change() -> None:
    report = make_report(0.25, 0.0)
    assert report.comparison is not None
    same = CategoryChange(category="dent", baseline=0.5, candidate=0.5, low=0.0, high=0.0)
    for row, changed in ((same, 0), (msgspec.structs.replace(same, candidate=0.25, low=-0.5), 3)):
        comparison = msgspec.structs.replace(report.comparison, evidence="labels", metric="map", images=25, per_category=(row,))
        fields = {"comparison": comparison, "flip_count": changed, "requested": {"objective": "throughput"}}
        page = render_page(msgspec.structs.replace(report, task="detection", **fields), {})
        assert ("None: all 25 pictures are answered as by FP32." in page) == (not changed)
        assert "map: the area under precision over recall" in page
        assert ("3 of 25 pictures." in page) == ('aria-label="Change of accuracy by category"' in page) == bool(changed)


def test_of_a_detector_the_page_tells_what_is_shown_before_and_after() -> None:
    report = make_report(0.25, -0.25)
    assert report.comparison is not None
    row = CategoryChange(category="dent", baseline=0.9, candidate=0.6, low=-0.4, high=-0.2)
    shown = ShownChange(
        threshold=0.35,
        baseline=0.9,
        candidate=0.6,
        change=-0.3,
        low=-0.4,
        high=-0.2,
        objects=1000,
        baseline_shown=990,
        baseline_right=900,
        candidate_shown=620,
        candidate_right=600,
        per_category=(row,),
    )
    comparison = msgspec.structs.replace(report.comparison, evidence="labels", metric="map", images=25)
    fields = {"task": "detection", "requested": {"objective": "throughput"}, "comparison": comparison}
    assert "objects shown" not in render_page(msgspec.structs.replace(report, **fields), {})  # an older report
    fields["comparison"] = msgspec.structs.replace(comparison, shown=shown)
    page = " ".join(render_page(msgspec.structs.replace(report, **fields), {}).split())
    assert "shown from the Model's own confidence of 0.35 up" in page
    assert "Of 1000 true objects, FP32 shows 900, and 90 false ones; compiled 600, and 20 false ones." in page
    assert '<td class="n">-30.00</td><td class="n">-40.00 to -20.00</td>' in page
    assert 'dent <span class="soft">(F1)</span>' in page
