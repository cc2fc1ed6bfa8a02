"""Answers that are JSON."""

import msgspec
from starlette.responses import Response


def write_json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer whose body is this as JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
