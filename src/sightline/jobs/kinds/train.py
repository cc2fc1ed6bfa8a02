"""Jobs that train: a DatasetVersion becomes a Model; a process that died goes on from its checkpoint.

A job trains in a folder of its own, so that another job's checkpoint under the same name is never in its way, and what a
cancelled one left goes with it. The Model moves to its shelf when it is whole.
"""

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec

from sightline.core.errors import Conflict
from sightline.core.extras import TRAINING_PACKAGES, check_packages
from sightline.core.folders import is_whole, read_manifest, write_file_atomic
from sightline.core.manifests import ModelManifest, Task, compute_manifest_id
from sightline.core.shelving import read_whole, shelve
from sightline.core.workspace import ID_LENGTH, Workspace, check_name
from sightline.jobs.folder import Made
from sightline.jobs.kinds.kind import Call, Kind, pin
from sightline.jobs.leases import Needs

DYING_S, POLL_S = 60.0, 0.1
SHELVING_NAME = "shelving.json"  # in `making`: the manifest of the Model that was about to move to its shelf


class TrainArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `train` is called with; see `Recipe`. `set`: any other fields of the recipe."""

    dataset: str
    task: Task
    model: str = "fast"
    budget: str = "10min"
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    name: str | None = None
    set: dict[str, Any] = {}


def prepare(arguments: TrainArguments, workspace: Workspace) -> TrainArguments:
    """Check the recipe, and name version and Model. Raises: InvalidInput, NotFound, MissingPackage."""
    from sightline.models.table import resolve_network

    check_packages("training", TRAINING_PACKAGES, "train")
    dataset = pin(workspace, "datasets", arguments.dataset)
    resolve_network(arguments.task, arguments.model)
    _make_recipe(arguments)
    default = f"{dataset.partition('@')[0]}-{arguments.model.replace('/', '-')}"[:100]
    return msgspec.structs.replace(arguments, dataset=dataset, name=check_name(arguments.name or default))


def find_needs(arguments: TrainArguments, workspace: Workspace) -> Needs:
    """A GPU unless the recipe wants none, and a share of the cores; without a GPU all of them."""
    return Needs(cores="share", wants_gpu=arguments.set.get("device") != "cpu")


def run(call: Call) -> Made:
    """Train, or go on; a Model that was whole when the process died is taken as it is."""
    arguments: TrainArguments = call.arguments
    name = check_name(arguments.name or "")
    note = call.folder.making / SHELVING_NAME
    if note.is_file():
        shelved = msgspec.json.decode(note.read_bytes(), type=ModelManifest)
        if is_whole(call.workspace.place("models", name, compute_manifest_id(shelved)), shelved):
            return _describe(name, shelved)
    manifest = read_whole(call.folder.making / name, ModelManifest)
    if not isinstance(manifest, ModelManifest):
        _train(call, name)
        manifest = read_manifest(call.folder.making / name, ModelManifest)
    write_file_atomic(note, msgspec.json.encode(manifest))
    shelve(call.folder.making / name, call.workspace, "models", manifest)
    return _describe(name, manifest)


def _train(call: Call, name: str) -> None:
    from sightline.training.folder import CHECKPOINT_NAME, training_folder
    from sightline.training.launcher import launch_training

    out, recipe = call.folder.making / name, _make_recipe(call.arguments)
    if recipe.processes > 1 and call.is_restart:
        _wait_for_the_dead(training_folder(out))
    shutil.rmtree(out, ignore_errors=True)  # half of a Model, of a process that died while it was written
    can_go_on = (training_folder(out) / CHECKPOINT_NAME).is_file()
    version_folder = call.workspace.find("datasets", call.arguments.dataset)
    if recipe.processes > 1:
        launch_training(version_folder, recipe, out, can_go_on, call.on_progress, name=name, stop=call.stop)
    else:
        _train_here(call, version_folder, recipe, out, can_go_on, name)


def _train_here(call: Call, version_folder: Path, recipe: Any, out: Path, can_go_on: bool, name: str) -> None:
    from sightline.data.versions import open_version
    from sightline.training.train import train_model
    from sightline.training.worker import settle_threads

    settle_threads()
    train_model(open_version(version_folder), recipe, out, can_go_on, call.on_progress, call.stop, name=name)


def _wait_for_the_dead(folder: Path) -> None:
    """Processes that shared each batch die with the one that launched them, but one that writes to a disk does so a bit later.

    Raises: Conflict when it takes too long.
    """
    from sightline.training.folder import lock_training

    deadline = time.monotonic() + DYING_S
    while True:
        try:
            with lock_training(folder):
                return
        except Conflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def _make_recipe(arguments: TrainArguments) -> Any:
    from sightline.core.errors import InvalidInput
    from sightline.training.recipe import make_recipe

    taken = {"task": "task", "network": "model", "budget": "budget", "seed": "seed"}
    for field in taken.keys() & arguments.set.keys():
        raise InvalidInput(f"expected the recipe's {field} as `{taken[field]}`, got it in `set`; give it there")
    changes = {"budget": arguments.budget, "seed": arguments.seed, **arguments.set}
    return make_recipe(arguments.task, arguments.model, **changes)


def _describe(name: str, manifest: ModelManifest) -> Made:
    facts = {key: value for key, value in manifest.metrics.items() if isinstance(value, int | float | str)}
    identity = compute_manifest_id(manifest)[:ID_LENGTH]
    return Made(shelf="models", name=name, id=identity, facts={"task": manifest.task, "network": manifest.network, **facts})


def make_environment(threads: int) -> dict[str, str]:
    """What PyTorch reads when it is loaded."""
    from sightline.training.launcher import worker_environment

    return worker_environment(threads)


TRAIN = Kind(TrainArguments, prepare, find_needs, run, can_stop=True, is_resumable=True, make_environment=make_environment)
