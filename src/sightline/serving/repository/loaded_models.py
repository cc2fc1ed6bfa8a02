"""What is loaded, with the one lock that guards it: what the host, the pager and the updater share and know of each other.

Only the loader's thread changes which models and versions there are, and it does so under the lock; so that thread may read
them without it, and every other one reads them under it. Who holds a version changes on any thread, under the lock. Nobody
opens, closes or waits for anything while holding it: every request needs it twice.
"""

import threading
from collections.abc import Callable, Iterable

from sightline.serving.repository.versions import HeldVersion, HostedModel


class LoadedModels:
    """The loaded models by name, and every version of theirs that is not closed yet.

    The questions are asked with the lock held, or on the loader's thread. The changes are made on the loader's thread and take
    the lock themselves.

    Args:
        clock: seconds, monotonic; all times of versions are on it.

    Attributes:
        lock: guards everything in here, down to the attributes of the versions.
        models: what is loaded, by name.
        held: every version that is not closed yet, by the identity of its opened thing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.models: dict[str, HostedModel] = {}
        self.held: dict[int, HeldVersion] = {}

    def list_resident(self) -> list[HeldVersion]:
        """Versions that answer and are in memory."""
        return [version for model in self.models.values() for version in model.ready.values() if version.is_resident]

    def list_draining(self) -> list[HeldVersion]:
        """Versions that answer no more and are not closed yet."""
        return [version for version in self.held.values() if version.is_draining]

    def list_users(self, version: HeldVersion) -> list[HeldVersion]:
        """Open pipelines that run a version's model, also those that answer no more."""
        return [held for held in self.held.values() if version.source.name in held.steps]

    def list_dependents(self, name: str) -> list[HostedModel]:
        """Loaded pipelines that need a model, by name, whether they answer or lack something."""
        users = [model for model in self.models.values() if model.folder is not None and name in model.folder.depends_on]
        return sorted(users, key=lambda model: model.name)

    def describe_opening(self) -> str:
        """What is being opened, for messages; "" for nothing."""
        opening = [(model.loading, name) for name, model in self.models.items() if model.loading is not None]
        return " and ".join(f"version {version} of {name}" for version, name in opening)

    def add_model(self, name: str) -> HostedModel:
        """The model of a name, a new one where none is loaded: it is said to be loading from now on."""
        with self.lock:
            return self.models.setdefault(name, HostedModel(name))

    def remove_model(self, name: str) -> list[HeldVersion]:
        """Nobody acquires it from now on. Returns: the versions that answered, to be drained."""
        with self.lock:
            model = self.models.pop(name, None)
            return [] if model is None else list(model.ready.values())

    def put(self, model: HostedModel, version: HeldVersion) -> list[HeldVersion]:
        """Let a version answer, in the place of the one with its number. Returns: that one, if any, to be drained."""
        number = version.source.version
        with self.lock:
            self.held[id(version.opened)] = version
            old = model.ready.get(number)
            model.ready[number] = version
            model.has_answered = True
        return [] if old is None else [old]

    def drain(self, versions: Iterable[HeldVersion]) -> list[HeldVersion]:
        """Leave versions to those who hold them. Returns: those that nobody holds, to be closed."""
        idle = []
        with self.lock:
            for version in versions:
                version.is_draining = True
                if not version.holders:
                    idle.append(version)
        return idle

    def remove_version(self, version: HeldVersion) -> bool:
        """It is about to be closed for good. Returns: whether it was not before."""
        with self.lock:
            was_open, version.is_closed = not version.is_closed, True
            self.held.pop(id(version.opened), None)
        return was_open

    def clear(self) -> list[HeldVersion]:
        """Nobody acquires anything from now on. Returns: what is still open."""
        with self.lock:
            self.models.clear()
            return list(self.held.values())
