"""INT8 where it costs nothing, float where it does: a quantiser for networks whose answers the plain ones change.

Three steps. Channels are equalised, ranges chosen by least error and biases corrected: with that most small networks of
depthwise convolutions keep their answers almost whole. Then each convolution is made INT8 alone, and what that does to the
outputs orders them. At last the first of this order go back to float, as few as the guide asks for: found by halving, each try
scored on calibration pictures, by labels or by FP32's answers. Ranges with and without rare values are compared before, a third
of the convolutions in float.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.quantisers.convolutions import Convolution, count_places, list_convolutions
from sightline.compiler.quantisers.equalising import equalise
from sightline.compiler.quantisers.plans import Plan, make_plan
from sightline.compiler.quantisers.qdq import write_qdq
from sightline.compiler.quantisers.quantiser import Guide, Quantiser, QuantiserFacts
from sightline.compiler.quantisers.ranges import TensorStatistics, choose_clipped, choose_whole, collect_statistics
from sightline.core.errors import Exhausted, InvalidInput, Unsupported
from sightline.core.settings import read_settings
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

MOST_SAMPLES = 100
RANKING_BATCHES = 2  # of the guide: noise can be measured on few pictures, unlike a score
RANKING_SECONDS = 45.0
CLEAR_SHARE = 0.5  # of the allowed drop: a smaller gain of score means nothing on few pictures, so the clipped ranges stay
FLOAT_SHARE = 0.5  # at most so many convolutions stay in float; with more, the Artifact would be INT8 in name only


@dataclass(frozen=True)
class Choice:
    """How to quantise.

    Attributes:
        clips: whether ranges leave out rare values.
        floats: convolutions left in float.
        score: the guide's.
    """

    clips: bool
    floats: frozenset[str]
    score: float


class MixedQuantiser(Quantiser):
    """Equalised INT8 with the fewest convolutions in float that the guide is content with, at most half of them."""

    name = "mixed"
    description = "channels equalised, biases corrected; the few convolutions that change the answers most stay in float"
    guided_by = "answers"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        """Write the INT8 twin of `graph`. Raises: Unsupported, Exhausted; InvalidInput without a guide."""
        if guide is None:
            raise InvalidInput("expected a guide of calibration pictures to choose layers by, got none; give pictures")
        samples = samples[:MOST_SAMPLES]
        model = load_graph(graph)
        convolutions = list_convolutions(model)
        if not convolutions:
            raise Unsupported(f"{self.name} cannot quantise {graph.name}: it has no convolution; another quantiser may")
        statistics = collect_statistics(model, input_name, samples, sorted({one.source for one in convolutions}))
        equalised = equalise(model, statistics)
        plans = [
            make_plan(equalised, input_name, samples, convolutions, ranges)
            for ranges in ({name: choose(one) for name, one in statistics.items()} for choose in (choose_clipped, choose_whole))
        ]
        with TemporaryDirectory(prefix="sightline-mixed-") as folder:
            sides = []
            for plan in plans:
                trial = Trial(plan, input_name, guide, Path(folder))
                order = self._rank(convolutions, trial)
                sides.append((trial, order, trial.score(order[len(order) // 3 :])))
            clips = sides[1][2] <= sides[0][2] + CLEAR_SHARE * guide.max_drop
            trial, order, _ = sides[0 if clips else 1]
            kept = self.count_floats(len(order), lambda count: trial.is_good(order[count:]))
            choice = Choice(clips, frozenset(order[:kept]), trial.score(order[kept:]))
        save_graph(write_qdq(trial.plan, [one.name for one in convolutions if one.name not in choice.floats]), out)
        return self._describe(convolutions, statistics, choice, len(samples))

    def count_floats(self, total: int, is_good: Callable[[int], bool]) -> int:
        """How many of all convolutions stay in float. Args: is_good: whether so many are enough."""
        return find_fewest(int(total * FLOAT_SHARE), is_good)

    def _rank(self, convolutions: Sequence[Convolution], trial: "Trial") -> list[str]:
        """Names of the convolutions, by how much they disturb the outputs, the worst first.

        Those that there was no time for come last, so they stay INT8.
        """
        started, found = time.monotonic(), {}
        for one in convolutions:
            if time.monotonic() - started > RANKING_SECONDS:
                break
            found[one.name] = trial.find_noise([one.name])
        return sorted(found, key=lambda name: -found[name]) + [one.name for one in convolutions if one.name not in found]

    def _describe(
        self, convolutions: Sequence[Convolution], statistics: Mapping[str, TensorStatistics], best: Choice, images: int
    ) -> QuantiserFacts:
        products = {one.name: count_products(one, statistics) for one in convolutions}
        share = 1 - sum(products[name] for name in best.floats) / sum(products.values())
        settings: dict[str, object] = {
            "per_channel": True,
            "activations": "uint8",
            "weights": "int8",
            "ranges": "least error" if best.clips else "minimum and maximum",
            "equalised": True,
            "bias_correction": True,
            "int8_convolutions": f"{len(convolutions) - len(best.floats)} of {len(convolutions)}",
            "int8_share_of_products": round(share, 3),
            "float_layers": [one.name for one in convolutions if one.name in best.floats],
            "guide_score": round(best.score, 4),
        }
        package = f"onnxruntime {metadata.version('onnxruntime')}"
        return QuantiserFacts(quantiser=self.name, package=package, settings=settings, images=images)


class MixedWideQuantiser(MixedQuantiser):
    """A third of the convolutions in float, for networks whose calibration pictures hold too few answers to count by."""

    name = "mixed-wide"
    description = "as `mixed`, with a third of the convolutions in float"

    def count_floats(self, total: int, is_good: Callable[[int], bool]) -> int:
        """A third, whatever the guide says."""
        return total // 3


def count_products(convolution: Convolution, statistics: Mapping[str, TensorStatistics]) -> int:
    """Multiplications of one picture, in the unit that convolutions of one network are compared in."""
    one = statistics[convolution.source]
    rows, columns = count_places(convolution, *one.size)
    return rows * columns * convolution.weight_count


def find_fewest(most: int, is_good: Callable[[int], bool]) -> int:
    """Smallest count in 0..most that is good, where more is not worse; `most` when none is."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_good(middle) else (middle + 1, high)
    return low


class Trial:
    """Tries the network with some convolutions in INT8 on the guide's pictures.

    Args:
        plan: the network.
        guide: pictures and their score.
        folder: for files on the way.
    """

    def __init__(self, plan: Plan, input_name: str, guide: Guide, folder: Path) -> None:
        self.guide, self.plan = guide, plan
        self._input_name, self._file = input_name, folder / "tried.onnx"
        self._exact = [outputs for _, outputs in self._run([], range(min(RANKING_BATCHES, len(guide.batches))))]
        self.exact_score = self.score([])

    def score(self, quantised: Sequence[str]) -> float:
        """The guide's score, over all its pictures, with these convolutions in INT8."""
        return self.guide.score(self._run(quantised, range(len(self.guide.batches))))

    def is_good(self, quantised: Sequence[str]) -> bool:
        """Whether the guide is content."""
        return self.score(quantised) >= self.exact_score - self.guide.max_drop

    def find_noise(self, quantised: Sequence[str]) -> float:
        """Mean square of what these convolutions in INT8 change, relative to each output, summed over outputs."""
        found = [outputs for _, outputs in self._run(quantised, range(len(self._exact)))]
        noise = 0.0
        for name in self._exact[0]:
            exact, changed = (np.concatenate([one[name] for one in side]).astype(np.float64) for side in (self._exact, found))
            noise += float(np.square(changed - exact).mean() / (np.square(exact).mean() or 1.0))
        return noise

    def _run(self, quantised: Sequence[str], places: range) -> Iterator[tuple[int, Mapping[str, np.ndarray]]]:
        save_graph(write_qdq(self.plan, quantised), self._file)
        with closing(load_backend("onnxruntime").open(self._file, SessionOptions("fp32", 1, read_settings().threads))) as run:
            for place in places:
                if self.guide.is_late():
                    raise Exhausted("the time limit was reached while layers were ranked; raise the time limit")
                yield place, run.infer({self._input_name: self.guide.batches[place]})
