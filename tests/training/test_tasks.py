import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import InputSpec
from sightline.models.network import Network
from sightline.training.learned_categories import find_learned_categories
from sightline.training.pictures import Pictures
from sightline.training.recipe import make_recipe
from sightline.training.tasks.classification import cut_batch, mix_batch
from sightline.training.tasks.semantic import UNLABELLED, make_label_map_reader
from sightline.training.tasks.table import build_task, check_task
from sightline.training.tasks.task import TaskContext, TrainingTask

SPEC = InputSpec(width=32, height=32, resize="stretch")


class Fixed(Network):
    """Answers with the logits it is given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.logits,)


def make_task(version, task: str, **changes: object) -> TrainingTask:
    learned = find_learned_categories(version, task)
    reader = make_label_map_reader(learned) if task == "semantic" else None
    pictures = Pictures(version, ("train",), width=32, height=32, cache_bytes=1 << 20, make_label_map=reader)
    return build_task(TaskContext(make_recipe(task, **changes), learned.categories, pictures, SPEC))


def score(task: TrainingTask, logits: Tensor, targets: Tensor) -> float:
    return sum(float(part) for part in task.compute_loss(Fixed(logits), torch.zeros(1), targets).values())


def test_a_sample_is_a_picture_of_the_input_s_size_and_its_category(make_version, rng: np.random.Generator) -> None:
    task = make_task(make_version("classification"), "classification")
    sample = task.make_sample(1, rng, 0.0)
    assert sample.image.shape == (32, 32, 3)
    assert sample.image.dtype == np.uint8
    assert sample.target.tolist() == [0, 1, 0]  # the second picture is green


def test_cross_entropy_is_minus_the_log_of_the_probability(make_version) -> None:
    task = make_task(make_version("classification"), "classification", label_smoothing=0.0)
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    assert score(task, logits, torch.eye(3)[:2]) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2, rel=1e-5)


def test_balanced_weights_raise_rare_categories_and_keep_the_mean(make_version) -> None:
    version = make_version("classification", {"train": 7})  # red 3, green 2, blue 2
    weights = make_task(version, "classification", class_weights="balanced").category_weights.numpy()
    assert weights[1] / weights[0] == pytest.approx(np.sqrt(3 / 2))
    assert (weights * [3, 2, 2]).sum() / 7 == pytest.approx(1)


def test_multilabel_pictures_have_several_categories(make_version, rng: np.random.Generator) -> None:
    task = make_task(make_version("multilabel"), "multilabel", label_smoothing=0.0)
    assert task.make_sample(2, rng, 0.0).target.tolist() == [1, 0, 1]  # blue ones are also called red
    logits = torch.tensor([[0.0, 2.0, -1.0]])
    truth = torch.tensor([[1.0, 1.0, 0.0]])
    by_hand = np.mean([np.log(2), np.log(1 + np.exp(-2)), np.log(1 + np.exp(-1))])
    assert score(task, logits, truth) == pytest.approx(by_hand, rel=1e-5)


def test_classification_refuses_pictures_with_two_categories(make_version) -> None:
    with pytest.raises(InvalidInput, match="got 2; label it, or train the task multilabel"):
        make_task(make_version("multilabel"), "classification")


def test_mixup_blends_pictures_and_targets_by_the_same_share(rng: np.random.Generator) -> None:
    images = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    images[1] = 100
    batch = mix_batch(images, torch.eye(2), rng)
    share = batch.blend()[0, 0, 0, 0].item() / 100
    assert 0 < share < 1
    assert batch.targets[0].tolist() == pytest.approx([1 - share, share])
    assert batch.targets.sum(1).tolist() == pytest.approx([1, 1])


def test_cutmix_counts_the_pasted_pixels(rng: np.random.Generator) -> None:
    images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    images[1] = 1
    batch = cut_batch(images, torch.eye(2), rng)
    assert batch.targets[0, 1].item() == pytest.approx(batch.images[0, :, :, 0].float().mean().item())
    assert 0 < batch.targets[0, 1].item() < 1


def test_a_label_map_follows_its_picture(make_version, rng: np.random.Generator) -> None:
    version = make_version("semantic")
    task = make_task(version, "semantic", augmentation={"brightness": 0, "contrast": 0, "colour": 0})
    for index, colour in enumerate(((220, 40, 40), (40, 200, 40))):
        sample = task.make_sample(index, rng, 0.0)
        coloured = np.abs(sample.image.astype(int) - colour).max(2) < 25
        assert np.count_nonzero(coloured & (sample.target == index)) > 0.8 * np.count_nonzero(
            coloured | (sample.target == index)
        )
    assert set(np.unique(sample.target)) <= {1, 3, UNLABELLED}  # green, background, outside


def test_pictures_without_a_mask_or_polygons_teach_no_pixels(make_version) -> None:
    with pytest.raises(InvalidInput, match="expected masks or polygons to learn from, got none"):
        make_task(make_version("detection"), "semantic")


def test_unlabelled_pixels_are_background_or_nothing_as_the_version_says(make_version) -> None:
    version = make_version("semantic")
    learned = find_learned_categories(version, "semantic")
    assert learned.categories.names == ("red", "green", "blue", "background")
    other = make_version("semantic", unlabelled_pixels="ignore", name="ignoring")
    assert find_learned_categories(other, "semantic").categories.names == ("red", "green", "blue")
    item = next(iter(other.items()))
    label_map = make_label_map_reader(find_learned_categories(other, "semantic"))(item)
    assert set(np.unique(label_map)) == {0, UNLABELLED}


def test_pixels_without_a_label_do_not_count(make_version) -> None:
    task = make_task(make_version("semantic", unlabelled_pixels="ignore"), "semantic")
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    targets[0, :2] = UNLABELLED
    counted = targets != UNLABELLED
    flat = logits.permute(0, 2, 3, 1)[counted]
    assert score(task, logits, targets) == pytest.approx(F.cross_entropy(flat, targets[counted].long()).item(), rel=1e-5)
    assert score(task, logits, torch.full_like(targets, UNLABELLED)) == 0


def test_coarse_logits_are_enlarged_to_the_label_map(make_version) -> None:
    task = make_task(make_version("semantic", unlabelled_pixels="ignore"), "semantic")
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 1] = 30.0
    assert score(task, logits, torch.ones(1, 8, 8, dtype=torch.uint8)) == pytest.approx(0, abs=1e-6)


def test_a_task_without_training_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="there is classification"):
        check_task("image")
