"""`/v1/session`, `/v1/password` and `/v1/keys`: what is one's own; `/v1/users`: who else there is, for admins."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path

from sightline import __version__
from sightline.api import user_schemas as schemas
from sightline.api.parts import PartsOf
from sightline.api.people import Person, PersonOf
from sightline.api.schemas import MOST
from sightline.core.errors import Conflict, InvalidInput

UserId = Annotated[int, Path(alias="id", ge=0, le=MOST, description="Id of the user.")]
KeyId = Annotated[int, Path(alias="id", ge=0, le=MOST, description="Id of the key.")]

router = APIRouter(prefix="/v1", tags=["People"])


@router.get("/session", response_model=schemas.Session)
def read_session(parts: PartsOf, person: PersonOf) -> Any:
    """Who asks, what they may do, which Sightline serves, and from which workspace."""
    return {
        "author": person.name,
        "role": person.role,
        "entry": person.entry,
        "has_users": parts.accounts.users.has_any(),
        "version": __version__,
        "workspace": str(parts.workspace.root.resolve()),
    }


@router.post("/password", status_code=204)
async def change_password(change: schemas.PasswordChange, parts: PartsOf, person: PersonOf) -> None:
    """Change one's own password. Whoever is signed in elsewhere under it is signed out."""
    user_id = find_user_id(person)
    work = partial(parts.accounts.users.change_own_password, user_id, change.present, change.wanted, person.sign_in)
    if not await parts.accounts.check(person.name, f"user {user_id}", work):
        raise InvalidInput("expected the present password as `present`, got another; type it anew, or ask an admin")


@router.get("/keys", response_model=schemas.ApiKeys)
def list_keys(parts: PartsOf, person: PersonOf) -> Any:
    """One's API keys; their texts are known to nobody."""
    return {"keys": parts.accounts.keys.list(find_user_id(person))}


@router.post("/keys", status_code=201, response_model=schemas.MadeApiKey)
def add_key(new: schemas.NewApiKey, parts: PartsOf, person: PersonOf) -> Any:
    """Make an API key, which may do what its user may; the answer is the only one that holds its text."""
    user_id = find_user_id(person)
    if person.entry == "key":
        raise Conflict("expected somebody who is signed in, got a key: a key that was stolen must not make others; sign in")
    key, text = parts.accounts.keys.add(user_id, new.name)
    return {"id": key.id, "name": key.name, "made_at": key.made_at, "used_at": key.used_at, "text": text}


@router.delete("/keys/{id}", response_model=schemas.ApiKeys)
def remove_key(key_id: KeyId, parts: PartsOf, person: PersonOf) -> Any:
    """Remove one of one's API keys, which opens nothing from now on; the answer holds the others."""
    user_id = find_user_id(person)
    parts.accounts.keys.remove(user_id, key_id)
    return {"keys": parts.accounts.keys.list(user_id)}


@router.get("/users", response_model=schemas.Users)
def list_users(parts: PartsOf) -> Any:
    """All users."""
    return {"users": parts.accounts.users.list()}


@router.post("/users", status_code=201, response_model=schemas.User)
async def add_user(new: schemas.NewUser, parts: PartsOf) -> Any:
    """Make a user, who can sign in from now on."""
    return await parts.accounts.hash(partial(parts.accounts.users.add, new.name, new.role, new.password))


@router.patch("/users/{id}", response_model=schemas.User)
async def change_user(user_id: UserId, change: schemas.UserChange, parts: PartsOf) -> Any:
    """Change a user's role, disable or enable them, or give them a new password; it holds at once."""
    work = partial(parts.accounts.users.change, user_id, role=change.role, disabled=change.disabled, password=change.password)
    return await parts.accounts.hash(work)


def find_user_id(person: Person) -> int:
    """The user who asks. Raises: Conflict for whoever came by the link, and is none."""
    if person.user_id is None:
        raise Conflict("expected a user, got whoever has the link, who has no password and no keys; sign in by name")
    return person.user_id
