"""The plans of an OpenVINO IR as they are kept: compiled for this machine, without the weights, which stay in the IR's file.

A plan is only right for the very files that it was made of. They are hashed before the network is read from them, and as soon
as one of them is not what it was then, no plan is looked for or kept any more.
"""

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from sightline import __version__
from sightline.core.folders import compute_file_hash
from sightline.core.host import read_instruction_sets
from sightline.runtime.plan_store import PlanStore

FORM = 1  # of kept plans: raise it when the same release, graph and facts would give another plan
WITHOUT_WEIGHTS = {"CACHE_MODE": "OPTIMIZE_SIZE"}  # a property of what is compiled, for its export
LOWEST_ISA = "ONEDNN_MAX_CPU_ISA"  # environment variable with which users forbid instructions

Stamp = tuple[tuple[int, ...], ...]  # of files: equal as long as nobody touched them

logger = logging.getLogger("sightline.runtime")


class PlanKeeper:
    """Kept plans of one IR. For any thread.

    Args:
        graph: `.xml` with its `.bin`.
        store: where they lie.

    Raises: OSError when the files cannot be read.
    """

    def __init__(self, graph: Path, store: PlanStore) -> None:
        self.store = store
        self._files = (graph, graph.with_suffix(".bin"))
        self._stamp = self._read_stamp()
        self._hashes = [compute_file_hash(path).sha256 for path in self._files]

    def is_true(self) -> bool:
        """Whether the files are those that were hashed."""
        try:
            return self._read_stamp() == self._stamp
        except OSError:
            return False

    def name_plan(self, *facts: Any) -> str:
        """Hash of all that a plan depends on: the graph, how it is compiled (`facts`), by what and for which instructions."""
        machine = read_instruction_sets(), os.environ.get(LOWEST_ISA)
        return hashlib.sha256(msgspec.json.encode((FORM, __version__, self._hashes, facts, machine))).hexdigest()

    def open_kept(self, name: str, core: Any, properties: dict[str, object]) -> Any:
        """The compiled network of a plan; None when none is kept, or OpenVINO does not take it, which the log tells."""
        plan = self.store.find(name) if self.is_true() else None
        if plan is None:
            return None
        try:
            opened = core.import_model(plan, "CPU", {**properties, **WITHOUT_WEIGHTS, "WEIGHTS_PATH": str(self._files[1])})
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            logger.warning("a kept plan for %s does not open and is made again: %s", self._files[0], reason)
            self.store.drop(name)
            return None
        return opened if self.is_true() else None

    def keep(self, name: str, compiled: Any) -> bool:
        """Keep what was compiled with WITHOUT_WEIGHTS. Returns: False where that cannot be, and could not be the next time."""
        try:
            plan = compiled.export_model().getvalue()
        except RuntimeError as error:
            logger.info("OpenVINO cannot keep its plan for %s: %s", self._files[0], " ".join(str(error).split()))
            return False
        return self.is_true() and self.store.keep(name, plan)

    def _read_stamp(self) -> Stamp:
        facts = [path.stat() for path in self._files]
        return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in facts)


def open_keeper(graph: Path, plan_folder: Path | None) -> PlanKeeper | None:
    """The keeper of a graph's plans; None where none are to be kept, or its weights do not lie in a file of their own."""
    if plan_folder is None or graph.suffix != ".xml":
        return None
    try:
        return PlanKeeper(graph, PlanStore(plan_folder))
    except OSError:  # whoever opens the graph learns why
        return None
