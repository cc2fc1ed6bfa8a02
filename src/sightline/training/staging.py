"""Trainings into a Workspace: made beside the shelf and put there; what a killed run had finished is taken as it is."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from sightline.core.errors import InvalidInput
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.core.shelving import shelve, stage
from sightline.core.workspace import Workspace
from sightline.training.folder import CHECKPOINT_NAME, training_folder
from sightline.training.recipe import Recipe, read_recipe

# Settings that came later, and those of the augmentation, with the values of what was done before: checkpoints from then go on.
LATER_SETTINGS = {"micro_batch": None, "processes": 1, "reference_batch": None}
LATER_AUGMENTATION = {"settle": 0.0, "least_visible": 0.25}


def compute_recipe_id(version_id: str, recipe: Recipe) -> str:
    """What must be the same for a training to be resumed: all but the machine and settings that do not change the result.

    A field that is new here must not change the id while it does what was done before it: leave it out then.
    """
    same = msgspec.structs.replace(recipe, checkpoint_s=0.0, prefetch_threads=1, cache_bytes=0, log_every=1)
    fields = msgspec.to_builtins(same).items()
    settings = dict(setting for setting in fields if setting not in LATER_SETTINGS.items())
    del settings["device"], settings["prefetch_processes"], settings["activation_bytes"]
    augmentation = settings["augmentation"].items()
    settings["augmentation"] = dict(setting for setting in augmentation if setting not in LATER_AUGMENTATION.items())
    return hashlib.sha256(msgspec.json.encode((version_id, settings), order="sorted")).hexdigest()


def train_in_workspace(
    workspace: Workspace,
    name: str | None,
    recipe_id: str,
    resume: bool,
    on_progress: OnProgress,
    train: Callable[[Path], Path],
) -> Path:
    """Shelve what `train` makes in the folder it is given, or, resumed, what a run of this recipe had finished there.

    Args: recipe_id: of `compute_recipe_id`.
    """
    finished: list[Path] = []
    with stage(workspace, "models", name, finished.append) as staged:
        can_go_on = (training_folder(staged) / CHECKPOINT_NAME).is_file()
        if resume and not can_go_on and finished and _find_recipe_id(finished[0]) == recipe_id:
            on_progress(ProgressEvent(stage="training", progress=1.0, message="finished already by the run that broke off"))
            return finished[0]
        made = train(staged)
        return shelve(made, workspace, "models", read_manifest(made, ModelManifest))


def _find_recipe_id(model: Path) -> str | None:
    """Id of the recipe that made a Model; None for one that was not trained by such a recipe."""
    manifest = read_manifest(model, ModelManifest)
    try:
        return compute_recipe_id(manifest.dataset_version or "", read_recipe(manifest.recipe or {}))
    except InvalidInput:
        return None
