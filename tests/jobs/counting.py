"""A kind of job for tests: it counts, slowly, and does on the way what its arguments say."""

import os
import signal
import subprocess
import sys
import time

import msgspec

from sightline.core.errors import Conflict
from sightline.core.folders import write_file_atomic
from sightline.core.progress import ProgressEvent
from sightline.core.workspace import Workspace
from sightline.jobs.folder import Made
from sightline.jobs.kinds.kind import Call, Kind
from sightline.jobs.leases import Needs

GO = "go"


class CountArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    steps: int = 3
    step_s: float = 0.0
    cores: str = "all"
    waits_at: int = 0  # there until the file `go` lies in its folder
    dies_at: int = 0  # killed there, as by the system, in each start that comes so far
    fails: str = ""
    says: str = ""
    is_deaf: bool = False
    has_child: bool = False


def prepare(arguments: CountArguments, workspace: Workspace) -> CountArguments:
    return arguments


def find_needs(arguments: CountArguments, workspace: Workspace) -> Needs:
    if arguments.cores == "nonsense":
        raise ValueError("no cores are called nonsense")
    return Needs(cores=arguments.cores)  # type: ignore[arg-type]


def run(call: Call) -> Made:
    arguments: CountArguments = call.arguments
    place = call.folder.making / "count"
    count = int(place.read_text()) if place.is_file() else 0
    if arguments.is_deaf:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    if arguments.has_child:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (call.folder.path / "child").write_text(str(child.pid))
    while count < arguments.steps and not call.stop():
        while arguments.waits_at == count + 1 and not (call.folder.path / GO).is_file():
            time.sleep(0.01)
        if arguments.dies_at == count + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        write_file_atomic(place, str(count).encode(), durable=False)
        call.on_progress(ProgressEvent(stage="counting", progress=count / arguments.steps, message=arguments.says))
        time.sleep(arguments.step_s)
    if arguments.fails:
        raise Conflict(arguments.fails)
    facts = {"count": count, "cores": len(os.sched_getaffinity(0)), "nice": os.nice(0)}
    return Made(shelf="models", name="count", id=str(count), facts={**facts, "threads": os.environ["SIGHTLINE_THREADS"]})


COUNT = Kind(CountArguments, prepare, find_needs, run, can_stop=True, is_resumable=True)


class CountAsDeploy(msgspec.Struct, frozen=True, kw_only=True):
    """Where only a verb's own arguments may come: how far it counts stands in the artifact's name, and where it waits."""

    artifact: str
    name: str | None = None


def prepare_deploy(arguments: CountAsDeploy, workspace: Workspace) -> CountAsDeploy:
    return arguments


def find_needs_of_deploy(arguments: CountAsDeploy, workspace: Workspace) -> Needs:
    return Needs(cores="all")


def run_deploy(call: Call) -> Made:
    _, steps, *waits_at = call.arguments.artifact.split("-")
    arguments = CountArguments(steps=int(steps), step_s=0.05, says="one more", waits_at=int(waits_at[0]) if waits_at else 0)
    return run(call._replace(arguments=arguments))


COUNT_AS_DEPLOY = Kind(CountAsDeploy, prepare_deploy, find_needs_of_deploy, run_deploy, can_stop=True, is_resumable=True)
