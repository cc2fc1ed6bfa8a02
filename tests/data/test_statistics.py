"""Statistics of a small version, counted by hand; percentiles against numpy."""

import itertools

import numpy as np
import pytest
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Exhausted
from sightline.core.workspace import Workspace
from sightline.data import statistics as module
from sightline.data.items import Item
from sightline.data.statistics import build_figure, compute_statistics, draw_statistics
from sightline.data.versions import VersionWriter
from sightline.imaging.fonts import FontFile, find_usual_font

LABELS = {"cat": "cat", "dog": "dog"}  # by category


def make(folder, rows):
    with VersionWriter(Workspace(folder), "pets", Categories(["cat", "dog"])) as writer:
        for number, (split, size, annotations) in enumerate(rows):
            name = f"{number}.png"
            writer.add(Item(blob="0" * 64, file_name=name, width=size[0], height=size[1], split=split, annotations=annotations))
        return writer.close()


def box(category, width, height):
    return Annotation(category=category, box_xyxy=(0.0, 0.0, float(width), float(height)))


def test_counts_by_split_and_category(tmp_path):
    version = make(
        tmp_path,
        [
            ("train", (10, 20), (box("cat", 2, 4), box("cat", 2, 4), box("dog", 8, 1))),
            ("train", (10, 20), ()),
            ("val", (30, 30), (Annotation(category="dog"),)),
            (None, (10, 20), ()),
        ],
    )
    statistics = compute_statistics(version).to_dict()
    people = {"model_images": 0, "unseen_images": 0, "model_annotations": 0}
    assert statistics["splits"] == {
        "train": people
        | {"images": 2, "empty_images": 1, "annotations": {"cat": 2, "dog": 1}, "images_with": {"cat": 1, "dog": 1}},
        "val": people | {"images": 1, "empty_images": 0, "annotations": {"dog": 1}, "images_with": {"dog": 1}},
        "unsplit": people | {"images": 1, "empty_images": 1, "annotations": {}, "images_with": {}},
    }
    assert list(statistics["splits"]) == ["train", "val", "unsplit"]
    assert statistics["picture_sizes"] == {"10 x 20": 3, "30 x 30": 1}
    assert statistics["geometries"] == {"box": 3, "image": 1}
    assert statistics["box_sizes"]["dog"]["count"] == 1
    assert compute_statistics(version, "val").splits.keys() == {"val"}


def test_what_a_model_did_is_counted_by_itself(tmp_path):
    guess = Annotation(category="cat", confidence=0.5, origin="model")
    rows = [
        (None, (guess, box("dog", 2, 2))),
        (None, (guess, guess)),
        ("model", ()),
        ("nobody", ()),
        ("human", (guess,)),
        (None, ()),
    ]
    with VersionWriter(Workspace(tmp_path), "pets", Categories(["cat", "dog"])) as writer:
        for number, (viewer, annotations) in enumerate(rows):
            item = Item(blob="0" * 64, file_name=f"{number}", width=9, height=9, seen_by=viewer, annotations=annotations)
            writer.add(item)
        part = compute_statistics(writer.close()).splits["unsplit"]
    assert (part.images, part.empty_images, part.model_images, part.unseen_images, part.model_annotations) == (6, 3, 2, 1, 4)


def test_picture_sizes_beyond_the_most_that_are_told_apart_count_together(tmp_path, monkeypatch):
    monkeypatch.setattr("sightline.data.statistics.MAX_PICTURE_SIZES", 2)
    sizes = [(30, 30), (10, 20), (50, 50), (10, 20), (60, 60)]
    found = compute_statistics(make(tmp_path, [("train", size, ()) for size in sizes])).picture_sizes
    assert list(found.items()) == [("10 x 20", 2), ("other", 2), ("30 x 30", 1)]


def test_percentiles_are_within_one_percent(tmp_path):
    sizes = np.random.default_rng(0).lognormal(4, 1, (2000, 2))
    version = make(tmp_path, [("train", (9999, 9999), tuple(box("cat", *size) for size in sizes))])
    found = compute_statistics(version).box_sizes["cat"]
    for side, values in ((0, found.width), (1, found.height)):
        expected = np.percentile(sizes[:, side], [5, 25, 50, 75, 95], method="inverted_cdf")
        assert values == pytest.approx(expected, rel=0.0101)


def test_without_annotations_the_axis_shows_no_numbers_below_zero(tmp_path):
    (axes,) = build_figure(compute_statistics(make(tmp_path, [("train", (9, 9), ())])), LABELS).axes
    assert axes.get_xlim() == (0, 1)


def test_names_with_dollars_are_drawn_as_they_are(tmp_path):
    with VersionWriter(Workspace(tmp_path / "w"), "coins", Categories(["$\\frac$"])) as writer:
        item = Item(blob="0" * 64, file_name="0.png", width=9, height=9, annotations=(box("$\\frac$", 2, 2),))
        writer.add(item)
        version = writer.close()
    draw_statistics(compute_statistics(version), tmp_path / "plot.png", version.categories.names)
    assert (tmp_path / "plot.png").stat().st_size


def test_an_empty_version_has_statistics_and_a_picture(tmp_path):
    statistics = compute_statistics(make(tmp_path / "w", []))
    assert statistics.splits == {}
    assert statistics.box_sizes == {}
    draw_statistics(statistics, tmp_path / "plot.png", ["cat", "dog"])
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size[0] > 500


def test_a_plot_that_the_disk_has_no_room_for_leaves_nothing_behind(tmp_path, fill_disk):
    statistics = compute_statistics(make(tmp_path / "w", []))
    (tmp_path / "plots").mkdir()
    fill_disk()
    with pytest.raises(Exhausted, match=r"no room left on the disk while writing .*plot\.png"):
        draw_statistics(statistics, tmp_path / "plots" / "plot.png", ["cat", "dog"])
    assert not list((tmp_path / "plots").iterdir())


def test_no_percentile_lies_beyond_the_sizes_there_are(tmp_path):
    """480 px lie in a bin whose middle is 482 px, 305 in one of 304.3."""
    statistics = compute_statistics(make(tmp_path, [("train", (480, 360), (box("cat", 480, 305),))]))
    assert statistics.box_sizes["cat"].width == (480.0,) * 5
    assert statistics.box_sizes["cat"].height == (305.0,) * 5


@pytest.mark.parametrize(("smallest", "largest"), [(3, 480), (30, 40), (1, 5000)])
def test_the_labels_of_box_sizes_have_room(tmp_path, smallest, largest):
    rows = [("train", (9999, 9999), (box("cat", smallest, largest),))]
    figure = build_figure(compute_statistics(make(tmp_path, rows)), LABELS)
    figure.canvas.draw()
    axis = figure.axes[1].xaxis
    low, high = figure.axes[1].get_xlim()
    labels = [label for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True) if low <= place <= high]
    spans = [label.get_window_extent() for label in labels]
    assert len(spans) >= 2
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(spans))
    assert not [label.get_text() for label in axis.get_ticklabels(minor=True)]


def test_without_boxes_there_is_one_panel_whose_ticks_are_whole(tmp_path):
    figure = build_figure(compute_statistics(make(tmp_path, [("train", (9, 9), (Annotation(category="dog"),))])), LABELS)
    (axes,) = figure.axes
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_categories_that_are_left_out_are_counted(tmp_path):
    names = [f"c{number}" for number in range(50)]
    with VersionWriter(Workspace(tmp_path), "many", Categories(names)) as writer:
        annotations = tuple(Annotation(category=name) for name in names[:45])  # five have none
        writer.add(Item(blob="0" * 64, file_name="0.png", width=9, height=9, annotations=annotations))
        statistics = compute_statistics(writer.close())
    assert (
        build_figure(statistics, dict(zip(names, names, strict=True))).get_suptitle()
        == "many: the 40 most frequent of 45 categories"
    )


def test_long_names_leave_room_for_the_bars_and_foreign_scripts_warn_of_nothing(tmp_path):
    """Warnings are errors here: matplotlib gives up its layout where names take all the room, and misses letters."""
    names = ["x" * 120, "日本語のカテゴリー"]
    with VersionWriter(Workspace(tmp_path), "many", Categories(names)) as writer:
        annotations = tuple(box(name, 9, 9) for name in names)
        writer.add(Item(blob="0" * 64, file_name="0.png", width=9, height=9, annotations=annotations))
        draw_statistics(compute_statistics(writer.close()), tmp_path / "plot.png", names)
    assert (tmp_path / "plot.png").is_file()


def test_names_are_plotted_with_a_font_that_has_their_letters_else_as_numbers(tmp_path, monkeypatch):
    formulas = FontFile(find_usual_font().path.with_name("STIXNonUni.ttf"))  # has letters for private use
    names = ["cat", "\ue000\ue001", "猫"]
    with VersionWriter(Workspace(tmp_path), "pets", Categories(names)) as writer:
        annotations = tuple(Annotation(category=name) for name in names)
        writer.add(Item(blob="0" * 64, file_name="0.png", width=9, height=9, annotations=annotations))
        statistics = compute_statistics(writer.close())
    found = dict(zip(names, (find_usual_font(), formulas, None), strict=True))
    monkeypatch.setattr(module, "find_font", found.get)
    monkeypatch.setattr(module, "filterwarnings", lambda *_, **__: None)  # warnings are errors: a letter would be missing
    shown = []
    build = module.build_figure
    monkeypatch.setattr(module, "build_figure", lambda statistics, labels: shown.append(labels) or build(statistics, labels))
    draw_statistics(statistics, tmp_path / "plot.png", names)
    assert shown == [{"cat": "cat", names[1]: names[1], "猫": "category 2"}]
    assert (tmp_path / "plot.png").is_file()
