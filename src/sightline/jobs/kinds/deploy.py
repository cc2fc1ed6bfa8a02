"""Jobs that deploy: an Artifact answers under a name."""

import msgspec

from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest, compute_manifest_id
from sightline.core.workspace import Workspace, check_name
from sightline.jobs.folder import Made
from sightline.jobs.kinds.kind import Call, Kind, pin
from sightline.jobs.leases import Needs


class DeployArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `deploy` is called with."""

    artifact: str
    name: str | None = None


def prepare(arguments: DeployArguments, workspace: Workspace) -> DeployArguments:
    """Name the Artifact and the Deployment. Raises: InvalidInput, NotFound."""
    from sightline.jobs.kinds.kind import check_reference
    from sightline.serving.loading import find_artifact

    check_reference(arguments.artifact, "artifact")
    find_artifact(arguments.artifact, workspace)  # says so when only a Model has that name
    artifact = pin(workspace, "artifacts", arguments.artifact)
    name = check_name(arguments.name or artifact.partition("@")[0])
    return msgspec.structs.replace(arguments, artifact=artifact, name=name)


def find_needs(arguments: DeployArguments, workspace: Workspace) -> Needs:
    """No core of its own: it links files."""
    return Needs(cores="none")


def run(call: Call) -> Made:
    """Deploy; a restart takes what the process that died had deployed."""
    from sightline.serving.deployments import deploy_artifact, find_deployment, list_names

    arguments: DeployArguments = call.arguments
    name, repository = check_name(arguments.name or ""), call.workspace.deployments
    folder = call.workspace.find("artifacts", arguments.artifact)
    manifest = read_manifest(folder, ArtifactManifest)
    version = None
    if call.is_restart and name in list_names(repository):
        there = find_deployment(repository, name).manifest
        version = there.version if there.artifact_id == compute_manifest_id(manifest) else None
    if version is None:
        version = int(deploy_artifact(folder, name, repository).name)
    facts: dict[str, float | int | str] = {"artifact": arguments.artifact, "device": manifest.device}
    return Made(shelf="deployments", name=name, id=str(version), facts=facts | {"precision": manifest.precision})


DEPLOY = Kind(DeployArguments, prepare, find_needs, run)
