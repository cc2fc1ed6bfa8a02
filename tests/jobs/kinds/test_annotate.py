import os
import signal
from pathlib import Path

import numpy as np
import pytest
from following import Follower
from small_artifacts import write_halves
from waiting import wait_until

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.progress import ignore_progress
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.editing import Put
from sightline.data.items import Item
from sightline.data.truth import note_viewer
from sightline.data.versions import VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.jobs.folder import JobFolder
from sightline.jobs.kinds.annotate import DONE_NAME, AnnotateArguments, Done, iterate_unseen, prepare, run
from sightline.jobs.kinds.kind import Call
from sightline.serving.deployments import deploy_artifact
from sightline.store.database import Database
from sightline.store.datasets import DatasetStore, ItemChanges

BY_HAND = Annotation(category="scratch", box_xyxy=(1, 1, 20, 20))
BY_MODEL = Annotation(category="dent", box_xyxy=(5, 5, 9, 9), confidence=0.5, origin="model")
COUNT = 20


@pytest.fixture
def parts(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Pictures of which a person labelled the first and a model the second; and `halves`, which sees something in all."""
    blobs = BlobStore(workspace.blobs)
    with VersionWriter(workspace, "parts", Categories(("scratch", "dent")), blobs) as writer:
        for number in range(COUNT):
            content = encode_image(np.full((48, 64, 3), 5 * number, np.uint8), "png")
            annotations = [(BY_HAND,), (BY_MODEL,)][number] if number < 2 else ()
            viewer = note_viewer("nobody", ()) if number > 1 else None
            item = Item(blob=blobs.put_bytes(content), file_name=f"{number}.png", width=64, height=48, seen_by=viewer)
            writer.add(Item(**{name: getattr(item, name) for name in item.__struct_fields__} | {"annotations": annotations}))
        writer.close()
    deploy_artifact(write_halves(tmp_path / "halves", categories=("dent", "hole")), "halves", workspace.deployments)
    return workspace


def call(workspace: Workspace, job: str = "job123456789") -> Call:
    folder = JobFolder(workspace.root, job)
    folder.making.mkdir(parents=True, exist_ok=True)
    arguments = prepare(AnnotateArguments(dataset="parts", subject="halves"), workspace)
    return Call(workspace, job, folder, arguments, False, ignore_progress, lambda: False)


def test_proposals_become_edits_of_pictures_that_no_person_looked_at(parts: Workspace, database: Database) -> None:
    dataset = DatasetStore(parts, database).open("parts")
    made = run(call(parts))
    assert made.facts["images_left"] == 1 and made.facts["images_annotated"] == COUNT - 1
    assert dataset.summarise().states == {"labelled": 1, "proposed": COUNT - 1, "unlabelled": 0}
    assert [label.annotation for label in dataset.read_item(0).labels] == [BY_HAND]
    for position in (1, 2):
        labels = dataset.read_item(position).labels
        assert {label.annotation.origin for label in labels} == {"model"}
        assert BY_MODEL not in [label.annotation for label in labels]
        assert dataset.read_history(position)[-1].author == "model halves"
    assert made.facts["annotations"] == sum(len(dataset.read_item(position).labels) for position in range(1, COUNT))


def test_what_a_person_labels_after_it_was_listed_is_left(parts: Workspace, database: Database) -> None:
    dataset, done = DatasetStore(parts, database).open("parts"), Done()
    pictures = iterate_unseen(dataset, done)
    assert next(pictures).position == 1
    dataset.append_edit(2, "edit-000001", 0, [Put(id="by-hand", annotation=BY_HAND)], "ann")
    assert [picture.position for picture in pictures] == list(range(3, COUNT))
    assert done.left == 2


def test_pictures_that_are_removed_after_they_were_listed_hide_no_others(parts: Workspace, database: Database) -> None:
    dataset, done = DatasetStore(parts, database).open("parts"), Done()
    pictures = iterate_unseen(dataset, done)
    assert next(pictures).file_name == "1.png"
    dataset.revise(ItemChanges(removed={2: dataset.read_item(2).blob}), "ann")
    assert [picture.file_name for picture in pictures] == [f"{number}.png" for number in range(3, COUNT)]
    assert done.left == 1


def test_one_that_goes_on_after_its_process_died_writes_nothing_twice(parts: Workspace, database: Database) -> None:
    dataset = DatasetStore(parts, database).open("parts")
    first = call(parts)
    run(first)
    (first.folder.making / DONE_NAME).unlink()
    run(first)
    assert [dataset.read_item(position).revision for position in range(4)] == [0, 1, 1, 1]
    run(call(parts, "job987654321"))
    assert [dataset.read_item(position).revision for position in range(4)] == [0, 2, 2, 2]


def test_a_picture_that_a_person_edits_first_is_left_as_it_is(
    parts: Workspace, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.bench import annotating

    dataset = DatasetStore(parts, database).open("parts")
    propose = annotating.propose_annotations

    def propose_late(*arguments: object) -> object:
        found = propose(*arguments)  # type: ignore[arg-type]
        if dataset.read_item(3).revision == 0:
            dataset.append_edit(3, "edit-by-hand", 0, [Put(id="new", annotation=BY_HAND)], "ada")
        return found

    monkeypatch.setattr(annotating, "propose_annotations", propose_late)
    made = run(call(parts))
    assert made.facts["images_left"] == 2
    assert [label.annotation for label in dataset.read_item(3).labels] == [BY_HAND]


def test_only_a_dataset_itself_can_be_annotated(parts: Workspace) -> None:
    with pytest.raises(InvalidInput, match="a frozen version is never changed"):
        prepare(AnnotateArguments(dataset="parts@1234", subject="halves"), parts)
    with pytest.raises(NotFound, match="no deployment, artifact or model 'quarters'"):
        prepare(AnnotateArguments(dataset="parts", subject="quarters"), parts)


@pytest.mark.slow
def test_a_killed_job_goes_on_beside_a_person_who_labels(parts: Workspace, follower: Follower) -> None:
    dataset = follower.runner.datasets.open("parts")
    job = follower.ask("annotate", dataset="parts", **{"with": "halves"})
    wait_until(lambda: follower.runner.folder(job.id).read_mark() is not None)  # long before it has opened the model
    os.kill(follower.find_process(job), signal.SIGKILL)
    dataset.append_edit(5, "edit-by-hand", dataset.read_item(5).revision, [Put(id="new", annotation=BY_HAND)], "ada")
    done = follower.wait_for(job, "succeeded")
    assert done.restarts == 1
    assert dataset.summarise().states == {"labelled": 2, "proposed": COUNT - 2, "unlabelled": 0}
