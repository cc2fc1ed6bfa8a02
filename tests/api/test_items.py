import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from platform_data import HEIGHT, LABELS, WIDTH
from starlette.testclient import TestClient

from sightline.api import schemas
from sightline.api.application import THREADS
from sightline.core.workspace import Workspace
from sightline.store.freezing import hold_freezing

ITEMS = "/v1/datasets/parts/items"
pytestmark = pytest.mark.usefixtures("parts")


def put(label_id: str = "new0", category: str = "scratch", **fields: Any) -> dict[str, Any]:
    annotation = {"category": category, "box_xyxy": [1, 2, 11, 12]} | fields
    return {"kind": "put", "id": label_id, "annotation": annotation}


def edit(api: TestClient, position: int, *operations: dict[str, Any], revision: int = 0, edit_id: str = "edit-000001") -> Any:
    body = {"edit_id": edit_id, "revision": revision, "operations": operations}
    return api.post(f"{ITEMS}/{position}/edits", json=body)


def test_a_list_has_the_facts_of_each_picture(api: TestClient) -> None:
    page = api.get(ITEMS).json()
    assert (page["total"], page["next_cursor"]) == (6, None)
    first = page["items"][0]
    assert len(first.pop("blob")) == 64
    assert first == {
        "position": 0, "file_name": "0.png", "width": WIDTH, "height": HEIGHT, "split": "train", "state": "labelled",
        "annotation_count": 1, "revision": 0, "source_video": None, "frame_pts": None,
    }  # fmt: skip
    assert [item["state"] for item in page["items"]] == ["labelled"] * 3 + ["proposed", "unlabelled", "labelled"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=proposed", [3]),
        ("state=unlabelled", [4]),
        ("category=scratch", [1]),
        ("split=val", [1, 3, 5]),
        ("search=2.PNG", [2]),
        ("state=labelled&split=train&category=dent", [0, 2]),
        ("search=nothing", []),
        ("cursor=2&limit=2", [2, 3]),
    ],
)
def test_a_list_is_filtered_and_paged(api: TestClient, query: str, expected: list[int]) -> None:
    assert [item["position"] for item in api.get(f"{ITEMS}?{query}").json()["items"]] == expected


def test_pages_follow_each_other_to_the_end(api: TestClient) -> None:
    cursor: int | None = 0
    seen = []
    while cursor is not None:
        page = api.get(f"{ITEMS}?limit=4&cursor={cursor}").json()
        seen += [item["position"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == list(range(6))


def test_labels_come_as_they_were_imported_and_without_what_says_nothing(api: TestClient) -> None:
    for position, annotations in enumerate(LABELS):
        labels = api.get(f"{ITEMS}/{position}").json()["labels"]
        assert [label["id"] for label in labels] == [str(place) for place in range(len(annotations))]
    assert api.get(f"{ITEMS}/0").json()["labels"][0]["annotation"] == {"category": "dent", "box_xyxy": [2, 3, 20, 30]}
    outline = api.get(f"{ITEMS}/1").json()["labels"][0]["annotation"]
    assert outline["polygons"] == [[1, 1, 30.5, 2, 12, 40]] and outline["attributes"] == {"depth": "2"}
    mask = api.get(f"{ITEMS}/2").json()["labels"][0]["annotation"]["mask"]
    assert mask["counts"] == LABELS[2][0].mask.counts and (mask["height"], mask["width"]) == (HEIGHT, WIDTH)  # type: ignore[union-attr]
    proposal = api.get(f"{ITEMS}/3").json()["labels"][0]["annotation"]
    assert (proposal["origin"], proposal["confidence"]) == ("model", 0.75)
    assert api.get(f"{ITEMS}/4").json()["seen_by"] == "nobody"


def test_an_edit_changes_labels_and_is_in_the_history(api: TestClient) -> None:
    answer = edit(api, 4, put(), put("new1", "dent", box_xyxy=None))
    assert answer.status_code == 200
    written = answer.json()
    assert written == {"revision": 1, "state": "labelled", "annotation_count": 2, "seen_by": None, "cleaned": []}
    item = api.get(f"{ITEMS}/4").json()
    assert (item["revision"], item["state"], item["annotation_count"]) == (1, "labelled", 2)
    assert [(label["id"], label["annotation"]["category"]) for label in item["labels"]] == [
        ("new0", "scratch"),
        ("new1", "dent"),
    ]
    (entry,) = api.get(f"{ITEMS}/4/edits").json()["edits"]
    assert (entry["revision"], entry["edit_id"], entry["author"]) == (1, "edit-000001", "ada")
    assert "scratch" in entry["summary"] and entry["made_at"].startswith("20")
    schemas.History.model_validate({"edits": [entry]})


def test_attributes_of_a_picture_are_edited_as_its_labels_are(api: TestClient) -> None:
    assert "attributes" not in api.get(f"{ITEMS}/4").json()
    setting = [{"kind": "set", "key": "line", "value": "3"}, {"kind": "set", "key": "day", "value": ""}]
    assert edit(api, 4, *setting).json() | {"revision": 0} == {
        "revision": 0, "state": "unlabelled", "annotation_count": 0, "seen_by": "nobody", "cleaned": [],
    }  # fmt: skip
    assert api.get(f"{ITEMS}/4").json()["attributes"] == {"day": "", "line": "3"}
    edit(api, 4, {"kind": "set", "key": "day", "value": None}, revision=1, edit_id="edit-000002")
    assert api.get(f"{ITEMS}/4").json()["attributes"] == {"line": "3"}
    told = [entry["summary"] for entry in api.get(f"{ITEMS}/4/edits").json()["edits"]]
    assert told == ["set attributes line, day", "removed attribute day"]
    restored = api.post(f"{ITEMS}/4/restore", json={"edit_id": "edit-000003", "revision": 1})
    assert restored.json()["attributes"] == {"day": "", "line": "3"}


@pytest.mark.parametrize("wrong", [{"key": ""}, {"key": "a" * 101}, {"key": "a\nb"}, {"value": "a" * 10_001}, {"value": 3}])
def test_an_attribute_is_a_short_text_under_a_short_key(api: TestClient, wrong: dict[str, Any]) -> None:
    answer = edit(api, 4, {"kind": "set", "key": "line", "value": "3"} | wrong)
    assert answer.status_code == 422 and next(iter(wrong)) in answer.text
    assert api.get(f"{ITEMS}/4").json()["revision"] == 0


def test_an_edit_that_is_sent_twice_is_made_once(api: TestClient) -> None:
    assert edit(api, 4, put()).json() == edit(api, 4, put()).json()
    assert len(api.get(f"{ITEMS}/4/edits").json()["edits"]) == 1


def test_the_answer_to_an_edit_tells_only_what_is_not_as_it_was_sent(api: TestClient) -> None:
    over_the_edge, inside = put(box_xyxy=[-5, 2, 11, 12]), put("new1")
    written = edit(api, 4, over_the_edge, inside).json()
    (cleaned,) = written["cleaned"]
    assert cleaned == {"id": "new0", "annotation": {"category": "scratch", "box_xyxy": [0, 2, 11, 12]}}
    assert api.get(f"{ITEMS}/4").json()["labels"][0] == cleaned


def test_the_answer_to_an_edit_is_as_small_as_the_edit_however_many_labels_there_are(api: TestClient) -> None:
    ring = [value for step in range(20) for value in (10 + step, 10 + step % 7 + step / 3)] + [30, 40]
    many = [put(f"label-{number:04}", polygons=[ring], box_xyxy=None) for number in range(3000)]
    first = edit(api, 4, *many)
    assert first.json()["annotation_count"] == 3000
    second = edit(api, 4, put("one-more"), revision=1, edit_id="edit-000002")
    assert len(api.get(f"{ITEMS}/4").content) > 1_000_000  # what it was before
    assert len(first.content) < 300 and len(second.content) < 300


def test_an_edit_of_an_older_revision_is_told_how_the_picture_is_now(api: TestClient) -> None:
    edit(api, 0, put())
    stale = edit(api, 0, {"kind": "remove", "id": "0"}, edit_id="edit-000002")
    assert stale.status_code == 409 and stale.headers["content-type"] == "application/problem+json"
    problem = stale.json()
    assert problem["present"] == api.get(f"{ITEMS}/0").json()
    assert problem["status"] == 409 and problem["detail"]
    assert edit(api, 0, {"kind": "remove", "id": "0"}, revision=1, edit_id="edit-000002").status_code == 200


def test_an_edit_of_another_picture_than_the_one_that_was_shown_is_refused(api: TestClient) -> None:
    blobs = [item["blob"] for item in api.get(ITEMS).json()["items"]]
    body = {"edit_id": "edit-000001", "revision": 0, "operations": [put()], "blob": blobs[1]}
    assert api.post(f"{ITEMS}/0/edits", json=body).status_code == 409
    assert api.post(f"{ITEMS}/0/edits", json=body | {"blob": blobs[0]}).status_code == 200


def test_an_earlier_revision_is_brought_back(api: TestClient) -> None:
    before = api.get(f"{ITEMS}/0").json()["labels"]
    edit(api, 0, {"kind": "remove", "id": "0"}, {"kind": "review", "seen_by": "human"})
    restored = api.post(f"{ITEMS}/0/restore", json={"edit_id": "edit-000002", "revision": 0}).json()
    assert restored["labels"] == before and restored["revision"] == 2
    assert api.post(f"{ITEMS}/0/restore", json={"edit_id": "edit-000003", "revision": 9}).status_code == 404
    assert api.post(f"{ITEMS}/0/restore", json={"edit_id": "edit-000003", "revision": 10**30}).status_code == 422


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (put(category="rust"), "rust"),
        (put(box_xyxy=[1, 2, 3]), "box_xyxy"),
        (put(box_xyxy=[500, 500, 600, 600]), "operation 0"),
        (put(polygons=[[1, 1, 2]], box_xyxy=None), "operation 0"),
        (put(confidence=2), "confidence"),
        (put(origin="nobody"), "origin"),
        (put(colour="red"), "colour"),
        (put(mask={"height": 5, "width": 5, "counts": "0"}, box_xyxy=None), "operation 0"),
        (put("a b"), "id"),
        (put() | {"place": 10**30}, "place"),
        ({"kind": "remove", "id": "nothing"}, "nothing"),
        ({"kind": "erase", "id": "0"}, "erase"),
        ({"kind": "review", "seen_by": "everybody"}, "seen_by"),
        ({"kind": "review"}, "seen_by"),
        ("put", "operations"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_in_one_line_and_changes_nothing(api: TestClient, operation: Any, words: str) -> None:
    answer = edit(api, 0, operation)
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert words in detail and "\n" not in detail
    assert api.get(f"{ITEMS}/0").json()["revision"] == 0


@pytest.mark.parametrize(
    "change",
    [{"edit_id": "short"}, {"revision": -1}, {"revision": 10**30}, {"operations": []}, {"author": "eve"}, {"blob": "x"}],
)
def test_a_body_that_does_not_follow_the_schema_is_refused(api: TestClient, change: dict[str, Any]) -> None:
    body = {"edit_id": "edit-000001", "revision": 0, "operations": [put()]} | change
    answer = api.post(f"{ITEMS}/0/edits", json=body)
    assert answer.status_code == 422 and next(iter(change)) in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"edit_id": NaN}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(api: TestClient, body: bytes) -> None:
    answer = api.post(f"{ITEMS}/0/edits", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and answer.headers["content-type"] == "application/problem+json"


def test_numbers_that_are_none_are_refused(api: TestClient) -> None:
    body = (
        '{"edit_id": "edit-000001", "revision": 0, "operations": [{"kind": "put", "id": "a", "annotation": {"category": "x", '
    )
    for number in ("NaN", "Infinity", "1e999"):
        whole = body + f'"box_xyxy": [0, 0, {number}, 5]}}}}]}}'
        answer = api.post(f"{ITEMS}/0/edits", content=whole, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, number


def test_a_body_that_is_too_long_is_refused_before_it_is_read(api: TestClient) -> None:
    body = b'{"edit_id": "' + b"x" * (17 << 20) + b'"}'
    answer = api.post(f"{ITEMS}/0/edits", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413 and answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["6", "99999999", "-1", "x", "1.5", "99999999999999999999"])
def test_a_picture_that_is_not_there_is_told(api: TestClient, path: str) -> None:
    for end in ("", "/edits", "/picture", "/thumbnail"):
        answer = api.get(f"{ITEMS}/{path}{end}")
        assert answer.status_code in (404, 422) and answer.json()["detail"], end


def test_a_filter_that_is_none_is_told(api: TestClient) -> None:
    for query, status in (
        ("state=done", 422),
        ("limit=0", 422),
        ("limit=100000", 422),
        ("category=rust", 404),
        ("cursor=-1", 422),
    ):
        assert api.get(f"{ITEMS}?{query}").status_code == status, query


def test_a_dataset_that_is_not_there_is_told_and_no_path_is_a_name(
    api: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = workspace.list("datasets", "parts")
    monkeypatch.chdir(folder.parent)
    for name in ("none", folder.name, ".", "..", "%2e%2e", "..%2f..", "parts%00", "parts@1", "a" * 300, "%2Ftmp"):
        answer = api.get(f"/v1/datasets/{name}/items")
        assert answer.status_code == 404, name
        assert answer.headers["content-type"] == "application/problem+json"


def choose(api: TestClient, *positions: int) -> list[dict[str, Any]]:
    rows = api.get("/v1/datasets/parts/items").json()["items"]
    return [{"position": row["position"], "blob": row["blob"]} for row in rows if row["position"] in positions]


def test_changes_that_wait_for_a_freeze_keep_no_others_waiting(api: TestClient, parts: Workspace) -> None:
    chosen = [{"position": 0, "blob": api.get(f"{ITEMS}/0").json()["blob"]}]
    with ThreadPoolExecutor(THREADS + 1) as others:
        with hold_freezing(parts, "parts"):
            moves = [
                others.submit(api.post, f"{ITEMS}/move", json={"pictures": chosen, "split": "val"}) for _ in range(THREADS)
            ]
            time.sleep(0.5)
            assert others.submit(api.get, "/v1/datasets").result(timeout=20).status_code == 200
            assert not any(move.done() for move in moves)
        assert {move.result().status_code for move in moves} == {200}


def test_pictures_are_removed_and_moved_in_new_versions(api: TestClient, parts: Workspace) -> None:
    page = choose(api, 1, 4)
    answer = api.post("/v1/datasets/parts/items/remove", json={"pictures": page})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"dataset": api.get("/v1/datasets/parts").json(), "removed": 2, "moved": 0}
    assert answer.json()["dataset"]["item_count"] == 4
    again = api.post("/v1/datasets/parts/items/remove", json={"pictures": page})
    assert again.status_code == 409 and "nothing was changed" in again.json()["detail"]
    for split, moved, splits in (
        ("test", 2, {"train": 1, "val": 1, "test": 2}),
        (None, 2, {"train": 1, "val": 1, "unsplit": 2}),
    ):
        body = {"pictures": choose(api, 0, 3), "split": split}
        answer = api.post("/v1/datasets/parts/items/move", json=body).json()
        assert (answer["moved"], answer["dataset"]["splits"]) == (moved, splits)
        assert api.post("/v1/datasets/parts/items/move", json=body).json()["moved"] == 0
    versions = api.get("/v1/datasets/parts/versions").json()["versions"]
    assert [(one["removed"], one["moved"]) for one in versions] == [(0, 0), (2, 0), (0, 2), (0, 2)]


def test_what_names_no_pictures_is_refused(api: TestClient, parts: Workspace) -> None:
    for body in ({"pictures": []}, {}, {"pictures": [{"position": 0}]}, {"pictures": [{"position": -1, "blob": "0" * 64}]}):
        assert api.post("/v1/datasets/parts/items/remove", json=body).status_code == 422
    for split in ("", "a/b", "unsplit", 5):
        body = {"pictures": choose(api, 0), "split": split}
        assert api.post("/v1/datasets/parts/items/move", json=body).status_code == 422
    everything = api.post("/v1/datasets/parts/items/remove", json={"pictures": choose(api, *range(6))})
    assert everything.status_code == 409 and "remove the whole dataset" in everything.json()["detail"]


def test_an_older_version_becomes_the_present_one_again(api: TestClient, parts: Workspace) -> None:
    before = api.get("/v1/datasets/parts").json()
    api.post("/v1/datasets/parts/items/remove", json={"pictures": choose(api, 0)})
    back = f"/v1/datasets/parts/versions/{before['base_id']}/present"
    assert api.post("/v1/datasets/parts/categories", json={"name": "new"}).status_code == 201
    refused = api.post(back)
    assert refused.status_code == 409 and "freeze them first" in refused.json()["detail"]
    assert api.post("/v1/datasets/parts/versions").status_code == 201
    assert api.post(back).json() == {**before, "categories": before["categories"]}
    assert api.get("/v1/datasets/parts/items/0").json()["file_name"] == "0.png"
    assert len(api.get("/v1/datasets/parts/versions").json()["versions"]) == 3
    assert api.post(f"/v1/datasets/parts/versions/{'0' * 64}/present").status_code == 404
    assert api.post("/v1/datasets/parts/versions/..%2f/present").status_code in (404, 422)
