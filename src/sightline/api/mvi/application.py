"""The application below `/api`: an interface of its own beside `/v1`, over the same parts."""

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.api.mvi import (
    absent,
    datasets,
    dltasks,
    exporting,
    faults,
    files,
    inference,
    naming,
    object_labels,
    system,
    trained_models,
    transfers,
    uploading,
    user_metadata,
    webapis,
)
from sightline.api.mvi.lookup import FileIndexes
from sightline.api.mvi.roles import check_role
from sightline.api.parts import Parts

# In this order: `files/user-keys` is no file of that name.
ROUTERS = (
    absent,
    datasets,
    exporting,
    naming,
    object_labels,
    transfers,
    uploading,
    user_metadata,
    files,
    dltasks,
    trained_models,
    webapis,
    inference,
    system,
)


def make_mvi(parts: Parts | None) -> FastAPI:
    """The application. Args: parts: what the handlers work on; None: only its routes are wanted."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, dependencies=[Depends(check_role)])
    app.state.parts, app.state.files = parts, FileIndexes()
    for module in ROUTERS:
        app.include_router(module.router)
    faults.install_handlers(app)
    return app


class WithoutSlash:
    """Takes a path with a slash at its end for the one without: clients send both. Args: app: answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/"), "raw_path": scope["raw_path"].rstrip(b"/")}
        await self._app(scope, receive, send)
