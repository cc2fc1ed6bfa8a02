"""A process that is killed in the middle of a stream of edits, or of a freeze, loses nothing that it had acknowledged."""

import os
import signal
import subprocess
import sys

import pytest

from sightline.data.editing import Remove
from sightline.store.datasets import StaleRevision

EDITING = """
import itertools, sys
from sightline.core.annotations import Annotation
from sightline.core.workspace import Workspace
from sightline.data.editing import Put
from sightline.store.database import open_database
from sightline.store.datasets import DatasetStore

workspace = Workspace(sys.argv[1])
dataset = DatasetStore(workspace, open_database(workspace.root / "sightline.db")).open("parts")
first = dataset.read_item(3).revision
for number in itertools.count(first):
    put = Put(id=f"label-{number:04d}", annotation=Annotation(category="red", box_xyxy=(0, 0, 1 + number % 90, 9)))
    dataset.append_edit(3, f"edit-{number:08d}", number, [put], "ann")
    print(number, flush=True)
"""

FREEZING = """
import sys
from sightline.core.workspace import Workspace
from sightline.store.database import open_database
from sightline.store.datasets import DatasetStore

workspace = Workspace(sys.argv[1])
dataset = DatasetStore(workspace, open_database(workspace.root / "sightline.db")).open("parts")
print("ready", flush=True)
for number in range(1000):
    dataset.add_category(f"category {dataset.categories[-1].id}", "ann")
    dataset.freeze("ann")
    print(number, flush=True)
"""


def start(script, workspace) -> subprocess.Popen:
    command = [sys.executable, "-c", script, str(workspace.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(process) -> list[str]:
    os.kill(process.pid, signal.SIGKILL)
    rest = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, rest
    return rest.split()


def test_no_acknowledged_edit_is_lost(dataset, open_store, workspace):
    acknowledged = []
    for _ in range(3):
        process = start(EDITING, workspace)
        acknowledged += [process.stdout.readline().strip() for _ in range(15)]
        acknowledged += kill(process)
        item = open_store().open("parts").read_item(3)
        assert dataset.read_item(3) == item
        numbers = [int(number) for number in acknowledged]
        # All that was acknowledged, and at most the one whose acknowledgement was on its way.
        assert item.revision - len(numbers) in (0, 1)
        assert [label.id for label in item.labels] == ["0", "1", *(f"label-{number:04d}" for number in range(item.revision))]
        assert numbers == sorted(set(numbers))
        acknowledged = [str(number) for number in range(item.revision)]
    with pytest.raises(StaleRevision):
        dataset.append_edit(3, "edit-of-another", item.revision - 1, [Remove(id="0")], "bob")


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_freezes_can_be_followed_by_another(dataset, open_store, workspace):
    for lines in range(1, 7):
        process = start(FREEZING, workspace)
        for _ in range(lines):
            process.stdout.readline()
        kill(process)
        again = open_store().open("parts")
        version = again.version
        assert version.folder == workspace.find("datasets", "parts")
        assert version.count() == 4
        names = [one.name for one in again.categories]
        assert again.summarise().unfrozen_edits == len(names) - len(version.categories)
        assert again.summarise().newer_version is None
        version.verify()
        shelf = workspace.root / "datasets" / "parts"
        assert not [path.name for path in shelf.iterdir() if path.name.startswith(".")]
    assert len(names) > 5
