"""Final Stats, plots, CSV and the folder, all from one measured content that is changed where a case needs it."""

import csv
import io
import re
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from rich.console import Console
from sweep_fakes import make_pictures, write_model

from sightline.bench.inference_sweep.measure import SweepRequest, sweep_inference
from sightline.bench.inference_sweep.pages import find_best, render_csv, save_sweep
from sightline.bench.inference_sweep.plots import _plot_accuracy, compute_wilson_interval, draw_sweep_plots
from sightline.bench.inference_sweep.records import SweepContent
from sightline.bench.inference_sweep.tables import build_sweep_table, describe_sweep, format_number
from sightline.bench.timing import compute_spread
from sightline.core.errors import Conflict

ODD_NAME = '<b>&"other'  # of a category, which must not become HTML
NUMBERS = {  # milliseconds of three iterations by (precision, batch size)
    ("fp32", 1): [2.0, 2.0, 5.0],
    ("fp32", 10): [20.0, 25.0, 30.0],
    ("int8", 1): [1.0, 1.0, 1.0],
    ("int8", 10): [5.0, 5.0, 8.0],
}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> SweepContent:
    folder = tmp_path_factory.mktemp("sweep")
    rows = [(split, colour, colour) for split in ("train", "test") for colour in ("red", "green", "blue", "dark")]
    rows += [("test", "red", ODD_NAME), ("test", "red", "blue")]
    version = make_pictures(folder / "data", rows, ("red", "green", "blue", "dark", ODD_NAME))
    request = SweepRequest(batch_sizes=(1, 10), iterations=3, precisions=("fp32", "int8"))
    measured = sweep_inference(write_model(folder / "model"), version, request, threads=1)
    changed = []
    for row in measured.rows:
        ms = compute_spread(NUMBERS[row.precision, row.batch_size])
        changed.append(msgspec.structs.replace(row, ms=ms, started_at="2026-11-21T08:00:01+00:00"))
    return msgspec.structs.replace(measured, rows=tuple(changed), created_at="2026-11-21T08:00:00+00:00", host_name="a-host")


def show(content: SweepContent, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), no_color=True)
    console.print(build_sweep_table(content))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_final_stats_hold_every_number_of_the_source_s_tool(content: SweepContent) -> None:
    text = show(content)
    lines = [line.split() for line in text.splitlines()]
    # total, mean, min, max, range, std, median of 20, 25, 30 ms; ms a picture; pictures a second: by hand
    assert ["fp32", "10", "0.0750", "25.00", "20.00", "30.00", "10.00", "5.000", "25.00", "2.500", "400.0"] in lines
    assert ["int8", "1", "0.0030", "1.000", "1.000", "1.000", "0", "0", "1.000", "1.000", "1000"] in lines
    answers = next(line for line in lines if line[:3] == ["fp32", "10", "30"])
    assert answers[3:-1] == ["6", "20", "25", "66.67", "%", "83.33", "%"]  # 4 and 5 of 6 pictures, five times
    assert "…" not in text + show(content, width=60)
    for words in ("Final Stats", "2026-11-21 08:00:00 UTC", "host a-host", "3 iterations a row", "int8 by ort-minmax"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 80


def test_numbers_have_four_digits_that_count() -> None:
    values = (0.0, 0.01234, 0.5, 3.14159, 12.345, 123.456, 1234.5, 123456.7)
    assert [format_number(value) for value in values] == ["0", "0.0123", "0.5000", "3.142", "12.35", "123.5", "1234", "123457"]


def test_the_csv_has_a_line_a_row(content: SweepContent) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(content))))
    assert [(row["data_type"], row["batch_size"]) for row in rows] == [
        ("fp32", "1"),
        ("fp32", "10"),
        ("int8", "1"),
        ("int8", "10"),
    ]
    row = rows[1]
    assert (row["date"], row["time"], row["host"]) == ("2026-11-21", "08:00:01+00:00", "a-host")
    assert [float(row[f"{name}_ms"]) for name in ("mean", "min", "max", "range", "std", "median", "picture")] == [
        25, 20, 30, 10, 5, 25, 2.5]  # fmt: skip
    assert (row["predictions"], row["correct_top1"], row["correct_top5"]) == ("30", "20", "25")
    assert float(row["pictures_per_s"]) == 400


def test_cells_without_a_value_are_empty_in_the_csv_and_dashes_in_the_table(content: SweepContent) -> None:
    rows = tuple(msgspec.structs.replace(row, correct_top1=None, correct_top5=None, labelled=0) for row in content.rows)
    silent = msgspec.structs.replace(content, rows=rows)
    assert next(csv.DictReader(io.StringIO(render_csv(silent))))["top1"] == ""
    assert "–" in show(silent)
    assert [plot.name for plot in draw_sweep_plots(silent)] == ["latency", "throughput"]


def test_the_three_plots_are_drawn_and_differ_by_precision(content: SweepContent) -> None:
    plots = {plot.name: plot for plot in draw_sweep_plots(content)}
    assert list(plots) == ["latency", "throughput", "accuracy"]
    for plot in plots.values():
        image = cv2.imdecode(np.frombuffer(plot.png, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[0] > 400 and len(np.unique(image.reshape(-1, 3), axis=0)) > 20
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
        assert {"fp32", "int8"} <= set(texts)
    assert "66.7 %" in plots["accuracy"].svg and "83.3 %" in plots["accuracy"].svg


def test_the_whisker_of_the_accuracy_is_that_of_the_labelled_pictures(content: SweepContent) -> None:
    """Of 6 pictures, each seen 5 times, 2 have a label: 10 of 30 predictions."""
    row = next(row for row in content.rows if row.batch_size == 10)
    row = msgspec.structs.replace(row, labelled=10, correct_top1=5, correct_top5=None)
    axes = Figure().add_subplot()
    _plot_accuracy(axes, msgspec.structs.replace(content, rows=(row,)))
    (whisker,) = (line for line in axes.collections if isinstance(line, LineCollection))
    low, high = compute_wilson_interval(0.5, 2)
    assert whisker.get_segments()[0][:, 1] == pytest.approx([100 * low, 100 * high])
    assert axes.get_ylabel().startswith("% right of 2 labelled pictures")


def test_a_sweep_is_one_folder_whose_page_needs_nothing_else(content: SweepContent, tmp_path: Path) -> None:
    page = save_sweep(content, tmp_path / "new")
    names = sorted(path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert names == ["plots/accuracy.png", "plots/latency.png", "plots/throughput.png", "sweep.csv", "sweep.html", "sweep.json"]
    text = page.read_text()
    assert text.count("<svg") == 3 and not re.search(r'(src|href)="(?!#)', text)
    assert "&lt;b&gt;&amp;&#34;other" in text and "<b>&" not in text  # in a note: the network does not know it
    assert msgspec.json.decode((tmp_path / "new" / "sweep.json").read_bytes(), type=SweepContent) == content
    with pytest.raises(Conflict):
        save_sweep(content, tmp_path / "new")


def test_the_best_row_is_the_one_with_most_pictures_a_second(content: SweepContent) -> None:
    assert find_best(content.rows, "fp32").batch_size == 1  # 500 against 400
    assert find_best(content.rows, "int8").batch_size == 10  # 1000 against 2000


def test_the_lines_above_say_what_ran(content: SweepContent) -> None:
    text = "\n".join(describe_sweep(content))
    assert "openvino, 1 thread" in text and "colours, test, 6 of 6" in text and "4 pictures of colours, split train" in text


def test_wilson_s_interval_is_that_of_the_paper_s_formula() -> None:
    assert compute_wilson_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # statsmodels, method "wilson"
    assert compute_wilson_interval(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert compute_wilson_interval(0.0, 1) == pytest.approx((0.0, 0.7935), abs=1e-4)
