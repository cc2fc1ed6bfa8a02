"""What each role may do: one table of all operations, which a test holds against the routes that there are.

Every route of the application asks `check_role` first; one that the table lacks is for admins alone.
"""

from fastapi import Request
from starlette.exceptions import HTTPException

from sightline.api.people import PersonOf
from sightline.store.users import Role

RANKS: dict[Role, int] = {"viewer": 0, "editor": 1, "admin": 2}  # whoever may do more may do all that others may
OPERATIONS: dict[Role, tuple[str, ...]] = {
    "viewer": (
        "GET /v1/session",
        "POST /v1/password",  # one's own
        "GET /v1/keys",
        "POST /v1/keys",
        "DELETE /v1/keys/{id}",
        "GET /v1/datasets",
        "GET /v1/datasets/{name}",
        "GET /v1/datasets/{name}/items",
        "GET /v1/datasets/{name}/items/{position}",
        "GET /v1/datasets/{name}/items/{position}/edits",
        "GET /v1/datasets/{name}/items/{position}/picture",
        "GET /v1/datasets/{name}/items/{position}/thumbnail",
        "POST /v1/datasets/{name}/items/{position}/predictions",  # stores nothing
        "GET /v1/datasets/{name}/items/{position}/frames",
        "GET /v1/datasets/{name}/videos",
        "GET /v1/datasets/{name}/versions",
        "GET /v1/datasets/{name}/dependents",
        "GET /v1/{shelf}/{name}/{thing_id}/dependents",
        "GET /v1/predictors",
        "GET /v1/jobs",
        "GET /v1/jobs/{job_id}",
        "GET /v1/jobs/{job_id}/log",
        "GET /v1/jobs/{job_id}/progress",
        "GET /v1/jobs/{job_id}/events",
        "GET /v1/models",
        "GET /v1/artifacts",
        "GET /v1/reports",
        "GET /v1/deployments",
        "GET /v1/{shelf}/{name}/{thing_id}/files/{file:path}",
        "POST /v1/deployments/{name}/predict",  # stores nothing
        "GET /v1/devices",
        "GET /v1/training-options",
    ),
    "editor": (
        "POST /v1/datasets",
        "POST /v1/datasets/{name}/items",
        "POST /v1/datasets/{name}/items/remove",
        "POST /v1/datasets/{name}/items/move",
        "POST /v1/datasets/{name}/items/{position}/edits",
        "POST /v1/datasets/{name}/items/{position}/restore",
        "POST /v1/datasets/{name}/items/{position}/outline",
        "POST /v1/datasets/{name}/tracks/fill",
        "POST /v1/datasets/{name}/categories",
        "PATCH /v1/datasets/{name}/categories/{id}",
        "DELETE /v1/datasets/{name}/categories/{id}",
        "POST /v1/datasets/{name}/versions",
        "POST /v1/datasets/{name}/versions/{version_id}/present",
        "POST /v1/train",
        "POST /v1/compile",
        "POST /v1/deploy",
        "POST /v1/measure",
        "POST /v1/annotate",
        "POST /v1/jobs/{job_id}/cancel",
        "POST /v1/jobs/{job_id}/stop",
    ),
    "admin": (
        "GET /v1/users",
        "POST /v1/users",
        "PATCH /v1/users/{id}",
        "DELETE /v1/datasets/{name}",
        "DELETE /v1/{shelf}/{name}/{thing_id}",
    ),
}
ROLES: dict[str, Role] = {operation: role for role, operations in OPERATIONS.items() for operation in operations}


async def check_role(request: Request, person: PersonOf) -> None:
    """Whether who asks may do what they ask for. Raises: HTTPException 403."""
    needed = ROLES.get(f"{request.method} {request.scope['route'].path}", "admin")
    if RANKS[person.role] < RANKS[needed]:
        raise HTTPException(
            403, f"expected somebody with the role {needed}, got {person.name} with {person.role}; ask an admin for it"
        )
