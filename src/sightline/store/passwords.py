"""Passwords: what one may be, and how it is kept: as an argon2id hash (RFC 9106 §4, the profile for little memory).

A hash costs 64 MiB and some tenths of a second, on purpose. Whoever checks passwords of strangers bounds how many at once. A
name that nobody has costs as much as one that somebody has, so that time does not tell which there are.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from sightline.core.errors import InvalidInput

SHORTEST, LONGEST_BYTES = 8, 1024
HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
# Of 32 random bytes that nobody kept: compared with where there is no hash.
UNKNOWN = "$argon2id$v=19$m=65536,t=3,p=4$b96JSFYrugOxVrarW3cXow$JSM6QHZ0V1jc3U/yIoHfiH5DAj9L/WBxUgNPfaLRees"


def hash_password(password: str) -> str:
    """How a password is kept, its salt included. Raises: InvalidInput for one that is too short, too long or no text."""
    return HASHER.hash(_encode(password))


def is_password(password: str, kept: str | None) -> bool:
    """Whether this is the password that is kept; takes as long when none is, and for one that is wrong."""
    try:
        given = _encode(password)
    except InvalidInput:  # it is nobody's
        given = b""
    try:
        return HASHER.verify(UNKNOWN if kept is None else kept, given) and kept is not None
    except VerificationError:
        return False


def _encode(password: str) -> bytes:
    """One form for all ways to type the same text (RFC 8265 §4.2)."""
    if len(password) < SHORTEST:
        raise InvalidInput(f"expected a password of at least {SHORTEST} characters, got {len(password)}; make it longer")
    try:  # of a long text, composing may take a second in which nothing else runs
        given = unicodedata.normalize("NFC", password[: LONGEST_BYTES + 1]).encode()
    except UnicodeEncodeError:
        raise InvalidInput("expected a password of whole characters, got halves of some; type it anew") from None
    if (size := max(len(password), len(given))) > LONGEST_BYTES:
        raise InvalidInput(f"expected a password of at most {LONGEST_BYTES} bytes, got {size}; make it shorter")
    return given
