"""What a kind of job is: the arguments of a verb, how they are checked when it is asked for, what it needs, and its call.

`prepare` runs in the server, so it is quick and brings no engine; `run` runs in the job's own process.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from sightline.core.errors import InvalidInput
from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest, DatasetVersionManifest, ModelManifest, compute_manifest_id
from sightline.core.progress import OnProgress
from sightline.core.workspace import ID_LENGTH, NAME_PATTERN, NAME_RULE, Shelf, Workspace
from sightline.jobs.events import Shares
from sightline.jobs.folder import JobFolder, Made
from sightline.jobs.leases import Needs

MANIFESTS: dict[Shelf, type[DatasetVersionManifest | ModelManifest | ArtifactManifest]] = {
    "datasets": DatasetVersionManifest,
    "models": ModelManifest,
    "artifacts": ArtifactManifest,
}


class Call(NamedTuple):
    """One call of a verb, in the job's process.

    Attributes:
        folder: of the job; what a restart shall find lies in its `making`.
        is_restart: another process of this job died before.
        on_progress: takes its events.
        stop: asked whether a training shall end and keep the best.
    """

    workspace: Workspace
    job_id: str
    folder: JobFolder
    arguments: Any
    is_restart: bool
    on_progress: OnProgress
    stop: Callable[[], bool]


class Kind(NamedTuple):
    """A kind of job.

    Attributes:
        arguments: the struct of what the verb is called with.
        prepare: checks arguments and names exactly what they stand for now: `NAME@ID` for `NAME`.
        find_needs: cores and GPUs that the call is given.
        run: the call.
        can_stop: whether it can end early and keep what it has.
        is_resumable: whether a restart goes on where the process died, rather than begin again.
        uses_version: whether its `dataset` is a frozen version, rather than the Dataset itself.
        shares: where its stages lie in its progress; by default each goes from 0 to 1.
        make_environment: what must be in the process's environment before it starts, for so many threads.
    """

    arguments: type[msgspec.Struct]
    prepare: Callable[[Any, Workspace], Any]
    find_needs: Callable[[Any, Workspace], Needs]
    run: Callable[[Call], Made]
    can_stop: bool = False
    is_resumable: bool = False
    uses_version: bool = True
    shares: Shares = MappingProxyType({})
    make_environment: Callable[[int], dict[str, str]] = lambda threads: {}


def pin(workspace: Workspace, shelf: Shelf, reference: str) -> str:
    """`NAME@ID` of what a name stands for now: a job does what was asked for, whatever is made before its turn.

    Raises: NotFound, CorruptFile; InvalidInput for a path, which a request from elsewhere must not open.
    """
    check_reference(reference, shelf[:-1])
    folder = workspace.find(shelf, reference)
    return f"{reference.partition('@')[0]}@{compute_manifest_id(read_manifest(folder, MANIFESTS[shelf]))[:ID_LENGTH]}"


def check_reference(reference: str, noun: str) -> None:
    """Raises: InvalidInput for what is neither `NAME` nor `NAME@ID`."""
    name, at, prefix = reference.partition("@")
    if not NAME_PATTERN.fullmatch(name) or (at and not (prefix.isascii() and prefix.isalnum())):
        raise InvalidInput(f"expected the {noun} as NAME or NAME@ID, a name of {NAME_RULE}, got {reference!r}")
