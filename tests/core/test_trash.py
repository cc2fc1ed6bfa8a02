"""What goes into the trash can be brought back by a move; names go on standing for what stays."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.folder_lock import lock_folder
from sightline.core.folders import write_manifest
from sightline.core.manifests import ReportManifest
from sightline.core.trash import find_removable, move_to_trash
from sightline.core.workspace import Workspace

NOW = datetime(2026, 11, 28, 14, 5, 1, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def make(workspace: Workspace, name: str, seed: int) -> Path:
    facts = {"subject": {}, "dataset_version": None, "precision": "fp32", "host": {}, "created_at": "", "files": {}}
    manifest = ReportManifest(name=name, seed=seed, **facts)  # type: ignore[arg-type]
    folder = workspace.root / "making"
    folder.mkdir(parents=True)
    place = workspace.place("reports", name, write_manifest(folder, manifest))
    place.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(place)
    workspace.set_latest(place)
    return place


def test_a_whole_name_goes_and_comes_back_by_a_move(workspace: Workspace) -> None:
    places = [make(workspace, "cells", seed) for seed in range(2)]
    gone = move_to_trash(workspace, "reports", find_removable(workspace, "reports", "cells"), NOW)
    assert gone.trash == workspace.root / "trash/20261128-140501/reports/cells"
    assert workspace.names("reports") == []
    gone.trash.rename(gone.place)
    assert workspace.find("reports", "cells") == places[1]
    assert set(workspace.list("reports", "cells")) == set(places)


def test_one_of_a_name_goes_and_the_name_stands_for_what_stays(workspace: Workspace) -> None:
    first, second = (make(workspace, "cells", seed) for seed in range(2))
    gone = move_to_trash(workspace, "reports", find_removable(workspace, "reports", f"cells@{second.name[:6]}"), NOW)
    assert (workspace.find("reports", "cells"), gone.place) == (first, second)
    again = move_to_trash(workspace, "reports", find_removable(workspace, "reports", f"cells@{first.name}"), NOW)
    assert again.trash == workspace.root / "trash/20261128-140501-2/reports/cells"  # with its name: nothing else has it
    assert not (workspace.root / "reports/cells").exists()


def test_what_there_is_not_and_what_is_being_made_stays(workspace: Workspace) -> None:
    make(workspace, "cells", 0)
    with pytest.raises(NotFound, match=r"no report 'none' in .*; there is cells"):
        find_removable(workspace, "reports", "none")
    for wrong in ("../cells", "cells@", ""):
        with pytest.raises(InvalidInput, match="expected NAME or NAME@ID"):
            find_removable(workspace, "reports", wrong)
    with pytest.raises(NotFound):
        find_removable(workspace, "reports", "cells@000000000000")
    folders = find_removable(workspace, "reports", "cells")
    with (
        lock_folder(workspace.root / "reports/cells/.making", ""),
        pytest.raises(Conflict, match="something is being made under the name 'cells' now"),
    ):
        move_to_trash(workspace, "reports", folders, NOW)
    assert workspace.names("reports") == ["cells"]
    assert not (workspace.root / "trash").exists()


def test_of_an_id_that_fits_several_more_is_asked_for(workspace: Workspace) -> None:
    names = [make(workspace, "cells", seed).name for seed in range(40)]
    digit = next(name[0] for name in names if sum(other[0] == name[0] for other in names) > 1)
    with pytest.raises(InvalidInput, match="give more of the id"):
        find_removable(workspace, "reports", f"cells@{digit}")
