"""Users: who may sign in, and what they may do.

A name is kept in Unicode's composed form (NFC). Two that differ in nothing but case or width are one name, so that nobody takes
another's for edits. What somebody may do is read anew for each request: a change holds from the next one on.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.host import now_utc
from sightline.store.database import Database
from sightline.store.passwords import hash_password, is_password
from sightline.store.tables import SIGN_INS, USERS

Role = Literal["viewer", "editor", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "editor", "admin")
LONGEST_NAME = 100
UNSEEN = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))  # Unicode's categories of what shows nothing, or misleads
SPACE = " "


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in.

    Attributes:
        disabled: they may not, for now.
        has_password: without one they may only use API keys.
        made_at: UTC, ISO 8601.
    """

    id: int
    name: str
    role: Role
    disabled: bool
    has_password: bool
    made_at: str


class UserStore:
    """The rows of the users; any thread may call it.

    Args: database: of the workspace.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def has_any(self) -> bool:
        """Whether there is any user."""
        with self._database.read() as connection:
            return connection.execute(select(USERS.c.id).limit(1)).first() is not None

    def list(self) -> Sequence[User]:
        """All users, by name."""
        with self._database.read() as connection:
            return [decode_user(row) for row in connection.execute(select(USERS).order_by(USERS.c.folded))]

    def find(self, name: str) -> User:
        """The user of this name. Raises: NotFound."""
        with self._database.read() as connection:
            row = find_row(connection, name)
        if row is None:
            raise NotFound(f"no user {name[:LONGEST_NAME]!r}; `sightline users list` shows them")
        return decode_user(row)

    def add(self, name: str, role: Role, password: str | None = None) -> User:
        """Make a user. Raises: InvalidInput for what is no name or no password; Conflict for a name that there is."""
        name, kept = check_user_name(name), None if password is None else hash_password(password)
        row: dict[str, Any] = {"name": name, "folded": fold_name(name), "role": check_role(role), "password_hash": kept}
        with self._database.write() as connection:
            if (there := find_row(connection, name)) is not None:
                raise Conflict(f"there is a user {there.name!r} already; choose another name")
            row |= {"made_at": now_utc(), "disabled": False}
            return decode_user(connection.execute(insert(USERS).values(row).returning(USERS)).one())

    def change(
        self, user_id: int, *, role: Role | None = None, disabled: bool | None = None, password: str | None = None
    ) -> User:
        """Change what is not None. A new password, and being disabled, ends all sign-ins of the user.

        Raises: NotFound; InvalidInput; Conflict for the last admin who could still sign in, who stays one.
        """
        changes: dict[str, Any] = {} if role is None else {"role": check_role(role)}
        changes |= {} if disabled is None else {"disabled": disabled}
        changes |= {} if password is None else {"password_hash": hash_password(password)}
        with self._database.write() as connection:
            before = _read_row(connection, user_id)
            if changes.get("disabled", False) or changes.get("role", "admin") != "admin":
                _check_other_admin(connection, before)
            if changes:
                connection.execute(update(USERS).where(USERS.c.id == user_id).values(changes))
            if disabled or password is not None:
                connection.execute(delete(SIGN_INS).where(SIGN_INS.c.user_id == user_id))
            return decode_user(_read_row(connection, user_id))

    def change_own_password(self, user_id: int, present: str, wanted: str, kept_sign_in: str | None) -> bool:
        """Change a password by the one that was. Ends the user's sign-ins but the one that asks.

        Returns: False when `present` is not the password. Raises: NotFound; InvalidInput for what cannot be one.
        """
        wanted_hash = hash_password(wanted)
        with self._database.read() as connection:
            before = _read_row(connection, user_id)
        if not is_password(present, before.password_hash):
            return False
        with self._database.write() as connection:
            row = _read_row(connection, user_id)
            if row.password_hash != before.password_hash or row.disabled:
                return False
            connection.execute(update(USERS).where(USERS.c.id == user_id).values(password_hash=wanted_hash))
            others = (SIGN_INS.c.user_id == user_id) & (SIGN_INS.c.secret_hash != (kept_sign_in or ""))
            connection.execute(delete(SIGN_INS).where(others))
        return True


def check_user_name(name: str) -> str:
    """A name as it is kept. Raises: InvalidInput for one that is empty or too long, or holds what cannot be seen."""
    name = unicodedata.normalize("NFC", name)
    unseen = [char for char in name if unicodedata.category(char) in UNSEEN]
    has_odd_space = any(char != SPACE and char.isspace() for char in name)
    if not 1 <= len(name) <= LONGEST_NAME or name != name.strip() or unseen or has_odd_space:
        raise InvalidInput(
            f"expected a user's name of 1..{LONGEST_NAME} characters that can be seen, without spaces at its ends, "
            f"got {name[:LONGEST_NAME]!r}; choose another"
        )
    return name


def fold_name(name: str) -> str:
    """What two spellings of one name have in common (Unicode's caseless matching, with compatible forms)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_role(role: str) -> Role:
    """Raises: InvalidInput for another word."""
    for known in ROLES:
        if role == known:
            return known
    raise InvalidInput(f"expected a role of {', '.join(ROLES)}, got {role[:LONGEST_NAME]!r}")


def find_row(connection: Connection, name: str) -> Row[Any] | None:
    """The row of a user's name, however it is written."""
    if len(name) > LONGEST_NAME or any("\ud800" <= char <= "\udfff" for char in name):
        return None
    return connection.execute(select(USERS).where(USERS.c.folded == fold_name(name))).first()


def decode_user(row: Row[Any]) -> User:
    """The user of a row with the columns of `users`."""
    return User(
        id=row.id,
        name=row.name,
        role=row.role,
        disabled=row.disabled,
        has_password=row.password_hash is not None,
        made_at=row.made_at,
    )


def _read_row(connection: Connection, user_id: int) -> Row[Any]:
    row = connection.execute(select(USERS).where(USERS.c.id == user_id)).first()
    if row is None:
        raise NotFound(f"no user {user_id}; GET /v1/users lists them")
    return row


def _check_other_admin(connection: Connection, user: Row[Any]) -> None:
    """Raises: Conflict when no other admin could sign in, and this one can. Of two who demote each other, one is second."""
    admins = select(USERS.c.id).where((USERS.c.role == "admin") & ~USERS.c.disabled).with_for_update()
    enabled = {row.id for row in connection.execute(admins)}
    if enabled == {user.id}:
        raise Conflict(f"{user.name!r} is the last admin who is not disabled; make somebody else an admin first")
