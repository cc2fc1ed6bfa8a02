"""The application: `/v1`, `/api` and the web app's pages, put together from the parts of one platform."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from sightline import __version__
from sightline.api import (
    categories,
    datasets,
    deployments,
    items,
    job_events,
    jobs,
    machine,
    outlines,
    pictures,
    predictors,
    problems,
    removing,
    schemas,
    shelves,
    users,
    versions,
    videos,
)
from sightline.api.mvi.application import WithoutSlash, make_mvi
from sightline.api.mvi.faults import PREFIX as MVI_PREFIX
from sightline.api.openapi import describe_problems
from sightline.api.pages import Pages
from sightline.api.parts import Parts
from sightline.api.roles import check_role

THREADS = 16  # blocking calls at once; each waits for the disk or for SQLite's one writer
ROUTERS = (
    datasets,
    items,
    videos,
    pictures,
    outlines,
    categories,
    versions,
    predictors,
    jobs,
    job_events,
    shelves,
    removing,
    deployments,
    machine,
    users,
)
DESCRIPTION = "Datasets with their labels, jobs, and what jobs make of them: the interface of `sightline up`."


def make_application(parts: Parts | None, pages: Pages | None = None) -> FastAPI:
    """The ASGI application, which `SessionGuard` tells who asks.

    Args:
        parts: what the handlers work on; None: only its schema is wanted.
        pages: the web app's files.
    """
    app = FastAPI(
        title="Sightline",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page would come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=bound_threads,
        dependencies=[Depends(check_role)],
        generate_unique_id_function=name_operation,
        separate_input_output_schemas=False,
        responses={"default": {"model": schemas.Problem, "description": "A refusal"}},
    )
    app.state.parts = parts
    for module in ROUTERS:
        app.include_router(module.router)
    app.mount(MVI_PREFIX, WithoutSlash(make_mvi(parts)))
    problems.install_handlers(app)
    app.router.default = pages or Pages()
    describe_problems(app)
    return app


@asynccontextmanager
async def bound_threads(app: FastAPI) -> AsyncIterator[None]:
    """Bound how many calls block at once, for the life of the application."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def name_operation(route: APIRoute) -> str:
    """The name of an operation in the schema: the handler's."""
    return route.name
