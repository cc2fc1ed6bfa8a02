"""Sign-ins: which browsers are whose, and for how long; and the API keys of users' programs.

Both are 32 random bytes, which the store keeps as their SHA-256: what is read from it opens nothing. A slow hash would buy
nothing, since nobody can try 2^256 secrets. Whether the user is disabled is looked up each time, with the secret.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Row, Table, delete, insert, select, update

from sightline.core.errors import Conflict, NotFound
from sightline.store.database import Database
from sightline.store.passwords import is_password
from sightline.store.tables import API_KEYS, SIGN_INS, USERS
from sightline.store.users import User, check_user_name, decode_user, find_row

SECRET_BYTES = 32
KEY_PREFIX = "sightline_"  # by which programs that look for secrets in files know one
IDLE_S = 7 * 24 * 3600
LONGEST_S = 30 * 24 * 3600
NOTED_EVERY_S = 600  # when somebody was last there is known to ten minutes: a row is not written for each request
MOST_SIGN_INS = 50  # of a user; the oldest goes
MOST_KEYS = 100  # of a user

Clock = Callable[[], float]


class SignIn(msgspec.Struct, frozen=True):
    """Whose a secret is. Attributes: secret_hash: by which the store knows the sign-in."""

    user: User
    secret_hash: str


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a user's program; its text is known to nobody else. `made_at`, `used_at`: UTC, ISO 8601."""

    id: int
    name: str
    made_at: str
    used_at: str | None


class SignInStore:
    """The rows of the sign-ins; any thread may call it.

    Args:
        database: of the workspace.
        clock: seconds since 1970.
    """

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    def begin(self, name: str, password: str) -> str | None:
        """Sign a user in. Returns: the new secret; None when there is nobody of this name and password, who may sign in."""
        with self._database.read() as connection:
            before = find_row(connection, name)
        kept = None if before is None or before.disabled else before.password_hash
        if not is_password(password, kept) or before is None:
            return None
        secret, now = secrets.token_urlsafe(SECRET_BYTES), int(self._clock())
        with self._database.write() as connection:
            row = connection.execute(select(USERS).where(USERS.c.id == before.id)).first()
            if row is None or row.disabled or row.password_hash != before.password_hash:  # changed meanwhile
                return None
            connection.execute(delete(SIGN_INS).where(_is_over(now)))
            of_user = select(SIGN_INS.c.id).where(SIGN_INS.c.user_id == row.id).order_by(SIGN_INS.c.id.desc())
            oldest = [old.id for old in connection.execute(of_user.offset(MOST_SIGN_INS - 1))]
            connection.execute(delete(SIGN_INS).where(SIGN_INS.c.id.in_(oldest)))
            times = {"made_s": now, "seen_s": now, "expires_s": now + LONGEST_S}
            connection.execute(insert(SIGN_INS).values(secret_hash=hash_secret(secret), user_id=row.id, **times))
        return secret

    def find(self, secret: str) -> SignIn | None:
        """Whose secret this is, unless the sign-in is over."""
        found, now = _find(self._database, SIGN_INS, secret), int(self._clock())
        if found is None or now >= found.expires_s or now >= found.seen_s + IDLE_S:
            return None
        if now >= found.seen_s + NOTED_EVERY_S:
            _note(self._database, SIGN_INS, found.secret_hash, now)
        return SignIn(decode_user(found), found.secret_hash)

    def end(self, secret_hash: str) -> None:
        """Sign out."""
        with self._database.write() as connection:
            connection.execute(delete(SIGN_INS).where(SIGN_INS.c.secret_hash == secret_hash))


class ApiKeyStore:
    """The rows of the API keys; any thread may call it.

    Args:
        database: of the workspace.
        clock: seconds since 1970.
    """

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(self, user_id: int, name: str) -> tuple[ApiKey, str]:
        """Make a key. Returns: what is kept of it, and its text, which is not. Raises: InvalidInput; Conflict."""
        text, now = KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES), int(self._clock())
        name = check_user_name(name)
        with self._database.write() as connection:
            of_user = select(API_KEYS.c.name).where(API_KEYS.c.user_id == user_id)
            names = {row.name for row in connection.execute(of_user)}
            if name in names:
                raise Conflict(f"there is a key {name!r} already; choose another name, or remove it first")
            if len(names) >= MOST_KEYS:
                raise Conflict(f"expected at most {MOST_KEYS} keys, got one more; remove one first")
            row = {"name": name, "secret_hash": hash_secret(text), "user_id": user_id, "made_s": now}
            key_id = connection.execute(insert(API_KEYS).values(row).returning(API_KEYS.c.id)).scalar_one()
        return ApiKey(id=key_id, name=name, made_at=write_time(now), used_at=None), text

    def list(self, user_id: int) -> Sequence[ApiKey]:
        """The keys of a user, by name."""
        query = select(API_KEYS).where(API_KEYS.c.user_id == user_id).order_by(API_KEYS.c.name)
        with self._database.read() as connection:
            return [
                ApiKey(
                    id=row.id,
                    name=row.name,
                    made_at=write_time(row.made_s),
                    used_at=None if row.seen_s is None else write_time(row.seen_s),
                )
                for row in connection.execute(query)
            ]

    def remove(self, user_id: int, key_id: int) -> None:
        """Remove a key of a user; what is asked with it is refused from now on. Raises: NotFound, also for another's."""
        with self._database.write() as connection:
            own = (API_KEYS.c.id == key_id) & (API_KEYS.c.user_id == user_id)
            if connection.execute(delete(API_KEYS).where(own)).rowcount == 0:
                raise NotFound(f"no key {key_id} of yours; GET /v1/keys lists them")

    def find(self, text: str) -> User | None:
        """Whose key this is, unless they are disabled."""
        found, now = _find(self._database, API_KEYS, text), int(self._clock())
        if found is None:
            return None
        if found.seen_s is None or now >= found.seen_s + NOTED_EVERY_S:
            _note(self._database, API_KEYS, found.secret_hash, now)
        return decode_user(found)


def hash_secret(secret: str) -> str:
    """How a secret of ours is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def write_time(seconds: int) -> str:
    """A moment as everywhere: UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _find(database: Database, table: Table, secret: str) -> Row[Any] | None:
    """The row of a secret beside its user's, unless they are disabled."""
    columns = [table.c[name] for name in ("secret_hash", "seen_s", *(("expires_s",) if "expires_s" in table.c else ()))]
    of_user = table.join(USERS, table.c.user_id == USERS.c.id)
    query = select(USERS, *columns).select_from(of_user).where((table.c.secret_hash == hash_secret(secret)) & ~USERS.c.disabled)
    with database.read() as connection:
        return connection.execute(query).first()


def _note(database: Database, table: Table, secret_hash: str, now: int) -> None:
    with database.write() as connection:
        connection.execute(update(table).where(table.c.secret_hash == secret_hash).values(seen_s=now))


def _is_over(now: int) -> Any:
    return (SIGN_INS.c.expires_s <= now) | (SIGN_INS.c.seen_s <= now - IDLE_S)
