"""Time every precision at every batch size, fairly: the part of an inference sweep that holds the clock.

Every (precision, batch size) gets a session of its own. The precisions take turns, block by block on the same prepared
batches, in an order that rotates, so that a drift of the machine falls on all of them. Each turn begins with inferences that do
not count: the first ever compiles the shape, and preparing pictures in between has cooled the caches.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import msgspec

from sightline.bench.inference_sweep.networks import Manifest, SweepNetwork
from sightline.bench.inference_sweep.pictures import Block, PreparedBatch, SweepPictures
from sightline.bench.inference_sweep.records import SweepRow
from sightline.bench.timing import Stopwatch, compute_spread, thin_samples
from sightline.core.categories import Categories
from sightline.core.host import now_utc
from sightline.imaging.heads.decoding import decode_outputs
from sightline.metrics.classification import TOP
from sightline.runtime.backend import Session, Tensors

WARM_UPS = 3  # of a new session
TURN_WARM_UPS = 1  # when it takes its next turn


class Judge:
    """Says which answers of a classification network are right; silent about other tasks.

    Args:
        manifest: says how outputs become answers.
        categories: names of the network's classes, in order.
    """

    def __init__(self, manifest: Manifest, categories: Categories) -> None:
        self.is_able = manifest.task == "classification"
        self.has_top5 = self.is_able and len(categories) > TOP
        self._categories = categories
        self._decode = msgspec.structs.replace(manifest.decode, parameters={**manifest.decode.parameters, "top": TOP})

    def judge(self, outputs: Tensors, batch: PreparedBatch) -> list[tuple[bool, bool]]:
        """For each labelled picture whether its label is the best answer, and whether it is among the best five."""
        if not self.is_able:
            return []
        answers = decode_outputs(self._decode, outputs, batch.placements, self._categories, 0.0)
        verdicts = []
        for answer, label in zip(answers, batch.labels, strict=True):
            if label is not None:
                names = [annotation.category for annotation in answer[:TOP]]
                verdicts.append((names[:1] == [label], label in names))
        return verdicts


@dataclass
class Tally:
    """What one precision at one batch size has given so far."""

    network: SweepNetwork
    session: Session
    input_name: str
    judge: Judge
    started_at: str = field(default_factory=now_utc)
    run_s: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    predictions: int = 0
    verdicts: list[tuple[bool, bool]] = field(default_factory=list)

    def take_turn(self, block: Block) -> None:
        """Warm up, time every batch of the block, then judge the outputs."""
        watch = Stopwatch()
        for _ in range(TURN_WARM_UPS if self.times_ms else WARM_UPS):
            self.session.infer({self.input_name: block.batches[0].inputs})
        outputs = []
        for batch in block.batches:
            inputs = {self.input_name: batch.inputs}
            started = time.perf_counter()
            answer = self.session.infer(inputs)
            self.times_ms.append((time.perf_counter() - started) * 1e3)
            outputs.append(answer if self.judge.is_able else {})  # other tasks' outputs are large, and nobody looks at them
        for answer, batch in zip(outputs, block.batches, strict=True):
            self.verdicts += self.judge.judge(answer, batch)
            self.predictions += len(batch.labels)
        self.run_s += watch.wall_s + block.prepared_s

    def sum_up(self, batch_size: int, picture_count: int) -> SweepRow:
        """The row of Final Stats."""
        return SweepRow(
            precision=self.network.precision,
            batch_size=batch_size,
            iterations=len(self.times_ms),
            started_at=self.started_at,
            total_run_s=self.run_s,
            predictions=self.predictions,
            pictures=min(self.predictions, picture_count),
            labelled=len(self.verdicts),
            correct_top1=sum(first for first, _ in self.verdicts) if self.judge.is_able else None,
            correct_top5=sum(five for _, five in self.verdicts) if self.judge.has_top5 else None,
            ms=compute_spread(self.times_ms),
            iterations_ms=thin_samples(self.times_ms),
        )


def measure_rows(
    networks: Sequence[SweepNetwork],
    pictures: SweepPictures,
    judge: Judge,
    *,
    input_name: str,
    batch_sizes: Sequence[int],
    iterations: int,
    on_done: Callable[[int, int], None],
) -> list[SweepRow]:
    """Measure every network at every batch size.

    Args:
        input_name: of the graphs.
        on_done: told the batch size and how many predictions have been made since it was told last.

    Returns: rows by network, then batch size.
    """
    rows = []
    for batch_size in batch_sizes:
        with ExitStack() as stack:
            tallies = []
            for network in networks:
                watch = Stopwatch()
                session = stack.enter_context(closing(network.open()))
                tallies.append(Tally(network, session, input_name, judge, run_s=watch.wall_s))
            for turn, block in enumerate(pictures.iterate_blocks(batch_size, iterations)):
                first = turn % len(tallies)
                for tally in tallies[first:] + tallies[:first]:
                    tally.take_turn(block)
                    on_done(batch_size, batch_size * len(block.batches))
            rows.append([tally.sum_up(batch_size, len(pictures)) for tally in tallies])
    return [row for same_network in zip(*rows, strict=True) for row in same_network]
