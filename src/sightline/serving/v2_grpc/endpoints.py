"""The calls of the protocol over gRPC: each reads a message, asks what the HTTP handler of the same call asks, and writes one.

Only the conversion is here. Fitting a request to a model, choosing outputs, classification, annotations and statistics are
`serving.v2`'s, so that both protocols answer alike.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from google.protobuf import json_format

from sightline.core.errors import NotFound, SightlineError, Unsupported
from sightline.serving.http.keys import Caller
from sightline.serving.http.request_body import Hold
from sightline.serving.inference.service import InferenceService
from sightline.serving.v2.describing import describe_server
from sightline.serving.v2.inferring import Inferrer
from sightline.serving.v2.models import AdministeredHost, Models
from sightline.serving.v2.statistics import Statistics
from sightline.serving.v2_grpc.messages import HEALTH_PACKAGE, SERVICE, Message, find_message
from sightline.serving.v2_grpc.tensors import open_request, read_parameters, write_answer


class Origin(msgspec.Struct, frozen=True):
    """Where a message comes from.

    Attributes:
        caller: whose key it is.
        remaining_s: until the deadline that the client set; None: it set none.
    """

    caller: Caller
    remaining_s: float | None = None


class GrpcEndpoints:
    """What answers messages; `dispatch` brings them here.

    Args:
        service: infers.
        host: knows the models.
        statistics: an observer of the service.
        is_ready: whether the server as a whole takes requests.
        hold: counts what inputs take beside their messages.
    """

    def __init__(
        self,
        service: InferenceService,
        host: AdministeredHost,
        statistics: Statistics,
        is_ready: Callable[[], bool],
        hold: Hold,
    ) -> None:
        self.models = Models(host)
        self.statistics = statistics
        self.is_ready = is_ready
        self._inferrer = Inferrer(service, hold)

    def list_handlers(self) -> dict[str, Callable[[Message, Origin], Awaitable[bytes]]]:
        """What answers each unary call, by its name."""
        return {
            "ServerLive": self.read_live,
            "ServerReady": self.read_ready,
            "ModelReady": self.read_model_ready,
            "ServerMetadata": self.read_server,
            "ModelMetadata": self.read_model,
            "ModelInfer": self.infer,
            "ModelConfig": self.read_configuration,
            "ModelStatistics": self.read_statistics,
            "RepositoryIndex": self.list_repository,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
            "Check": self.check_health,
        }

    async def infer(self, message: Message, origin: Origin) -> bytes:
        """Infer once."""
        return await self._infer(message, origin, is_in_stream=False)

    async def infer_in_stream(self, message: Message, origin: Origin) -> bytes:
        """Infer once; the answer is a message of a stream. The deadline is the stream's, and not this message's."""
        return await self._infer(message, Origin(origin.caller), is_in_stream=True)

    async def read_live(self, message: Message, origin: Origin) -> bytes:
        """True as long as the process answers."""
        return _write("ServerLiveResponse", live=True)

    async def read_ready(self, message: Message, origin: Origin) -> bytes:
        """Whether requests can be answered."""
        return _write("ServerReadyResponse", ready=self.is_ready())

    async def check_health(self, message: Message, origin: Origin) -> bytes:
        """Whether requests can be answered, as gRPC's health protocol asks: of the server, or of its one other service."""
        if message.service not in ("", SERVICE):
            raise NotFound(f"no service {message.service[:100]!r}; ask for {SERVICE}, or without one")
        response = find_message("HealthCheckResponse", HEALTH_PACKAGE)
        return bytes(response(status="SERVING" if self.is_ready() else "NOT_SERVING").SerializeToString())

    async def read_model_ready(self, message: Message, origin: Origin) -> bytes:
        """Whether the model, or this version of it, answers; one that is not there does not."""
        origin.caller.check_model(message.name)
        try:
            self.models.find_facts(message.name, message.version)
        except SightlineError:
            return _write("ModelReadyResponse", ready=False)
        return _write("ModelReadyResponse", ready=True)

    async def read_server(self, message: Message, origin: Origin) -> bytes:
        """Name, version and extensions of the server."""
        return _write("ServerMetadataResponse", **describe_server())

    async def read_model(self, message: Message, origin: Origin) -> bytes:
        """Metadata of a model, without the `parameters` that only JSON has a place for."""
        origin.caller.check_model(message.name)
        described = self.models.describe(message.name, message.version)
        tensors = {
            side: [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in described[side]]
            for side in ("inputs", "outputs")
        }
        known = {key: described[key] for key in ("name", "versions", "platform")}
        return _write("ModelMetadataResponse", **known, **tensors)

    async def read_configuration(self, message: Message, origin: Origin) -> bytes:
        """The complete configuration of a model; our own settings stand in its parameters as JSON text, which `load` takes."""
        origin.caller.check_model(message.name)
        described = await self.models.describe_configuration(message.name, message.version)
        if (own := described.get("sightline")) is not None:
            text = msgspec.json.encode(own).decode()
            described = described | {"parameters": {**described["parameters"], "sightline": {"string_value": text}}}
        config = json_format.ParseDict(described, find_message("ModelConfig")(), ignore_unknown_fields=True)
        return _write("ModelConfigResponse", config=config)

    async def read_statistics(self, message: Message, origin: Origin) -> bytes:
        """Statistics of all models that the caller may use, one, or one version."""
        if message.name:
            origin.caller.check_model(message.name)
        versions = self.models.list_versions(message.name, message.version)
        counted = [self.statistics.read(*one) for one in versions if origin.caller.may_use(one[0])]
        return _write("ModelStatisticsResponse", model_stats=msgspec.to_builtins(counted))

    async def list_repository(self, message: Message, origin: Origin) -> bytes:
        """Every version in the repository that the caller may use, and its state."""
        _check_repository(message)
        return _write("RepositoryIndexResponse", models=await self.models.list_states(origin.caller, message.ready))

    async def load(self, message: Message, origin: Origin) -> bytes:
        """Load a model, or load it again, maybe with another configuration."""
        origin.caller.check_admin()
        _check_repository(message)
        await self.models.load(message.model_name, read_parameters(message.parameters))
        return _write("RepositoryModelLoadResponse")

    async def unload(self, message: Message, origin: Origin) -> bytes:
        """Unload a model."""
        origin.caller.check_admin()
        _check_repository(message)
        with_dependents = read_parameters(message.parameters).get("unload_dependents") is True
        await self.models.unload(message.model_name, with_dependents)
        return _write("RepositoryModelUnloadResponse")

    async def _infer(self, message: Message, origin: Origin, is_in_stream: bool) -> bytes:
        origin.caller.check_model(message.model_name)
        facts = self.models.find_facts(message.model_name, message.model_version)
        answer = await self._inferrer.infer(
            open_request(message),
            facts,
            partial(write_answer, is_in_stream=is_in_stream),
            version=message.model_version,
            tenant=origin.caller.name,
            remaining_s=origin.remaining_s,
        )
        assert isinstance(answer, bytes)
        return answer


def _write(kind: str, /, **fields: Any) -> bytes:
    return bytes(find_message(kind)(**fields).SerializeToString())


def _check_repository(message: Message) -> None:
    if message.repository_name:
        raise Unsupported("this server has one repository; send the request without repository_name")
