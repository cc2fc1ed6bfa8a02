"""Who asks: the person whom the guard found for a request, as handlers ask for them."""

from typing import Annotated, Literal

import msgspec
from fastapi import Depends, Request
from starlette.types import Scope

Role = Literal["viewer", "editor", "admin"]
PERSON = "sightline.person"  # where the guard puts it in a request's scope


class Person(msgspec.Struct, frozen=True):
    """Whoever is let in.

    Attributes:
        name: written down for what they do.
        role: viewers look and try pictures; editors label, make datasets and run jobs, too; admins do everything.
    """

    name: str
    role: Role


def set_person(scope: Scope, person: Person) -> None:
    """Say who asks."""
    scope[PERSON] = person


async def find_person(request: Request) -> Person:
    """Who asks. Raises: KeyError where no guard stands around the application."""
    person: Person = request.scope[PERSON]
    return person


PersonOf = Annotated[Person, Depends(find_person)]
