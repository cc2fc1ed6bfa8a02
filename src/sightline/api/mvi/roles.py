"""Which role a call needs: reading is for viewers, removing whole things for admins, all else for editors."""

from fastapi import Request
from starlette.exceptions import HTTPException

from sightline.api.people import PersonOf
from sightline.api.roles import RANKS
from sightline.store.users import Role

TRYING = ("POST /dlapis/{webapi_id}",)  # stores nothing
REMOVING_WHOLE = (
    "DELETE /datasets/{dataset_id}",
    "DELETE /trained-models/{model_id}",
    "POST /trained-models/action",
    "DELETE /webapis/{webapi_id}",
)


def find_role(method: str, path: str) -> Role:
    """The role that an operation needs. Args: path: of its route, below `/api`."""
    operation = f"{method} {path}"
    if operation in REMOVING_WHOLE:
        return "admin"
    is_reading = method in ("GET", "HEAD") and not path.endswith("/action")  # actions change something, by GET too
    return "viewer" if is_reading or operation in TRYING else "editor"


def check_role(request: Request, person: PersonOf) -> None:
    """Whether who asks may do what they ask for. Raises: HTTPException 403."""
    needed = find_role(request.method, request.scope["route"].path)
    if RANKS[person.role] < RANKS[needed]:
        raise HTTPException(403, f"expected the role {needed}, {person.name} has {person.role}; ask an admin for it")
