"""Jobs that measure: accuracy, latency, throughput and more of what predicts, kept as a Report."""

import msgspec

from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest
from sightline.core.workspace import ID_LENGTH, Workspace
from sightline.jobs.folder import Made
from sightline.jobs.kinds.kind import Call, Kind, check_reference, pin
from sightline.jobs.leases import Needs


class MeasureArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `measure` is called with; see `measure_predictor`. `split`: None measures on all pictures."""

    subject: str
    dataset: str
    split: str | None = "test"


def prepare(arguments: MeasureArguments, workspace: Workspace) -> MeasureArguments:
    """Name subject and version. Raises: InvalidInput, NotFound."""
    from sightline.data.versions import open_version

    dataset = pin(workspace, "datasets", arguments.dataset)
    open_version(workspace.find("datasets", dataset)).find_splits(arguments.split)
    return msgspec.structs.replace(arguments, subject=pin_subject(workspace, arguments.subject), dataset=dataset)


def pin_subject(workspace: Workspace, reference: str) -> str:
    """`NAME@ID` of the Artifact or Model that predicts; a Deployment keeps its name. Raises: InvalidInput, NotFound."""
    from sightline.serving.deployments import list_names
    from sightline.serving.loading import find_subject

    check_reference(reference, "deployment, artifact or model")
    folder = find_subject(reference, workspace)
    return reference if reference in list_names(workspace.deployments) else f"{folder.parent.name}@{folder.name}"


def runs_on_gpu(workspace: Workspace, subject: str) -> bool:
    """Whether a subject was compiled for a GPU."""
    from sightline.core.folders import read_kind
    from sightline.serving.loading import find_subject

    folder = find_subject(subject, workspace)
    return read_kind(folder) == "artifact" and "cuda" in read_manifest(folder, ArtifactManifest).device


def find_needs(arguments: MeasureArguments, workspace: Workspace) -> Needs:
    """Every core: what runs beside it would be measured too."""
    return Needs(cores="all", wants_gpu=runs_on_gpu(workspace, arguments.subject))


def run(call: Call) -> Made:
    """Measure into the workspace."""
    from sightline.bench.measure import measure_predictor
    from sightline.data.versions import open_version
    from sightline.serving.loading import find_subject, open_subject

    arguments: MeasureArguments = call.arguments
    home = call.workspace
    version = open_version(home.find("datasets", arguments.dataset))
    with open_subject(arguments.subject, home) as predictor:
        report = measure_predictor(
            predictor,
            version,
            arguments.split,
            out=home,
            folder=find_subject(arguments.subject, home),
            on_progress=call.on_progress,
        )
    accuracy = report.content.accuracy
    facts: dict[str, float | int | str] = {"subject": arguments.subject, accuracy.primary_name: accuracy.primary}
    return Made(shelf="reports", name=report.manifest.name, id=report.id[:ID_LENGTH], facts=facts)


SHARES = {"accuracy": (0.0, 0.5), "latency": (0.5, 0.6), "throughput": (0.6, 0.95), "report": (0.95, 1.0)}
MEASURE = Kind(MeasureArguments, prepare, find_needs, run, shares=SHARES)
