"""What holds for every call of `/api`: who may make it, how it is described, and that `/v1` knows nothing of it."""

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.testclient import TestClient
from vapi.base import Base

from sightline.api.application import make_application
from sightline.api.mvi.absent import ABSENT
from sightline.api.mvi.application import make_mvi
from sightline.api.mvi.roles import REMOVING_WHOLE, TRYING, find_role
from sightline.api.people import Person, set_person
from sightline.api.server import open_parts
from sightline.core.workspace import Workspace


def list_calls() -> dict[str, APIRoute]:
    found = {}
    for context in iter_route_contexts(make_mvi(None).routes):
        assert isinstance(context.original_route, APIRoute)
        for method in context.methods or ():
            found[f"{method} {context.path}"] = context.original_route
    return found


def test_the_schema_of_v1_knows_nothing_of_it() -> None:
    assert [path for path in make_application(None).openapi()["paths"] if not path.startswith("/v1/")] == []


def test_every_call_says_what_it_does() -> None:
    calls = list_calls()
    assert len(calls) > 60
    assert [call for call, route in calls.items() if not (route.endpoint.__doc__ or "").rstrip().endswith(".")] == []


def test_named_roles_are_of_calls_that_there_are() -> None:
    assert set(TRYING) | set(REMOVING_WHOLE) <= set(list_calls())
    assert find_role("GET", "/datasets/{dataset_id}/files/{file_id}/action") == "editor"  # it changes a label


@pytest.fixture
def viewer(workspace: Workspace) -> Iterator[TestClient]:
    """Somebody who may only look."""
    with open_parts(workspace) as parts:
        app = make_mvi(parts)

        async def guard(scope, receive, send):  # type: ignore[no-untyped-def]
            set_person(scope, Person("eve", "viewer"))
            await app(scope, receive, send)

        with TestClient(guard) as client:
            yield client


def test_a_viewer_changes_nothing(viewer: TestClient) -> None:
    for call in list_calls():
        method, path = call.split(" ")
        answer = viewer.request(method, path)
        assert (answer.status_code == 403) == (find_role(method, path) != "viewer"), call
        if answer.status_code == 403:
            assert "eve" in answer.json()["fault"] and answer.json()["result"] == "fail"


def test_what_is_not_there_says_what_to_do_instead(mvi: Base) -> None:
    for absent in ABSENT:
        for call in (*absent.lists, *absent.others):
            method, path = re.sub(r"\{\w+\}", "x", call).split()
            answer = getattr(mvi.server, method.lower())(path)
            if call in absent.lists:
                assert answer == [], call
            else:
                assert mvi.status_code() == 501 and absent.instead in mvi.json()["fault"], call


def test_a_slash_at_the_end_changes_nothing(mvi: Base) -> None:
    assert mvi.server.get("/datasets/") == mvi.server.get("/datasets") != []


def test_what_is_no_call_is_told_as_the_original_does(mvi: Base) -> None:
    assert mvi.server.get("/nothing") is None
    assert mvi.json() == {
        "status": "Not Found",
        "fault": "HTTP 404 Not Found",
        "type": "NotFoundException",
        "result": "fail",
    }
    assert mvi.server.delete("/datasets") is None and mvi.status_code() == 405 and mvi.json()["result"] == "fail"
    assert mvi.server.post("/datasets", data="{", headers={"content-type": "application/json"}) is None
    assert mvi.status_code() == 400 and mvi.json()["fault"]


def test_another_token_is_told_as_the_original_does(mvi: Base) -> None:
    mvi.server.token = "wrong"
    assert mvi.datasets.report() is None
    assert mvi.status_code() == 401 and mvi.json()["fault"] == "Failed to parse token."
