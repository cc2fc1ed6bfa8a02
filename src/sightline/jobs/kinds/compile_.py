"""Jobs that compile: a Model becomes an Artifact, proven and tuned on this machine, and perhaps a Deployment at once."""

from typing import Annotated

import msgspec

from sightline.core.errors import InvalidInput
from sightline.core.extras import check_packages
from sightline.core.manifests import Precision, compute_manifest_id
from sightline.core.workspace import ID_LENGTH, Workspace, check_name
from sightline.jobs.folder import Made
from sightline.jobs.kinds.kind import Call, Kind, pin
from sightline.jobs.leases import Needs


class CompileArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `compile` is called with; see `compile_model`.

    `precision`: None is INT8 where the device has it, else the best. `deploy`: what the Artifact shall answer under at once.
    """

    model: str
    dataset: str | None = None
    device: str = "cpu"
    precision: Precision | None = None
    max_drop: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    name: str | None = None
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    deploy: str | None = None


def prepare(arguments: CompileArguments, workspace: Workspace) -> CompileArguments:
    """Check device and names, and write down the device's own precision. Raises: InvalidInput, NotFound, MissingPackage."""
    from sightline.runtime.devices import parse_devices

    check_packages("compiling", ("onnx", "onnxslim"), "compile")
    model = pin(workspace, "models", arguments.model)
    dataset = None if arguments.dataset is None else pin(workspace, "datasets", arguments.dataset)
    first = parse_devices(arguments.device)[0]
    wanted = arguments.precision or ("int8" if "int8" in first.precisions else None)
    if dataset is None and wanted in (None, "int8", "int16"):
        raise InvalidInput("expected `dataset`, pictures to calibrate on and to check the accuracy with, got none; choose one")
    name = check_name(arguments.name or model.partition("@")[0])
    if arguments.deploy is not None:
        check_name(arguments.deploy)
    return msgspec.structs.replace(arguments, model=model, dataset=dataset, precision=wanted, name=name)


def find_needs(arguments: CompileArguments, workspace: Workspace) -> Needs:
    """Every core: candidates are timed."""
    return Needs(cores="all", wants_gpu="cuda" in arguments.device)


def run(call: Call) -> Made:
    """Compile into the workspace; timings of files that were timed before on this machine are kept."""
    from sightline.compiler.compile import compile_model
    from sightline.data.versions import open_version
    from sightline.serving.deployments import deploy_artifact

    arguments: CompileArguments = call.arguments
    home = call.workspace
    result = compile_model(
        arguments.model,
        home,
        None if arguments.dataset is None else open_version(home.find("datasets", arguments.dataset)),
        arguments.device,
        arguments.precision,
        arguments.max_drop,
        seed=arguments.seed,
        on_progress=call.on_progress,
        name=arguments.name,
        tuning=home.root / "tuning",
    )
    manifest = result.manifest
    facts: dict[str, float | int | str] = {
        "device": manifest.device,
        "engine": manifest.engine,
        "precision": manifest.precision,
        "verdict": result.report.verdict,
    }
    if arguments.deploy is not None:
        deployed = deploy_artifact(result.folder, arguments.deploy, home.deployments)
        facts |= {"deployment": arguments.deploy, "version": int(deployed.name)}
    identity = compute_manifest_id(manifest)[:ID_LENGTH]
    return Made(shelf="artifacts", name=arguments.name or manifest.name, id=identity, facts=facts)


COMPILE = Kind(CompileArguments, prepare, find_needs, run)
