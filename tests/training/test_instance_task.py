"""The instance task: masks of samples, what counts as an object, and eight generated shapes that are learned by heart."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.data.augmentation import AugmentationSettings
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.masks import draw_polygons, encode_mask, find_mask_box
from sightline.models.csp_detector import CspDetector
from sightline.models.csp_instances import CspInstances
from sightline.training.mask_loss import MASK_POINTS
from sightline.training.pictures import Pictures
from sightline.training.recipe import make_recipe
from sightline.training.tasks.instance import InstanceTask, draw_grid, trace_annotation
from sightline.training.tasks.task import TaskContext
from sightline.training.validation import find_judged

STILL = AugmentationSettings()
PLACES = (np.arange(MASK_POINTS) + 0.5) / MASK_POINTS * 1.2 - 0.1  # of points, as shares of a box, with a tenth around it
TRIANGLE = (8.0, 0.0, 48.0, 0.0, 48.0, 40.0)


def make_instance_task(version: DatasetVersion, size: int = 64, augmentation: AugmentationSettings = STILL) -> InstanceTask:
    recipe = make_recipe("instance", augmentation=augmentation)
    pictures = Pictures(version, ("train",), width=size, height=size, cache_bytes=1 << 24)
    spec = InputSpec(width=size, height=size, resize="letterbox")
    return InstanceTask(TaskContext(recipe, version.categories, pictures, spec))


def relabel(version: DatasetVersion, path: Path, *annotations: Annotation) -> DatasetVersion:
    """The first picture of a version with other annotations."""
    with VersionWriter(path, "relabelled", version.categories, version.blobs) as writer:
        writer.add(msgspec.structs.replace(version.load_items("train")[0], annotations=annotations))
        return writer.close()


def outline(*polygons: tuple[float, ...], **fields: object) -> Annotation:
    return Annotation(category="red", polygons=polygons, **fields)


def test_a_sample_knows_which_points_of_its_boxes_lie_in_an_object(make_version, tmp_path: Path, rng) -> None:
    version = relabel(make_version("instance", width=64, height=64), tmp_path / "one", outline(TRIANGLE))
    target = make_instance_task(version).make_sample(0, rng, 0.0).target
    assert target.objects.boxes_xyxy.tolist() == [[8, 0, 48, 40]]
    (mask,) = target.masks
    x, y = PLACES[None], PLACES[:, None]  # shares of the box
    inside = (y > 0) & (y < x) & (x < 1)  # above the diagonal from top left to bottom right
    on_the_edge = np.eye(MASK_POINTS, dtype=bool)
    assert np.array_equal(mask & ~on_the_edge, inside)


@pytest.mark.parametrize("seed", range(5))
def test_masks_follow_every_augmentation(seed, make_version, tmp_path: Path) -> None:
    """The coloured pixels of the sample are those of its mask: turned, stretched, mirrored, cut and in mosaics."""
    strong = AugmentationSettings(
        scale=(0.7, 1.4), stretch=1.2, shift=0.1, rotation_deg=30, shear_deg=10, flip_x=0.5, flip_y=0.5, mosaic=0.5
    )
    version = make_version("instance", width=64, height=64)
    task = make_instance_task(version, size=128, augmentation=strong)
    for index in range(len(task.context.pictures)):
        sample = task.make_sample(index, np.random.default_rng((seed, index)), 0.0)
        for box, mask in zip(sample.target.objects.boxes_xyxy, sample.target.masks, strict=True):
            columns = np.floor(box[0] + PLACES * (box[2] - box[0])).astype(int)
            rows = np.floor(box[1] + PLACES * (box[3] - box[1])).astype(int)
            seen = np.ix_((rows >= 0) & (rows < 128), (columns >= 0) & (columns < 128))
            colours = sample.image[rows.clip(0, 127)[:, None], columns.clip(0, 127)[None]].astype(int)
            is_coloured = np.ptp(colours, axis=2) > 100  # noise around the shapes spans 70 at most
            assert (is_coloured == mask)[
                seen
            ].mean() > 0.88  # all but along the edge, which is blended over a pixel of a small box


def test_masks_with_holes_keep_them(make_version, tmp_path: Path, rng) -> None:
    mask = np.zeros((64, 64), bool)
    mask[8:36, 8:36] = True
    mask[15:29, 15:29] = False
    annotation = Annotation(category="red", mask=encode_mask(mask), box_xyxy=find_mask_box(mask))
    version = relabel(make_version("instance", width=64, height=64), tmp_path / "ring", annotation)
    target = make_instance_task(version).make_sample(0, rng, 0.0).target
    assert target.objects.boxes_xyxy.tolist() == [[8, 8, 36, 36]]
    places = np.floor(8 + PLACES * 28).astype(int)
    assert np.array_equal(target.masks[0], mask[np.ix_(places, places)])


def test_of_mask_and_box_the_mask_says_where_an_object_is(make_version, tmp_path: Path, rng) -> None:
    amodal = outline(TRIANGLE, box_xyxy=(0.0, 0.0, 64.0, 64.0))
    version = relabel(make_version("instance", width=64, height=64), tmp_path / "amodal", amodal)
    assert make_instance_task(version).make_sample(0, rng, 0.0).target.objects.boxes_xyxy.tolist() == [[8, 0, 48, 40]]


def test_a_mask_that_leaves_the_picture_is_dropped(make_version, tmp_path: Path, rng) -> None:
    corner, middle = outline((0, 0, 20, 0, 0, 20)), outline((24, 24, 40, 24, 40, 40, 24, 40))
    empty = Annotation(category="red", mask=encode_mask(np.zeros((64, 64), bool)))
    version = relabel(make_version("instance", width=64, height=64), tmp_path / "zoomed", corner, middle, empty)
    task = make_instance_task(version, augmentation=AugmentationSettings(scale=(2, 2)))
    target = task.make_sample(0, rng, 0.0).target  # shows 16..48; of the corner's box a tenth, and no pixel of it
    assert target.objects.boxes_xyxy.tolist() == [[16, 16, 48, 48]]
    assert target.masks[0, 3:-3, 3:-3].all() and not target.masks[0, :2].any()


def test_boxes_alone_and_crowds_teach_no_mask(make_version, tmp_path: Path, rng) -> None:
    boxed = Annotation(category="blue", box_xyxy=(0.0, 0.0, 8.0, 8.0))
    crowd = outline((0, 32, 64, 32, 64, 64, 0, 64), is_crowd=True)
    version = make_version("instance", width=64, height=64)
    task = make_instance_task(relabel(version, tmp_path / "mixed", outline(TRIANGLE), boxed, crowd))
    targets = task.collate([task.make_sample(0, rng, 0.0)], rng, 0.0).targets
    assert targets.boxes.is_object.tolist() == [[True, True, False]]
    assert targets.has_mask.tolist() == [[True, False, False]]
    with pytest.raises(InvalidInput, match="expected masks or polygons of objects to learn from, got none"):
        make_instance_task(relabel(version, tmp_path / "bare", boxed, crowd))


def test_collate_pads_to_the_largest_number_of_objects(make_version, tmp_path: Path, rng) -> None:
    always = AugmentationSettings(mosaic=1.0, mosaic_scale=(0.5, 0.5), close=0.25)
    task = make_instance_task(make_version("instance"), augmentation=always)
    batch = task.collate([task.make_sample(0, rng, 0.0), task.make_sample(1, rng, 0.9)], rng, 0.0)
    assert batch.targets.masks.shape == (2, 4, MASK_POINTS, MASK_POINTS)
    assert batch.targets.has_mask.tolist() == [[True] * 4, [True, False, False, False]]


@pytest.mark.parametrize("seed", range(10))
def test_traced_masks_are_drawn_as_they_were(seed) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 12)) < 0.6
    rings = trace_annotation(Annotation(category="red", mask=encode_mask(mask)))
    assert np.array_equal(draw_polygons([tuple(ring.ravel().tolist()) for ring in rings], 9, 12), mask)


def test_what_has_no_outline_meets_no_point() -> None:
    assert not draw_grid([], np.array([0, 0, 8, 8], np.float32)).any()


def test_only_outlines_are_truth_to_validate_masks_on(make_version, tmp_path: Path) -> None:
    version = make_version("instance", width=64, height=64)
    boxed = Annotation(category="blue", box_xyxy=(0.0, 0.0, 8.0, 8.0))
    mixed = relabel(version, tmp_path / "mixed", outline(TRIANGLE), boxed)
    assert find_judged(mixed, "train", "instance") == {"red"}


def test_a_detector_is_the_same_network_without_the_masks() -> None:
    torch.manual_seed(0)
    network = CspInstances(3, 64, 64)
    detector = CspDetector(3, 64, 64)
    own, less = network.state_dict(), detector.state_dict()
    assert set(less) < set(own)
    detector.load_state_dict({name: own[name] for name in less})
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        boxes = detector.eval()(images)
        *maps, prototypes = network.eval()(images)
    assert all(torch.equal(one, other) for one, other in zip(boxes[0::2], maps[0::3], strict=True))
    assert all(torch.equal(one, other) for one, other in zip(boxes[1::2], maps[1::3], strict=True))
    assert prototypes.shape == (2, 16, 16, 16)


def test_our_instance_segmenter_learns_eight_pictures_by_heart(make_version, learn_by_heart) -> None:
    torch.manual_seed(0)
    version = make_version("instance", width=64, height=64)
    assert learn_by_heart("instance", CspInstances(3, 64, 64), version, make_instance_task(version), steps=40) > 0.9
