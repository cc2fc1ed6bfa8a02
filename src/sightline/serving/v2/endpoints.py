"""The handlers of the protocol's paths: they read, call and write; what a model is and does is found elsewhere.

`infer` is the hot path: one look at the head, one parse of some hundred bytes of JSON, and the wait for the answer that the
inferring thread wrote. Everything that may block, or take long for large requests, goes to a thread.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version as find_package_version
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sightline.core.errors import InvalidInput, NotFound, SightlineError
from sightline.serving.http.content_encoding import Decompressor, read_encoding
from sightline.serving.http.json_answers import write_json
from sightline.serving.http.keys import find_caller
from sightline.serving.http.request_body import BoundedBody
from sightline.serving.inference.calls import ServedFacts, TensorFacts
from sightline.serving.inference.service import InferenceService
from sightline.serving.v2.answers import make_answer_writer
from sightline.serving.v2.bodies import choose_encoding
from sightline.serving.v2.claims import check_claims
from sightline.serving.v2.models import AdministeredHost, Models, VersionState
from sightline.serving.v2.requests import ANNOTATIONS, IMAGE, find_made_output, make_call, open_request, read_header_length
from sightline.serving.v2.statistics import Statistics

INLINE_JSON_BYTES = 64 * 1024  # larger JSON is parsed in a thread
MAX_ADMINISTRATION_BYTES = 1024 * 1024
SERVER_NAME = "sightline"
EXTENSIONS = (  # Triton's names, then our own
    "binary_tensor_data",
    "classification",
    "schedule_policy",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "statistics",
    "sightline_pictures",
    "sightline_annotations",
)
PICTURES = {
    "datatype": "BYTES",
    "shape": [-1],
    "content": "encoded pictures (JPEG, PNG, WebP, BMP, TIFF), prepared on the server",
}
MADE_OUTPUTS = {
    ANNOTATIONS: "for each picture a JSON list of what was found in it, in its own pixels; when asked for by name",
    IMAGE: "for each picture the one that the network draws, as PNG; when asked for by name",
}


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
        hold: counts bytes of what inputs take beside their bodies while they are in use, and raises Exhausted where they are
            too many.
        decompressor: of bodies; None: one of its own.
    """

    def __init__(
        self,
        service: InferenceService,
        host: AdministeredHost,
        statistics: Statistics,
        *,
        max_request_bytes: int,
        is_ready: Callable[[], bool] = lambda: True,
        hold: Callable[[int], AbstractContextManager[None]] = lambda size_bytes: nullcontext(),
        decompressor: Decompressor | None = None,
    ) -> None:
        self.service = service
        self.models = Models(host)
        self.statistics = statistics
        self.max_request_bytes = max_request_bytes
        self.is_ready = is_ready
        self._hold = hold
        self._decompressor = decompressor or Decompressor(max_request_bytes, hold)
        self._version = find_package_version("sightline")

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
        check_claims(opened.claims, facts)
        with self._hold(opened.added_bytes) if opened.added_bytes else nullcontext():
            asked = await asyncio.to_thread(opened.read) if is_large or opened.is_slow else opened.read()
            writer = make_answer_writer(asked, choose_encoding(head[b"accept-encoding"]))
            tenant = request.scope.get("state", {}).get("tenant", "")
            answer = await self.service.infer(make_call(asked, facts, writer, version, tenant))
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
        return write_json({"name": SERVER_NAME, "version": self._version, "extensions": EXTENSIONS})

    async def read_model(self, request: Request) -> Response:
        """Metadata of a model."""
        name, version = read_path(request)
        facts = self.models.find_facts(name, version)
        versions = self.models.list_versions(name)
        return write_json(describe_model(facts, [number for _, number in versions]))

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
        name, version = read_path(request)
        host = self.models.host
        return write_json(await asyncio.to_thread(self.models.call_host, host.describe_configuration, name, version))

    async def read_statistics(self, request: Request) -> Response:
        """Statistics of all models that the caller may use, one, or one version."""
        name, version = read_path(request)
        versions, caller = self.models.list_versions(name, version), find_caller(request.scope)
        return write_json({"model_stats": [self.statistics.read(*one) for one in versions if caller.may_use(one[0])]})

    async def list_repository(self, request: Request) -> Response:
        """Every version in the repository that the caller may use, and its state."""
        asked = await self._read_json(request, _IndexRequest)
        states, caller = await asyncio.to_thread(self.models.host.index), find_caller(request.scope)
        return write_json(
            [
                describe_state(state)
                for state in states
                if (state.state == "READY" or not asked.ready) and caller.may_use(state.name)
            ]
        )

    async def load(self, request: Request) -> Response:
        """Load a model, or load it again, maybe with another configuration."""
        asked = await self._read_json(request, _LoadRequest)
        configuration = read_configuration(asked.parameters)
        await self.models.load(request.path_params["name"], configuration)
        return Response()

    async def unload(self, request: Request) -> Response:
        """Unload a model."""
        asked = await self._read_json(request, _UnloadRequest)
        with_dependents = asked.parameters is not None and asked.parameters.unload_dependents
        await self.models.unload(request.path_params["name"], with_dependents)
        return Response()

    async def _read_json(self, request: Request, kind: type[Any]) -> Any:
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


def describe_model(facts: ServedFacts, versions: list[int]) -> dict[str, Any]:
    """Metadata of a model as JSON has it.

    The protocol has no word for what an output means, for pictures as an input, and for an output that is made of the graph's
    when it is asked for: they stand under `parameters`. Clients ask for every output that the metadata lists.
    """
    inputs = [describe_tensor(fact) for fact in facts.inputs]
    outputs = [describe_tensor(fact) for fact in facts.outputs]
    if facts.input is not None:
        for tensor in inputs:
            if tensor["name"] == facts.input.name:
                tensor["parameters"] = {"also_accepts": PICTURES}
    most = facts.max_batch if facts.is_batched else 0
    parameters: dict[str, Any] = {"task": facts.task, "categories": facts.categories, "max_batch_size": most}
    if (made := find_made_output(facts)) is not None:
        parameters["also_answers"] = {"name": made, "datatype": "BYTES", "shape": [-1], "content": MADE_OUTPUTS[made]}
    return {
        "name": facts.name,
        "versions": [str(version) for version in versions],
        "platform": facts.engine,
        "inputs": inputs,
        "outputs": outputs,
        "parameters": parameters,
    }


def describe_tensor(fact: TensorFacts) -> dict[str, Any]:
    """A tensor as metadata has it."""
    return {"name": fact.name, "datatype": fact.datatype, "shape": fact.shape}


def describe_state(state: VersionState) -> dict[str, str]:
    """A version as the repository index has it."""
    return {"name": state.name, "version": str(state.version), "state": state.state, "reason": state.reason}


def read_configuration(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configuration that a load request carries as a JSON string. Raises: InvalidInput; files in requests are not taken."""
    if files := [name for name in parameters if name.startswith("file:")]:
        raise InvalidInput(f"this server takes no model files by request, got {files[0][:100]!r}; put them into its repository")
    text = parameters.get("config")
    if text is None:
        return None
    if not isinstance(text, str):
        raise InvalidInput("expected parameters.config to be a string that holds the configuration's JSON")
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InvalidInput(f"expected parameters.config to be a JSON object, got {error}") from error
