"""The training loop, one for all tasks: sample, forward, backward, step, average; validate, checkpoint and log when it is time.

Several processes may share each batch (`ranks`): all run this loop, and take the same way through it.

State after step k is a pure function of (data, recipe, k) for budgets of epochs and iterations: samples derive from (seed,
step), PyTorch's generator is seeded anew at each step, validation points depend on steps only and change nothing. A run resumed
from any checkpoint therefore ends with the same bits, on the same CPU and number of threads, or on the same GPU where the
network `repeats_on_gpu`.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from sightline.core.errors import InvalidInput
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.metrics.evaluator import TaskMetrics
from sightline.models.network import Network
from sightline.training.arithmetic import Arithmetic
from sightline.training.average import WeightAverage
from sightline.training.budget import Budget, BudgetMeter
from sightline.training.checkpoint import (
    CheckpointRecord,
    TrainingState,
    pack_checkpoint,
    read_checkpoint,
    restore_checkpoint,
    unpack_checkpoint,
    write_checkpoint,
)
from sightline.training.curve import Curve, CurvePoint
from sightline.training.folder import CHECKPOINT_NAME, CURVE_NAME
from sightline.training.gradients import GradientComputer
from sightline.training.optimisers import build_optimiser, set_learning_rate
from sightline.training.ranks import Alone, Ranks, find_part
from sightline.training.recipe import Recipe
from sightline.training.sample_processes import ForkedBatches, choose_processes
from sightline.training.sampling import BatchPlan, BatchSource, ThreadedBatches
from sightline.training.schedules import learning_rate_factor
from sightline.training.swapping.swapper import ActivationSwapper
from sightline.training.tasks.task import Batch, TrainingTask

Validate = Callable[[Network], TaskMetrics]

RANK_SEEDS = 1 << 52  # between the seeds of two processes: more than seeds and steps of one take


class DivergedLoss(InvalidInput):
    """The loss or its gradient is no number any more: what was learned is not worth going on from."""


class TrainingLoop:
    """One training, from its start or its checkpoint to the end of its budget.

    Args:
        network: learns in place.
        task: makes samples and losses.
        items: pictures of the training splits.
        recipe: all settings.
        folder: where checkpoint and curve are kept.
        arithmetic: where and how to compute.
        validate: scores a network; None keeps the last weights.
        recipe_id: what a checkpoint must match to be resumed.
        ranks: the processes that share each batch; the first one validates and writes.
    """

    def __init__(
        self,
        network: Network,
        task: TrainingTask,
        *,
        items: int,
        recipe: Recipe,
        folder: Path,
        arithmetic: Arithmetic,
        validate: Validate | None,
        recipe_id: str = "",
        ranks: Ranks | None = None,
    ) -> None:
        arithmetic.place(network)
        self.network = network
        self.task, self.items, self.recipe, self.folder = task, items, recipe, folder
        self.arithmetic, self.validate = arithmetic, validate
        self.ranks = ranks or Alone()
        self.average = WeightAverage(self.network, recipe.average_decay)
        self.optimiser = build_optimiser(self.network, recipe)
        self.gradients = GradientComputer(self.network, task, arithmetic, recipe.micro_batch)
        self.state = TrainingState(recipe_id=recipe_id)
        self.best: dict[str, Tensor] | None = None
        self._sums: dict[str, float] = {}
        self._summed_steps = 0

    def resume(self) -> None:
        """Continue from the folder's checkpoint. Raises: NotFound, CorruptFile; InvalidInput when it is of another recipe."""
        record, tensors = read_checkpoint(self.folder / CHECKPOINT_NAME)
        if record.state.recipe_id != self.state.recipe_id:
            raise InvalidInput(
                f"the checkpoint in {self.folder} is of another recipe or dataset version; resume with its own, or remove that "
                "folder to train anew"
            )
        self._take_over(record, tensors)

    def meet(self) -> None:
        """Have all processes begin where the first one does: at its start weights, or its checkpoint."""
        if self.ranks.count == 1:
            return
        if self.ranks.rank == 0:
            average = self.average.network
            content = pack_checkpoint(self.state, self.network, average=average, optimiser=self.optimiser, best=self.best)
            self.ranks.share(content)
        else:
            self._take_over(*unpack_checkpoint(self.ranks.share(b"")))

    def _take_over(self, record: CheckpointRecord, tensors: dict[str, Tensor]) -> None:
        self.state = record.state
        self.best = restore_checkpoint(record, tensors, self.network, self.average.network, self.optimiser)

    def run(self, on_progress: OnProgress, stop: Callable[[], bool]) -> None:
        """Train until the budget is used, patience ends, or `stop()` is true after a step; then `keep_best` has the result."""
        batches = self.open_batches()
        clocks = self.ranks.watch(time.perf_counter, lambda: time.process_time() + batches.cpu_s)
        budget = Budget.parse(self.recipe.budget)
        meter = BudgetMeter(budget, self.items, self.recipe.batch_size, *clocks, self.state.spent)
        written_at = time.monotonic()
        self.network.train()
        with (
            self.arithmetic.repeating(self.network.repeats_on_gpu),
            self._keep_activations() as swapper,
            batches,
            self._open_curve(meter.steps) as curve,
        ):
            stopping, rate, first = False, 0.0, meter.steps + 1
            while not stopping and (progress := meter.progress()) < 1 and not self._is_out_of_patience():
                batch = batches.take(meter.steps, progress, meter.progress)
                rate = self._take_step(batch, meter.steps, progress)
                meter.count_step()
                if swapper is not None and meter.steps == first:
                    on_progress(ProgressEvent(stage="training", message=swapper.statistics.describe_step()))
                self.average.update(meter.steps)
                stopping = self.ranks.look(stop())
                metric = self._validate_when_due(progress, meter.progress(), meter.steps, on_progress)
                if metric is not None or meter.steps % self.recipe.log_every == 0 or meter.steps == 1 or meter.progress() >= 1:
                    self._log(curve, meter, rate, metric, on_progress)
                self.state.spent = meter.spent()
                if not stopping and time.monotonic() - written_at >= self.recipe.checkpoint_s:
                    self._write_checkpoint()
                    written_at = time.monotonic()
            if not stopping:
                self._validate_last_steps(curve, meter, rate, on_progress)
            if meter.steps:
                self._write_checkpoint()
            if stopping and self.best is None:  # after the checkpoint: a run that goes on is as one that was never stopped
                self._validate_last_steps(curve, meter, rate, on_progress)

    def open_batches(self) -> BatchSource:
        """Where the recipe has the batches made: in processes beside a GPU, in threads on a CPU, unless it says otherwise."""
        recipe, device = self.recipe, self.arithmetic.device
        part = find_part(self.ranks, recipe.batch_size)
        plan = BatchPlan(self.task, self.items, recipe.batch_size, recipe.seed, part)
        processes = choose_processes(device) if recipe.prefetch_processes is None else recipe.prefetch_processes
        if processes == 0:
            return ThreadedBatches(plan, recipe.prefetch_threads)
        return ForkedBatches(plan, processes, is_pinned=device.type == "cuda")

    @contextmanager
    def _keep_activations(self) -> Iterator[ActivationSwapper | None]:
        """Where forward passes keep what backward needs: in memory, or, within the recipe's limit, partly in a file."""
        if self.recipe.activation_bytes is None:
            yield None
            return
        with ActivationSwapper(self.network, self.recipe.activation_bytes, self.folder) as swapper:
            self.gradients.saving = swapper.saving
            try:
                yield swapper
            finally:
                self.gradients.saving = nullcontext

    def keep_best(self) -> Network:
        """The averaged network with the best validated weights, or with the last ones when nothing was validated."""
        if self.best is not None:
            self.average.network.load_state_dict(self.best)
        return self.average.network

    def _take_step(self, batch: Batch, step: int, progress: float) -> float:
        """One optimiser step. Returns: the learning rate. Raises: DivergedLoss when loss or gradient is not finite."""
        recipe = self.recipe
        rate = recipe.peak_rate * learning_rate_factor(recipe.schedule, progress, recipe.warm_up, recipe.final_rate)
        set_learning_rate(self.optimiser, rate)
        # Dropout and the like: nothing to keep in a checkpoint. No two processes draw the same.
        torch.manual_seed(recipe.seed * 1_000_003 + step + self.ranks.rank * RANK_SEEDS)
        parts = self.ranks.average(self.network, self.gradients.compute(batch))
        # A step with a gradient that is not finite would ruin the weights, their average and the next checkpoint.
        largest = recipe.clip_norm if recipe.clip_norm > 0 else math.inf
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), largest, foreach=True)
        # Read together and before the step: to read is to wait for a GPU, which can then step while the next batch is fetched.
        norm_now, *parts_now = torch.stack([norm, *parts.values()]).tolist()
        loss_now = sum(parts_now)
        if not (math.isfinite(loss_now) and math.isfinite(norm_now)):
            what = f"the loss is {loss_now} and its gradient's norm {norm_now} at step {step + 1}"
            raise DivergedLoss(f"{what}; train anew with a lower learning_rate than {recipe.learning_rate}")
        self.optimiser.step()
        for name, part_now in zip(parts, parts_now, strict=True):
            self._sums[name] = self._sums.get(name, 0.0) + part_now
        self._summed_steps += 1
        return rate

    def _validate_when_due(self, before: float, after: float, step: int, on_progress: OnProgress) -> float | None:
        """Validate when progress passed one of the evenly spaced marks."""
        marks = self.recipe.validations
        due = int(after * marks) > int(before * marks)
        return self._validate(step, after, on_progress) if due else None

    def _validate_last_steps(self, curve: Curve | None, meter: BudgetMeter, rate: float, on_progress: OnProgress) -> None:
        """Where no mark asked for it: time ran out while a checkpoint was written, or a stop has no best weights yet."""
        if meter.steps == self.state.validated_step:
            return
        metric = self._validate(meter.steps, meter.progress(), on_progress)
        self.state.spent = meter.spent()
        if metric is not None and self._summed_steps:
            self._log(curve, meter, rate, metric, on_progress)

    def _validate(self, step: int, progress: float, on_progress: OnProgress) -> float | None:
        """Score the average, and keep its weights if they are the best so far. Returns: the metric."""
        if self.validate is None:
            return None
        best = self.state.best_metric
        numbers = {"step": float(step)} if best is None else {"step": float(step), "best": best}
        on_progress(ProgressEvent(stage="validating", progress=progress, metrics=numbers))
        validate, average = self.validate, self.average.network
        metrics = self.ranks.hear(lambda: validate(average), TaskMetrics)
        self.ranks.look()  # validation is part of the budget
        self.state.validations += 1
        self.state.validated_step = step
        is_better = best is None or metrics.primary > best
        self.state.stale_validations = 0 if is_better else self.state.stale_validations + 1
        if best is None or metrics.primary >= best:  # of equals the last, which have learned longest
            self.state.best_metric, self.state.best_step = metrics.primary, step
            self.state.metrics = {metrics.primary_name: metrics.primary, **metrics.values}
            self.best = {name: tensor.detach().clone() for name, tensor in self.average.network.state_dict().items()}
        return metrics.primary

    def _is_out_of_patience(self) -> bool:
        return self.recipe.patience is not None and self.state.stale_validations >= self.recipe.patience

    def _open_curve(self, steps: int) -> AbstractContextManager[Curve | None]:
        return Curve(self.folder / CURVE_NAME, steps) if self.ranks.rank == 0 else nullcontext()

    def _log(self, curve: Curve | None, meter: BudgetMeter, rate: float, metric: float | None, on_progress: OnProgress) -> None:
        spent = meter.spent()
        parts = {name: value / self._summed_steps for name, value in self._sums.items()}
        loss = sum(parts.values())
        point = CurvePoint(
            step=meter.steps,
            progress=meter.progress(),
            loss=loss,
            parts=parts,
            learning_rate=rate,
            wall_s=round(spent.wall_s, 3),
            cpu_s=round(spent.cpu_s, 3),
            metric=metric,
        )
        if curve is not None:
            curve.add(point)
        numbers = {"step": float(meter.steps), "loss": loss, "learning_rate": rate}
        if self.state.best_metric is not None:
            numbers["best"] = self.state.best_metric
        if metric is not None:
            numbers["metric"] = metric
        on_progress(
            ProgressEvent(stage="training", progress=meter.progress(), remaining_s=meter.remaining_s(), metrics=numbers)
        )
        self._sums, self._summed_steps = {}, 0

    def _write_checkpoint(self) -> None:
        if self.ranks.rank > 0:  # it is where the first process is, by the bit
            return
        path = self.folder / CHECKPOINT_NAME
        write_checkpoint(path, self.state, self.network, average=self.average.network, optimiser=self.optimiser, best=self.best)
