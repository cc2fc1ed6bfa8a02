"""Statistics of a small version, counted by hand; percentiles against numpy."""

import numpy as np
import pytest
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.workspace import Workspace
from sightline.data.items import Item
from sightline.data.statistics import compute_statistics, draw_statistics
from sightline.data.versions import VersionWriter


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
    assert statistics["splits"] == {
        "train": {"images": 2, "empty_images": 1, "annotations": {"cat": 2, "dog": 1}, "images_with": {"cat": 1, "dog": 1}},
        "unsplit": {"images": 1, "empty_images": 1, "annotations": {}, "images_with": {}},
        "val": {"images": 1, "empty_images": 0, "annotations": {"dog": 1}, "images_with": {"dog": 1}},
    }
    assert statistics["picture_sizes"] == {"10 x 20": 3, "30 x 30": 1}
    assert statistics["geometries"] == {"box": 3, "image": 1}
    assert statistics["box_sizes"]["dog"]["count"] == 1
    assert compute_statistics(version, "val").splits.keys() == {"val"}


def test_percentiles_are_within_one_percent(tmp_path):
    sizes = np.random.default_rng(0).lognormal(4, 1, (2000, 2))
    version = make(tmp_path, [("train", (9999, 9999), tuple(box("cat", *size) for size in sizes))])
    found = compute_statistics(version).box_sizes["cat"]
    for side, values in ((0, found.width), (1, found.height)):
        expected = np.percentile(sizes[:, side], [5, 25, 50, 75, 95], method="inverted_cdf")
        assert values == pytest.approx(expected, rel=0.0101)


def test_names_with_dollars_are_drawn_as_they_are(tmp_path):
    with VersionWriter(Workspace(tmp_path / "w"), "coins", Categories(["$\\frac$"])) as writer:
        item = Item(blob="0" * 64, file_name="0.png", width=9, height=9, annotations=(box("$\\frac$", 2, 2),))
        writer.add(item)
        version = writer.close()
    draw_statistics(compute_statistics(version), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size


def test_an_empty_version_has_statistics_and_a_picture(tmp_path):
    statistics = compute_statistics(make(tmp_path / "w", []))
    assert statistics.splits == {}
    assert statistics.box_sizes == {}
    draw_statistics(statistics, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size[0] > 500
