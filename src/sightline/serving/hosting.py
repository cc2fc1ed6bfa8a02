"""Deployments held open in this process: found by name, swapped when the repository names a new version.

A new version is opened beside the old one and takes its place only when it is ready; requests on the old one end on it, and
its memory goes when the last of them lets go. A version that cannot be opened leaves the old one answering and says why.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from sightline.core.errors import Exhausted, NotFound, SightlineError
from sightline.core.manifests import DecodeSpec, DeploymentManifest, InputSpec, Precision, Task
from sightline.serving.answers import ImagePredictor
from sightline.serving.deployments import Deployment, find_deployment, list_names

OpenPredictor = Callable[[Path], ImagePredictor]
logger = logging.getLogger("sightline.serving")


class Hosted(msgspec.Struct, frozen=True):
    """A Deployment's version that is open and ready."""

    deployment: Deployment
    predictor: ImagePredictor

    @property
    def facts(self) -> dict[str, Any]:
        """What stands first in every answer."""
        manifest = self.deployment.manifest
        return {"deployment": manifest.name, "version": manifest.version, "model_id": self.deployment.artifact.model_id}


class DeploymentState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a Deployment answers, and if not, why."""

    name: str
    state: Literal["ready", "failed"]
    detail: str = ""


class DeploymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a ready Deployment says of itself: how its pictures are prepared, what it can answer, where it runs.

    Attributes:
        failed_version: number of a newer version that could not be opened, while this one goes on; else None.
    """

    name: str
    state: Literal["ready"] = "ready"
    version: int
    task: Task
    categories: tuple[str, ...]
    input: InputSpec
    decode: DecodeSpec
    device: str
    engine: str
    precision: Precision
    streams: int
    threads: int
    model_id: str
    artifact_id: str
    deployed_at: str
    failed_version: int | None


class _Slot:
    """What is known of one name; guarded by its lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.hosted: Hosted | None = None
        self.checked_at_s = float("-inf")
        self.failed: DeploymentManifest | None = None


class DeploymentHost:
    """Opens and keeps the Deployments of one repository. Safe to use from many threads.

    Args:
        repository: the model repository.
        open_predictor: opens the folder of an Artifact.
        clock: seconds, monotonic.
        check_every_s: a name's manifest is read again at most this often.
    """

    def __init__(
        self,
        repository: Path,
        open_predictor: OpenPredictor,
        clock: Callable[[], float] = time.monotonic,
        check_every_s: float = 1.0,
    ) -> None:
        self.repository = repository
        self._open = open_predictor
        self._clock = clock
        self._check_every_s = check_every_s
        self._slots: dict[str, _Slot] = {}
        self._slots_lock = threading.Lock()

    def load_all(self) -> list[str]:
        """Open every Deployment; a broken one is logged and does not keep the others from answering. Returns: names ready."""
        ready = []
        for name in list_names(self.repository):
            try:
                self.find(name)
                ready.append(name)
            except SightlineError as error:
                logger.error("deployment %s does not answer: %s", name, error)
        return ready

    def find_fresh(self, name: str) -> Hosted | None:
        """What answers under `name` if that was checked a moment ago; never waits, for use on the event loop."""
        slot = self._slots.get(name)
        if slot is None or self._clock() - slot.checked_at_s >= self._check_every_s:
            return None
        return slot.hosted

    def find(self, name: str, retry_failed: bool = False) -> Hosted:
        """What answers under `name` now, opened first when its version is new. Blocking.

        Args:
            retry_failed: try a version again that could not be opened before.

        Raises: NotFound for an unknown name; Exhausted when no version of it could be opened yet.
        """
        try:
            deployment = find_deployment(self.repository, name)
        except NotFound:
            self._slots.pop(name, None)
            raise NotFound(f"no deployment {name[:100]!r}; GET /deployments lists what there is") from None
        with self._slots_lock:
            slot = self._slots.setdefault(name, _Slot())
        # While another thread opens a new version, the old one answers; only the first load is waited for.
        if not slot.lock.acquire(blocking=slot.hosted is None):
            assert slot.hosted is not None
            return slot.hosted
        try:
            self._bring_up_to_date(slot, deployment, retry_failed)
            if slot.hosted is None:
                raise Exhausted(f"deployment {name!r} could not be opened; the server's log says why")
            return slot.hosted
        finally:
            slot.lock.release()

    def _bring_up_to_date(self, slot: _Slot, deployment: Deployment, retry_failed: bool) -> None:
        manifest = deployment.manifest
        slot.checked_at_s = self._clock()
        if slot.hosted is not None and slot.hosted.deployment.manifest == manifest:
            return
        if manifest == slot.failed and not retry_failed:
            return
        try:
            slot.hosted = Hosted(deployment, self._open(deployment.folder))
            slot.failed = None
        except Exception:  # an engine on foreign files may raise anything, and the old version must go on
            slot.failed = manifest
            logger.exception("version %d of deployment %s cannot be opened", manifest.version, manifest.name)

    def describe(self, name: str) -> DeploymentState | DeploymentFacts:
        """State and facts of one Deployment. Raises: NotFound."""
        try:
            hosted = self.find(name)
        except Exhausted as error:
            return DeploymentState(name=name, state="failed", detail=str(error))
        slot = self._slots.get(name)
        return make_facts(hosted.deployment, failed_version=slot.failed.version if slot and slot.failed else None)

    def describe_all(self) -> list[DeploymentState | DeploymentFacts]:
        """State and facts of every Deployment."""
        described = []
        for name in list_names(self.repository):
            try:
                described.append(self.describe(name))
            except SightlineError as error:
                logger.error("deployment %s cannot be read: %s", name, error)
                detail = "its manifest cannot be read; the server's log says why"
                described.append(DeploymentState(name=name, state="failed", detail=detail))
        return described


def make_facts(deployment: Deployment, failed_version: int | None) -> DeploymentFacts:
    """What a client may know of a Deployment."""
    artifact, manifest = deployment.artifact, deployment.manifest
    return DeploymentFacts(
        name=manifest.name,
        version=manifest.version,
        task=artifact.task,
        categories=artifact.categories,
        input=artifact.input,
        decode=artifact.decode,
        device=artifact.device,
        engine=artifact.engine,
        precision=artifact.precision,
        streams=artifact.streams,
        threads=artifact.threads,
        model_id=artifact.model_id,
        artifact_id=manifest.artifact_id,
        deployed_at=manifest.created_at,
        failed_version=failed_version,
    )
