from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from msgspec import structs

from sightline.bench.comparing import compare_reports
from sightline.bench.pages import describe_metrics, list_confused, render_comparison
from sightline.bench.plots import STYLE, _plot_categories, _plot_curves, _plot_latency
from sightline.bench.records import Accuracy, DatasetFacts, PrecisionRecall, ReportContent
from sightline.bench.reports import find_missing, make_report_name, read_report, save_report
from sightline.bench.timing import compute_spread
from sightline.core.errors import Conflict, CorruptFile, InvalidInput
from sightline.core.percentiles import FEW_MEANING
from sightline.core.workspace import Workspace
from sightline.metrics.boundary import TOLERANCE

MakeContent = Callable[..., ReportContent]


def test_a_saved_report_reads_back_equal(make_content: MakeContent, tmp_path: Path) -> None:
    saved = save_report(make_content(), tmp_path / "report")
    again = read_report(tmp_path / "report")
    assert again.content == saved.content == make_content()
    assert again.id == saved.id
    assert {"report.json", "report.html", "plots/latency.png", "plots/throughput.png"} <= saved.manifest.files.keys()


def test_resamples_that_the_manifest_does_not_name_are_none_of_the_report(make_content: MakeContent, tmp_path: Path) -> None:
    report = save_report(make_content(), tmp_path / "report")
    (report.folder / "resamples.npz").write_bytes(b"of another")
    assert read_report(tmp_path / "report").read_resamples() is None


@pytest.mark.parametrize(
    ("field", "value", "missing"),
    [
        ("host", {}, "host"),
        ("host", {"cpu": "A CPU", "cores": 2, "packages": {}}, "package versions"),
        ("seed", None, "seed"),
        ("dataset", None, "dataset version"),
        ("dataset", DatasetFacts(name="x", version="", split="test", images=1, images_in_split=1), "dataset version"),
        ("throughput", (), "batch size"),
    ],
)
def test_an_incomplete_report_is_refused_by_name_and_leaves_nothing(
    make_content: MakeContent, tmp_path: Path, field: str, value: object, missing: str
) -> None:
    with pytest.raises(InvalidInput, match=missing):
        save_report(make_content(**{field: value}), tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_a_report_without_precision_is_refused(make_content: MakeContent, tmp_path: Path) -> None:
    subject = msgspec.structs.replace(make_content().subject, precision=None)
    assert find_missing(make_content(subject=subject)) == ["precision"]
    with pytest.raises(InvalidInput, match="precision"):
        save_report(make_content(subject=subject), tmp_path / "report")


def test_a_report_never_replaces_another(make_content: MakeContent, tmp_path: Path) -> None:
    save_report(make_content(), tmp_path / "report")
    with pytest.raises(Conflict):
        save_report(make_content(seed=1), tmp_path / "report")
    assert read_report(tmp_path / "report").content.seed == 0


def test_a_workspace_shelves_reports_under_name_and_id(make_content: MakeContent, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first, second = (save_report(make_content(seed=seed), workspace) for seed in (0, 1))
    assert workspace.list("reports", "parts") == [first.folder, second.folder]
    assert workspace.find("reports", "parts") == second.folder
    assert workspace.find("reports", f"parts@{first.id[:10]}") == first.folder
    assert [path.name for path in (tmp_path / "reports" / "parts").iterdir() if path.name.startswith(".")] == []


def test_a_damaged_report_gives_way_to_the_same_one(make_content: MakeContent, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    report = save_report(make_content(), workspace)
    (report.folder / "report.json").write_text("{}")
    again = save_report(report.content, workspace)
    assert again.folder == report.folder
    assert read_report(again.folder).content == report.content
    with pytest.raises(Conflict, match="holds this very Report already"):
        save_report(report.content, workspace)


def test_a_report_that_is_there_already_leaves_nothing_half_made(make_content: MakeContent, tmp_path: Path) -> None:
    report = save_report(make_content(), Workspace(tmp_path))
    with pytest.raises(Conflict):
        save_report(make_content(), Workspace(tmp_path))
    assert sorted(path.name for path in report.folder.parent.iterdir()) == sorted([report.folder.name, "latest"])


def test_a_changed_file_is_found(make_content: MakeContent, tmp_path: Path) -> None:
    save_report(make_content(), tmp_path / "report")
    (tmp_path / "report" / "report.json").write_text("{}")
    with pytest.raises(CorruptFile):
        read_report(tmp_path / "report")


def test_the_page_needs_nothing_but_itself(make_content: MakeContent, tmp_path: Path) -> None:
    page = save_report(make_content(), tmp_path / "report").page.read_text()
    for outside in ('src="http', "src='http", 'href="', "<link", "<script", "@import", "url(http"):
        assert outside not in page.replace('href="#', "").replace('xlink:href="#', "")
    assert page.count("<svg") == 4  # categories, precision over recall, latency, throughput
    assert "map: the area under precision over recall" in page


def test_metrics_whose_names_do_not_tell_what_they_are_are_explained_where_there_are_any(make_content: MakeContent) -> None:
    content = make_content()
    assert "boundary_f" not in describe_metrics(content)
    values = {"miou": 0.5, "boundary_f": 0.25}
    drawn = structs.replace(content, accuracy=structs.replace(content.accuracy, primary_name="miou", values=values))
    said = describe_metrics(drawn)
    assert said.startswith("miou: ")
    assert f"boundary_f: F1 of the outlines of categories, met within {100 * TOLERANCE:g} %" in said


def test_the_page_marks_percentiles_of_too_few_calls(make_content: MakeContent, tmp_path: Path) -> None:
    for count in (99, 100):
        spread = compute_spread(np.linspace(1, 9, count).tolist())
        latency = structs.replace(make_content().latency[0], ms=spread)
        page = save_report(make_content(latency=(latency,)), tmp_path / f"{count}").page.read_text()
        shown = f"{spread.p99:.2f}"
        assert (f"<td>{shown}*</td>" in page, f"<td>{shown}</td>" in page) == (count < 100, count == 100)
        assert (f"p99 {spread.p99:.1f} ms*" in page, FEW_MEANING in page) == (count < 100,) * 2
        assert ("batch 1*" in page, "* too few for a p99" in page) == (count < 100,) * 2  # in the plot
        axes = Figure().add_subplot()
        _plot_latency(axes, make_content(latency=(latency,)))
        assert axes.lines[-1].get_ydata().tolist() == [0.5, 0.9, 0.99][: 3 if count == 100 else 2]


def test_names_from_outside_are_escaped_in_page_and_plots(make_content: MakeContent, tmp_path: Path) -> None:
    evil = "<script>alert($1$)</script>"
    accuracy = Accuracy(primary_name="map", primary=0.5, values={"map": 0.5}, per_category={evil: {"ap": 0.4}})
    page = save_report(make_content(accuracy=accuracy, name=evil), tmp_path / "report").page.read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_categories_whose_shortened_names_are_equal_have_a_bar_each(make_content: MakeContent) -> None:
    names = [f"scratch on the {letter}-left housing side here" for letter in "AB"]
    rows = {names[0]: {"ap": 0.1}, names[1]: {"ap": 0.9}, "dent": {"ap": 0.5}}
    axes = Figure().add_subplot()
    _plot_categories(axes, make_content(accuracy=structs.replace(make_content().accuracy, per_category=rows)))
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axes.containers[0]]
    assert bars == [(pytest.approx(0), 0.9), (pytest.approx(1), 0.5), (pytest.approx(2), 0.1)]  # the worst on top
    assert len(axes.get_yticklabels()) == 3


def test_the_curves_are_those_of_the_worst_categories_and_the_plot_says_so(make_content: MakeContent) -> None:
    rows = {str(number): {"ap": 1 - number / 20} for number in range(12)}  # the last is the worst
    curves = tuple(PrecisionRecall(category=name, recall=(0.0, 1.0), precision=(1.0, 0.5)) for name in rows)
    axes = Figure().add_subplot()
    accuracy = structs.replace(make_content().accuracy, per_category=rows, curves=curves)
    _plot_curves(axes, make_content(accuracy=accuracy))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [str(number) for number in range(11, 3, -1)]
    assert axes.get_xlabel() == "recall (the 8 worst of 12 categories)"


def test_a_comparison_page_holds_both_names_and_the_warnings(make_content: MakeContent) -> None:
    a, b = make_content(name="first"), make_content(name="second", host=make_content().host | {"cpu": "Another CPU"})
    page = render_comparison(compare_reports(a, b), a, b)
    assert "first" in page
    assert "second" in page
    assert "different CPU (A CPU and Another CPU)" in page


def test_report_names_fit_folders() -> None:
    assert make_report_name("parts at http://x:8000/") == "parts-at-http---x-8000"
    with pytest.raises(InvalidInput):
        make_report_name("///")


def test_a_report_is_shown_in_a_line(make_content: MakeContent, tmp_path: Path) -> None:
    saved = save_report(make_content(), tmp_path / "report")
    assert repr(saved) == f"Report({saved.manifest.name!r}, {saved.id[:12]}, '{tmp_path / 'report'}')"


@pytest.mark.parametrize("plot", [_plot_latency, _plot_curves])
def test_the_legend_lies_above_the_curves(make_content: MakeContent, plot: Callable[[Axes, ReportContent], None]) -> None:
    result = make_content().latency[0]
    latency = tuple(structs.replace(result, batch_size=size) for size in (1, 8, 16, 32))
    with rc_context(STYLE):
        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        plot(axes, make_content(latency=latency))
        FigureCanvasAgg(figure).draw()
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1


def test_where_the_matrix_has_no_room_the_page_lists_what_is_taken_for_what(make_content: MakeContent, tmp_path: Path) -> None:
    names = (*(f"kind {number}" for number in range(49)), "background")
    confusion = [[5 if row == column else 0 for column in range(50)] for row in range(50)]
    confusion[3][7], confusion[4][8], confusion[5][49], confusion[49][6] = 2, 5, 90, 80  # the last two missed or made up
    accuracy = structs.replace(make_content().accuracy, confusion=confusion, confusion_names=names)
    content = make_content(accuracy=accuracy)
    assert list_confused(content) == [("kind 4", "kind 8", 5, 0.5), ("kind 3", "kind 7", 2, pytest.approx(2 / 7))]
    page = save_report(content, tmp_path / "report").page.read_text()
    assert "Most often confused" in page and "29 %" in page
    few = structs.replace(accuracy, confusion=[[1, 2], [0, 3]], confusion_names=("a", "b"))
    assert list_confused(make_content(accuracy=few)) == []
