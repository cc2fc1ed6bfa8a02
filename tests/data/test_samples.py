"""The generated inspection dataset: exact, seeded, usable for each task."""

import numpy as np
import pytest

from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.rendering import DEFECTS, draw_picture
from sightline.data.samples import generate_samples
from sightline.imaging.masks import decode_mask, find_mask_box


def test_the_same_seed_gives_the_same_version_another_seed_another(tmp_path):
    ids = [generate_samples(Workspace(tmp_path / str(n)), 6, seed).id for n, seed in enumerate((3, 3, 4))]
    assert ids[0] == ids[1] != ids[2]


def test_boxes_are_the_bounds_of_the_masks_of_the_same_pictures(tmp_path):
    boxes = generate_samples(Workspace(tmp_path / "a"), 12, task="detection")
    masks = generate_samples(Workspace(tmp_path / "b"), 12, task="instance")
    count = 0
    for boxed, masked in zip(boxes.items(), masks.items(), strict=True):
        assert boxed.blob == masked.blob
        for box, mask in zip(boxed.annotations, masked.annotations, strict=True):
            assert box.mask is None
            assert box.box_xyxy == find_mask_box(decode_mask(mask.mask))
            count += 1
    assert count >= 12


def test_defects_lie_on_the_part_and_do_not_touch():
    for seed in range(15):
        picture = draw_picture(np.random.default_rng(seed), list(DEFECTS), 320, 240)
        assert picture.image.shape == (240, 320, 3)
        seen = np.zeros((240, 320), int)
        for _, mask in picture.defects:
            assert not (mask & ~picture.part).any()
            seen += mask
        assert seen.max() <= 1


def test_a_pit_is_darker_than_the_part_around_it():
    visible = 0
    for seed in range(20):
        picture = draw_picture(np.random.default_rng(seed), ["hole"], 320, 240)
        for _, mask in picture.defects:
            around = picture.part & ~mask
            gray = picture.image.mean(axis=2)
            visible += gray[mask].mean() < gray[around].mean() - 10
    assert visible >= 15


def test_each_task_has_its_labels(tmp_path):
    for task, geometry in (("classification", "image"), ("multilabel", "image"), ("semantic", "mask"), ("detection", "box")):
        version = generate_samples(Workspace(tmp_path / task), 20, task=task, width=160, height=120)
        assert version.splits == {"test": 3, "train": 14, "val": 3}
        assert {annotation.geometry for item in version.items() for annotation in item.annotations} == {geometry}
        if task == "classification":
            assert all(len(item.annotations) == 1 for item in version.items())
        if task == "semantic":
            for item in version.items():
                assert np.sum([decode_mask(annotation.mask) for annotation in item.annotations], axis=0).max() == 1


def test_none_and_nonsense(tmp_path):
    assert generate_samples(Workspace(tmp_path), 0).count() == 0
    with pytest.raises(InvalidInput, match="0 or more"):
        generate_samples(Workspace(tmp_path), -1)
    with pytest.raises(Unsupported, match="one of the tasks"):
        generate_samples(Workspace(tmp_path), 1, task="poetry")


def test_a_folder_may_be_text(tmp_path):
    version = generate_samples(str(tmp_path / "version"), count=1, blobs=BlobStore(tmp_path / "blobs"))
    assert version.folder == tmp_path / "version"
