"""The models a server answers with. Requests acquire and release them without ever waiting.

Everything that takes time happens on the loader's thread, one thing after another: see `updating` for how versions change and
`paging` for how memory is kept.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sightline.core.errors import Conflict, Exhausted, NotFound
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.inference.service import ServedVersion
from sightline.serving.repository.describing import (
    DeploymentFacts,
    DeploymentState,
    VersionState,
    describe_configuration,
    describe_deployment,
    describe_draining,
    describe_versions,
)
from sightline.serving.repository.loaded_models import LoadedModels
from sightline.serving.repository.loader import Loader, Urgency, give_up
from sightline.serving.repository.looking import stamp_repository
from sightline.serving.repository.memory import MemoryMeter, ReadBytes
from sightline.serving.repository.paging import Pager, Queues
from sightline.serving.repository.updating import OpenModel, OpenPipeline, Updater
from sightline.serving.repository.versions import HostedModel

Mode = Literal["none", "poll", "explicit"]
PAGE_IN_PATIENCE_S = 10.0
ALL = "*"
logger = logging.getLogger("sightline.serving")


class ModelHost:
    """Opens and keeps the models of one repository. Safe to use from many threads.

    `start`, `close` and `index` block; everything else takes a lock for a moment.

    Args:
        repository: the model repository.
        open_model: makes the opened thing of a version's source; the host calls its `open`.
        queues: the scheduler, told when a version was paged in or cannot be.
        mode: "none" loads everything at `start` and never looks again; "poll" looks every `check_every_s`; "explicit" loads
            and unloads what it is told.
        load_at_start: names to load in mode "explicit"; "*" stands for all.
        open_pipeline: as `open_model`, for folders with a pipeline.json; None: there are no pipelines.
        cores: executions of a plain graph at the same time, where its configuration does not say.
        check_every_s: time between two looks at the repository.
        memory_budget_bytes: for everything resident; None: no bound.
        page_in_patience_s: how long requests for a paged-out model wait at most until it begins to be opened; after half of it
            one of those in use has to make room.
        read_memory: bytes that the process holds; by default as the system tells.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        repository: Path,
        open_model: OpenModel,
        queues: Queues,
        *,
        mode: Mode = "poll",
        load_at_start: Sequence[str] = (),
        open_pipeline: OpenPipeline | None = None,
        cores: int = 1,
        check_every_s: float = 1.0,
        memory_budget_bytes: int | None = None,
        page_in_patience_s: float = PAGE_IN_PATIENCE_S,
        read_memory: ReadBytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.repository = repository
        self.mode: Mode = mode
        self._load_at_start = load_at_start
        self._check_every_s = check_every_s
        self._clock = clock
        self._loaded = LoadedModels(clock)
        self._lock = self._loaded.lock
        self._loader = Loader()
        meter = MemoryMeter(read_memory)
        self._pager = Pager(self._loaded, self._loader, queues, meter, memory_budget_bytes, page_in_patience_s)
        self._updater = Updater(
            repository,
            self._loaded,
            self._pager,
            self._loader,
            meter,
            open_model=open_model,
            open_pipeline=open_pipeline,
            cores=cores,
        )
        self._has_loaded = False  # what the mode wants at start
        self._away = ""  # why the repository cannot be listed, so that it is not told every second
        self._awaited: set[str] = set()  # models of the start that have not answered yet
        self._starting: Future[None] | None = None
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    def acquire(self, name: str, version: str = "") -> ServedVersion:
        """The version that answers now, held open until `release`. One that is paged out is returned as well, and paged in.

        Raises: NotFound for unknown names and versions; Exhausted, with the reason, while there is none that could answer.
        """
        with self._lock:
            held = self._find(name).choose(version)
            self._pager.want(held)
            held.holders += 1
            held.last_used_s = self._clock()
            return held.opened

    def release(self, served: ServedVersion) -> None:
        """Let go of an acquired version; an old one is closed when the last holder lets go."""
        with self._lock:
            held = self._loaded.held.get(id(served))
            if held is None:
                return  # the host was closed meanwhile
            held.holders -= 1
            held.last_used_s = self._clock()
            if held.holders or self._stop.is_set():  # `close` closes everything
                return
            if held.is_draining:
                self._loader.submit(Urgency.CLOSE, partial(self._updater.close_version, held))
            else:
                self._pager.note_idle()

    def is_pipeline(self, name: str) -> bool:
        """Whether a name is that of a loaded pipeline, which may not be open."""
        with self._lock:
            model = self._loaded.models.get(name)
            return model is not None and model.folder is not None and model.folder.kind == "pipeline"

    def read_facts(self, name: str, version: str = "") -> ServedFacts:
        """Facts of the version that answers now, without holding it or paging it in: for whoever only asks what it is.

        Raises: as `acquire`. Never blocks.
        """
        with self._lock:
            return self._find(name).choose(version).opened.facts

    def start(self) -> list[str]:
        """Load what the mode wants at start; a broken model is logged and keeps no other from answering. Blocking.

        Meanwhile what is loaded already answers, and whatever is not there is said to be loading.

        Returns: names that answer.
        Raises: NotFound when the repository, or a name to load at start, is not there; Exhausted after `give_up_start`.
        """
        if not self.repository.is_dir():
            raise NotFound(f"expected a model repository, a folder of models, at {self.repository}; make one: sightline deploy")
        self._ticker = threading.Thread(target=self._tick, name="repository", daemon=True)
        self._ticker.start()
        self._starting = self._loader.submit(Urgency.LOAD, self._load_first)
        self._starting.result()
        self._has_loaded = True
        with self._lock:
            self._awaited = {name for name, model in self._loaded.models.items() if not model.has_answered}
            return sorted(name for name, model in self._loaded.models.items() if model.ready)

    def is_complete(self) -> bool:
        """Whether every model that was to be loaded at the start has answered since, or has been taken away. Never blocks."""
        with self._lock:
            models = self._loaded.models
            self._awaited = {name for name in self._awaited if name in models and not models[name].has_answered}
            return not self._awaited

    def stop_loading(self) -> None:
        """Open no model any more, but for the one that is being opened: the server is about to end. Never waits."""
        self._updater.end()

    def give_up_start(self) -> None:
        """Have `start` return if it has not: the model that is being opened may never be. Never waits."""
        if self._starting is not None:
            give_up(self._starting)

    def close(self, ending_s: float | None = None, opening_s: float | None = None) -> None:
        """Close every version, whoever holds it, and end the threads.

        End the scheduler's threads first: what still waits in its queues would find its model closed.

        Args:
            ending_s: how long executions that run are waited for; models on which one runs even then stay open. None: no bound.
            opening_s: how long the model that is being opened is waited for; all models stay open where it is not by then.
                None: no bound.
        """
        with self._lock:
            if self._stop.is_set():
                return
            self._stop.set()
        self.stop_loading()
        if self._ticker is not None:
            self._ticker.join()
        if not self._loader.close(partial(self._updater.close_all, ending_s), opening_s):
            with self._lock:
                opening = self._loaded.describe_opening()
            what = f"opening {opening}" if opening else "opening or closing a model"
            logger.error("%s does not end: the server ends without it, and all models stay open", what)

    def index(self) -> list[VersionState]:
        """Every version in the repository, by name and number, and those that still end their last requests. Blocking."""
        try:
            names = list(stamp_repository(self.repository))
        except OSError as error:
            logger.error("the repository cannot be listed; the index shows what is loaded: %s", error)
            names = []
        with self._lock:
            unloaded = [name for name in names if name not in self._loaded.models]
        folders = [folder for name in unloaded if (folder := self._updater.read(name)) is not None]
        states = [state for folder in folders for state in describe_versions(folder.name, folder, None)]
        return sorted([*states, *self.list_loaded()], key=lambda state: (state.name, state.version))

    def list_loaded(self) -> list[VersionState]:
        """As `index`, but for loaded models only; looks at no disk, so that metrics may ask at any time."""
        with self._lock:
            models = self._loaded.models
            states = [state for name in sorted(models) for state in describe_versions(name, models[name].folder, models[name])]
            return states + describe_draining(self._loaded.list_draining(), states)

    def begin_load(self, name: str, configuration: Mapping[str, Any] | None = None) -> "Future[None]":
        """Load a model, or bring a loaded one up to date; done when its versions take traffic.

        Args:
            configuration: as decoded from JSON; stands in for config.json until the next load.

        Returns: a future, which raises NotFound; InvalidInput for a configuration that cannot be, and when a version cannot be
            opened, saying why: what was loaded before goes on.
        Raises: Conflict in another mode than "explicit".
        """
        self._check_explicit()
        return self._loader.submit(Urgency.LOAD, partial(self._updater.load, name, configuration))

    def begin_unload(self, name: str, with_dependents: bool = False) -> "Future[None]":
        """Take a model out of traffic; requests that hold it are still answered, then it is closed.

        Args:
            with_dependents: also the models that a pipeline runs, but for those that other pipelines need.

        Returns: a future, which raises Conflict while a loaded pipeline needs the model; NotFound.
        Raises: Conflict in another mode than "explicit".
        """
        self._check_explicit()
        return self._loader.submit(Urgency.LOAD, partial(self._updater.unload, name, with_dependents))

    def begin_reload(self, name: str) -> "Future[None]":
        """Look at one model's folder now, and try versions again that failed; why one fails is told by `describe`.

        A version that answers and whose files nobody touched stays as it is, as at a `load`.
        A configuration that was given to `load` is forgotten: config.json counts again.

        Returns: a future, which raises NotFound.
        Raises: Conflict in mode "none"; NotFound in mode "explicit".
        """
        if self.mode == "none":
            raise Conflict("this server loads its models once; start it with --model-control poll or explicit")
        if self.mode == "explicit":
            with self._lock:
                self._find(name)
        return self._loader.submit(Urgency.LOAD, partial(self._updater.reload, name))

    def list_versions(self, name: str) -> list[int]:
        """Versions that answer, ascending. Raises: NotFound."""
        with self._lock:
            return sorted(self._find(name).ready)

    def describe_configuration(self, name: str, version: str = "") -> dict[str, Any]:
        """The complete configuration of a version in Triton's words. Raises: NotFound; Exhausted while it cannot answer."""
        with self._lock:
            model = self._find(name)
            held, folder = model.choose(version), model.folder
        return describe_configuration(held, folder)  # many categories take long to write, and requests need the lock

    def describe(self, name: str) -> DeploymentState | DeploymentFacts:
        """State and facts of one loaded model. Raises: NotFound."""
        with self._lock:
            return describe_deployment(self._find(name))

    def describe_all(self) -> list[DeploymentState | DeploymentFacts]:
        """State and facts of every loaded model, by name."""
        with self._lock:
            return [describe_deployment(model) for _, model in sorted(self._loaded.models.items())]

    def begin_look(self) -> "Future[None]":
        """Look at the whole repository now, as mode "poll" does every `check_every_s`."""
        return self._loader.submit(Urgency.LOAD, self._look_again)

    def _find(self, name: str) -> HostedModel:
        if self._stop.is_set():
            raise Exhausted("the server is shutting down; ask another one")
        model = self._loaded.models.get(name)
        if model is None and not self._has_loaded and not self._loader.is_current():  # a pipeline's reason must be the real one
            raise Exhausted("the server is loading its models; ask again in a moment")
        if model is None:
            # Who asks may have a key that knows of few models: which others there are is for the lists to say.
            raise NotFound(f"no model {name[:100]!r} is loaded; GET /deployments lists those that are")
        return model

    def _load_first(self) -> None:
        if self.mode != "explicit" or ALL in self._load_at_start:
            self._updater.look()
            return
        self._updater.load_each(self._load_at_start)

    def _tick(self) -> None:
        """Look at the repository now and then, and let those that wait for room try again; never waits for the loader."""
        looking: Future[None] | None = None
        closing: Future[None] | None = None
        while not self._stop.wait(self._check_every_s):
            if self.mode == "poll" and self._has_loaded and (looking is None or looking.done()):
                looking = self.begin_look()
            if closing is None or closing.done():
                closing = self._loader.submit(Urgency.CLOSE, self._updater.close_left)
            try:
                self._pager.look_after()
            except Exception:  # the thread's border: it has to look again
                logger.exception("looking after the memory failed; the next look comes")

    def _look_again(self) -> None:
        try:
            self._updater.look()
            if self._away:
                logger.warning("the repository can be listed again")
            self._away = ""
        except OSError as error:  # a disk that is away for a moment is no reason to unload anything
            if str(error) != self._away:
                logger.error("the repository cannot be listed; what is loaded goes on: %s", error)
            self._away = str(error)
        except Exception:  # nobody waits for this job, so that nobody else would tell
            logger.exception("looking at the repository failed; what is loaded goes on, and the next look comes")

    def _check_explicit(self) -> None:
        if self.mode != "explicit":
            raise Conflict(
                f"explicit model load / unload is not allowed in mode {self.mode!r}; start the server with "
                "--model-control explicit"
            )
