"""`sightline import --add-to`: pictures join a dataset, in a workspace that was never served, that was, and that is now."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from cli_fixtures import Run, write_brightness_model

from sightline.core.workspace import Workspace
from sightline.data.versions import open_version
from sightline.store.database import DATABASE_NAME, open_database
from sightline.store.datasets import Dataset, DatasetStore

OWN = [0, 1, 2]  # shades of the dataset's pictures


def write_pictures(folder: Path, *shades: int) -> Path:
    folder.mkdir()
    for shade in shades:
        cv2.imwrite(str(folder / f"{shade}.png"), np.full((20, 20, 3), shade, np.uint8))
    return folder


@pytest.fixture
def more(run: Run, tmp_path: Path) -> Path:
    """Two new pictures and one that the dataset has; the dataset is imported."""
    names = tmp_path / "names.txt"
    names.write_text("dent\n")
    assert run("import", write_pictures(tmp_path / "in", *OWN), "--name", "parts", "--categories", names).code == 0
    return write_pictures(tmp_path / "more", 2, 100, 101)


@contextmanager
def open_dataset(workspace: Path) -> Iterator[Dataset]:
    with closing(open_database(workspace / DATABASE_NAME)) as database:
        yield DatasetStore(Workspace(workspace), database).open("parts")


def test_pictures_are_added_where_nothing_was_ever_served(run: Run, more: Path, workspace: Path) -> None:
    ran = run("import", more, "--add-to", "parts", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["added"], ran.json["items"], ran.json["dataset"]) == (2, 5, "parts")
    assert ran.json["report"]["dropped"] == {"image": 1}
    assert "2 pictures added to parts" in ran.err and "has a picture of the same bytes already" in ran.err
    version = open_version(Workspace(workspace).find("datasets", "parts"))
    assert (version.id, version.count()) == (ran.json["id"], 5)
    again = run("import", more, "--add-to", "parts", "--json")
    assert (again.code, again.json["added"], again.json["id"]) == (0, 0, version.id)
    assert run("import", more, "--add-to", "parts").out.count("0 pictures added") == 1


def test_edits_that_are_in_no_version_yet_are_in_the_new_one(run: Run, more: Path, workspace: Path) -> None:
    with open_dataset(workspace) as dataset:
        dataset.add_category("scratch", "ann")
        assert run("import", more, "--add-to", "parts").code == 0
        dataset.follow()  # as a server that runs does at its next request
        assert dataset.summarise().item_count == 5
        assert dataset.version.manifest.categories == ("dent", "scratch")
        assert dataset.summarise().unfrozen_edits == 0


def test_a_version_from_outside_that_is_not_followed_is_told(run: Run, more: Path, workspace: Path, tmp_path: Path) -> None:
    with open_dataset(workspace) as dataset:
        dataset.add_category("scratch", "ann")
        assert run("import", write_pictures(tmp_path / "other", 50), "--name", "parts").code == 0
        ran = run("import", more, "--add-to", "parts")
        assert ran.code == 0 and "made outside, is left" in ran.err
        assert dataset.summarise().item_count == 5


def test_what_cannot_be_is_refused_and_leaves_nothing(run: Run, more: Path, workspace: Path, tmp_path: Path) -> None:
    assert run("import", more, "--add-to", "none").code == 3
    assert run("import", more, "--add-to", "parts@1").code == 2
    both = run("import", more, "--add-to", "parts", "--name", "x")
    assert both.code == 2 and "expected --name or --add-to, got both" in both.err
    network = write_brightness_model(tmp_path / "model")
    refused = run("import", network / "model.onnx", "--add-to", "parts")
    assert refused.code == 2 and "--add-to, which only pictures have" in refused.err
    assert not (workspace / DATABASE_NAME).exists()
    (tmp_path / "empty").mkdir()
    assert run("import", tmp_path / "empty", "--add-to", "parts").code == 2
    assert run("import", more, "--add-to", "parts", "--split", "half").code == 2
    assert len(Workspace(workspace).list("datasets", "parts")) == 1
