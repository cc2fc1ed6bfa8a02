"""The detection task: samples, mosaics, what counts as an object, and two detectors that learn generated shapes by heart."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.data.augmentation import AugmentationSettings
from sightline.data.versions import VersionWriter
from sightline.models.csp_detector import CspDetector
from sightline.models.faster_rcnn import FasterRcnn
from sightline.models.network import normalise_images
from sightline.training.box_assignment import NO_OBJECT, Truth
from sightline.training.optimisers import build_optimiser
from sightline.training.pictures import Pictures
from sightline.training.recipe import make_recipe
from sightline.training.tasks.detection import DetectionTask
from sightline.training.tasks.task import TaskContext
from sightline.training.train import set_confidence

STILL = AugmentationSettings()


def make_detection_task(version, size: int = 64, augmentation: AugmentationSettings = STILL) -> DetectionTask:
    recipe = make_recipe("detection", augmentation=augmentation)
    pictures = Pictures(version, ("train",), width=size, height=size, cache_bytes=1 << 24)
    spec = InputSpec(width=size, height=size, resize="letterbox")
    return DetectionTask(TaskContext(recipe, version.categories, pictures, spec))


def test_a_sample_without_augmentation_is_the_letterboxed_picture_with_its_box(make_version, rng) -> None:
    version = make_version("detection", width=48, height=24)
    task = make_detection_task(version, 96)
    sample = task.make_sample(0, rng, 0.0)
    item = version.load_items("train")[0]
    x0, y0, x1, y1 = item.annotations[0].box_xyxy
    objects = sample.target
    assert sample.image.shape == (96, 96, 3)
    assert objects.boxes_xyxy[0] == pytest.approx(
        [2 * x0, 2 * y0 + 24, 2 * x1, 2 * y1 + 24], abs=1e-3
    )  # twice the size, bands of 24
    assert objects.labels.tolist() == [version.categories.index(item.annotations[0].category)]


def test_a_picture_that_is_not_kept_is_decoded_once_a_sample(make_version, rng, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_detection_task(make_version("detection"))
    pictures, read, indices = task.context.pictures, task.context.pictures.read, []
    monkeypatch.setattr(pictures, "read", lambda index: indices.append(index) or read(index))
    task.make_sample(2, rng, 0.0)
    assert indices == [2]


def test_mosaics_hold_objects_of_several_pictures_and_end_before_the_budget_does(make_version, rng) -> None:
    always = AugmentationSettings(mosaic=1.0, mosaic_scale=(0.5, 0.5), close=0.25)
    task = make_detection_task(make_version("detection"), augmentation=always)
    assert len(task.make_sample(0, rng, 0.0).target.labels) == 4
    assert len(task.make_sample(0, rng, 0.9).target.labels) == 1


def test_the_last_part_of_the_budget_sees_pictures_as_they_are(make_version, rng) -> None:
    version = make_version("detection", width=64, height=64)
    task = make_detection_task(version, augmentation=AugmentationSettings(scale=(0.5, 0.5), settle=0.2))
    box = np.array(version.load_items("train")[0].annotations[0].box_xyxy)
    assert task.make_sample(0, rng, 0.7).target.boxes_xyxy[0] == pytest.approx(box / 2 + 16, abs=1e-3)  # halved around (32, 32)
    assert task.make_sample(0, rng, 0.8).target.boxes_xyxy[0] == pytest.approx(box, abs=1e-3)


def test_so_do_mosaics(make_version, rng) -> None:
    always = AugmentationSettings(mosaic=1.0, mosaic_scale=(0.5, 0.5), shift=0.3, settle=0.2)
    task = make_detection_task(make_version("detection", width=64, height=64), augmentation=always)
    plain = make_detection_task(
        make_version("detection", width=64, height=64, name="again"),
        augmentation=AugmentationSettings(mosaic=1.0, mosaic_scale=(1, 1)),
    )
    settled, as_they_are = (one.make_sample(0, np.random.default_rng(3), 0.8) for one in (task, plain))
    assert np.array_equal(settled.image, as_they_are.image)


def find_visible_share(box_xyxy, left: float, top: float, right: float, bottom: float) -> float:
    """How much of a box lies in a window."""
    x0, y0, x1, y1 = box_xyxy
    seen = max(0, min(x1, right) - max(x0, left)) * max(0, min(y1, bottom) - max(y0, top))
    return seen / ((x1 - x0) * (y1 - y0))


@pytest.mark.parametrize("least_visible", [0.25, 0.45, 0.7])
def test_a_cut_object_is_learned_while_enough_of_it_shows(least_visible, make_version, rng) -> None:
    version = make_version("detection", width=64, height=64)
    task = make_detection_task(version, augmentation=AugmentationSettings(scale=(2, 2), least_visible=least_visible))
    boxes = [item.annotations[0].box_xyxy for item in version.load_items("train")]
    shares = [find_visible_share(box, 16, 16, 48, 48) for box in boxes]  # twice as large around (32, 32)
    learned = [len(task.make_sample(index, rng, 0.0).target.labels) for index in range(len(boxes))]
    assert learned == [share >= least_visible for share in shares]
    assert min(shares) < 0.45 and max(shares) > 0.7


@pytest.mark.parametrize("least_visible", [0.25, 0.45, 0.7])
def test_so_are_those_of_a_mosaic(least_visible, make_version, rng) -> None:
    version = make_version("detection", splits={"train": 1}, width=64, height=64)  # four times the same picture
    always = AugmentationSettings(mosaic=1.0, mosaic_scale=(1, 1), least_visible=least_visible)
    task = make_detection_task(version, augmentation=always)
    x0, y0, x1, y1 = version.load_items("train")[0].annotations[0].box_xyxy
    places = [(x0 + x, y0 + y, x1 + x, y1 + y) for x in (0, 64) for y in (0, 64)]
    shares = [find_visible_share(place, 32, 32, 96, 96) for place in places]  # the middle of a canvas of 128
    assert len(task.make_sample(0, rng, 0.0).target.labels) == sum(share >= least_visible for share in shares)


def relabel(version, path: Path, annotations: tuple[Annotation, ...]):
    """The first picture of a version with other annotations."""
    with VersionWriter(path, "relabelled", version.categories, version.blobs) as writer:
        writer.add(msgspec.structs.replace(version.load_items("train")[0], annotations=annotations))
        return writer.close()


def test_of_a_cut_object_with_an_outline_the_box_is_drawn_around_what_shows(make_version, tmp_path: Path, rng) -> None:
    triangle = Annotation(category="red", polygons=((8.0, 0.0, 48.0, 0.0, 48.0, 40.0),), box_xyxy=(8.0, 0.0, 48.0, 40.0))
    boxed = msgspec.structs.replace(triangle, polygons=None)
    amodal = msgspec.structs.replace(triangle, box_xyxy=(0.0, 0.0, 48.0, 40.0))
    version = relabel(make_version("detection", width=64, height=64), tmp_path / "relabelled", (triangle, boxed, amodal))
    task = make_detection_task(version, augmentation=AugmentationSettings(scale=(2, 2)))
    boxes = task.make_sample(0, rng, 0.0).target.boxes_xyxy  # of 16..48; there the triangle begins at x = 24
    assert boxes.tolist() == [[16, 0, 64, 48], [0, 0, 64, 48], [0, 0, 64, 48]]


def test_crowds_are_no_objects_but_are_carried_along(make_version, tmp_path: Path, rng) -> None:
    one = Annotation(category="red", box_xyxy=(8.0, 8.0, 24.0, 24.0))
    crowd = Annotation(category="blue", box_xyxy=(0.0, 0.0, 64.0, 64.0), is_crowd=True)
    version = make_version("detection", width=64, height=64)
    task = make_detection_task(relabel(version, tmp_path / "crowded", (one, crowd)))
    targets = task.collate([task.make_sample(0, rng, 0.0)], rng, 0.0).targets
    assert targets.is_object.tolist() == [[True, False]]
    assert targets.boxes_xyxy.tolist() == [[[8, 8, 24, 24], [0, 0, 64, 64]]]
    with pytest.raises(InvalidInput, match="expected boxes"):
        make_detection_task(relabel(version, tmp_path / "crowds", (crowd,)))


def test_a_network_with_a_loss_of_its_own_is_told_objects_and_crowds_apart() -> None:
    class Network:
        def compute_box_losses(self, images, boxes_xyxy, labels, crowds_xyxy):
            return {"boxes": boxes_xyxy, "labels": labels, "crowds": crowds_xyxy}

    boxes = torch.arange(16.0).reshape(1, 4, 4)
    truth = Truth(boxes, torch.tensor([[0, 1, 1, NO_OBJECT]]), torch.tensor([[False, True, False, False]]))
    told = DetectionTask.compute_loss(None, Network(), torch.zeros(1, 3, 8, 8), truth)
    assert [part.tolist() for part in told["boxes"]] == [boxes[0, [0, 2]].tolist()]
    assert [part.tolist() for part in told["labels"]] == [[0, 1]]
    assert [part.tolist() for part in told["crowds"]] == [boxes[0, [1]].tolist()]


def test_collate_pads_to_the_largest_number_of_objects(make_version, rng) -> None:
    always = AugmentationSettings(mosaic=1.0, mosaic_scale=(0.5, 0.5), close=0.25)
    task = make_detection_task(make_version("detection"), augmentation=always)
    batch = task.collate([task.make_sample(0, rng, 0.0), task.make_sample(1, rng, 0.9)], rng, 0.0)
    assert batch.images.shape == (2, 64, 64, 3)
    assert batch.targets.labels.shape == (2, 4)
    assert (batch.targets.labels[1] == NO_OBJECT).sum() == 3


def test_without_boxes_there_is_nothing_to_learn(make_version) -> None:
    with pytest.raises(InvalidInput, match="expected boxes"):
        make_detection_task(make_version("classification"))


def test_the_confidence_of_the_best_f1_becomes_the_model_s() -> None:
    spec = DecodeSpec(head="anchor_free", outputs=("a",))
    assert set_confidence(spec, {"best_confidence": 0.61}).confidence_threshold == 0.61
    assert set_confidence(spec, {}) is spec


def test_our_detector_learns_eight_pictures_by_heart(make_version, learn_by_heart) -> None:
    torch.manual_seed(0)
    network = CspDetector(3, 64, 64)
    version = make_version("detection", width=64, height=64)
    assert learn_by_heart("detection", network, version, make_detection_task(version), steps=40) > 0.9


@pytest.mark.slow
def test_the_loss_of_faster_rcnn_falls(make_version, rng) -> None:
    torch.manual_seed(0)
    network = FasterRcnn(3, 64, 64)
    task = make_detection_task(make_version("detection", width=64, height=64))
    batch = task.collate([task.make_sample(index, rng, 0.0) for index in range(2)], rng, 0.0)
    images = normalise_images(batch.images, network.input_spec)
    optimiser = build_optimiser(network.train(), make_recipe("detection", optimiser="adamw", learning_rate=1e-4))
    losses = []
    for _ in range(6):
        torch.manual_seed(1)  # the same regions are sampled each time
        loss = torch.stack(list(task.compute_loss(network, images, batch.targets).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
