"""Who may do what, held against every route of the application."""

from collections.abc import Iterator

import pytest
from fastapi.routing import iter_route_contexts
from platform_server import let_in_as
from starlette.testclient import TestClient

from sightline.api.application import make_application
from sightline.api.roles import OPERATIONS, RANKS, ROLES
from sightline.api.server import open_parts
from sightline.core.workspace import Workspace
from sightline.store.users import Role

OPEN = {"GET /v1/openapi.json", "HEAD /v1/openapi.json"}


def list_operations() -> set[str]:
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(make_application(None).routes)
        for method in route.methods or ()
    }


def test_every_route_has_a_role_and_every_role_is_of_a_route() -> None:
    assert list_operations() - OPEN == set(ROLES)
    assert sum(map(len, OPERATIONS.values())) == len(ROLES)  # no operation stands under two roles


def test_only_reading_trying_and_what_is_ones_own_is_for_viewers() -> None:
    changing = {operation for operation in OPERATIONS["viewer"] if not operation.startswith("GET ")}
    assert changing == {
        "POST /v1/datasets/{name}/items/{position}/predictions",
        "POST /v1/deployments/{name}/predict",
        "POST /v1/password",
        "POST /v1/keys",
        "DELETE /v1/keys/{id}",
    }


@pytest.fixture(params=["viewer", "editor", "admin"])
def asking(request: pytest.FixtureRequest, workspace: Workspace) -> Iterator[tuple[Role, TestClient]]:
    """Somebody of a role, and what they ask with."""
    role: Role = request.param
    with open_parts(workspace) as parts, TestClient(let_in_as(make_application(parts), role)) as client:
        yield role, client


def test_a_role_gets_to_no_operation_of_a_higher_one(asking: tuple[Role, TestClient]) -> None:
    role, client = asking
    for operation, needed in ROLES.items():
        method, path = operation.split(" ")
        answer = client.request(method, path.replace("{position}", "0").replace("{id}", "0"))
        is_refused = answer.status_code == 403
        assert is_refused == (RANKS[role] < RANKS[needed]), operation
        if is_refused:
            assert answer.json()["detail"] == (
                f"expected somebody with the role {needed}, got eve with {role}; ask an admin for it"
            )
