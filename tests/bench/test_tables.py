from collections.abc import Callable

import numpy as np
from msgspec import structs
from rich.console import Console, RenderableType

from sightline.bench.comparing import ComparedNumber, compare_reports
from sightline.bench.pages import render_comparison
from sightline.bench.records import EnergyResult, LoadResult, ReportContent
from sightline.bench.tables import build_comparison_table, build_report_table
from sightline.bench.timing import compute_spread

MakeContent = Callable[..., ReportContent]


def render(table: RenderableType, width: int = 160) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_table_holds_accuracy_latency_throughput_and_what_is_not_known(make_content: MakeContent) -> None:
    text = render(build_report_table(make_content(notes=("a note",))))
    for expected in ("map50", "0.8000", "end to end", "200.0", "190.0–220.0", "energy: not known, no counter", "note: a note"):
        assert expected in text


def test_no_number_is_cut_in_a_narrow_terminal(make_content: MakeContent) -> None:
    """80 characters hold every number whole; in 60 what does not fit goes on in the next line."""
    slow = compute_spread([1234.5] * 1000)
    content = make_content(
        latency=tuple(structs.replace(make_content().latency[0], stage=stage, ms=slow) for stage in ("end_to_end", "network")),
        throughput=(structs.replace(make_content().throughput[0], repeats=(1190.0, 1200.5, 1220.0), joules_per_image=0.25),),
    )
    text = render(build_report_table(content), width=80)
    lines = text.splitlines()
    assert next(line for line in lines if "network alone" in line).split()[2:] == ["1", *["1234"] * 4, "0.00", "7.00", "1000"]
    assert "1190.0–1220.0" in text and "0.250" in text and "pictures/s" in text
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "…" not in text + render(build_report_table(content), width=60)


def test_a_percentile_that_was_read_from_too_few_calls_is_marked(make_content: MakeContent) -> None:
    rows = {count: compute_spread(np.linspace(1, 9, count).tolist()) for count in (9, 99, 100)}
    for count, marks in {9: ["", "*", "*"], 99: ["", "", "*"], 100: ["", "", ""]}.items():
        latency = (structs.replace(make_content().latency[0], ms=rows[count]),)
        content = make_content(latency=latency)
        text = render(build_report_table(content))
        line = next(line for line in text.splitlines() if "end to end" in line).split()
        assert [cell[4:] for cell in line[4:7]] == marks
        assert ("too few" in text) == ("*" in marks)
        other = make_content(latency=(structs.replace(latency[0], ms=rows[100]),))
        compared = render(build_comparison_table(compare_reports(other, content)))
        found = {name: f"{name}*" in compared for name in ("p50", "p90", "p99")}
        assert list(found.values()) == [mark == "*" for mark in marks]
        assert ("too few" in compared) == ("*" in marks)


def test_known_energy_and_other_load_stand_in_the_table(make_content: MakeContent) -> None:
    energy = EnergyResult(joules_per_image=0.25, power_w=50.0, source="RAPL")
    load = LoadResult(average_before=1.0, average_after=2.0, other_cores=1.2)
    text = render(build_report_table(make_content(energy=energy, load=load)))
    assert "0.250 J per picture, 50.0 W (RAPL)" in text
    assert "other programs kept 1.2 cores busy" in text


def test_the_comparison_shows_ratio_and_warnings(make_content: MakeContent) -> None:
    other = make_content(host=make_content().host | {"cores": 8})
    text = render(build_comparison_table(compare_reports(make_content(), other)))
    assert "careful: different number of cores (2 and 8): speeds are not compared" in text
    assert "1.000" in text


def test_names_with_brackets_stand_in_the_tables_as_they_are(make_content: MakeContent) -> None:
    """To the terminal's markup `[rusty]` is a style that is left out, and `[/old]` the end of one that never began."""
    names = ("bolt [rusty]", "washer [/old]")
    accuracy = structs.replace(make_content().accuracy, per_category={name: {"ap": 0.5} for name in names})
    content = make_content(accuracy=accuracy)
    for table in (build_report_table(content), build_comparison_table(compare_reports(content, content))):
        text = render(table)
        assert all(name in text for name in names)


def test_two_reports_of_one_name_are_told_apart(make_content: MakeContent) -> None:
    compared = compare_reports(make_content(), make_content(subject=structs.replace(make_content().subject, precision="bf16")))
    assert "bf16" in compared.b and "bf16" not in compared.a
    assert f"b: {compared.b}" in render(build_comparison_table(compared))


def test_the_interval_of_the_accuracy_stands_below_a_comparison(make_content: MakeContent) -> None:
    content = make_content(accuracy=structs.replace(make_content().accuracy, primary_low=0.45, primary_high=0.55))
    line = "map: 95 % between 0.4500 and 0.5500 (a), 0.4500 and 0.5500 (b)"
    assert line in render(build_comparison_table(compare_reports(content, content)))


def test_the_intervals_of_the_differences_stand_in_the_comparison_and_the_reasons_below_it(make_content: MakeContent) -> None:
    numbers = [
        ComparedNumber(
            group="accuracy",
            name=name,
            unit="",
            better="higher",
            a=0.5,
            b=0.6,
            difference=0.1,
            ratio=1.2,
            difference_interval=ends,
            no_interval=reason,
        )
        for name, ends, reason in (
            *((f"{place}: ap", (0.05, 0.15), "") for place in range(40)),
            ("tiny", (-0.00001, 0.00001), ""),
            ("map_small", None, "it needs more"),
            ("map_large", None, "it needs more"),
            ("rare: ap", None, "unchanged"),
        )
    ]
    comparison = structs.replace(compare_reports(make_content(), make_content()), numbers=tuple(numbers))
    page = render_comparison(comparison, make_content(), make_content())
    for text in (" ".join(render(build_comparison_table(comparison)).split()), page):
        assert "+0.0500 to +0.1500" in text
        assert "unchanged" in text
        assert "of 41 about 2 by chance alone" in text
        assert "o interval of map_small, map_large: it needs more" in text
        assert "+0.0000 to +0.0000" in text and "-0.0000" not in text
    few = structs.replace(comparison, numbers=tuple(numbers[:19]))
    assert "by chance alone" not in render(build_comparison_table(few))
