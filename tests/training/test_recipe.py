import msgspec
import pytest

from sightline.core.errors import InvalidInput
from sightline.training.recipe import TASK_DEFAULTS, Recipe, make_recipe, read_recipe


@pytest.mark.parametrize("task", sorted(TASK_DEFAULTS))
def test_the_defaults_of_every_task_fit(task: str) -> None:
    recipe = make_recipe(task)
    assert recipe.task == task
    assert read_recipe(msgspec.to_builtins(recipe)) == recipe  # as a Model's manifest stores it


def test_every_field_is_documented() -> None:
    undocumented = [name for name in Recipe.__struct_fields__ if f"{name}" not in (Recipe.__doc__ or "")]
    assert undocumented == []


def test_changes_win_over_defaults_and_augmentation_is_merged() -> None:
    recipe = make_recipe("classification", "accurate", budget="5it", augmentation={"flip_x": 0.0})
    assert (recipe.network, recipe.budget, recipe.augmentation.flip_x) == ("accurate", "5it", 0.0)
    assert recipe.augmentation.shift == make_recipe("classification").augmentation.shift


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"colour_blind": True}, "colour_blind"),
        ({"budget": "soon"}, "budget"),
        ({"width": 64}, "width and height both"),
        ({"augmentation": {"scale": (0.0, 1.0)}}, "scale"),
        ({"augmentation": {"scale": (2.0, 1.0)}}, "scale"),
        ({"augmentation": {"mosaic_scale": (2.0, 1.0)}}, "mosaic_scale"),
        ({"augmentation": {"stretch": 0}}, "stretch"),
        ({"augmentation": {"flip": 1}}, "flip"),
        ({"augmentation": {"flip_x": 50}}, "flip_x"),
        ({"augmentation": {"least_visible": 25}}, "least_visible"),
        ({"augmentation": {"mixup": 0.7, "cutmix": 0.7}}, "mixup"),
        ({"augmentation": {"mosaic": 0.5}}, "mosaic"),
        ({"momentum": 1.0}, "momentum"),
        ({"processes": 0}, "processes"),
        ({"batch_size": 6, "processes": 4}, "multiple of processes, got 6 and 4"),
        ({"batch_size": 4, "processes": 4, "augmentation": {"cutmix": 0.1}}, "2 pictures a process"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make_recipe("classification", **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_weights": "balanced"}, "class_weights"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"augmentation": {"mixup": 0.5}}, "mixup"),
        ({"augmentation": {"erase": 0.5}}, "erase"),
    ],
)
def test_what_a_task_would_pass_over_in_silence_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=f"detection does not read .*{words}"):
        make_recipe("detection", **changes)


def test_a_task_that_there_is_not_is_refused_with_those_that_can_be_trained() -> None:
    tasks = "classification, multilabel, detection, instance, semantic"
    with pytest.raises(InvalidInput, match=f"expected a task of {tasks}, got 'detect'"):
        make_recipe("detect")  # type: ignore[arg-type]


def test_pictures_that_are_learned_cannot_choose_the_best_weights() -> None:
    with pytest.raises(InvalidInput, match="among train_splits"):
        make_recipe("detection", train_splits=("train", "val"), validation_split="val")


def test_lars_brings_a_rate_of_its_own_kind() -> None:
    recipe, usual = make_recipe("classification", optimiser="lars", momentum=0.8), make_recipe("classification")
    assert recipe.learning_rate > 100 * usual.learning_rate
    assert recipe.momentum == 0.8
    assert make_recipe("classification", "timm/resnet10t", optimiser="lars").weight_decay == recipe.weight_decay


def test_the_rate_is_scaled_from_the_batch_that_it_is_for() -> None:
    settings = {"learning_rate": 0.5, "batch_size": 96}
    rates = [make_recipe("classification", **settings, reference_batch=size).peak_rate for size in (None, 96, 32, 384)]
    assert rates == [0.5, 0.5, 1.5, 0.125]
