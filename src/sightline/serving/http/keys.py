"""API keys: who calls, and what that caller may do.

A key is `sk.NAME.SECRET`, its secret 256 random bits. Kept is only SHA-256 over a salt and the whole key. A slow password
hash would buy nothing: nobody can try 2^256 secrets, and each request would pay for it. The name in the key says which
record to compare with, so the number of keys costs no time, and the comparison's time does not depend on the secret.

Keys come from a file (JSON or TOML, read again when it changes) or as one line `name=sha256:SALT:HASH,...`:

    {"keys": [{"name": "line-3", "hash": "sha256:...", "requests_per_s": 20, "models": ["parts"]}]}
"""

import hashlib
import hmac
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from starlette.types import Scope

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.workspace import check_name
from sightline.serving.http.limits import Clock, Quota, TokenBucket
from sightline.serving.http.refusals import Refusal

PREFIX = "sk"
SECRET_BYTES = 32
SALT_BYTES = 16
CHECK_FILE_EVERY_S = 1.0
UNFINISHED_S = 5.0  # an editor empties a file before it writes it
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="sightline"'}

logger = logging.getLogger("sightline.serving")


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of a key.

    Attributes:
        name: of the key; the tenant in statistics, logs and the scheduler.
        hash: "sha256:SALT:HASH", both in hex.
        requests_per_s, burst: rate of requests; None: unlimited, and one second's worth.
        max_concurrent: requests at once; None: unlimited.
        weight: of this key's share of a model, against other keys that have work; above 0, finite.
        models: names it may use; None: all.
        is_admin: whether it may load, unload and reload models and change what the server does.
    """

    name: str
    hash: str
    requests_per_s: float | None = None
    burst: float | None = None
    max_concurrent: int | None = None
    weight: float = 1.0
    models: tuple[str, ...] | None = None
    is_admin: bool = False


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    keys: tuple[KeyRecord, ...] = ()


class Caller:
    """Who sent a request, and the limits that it shares with all requests of its key.

    Attributes:
        name: of the key; "" for everybody of a server without keys.
        weight: of its share of a model.
        models: names it may use; None: all.
        is_admin: whether it may change what the server does.
        quota: entered before its requests run, left after.
        key_hash: of the key's record; "" without.
    """

    __slots__ = ("is_admin", "key_hash", "models", "name", "quota", "weight")

    def __init__(
        self,
        name: str = "",
        weight: float = 1.0,
        models: frozenset[str] | None = None,
        is_admin: bool = False,
        quota: Quota | None = None,
        key_hash: str = "",
    ) -> None:
        self.name = name
        self.weight = weight
        self.models = models
        self.is_admin = is_admin
        self.quota = quota or Quota()
        self.key_hash = key_hash

    def may_use(self, name: str) -> bool:
        """Whether this caller has the right to a model, be there one of that name or not."""
        return self.models is None or name in self.models

    def check_model(self, name: str) -> None:
        """Raises: Refusal 403 for a model this caller may not use, whether there is one or not."""
        if not self.may_use(name):
            raise Refusal(403, f"the key {self.name!r} may not use the model {name[:100]!r}; ask for a key that may")

    def check_metrics(self) -> None:
        """Raises: Refusal 403 for a caller that may use some models only: metrics tell of all."""
        if self.models is not None and not self.is_admin:
            raise Refusal(403, f"the key {self.name!r} is for some models, /metrics tells of all; use a key without a list")

    def check_admin(self) -> None:
        """Raises: Refusal 403 for a caller that may not change what the server does."""
        if not self.is_admin:
            raise Refusal(403, f"the key {self.name!r} may not change what the server does; use an admin key")


ANYBODY = Caller(is_admin=True)  # of a server without keys: who reaches it may do everything


class Authenticator:
    """Knows the keys of a server. Used on the event loop only.

    Args:
        records: keys that do not change, as from the environment.
        file: JSON or TOML; looked at at most every second, and read again when it has changed. A file that cannot be read
            then leaves the keys as they were and says so in the log. TOML that has lost all of its keys is taken, for
            UNFINISHED_S, for a file that is just being written; half of JSON is none, so that JSON needs no such care.
        on_change: called when the file was read again and the keys are those that it holds now.
        clock: seconds, monotonic.

    Raises: NotFound, InvalidInput for a file that cannot be read at the start, or a name that stands twice.
    """

    def __init__(
        self,
        records: Iterable[KeyRecord] = (),
        file: Path | None = None,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._fixed = tuple(records)
        self._file = file
        self._on_change = on_change
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._checked_s = float("-inf")
        self._told = ""  # why the file cannot be read, so that it is not told every second
        self._emptied_s: float | None = None  # since when the file is empty and not believed
        self._records: dict[str, KeyRecord] = {}
        self._callers: dict[str, Caller] = {}
        if file is None:
            self._replace(self._fixed)
        else:
            self._stamp = _read_stamp(file)
            self._checked_s = clock()
            self._replace((*self._fixed, *read_key_file(file)))

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key. A named file that holds none lets nobody in."""
        return bool(self._records) or self._file is not None

    def authenticate(self, token: str | None) -> Caller:
        """Who sends this key.

        Args:
            token: what stood behind "Bearer " or in X-API-Key; None when there was neither.

        Raises: Refusal 401, with the same words for an unknown name and a wrong secret.
        """
        if not self.has_keys:
            return ANYBODY
        self.look_at_file()
        if token is None:
            raise Refusal(401, "expected an API key; send the header Authorization: Bearer KEY", headers=CHALLENGE)
        name = token.split(".")[1] if token.count(".") == 2 else ""
        record = self._records.get(name)
        if not _matches(token, record.hash if record is not None else NO_HASH) or record is None:
            raise Refusal(401, "this API key is not known here; check it, or ask for a new one", headers=CHALLENGE)
        return self._callers[name]

    def renew(self, caller: Caller) -> Caller | None:
        """What a caller of before is now, with the rights and limits of today; None when its key is no longer known here."""
        record = self._records.get(caller.name)
        if not self.has_keys:
            return caller
        return None if record is None or record.hash != caller.key_hash else self._callers[caller.name]

    def weights(self) -> dict[str, float]:
        """Shares of all callers, by name."""
        return {name: caller.weight for name, caller in self._callers.items()}

    def look_at_file(self) -> None:
        """Read the file again if it has changed; at most once a second, whoever asks."""
        now_s = self._clock()
        if self._file is None or now_s - self._checked_s < CHECK_FILE_EVERY_S:
            return
        self._checked_s = now_s
        try:
            stamp = _read_stamp(self._file)
            if stamp == self._stamp and self._emptied_s is None:
                return
            records = read_key_file(self._file)
            self._stamp, self._told = stamp, ""  # only now: what cannot be read is tried again, also when its rights are mended
            if self._is_unfinished(records, now_s):
                return
            self._replace((*self._fixed, *records))
            self._on_change()
            logger.info("the file of API keys has changed: %d keys", len(self._records))
        except (InvalidInput, NotFound) as error:
            if str(error) != self._told:
                logger.error("the API keys stay as they were: %s", error)
            self._told = str(error)

    def _is_unfinished(self, records: tuple[KeyRecord, ...], now_s: float) -> bool:
        """Whether a file that has lost all of its keys may still be in writing."""
        assert self._file is not None
        if records or self._file.suffix != ".toml" or len(self._records) == len(self._fixed):
            self._emptied_s = None
        elif self._emptied_s is None:
            self._emptied_s = now_s
            logger.warning("the file of API keys holds none; in %g s, if it stays so, nobody comes in", UNFINISHED_S)
        elif now_s - self._emptied_s >= UNFINISHED_S:
            self._emptied_s = None
        return self._emptied_s is not None

    def _replace(self, records: Iterable[KeyRecord]) -> None:
        """Raises: InvalidInput; the keys are those of before then."""
        by_name: dict[str, KeyRecord] = {}
        for record in records:
            check_record(record)
            if record.name in by_name:
                raise InvalidInput(f"expected one API key of each name, got {record.name!r} twice; rename one")
            by_name[record.name] = record
        # A key that did not change keeps its caller, and so the count of what runs.
        self._callers = {
            name: self._callers[name] if self._records.get(name) == record else self._make_caller(record)
            for name, record in by_name.items()
        }
        self._records = by_name

    def _make_caller(self, record: KeyRecord) -> Caller:
        bucket = None
        if record.requests_per_s is not None:
            bucket = TokenBucket(record.requests_per_s, record.burst, self._clock)
        models = None if record.models is None else frozenset(record.models)
        return Caller(record.name, record.weight, models, record.is_admin, Quota(bucket, record.max_concurrent), record.hash)


def find_caller(scope: Scope) -> Caller:
    """Whose request it is, as the guard found out."""
    caller: Caller = scope.get("state", {}).get("caller", ANYBODY)
    return caller


def read_token(authorization: str, x_api_key: str | None) -> str | None:
    """The key of `Authorization: Bearer KEY` or, where that has none, of `X-API-Key: KEY`; None without."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else x_api_key


def create_key(name: str) -> tuple[str, KeyRecord]:
    """Make a new key. Returns: the key itself, to be shown once and kept nowhere, and the record that is kept.

    Raises: InvalidInput for a name that is not made of letters, digits, '_' or '-'.
    """
    _check_key_name(name)
    token = f"{PREFIX}.{name}.{secrets.token_urlsafe(SECRET_BYTES)}"
    return token, KeyRecord(name=name, hash=_hash_token(token, secrets.token_bytes(SALT_BYTES)))


def read_key_file(path: Path) -> tuple[KeyRecord, ...]:
    """Records of a file; `.toml` is TOML, everything else JSON. Raises: NotFound, InvalidInput naming the field."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFound(f"cannot read the file of API keys {path}: {error.strerror}; make one with: sightline keys") from error
    decode = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
    try:
        return decode(content, type=KeyFile).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no file of API keys: {error}") from error


def read_key_line(line: str) -> tuple[KeyRecord, ...]:
    """Records of `name=sha256:SALT:HASH,name=...`, as an environment variable holds them. Raises: InvalidInput."""
    records = []
    for entry in filter(None, (part.strip() for part in line.split(","))):
        name, equals, hashed = entry.partition("=")
        if not equals:
            raise InvalidInput("expected API keys as name=sha256:SALT:HASH,..., got an entry without '='; correct it")
        record = KeyRecord(name=name.strip(), hash=hashed.strip())
        check_record(record)
        records.append(record)
    return tuple(records)


def check_record(record: KeyRecord) -> None:
    """Raises: InvalidInput for a record that no key could use; its message holds no hash."""
    _check_key_name(record.name)
    algorithm, _, rest = record.hash.partition(":")
    salt, _, digest = rest.partition(":")
    if algorithm != "sha256" or len(digest) != 64 or not _is_hex(salt) or not _is_hex(digest):
        raise InvalidInput(
            f"expected the hash of API key {record.name!r} as sha256:SALT:HASH in hex; make it with: sightline keys"
        )
    is_share = math.isfinite(record.weight) and record.weight > 0
    if not is_share or (record.max_concurrent is not None and record.max_concurrent < 1):
        raise InvalidInput(f"expected API key {record.name!r} to have a finite weight above 0 and max_concurrent of at least 1")
    TokenBucket(1.0 if record.requests_per_s is None else record.requests_per_s, record.burst)  # raises for what is no rate


def _check_key_name(name: str) -> None:
    check_name(name)
    if "." in name:
        raise InvalidInput(f"expected a key's name of letters, digits, '_' or '-', got {name!r}; leave out the dots")


def _hash_token(token: str, salt: bytes) -> str:
    return f"sha256:{salt.hex()}:{hashlib.sha256(salt + token.encode()).hexdigest()}"


NO_HASH = _hash_token("", bytes(SALT_BYTES))  # compared with when the name is not known, so that this takes as long


def _matches(token: str, kept: str) -> bool:
    salt = bytes.fromhex(kept.split(":")[1])
    return hmac.compare_digest(_hash_token(token, salt), kept.lower())


def _is_hex(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) > 0
    except ValueError:
        return False


def _read_stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
