"""The handlers of the protocol's paths: they read, call and write; what a model is and does is found elsewhere.

`infer` is the hot path: one look at the head, one parse of some hundred bytes of JSON, and the wait for the answer that the
inferring thread wrote. Everything that may block, or take long for large requests, goes to a thread.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sightline.core.errors import InvalidInput, NotFound, SightlineError
from sightline.serving.http.content_encoding import Decompressor, choose_encoding, read_encoding
from sightline.serving.http.json_answers import write_json
from sightline.serving.http.keys import find_caller
from sightline.serving.http.request_body import BoundedBody, Hold
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.inference.service import InferenceService
from sightline.serving.v2.answers import write_answer
from sightline.serving.v2.describing import describe_server
from sightline.serving.v2.inferring import Inferrer
from sightline.serving.v2.models import AdministeredHost, Models
from sightline.serving.v2.requests import open_request, read_header_length
from sightline.serving.v2.statistics import Statistics

Asked = TypeVar("Asked", bound=msgspec.Struct)

INLINE_JSON_BYTES = 64 * 1024  # larger JSON is parsed in a thread
MAX_ADMINISTRATION_BYTES = 1024 * 1024


class _IndexRequest(msgspec.Struct):
    ready: bool = False


class _LoadRequest(msgspec.Struct):
    parameters: dict[str, Any] = {}


class _UnloadParameters(msgspec.Struct):
    unload_dependents: bool = False


class _UnloadRequest(msgspec.Struct):
    parameters: _UnloadParameters | None = None


class V2Endpoints:
    """The handlers; `routes.make_routes` gives them their paths.

    Args:
        service: infers.
        host: knows the models.
        statistics: an observer of the service.
        max_request_bytes: largest body as it came.
        is_ready: whether the server as a whole is ready: every model of the start has answered.
        hold: counts what inputs take beside their bodies.
        decompressor: of bodies.
    """

    def __init__(
        self,
        service: InferenceService,
        host: AdministeredHost,
        statistics: Statistics,
        *,
        max_request_bytes: int,
        is_ready: Callable[[], bool],
        hold: Hold,
        decompressor: Decompressor,
    ) -> None:
        self.models = Models(host)
        self.statistics = statistics
        self.max_request_bytes = max_request_bytes
        self.is_ready = is_ready
        self._inferrer = Inferrer(service, hold)
        self._decompressor = decompressor

    async def infer(self, request: Request) -> Response:
        """Infer once."""
        name, version = read_path(request)
        facts = self.models.find_facts(name, version)
        head = read_head(request.scope["headers"])
        body = await BoundedBody(request.receive, self.max_request_bytes, head[b"content-length"]).read_whole()
        if not (encoding := read_encoding(head[b"content-encoding"])):
            return await self._infer_body(request, facts, version, head, body)
        async with self._decompressor.undo(body, encoding) as body:
            return await self._infer_body(request, facts, version, head, body)

    async def _infer_body(
        self, request: Request, facts: ServedFacts, version: str, head: dict[bytes, bytes], body: bytes
    ) -> Response:
        header_length = read_header_length(head[b"inference-header-content-length"], body)
        is_large = (len(body) if header_length is None else header_length) > INLINE_JSON_BYTES
        opened = await asyncio.to_thread(open_request, body, header_length) if is_large else open_request(body, header_length)
        write = partial(write_answer, encoding=choose_encoding(head[b"accept-encoding"]))
        tenant = find_caller(request.scope).name
        answer = await self._inferrer.infer(opened, facts, write, version=version, tenant=tenant, is_large=is_large)
        assert isinstance(answer, Response)
        return answer

    async def read_live(self, request: Request) -> Response:
        """200 as long as the process answers."""
        return write_json({"live": True})

    async def read_ready(self, request: Request) -> Response:
        """200 when every model of the start has answered."""
        if not self.is_ready():
            told = "the repository's index tells which"
            raise HTTPException(400, f"the server is not ready: models are being loaded, or one could not be; {told}")
        return write_json({"ready": True})

    async def read_server(self, request: Request) -> Response:
        """Name, version and extensions of the server."""
        return write_json(describe_server())

    async def read_model(self, request: Request) -> Response:
        """Metadata of a model."""
        return write_json(self.models.describe(*read_path(request)))

    async def read_model_ready(self, request: Request) -> Response:
        """200 when the model, or this version of it, answers."""
        name, version = read_path(request)
        try:
            self.models.find_facts(name, version)
        except NotFound:
            raise
        except SightlineError as error:
            raise HTTPException(400, str(error)) from error
        return write_json({"name": name, "ready": True})

    async def read_configuration(self, request: Request) -> Response:
        """The complete configuration of a model."""
        return write_json(await self.models.describe_configuration(*read_path(request)))

    async def read_statistics(self, request: Request) -> Response:
        """Statistics of all models that the caller may use, one, or one version."""
        name, version = read_path(request)
        versions, caller = self.models.list_versions(name, version), find_caller(request.scope)
        return write_json({"model_stats": [self.statistics.read(*one) for one in versions if caller.may_use(one[0])]})

    async def list_repository(self, request: Request) -> Response:
        """Every version in the repository that the caller may use, and its state."""
        asked = await self._read_json(request, _IndexRequest)
        return write_json(await self.models.list_states(find_caller(request.scope), asked.ready))

    async def load(self, request: Request) -> Response:
        """Load a model, or load it again, maybe with another configuration."""
        asked = await self._read_json(request, _LoadRequest)
        await self.models.load(request.path_params["name"], asked.parameters)
        return Response()

    async def unload(self, request: Request) -> Response:
        """Unload a model."""
        asked = await self._read_json(request, _UnloadRequest)
        with_dependents = asked.parameters is not None and asked.parameters.unload_dependents
        await self.models.unload(request.path_params["name"], with_dependents)
        return Response()

    async def _read_json(self, request: Request, kind: type[Asked]) -> Asked:
        body = await BoundedBody(request.receive, min(self.max_request_bytes, MAX_ADMINISTRATION_BYTES)).read_whole()
        if not body.strip():
            return kind()
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise InvalidInput(f"the JSON of the request cannot be read: {error}") from error


def read_path(request: Request) -> tuple[str, str]:
    """Name and version of the model in the path; "" where it has none."""
    parameters = request.path_params
    return parameters.get("name", ""), parameters.get("version", "")


def read_head(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that an inference request may carry, b"" where they are missing."""
    head = dict.fromkeys((b"content-length", b"content-encoding", b"inference-header-content-length", b"accept-encoding"), b"")
    for key, value in headers:
        if key in head:
            head[key] = value
    return head
