import msgspec
from report_fakes import make_report, make_shown

from sightline.compiler.comparison import CategoryChange
from sightline.compiler.passes import PassRow
from sightline.compiler.report.page import render_page
from sightline.compiler.report.records import Flip, PeakFacts, SpeedRow
from sightline.compiler.tuning.goals import Timing
from sightline.runtime.backend import LayerRow


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
    same = CategoryChange(category="dent", baseline=0.5, candidate=0.5, low=None, high=None)
    for row, changed in ((same, 0), (msgspec.structs.replace(same, candidate=0.25, low=-0.5, high=0.0), 3)):
        comparison = msgspec.structs.replace(report.comparison, evidence="labels", metric="map", images=25, per_category=(row,))
        fields = {"comparison": comparison, "flip_count": changed, "requested": {"objective": "throughput"}}
        page = render_page(msgspec.structs.replace(report, task="detection", **fields), {})
        told = "None: all 25 pictures are answered as by FP32,\n  where an object may be less sure by 0.1 than what is shown."
        assert (told in page) == (not changed)
        assert "map: the area under precision over recall" in page
        assert ('<td class="n soft">unchanged</td>' in page) == (not changed)
        assert ('<td class="n">-50.00 to +0.00</td>' in page) == bool(changed)
        assert "+0.00 to +0.00" not in page
        assert ("3 of 25 pictures." in page) == ('aria-label="Change of accuracy by category"' in page) == bool(changed)


def test_of_a_detector_the_page_tells_what_is_shown_before_and_after() -> None:
    report = make_report(0.25, -0.25)
    assert report.comparison is not None
    row = CategoryChange(category="dent", baseline=0.9, candidate=0.6, low=-0.4, high=-0.2)
    shown = msgspec.structs.replace(make_shown(-0.3, -0.4, -0.2), per_category=(row,))
    comparison = msgspec.structs.replace(report.comparison, evidence="labels", metric="map", images=25)
    fields = {"task": "detection", "requested": {"objective": "throughput"}, "comparison": comparison}
    assert "objects shown" not in render_page(msgspec.structs.replace(report, **fields), {})  # an older report
    fields["comparison"] = msgspec.structs.replace(comparison, shown=shown)
    page = " ".join(render_page(msgspec.structs.replace(report, **fields), {}).split())
    assert "shown from the Model's own confidence of 0.35 up" in page
    assert "Of 1000 true objects, FP32 shows 900, and 90 false ones; compiled 600, and 20 false ones." in page
    assert '<td class="n">-30.00</td><td class="n">-40.00 to -20.00</td>' in page
    assert 'dent <span class="soft">(F1)</span>' in page


def make_timing(batch: int, throughput: float, latency_ms: float | None) -> Timing:
    return Timing(
        candidate="openvino int8 nncf",
        streams=1,
        threads=2,
        batch=batch,
        throughput=throughput,
        latency_ms=latency_ms,
        cpu_ms=9.0,
        throughput_range=(throughput, throughput),
        noise=0.0,
    )


def test_the_speed_on_top_tells_its_setting_and_one_picture_alone_is_that_of_the_race() -> None:
    report = make_report(0.25, -0.25)
    timings = [make_timing(8, 90.9, None), make_timing(1, 40.0, 25.55)]
    row = msgspec.structs.replace(report.candidates[0], name="openvino int8 nncf", best=timings[0], verdict="chosen")
    sweep = [SpeedRow(batch=1, streams=1, threads=2, throughput=36.0, latency_ms=27.56, cpu_ms=9.0)]
    fields = {"chosen": "openvino int8 nncf", "candidates": [row], "timings": timings, "sweep": sweep}
    page = render_page(msgspec.structs.replace(report, requested={"objective": "throughput"}, **fields), {})
    assert "<b>90.9</b><span>pictures / s, 1 stream × 2 threads, 8 pictures a batch</span>" in page
    assert "<b>25.55 ms</b><span>one picture alone</span>" in page
    assert '<td class="n">1 × 2 × 8</td>' in page


def test_the_page_of_a_failure_names_the_candidate_that_was_compared() -> None:
    report = msgspec.structs.replace(make_report(0.25, -0.25), requested={"objective": "throughput"})
    assert "which failed" not in render_page(report, {})  # an older report does not tell
    assert "Compiled: openvino int8 nncf, which failed." in render_page(
        msgspec.structs.replace(report, compared="openvino int8 nncf"), {}
    )


def test_passes_that_changed_nothing_take_one_line() -> None:
    report = msgspec.structs.replace(make_report(0.25, -0.25), requested={"objective": "throughput"})
    layer = LayerRow(name="a", source_layers=(), kind="Conv", primitive="", precision="int8", time_us=0, share=0.0)
    idle = PassRow(name="constant folding", nodes_before=9, nodes_after=9, max_error=0.0)
    rows = (
        (idle, True),
        *((msgspec.structs.replace(idle, **one), False) for one in ({"nodes_after": 7}, {"dropped": "worse"})),
    )
    for row, told in rows:
        page = render_page(msgspec.structs.replace(report, passes=[row], layers=[layer]), {})
        assert ("constant folding: none found anything to change." in page) == told
        assert ("Nodes before" in page) == (not told)


def test_of_a_label_the_picture_is_shown_once_and_of_boxes_before_and_after() -> None:
    report = make_report(0.25, -0.25)
    assert report.comparison is not None
    comparison = msgspec.structs.replace(report.comparison, evidence="labels", images=25)
    flip = Flip(file_name="a.png", truth="cat", baseline="cat 60 %", candidate="dog 51 %", place=3)
    fields = {"comparison": comparison, "flips": [flip], "flip_count": 1, "requested": {"objective": "throughput"}}
    for task, count in (("classification", 1), ("multilabel", 1), ("detection", 2)):
        page = render_page(msgspec.structs.replace(report, task=task, **fields), {3: (b"before", b"after")})
        assert page.count("<img") == count
        assert ("First FP32, then compiled." in page) == (count == 2)
