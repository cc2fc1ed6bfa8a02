"""What the host tells of its models: states for the repository's index, facts for clients, and Triton's ModelConfig.

Everything here is made from records at hand; nothing is opened, and no path of the machine gets into it.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from sightline.core.manifests import DecodeSpec, InputSpec, Precision, Task
from sightline.runtime.devices import runs_on_cores
from sightline.serving.inference.calls import ServedFacts, TensorFacts
from sightline.serving.inference.source import ModelSource
from sightline.serving.repository.configuration import MICROSECONDS, ModelConfiguration, name_data_type
from sightline.serving.repository.folders import WHOLE_FOLDER, ModelFolder
from sightline.serving.repository.versions import HeldVersion, HostedModel
from sightline.serving.scheduling.work import QueueSettings

NOT_LOADED = "not loaded"

State = Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]


class VersionState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one version in the repository answers, and if not, why.

    Attributes:
        version: its number; 0 for a folder in which no version can be told.
        reason: of one that does not answer; of one that does, why its replacement does not.
        is_resident: False while it is paged out; a request pages it in.
        memory_bytes: what it holds while it is resident.
        page_in_count, last_page_in_s: how often it was paged in, and the seconds the last time took; None: never.
    """

    name: str
    version: int
    state: State
    reason: str = ""
    is_resident: bool = False
    memory_bytes: int = 0
    page_in_count: int = 0
    last_page_in_s: float | None = None


class DeploymentState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model answers, and if not, why."""

    name: str
    state: Literal["ready", "loading", "failed"]
    detail: str = ""


class DeploymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a ready model says of itself: how its pictures are prepared, what it can answer, where it runs.

    Attributes:
        version: that answers a request which names none; `versions` are all that answer.
        input, decode: None for a graph of raw tensors.
        deployed_at: UTC; "" for a plain graph file.
        failed_version: number of a newer version that could not be opened, while this one goes on; else None.
        detail: why it could not.
        is_resident, memory_bytes, page_in_count, last_page_in_s: as in `VersionState`.
    """

    name: str
    state: Literal["ready"] = "ready"
    version: int
    versions: tuple[int, ...] = ()
    task: Task
    categories: tuple[str, ...]
    input: InputSpec | None
    decode: DecodeSpec | None
    device: str
    engine: str
    precision: Precision
    streams: int
    threads: int
    model_id: str
    artifact_id: str
    deployed_at: str
    failed_version: int | None
    detail: str = ""
    is_resident: bool = True
    memory_bytes: int = 0
    page_in_count: int = 0
    last_page_in_s: float | None = None


def describe_versions(name: str, folder: ModelFolder | None, model: HostedModel | None) -> list[VersionState]:
    """State of every version of one name, ascending. Call with the host's lock held.

    Args:
        folder: as it lies in the repository; None when it has gone, or was not read yet.
        model: what is opened of it; None when it is not loaded.
    """
    if model is None:
        problems = folder.problems if folder else {}
        found = sorted({*(folder.versions if folder else ()), *problems})
        return [
            VersionState(name=name, version=one, state="UNAVAILABLE", reason=problems.get(one, NOT_LOADED)) for one in found
        ]
    numbers = {*(folder.versions if folder else ()), *model.ready, *model.failures} - {WHOLE_FOLDER}
    if model.loading is not None:
        numbers.add(model.loading)
    return [_describe_version(model, number) for number in sorted(numbers or {WHOLE_FOLDER})]


def _describe_version(model: HostedModel, number: int) -> VersionState:
    failure = model.failures.get(number) or model.failures.get(WHOLE_FOLDER)
    reason = failure.reason if failure else ""
    if (version := model.ready.get(number)) is not None:
        return _describe_held(version, "READY", reason)
    if number == model.loading or model.folder is None:
        return VersionState(name=model.name, version=number, state="LOADING")
    if not reason:
        chosen = {source.version for source in model.folder.sources}
        reason = "about to be loaded" if number in chosen else "left out by the version policy"
    return VersionState(name=model.name, version=number, state="UNAVAILABLE", reason=reason)


def describe_draining(draining: Iterable[HeldVersion], listed: Iterable[VersionState]) -> list[VersionState]:
    """Versions that end their last requests, but for numbers that another version has taken over."""
    taken = {(state.name, state.version) for state in listed if state.state in ("READY", "LOADING")}
    leaving = {(version.source.name, version.source.version): version for version in draining}
    return [
        _describe_held(version, "UNLOADING", "its last requests are being answered")
        for key, version in leaving.items()
        if key not in taken
    ]


def _describe_held(version: HeldVersion, state: State, reason: str) -> VersionState:
    return VersionState(
        name=version.source.name,
        version=version.source.version,
        state=state,
        reason=reason,
        is_resident=version.is_resident,
        memory_bytes=version.memory_bytes,
        page_in_count=version.page_in_count,
        last_page_in_s=version.last_page_in_s,
    )


def describe_deployment(model: HostedModel) -> DeploymentState | DeploymentFacts:
    """State and facts of one model. Call with the host's lock held."""
    failed = [(number, failure.reason) for number, failure in sorted(model.failures.items())]
    if not model.ready:
        is_loading = model.loading is not None or model.folder is None or not failed
        state: Literal["loading", "failed"] = "loading" if is_loading else "failed"
        return DeploymentState(name=model.name, state=state, detail="" if is_loading else failed[-1][1])
    version = model.choose("")
    return make_facts(version, tuple(sorted(model.ready)), model.folder.deployed_at if model.folder else "", failed)


def make_facts(
    version: HeldVersion, versions: tuple[int, ...], deployed_at: str, failed: list[tuple[int, str]]
) -> DeploymentFacts:
    """What a client may know of a model. Args: failed: version numbers with reasons, ascending."""
    facts = version.opened.facts
    return DeploymentFacts(
        name=facts.name,
        version=facts.version,
        versions=versions,
        task=facts.task,
        categories=facts.categories,
        input=facts.input,
        decode=facts.decode,
        device=facts.device,
        engine=facts.engine,
        precision=facts.precision,
        streams=facts.streams,
        threads=facts.threads,
        model_id=facts.model_id,
        artifact_id=facts.artifact_id,
        deployed_at=deployed_at,
        failed_version=next((number for number, _ in reversed(failed) if number != WHOLE_FOLDER), None),
        detail=failed[-1][1] if failed else "",
        is_resident=version.is_resident,
        memory_bytes=version.memory_bytes,
        page_in_count=version.page_in_count,
        last_page_in_s=version.last_page_in_s,
    )


def describe_configuration(version: HeldVersion, folder: ModelFolder | None) -> dict[str, Any]:
    """Triton's ModelConfig of a version as it runs, every default filled in; our own words stand under "sightline".

    What comes out can be given to `load` as a configuration and means the same, but for a pipeline, which takes none.

    Args:
        folder: the model's, as it was last read.
    """
    facts, queue, configuration = version.opened.facts, version.opened.queue, version.configuration
    batching = _describe_batching(queue)
    is_told = queue.max_batch > 1 or batching != _describe_batching(QueueSettings())
    return {
        "name": facts.name,
        "platform": facts.engine,
        "backend": facts.engine,
        "runtime": "",
        "version_policy": _describe_policy(configuration, folder),
        "max_batch_size": facts.max_batch if facts.is_batched else 0,
        "input": [_describe_input(tensor, facts) for tensor in facts.inputs],
        "output": [_describe_output(tensor, facts, configuration) for tensor in facts.outputs],
        "batch_input": [],
        "batch_output": [],
        "optimization": {"priority": "PRIORITY_DEFAULT"},
        "instance_group": [_describe_instances(facts)],
        "default_model_filename": version.source.graph.name if isinstance(version.source, ModelSource) else "",
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {key: write_plainly(value) for key, value in configuration.parameters.items()},
        "model_warmup": [],
        "model_transaction_policy": {"decoupled": False},
        **({"dynamic_batching": batching} if is_told else {}),
        "sightline": _describe_own(facts, queue),
    }


def write_plainly(record: Any) -> Any:
    """A record as what JSON has: objects and lists."""
    return msgspec.json.decode(msgspec.json.encode(record))


def _describe_policy(configuration: ModelConfiguration, folder: ModelFolder | None) -> dict[str, Any]:
    policy = configuration.version_policy
    if policy is None:
        named = None if folder is None else folder.default
        if folder is not None and named is not None and named != max(folder.versions, default=named):
            return {"specific": {"versions": [named]}}  # by a Deployment's manifest
        return {"latest": {"num_versions": 1}}
    given = {key: value for key, value in write_plainly(policy).items() if value is not None}
    return {"latest": {"num_versions": 1}} if given.get("latest") == {"num_versions": 0} else given


def _describe_input(tensor: TensorFacts, facts: ServedFacts) -> dict[str, Any]:
    spec = facts.input
    is_picture = spec is not None and spec.name == tensor.name and len(tensor.shape) == 4
    return {
        "name": tensor.name,
        "data_type": name_data_type(tensor.datatype),
        "format": f"FORMAT_{spec.layout}" if is_picture and spec is not None else "FORMAT_NONE",
        "dims": _list_dims(tensor, facts),
        "is_shape_tensor": False,
        "allow_ragged_batch": False,
        "optional": False,
    }


def _list_dims(tensor: TensorFacts, facts: ServedFacts) -> list[int]:
    """The shape without its batch, where it has one."""
    return list(tensor.shape[1:] if facts.is_batched else tensor.shape)


def _describe_output(tensor: TensorFacts, facts: ServedFacts, configuration: ModelConfiguration) -> dict[str, Any]:
    labels = next((words.label_filename for words in configuration.output if words.name == tensor.name), "")
    return {
        "name": tensor.name,
        "data_type": name_data_type(tensor.datatype),
        "dims": _list_dims(tensor, facts),
        "label_filename": labels,
        "is_shape_tensor": False,
    }


def _describe_instances(facts: ServedFacts) -> dict[str, Any]:
    return {
        "name": f"{facts.name}_0",
        "kind": "KIND_CPU" if runs_on_cores(facts.device) else "KIND_MODEL",
        "count": facts.streams,
        "gpus": [],
        "profile": [],
        "passive": False,
        "host_policy": "",
    }


def _describe_batching(queue: QueueSettings) -> dict[str, Any]:
    has_levels = queue.priority_levels > 1
    return {
        "preferred_batch_size": sorted(queue.preferred_batches),
        "max_queue_delay_microseconds": round(queue.max_queue_delay_s * MICROSECONDS),
        "preserve_ordering": False,
        "priority_levels": queue.priority_levels if has_levels else 0,
        "default_priority_level": queue.default_priority if has_levels else 0,
        "default_queue_policy": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": round((queue.default_timeout_s or 0) * MICROSECONDS),
            "allow_timeout_override": queue.allow_timeout_override,
            "max_queue_size": queue.max_waiting,
        },
        "priority_queue_policy": {},
    }


def _describe_own(facts: ServedFacts, queue: QueueSettings) -> dict[str, Any]:
    own: dict[str, Any] = {
        "weight": queue.weight,
        "batch": queue.max_batch,
        "task": facts.task,
        "engine": facts.engine,
        "precision": facts.precision,
        "streams": facts.streams,
        "threads": facts.threads,
    }
    optional = {"input": facts.input, "decode": facts.decode, "categories": facts.categories or None}
    return own | {key: write_plainly(value) for key, value in optional.items() if value is not None}
