"""What stands on the wire of `/v1` about people: who asks, users, passwords and API keys."""

from typing import Annotated, Literal

from pydantic import Field

from sightline.api.schemas import Answer, Request

Role = Literal["viewer", "editor", "admin"]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Password = Annotated[str, Field(max_length=1024)]


class Session(Answer):
    """Who asks and by what they came in, the version of the server, and the folder of its workspace, for commands.

    `has_users`: whether anybody can sign in by a password; `entry`: by the link of the start, a password, or a key.
    """

    author: str
    role: Role
    entry: Literal["link", "password", "key"]
    has_users: bool
    version: str
    workspace: str


class User(Answer):
    """Somebody who may sign in, unless `disabled`; without a password they only use API keys. `made_at`: UTC, ISO 8601."""

    id: int
    name: str
    role: Role
    disabled: bool
    has_password: bool
    made_at: str


class Users(Answer):
    """All users, by name."""

    users: list[User]


class NewUser(Request):
    """A user to make. `password`: null: they cannot sign in until they have one."""

    name: Name
    role: Role
    password: Password | None = None


class UserChange(Request):
    """What shall change of a user; null: it stays. A new password, and being disabled, ends their sign-ins."""

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None


class PasswordChange(Request):
    """One's own password, and the one it shall be from now on. Sign-ins elsewhere end."""

    present: Password
    wanted: Password


class ApiKey(Answer):
    """A key of one's programs. `made_at`, `used_at`: UTC, ISO 8601; `used_at` is known to ten minutes."""

    id: int
    name: str
    made_at: str
    used_at: str | None


class ApiKeys(Answer):
    """One's keys, by name."""

    keys: list[ApiKey]


class NewApiKey(Request):
    """A key to make. `name`: what it is for."""

    name: Name


class MadeApiKey(ApiKey):
    """A new key. `text`: what programs show; it is kept nowhere, so nobody will be told it again."""

    text: str
