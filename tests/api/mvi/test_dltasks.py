import pytest
from vapi.base import Base

from sightline.api.mvi.dltasks import read_strategy
from sightline.api.parts import Parts
from sightline.core.errors import InvalidInput
from sightline.store.datasets import DatasetSummary

UNKNOWN = "5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55"

pytestmark = pytest.mark.usefixtures("idle")


def read_arguments(parts: Parts) -> dict[str, object]:
    """Of the newest job."""
    return parts.jobs.store.list(limit=1).jobs[0].arguments


@pytest.mark.parametrize(
    ("asked", "task", "model"),
    [
        ({"usage": "cod"}, "detection", "accurate"),
        ({"usage": "cod", "nn_arch": "frcnn", "action": "create-cod-task"}, "detection", "accurate"),
        ({"usage": "cod", "nn_arch": "tiny_yolo_v2"}, "detection", "fast"),
        ({"usage": "cod", "nn_arch": "ssd"}, "detection", "fast"),
        ({"usage": "cod", "nn_arch": "frcnn_mrcnn"}, "instance", "fast"),
        ({"usage": "cod", "strategy": {"segmentation_flag": "1"}}, "instance", "fast"),
        ({"usage": "cic", "action": "create"}, "classification", "fast"),
        ({"usage": "cic", "nn_arch": "accurate"}, "classification", "accurate"),
    ],
)
def test_words_of_the_original_stand_for_tasks_and_dials(
    mvi: Base, dataset: str, running_parts: Parts, asked: dict[str, object], task: str, model: str
) -> None:
    made = mvi.dl_tasks.create("my model", dataset, **asked)
    arguments = read_arguments(running_parts)
    assert (arguments["task"], arguments["model"], arguments["name"]) == (task, model, "my-model")
    (row,) = mvi.dl_tasks.report()
    assert row["_id"] == made["task_id"] and row["usage"] == asked["usage"] and row["owner"] == "ada"
    assert row["nn_arch"] == {"ssd": "tiny_yolo_v2"}.get(str(asked.get("nn_arch")), row["nn_arch"])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"usage": "act"}, "actions"),
        ({"usage": "cod", "userdnn_id": "x"}, "userdnn_id"),
        ({"usage": "anything"}, "cic or cod"),
        ({"usage": "cod", "nn_arch": "resnet-9000"}, "resnet-9000"),
        ({"usage": "cic", "nn_arch": "frcnn"}, "classifies"),
        ({"usage": "cod", "strategy": {"iterations": 2.5}}, "whole number"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(mvi: Base, dataset: str, asked: dict[str, object], told: str) -> None:
    assert mvi.dl_tasks.create("m", dataset, **asked) is None
    assert told in mvi.json()["fault"] and mvi.json()["result"] == "fail"
    assert mvi.dl_tasks.report() == []


def test_a_dataset_without_labels_is_refused(mvi: Base) -> None:
    empty = mvi.datasets.create("empty")["dataset_id"]
    assert mvi.dl_tasks.create("m", empty, "cod") is None
    assert mvi.status_code() == 409 and "label" in mvi.json()["fault"]
    assert mvi.dl_tasks.create("m", UNKNOWN, "cod") is None
    assert mvi.json()["fault"].startswith("Could not find dataset")


def test_a_strategy_says_how_long(mvi: Base, dataset: str, running_parts: Parts) -> None:
    mvi.dl_tasks.create(
        "m", dataset, "cod", strategy={"max_iter": "1500", "autoearlystop_flag": 1, "ratio": 0.8, "momentum": 0.9}
    )
    arguments = read_arguments(running_parts)
    assert (arguments["budget"], arguments["set"]) == ("1500it", {"patience": 3})


def test_without_pictures_to_validate_on_the_last_weights_are_kept() -> None:
    summary = DatasetSummary(
        name="d", base_id="", item_count=1, states={}, splits={"train": 1}, annotation_counts={}, categories=(),
        unfrozen_edits=0, newer_version=None,
    )  # fmt: skip
    assert read_strategy({"autoearlystop_flag": 1}, summary) == {"set": {"validation_split": None}}
    with pytest.raises(InvalidInput, match="iterations"):
        read_strategy({"iterations": "many"}, summary)


def test_the_status_follows_the_job(mvi: Base, dataset: str, running_parts: Parts) -> None:
    task = mvi.dl_tasks.create("m", dataset, "cod")["task_id"]
    assert mvi.dl_tasks.show(task)["status"] == "scheduled"
    (job,) = running_parts.jobs.store.list().jobs
    running_parts.jobs.store.change(job.id, ("queued",), state="running", started_at="2026-11-28T12:00:00+00:00")
    shown = mvi.dl_tasks.show(task)
    assert (shown["status"], shown["started_at"]) == ("training", 1_795_867_200_000)
    assert [row["_id"] for row in mvi.dl_tasks.report(status="training")] == [task] and mvi.dl_tasks.report(
        status="failed"
    ) == []
    assert mvi.dl_tasks.report(pg_id=UNKNOWN) == []
    running_parts.jobs.store.change(job.id, ("running",), state="failed", error="no memory")
    status = mvi.dl_tasks.status(task)
    assert (status["status"], status["fault"], status["messages"]) == ("failed", "no memory", [])
    assert mvi.dl_tasks.delete(task) == {"result": "success"} and mvi.dl_tasks.report() == []


def test_a_training_is_stopped_or_cancelled(mvi: Base, dataset: str) -> None:
    task = mvi.dl_tasks.create("m", dataset, "cod")["task_id"]
    assert mvi.dl_tasks.action(task, action="stop") is None and mvi.status_code() == 409  # it only waits
    assert mvi.dl_tasks.action(task, action="dance") is None and "expected the action stop" in mvi.json()["fault"]
    assert mvi.dl_tasks.delete(task) == {"result": "success"}
    assert mvi.dl_tasks.show(task)["status"] == "aborted"
    assert mvi.dl_tasks.show(UNKNOWN) is None and mvi.json()["fault"].startswith("Could not find dltask")
