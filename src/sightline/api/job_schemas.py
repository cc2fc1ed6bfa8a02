"""What stands on the wire of jobs, and of what they make: Models, Artifacts, Deployments and Reports; see `schemas`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from sightline.api.schemas import Annotation, Answer, Request, match_whole
from sightline.core.workspace import NAME_PATTERN

JobKind = Literal["train", "compile", "deploy", "measure", "annotate"]
JobState = Literal["queued", "waiting_for_device", "running", "succeeded", "failed", "cancelled"]
MadeShelf = Literal["datasets", "models", "artifacts", "deployments", "reports"]
ThingName = Annotated[str, StringConstraints(pattern=match_whole(NAME_PATTERN))]
Reference = Annotated[str, StringConstraints(pattern=rf"^{NAME_PATTERN.pattern}(@[0-9a-f]{{1,64}})?$")]
VersionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Fact = float | int | str


class Train(Request):
    """Train a network.

    `dataset`: its labels as they are now are frozen first, unless `version` names a frozen version (a part of its id will do).
    `model`: "fast", "accurate", or a network's name. `budget`: "10min", "360cpu-s", "30epochs", "4000it". `name`: of the Model;
    null: DATASET-MODEL. `set`: any other fields of the recipe, such as {"batch_size": 8, "augmentation": {"flip_y": 0.5}}.
    """

    dataset: ThingName
    version: VersionId | None = None
    task: Annotated[str, StringConstraints(max_length=40)]
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "fast"
    budget: Annotated[str, StringConstraints(max_length=40)] = "10min"
    seed: Seed = 0
    name: ThingName | None = None
    set: dict[str, object] = Field(default_factory=dict)


class Compile(Request):
    """Compile a Model into an Artifact.

    `dataset`: pictures to calibrate and verify on, `NAME` (frozen first, as for `train`) or `NAME@ID`; only floats need none.
    `precision`: null takes INT8 where the device has it, else the best that keeps its accuracy. `max_drop`: largest loss of
    accuracy to accept; 0.01 is one point. `name`: of the Artifact; null: the Model's. `deploy`: a name that the Artifact shall
    answer under at once; null: none.
    """

    model: Reference
    dataset: Reference | None = None
    device: Annotated[str, StringConstraints(max_length=100)] = "cpu"
    precision: Literal["int8", "int16", "fp16", "bf16", "fp32"] | None = None
    max_drop: Share = 0.01
    name: ThingName | None = None
    seed: Seed = 0
    deploy: ThingName | None = None


class Deploy(Request):
    """Deploy an Artifact. `name`: to answer under; null: the Artifact's."""

    artifact: Reference
    name: ThingName | None = None


class Measure(Request):
    """Measure what predicts. `subject`: a Deployment, Artifact or Model. `split`: null measures on all pictures."""

    subject: Reference
    dataset: Reference
    split: Annotated[str, StringConstraints(max_length=100)] | None = "test"


class Annotate(Request):
    """Let `with`, a Deployment, Artifact or Model, propose labels for the pictures of a dataset that no person looked at."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    dataset: ThingName
    subject: Annotated[Reference, Field(alias="with")]
    confidence_threshold: Share | None = None


class Made(Answer):
    """What a job made: where it lies, and facts worth showing beside it. `id` of a Deployment: the number of its version."""

    shelf: MadeShelf
    name: str
    id: str
    facts: dict[str, Fact]


class Job(Answer):
    """One verb in the background.

    `arguments`: what it is called with; names are exact there (`NAME@ID`). `asked`: whether it was asked to end early.
    `restarts`: how often its process died and it went on. `progress`: 0..1. `stage`, `remaining_s`, `metrics` and `message` are
    what it told last. `error`: of a job that failed, one line. `can_stop`: whether `stop` would keep something. Times are
    UTC, ISO 8601.
    """

    id: str
    number: int
    kind: JobKind
    state: JobState
    arguments: dict[str, object]
    author: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    asked: Literal["stop", "cancel"] | None
    restarts: int
    progress: float
    stage: str
    remaining_s: float | None
    metrics: dict[str, float]
    message: str
    error: str | None
    can_stop: bool
    made: Made | None


class Jobs(Answer):
    """A page of jobs, the newest first; `next_cursor` is null at their end."""

    jobs: list[Job]
    next_cursor: int | None


class JobEvent(Answer):
    """What a job told at one moment. `sequence` only grows; `at`: seconds since 1970; `progress`: of the whole job, 0..1.

    `metrics` of a training: step, loss, learning_rate, best, and metric in events of a validation.
    """

    sequence: int
    at: float
    stage: str
    progress: float
    remaining_s: float | None
    metrics: dict[str, float]
    message: str


class JobProgress(Answer):
    """All that a job told so far, thinned evenly to at most 500 events."""

    events: list[JobEvent]


class JobLog(Answer):
    """A part of a job's log. `offset`: where the next part begins; `has_ended`: whether nothing more will come."""

    text: str
    offset: int
    has_ended: bool


class NetworkOption(Answer):
    """A network that can learn a task. `name`: as `model` of a training; `network`: what "fast" and "accurate" stand for."""

    name: str
    network: str
    size: int


class TaskOption(Answer):
    """A task that can be trained. `defaults`: the recipe's fields for it."""

    task: str
    networks: list[NetworkOption]
    defaults: dict[str, object]


class TrainingOptions(Answer):
    """What the form of a training offers. `missing`: why nothing can be trained here, and what to do; null where it can."""

    tasks: list[TaskOption]
    budget_units: list[str]
    default_budget: str
    missing: str | None


class EngineFacts(Answer):
    """An engine of a device. `missing`: why it cannot be used here; null where it can."""

    name: str
    precisions: list[str]
    missing: str | None


class DeviceFacts(Answer):
    """A device that Artifacts are compiled for. `is_here`: whether one of its engines can be used."""

    name: str
    precisions: list[str]
    engines: list[EngineFacts]
    is_here: bool
    has_speed: bool


class Devices(Answer):
    """The devices, and the machine. `cores`, `gpus`: how many jobs may have."""

    devices: list[DeviceFacts]
    cpu: str
    cores: int
    gpus: int
    memory_bytes: int
    free_bytes: int


class ModelFacts(Answer):
    """A Model.

    `is_latest`: its name alone stands for it. `primary`: name of the metric that counts. `files`: to look at.
    `dataset`, `budget`, `seed`: of the training; null where it was imported. `dataset` is null, too, where its version is gone.
    """

    name: str
    id: str
    is_latest: bool
    made_at: str
    task: str
    network: str
    categories: list[str]
    width: int
    height: int
    parameter_count: int
    precision: str
    dataset: str | None
    dataset_version: str | None
    budget: str | None
    seed: int | None
    primary: str | None
    metrics: dict[str, float]
    files: list[str]


class ArtifactFacts(Answer):
    """An Artifact. `verified`: proven on real pictures. `report`: what compiling found, in numbers and words."""

    name: str
    id: str
    is_latest: bool
    made_at: str
    task: str
    categories: list[str]
    model_id: str
    device: str
    engine: str
    precision: str
    verified: bool
    size_bytes: int
    report: dict[str, Fact]
    files: list[str]


class DeploymentFacts(Answer):
    """A Deployment: a name, and the Artifact that answers under it now."""

    name: str
    version: int
    versions: list[int]
    made_at: str
    artifact_id: str
    task: str
    categories: list[str]
    device: str
    engine: str
    precision: str


class ReportFacts(Answer):
    """A Report: what was measured.

    `metrics`: those of the task, 0..1, of which `primary` names the one that counts; latency_ms_p50 and latency_ms_p99 of one
    picture, images_per_s at best.
    """

    name: str
    id: str
    is_latest: bool
    made_at: str
    subject: dict[str, Fact | None]
    dataset: str | None
    dataset_version: str | None
    split: str | None
    precision: str
    primary: str
    metrics: dict[str, float]
    files: list[str]


class Models(Answer):
    """Every Model, the newest first; `broken`: folders that cannot be read, and why."""

    models: list[ModelFacts]
    broken: dict[str, str]


class Artifacts(Answer):
    """Every Artifact, the newest first."""

    artifacts: list[ArtifactFacts]
    broken: dict[str, str]


class Deployments(Answer):
    """Every Deployment, by name."""

    deployments: list[DeploymentFacts]
    broken: dict[str, str]


class Reports(Answer):
    """Every Report, the newest first."""

    reports: list[ReportFacts]
    broken: dict[str, str]


class Prediction(Answer):
    """What a Deployment found in a picture of this size, pixels."""

    deployment: str
    width: int
    height: int
    annotations: list[Annotation]
