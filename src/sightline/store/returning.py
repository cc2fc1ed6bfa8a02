"""An older version becomes the present one again: what came, went or was labelled since is undone, and stays in its versions.

The one idea: whoever opens a Dataset follows to the version that its name stands for, so returning means to give the name back.
"""

from sightline.core.errors import Conflict
from sightline.core.workspace import ID_LENGTH
from sightline.data.versions import DatasetVersion
from sightline.store.datasets import Dataset
from sightline.store.freezing import hold_freezing


def return_to_version(dataset: Dataset, version_id: str) -> DatasetVersion:
    """Make a version of a Dataset the one that edits are made on from now on.

    Args: version_id: a part of it that no other version has.

    Returns: that version.

    Raises: Conflict while edits are in no version yet, or it is being frozen; NotFound; InvalidInput.
    """
    dataset.follow()  # finishes or undoes a freeze that a crash cut off
    with hold_freezing(dataset.workspace, dataset.name):
        folder = dataset.workspace.find("datasets", f"{dataset.name}@{version_id[:ID_LENGTH]}")
        if count := dataset.summarise().unfrozen_edits:
            raise Conflict(f"expected no edits of {dataset.name!r} that are in no version yet, got {count}; freeze them first")
        dataset.workspace.set_latest(folder)
        dataset.follow()
    if dataset.version.folder != folder:
        raise Conflict(f"{dataset.name!r} was edited just now, so it stays at its version; freeze the edits first")
    return dataset.version
