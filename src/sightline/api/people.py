"""Who asks: the person whom the guard found for a request, as handlers ask for them."""

from typing import Annotated, Literal

import msgspec
from fastapi import Depends, Request
from starlette.types import Scope

from sightline.store.users import Role, User

Entry = Literal["link", "password", "key"]
PERSON = "sightline.person"  # where the guard puts it in a request's scope


class Person(msgspec.Struct, frozen=True):
    """Whoever is let in.

    Attributes:
        name: written down for what they do.
        role: viewers look and try pictures; editors label, make datasets and run jobs, too; admins do everything.
        entry: by what they came in.
        user_id: of the user; None: whoever has the link.
        sign_in: the hash of the sign-in by which they came; None without.
    """

    name: str
    role: Role
    entry: Entry = "link"
    user_id: int | None = None
    sign_in: str | None = None


def make_person(user: User, entry: Entry, sign_in: str | None = None) -> Person:
    """A user as a person who asks."""
    return Person(user.name, user.role, entry, user.id, sign_in)


def set_person(scope: Scope, person: Person) -> None:
    """Say who asks."""
    scope[PERSON] = person


async def find_person(request: Request) -> Person:
    """Who asks. Raises: KeyError where no guard stands around the application."""
    person: Person = request.scope[PERSON]
    return person


PersonOf = Annotated[Person, Depends(find_person)]
