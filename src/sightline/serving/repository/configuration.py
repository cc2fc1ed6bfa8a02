"""config.json of a model: Triton's ModelConfig words for queues, batches and versions, and an object "sightline" for the rest.

A word of Triton that asks for something this server does not do is refused rather than ignored, so that a model never runs in
another way than its file says. Facts of the format: the schema `model_config.proto` of the Triton Inference Server, whose JSON
mapping also allows camelCase names and numbers as text.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec, InputSpec, Precision, Task
from sightline.imaging.heads.checks import check_decode_spec
from sightline.imaging.heads.decoding import TASK_OF_HEAD
from sightline.runtime.backends.table import BACKENDS
from sightline.serving.inference.calls import TensorFacts
from sightline.serving.inference.source import GATHERED_ROWS
from sightline.serving.scheduling.work import QueueSettings

CONFIGURATION_NAME = "config.json"
OWN = "sightline"  # the object of our own words
MAX_FILE_BYTES = 8 << 20
MAX_SIDE = 16384  # pixels of a network's input
MICROSECONDS = 1e6
DEFAULTS = QueueSettings()

# Names by which configurations call our engines: a platform of Triton, and their own.
ENGINE_BY_PLATFORM = {"onnxruntime_onnx": "onnxruntime", **{name: name for name in BACKENDS}}
# Words of Triton with one meaning that is harmless here; any other value of them is refused.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "batch_input": ([],),
    "batch_output": ([],),
    "cc_model_filenames": ({},),
    "metric_tags": ({},),
    "model_operations": ({}, {"op_library_filename": []}),
    "model_repository_agents": ({}, {"agents": []}),
    "model_transaction_policy": ({}, {"decoupled": False}),
    "model_warmup": ([],),  # every version is warmed up before it takes traffic
    "optimization": ({}, {"priority": "PRIORITY_DEFAULT"}),
    "response_cache": ({}, {"enable": False}),
    "runtime": ("",),
}

Version = Annotated[int, Meta(ge=1, le=999_999_999)]
BatchSize = Annotated[int, Meta(ge=1, le=4096)]
Microseconds = Annotated[int, Meta(ge=0, le=3_600_000_000)]  # an hour
Priority = Annotated[int, Meta(ge=0, le=1000)]
Workers = Annotated[int, Meta(ge=1, le=1024)]


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of the file; a word it does not know is an error that names the word."""


class Latest(Words, frozen=True):
    """The highest version numbers; 0 means 1, as in Triton."""

    num_versions: Annotated[int, Meta(ge=0, le=10_000)] = 1


class All(Words, frozen=True):
    """Every version."""


class Specific(Words, frozen=True):
    """Just these versions."""

    versions: Annotated[tuple[Version, ...], Meta(min_length=1)]


class VersionPolicy(Words, frozen=True):
    """Which versions answer: one of the three."""

    latest: Latest | None = None
    all: All | None = None
    specific: Specific | None = None


class QueuePolicy(Words, frozen=True):
    """How long a queue may be and its requests may wait; 0 takes the server's bound, which is never endless."""

    timeout_action: Literal["REJECT"] = "REJECT"
    default_timeout_microseconds: Microseconds = 0
    allow_timeout_override: bool = DEFAULTS.allow_timeout_override
    max_queue_size: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class DynamicBatching(Words, frozen=True):
    """How requests gather."""

    preferred_batch_size: tuple[BatchSize, ...] = ()
    max_queue_delay_microseconds: Microseconds = 0
    preserve_ordering: Literal[False] = False
    priority_levels: Priority = 0
    default_priority_level: Priority = 0
    default_queue_policy: QueuePolicy | None = None
    priority_queue_policy: Annotated[dict[str, Any], Meta(max_length=0)] = {}


class InstanceGroup(Words, frozen=True):
    """So many executions at the same time."""

    name: str = ""
    kind: Literal["KIND_AUTO", "KIND_CPU", "KIND_MODEL"] = "KIND_AUTO"
    count: Workers = 1
    gpus: Annotated[tuple[int, ...], Meta(max_length=0)] = ()
    profile: Annotated[tuple[str, ...], Meta(max_length=0)] = ()
    passive: Literal[False] = False
    host_policy: Literal[""] = ""


class TensorWords(Words, frozen=True):
    """What the file expects of a tensor; the graph must agree."""

    name: Annotated[str, Meta(min_length=1)]
    data_type: str = ""
    dims: tuple[Annotated[int, Meta(ge=-1)], ...] | None = None
    format: str = "FORMAT_NONE"
    label_filename: str = ""
    is_shape_tensor: Literal[False] = False
    allow_ragged_batch: Literal[False] = False
    optional: Literal[False] = False
    is_non_linear_format_io: Literal[False] = False


class Parameter(Words, frozen=True):
    """A value of the free map "parameters"."""

    string_value: str = ""


class OwnWords(Words, frozen=True):
    """The object "sightline".

    Attributes:
        weight: of the model's share of the Device.
        task, input, decode, categories: what a graph's pictures and answers mean, as in a Model's manifest.
        categories_file: instead of `categories`: a text file beside config.json, a name a line.
        engine, precision, streams, threads: how the graph runs.
        batch: rows that one execution gathers at most; None: max_batch_size where there is "dynamic_batching", without it
            what an Artifact was tuned for, or the largest preferred batch, or 8; else 1, or what an Artifact was tuned for.
    """

    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    task: Task | None = None
    input: InputSpec | None = None
    decode: DecodeSpec | None = None
    categories: tuple[str, ...] | None = None
    categories_file: str | None = None
    engine: str | None = None
    precision: Precision | None = None
    streams: Workers | None = None
    threads: Workers | None = None
    batch: BatchSize | None = None


class ModelConfiguration(Words, frozen=True):
    """A whole config.json."""

    name: str = ""
    platform: str = ""
    backend: str = ""
    version_policy: VersionPolicy | None = None
    max_batch_size: Annotated[int, Meta(ge=0, le=4096)] | None = None
    input: tuple[TensorWords, ...] = ()
    output: tuple[TensorWords, ...] = ()
    instance_group: tuple[InstanceGroup, ...] = ()
    dynamic_batching: DynamicBatching | None = None
    default_model_filename: str = ""
    parameters: dict[str, Parameter] = {}
    sightline: OwnWords = OwnWords()

    @property
    def engine(self) -> str | None:
        """Back end that the file names in one way or another."""
        return self.sightline.engine or ENGINE_BY_PLATFORM.get(self.backend or self.platform)

    @property
    def streams(self) -> int | None:
        """Executions at the same time, where the file says so."""
        return self.sightline.streams or sum(group.count for group in self.instance_group) or None


def read_configuration(home: Path) -> ModelConfiguration:
    """The config.json of a model's folder; all defaults without one. Raises: InvalidInput naming the field."""
    path = home / CONFIGURATION_NAME
    if not path.is_file():
        return ModelConfiguration()
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(
            f"{CONFIGURATION_NAME}: expected at most {MAX_FILE_BYTES} bytes, got {path.stat().st_size}; shorten it"
        )
    try:
        words = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{CONFIGURATION_NAME}: expected JSON, got something else: {error}; correct the file") from error
    return parse_configuration(words, home.name, CONFIGURATION_NAME)


def parse_configuration(words: Any, name: str, where: str) -> ModelConfiguration:
    """Check a configuration as decoded from JSON.

    Args:
        words: what JSON held; must be an object.
        name: of the model's folder; the file may not name another.
        where: stands first in every message.

    Raises: InvalidInput with one line: where, which field, what was expected, what came.
    """
    if not isinstance(words, Mapping):
        raise InvalidInput(
            f"{where}: expected an object, got {type(words).__name__}; see the reference of {CONFIGURATION_NAME}"
        )
    try:
        known = unfold_own(drop_neutral(rename_camel_case(words), where), where)
        configuration = msgspec.convert(known, ModelConfiguration, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{where}: {explain_validation(error)}; correct it") from error
    except RecursionError as error:
        raise InvalidInput(f"{where}: expected a flat object, got one nested too deeply; correct it") from error
    try:
        check_configuration(configuration, name)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error
    return configuration


def rename_camel_case(words: Any) -> Any:
    """Triton's words in snake_case; keys of free maps and our own object stay as they are."""
    if isinstance(words, Mapping):
        free = ("sightline", "parameters", "metric_tags", "cc_model_filenames")
        renamed = {
            re.sub(r"(?<=[a-z])[A-Z]", lambda found: f"_{found.group().lower()}", str(key)): value
            for key, value in words.items()
        }
        if len(renamed) != len(words):
            raise msgspec.ValidationError(f"expected each word once, got one in two spellings among {sorted(map(str, words))}")
        return {
            key: rename_parameters(value) if key == "parameters" else value if key in free else rename_camel_case(value)
            for key, value in renamed.items()
        }
    return [rename_camel_case(value) for value in words] if isinstance(words, list) else words


def rename_parameters(words: Any) -> Any:
    """The free map: its keys are the user's, its values Triton's."""
    return {key: rename_camel_case(value) for key, value in words.items()} if isinstance(words, Mapping) else words


def drop_neutral(words: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The words that mean something here. Raises: InvalidInput for what this server does not do."""
    for key, harmless in NEUTRAL.items():
        if key in words and words[key] not in (None, *harmless):
            raise InvalidInput(f"{where}: {key}: this server does not do that, got {str(words[key])[:60]}; leave the word out")
    return {key: value for key, value in words.items() if key not in NEUTRAL}


def unfold_own(words: dict[str, Any], where: str) -> dict[str, Any]:
    """The words with the object "sightline" in its place, also where the parameter of that name holds it as JSON text.

    Messages of gRPC have no other place for it. Raises: InvalidInput.
    """
    parameters = words.get("parameters")
    if not isinstance(parameters, Mapping) or OWN not in parameters:
        return words
    if OWN in words:
        raise InvalidInput(f"{where}: parameters.{OWN}: expected it or the object {OWN}, got both; leave one out")
    text = parameters[OWN].get("string_value") if isinstance(parameters[OWN], Mapping) else None
    try:
        own = msgspec.json.decode(text if isinstance(text, str) else "")
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{where}: parameters.{OWN}: expected the object {OWN} as JSON text: {error}; correct it") from error
    return words | {OWN: own, "parameters": {key: value for key, value in parameters.items() if key != OWN}}


def explain_validation(error: msgspec.ValidationError) -> str:
    """`Expected ..., got ... - at `$.a.b`` as `a.b: expected ..., got ...`."""
    what, _, path = str(error).partition(" - at ")
    field = path.strip("`").removeprefix("$").lstrip(".")
    what = what[:1].lower() + what[1:]
    return f"{field}: {what}" if field else what


def check_pipeline_configuration(configuration: ModelConfiguration, where: str) -> None:
    """Refuse what belongs to the models that a pipeline runs. Raises: InvalidInput naming the word."""
    allowed = {"name", "max_batch_size", "dynamic_batching", "parameters", "sightline"}
    own, plain = configuration.sightline, ModelConfiguration()
    strange = [word for word in plain.__struct_fields__ if getattr(configuration, word) != getattr(plain, word)]
    strange = [word for word in strange if word not in allowed]
    strange += [
        f"sightline.{word}"
        for word in own.__struct_fields__
        if word not in ("weight", "batch") and getattr(own, word) != getattr(plain.sightline, word)
    ]
    if strange:
        raise InvalidInput(
            f"{where}: {strange[0]}: expected only how a pipeline's requests wait, got a word of the models it runs; "
            "write it into theirs"
        )


def check_configuration(configuration: ModelConfiguration, name: str) -> None:
    """What types alone do not say. Raises: InvalidInput."""
    if configuration.name not in ("", name):
        raise InvalidInput(f"name: expected {name!r} as the folder, got {configuration.name[:100]!r}; leave it out")
    for field in ("backend", "platform"):
        if getattr(configuration, field) not in ("", *ENGINE_BY_PLATFORM):
            raise InvalidInput(
                f"{field}: expected one of {', '.join(ENGINE_BY_PLATFORM)}, got {getattr(configuration, field)[:100]!r}"
            )
    _check_policy(configuration.version_policy)
    _check_batching(configuration)
    _check_own(configuration.sightline)
    for field, file_name in (
        ("default_model_filename", configuration.default_model_filename),
        ("sightline.categories_file", configuration.sightline.categories_file or ""),
        *(("output.label_filename", tensor.label_filename) for tensor in configuration.output),
    ):
        if file_name and (
            Path(file_name).name != file_name or file_name.startswith(".") or "\\" in file_name or "\0" in file_name
        ):
            raise InvalidInput(f"{field}: expected the name of a file in the model's folder, got {file_name[:100]!r}")


def _check_policy(policy: VersionPolicy | None) -> None:
    if policy is None:
        return
    given = [field for field in ("latest", "all", "specific") if getattr(policy, field) is not None]
    if len(given) != 1:
        raise InvalidInput(f"version_policy: expected one of latest, all and specific, got {' and '.join(given) or 'none'}")
    if policy.specific is not None and len(set(policy.specific.versions)) != len(policy.specific.versions):
        raise InvalidInput(f"version_policy.specific.versions: expected each once, got {list(policy.specific.versions)}")


def _check_batching(configuration: ModelConfiguration) -> None:
    batching, limit = configuration.dynamic_batching, configuration.max_batch_size
    if batching is None:
        return
    levels, default = batching.priority_levels, batching.default_priority_level
    if not (1 <= default <= levels if levels else default == 0):
        expected = f"1 to {levels}" if levels else "none without priority_levels"
        raise InvalidInput(f"dynamic_batching.default_priority_level: expected {expected}, got {default}")
    largest = max(batching.preferred_batch_size, default=0)
    if limit is not None and largest > max(limit, 1):
        raise InvalidInput(f"dynamic_batching.preferred_batch_size: expected at most max_batch_size {limit}, got {largest}")


def _check_own(own: OwnWords) -> None:
    if own.engine is not None and own.engine not in BACKENDS:
        raise InvalidInput(f"sightline.engine: expected one of {', '.join(BACKENDS)}, got {own.engine[:100]!r}")
    if own.categories is not None and own.categories_file is not None:
        raise InvalidInput("sightline.categories_file: expected it or sightline.categories, got both; leave one out")
    if own.input is not None:
        _check_input(own.input)
    if own.decode is not None:
        check_decode_spec(own.decode, "sightline.decode")
        _check_task(own.task, own.decode.head)
    if own.categories is not None:
        check_categories(own.categories, "sightline.categories")


def _check_task(task: Task | None, head: str) -> None:
    """Raises: InvalidInput when a head does not decode for this task; `raw` says nothing of it."""
    if task not in (None, "raw", TASK_OF_HEAD[head]):
        raise InvalidInput(
            f"sightline.task: expected {TASK_OF_HEAD[head]!r} for the head {head}, got {task!r}; correct it or the head"
        )


def _check_input(spec: InputSpec) -> None:
    where = "sightline.input"
    if not (1 <= spec.width <= MAX_SIDE and 1 <= spec.height <= MAX_SIDE):
        raise InvalidInput(f"{where}: expected a width and height of 1 to {MAX_SIDE} pixels, got {spec.width} x {spec.height}")
    channels = 1 if spec.colour == "GRAY" else 3
    if len(spec.mean) != channels or len(spec.std) != channels or min(spec.std) <= 0:
        raise InvalidInput(
            f"{where}: expected {channels} means and positive stds for {spec.colour}, got mean {spec.mean} and std {spec.std}"
        )
    if not 0 < spec.crop_fraction <= 1:
        raise InvalidInput(f"{where}.crop_fraction: expected above 0 and at most 1, got {spec.crop_fraction}")
    if not 0 <= spec.pad_value <= 255:
        raise InvalidInput(f"{where}.pad_value: expected 0 to 255, got {spec.pad_value}")


def check_categories(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The names if they are fit for categories. Raises: InvalidInput."""
    try:
        return Categories(names).names
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


def make_queue(
    configuration: ModelConfiguration, batch: int | None = None, most_running: int = 0, threads: int = 1
) -> QueueSettings:
    """How requests wait.

    Args:
        batch: rows an execution should have, of an Artifact; for a file that says nothing of batches. None: it is none.
        most_running, threads: as in `QueueSettings`.
    """
    batching = configuration.dynamic_batching or DynamicBatching()
    policy = batching.default_queue_policy or QueuePolicy()
    timeout_us = policy.default_timeout_microseconds
    return QueueSettings(
        max_batch=_find_gathered_rows(configuration, batch),
        preferred_batches=tuple(sorted(set(batching.preferred_batch_size), reverse=True)),
        max_queue_delay_s=batching.max_queue_delay_microseconds / MICROSECONDS,
        max_waiting=policy.max_queue_size or DEFAULTS.max_waiting,
        priority_levels=max(1, batching.priority_levels),
        default_priority=max(1, batching.default_priority_level),
        default_timeout_s=timeout_us / MICROSECONDS if timeout_us else None,
        allow_timeout_override=policy.allow_timeout_override,
        weight=configuration.sightline.weight,
        most_running=most_running,
        threads=threads,
    )


def _find_gathered_rows(configuration: ModelConfiguration, tuned: int | None) -> int:
    """Triton gathers requests only where there is "dynamic_batching"; a tuned Artifact gathers without being told."""
    own, batching, limit = configuration.sightline, configuration.dynamic_batching, configuration.max_batch_size
    if own.batch is not None:
        return own.batch
    if batching is None:
        return (tuned or 1) if limit is None else 1
    untold = GATHERED_ROWS if tuned is None and limit is None and not batching.preferred_batch_size else 1
    return limit or max(tuned or 1, untold, *batching.preferred_batch_size)


def choose_versions(policy: VersionPolicy | None, found: Collection[int], named: int | None) -> list[int]:
    """Version numbers that should answer, ascending.

    Args:
        policy: None: the one that the Deployment's manifest names, or the highest.
        found: complete versions in the repository.
        named: by the Deployment's manifest.
    """
    ordered = sorted(found)
    if policy is None:
        return [named] if named is not None else ordered[-1:]
    if policy.specific is not None:
        return sorted(policy.specific.versions)
    if policy.all is not None:
        return ordered
    assert policy.latest is not None  # checked when it was read
    return ordered[-max(1, policy.latest.num_versions) :]


def check_tensors(
    configuration: ModelConfiguration,
    inputs: Sequence[TensorFacts],
    outputs: Sequence[TensorFacts],
    where: str = CONFIGURATION_NAME,
) -> None:
    """Refuse a graph that is not what the configuration expects. Raises: InvalidInput naming the tensor."""
    for kind, stated, there in (("input", configuration.input, inputs), ("output", configuration.output, outputs)):
        by_name = {tensor.name: tensor for tensor in there}
        for words in stated:
            tensor = by_name.get(words.name)
            if tensor is None:
                raise InvalidInput(f"{where}: {kind}: expected one of {sorted(by_name)} as the graph, got {words.name!r}")
            if words.data_type and words.data_type != name_data_type(tensor.datatype):
                raise InvalidInput(
                    f"{where}: {kind} {words.name}: expected {name_data_type(tensor.datatype)} as the graph, "
                    f"got {words.data_type[:100]!r}"
                )
            if words.dims is not None and not any(_fits(words.dims, shape) for shape in (tensor.shape[1:], tensor.shape)):
                raise InvalidInput(
                    f"{where}: {kind} {words.name}: expected dims {list(tensor.shape[1:])} as the graph, got {list(words.dims)}"
                )


def _fits(dims: Sequence[int], shape: Sequence[int]) -> bool:
    return len(dims) == len(shape) and all(-1 in pair or pair[0] == pair[1] for pair in zip(dims, shape, strict=True))


def name_data_type(datatype: str) -> str:
    """`FP32` of the protocol as `TYPE_FP32` of a configuration; `BYTES` is `TYPE_STRING`."""
    return f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}"
