"""`train_model`: DatasetVersion + Recipe -> Model folder. Everything a Model holds is written here.

While it trains, checkpoint and curve lie in `<out>.training`; the Model folder appears whole, when its exported graph has been
checked against the network on real pictures.
"""

import copy
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import torch

from sightline.core.categories import Categories
from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, Unsupported
from sightline.core.folder_lock import LOCK_NAME
from sightline.core.folders import explain_full_disk, hash_files, new_folder, write_manifest
from sightline.core.host import describe_host, now_utc
from sightline.core.manifests import DecodeSpec, ModelManifest
from sightline.core.progress import OnProgress, ProgressEvent, ignore_progress
from sightline.core.workspace import StrPath, Workspace, check_name
from sightline.data.versions import DatasetVersion, check_version
from sightline.metrics.evaluator import TaskMetrics
from sightline.models.export import export_onnx
from sightline.models.network import Network
from sightline.models.table import build_network, resolve_network
from sightline.models.weights import fetch_published_weights, load_weights, read_weights
from sightline.training.arithmetic import EXACT, Arithmetic, choose_arithmetic
from sightline.training.checkpoint import write_weights
from sightline.training.curve import draw_curves, read_curve
from sightline.training.export_check import check_export
from sightline.training.folder import (
    CHECKPOINT_NAME,
    CURVE_NAME,
    STOPPED_NAME,
    is_log,
    lock_training,
    training_folder,
)
from sightline.training.learned_categories import find_learned_categories, name_background
from sightline.training.loop import DivergedLoss, TrainingLoop, Validate
from sightline.training.pictures import Pictures
from sightline.training.ranks import Alone, Ranks
from sightline.training.recipe import DEFAULT_VALIDATION_SPLIT, Recipe
from sightline.training.sizing import choose_input_size
from sightline.training.staging import compute_recipe_id, train_in_workspace
from sightline.training.swapping.heap import use_huge_pages
from sightline.training.tasks.semantic import make_label_map_reader
from sightline.training.tasks.table import build_task, check_task
from sightline.training.tasks.task import TaskContext, split_evenly
from sightline.training.validation import check_truth, evaluate_network, find_judged

MOST_NAMES = 10  # of categories in a message
NO_MEMORY = "can't allocate memory"  # how PyTorch's allocator for CPUs says it
MODEL_GRAPH, MODEL_WEIGHTS, CURVES_PNG = "model.onnx", "weights.safetensors", "curves.png"


def never() -> bool:
    """The default stop signal."""
    return False


def train_model(
    version: DatasetVersion,
    recipe: Recipe,
    out: StrPath | Workspace,
    resume: bool = False,
    on_progress: OnProgress = ignore_progress,
    stop: Callable[[], bool] = never,
    *,
    name: str | None = None,
) -> Path:
    """Train a network on a version and write it as a Model folder.

    It trains in the caller's process and leaves PyTorch's random state there as it was. The command line trains in a process of
    its own instead, with `OMP_WAIT_POLICY=PASSIVE` in its environment. Where cores are shared, set that before Python starts:
    otherwise idle threads spin, and a step takes up to five times as long.

    Args:
        version: what to learn from.
        recipe: how to learn, as `make_recipe` returns it.
        out: new folder of the Model, or a Workspace, which shelves it under its name and id.
        resume: go on from the checkpoint in `<out>.training`, or of this name in a Workspace. There a Model that a killed run
            had finished is taken as it is. Without either, start anew.
        on_progress: called for every logged step, with the `metrics` of a validation among them.
        stop: asked after each step. When it returns True, training ends and the best weights so far are kept. The checkpoint
            stays, so that a later `resume` can go on; its Model then replaces `out`.
        name: name of the Model. A Workspace needs one; for a folder the default is the folder's name.

    Returns:
        The Model's folder.

    Raises:
        Conflict: without `resume`, `out` or the checkpoint of an interrupted run exists; or another run is writing there.
        InvalidInput: recipe or labels do not fit.
        NotFound: there is no such split.
        CorruptFile: the checkpoint is damaged.
        Unsupported: the recipe wants a GPU, and there is none, or several `processes`, which `launch_training` starts.
        Exhausted: the GPU's memory is too small, or the disk is full.
    """
    check_version(version)
    if not isinstance(recipe, Recipe):
        raise InvalidInput(f"expected a Recipe, got {recipe!r}; make one with sightline.make_recipe(task, network, budget=...)")
    if isinstance(out, Workspace):
        recipe_id = compute_recipe_id(version.id, recipe)
        return train_in_workspace(
            out,
            name,
            recipe_id,
            resume,
            on_progress,
            lambda staged: train_model(version, recipe, staged, resume, on_progress, stop),
        )
    if recipe.processes > 1:
        raise Unsupported(
            f"expected a recipe for this one process, got processes {recipe.processes}; train it with `sightline train`, or "
            "with sightline.training.launcher.launch_training"
        )
    return lead_training(version, recipe, Path(out), resume, on_progress, stop, name=name, ranks=Alone())


def lead_training(
    version: DatasetVersion,
    recipe: Recipe,
    out: Path,
    resume: bool,
    on_progress: OnProgress,
    stop: Callable[[], bool],
    *,
    name: str | None,
    ranks: Ranks,
) -> Path:
    """`train_model` into a folder, as the first of the processes that share each batch."""
    name = out.name if name is None else check_name(name)
    check_task(recipe.task)
    _check_validation_split(version, recipe)
    folder = training_folder(out)
    with lock_training(folder), explain_full_disk(folder, "go on with `resume`"), _keep_random_state(recipe):
        is_resumed = _find_checkpoint(out, resume)
        loop = prepare_loop(version, recipe, folder, on_progress, is_resumed, ranks)
        _train_locked(loop, version, out, name, is_resumed, on_progress, stop)
    return out


def follow_training(version: DatasetVersion, recipe: Recipe, out: Path, ranks: Ranks) -> None:
    """Take part in a training as another process than the first: it leaves nothing behind.

    Args: out: the Model's folder; activations that wait in a file do so beside it, as those of the first process.
    """
    folder = training_folder(out)
    loop = prepare_loop(version, recipe, folder, ignore_progress, True, ranks)  # its weights come from the first one
    loop.meet()
    loop.run(ignore_progress, never)


def _keep_random_state(recipe: Recipe) -> AbstractContextManager[None]:
    """Give PyTorch's generators back as they were; those of GPUs where a training, or the caller, uses them."""
    uses_gpus = torch.cuda.is_initialized() or (recipe.device != "cpu" and torch.cuda.is_available())
    return torch.random.fork_rng(devices=range(torch.cuda.device_count()) if uses_gpus else ())


def _train_locked(
    loop: TrainingLoop,
    version: DatasetVersion,
    out: Path,
    name: str,
    is_resumed: bool,
    on_progress: OnProgress,
    stop: Callable[[], bool],
) -> None:
    """`lead_training` in a locked folder, with a loop that is ready."""
    folder, recipe = loop.folder, loop.recipe
    if gpu := loop.arithmetic.describe().get("gpu"):
        on_progress(ProgressEvent(stage="training", message=f"training on {gpu}"))
    if is_resumed:
        loop.resume()
        on_progress(ProgressEvent(stage="training", message=f"resumed after {loop.state.spent.steps} steps"))
    if loop.ranks.count > 1:
        message = f"{loop.ranks.count} processes share each batch of {recipe.batch_size} pictures"
        on_progress(ProgressEvent(stage="training", message=message))
        loop.meet()
    _clear_folder(folder, is_resumed)  # only now, when nothing stands against training
    stopped = _StopOnce(stop)
    try:
        loop.run(on_progress, stopped)
    except DivergedLoss:  # it would be no number again
        (folder / STOPPED_NAME).touch()
        raise
    except RuntimeError as error:
        if (exhausted := _explain_memory(error, recipe)) is None:
            raise
        raise exhausted from error  # a checkpoint stays: steps fitted before, and may again
    on_progress(ProgressEvent(stage="exporting", progress=1.0))
    best = loop.keep_best()
    with new_folder(out, replace=is_resumed) as made:
        _write_model(made, name, best, version, recipe, loop)
    if stopped.was_true:
        (folder / STOPPED_NAME).touch()
    else:
        shutil.rmtree(folder)


def _explain_memory(error: RuntimeError, recipe: Recipe) -> Exhausted | None:
    """What to do about memory that a step did not get; None for any other error of PyTorch."""
    at_once = min(recipe.batch_size, recipe.micro_batch or recipe.batch_size)
    lower = "set a lower micro_batch, which computes a batch in parts, or lower batch_size or size"
    if isinstance(error, torch.OutOfMemoryError):
        return Exhausted(f"the GPU does not hold {at_once} pictures at once; {lower}, or take device=cpu")
    if NO_MEMORY in str(error):
        beside = (
            "or a lower activation_bytes" if recipe.activation_bytes else "or activation_bytes, which keeps the rest in a file"
        )
        return Exhausted(f"memory does not hold {at_once} pictures at once; {lower}, {beside}")
    return None


def _find_checkpoint(out: Path, resume: bool) -> bool:
    """Whether to go on from a checkpoint. Raises: Conflict where a Model or the work of a run that broke off would be lost."""
    folder = training_folder(out)
    has_checkpoint = (folder / CHECKPOINT_NAME).is_file()
    if resume and has_checkpoint:
        return True
    if out.exists():
        raise Conflict(f"{out} exists already; choose another name, or remove it")
    if has_checkpoint and not (folder / STOPPED_NAME).exists():
        raise Conflict(
            f"{folder} holds a checkpoint of a run that broke off; go on with `resume`, or remove that folder to train anew"
        )
    return False


def _clear_folder(folder: Path, is_resumed: bool) -> None:
    """Remove what an earlier run left, but what a resumed one needs."""
    kept = (LOCK_NAME, *((CHECKPOINT_NAME, CURVE_NAME) if is_resumed else ()))
    for old in folder.iterdir():
        if old.name not in kept and not is_log(old):  # the launcher has opened the logs
            old.unlink()


class _StopOnce:
    """Remembers whether training was asked to stop."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop, self.was_true = stop, False

    def __call__(self) -> bool:
        self.was_true = self.was_true or self._stop()
        return self.was_true


def _check_validation_split(version: DatasetVersion, recipe: Recipe) -> None:
    """Refuse a validation split that was asked for and is not there, or is learned; the default may be absent.

    Raises: NotFound; InvalidInput when it is among what the train splits stand for ("trainval").
    """
    split = recipe.validation_split
    if split not in (None, DEFAULT_VALIDATION_SPLIT, *version.splits):
        raise NotFound(f"no split {split!r} to validate on; there is {', '.join(version.splits)}, or none")
    learned = version.find_splits(recipe.train_splits) or []
    if split in learned:
        raise InvalidInput(
            f"validation_split {split!r} is among train_splits, which are {', '.join(learned)}: its pictures are learned; "
            "give another one, or none to keep the last weights"
        )


def prepare_loop(
    version: DatasetVersion,
    recipe: Recipe,
    folder: Path,
    on_progress: OnProgress,
    is_resumed: bool,
    ranks: Ranks | None = None,
) -> TrainingLoop:
    """The loop of a recipe, before its first step; with its start weights, unless a checkpoint brings others."""
    arithmetic = choose_arithmetic(recipe.precision, recipe.device)
    _check_device(arithmetic, recipe)
    if recipe.activation_bytes is not None:
        use_huge_pages()
    sizes = ((item.width, item.height) for item in version.items(recipe.train_splits))
    width, height = choose_input_size(recipe, sizes)
    torch.manual_seed(recipe.seed)
    learned = find_learned_categories(version, recipe.task)
    network = build_network(recipe.task, recipe.network, len(learned.categories), width, height)
    network.decode_spec = name_background(network.decode_spec, learned.background)
    _check_batch_size(network, recipe)
    if not is_resumed:
        _load_start_weights(network, recipe, on_progress)
    make_label_map = make_label_map_reader(learned) if recipe.task == "semantic" else None
    cache_bytes = recipe.cache_bytes // recipe.processes
    pictures = Pictures(
        version, recipe.train_splits, width=width, height=height, cache_bytes=cache_bytes, make_label_map=make_label_map
    )
    _tell_left_out(version, recipe, len(pictures), on_progress)
    task = build_task(TaskContext(recipe, learned.categories, pictures, network.input_spec))
    validate = _make_validate(version, learned.categories, recipe, arithmetic, on_progress)
    recipe_id = compute_recipe_id(version.id, recipe)
    return TrainingLoop(
        network,
        task,
        items=len(pictures),
        recipe=recipe,
        folder=folder,
        arithmetic=arithmetic,
        validate=validate,
        recipe_id=recipe_id,
        ranks=ranks,
    )


def _check_device(arithmetic: Arithmetic, recipe: Recipe) -> None:
    """Refuse on a GPU what only trainings on a CPU can do. Raises: Unsupported."""
    if arithmetic.device.type == "cpu":
        return
    asked = {"processes": recipe.processes > 1, "activation_bytes": recipe.activation_bytes is not None}
    for name in (name for name, is_asked in asked.items() if is_asked):
        raise Unsupported(f"{name} is for trainings on a CPU, and this one takes the GPU; leave it out, or set device to cpu")


def _tell_left_out(version: DatasetVersion, recipe: Recipe, learned: int, on_progress: OnProgress) -> None:
    """Tell of pictures that are not learned from. Raises: InvalidInput when that is all of them."""
    left_out = version.count(recipe.train_splits) - learned
    if not learned:
        raise InvalidInput(
            f"expected labelled pictures to learn from in {', '.join(recipe.train_splits)}, got {left_out} that nobody "
            "labelled; label some, or let a model do it with `sightline annotate`"
        )
    if left_out:
        message = f"{left_out} pictures without annotations are left out: no person looked at them to label them"
        on_progress(ProgressEvent(stage="training", message=message))


def _check_batch_size(network: Network, recipe: Recipe) -> None:
    """Refuse single pictures in a process where a norm would see one value a channel: of what is pooled, or of a small input.

    Raises: InvalidInput.
    """
    parts = split_evenly(recipe.batch_size // recipe.processes, recipe.micro_batch)
    if all(stop - start > 1 for start, stop in parts):
        return
    spec = network.input_spec
    try:
        with torch.no_grad():
            copy.deepcopy(network).train()(torch.zeros(1, 3, spec.height, spec.width))
    except ValueError as error:  # all that PyTorch says: "Expected more than 1 value per channel when training"
        got = f"batch_size {recipe.batch_size}"
        got += f" for {recipe.processes} processes" if recipe.processes > 1 else ""
        got += f" by micro_batch {recipe.micro_batch}" if len(parts) > 1 else ""
        raise InvalidInput(
            f"{recipe.network} learns from at least 2 pictures at once at {spec.width} x {spec.height}, got {got}; raise "
            "it, or choose another network"
        ) from error


def _load_start_weights(network: Network, recipe: Recipe, on_progress: OnProgress) -> None:
    """Weights from the recipe's file, or published ones when asked for; their absence is said once and is no error."""
    name = resolve_network(recipe.task, recipe.network)
    if recipe.weights is not None:
        report = load_weights(network, read_weights(Path(recipe.weights)))
        on_progress(ProgressEvent(stage="training", message=f"start weights {recipe.weights}: {report.line()}"))
    elif recipe.pretrained:
        published = fetch_published_weights(name)
        if published is None:
            message = (
                f"published weights of {name} are not reachable; training from random weights (a file can be given as weights)"
            )
        else:
            message = f"published weights of {name}: {load_weights(network, published).line()}"
        on_progress(ProgressEvent(stage="training", message=message))


def _make_validate(
    version: DatasetVersion, learned: Categories, recipe: Recipe, arithmetic: Arithmetic, on_progress: OnProgress
) -> Validate | None:
    split = recipe.validation_split
    if split is None or recipe.validations == 0:
        return None
    if not version.splits.get(split):
        message = f"no split {split!r} to validate on (there is {', '.join(version.splits)}); the last weights are kept"
        on_progress(ProgressEvent(stage="training", message=message))
        return None
    judged = find_judged(version, split, recipe.task)
    if not judged:
        message = f"the split {split!r} has no labels by people to validate {recipe.task} on; the last weights are kept"
        on_progress(ProgressEvent(stage="training", message=message))
        return None
    check_truth(version, split, recipe.task)
    if unjudged := [name for name in version.categories if name not in judged]:
        message = f"no label in the split {split!r} is of {_list_names(unjudged)}: the score says nothing of that"
        on_progress(ProgressEvent(stage="training", message=message))
    chosen: str = split

    def validate(network: Network) -> TaskMetrics:
        return evaluate_network(network, version, chosen, recipe.task, learned, arithmetic)

    return validate


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} further" if len(names) > MOST_NAMES else "")


def _write_model(made: Path, name: str, network: Network, version: DatasetVersion, recipe: Recipe, loop: TrainingLoop) -> None:
    """Fill a Model folder; the graph is checked against the network on real pictures before the manifest is written."""
    EXACT.place(network)
    export_onnx(network, made / MODEL_GRAPH)
    export_check = check_export(network, made / MODEL_GRAPH, version, recipe.train_splits)
    write_weights(made / MODEL_WEIGHTS, network)
    shutil.copy(loop.folder / CURVE_NAME, made / CURVE_NAME)
    metrics = _describe_metrics(loop, recipe)
    draw_curves(read_curve(made / CURVE_NAME), str(metrics.get("primary", "metric")), made / CURVES_PNG)
    manifest = ModelManifest(
        name=name,
        task=recipe.task,
        network=resolve_network(recipe.task, recipe.network),
        categories=find_learned_categories(version, recipe.task).categories.names,
        input=network.input_spec,
        decode=set_confidence(network.decode_spec, metrics),
        parameter_count=network.count_parameters(),
        export_check=export_check,
        recipe=msgspec.to_builtins(recipe),
        dataset_version=version.id,
        seed=recipe.seed,
        metrics=metrics,
        host=describe_host() | loop.arithmetic.describe(),
        created_at=now_utc(),
        files=hash_files(made),
    )
    write_manifest(made, manifest)


def set_confidence(spec: DecodeSpec, metrics: dict[str, Any]) -> DecodeSpec:
    """The decode spec with the confidence that validation found best for showing predictions, where it found one."""
    if "best_confidence" not in metrics:
        return spec
    return msgspec.structs.replace(spec, confidence_threshold=metrics["best_confidence"])


def _describe_metrics(loop: TrainingLoop, recipe: Recipe) -> dict[str, Any]:
    """What a Model says of its training: budget spent, and the validation that chose its weights."""
    spent = loop.state.spent
    facts: dict[str, Any] = {"steps": spent.steps, "wall_s": round(spent.wall_s, 1), "cpu_s": round(spent.cpu_s, 1)}
    if spent.steps == 0:
        raise InvalidInput("training ended before its first step; give it a larger budget")
    facts["epochs"] = round(spent.steps * recipe.batch_size / loop.items, 2)
    if loop.state.best_metric is not None:
        primary, *_ = loop.state.metrics
        facts |= {"split": recipe.validation_split, "primary": primary, "best_step": loop.state.best_step, **loop.state.metrics}
    return facts
