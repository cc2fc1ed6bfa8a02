"""The Recipe: every setting of a training, in one typed record that is stored in the Model it makes.

`make_recipe` starts from the defaults of a task and a network, so that a user names a task, a dial and a budget and no more.
"""

from typing import Annotated, Any, Literal, get_args

import msgspec

from sightline.core.errors import InvalidInput
from sightline.core.manifests import Task
from sightline.data.augmentation import AugmentationSettings, Share
from sightline.training.budget import Budget
from sightline.training.schedules import ScheduleName

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]

DEFAULT_VALIDATION_SPLIT = "val"


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a training.

    Attributes:
        task: what is learned.
        network: "fast", "accurate", a name from the reference of networks, or "timm/<name>".
        budget: how long to train: "10min", "360cpu-s", "30epochs", "4000it".
        size: longest side of the network's input, pixels; the other side follows the pictures' aspect if the task allows it.
        width, height: exact input size, pixels; both or none. They take precedence over `size`.
        batch_size: pictures per step.
        micro_batch: pictures that are computed at once, at most; None computes the whole batch at once. The gradients of the
            parts of a batch are added up; batch norms see a part at a time.
        processes: processes on this machine's CPU that share each batch, as many pictures each; 1 = none but the one.
        optimiser: "muon" (orthogonal updates of kernels, adamw for the rest), "adamw", "sgd" (Nesterov momentum) or "lars"
            (momentum whose steps are shares of each kernel's length, for large batches).
        learning_rate: peak rate, reached after the warm-up.
        reference_batch: the batch size that `learning_rate` is for: the peak rate is `learning_rate * batch_size /
            reference_batch` (Goyal et al. 2017, §2.1); None takes `learning_rate` as it is.
        momentum: momentum of sgd, lars and muon; the first beta of adamw.
        weight_decay: not applied to biases and norms.
        schedule, warm_up, final_rate: decay of the rate; share of the budget that warms up; last rate as a share of the peak.
        clip_norm: gradients are scaled down to this global norm; 0 = never.
        average_decay: decay of the exponential moving average of the weights, which is validated and kept.
        augmentation: how pictures are varied; see `AugmentationSettings`.
        label_smoothing: share of the target spread over all categories (not for detection and instance).
        class_weights: "balanced" weighs categories by the inverse root of their frequency (not for detection and instance).
        train_splits: splits to learn from.
        validation_split: split that chooses the best weights; None keeps the last weights.
        validations: how often to validate over the whole budget, evenly spaced.
        patience: stop after so many validations without a better metric; None never stops early.
        device: "auto" takes the CUDA GPU if PyTorch sees one, else the CPU; "cpu" or "cuda" insist.
        precision: arithmetic of the forward pass; "auto" takes bf16 where the device computes it natively.
        weights: file of start weights, .safetensors or a PyTorch state dict.
        pretrained: try to fetch published start weights, for networks that have them.
        checkpoint_s: seconds between checkpoints.
        log_every: steps between lines of the curve.
        prefetch_threads: threads that prepare the next batches; they do not change the result.
        prefetch_processes: processes that do so instead; 0 leaves it to the threads; None means 0 on a CPU, and all cores but
            one beside a GPU.
        activation_bytes: memory for what a forward pass keeps for the backward pass; the rest waits in a file beside the
            checkpoint, and comes back. The result is the same to the last bit. None keeps all in memory. Not on GPUs.
        cache_bytes: memory for decoded pictures; what does not fit is decoded again each time.
        seed: seed of weights, order and augmentation.
    """

    task: Task
    network: str = "fast"
    budget: str = "10min"
    size: Positive | None = None
    width: Positive | None = None
    height: Positive | None = None
    batch_size: Positive = 16
    micro_batch: Positive | None = None
    processes: Positive = 1
    optimiser: str = "adamw"
    learning_rate: NotNegative = 2e-3
    reference_batch: Positive | None = None
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 0.02
    schedule: ScheduleName = "cosine"
    warm_up: Share = 0.05
    final_rate: Share = 0.01
    clip_norm: NotNegative = 10.0
    average_decay: Share = 0.998
    augmentation: AugmentationSettings = AugmentationSettings()
    label_smoothing: Share = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    train_splits: tuple[str, ...] = ("train",)
    validation_split: str | None = DEFAULT_VALIDATION_SPLIT
    validations: Annotated[int, msgspec.Meta(ge=0)] = 10
    patience: Positive | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    weights: str | None = None
    pretrained: bool = False
    checkpoint_s: NotNegative = 30.0
    log_every: Positive = 10
    prefetch_threads: Positive = 1
    prefetch_processes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    activation_bytes: Positive | None = None
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1 << 30
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0

    @property
    def peak_rate(self) -> float:
        """The learning rate after the warm-up: k times the reference batch takes k times its rate."""
        return self.learning_rate * (1.0 if self.reference_batch is None else self.batch_size / self.reference_batch)


# Orthogonalised steps learn fastest from random weights. TrashNet, small classifier at 128 pixels, best top-1 on val: muon
# 0.759 after 500 steps, adamw 0.649 after 600 (one run each).
MUON: dict[str, Any] = {"optimiser": "muon", "learning_rate": 8e-3, "momentum": 0.95}
# Libraries' transformers have no convolutions to orthogonalise and want small, smooth steps.
TIMM_DEFAULTS: dict[str, Any] = {"optimiser": "adamw", "learning_rate": 1e-3, "momentum": 0.9, "weight_decay": 0.05}
# Its rate is in thousandths of a kernel's length, so no other optimiser's rate suits it. TrashNet, small classifier at 64
# pixels, batches of 256, 5 epochs, top-1 on val, one run each: rate 3 0.439, 5 0.460, 10 0.485, 30 0.317. Biases and norms had
# the same rate in these; at a tenth of it, which is kept, 10 gives 0.482.
LARS: dict[str, Any] = {"learning_rate": 10.0, "momentum": 0.9, "weight_decay": 5e-4}
# Objects, with masks or without: what is learned of them is the same network.
DETECTOR: dict[str, Any] = {
    "batch_size": 8,
    "optimiser": "muon",
    "learning_rate": 8e-3,
    "momentum": 0.9,
    "augmentation": AugmentationSettings(
        scale=(0.7, 1.35),
        shift=0.12,
        flip_x=0.5,
        brightness=0.05,
        contrast=0.15,
        colour=0.2,
        mosaic=0.4,
        mosaic_scale=(0.6, 1.2),
        close=0.25,
    ),
}

# What a task changes in the defaults above.
TASK_DEFAULTS: dict[Task, dict[str, Any]] = {
    "classification": {
        **MUON,
        "batch_size": 32,
        "label_smoothing": 0.1,
        "augmentation": AugmentationSettings(
            scale=(0.8, 1.3), stretch=1.25, shift=0.1, rotation_deg=15, flip_x=0.5, brightness=0.15, contrast=0.2, colour=0.1
        ),
    },
    "multilabel": {
        **MUON,
        "batch_size": 32,
        "augmentation": AugmentationSettings(
            scale=(0.8, 1.2), shift=0.08, rotation_deg=10, flip_x=0.5, brightness=0.15, contrast=0.2, colour=0.1
        ),
    },
    "detection": DETECTOR,
    "instance": DETECTOR,
    "semantic": {
        **MUON,
        "batch_size": 8,
        "schedule": "poly",
        "augmentation": AugmentationSettings(
            scale=(0.6, 2.0), shift=0.25, rotation_deg=5, flip_x=0.5, brightness=0.15, contrast=0.2, colour=0.1
        ),
    },
}


def make_recipe(task: Task, network: str = "fast", **changes: Any) -> Recipe:
    """A Recipe: the defaults of a task, and of the optimiser "lars" where that is asked for, with `changes` on top.

    Args:
        task: "classification", "multilabel", "detection", "instance" or "semantic".
        network: "fast", "accurate", a name from the reference of networks, or "timm/<name>".
        changes: fields of `Recipe`: `budget="10min"`, `seed=1`; `augmentation` may be a dict of the fields to change.

    Raises: InvalidInput naming the field that does not fit.
    """
    if task not in get_args(Task):
        raise InvalidInput(f"expected a task of {', '.join(TASK_DEFAULTS)}, got {task!r}; choose one of these")
    settings: dict[str, Any] = {"task": task, "network": network, **TASK_DEFAULTS.get(task, {})}
    if network.startswith("timm/"):
        settings |= TIMM_DEFAULTS
    if changes.get("optimiser") == "lars":
        settings |= LARS
    augmentation = changes.pop("augmentation", None)
    if isinstance(augmentation, dict):
        base = settings.get("augmentation", AugmentationSettings())
        settings["augmentation"] = {**msgspec.to_builtins(base), **augmentation}
    elif augmentation is not None:
        settings["augmentation"] = augmentation
    return read_recipe({**settings, **changes})


def read_recipe(settings: dict[str, Any]) -> Recipe:
    """A Recipe from plain values, checked. Raises: InvalidInput naming the field that does not fit."""
    try:
        recipe = msgspec.convert(msgspec.to_builtins(settings), Recipe)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"the recipe does not fit: {error}; "
            "in Python, help(sightline.Recipe) and help(sightline.AugmentationSettings) list its fields"
        ) from error
    Budget.parse(recipe.budget)
    if (recipe.width is None) != (recipe.height is None):
        raise InvalidInput(
            f"expected width and height both or neither, got {recipe.width} and {recipe.height}; give size instead"
        )
    if recipe.validation_split in recipe.train_splits:
        raise InvalidInput(
            f"validation_split {recipe.validation_split!r} is among train_splits, whose pictures are learned; "
            "give another one, or null to keep the last weights"
        )
    for name in ("scale", "mosaic_scale"):
        smallest, largest = getattr(recipe.augmentation, name)
        if smallest > largest:
            raise InvalidInput(f"expected an augmentation {name} (smallest, largest), got ({smallest}, {largest}); swap them")
    _check_uses(recipe)
    _check_parts(recipe)
    return recipe


def _check_parts(recipe: Recipe) -> None:
    """Refuse a batch that its processes cannot share alike. Raises: InvalidInput."""
    if recipe.batch_size % recipe.processes:
        raise InvalidInput(
            f"expected a batch_size that is a multiple of processes, got {recipe.batch_size} and {recipe.processes}; change "
            "one of them"
        )
    if recipe.batch_size == recipe.processes > 1 and recipe.augmentation.mixup + recipe.augmentation.cutmix > 0:
        raise InvalidInput(
            f"expected at least 2 pictures a process, which blends its own, got batch_size {recipe.batch_size} for "
            f"{recipe.processes} processes; raise batch_size, or leave out mixup and cutmix"
        )


def _check_uses(recipe: Recipe) -> None:
    """Refuse what this task would pass over in silence. Raises: InvalidInput naming the setting."""
    varied, is_labelling = recipe.augmentation, recipe.task in ("classification", "multilabel")
    is_finding = recipe.task in ("detection", "instance")
    passed_over = {
        "class_weights": is_finding and recipe.class_weights != "none",
        "label_smoothing": is_finding and recipe.label_smoothing > 0,
        "augmentation.mosaic": not is_finding and varied.mosaic > 0,
        **{f"augmentation.{name}": not is_labelling and getattr(varied, name) > 0 for name in ("mixup", "cutmix", "erase")},
    }
    for name in (name for name, is_passed_over in passed_over.items() if is_passed_over):
        raise InvalidInput(
            f"{recipe.task} does not read {name}, and would train as if it were not set; leave it at its default"
        )
    if varied.mixup + varied.cutmix > 1:
        raise InvalidInput(
            f"expected mixup + cutmix of at most 1, got {varied.mixup} + {varied.cutmix}; a batch has one of them"
        )
