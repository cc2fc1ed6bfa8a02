"""Read a model's folder into the sources of its versions; what is wrong in it is told, not raised.

config.json is optional beside a Deployment and beside a graph of raw tensors. One broken version hides no other one, and a
broken configuration leaves what is already open alone.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import InvalidInput, NotFound, SightlineError
from sightline.core.folders import MANIFEST_NAME, read_manifest, verify_files
from sightline.core.manifests import TENSOR_TASKS, ArtifactManifest, DeploymentManifest, compute_manifest_id
from sightline.core.workspace import NAME_PATTERN, NAME_RULE
from sightline.serving.inference.source import GATHERED_ROWS, LARGEST_REQUEST, ModelSource
from sightline.serving.repository.configuration import (
    CONFIGURATION_NAME,
    MAX_FILE_BYTES,
    ModelConfiguration,
    check_pipeline_configuration,
    choose_versions,
    make_queue,
    parse_configuration,
    read_configuration,
)
from sightline.serving.repository.looking import (
    PIPELINE_NAME,
    PIPELINE_VERSION,
    Kind,
    Stamp,
    find_kind,
    list_graphs,
    list_versions,
    stamp_files,
    stamp_version,
    walk_files,
)
from sightline.serving.repository.name_files import read_categories, read_labels
from sightline.serving.scheduling.work import QueueSettings

DEFAULT_ENGINE = "openvino"  # opens both kinds of graph
GIVEN = "the configuration given"  # to `load`, in messages
SHARE_OF_FEW_STREAMS = 0.75  # of the slots: what a model may hold that infers fewer requests at a time
WHOLE_FOLDER = 0  # version number of problems that no version has for itself


class PipelineSource(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline's declaration, unread but for the models it needs.

    Attributes:
        text: pipeline.json.
        depends_on: names of the models it runs, each once, in order of mention.
        largest_request: rows of one request at most.
        queue: how its requests wait.
    """

    name: str
    version: int = PIPELINE_VERSION
    text: str
    depends_on: tuple[str, ...]
    largest_request: int = LARGEST_REQUEST
    queue: QueueSettings = QueueSettings()


Source = ModelSource | PipelineSource


class ModelFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A model's folder as it was at one look.

    Attributes:
        sources: of the versions that should answer by the version policy, ascending.
        versions: numbers of every version that is complete on disk, ascending.
        default: version that answers a request which names none; None where nothing can be chosen.
        problems: version -> why there is no source of it; `WHOLE_FOLDER` -> what keeps the folder from being read.
        stamps: version -> stamp of its files.
        configuration: its config.json, or what was given in its place; `configured_by` names it in messages.
        deployed_at: of a Deployment, UTC; "" otherwise.
    """

    name: str
    kind: Kind
    sources: tuple[Source, ...] = ()
    versions: tuple[int, ...] = ()
    default: int | None = None
    problems: dict[int, str] = {}
    stamps: dict[int, Stamp] = {}
    configuration: ModelConfiguration = ModelConfiguration()
    configured_by: str = CONFIGURATION_NAME
    deployed_at: str = ""

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Models that must be open before this one."""
        return tuple(name for source in self.sources if isinstance(source, PipelineSource) for name in source.depends_on)


def read_folder(repository: Path, name: str, cores: int, override: Mapping[str, Any] | None = None) -> ModelFolder:
    """Read a model's folder; what is wrong in it is told in `problems`, not raised.

    Args:
        name: as a caller gave it; unchecked.
        cores: of the machine: executions of a plain graph at the same time, where its configuration does not say.
        override: a configuration as decoded from JSON that stands in for config.json.

    Raises: NotFound when there is no model; InvalidInput for an override that cannot be.
    """
    home = repository / name
    if not NAME_PATTERN.fullmatch(name):
        raise NotFound(f"no model {name[:100]!r} in the repository; a model has a name of {NAME_RULE}")
    kind = find_kind(home) if home.is_dir() else None
    if kind is None:
        raise NotFound(f"no model {name[:100]!r} in the repository")
    if override is not None and kind == "pipeline":
        raise InvalidInput(f"a pipeline takes its configuration from the {CONFIGURATION_NAME} beside it; load it without one")
    given = None if override is None else parse_configuration(override, name, GIVEN)
    versions = tuple(list_versions(home, kind))
    try:
        return _read_kind(home, kind, versions, cores, given)
    except (SightlineError, OSError) as error:
        return ModelFolder(name=name, kind=kind, versions=versions, problems={WHOLE_FOLDER: tell_reason(error, repository)})


def verify_source(source: Source) -> None:
    """Check the files of an Artifact against their hashes before an engine reads them. Raises: NotFound, CorruptFile."""
    if isinstance(source, ModelSource) and source.artifact_id:
        folder = find_version_folder(source)
        verify_files(folder, read_manifest(folder, ArtifactManifest).files)


def tell_change(source: Source, stamp: Stamp) -> str:
    """Why a version's files are not those that it was opened from; "" where they are."""
    if isinstance(source, PipelineSource):
        return ""
    home = find_version_folder(source).parent
    try:
        if stamp_version(home, source.version, "deployment" if source.artifact_id else "graph") != stamp:
            return "its files have changed since it was loaded; load it again"
        verify_source(source)
    except (SightlineError, OSError) as error:
        return tell_reason(error, home.parent)
    return ""


def find_version_folder(source: ModelSource) -> Path:
    """Folder of a version; the graph may lie deeper in its Artifact."""
    folder = source.graph.parent
    while source.artifact_id and not (folder / MANIFEST_NAME).is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def sort_by_dependence(folders: Sequence[ModelFolder]) -> list[ModelFolder]:
    """Models before the pipelines that need them; those that need each other, which none can run, in any order."""
    by_name = {folder.name: folder for folder in folders}
    needed = {folder.name: set(folder.depends_on) for folder in folders}
    while True:
        try:
            return [by_name[name] for name in TopologicalSorter(needed).static_order() if name in by_name]
        except CycleError as error:
            cycle = error.args[1]
            for name in cycle:
                needed[name] -= set(cycle)


def tell_reason(error: Exception, repository: Path) -> str:
    """What an error says, without any path of this machine: files are named as they lie in the repository.

    Errors that nobody raised on purpose are an engine's own words, for the log alone.
    """
    if isinstance(error, OSError):
        return f"{Path(str(error.filename or 'a file')).name} cannot be read: {error.strerror or type(error).__name__}"
    if not isinstance(error, SightlineError):
        return "it cannot be opened; the server's log says why"
    text = " ".join(str(error).split())
    for prefix in {str(repository), str(repository.resolve()), str(repository.absolute())}:
        text = text.replace(f"{prefix}{os.sep}", "")
    return re.sub(r"(?<![\w.~-])~?(?:/[\w.@+~-]+)+/?", lambda found: found.group().rstrip("/").rpartition("/")[2], text)


def _read_kind(home: Path, kind: Kind, versions: tuple[int, ...], cores: int, given: ModelConfiguration | None) -> ModelFolder:
    if kind == "pipeline":
        return _read_pipeline(home)
    manifest = read_manifest(home, DeploymentManifest) if kind == "deployment" else None
    configuration = read_configuration(home) if given is None else given
    where = CONFIGURATION_NAME if given is None else GIVEN
    named = manifest.version if manifest else None
    sources: list[Source] = []
    problems: dict[int, str] = {}
    chosen = choose_versions(configuration.version_policy, versions, named)
    for version in chosen:
        try:
            if version not in versions:
                raise NotFound(f"expected version {version} beside {list(versions)} in the repository, got none; add it")
            read = _read_artifact if manifest else _read_graph
            sources.append(read(home, version, configuration, where, cores))
        except (SightlineError, OSError) as error:
            problems[version] = tell_reason(error, home.parent)
    return ModelFolder(
        name=home.name,
        kind=kind,
        sources=tuple(sources),
        versions=versions,
        default=named if named in chosen else max(chosen, default=None),
        problems=problems,
        stamps={version: stamp_version(home, version, kind) for version in versions},
        configuration=configuration,
        configured_by=where,
        deployed_at=manifest.created_at if manifest else "",
    )


def _read_pipeline(home: Path) -> ModelFolder:
    path = home / PIPELINE_NAME
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{PIPELINE_NAME}: expected at most {MAX_FILE_BYTES} bytes, got {path.stat().st_size}; shorten it")
    try:
        text = path.read_text(encoding="utf-8")
        names = tuple(dict.fromkeys(_find_step_models(json.loads(text))))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{PIPELINE_NAME}: expected JSON, got something else: {error}; correct the file") from error
    configuration = read_configuration(home)
    check_pipeline_configuration(configuration, CONFIGURATION_NAME)
    queue = make_queue(configuration)
    most = configuration.max_batch_size or LARGEST_REQUEST
    source = PipelineSource(name=home.name, text=text, depends_on=names, largest_request=most, queue=queue)
    return ModelFolder(
        name=home.name,
        kind="pipeline",
        sources=(source,),
        versions=(source.version,),
        default=source.version,
        stamps={source.version: stamp_files(home)},
        configuration=configuration,
    )


def _find_step_models(declaration: Any) -> list[str]:
    """Names of the models that its steps run; whether the declaration is sound is for whoever opens it to say."""
    steps = declaration.get("steps") if isinstance(declaration, dict) else None
    models = [step.get("model") for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return [model for model in models if isinstance(model, str) and model]


def _read_artifact(home: Path, version: int, configuration: ModelConfiguration, where: str, cores: int) -> ModelSource:
    folder = home / str(version)
    artifact = read_manifest(folder, ArtifactManifest)
    own = configuration.sightline
    _refuse_contradictions(configuration, artifact, home, where)
    graph = folder / artifact.graph_file
    # Not by `Path.resolve`, which raises RuntimeError for a link into itself; such a graph is told when it is verified.
    if not Path(os.path.realpath(graph)).is_relative_to(os.path.realpath(folder)):
        raise InvalidInput(
            f"version {version}: expected its graph inside it, got {artifact.graph_file[:100]!r}; compile it again"
        )
    batch = min(artifact.batch, GATHERED_ROWS)
    if artifact.device == "cpu":
        streams, threads = _divide_cores(configuration, cores)
    else:  # on no core: it runs as it was tuned
        streams, threads = configuration.streams or artifact.streams, own.threads or artifact.threads
    return ModelSource(
        name=home.name,
        version=version,
        graph=graph,
        engine=artifact.engine,
        precision=artifact.precision,
        streams=streams,
        threads=threads,
        device=artifact.device,
        batch=batch,
        task=artifact.task,
        categories=artifact.categories,
        input=artifact.input,
        decode=artifact.decode,
        labels=read_labels(configuration, home, where),
        queue=make_queue(configuration, batch, find_most_running(streams, cores), threads),
        model_id=artifact.model_id,
        artifact_id=compute_manifest_id(artifact),
        size_bytes=sum(file.size_bytes for file in artifact.files.values()),
    )


def _divide_cores(configuration: ModelConfiguration, cores: int) -> tuple[int, int]:
    """Executions at the same time, and threads of each: by default one of each core, whatever an Artifact was tuned for.

    Tuning looks at inference alone. Here decoding goes on beside it, and a thread that decodes keeps all those waiting that
    infer one picture together: ResNet-50, best in one stream of two threads by itself, does 1.23 times as much in two of one.
    """
    streams = configuration.streams or cores
    return streams, configuration.sightline.threads or max(1, cores // streams)


def find_most_running(streams: int, cores: int) -> int:
    """Slots that a model of so many streams may hold: some infer, the others decode, and other models have the rest."""
    return max(2 * streams, int(SHARE_OF_FEW_STREAMS * cores))


def _refuse_contradictions(configuration: ModelConfiguration, artifact: ArtifactManifest, home: Path, where: str) -> None:
    """An Artifact was verified as it is: a file beside it may say the same, nothing else."""
    own = configuration.sightline
    stated = {
        "task": own.task,
        "input": own.input,
        "decode": own.decode,
        "categories": read_categories(configuration, home, where, artifact.task, artifact.decode) or None,
        "engine": configuration.engine,
        "precision": own.precision,
    }
    for field, value in stated.items():
        if value is not None and value != getattr(artifact, field):
            raise InvalidInput(
                f"{where}: sightline.{field}: an Artifact has its own, got another; leave it out, or compile anew"
            )


def _read_graph(home: Path, version: int, configuration: ModelConfiguration, where: str, cores: int) -> ModelSource:
    folder = home / str(version)
    own = configuration.sightline
    graph = _find_graph(folder, configuration.default_model_filename)
    task = own.task or "raw"
    if task != "raw" and (own.input is None or own.decode is None):
        missing = " and ".join(f"sightline.{field}" for field in ("input", "decode") if getattr(own, field) is None)
        raise InvalidInput(f"{where}: {missing}: expected for the task {task!r}, got none; add it")
    categories = read_categories(configuration, home, where, task, own.decode)
    if task not in TENSOR_TASKS and not categories:
        raise InvalidInput(f"{where}: sightline.categories: expected names for the task {task!r}, got none; add them")
    streams, threads = _divide_cores(configuration, cores)
    queue = make_queue(configuration, None, find_most_running(streams, cores), threads)
    return ModelSource(
        name=home.name,
        version=version,
        graph=graph,
        engine=configuration.engine or DEFAULT_ENGINE,
        precision=own.precision or "fp32",
        streams=streams,
        threads=threads,
        batch=queue.max_batch,
        largest_request=configuration.max_batch_size or LARGEST_REQUEST,
        is_batched=task != "raw" or configuration.max_batch_size != 0,
        task=task,
        categories=categories,
        input=own.input,
        decode=own.decode,
        labels=read_labels(configuration, home, where),
        queue=queue,
        size_bytes=sum(entry.stat().st_size for entry in walk_files(folder)),
    )


def _find_graph(folder: Path, stated: str) -> Path:
    """The graph of a version: the one stated, `model.*`, or the only one. Raises: InvalidInput."""
    graphs = list_graphs(folder)
    wanted = [stated] if stated else [name for name in graphs if Path(name).stem == "model"] or graphs
    if len(wanted) != 1 or wanted[0] not in graphs:
        expected = stated or "one graph file, or one named model.onnx or model.xml"
        raise InvalidInput(f"version {folder.name}: expected {expected}, got {', '.join(graphs)[:200]}; rename or remove files")
    graph = folder / wanted[0]
    if graph.suffix == ".xml" and not graph.with_suffix(".bin").is_file():
        raise InvalidInput(
            f"version {folder.name}: expected the weights {graph.stem}.bin beside {graph.name}, got none; add them"
        )
    return graph
