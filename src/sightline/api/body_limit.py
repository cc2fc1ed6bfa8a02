"""How long a request's body may be: an upload as the disk has room for it, a picture as such are, JSON as a large edit is.

A body that says its length is refused before it is read, any other once it is too long.
"""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.api.refusals import make_refusal

MAX_JSON_BYTES = 16 << 20  # some 40,000 polygons of 20 points
MAX_PICTURE_BYTES = 64 << 20
JSON = "application/json"
UPLOADS = re.compile(r"/v1/datasets(/[^/]+/items)?|/api/datasets/(import|[^/]+/files)/?")


def is_upload(method: str, path: str) -> bool:
    """Whether a request's body are files that go to the disk as they come, however many."""
    return method == "POST" and UPLOADS.fullmatch(path) is not None


class BodyLimit:
    """The ASGI layer. Args: app: reads the bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or is_upload(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = MAX_JSON_BYTES if headers.get("content-type", JSON).startswith(JSON) else MAX_PICTURE_BYTES
        too_long = f"expected a body of at most {limit:,} bytes, got a longer one; send less at once"
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            await make_refusal(scope["path"], 413, too_long)(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, too_long)
            return message

        await self._app(scope, receive_limited, send)
