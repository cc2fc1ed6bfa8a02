"""All that was edited until now goes into a version, whoever freezes it: what jobs ask for before they work on a Dataset."""

from sightline.core.errors import Conflict
from sightline.store.datasets import Dataset
from sightline.store.freezing import WAIT_S, hold_freezing


def freeze_rest(dataset: Dataset, author: str) -> None:
    """Freeze the edits that are in no version yet, if there are any.

    Waits for a freeze that runs, as one that adds pictures does for seconds: the edits may be in its version.

    Raises: Conflict when it takes too long.
    """
    while dataset.summarise().unfrozen_edits:
        try:
            dataset.freeze(author)
            return  # what came meanwhile is not waited for
        except Conflict:  # somebody freezes, or just did
            with hold_freezing(dataset.workspace, dataset.name, WAIT_S):
                pass
