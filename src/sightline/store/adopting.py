"""How a Dataset comes to a version that was made outside of it: at its first opening, and when it follows to a newer one."""

from pathlib import Path

from sqlalchemy import Connection

from sightline.core.folders import MANIFEST_NAME
from sightline.core.workspace import LATEST_NAME, Workspace
from sightline.data.versions import open_version
from sightline.store.bases import Base, add_base, read_base, read_counters, write_counters
from sightline.store.categories import append_category_edits, find_newest_id, follow_names, read_categories

NOBODY = ""  # the author of what comes with a version


def read_newest(workspace: Workspace, name: str) -> Path:
    """Folder of the version that a name stands for. Raises: NotFound when there is none."""
    folder = workspace.root / "datasets" / name
    try:
        newest = folder / (folder / LATEST_NAME).read_text().strip()
    except FileNotFoundError:
        return workspace.find("datasets", name)
    return newest if (newest / MANIFEST_NAME).is_file() else workspace.find("datasets", name)


def is_version(folder: Path, version_id: str | None) -> bool:
    """Whether a folder on a shelf is that of the version with this id."""
    return version_id is not None and version_id.startswith(folder.name)


def adopt_version(connection: Connection, dataset_id: int, folder: Path) -> None:
    """Make a version the base, and its categories the present ones; all edits made so far belong to what came before."""
    version = open_version(folder)
    counters = read_counters(connection, dataset_id)
    changes = follow_names(
        read_categories(connection, dataset_id), find_newest_id(connection, dataset_id), version.categories.names
    )
    category_count = append_category_edits(connection, dataset_id, counters.category_edit_count, changes, NOBODY)
    base = Base(
        number=counters.base_number + 1,
        version_id=version.id,
        through=counters.edit_count,
        category_through=category_count,
        lineage=counters.base_number + 1,
        category_ids=read_categories(connection, dataset_id).ids,
    )
    add_base(connection, dataset_id, base, NOBODY)
    write_counters(connection, dataset_id, category_edit_count=category_count)


def adopt_where_gone(connection: Connection, workspace: Workspace, dataset_id: int, name: str) -> None:
    """Adopt the newest version where the base's folder was deleted, and no edits with it that no version has."""
    counters = read_counters(connection, dataset_id)
    base = read_base(connection, dataset_id, counters.base_number)
    is_frozen = (counters.edit_count, counters.category_edit_count) == (base.through, base.category_through)
    if is_frozen and not workspace.place("datasets", name, base.version_id).is_dir():
        adopt_version(connection, dataset_id, workspace.find("datasets", name))
