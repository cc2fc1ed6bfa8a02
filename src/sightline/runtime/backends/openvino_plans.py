"""The plans of an OpenVINO IR as they are kept: compiled for this machine, without the weights, which stay in the IR's file.

A plan is only right for the very files that it was made of. They are hashed before the network is read from them, and as soon
as one of them is not what it was then, no plan is looked for or kept any more.

Nor may a plan answer otherwise than what it was made of. When OpenVINO 2026.4 opens one it converts constants of the file anew,
and does that otherwise than when it compiles: the largest int64, with which graphs say "to the end", became -1, and `x[:, 1:]`
lost its last column without a word. So only constants whose types convert exactly stay outside, networks with networks inside
are not kept, and what is kept has answered once, bit for bit as what was compiled.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline import __version__
from sightline.core.folders import compute_file_hash
from sightline.core.host import read_instruction_sets
from sightline.runtime.plan_store import PlanStore

FORM = 3  # of kept plans: raise it when the same release, graph and facts would give another plan
WITHOUT_WEIGHTS = {"CACHE_MODE": "OPTIMIZE_SIZE"}  # a property of what is compiled, for its export
ISA_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # environment variables with which users forbid instructions
EXACT_TYPES = frozenset(("f32", "f16", "bf16", "i8", "u8", "i4", "u4"))  # of constants that may stay outside of a plan
OUTSIDE = "WeightlessCacheAttribute"  # marks a constant that a plan finds in the file
WITH_BODIES = frozenset(("If", "Loop", "TensorIterator"))

Stamp = tuple[tuple[int, ...], ...]  # of files: equal as long as nobody touched them

logger = logging.getLogger("sightline.runtime")


class PlanKeeper:
    """Kept plans of one IR. For any thread.

    Args:
        graph: `.xml` with its `.bin`.
        store: where they lie.

    Attributes:
        keeps: whether what is compiled may still be kept.

    Raises: OSError when the files cannot be read.
    """

    def __init__(self, graph: Path, store: PlanStore) -> None:
        self.store = store
        self.keeps = True
        self._files = (graph, graph.with_suffix(".bin"))
        self._stamp = self._read_stamp()
        self._hashes = self._read_hashes()

    def prepare(self, model: Any) -> bool:
        """Let only such constants stay outside of a network's plans as come back exactly. Returns: whether that will do."""
        for node in model.get_ops():
            if node.get_type_name() in WITH_BODIES:
                return False
            if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() not in EXACT_TYPES:
                facts = node.get_rt_info()
                for key in [key for key in facts.keys() if key.startswith(OUTSIDE)]:  # noqa: SIM118 - no Python mapping
                    del facts[key]
        return True

    def is_unchanged(self) -> bool:
        """Whether the files are those that were hashed."""
        try:
            return self._read_stamp() == self._stamp
        except OSError:
            return False

    def name_plan(self, *facts: Any) -> str:
        """Hash of all that a plan depends on: the graph, how it is compiled (`facts`), by what and for which instructions."""
        machine = read_instruction_sets(), [os.environ.get(name) for name in ISA_LIMITS]
        return hashlib.sha256(msgspec.json.encode((FORM, __version__, self._hashes, facts, machine))).hexdigest()

    def open_kept(self, name: str, core: Any, properties: dict[str, object]) -> Any:
        """The compiled network of a plan; None when none is kept, or OpenVINO does not take it, which the log tells."""
        plan = self.store.find(name) if self.is_unchanged() else None
        if plan is None:
            return None
        try:
            opened = self._open(plan, core, properties)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            logger.warning("a kept plan for %s does not open and is made again: %s", self._files[0], reason)
            self.store.drop(name)
            return None
        return opened if self.is_unchanged() else None

    def keep(self, name: str, compiled: Any, core: Any, properties: dict[str, object]) -> None:
        """Keep what was compiled for fixed shapes with WITHOUT_WEIGHTS, if it answers the same when it is opened again."""
        try:
            plan = compiled.export_model().getvalue()
            is_same = answers_alike(compiled, self._open(plan, core, properties))
        except Exception as error:  # noqa: BLE001 - the network is compiled: what fails here must fail nobody's inference
            logger.info("OpenVINO cannot keep its plan for %s: %s", self._files[0], " ".join(str(error).split()))
            self.keeps = False
            return
        if not is_same:
            logger.info("the plan for %s answers otherwise once it is opened again, and is not kept", self._files[0])
        self.keeps = is_same and self._holds_what_was_hashed() and self.store.keep(name, plan)

    def _open(self, plan: bytes, core: Any, properties: dict[str, object]) -> Any:
        return core.import_model(plan, "CPU", {**properties, **WITHOUT_WEIGHTS, "WEIGHTS_PATH": str(self._files[1])})

    def _holds_what_was_hashed(self) -> bool:
        """Read it all again: writing through a mapping changes no time of a file."""
        try:
            return self.is_unchanged() and self._read_hashes() == self._hashes
        except OSError:
            return False

    def _read_hashes(self) -> list[str]:
        return [compute_file_hash(path).sha256 for path in self._files]

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


def answers_alike(first: Any, second: Any) -> bool:
    """Whether two compiled networks of fixed shapes give the same bits for the same noise. Raises: RuntimeError."""
    noise = [make_noise(node.get_shape(), np.dtype(node.element_type.to_dtype())) for node in first.inputs]
    answers: list[Sequence[np.ndarray]] = [list(one.create_infer_request().infer(noise).values()) for one in (first, second)]
    return all(
        one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
        for one, other in zip(*answers, strict=True)
    )


def make_noise(shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray:
    """Numbers of a tensor's type, always the same: floats around 0, bytes of all values, other integers and booleans 0 or 1."""
    rng = np.random.default_rng(0)
    if dtype.kind == "f":
        return rng.normal(size=tuple(shape)).astype(dtype)
    return rng.integers(0, 256 if dtype == np.uint8 else 2, tuple(shape)).astype(dtype)
