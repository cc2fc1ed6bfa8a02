"""Real datasets, imported, edited and frozen; the frozen versions are exported, measured and trained on like any other."""

import numpy as np
import pytest
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.data.editing import Put, Remove
from sightline.data.exporting import export_version
from sightline.data.importing import import_dataset
from sightline.data.samples import generate_samples
from sightline.data.statistics import compute_statistics
from sightline.imaging.rle import decode_mask, encode_mask
from sightline.training.recipe import make_recipe
from sightline.training.train import train_model


@pytest.fixture
def cells(shared_data, workspace, open_store):
    import_dataset(shared_data / "detection" / "bccd", workspace, "cells")
    return open_store().open("cells")


def edit_cells(dataset):
    """Boxes grown over the edges, one removed, one new: in the first twenty pictures."""
    for position in range(20):
        item = dataset.read_item(position)
        grown = [
            Put(id=label.id, annotation=replace(label.annotation, box_xyxy=(x0 - 5, y0 - 5, x1 + 5, y1 + 5)))
            for label in item.labels
            for x0, y0, x1, y1 in [label.annotation.box_xyxy]
        ]
        new = Put(id="a-new-platelet", annotation=Annotation(category="Platelets", box_xyxy=(600, 400, 640, 480)), place=0)
        dataset.append_edit(position, f"edit-{position:08d}", 0, [*grown, Remove(id="0"), new], "ann", blob=item.blob)


def test_edited_boxes_arrive_where_the_version_is_exported_and_imported_again(cells, workspace, tmp_path):
    edit_cells(cells)
    frozen = cells.freeze("ann")
    export_version(frozen, tmp_path / "coco", "coco", allow_loss=True)
    again, report = import_dataset(tmp_path / "coco", workspace, "again")
    assert report.is_clean
    shown = {item.file_name: item for item in (cells.read_item(position) for position in range(20))}
    arrived = {item.file_name.rpartition("/")[2]: item for item in again.items()}
    assert len(arrived) == 364
    for name, item in shown.items():
        boxes = [label.annotation.box_xyxy for label in item.labels]
        assert np.allclose([one.box_xyxy for one in arrived[name.rpartition("/")[2]].annotations], boxes, atol=1e-3)
        assert np.min(boxes) >= 0
        assert np.max(np.array(boxes)[:, [0, 2]]) <= 640
    statistics = compute_statistics(frozen)
    assert sum(part.images for part in statistics.splits.values()) == 364
    counts = cells.summarise().annotation_counts
    assert {name: sum(part.annotations[name] for part in statistics.splits.values()) for name in counts} == counts


def test_a_mask_that_was_painted_over_is_kept_to_the_pixel(shared_data, workspace, open_store):
    import_dataset(shared_data / "segmentation" / "camvid", workspace, "streets")
    dataset = open_store().open("streets")
    item = dataset.read_item(3)
    label = next(label for label in item.labels if label.annotation.category == "Car")
    mask = decode_mask(label.annotation.mask)
    mask[100:140, 200:260] = True
    painted = replace(label.annotation, mask=encode_mask(mask), box_xyxy=None)
    dataset.append_edit(3, "edit-00000001", 0, [Put(id=label.id, annotation=painted)], "ann")
    found = list(dataset.freeze("ann").items())[3]
    (car,) = [one for one in found.annotations if one.category == "Car"]
    assert (decode_mask(car.mask) == mask).all()
    rows, columns = np.nonzero(mask)
    assert car.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert len(found.annotations) == len(item.labels)


@pytest.mark.slow
def test_a_frozen_version_is_trained_on(workspace, open_store):
    generate_samples(workspace, 40, name="parts")
    dataset = open_store().open("parts")
    category = dataset.categories[0]
    dataset.rename_category(category.id, "crack", "ann")
    dataset.append_edit(
        0, "edit-00000001", 0, [Put(id="a-new-crack", annotation=Annotation(category="crack", box_xyxy=(0, 0, 9, 9)))], "ann"
    )
    model = train_model(dataset.freeze("ann"), make_recipe("detection", "fast", budget="2it"), workspace, name="parts-fast")
    assert b'"crack"' in (model / "manifest.json").read_bytes()
