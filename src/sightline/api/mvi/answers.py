"""What every answer of this interface is made with: JSON, names made fit, and moments as milliseconds."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from starlette.responses import Response

from sightline.core.errors import InvalidInput
from sightline.core.workspace import NAME_PATTERN

SUCCESS = {"result": "success"}
UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 100


def answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def fit_name(name: str) -> str:
    """A name as ours may be: what is neither letter, digit, '.', '_' nor '-' becomes '-'. Raises: InvalidInput if none is left.

    Example: "Metal parts (2026)" becomes "Metal-parts-2026".
    """
    fitting = UNFIT.sub("-", name).strip("-._")[:LONGEST_NAME]
    if not NAME_PATTERN.fullmatch(fitting):
        raise InvalidInput(f"expected a name with letters or digits, got {name[:LONGEST_NAME]!r}; choose another")
    return fitting


def read_moment(iso: str | None) -> int | None:
    """Milliseconds since 1970 of a moment in ISO 8601."""
    return None if iso is None else int(datetime.fromisoformat(iso).timestamp() * 1000)


def read_age(folder: Path) -> int:
    """When a folder was made, milliseconds since 1970."""
    return int(folder.stat().st_mtime * 1000)
