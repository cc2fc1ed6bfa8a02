"""The protocol's paths, and the wrapper that gives every failure under them the protocol's form.

A handler is called by `V2Handler` rather than by Starlette's own wrapper: failures become `{"error": ...}` whatever form the
rest of the server gives to its errors, and a wrong method is answered here as well.
"""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sightline.serving.v2.endpoints import V2Endpoints
from sightline.serving.v2.refusals import answer_error, make_error

Handler = Callable[[Request], Awaitable[Response]]


class V2Handler:
    """An ASGI application around one handler. Args: method: the one it answers, and HEAD where it is GET."""

    def __init__(self, method: str, handler: Handler) -> None:
        self.methods = ("GET", "HEAD") if method == "GET" else (method,)
        self.handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        request = Request(scope, receive, send)
        try:
            self._check_method(scope)
            response = await self.handler(request)
        except Exception as error:  # noqa: BLE001 - the border: it is logged where it was not raised on purpose
            response = answer_error(request, error)
        await response(scope, receive, send)

    def _check_method(self, scope: Scope) -> None:
        if scope["method"] not in self.methods:
            raise HTTPException(
                405,
                f"expected {' or '.join(self.methods)} {scope['path'][:200]}, got {scope['method']}",
                {"Allow": ", ".join(self.methods)},
            )


def make_routes(endpoints: V2Endpoints) -> list[Route]:
    """Routes of the protocol, the most used first; `make_fallback_route` belongs behind all routes below /v2."""
    table: list[tuple[str, str, Handler]] = []
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        table += [
            ("POST", f"{model}/infer", endpoints.infer),
            ("GET", f"{model}/ready", endpoints.read_model_ready),
            ("GET", f"{model}/config", endpoints.read_configuration),
            ("GET", f"{model}/stats", endpoints.read_statistics),
        ]
    table += [
        ("GET", "/v2/models/stats", endpoints.read_statistics),
        ("GET", "/v2/models/{name}", endpoints.read_model),
        ("GET", "/v2/models/{name}/versions/{version}", endpoints.read_model),
        ("GET", "/v2/health/live", endpoints.read_live),
        ("GET", "/v2/health/ready", endpoints.read_ready),
        ("GET", "/v2", endpoints.read_server),
        ("POST", "/v2/repository/index", endpoints.list_repository),
        ("POST", "/v2/repository/models/{name}/load", endpoints.load),
        ("POST", "/v2/repository/models/{name}/unload", endpoints.unload),
    ]
    return [Route(path, V2Handler(method, handler), name=handler.__name__) for method, path, handler in table]


class Fallback:
    """An ASGI application that serves nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404."""
        message = f"{scope['method']} {scope['path'][:200]} is not served; GET /v2 lists the extensions that are"
        await make_error(404, message)(scope, receive, send)


def make_fallback_route() -> Route:
    """404 in the protocol's form for every other path below /v2: shared memory, tracing and logging are not offered."""
    return Route("/v2/{rest:path}", Fallback())
