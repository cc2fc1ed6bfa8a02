"""Pictures of any source that join a Dataset: what comes, what changes nothing, two additions at once, and kills."""

import itertools
import os
import signal
import subprocess
import sys
import zipfile
from threading import Thread

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound, UnreadableDataset
from sightline.data.editing import Put
from sightline.data.exporting import export_version
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset
from sightline.imaging.files.reading import encode_image
from sightline.store import revising
from sightline.store.adding import PREFIX, add_pictures

DENT = Annotation(category="dent", box_xyxy=(3, 4, 13, 14))

ADDING = """
import itertools, sys
import numpy as np
from sightline.core.workspace import Workspace
from sightline.data.formats.format import SourceItem
from sightline.store.adding import add_pictures
from sightline.store.database import open_database
from sightline.store.datasets import DatasetStore

workspace = Workspace(sys.argv[1])
dataset = DatasetStore(workspace, open_database(workspace.root / "sightline.db")).open("parts")
print("ready", flush=True)
first = dataset.version.count()
for number in itertools.count(first):
    item = SourceItem(file_name=f"new-{number}.png", content=np.full((20, 20, 3), 100 + number, np.uint8))
    add_pictures(dataset, [item], "ann", categories=[f"category {number}"])
    print(number, flush=True)
"""


def make_picture(shade):
    return np.full((20, 30, 3), shade, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder of pictures, one of them a twin of the Dataset's first."""
    place = tmp_path / "more"
    place.mkdir()
    for name, picture in (
        ("a.png", make_picture(90)),
        ("b.png", make_picture(91)),
        ("c.png", np.zeros((50, 100, 3), np.uint8)),
    ):
        (place / name).write_bytes(encode_image(picture, "png"))
    return place


def list_leftovers(workspace):
    return [path.name for path in workspace.root.iterdir() if path.name.startswith(PREFIX)]


def test_a_folder_of_pictures_is_added(dataset, folder, workspace):
    told = set()
    added = add_pictures(dataset, folder, "ann", on_progress=lambda event: told.add(event.stage))
    assert told == {"importing", "freezing"}
    assert added.positions == range(4, 6)
    assert [dataset.read_item(position).file_name for position in added.positions] == ["a.png", "b.png"]
    assert added.report.kept["image"] == 2
    assert added.report.count("image", "dropped", revising.THERE_ALREADY) == 1
    assert added.version.id == dataset.version.id
    assert dataset.list_items(state="unlabelled").total == 3
    assert not list_leftovers(workspace)


def test_the_same_again_changes_nothing(dataset, folder):
    before = add_pictures(dataset, folder, "ann").version
    again = add_pictures(dataset, folder, "ann")
    assert (again.version.id, len(again.positions)) == (before.id, 0)
    assert again.report.to_dict()["kept"]["image"] == 0


@pytest.mark.parametrize("format", ["coco", "sightline"])
def test_a_labelled_archive_is_added_with_its_labels_and_splits(dataset, open_store, workspace, tmp_path, format):
    items = [
        SourceItem(file_name=f"{n}.png", content=make_picture(n), split=["test", "train"][n % 2], annotations=(DENT,))
        for n in range(100, 104)
    ]
    version, _ = import_dataset(items, workspace, "other", categories=("dent", "scar"))
    export_version(version, tmp_path / "export", format)
    added = add_pictures(dataset, tmp_path / "export", "ann")
    assert added.report.is_clean
    rows = [dataset.read_item(position) for position in added.positions]
    assert sorted(row.split for row in rows) == ["test", "test", "train", "train"]
    assert all(row.labels[0].annotation.category == "dent" for row in rows)
    assert [one.name for one in dataset.categories] == ["red", "blue", "dent", "scar"]


def test_what_cannot_be_read_changes_nothing(dataset, workspace, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(200_000_000))
    before = dataset.version.id
    for source, error in (
        (empty, UnreadableDataset),
        (broken, UnreadableDataset),
        (tmp_path / "bomb.zip", InvalidInput),
        (tmp_path / "nowhere", NotFound),
        ([], UnreadableDataset),
    ):
        with pytest.raises(error):
            add_pictures(dataset, source, "ann")
    for wrong in ({"split": "half"}, {"author": "a" * 201}):
        with pytest.raises(InvalidInput):
            add_pictures(dataset, **{"source": empty, "author": "ann"} | wrong)
    assert dataset.version.id == before
    assert [one.name for one in dataset.categories] == ["red", "blue"]
    assert len(workspace.list("datasets", "parts")) == 1
    assert not list_leftovers(workspace)


def test_two_additions_at_once_both_come(open_store, write_version):
    write_version()
    pictures = [SourceItem(file_name=f"{n}.png", content=make_picture(n)) for n in range(100, 110)]
    made = []

    def add(dataset, some):
        made.append(add_pictures(dataset, some, "ann"))

    one, other = (open_store().open("parts") for _ in range(2))
    threads = [
        Thread(target=add, args=arguments) for arguments in ((one, pictures[:6]), (other, pictures[4:]), (one, pictures))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row.file_name for row in one.list_items().items[4:]) == [picture.file_name for picture in pictures]
    assert sum(len(addition.positions) for addition in made) == 10


def test_labels_that_are_made_meanwhile_are_kept(dataset, folder, open_store):
    other = open_store().open("parts")
    numbers = itertools.count()

    def label(event):
        number = next(numbers)
        put = Put(id=f"label-{number:04d}", annotation=Annotation(category="red", box_xyxy=(0, 0, 9, 9)))
        other.append_edit(0, f"edit-{number:08d}", number, [put], "bob")

    add_pictures(dataset, folder, "ann", on_progress=label)
    made = next(numbers)
    assert made > 1
    assert len(dataset.read_item(0).labels) == 1 + made
    assert dataset.summarise().unfrozen_edits >= 1


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_adds_leaves_a_whole_dataset(dataset, open_store, workspace):
    for lines in range(1, 7):
        process = subprocess.Popen([sys.executable, "-c", ADDING, str(workspace.root)], stdout=subprocess.PIPE, text=True)
        told = [process.stdout.readline() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.communicate()[0].splitlines()
        assert process.returncode == -signal.SIGKILL
        again = open_store().open("parts")
        names = [row.file_name for row in again.list_items().items]
        assert names[4:] == [f"new-{number}.png" for number in range(4, len(names))]
        numbers = [int(line) for line in told if line.strip().isdigit()]
        assert not numbers or len(names) - numbers[-1] in (1, 2)  # all that was told, and at most one more
        assert [one.name for one in again.categories] == ["red", "blue", *(f"category {n}" for n in range(4, len(names)))]
        assert again.version.folder == workspace.find("datasets", "parts")
        assert (again.summarise().unfrozen_edits, again.summarise().newer_version) == (0, None)
        assert all(again.read_picture(position) for position in range(len(names)))
        assert len(list_leftovers(workspace)) <= 1
    assert len(names) > 5
    add_pictures(again, [SourceItem(file_name="last.png", content=make_picture(250))], "ann")
    assert not list_leftovers(workspace)
