"""Brings what is opened in line with the repository. Everything in here runs on the loader's thread, so nothing of it races.

A version is opened and warmed up beside the old one and takes its place in one step; requests on the old one end on it, and its
memory goes when the last of them lets go. A version that cannot be opened leaves the old one answering and says why.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.core.errors import Conflict, InvalidInput, NotFound, SightlineError, Unsupported
from sightline.core.open_files import are_files_short
from sightline.core.workspace import NAME_RULE
from sightline.serving.inference.source import ModelSource
from sightline.serving.inference.tensor_facts import fit_source
from sightline.serving.repository.configuration import check_tensors
from sightline.serving.repository.folders import (
    WHOLE_FOLDER,
    ModelFolder,
    PipelineSource,
    Source,
    read_folder,
    sort_by_dependence,
    tell_reason,
    verify_source,
)
from sightline.serving.repository.loaded_models import LoadedModels
from sightline.serving.repository.loader import Loader
from sightline.serving.repository.looking import Stamp, list_misnamed, stamp_repository
from sightline.serving.repository.memory import MemoryMeter, give_memory_back
from sightline.serving.repository.paging import ENDING_S, Pager
from sightline.serving.repository.versions import Failure, HeldVersion, HostedModel, OpenedModel

OpenModel = Callable[[ModelSource], OpenedModel]
OpenPipeline = Callable[[PipelineSource], OpenedModel]
logger = logging.getLogger("sightline.serving")


class Updater:
    """Opens, swaps and closes versions.

    Args:
        loaded: what is loaded, which only this changes.
        pager: makes room, and knows what still runs.
        loader: does what is more urgent, between two models.
        meter: what opening a version takes.
        open_model, open_pipeline: make the opened thing of a source; `open_pipeline` None: there are no pipelines.
        cores: executions of a plain graph at the same time, where its configuration does not say.
    """

    def __init__(
        self,
        repository: Path,
        loaded: LoadedModels,
        pager: Pager,
        loader: Loader,
        meter: MemoryMeter,
        *,
        open_model: OpenModel,
        open_pipeline: OpenPipeline | None,
        cores: int,
    ) -> None:
        self._repository = repository
        self._loaded = loaded
        self._pager = pager
        self._loader = loader
        self._meter = meter
        self._open_model = open_model
        self._open_pipeline = open_pipeline
        self._cores = cores
        self._is_ending = False
        self._applied: dict[str, Stamp] = {}  # of folders as they were when they were read
        self._seen: dict[str, Stamp] | None = None  # of all folders at the last look
        self._misnamed: frozenset[str] = frozenset()  # at the last look
        self._starved: set[str] = set()  # of which something failed while there were hardly any files to open

    def end(self) -> None:
        """A look ends at the next model. Any thread may say so; never waits."""
        self._is_ending = True

    def look(self) -> None:
        """Bring everything up to date. Raises: OSError when the repository cannot be listed.

        Plain files may be half copied, and a folder may be away for a moment while it is replaced: after the first look, both
        are believed only when they are found twice. A Deployment appears in one step and is believed at once. What failed for
        want of open files is tried again once there are some.
        """
        stamps, seen = stamp_repository(self._repository), self._seen
        self._seen = stamps
        self._warn_of_misnamed()
        again = self._take_starved()
        changed = [
            name
            for name, stamp in stamps.items()
            if name in again
            or (stamp != self._applied.get(name) and (stamp[0] != "graph" or seen is None or seen.get(name) == stamp))
        ]
        for name in [name for name in self._loaded.models if name not in stamps and name not in (seen or {})]:
            self.remove(name)
        folders = [folder for name in changed if (folder := self.read(name)) is not None]
        self._note_shortage(folder.name for folder in folders if folder.problems)
        for folder in folders:
            self._loaded.add_model(folder.name)
        for folder in sort_by_dependence(folders):
            self._loader.give_way()  # a look may find a hundred models, and nobody who waits for one of them can wait for all
            if self._is_ending:
                return
            self._applied[folder.name] = stamps[folder.name]
            self._apply(folder, retry=folder.name in again)
        self._settle_pipelines([folder.name for folder in folders])

    def _take_starved(self) -> set[str]:
        """Models to try again, now that there are files."""
        if not self._starved or are_files_short():
            return set()
        again, self._starved = self._starved, set()
        return again

    def _note_shortage(self, failed: Iterable[str]) -> None:
        """Args: failed: names of models, just now."""
        names = set(failed)
        if names and are_files_short():
            self._starved |= names

    def _warn_of_misnamed(self) -> None:
        """Name each folder once, as long as it is there."""
        names = list_misnamed(self._repository)
        for name in names:
            if name not in self._misnamed:
                logger.warning("folder %r is not served: expected a name of %s; rename it", name, NAME_RULE)
        self._misnamed = frozenset(names)

    def read(self, name: str) -> ModelFolder | None:
        """A folder as it is now, with what keeps it from being read; None when it is not there any more.

        Opens nothing, so any thread may call it.
        """
        try:
            return read_folder(self._repository, name, self._cores)
        except (NotFound, FileNotFoundError):
            return None
        except Exception as error:  # whatever a folder holds, it must hide no other one
            if not isinstance(error, (SightlineError, OSError)):
                logger.exception("the folder of model %s cannot be read", name)
            return ModelFolder(name=name, kind="graph", problems={WHOLE_FOLDER: tell_reason(error, self._repository)})

    def reload(self, name: str) -> None:
        """Look at one folder now, and try versions again that failed. Raises: NotFound."""
        try:
            folder = read_folder(self._repository, name, self._cores)
        except (NotFound, FileNotFoundError) as error:
            self.remove(name)
            raise NotFound(f"no model {name[:100]!r} in the repository") from error
        self._apply(folder, retry=True)
        self._settle_pipelines([name])

    def load(self, name: str, configuration: Mapping[str, Any] | None, users: tuple[str, ...] = ()) -> None:
        """Load a model after those it needs; a pipeline is planned anew. Args: users: pipelines that wait for it.

        Raises: NotFound; InvalidInput when a version cannot be opened.
        """
        folder = read_folder(self._repository, name, self._cores, configuration)
        for step in folder.depends_on:
            if step not in (*users, name):
                self._load_step(step, (*users, name))
        self._apply(folder, retry=True)
        self._settle_pipelines([name], tries_all=False)
        if reasons := self._loaded.models[name].list_reasons():
            raise InvalidInput(f"failed to load {name!r}: {'; '.join(reasons)}")

    def load_each(self, names: Sequence[str]) -> None:
        """Load models, as far as they can be: a broken one is logged and keeps no other from answering. Raises: NotFound."""
        for name in names:
            self._loader.give_way()
            if self._is_ending:
                return
            try:
                self.load(name, None)
            except InvalidInput as error:
                logger.error("%s", error)
            except NotFound:
                raise
            except Exception:  # whatever its folder holds, the others must answer
                logger.exception("model %s cannot be loaded", name)

    def _load_step(self, name: str, users: tuple[str, ...]) -> None:
        """Load a model for a pipeline, unless all of it is there. Raises: as `load`, if it cannot answer then."""
        model = self._loaded.models.get(name)
        if model is not None and model.ready and not model.failures:
            return
        try:
            self.load(name, None, users)
        except SightlineError:
            if name not in self._loaded.models or not self._loaded.models[name].ready:
                raise

    def unload(self, name: str, with_dependents: bool) -> None:
        """Take a model out of traffic. Raises: NotFound; Conflict while a loaded pipeline needs it."""
        model = self._loaded.models.get(name)
        if model is None:
            read_folder(self._repository, name, self._cores)  # NotFound for a name that is not even in the repository
            return
        if users := self._loaded.list_dependents(name):
            raise Conflict(f"model {name!r} is used by {', '.join(user.name for user in users)}; unload that first")
        steps = model.folder.depends_on if model.folder is not None else ()
        self.remove(name)
        for step in steps if with_dependents else ():
            if step in self._loaded.models and not self._loaded.list_dependents(step):
                self.unload(step, with_dependents)

    def remove(self, name: str) -> None:
        """Take a name out of traffic, and pipelines that run it until it is back."""
        self._applied.pop(name, None)
        users = self._loaded.list_dependents(name)
        self._drain(self._loaded.remove_model(name))
        for user in users:
            self._fail_pipeline(user, f"it runs model {name!r}, which has gone; put that back into the repository")

    def close_version(self, version: HeldVersion, ending_s: float = ENDING_S) -> None:
        """Close a version for good, once; where something still runs on it after so long, `close_left` has to try again."""
        if not self._pager.await_end([version], ending_s):
            if ending_s:  # else it has been said
                logger.info("%s is closed later: an execution on it has not ended", version.label)
            return
        if not self._loaded.remove_version(version):
            return
        self._pager.forget(version)
        try:
            version.opened.close()
        except Exception:  # an engine may raise anything; the version is gone all the same
            logger.exception("%s cannot be closed", version.label)
        give_memory_back()
        logger.info("%s is closed", version.label)

    def close_left(self) -> None:
        """Close versions that nobody holds, whose last execution had not ended when they were let go."""
        with self._loaded.lock:
            left = [version for version in self._loaded.list_draining() if not version.holders]
        for version in left:
            self.close_version(version, 0.0)

    def close_all(self, ending_s: float | None) -> None:
        """Close everything, whoever holds it, when running executions have ended; what still runs after so long stays open."""
        versions = self._loaded.clear()
        if not self._pager.await_end(versions, ending_s):
            running = {version for version in versions if not self._pager.await_end_on(version, 0.0)}
            for label in sorted(version.label for version in running):
                logger.error("an execution does not end: %s stays open", label)
            versions = [version for version in versions if version not in running]
        for version in versions:
            self.close_version(version)

    def _settle_pipelines(self, changed: Collection[str], tries_all: bool = True) -> None:
        """Something changed, so a pipeline may have now what it lacked, and another one may run what no longer fits.

        Args:
            changed: names that were looked at.
            tries_all: open again whatever failed; False: only what runs one of these models.
        """
        for model in list(self._loaded.models.values()):
            steps = model.folder.depends_on if model.folder is not None else ()
            if model.folder is None or not steps or not changed:
                continue
            runs_one = not set(steps).isdisjoint(changed)
            if model.failures and (tries_all or runs_one):
                self._apply(model.folder, retry=True)
            if runs_one or model.name in changed:
                self._plan_again(model)

    def _plan_again(self, pipeline: HostedModel) -> None:
        """See whether an open pipeline fits the versions that answer now; one that does not leaves the traffic."""
        for version in list(pipeline.ready.values()):
            try:
                version.opened.open()
            except Exception as error:  # as for what is opened anew
                if not isinstance(error, SightlineError):
                    logger.exception("%s cannot be planned again", version.label)
                self._fail_pipeline(pipeline, tell_reason(error, self._repository))

    def _fail_pipeline(self, model: HostedModel, reason: str) -> None:
        """Take a pipeline out of traffic and say why; it is opened again when something changes that it may have lacked."""
        with self._loaded.lock:
            left, model.ready = model.ready, {}
            failures = {number: Failure(reason, version.source, version.stamp) for number, version in left.items()}
            before, model.failures = model.failures, {**model.failures, **failures}
        log_news(model.name, before, model.failures)
        self._drain(left.values())

    def _apply(self, folder: ModelFolder, retry: bool = False) -> None:
        """Make what answers under a name what its folder says. Args: retry: open again what failed before."""
        model = self._loaded.add_model(folder.name)
        failures = {number: Failure(reason) for number, reason in folder.problems.items()}
        for source in folder.sources:
            stamp, known = folder.stamps[source.version], model.failures.get(source.version)
            current = model.ready.get(source.version)
            if current is not None and current.stamp == stamp and runs_alike(current, source):
                current.configuration = folder.configuration  # it may differ in what needs no reopening
            elif known is not None and (known.source, known.stamp) == (source, stamp) and not retry:
                failures[source.version] = known
            elif (failure := self._replace(model, source, folder)) is not None:
                failures[source.version] = failure
        log_news(folder.name, model.failures, failures)
        self._drain(self._finish(model, folder, failures))
        self._pager.settle()

    def _finish(self, model: HostedModel, folder: ModelFolder, failures: dict[int, Failure]) -> list[HeldVersion]:
        """Take over what was found. Returns: versions that no longer answer; while something is broken, old ones stay."""
        wanted = {source.version for source in folder.sources}
        is_broken = any(number == WHOLE_FOLDER or number in folder.versions for number in failures)
        with self._loaded.lock:
            if model.folder is None or WHOLE_FOLDER not in failures:  # else the last good reading goes on to count
                model.folder = folder
            model.failures = failures
            return [] if is_broken else [model.ready.pop(number) for number in set(model.ready) - wanted]

    def _replace(self, model: HostedModel, source: Source, folder: ModelFolder) -> Failure | None:
        """Open a version and put it in the place of the one that has its number. Returns: why that failed."""
        with self._loaded.lock:
            model.loading = source.version
        begun_s, stamp = self._loaded.clock(), folder.stamps[source.version]
        try:
            held = self._open(source, stamp, folder)
        except Exception as error:  # an engine on foreign files may raise anything, and the old version must go on
            logger.exception("version %d of model %s cannot be opened", source.version, source.name)
            self._note_shortage([source.name])
            return Failure(tell_reason(error, self._repository), source, stamp)
        finally:
            with self._loaded.lock:
                model.loading = None
        old = self._loaded.put(model, held)
        logger.info("%s took %.3f s to open", held.label, self._loaded.clock() - begun_s)
        self._drain(old)
        return None

    def _open(self, source: Source, stamp: Stamp, folder: ModelFolder) -> HeldVersion:
        verify_source(source)
        opened = self._make_opened(source)
        if isinstance(source, ModelSource):
            self._pager.make_room_to_load(source.size_bytes)
        try:
            with self._meter.measure() as measured:
                opened.open()
                check_tensors(folder.configuration, opened.facts.inputs, opened.facts.outputs, folder.configured_by)
                opened.warm_up()
            held = HeldVersion(source, stamp, opened, folder.configuration, self._loaded.clock())
            self._pager.check_fits(held.memory_bytes or self._count_steps(held))
            self._pager.note_growth(held, measured.grown_bytes)
            return held
        except BaseException:
            opened.close()
            give_memory_back()
            raise

    def _count_steps(self, pipeline: HeldVersion) -> int:
        """Bytes that a pipeline's models hold together while it runs."""
        models = [self._loaded.models[step] for step in pipeline.steps if step in self._loaded.models]
        return sum(model.choose("").memory_bytes for model in models if model.ready)

    def _make_opened(self, source: Source) -> OpenedModel:
        if isinstance(source, ModelSource):
            return self._open_model(source)
        if self._open_pipeline is None:
            raise Unsupported("pipelines are not enabled")
        return self._open_pipeline(source)

    def _drain(self, versions: Iterable[HeldVersion]) -> None:
        """Close versions that no longer answer, as soon as nobody holds them."""
        for version in self._loaded.drain(versions):
            self.close_version(version)


def runs_alike(version: HeldVersion, source: Source) -> bool:
    """Whether a source would be opened as what is open already; what its graph overrules makes no difference."""
    old = version.source
    if isinstance(old, PipelineSource) or isinstance(source, PipelineSource):
        return old == source
    facts = version.opened.facts
    return fit_source(old, facts) == fit_source(source, facts)


def log_news(name: str, before: Mapping[int, Failure], now: Mapping[int, Failure]) -> None:
    """Log what was not wrong before."""
    for number, failure in now.items():
        if number not in before or before[number].reason != failure.reason:
            logger.error("model %s%s: %s", name, f" version {number}" if number else "", failure.reason)
