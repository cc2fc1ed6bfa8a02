"""How fast a GPU is kept learning: pictures/s with samples made in threads and in processes, beside a batch that lies there.

    python benchmarks/gpu_training.py                               # needs a CUDA GPU; BCCD, six networks and batch sizes
    python benchmarks/gpu_training.py --device cpu --seconds 2      # runs anywhere, proves nothing

Each pair of network and batch size learns for some seconds in turn with: one batch that stays on the device (what the GPU does
when nothing has to be prepared), threads, and processes. The first third of each run is left out. The last line is one JSON
object.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import msgspec

from harness import judge, make_parser, open_workspace, print_result, run_main
from sightline.core.errors import InvalidInput
from sightline.core.manifests import Task
from sightline.core.progress import ignore_progress
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion
from sightline.training.arithmetic import choose_arithmetic
from sightline.training.curve import CurvePoint, read_curve
from sightline.training.folder import CURVE_NAME
from sightline.training.loop import TrainingLoop
from sightline.training.recipe import Recipe, make_recipe
from sightline.training.sampling import BatchSource, ProgressAt
from sightline.training.tasks.task import Batch
from sightline.training.train import prepare_loop

CASES: tuple[tuple[Task, str, int], ...] = (
    ("detection", "fast", 8),
    ("detection", "fast", 32),
    ("detection", "fast", 128),
    ("detection", "accurate", 8),
    ("multilabel", "fast", 128),
    ("multilabel", "resnet50", 128),
)
SOURCES: dict[str, dict[str, Any]] = {
    "one batch": {},
    "2 threads": {"prefetch_processes": 0, "prefetch_threads": 2},
    "a thread a core": {"prefetch_processes": 0, "prefetch_threads": os.cpu_count() or 1},
    "processes": {},
}


class OneBatch:
    """A `BatchSource` that gives the same batch, on the device, again and again."""

    cpu_s = 0.0

    def __init__(self, source: BatchSource, loop: TrainingLoop) -> None:
        self._source, self._loop = source, loop

    def __enter__(self) -> Self:
        with self._source as source:
            self._batch = source.take(0, 0.0, lambda _: 0.0).to(self._loop.arithmetic.device)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, step: int, progress: float, progress_at: ProgressAt) -> Batch:
        """The batch."""
        return self._batch


def main() -> None:
    parser = make_parser(__doc__, "detection/bccd")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=9.0, help="of each run (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=len(CASES), help="how many, the first ones (default: %(default)s)")
    args = parser.parse_args()
    rows = []
    with open_workspace(args.workspace) as workspace:
        version, _ = import_dataset(args.data, workspace, "bccd")
        for task, network, batch_size in CASES[: args.cases]:
            settings = {"budget": f"{args.seconds}s", "batch_size": batch_size, "device": args.device, "validations": 0}
            recipe = make_recipe(task, network, **settings, log_every=1, checkpoint_s=1e6, train_splits=("trainval",))
            learn(version, msgspec.structs.replace(recipe, budget="5it"), "one batch")  # libraries are loaded, kernels chosen
            rates = {name: run(version, recipe, name) for name in SOURCES}
            rows.append({"task": task, "network": network, "batch_size": batch_size, "pictures_per_s": rates})
            print(
                f"{task:16}{network:10} x{batch_size:<4}" + "".join(f"  {name} {rate:.0f}/s" for name, rate in rates.items()),
                flush=True,
            )
    arithmetic = choose_arithmetic("auto", args.device)
    worst = min(row["pictures_per_s"]["processes"] / row["pictures_per_s"]["one batch"] for row in rows)
    targets = judge({"processes_over_one_batch": (0.9, ">=", round(worst, 3))})
    print_result("gpu_training", data="bccd", device=arithmetic.describe(), runs=rows, targets=targets)


def run(version: DatasetVersion, recipe: Recipe, source: str) -> float:
    """Pictures/s after the first third of the budget."""
    points = [point for point in learn(version, recipe, source) if point.progress > 1 / 3]
    if len(points) < 2:
        raise InvalidInput(f"expected two steps after the first third of {recipe.budget}, got {len(points)}; raise --seconds")
    return (points[-1].step - points[0].step) * recipe.batch_size / (points[-1].wall_s - points[0].wall_s)


def learn(version: DatasetVersion, recipe: Recipe, source: str) -> list[CurvePoint]:
    """Every step of a training."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        loop = prepare_loop(version, msgspec.structs.replace(recipe, **SOURCES[source]), folder, ignore_progress, False)
        if source == "one batch":
            one = OneBatch(loop.open_batches(), loop)
            loop.open_batches = lambda: one  # type: ignore[method-assign]
        loop.run(ignore_progress, lambda: False)
        return read_curve(folder / CURVE_NAME)


if __name__ == "__main__":
    run_main(main)
