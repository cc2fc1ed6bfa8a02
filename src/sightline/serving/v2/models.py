"""The models as the protocol's handlers ask for them, over HTTP and over gRPC: facts, versions, and the words of a refusal."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal, Protocol

from sightline.core.errors import NotFound
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.inference.service import Host


class VersionState(Protocol):
    """A version in the repository, as `ModelHost.index` lists it."""

    name: str
    version: int
    state: Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
    reason: str


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
    """Asks the host, and never waits in the calling thread."""

    def __init__(self, host: AdministeredHost) -> None:
        self.host = host

    def find_facts(self, name: str, version: str) -> ServedFacts:
        """Facts of the version that answers now; pages nothing in. Raises: NotFound in the protocol's words; Exhausted."""
        facts: ServedFacts = self.call_host(self.host.read_facts, name, version)
        return facts

    def list_versions(self, name: str, version: str = "") -> list[tuple[str, int]]:
        """Names and numbers of all versions that answer, one model's, or one version's. Raises: NotFound."""
        if not name:
            return sorted({(state.name, state.version) for state in self.host.list_loaded() if state.state == "READY"})
        versions = self.call_host(self.host.list_versions, name)
        if version and version not in map(str, versions):
            raise NotFound(f"Request for unknown model: {name[:100]!r} version {version[:20]!r} is not found")
        return [(name, one) for one in versions if version in ("", str(one))]

    async def load(self, name: str, configuration: Mapping[str, Any] | None) -> None:
        """Load a model. Raises: as the host."""
        await self._await_host(self.host.begin_load, name, configuration)

    async def unload(self, name: str, with_dependents: bool) -> None:
        """Unload a model. Raises: as the host."""
        await self._await_host(self.host.begin_unload, name, with_dependents)

    async def _await_host(self, begin: Callable[..., "Future[None]"], *arguments: Any) -> None:
        """What the host has begun goes on when the caller hangs up."""
        done = await_begun(self.call_host(begin, *arguments))
        try:
            await done
        except NotFound as error:
            raise NotFound(f"Request for unknown model: {error}") from error

    def call_host(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the host; its NotFound gets the words that clients look for."""
        try:
            return function(*arguments)
        except NotFound as error:
            raise NotFound(f"Request for unknown model: {error}") from error


def await_begun(future: "Future[None]") -> "asyncio.Future[None]":
    """The end of what another thread does, awaited without holding a thread; it goes on when nobody awaits it any more."""
    return asyncio.shield(asyncio.wrap_future(future))
