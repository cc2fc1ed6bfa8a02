import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from platform_server import Running
from vapi.base import Base

from sightline.api.application import THREADS
from sightline.api.parts import Parts
from sightline.store.freezing import hold_freezing

UNKNOWN = "5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55"


def test_a_file_is_removed_and_the_ids_of_others_stay(mvi: Base, dataset: str, files: list[str]) -> None:
    labels = {label["_id"] for label in mvi.object_labels.report(dataset) if label["file_id"] != files[0]}
    assert mvi.files.delete(dataset, files[0]) == {"result": "success"}
    assert [file["_id"] for file in mvi.files.report(dataset)] == files[1:]
    assert {label["_id"] for label in mvi.object_labels.report(dataset)} == labels
    assert mvi.files.delete(dataset, files[0]) is None and mvi.json()["fault"].startswith("Could not find file")
    assert mvi.files.delete(UNKNOWN, files[0]) is None and mvi.json()["fault"].startswith("Unknown dataset")


def test_files_are_removed_together_and_counted(mvi: Base, dataset: str, files: list[str]) -> None:
    answer = mvi.server.post(f"/datasets/{dataset}/files/action", json={"action": "delete", "id_list": [*files[:2], UNKNOWN]})
    assert answer == {"success_count": 2, "fail_count": 1, "result": "success"}
    assert mvi.server.post(f"/datasets/{dataset}/files/action", json={"action": "delete", "id_list": files[2:]}) is None
    assert mvi.status_code() == 409 and len(mvi.files.report(dataset)) == 4
    assert mvi.server.post(f"/datasets/{dataset}/files/action", json={"action": "turn"}) is None


def test_copies_have_labels_and_splits(mvi: Base, dataset: str, files: list[str], running_parts: Parts) -> None:
    other = mvi.datasets.create("other")["dataset_id"]
    copied = mvi.files.copymove("copy", dataset, other, [files[0], UNKNOWN, files[3]])
    first, lost, last = copied["result_list"]
    assert (first["result"], lost["result"], last["result"]) == ("success", "fail", "success")
    assert [file["_id"] for file in mvi.files.report(other)] == [first["new_file_id"], last["new_file_id"]]
    labels = mvi.object_labels.report(other)
    assert [(label["file_id"], label["generate_type"]) for label in labels] == [
        (first["new_file_id"], "manual"),
        (last["new_file_id"], "auto"),
    ]
    assert [tag["name"] for tag in mvi.object_tags.report(other)] == ["dent"]
    assert running_parts.store.open("other").summarise().splits == {"train": 1, "val": 1}
    assert len(mvi.files.report(dataset)) == 6
    again = mvi.files.copymove("copy", dataset, other, files[:1])["result_list"]
    assert again == [first] and len(mvi.files.report(other)) == 2


def test_what_is_moved_is_in_the_other_dataset_alone(mvi: Base, dataset: str, files: list[str]) -> None:
    other = mvi.datasets.create("other")["dataset_id"]
    moved = mvi.files.copymove("move", dataset, other, files[4:])["result_list"]
    assert [file["_id"] for file in mvi.files.report(other)] == [one["new_file_id"] for one in moved]
    assert [file["_id"] for file in mvi.files.report(dataset)] == files[:4]
    assert mvi.files.copymove("move", dataset, other, files[:4]) is None and "copy them instead" in mvi.json()["fault"]
    assert mvi.files.copymove("copy", dataset, UNKNOWN, files[:4]) is None
    assert mvi.json()["fault"].startswith("Could not find dataset")


def test_files_that_wait_for_a_freeze_keep_no_others_waiting(
    mvi: Base, dataset: str, running: Running, running_parts: Parts
) -> None:
    file = mvi.files.report(dataset)[0]["_id"]
    place = f"{running.url}/api/datasets"
    options: Any = {"headers": running.bearer, "trust_env": False, "timeout": 20}
    with ThreadPoolExecutor(THREADS) as others:
        with hold_freezing(running_parts.workspace, "parts"):
            gone = [others.submit(httpx.delete, f"{place}/{dataset}/files/{file}", **options) for _ in range(THREADS)]
            time.sleep(0.5)
            assert httpx.get(place, **options).status_code == 200
            assert not any(one.done() for one in gone)
        assert sorted({one.result().status_code for one in gone} - {409}) == [200, 404]
