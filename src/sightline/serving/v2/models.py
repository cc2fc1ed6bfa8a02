"""The models as the protocol's handlers ask for them, over HTTP and over gRPC: facts, versions, and the words of a refusal.

Neither asks the host itself. Nothing here waits in the calling thread.
"""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from sightline.core.errors import InvalidInput, NotFound
from sightline.serving.http.keys import Caller
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.inference.service import Host
from sightline.serving.v2.describing import describe_model, describe_state


class AdministeredHost(Host, Protocol):
    """What the endpoints ask of the model host; only `index` blocks."""

    def read_facts(self, name: str, version: str = "") -> ServedFacts:
        """Facts of the version that answers now, without holding it or paging it in. Raises: as `acquire`."""

    def index(self) -> list[Any]:
        """A VersionState for every version in the repository."""

    def list_loaded(self) -> list[Any]:
        """As `index`, of loaded models only."""

    def begin_load(self, name: str, configuration: Mapping[str, Any] | None = None) -> "Future[None]":
        """Load or load again; the future raises NotFound, InvalidInput. Raises: Conflict in another mode than explicit."""

    def begin_unload(self, name: str, with_dependents: bool = False) -> "Future[None]":
        """Unload all versions; the future raises NotFound, Conflict. Raises: Conflict in another mode than explicit."""

    def list_versions(self, name: str) -> list[int]:
        """Versions that answer, ascending. Raises: NotFound."""

    def describe_configuration(self, name: str, version: str = "") -> dict[str, Any]:
        """Triton's ModelConfig as JSON has it, all defaults filled in. Raises: NotFound."""


class Models:
    """Asks the host; its NotFound gets the words that clients look for."""

    def __init__(self, host: AdministeredHost) -> None:
        self._host = host

    def find_facts(self, name: str, version: str) -> ServedFacts:
        """Facts of the version that answers now; pages nothing in. Raises: NotFound; Exhausted."""
        with _in_clients_words():
            return self._host.read_facts(name, version)

    def describe(self, name: str, version: str) -> dict[str, Any]:
        """Metadata of a model as JSON has it. Raises: as `find_facts`."""
        facts = self.find_facts(name, version)
        return describe_model(facts, [number for _, number in self.list_versions(name)])

    async def describe_configuration(self, name: str, version: str) -> dict[str, Any]:
        """The complete configuration of a model. Raises: as `find_facts`."""
        with _in_clients_words():
            return await asyncio.to_thread(self._host.describe_configuration, name, version)

    async def list_states(self, caller: Caller, only_ready: bool) -> list[dict[str, str]]:
        """Every version in the repository that the caller may use, and its state."""
        states = await asyncio.to_thread(self._host.index)
        return [
            describe_state(state)
            for state in states
            if (state.state == "READY" or not only_ready) and caller.may_use(state.name)
        ]

    def list_versions(self, name: str, version: str = "") -> list[tuple[str, int]]:
        """Names and numbers of all versions that answer, one model's, or one version's. Raises: NotFound."""
        if not name:
            return sorted({(state.name, state.version) for state in self._host.list_loaded() if state.state == "READY"})
        with _in_clients_words():
            versions = self._host.list_versions(name)
        if version and version not in map(str, versions):
            raise NotFound(f"Request for unknown model: {name[:100]!r} version {version[:20]!r} is not found")
        return [(name, one) for one in versions if version in ("", str(one))]

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load a model. Args: parameters: of the request. Raises: as the host; InvalidInput."""
        configuration = read_given_configuration(parameters)
        with _in_clients_words():
            await await_begun(self._host.begin_load(name, configuration))

    async def unload(self, name: str, with_dependents: bool) -> None:
        """Unload a model. Raises: as the host."""
        with _in_clients_words():
            await await_begun(self._host.begin_unload(name, with_dependents))


def read_given_configuration(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
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


def await_begun(future: "Future[None]") -> "asyncio.Future[None]":
    """The end of what another thread does, awaited without holding a thread; it goes on when nobody awaits it any more."""
    return asyncio.shield(asyncio.wrap_future(future))


@contextmanager
def _in_clients_words() -> Iterator[None]:
    """A NotFound of the host gets the words that clients look for."""
    try:
        yield
    except NotFound as error:
        raise NotFound(f"Request for unknown model: {error}") from error
