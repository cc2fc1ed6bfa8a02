"""What opening a Dataset takes: its row, the end of a freeze that a crash cut off, and the present, lost heads made anew."""

from contextlib import ExitStack

from sightline.core.errors import Conflict
from sightline.core.workspace import Workspace
from sightline.store.adopting import adopt_version, adopt_where_gone
from sightline.store.bases import add_dataset, find_dataset
from sightline.store.database import Database
from sightline.store.folding import fold_heads
from sightline.store.freezing import hold_freezing, recover_freeze
from sightline.store.journal import replace_heads
from sightline.store.present import Present


def find_or_add_dataset(database: Database, workspace: Workspace, name: str) -> int:
    """The id of this name's row, which the first opening makes. Raises: NotFound when the workspace has no such dataset."""
    with database.read() as connection:
        found = find_dataset(connection, name)
    if found is not None:
        return found
    with database.write() as connection:
        found = find_dataset(connection, name)  # another process may have been faster
        if found is None:
            found = add_dataset(connection, name)
            adopt_version(connection, found, workspace.find("datasets", name))
        return found


def recover_dataset(database: Database, workspace: Workspace, dataset_id: int, name: str) -> bool:
    """Finish or undo what a freeze left that ended early. Returns: False while one is running."""
    with ExitStack() as held:
        try:
            held.enter_context(hold_freezing(workspace, name))
        except Conflict:
            return False
        with database.write() as connection:
            recover_freeze(connection, workspace, dataset_id, name)
    return True


def load_present(database: Database, workspace: Workspace, dataset_id: int, name: str) -> Present:
    """The present, read anew."""
    with database.write() as connection:
        adopt_where_gone(connection, workspace, dataset_id, name)
    with database.read() as connection:
        present = Present(connection, workspace, dataset_id, name)
    if present.knows_all_heads:
        return present
    with database.write() as connection:
        present = Present(connection, workspace, dataset_id, name)
        heads = fold_heads(connection, dataset_id, present.base, present.to_ids, present.index)
        replace_heads(connection, dataset_id, heads)
        return Present(connection, workspace, dataset_id, name)
